//! Who holds a claim, and whether that process may still be at work.

use std::fmt;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::lock::Lock;

/// The process that holds a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Name of its machine.
    pub host: String,
    /// Identity of the boot, and so of the running kernel: process ids start
    /// anew with each.
    pub boot: String,
    /// Process id, as `namespace` counts it.
    pub pid: u32,
    /// Start of the process in clock ticks since boot: process ids are reused.
    pub start: u64,
    /// The namespace that `pid` is counted in: containers of one machine have
    /// each their own process 1. Empty where the system does not tell.
    #[serde(default)]
    pub namespace: String,
    /// Tells the claims of one process apart; names the folder of the work.
    #[serde(default)]
    pub nonce: String,
    /// Whether the holder keeps a kernel lock on the claim's file.
    #[serde(default)]
    pub locked: bool,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)?;
        // What `ps` shows here under that number may be another process.
        if self.host == host() && self.boot == boot() && !self.is_counted_here() {
            write!(f, " (in another container)")?;
        }
        Ok(())
    }
}

impl Holder {
    /// This process, with a nonce of its own.
    pub fn me() -> Self {
        Self {
            host: host(),
            boot: boot(),
            pid: std::process::id(),
            start: process("self").unwrap_or_default(),
            namespace: namespace(),
            nonce: nonce(),
            locked: false,
        }
    }

    /// Whether the process may still be at work. A living one is never judged
    /// dead: where nothing proves its end, it may live. `lock` is what the
    /// kernel says of the claim's lock, `is_local` whether the claim lies in a
    /// file system that one kernel alone can have mounted.
    pub(super) fn may_live(&self, lock: Lock, is_local: bool) -> bool {
        let is_this_kernel = self.boot == boot() && !self.boot.is_empty();
        match lock {
            Lock::Held => return true,
            // The kernel that gave the lock is the one that was asked, and it
            // takes locks back when processes end, in whatever container.
            Lock::Free if self.locked && is_this_kernel && is_local => return false,
            Lock::Free | Lock::Unknown => {}
        }
        if self.host != host() {
            return true;
        }
        if !is_this_kernel {
            // This machine before its last start; or, where the folder is
            // shared, another machine of the same name.
            return self.boot.is_empty() || !is_local;
        }
        if !self.is_counted_here() {
            return true;
        }
        process(&self.pid.to_string()) == Some(self.start)
    }

    /// Whether the process is known to be at work on this machine.
    pub(super) fn lives_here(&self, lock: Lock) -> bool {
        if self.boot != boot() || self.boot.is_empty() {
            return false;
        }
        let is_seen = self.host == host() && self.is_counted_here();
        lock == Lock::Held || (is_seen && process(&self.pid.to_string()) == Some(self.start))
    }

    /// Whether this process sees the holder's processes under the same ids.
    fn is_counted_here(&self) -> bool {
        // Where /proc belongs to another namespace, its numbers are not ours.
        let is_own = fs::read_link("/proc/self")
            .is_ok_and(|own| own.to_str() == Some(std::process::id().to_string().as_str()));
        is_own && (self.namespace.is_empty() || self.namespace == namespace())
    }
}

/// Name of this machine.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|s| s.trim().to_owned()).unwrap_or_default()
}

fn namespace() -> String {
    fs::read_link("/proc/self/ns/pid").map(|link| link.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Field 22 of `/proc/<id>/stat`; none if there is no such process or it is a
/// zombie.
fn process(id: &str) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The second field is the command in parentheses and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Twelve hex digits that no other claim has: a folder named by them is never
/// written to by two.
pub(super) fn nonce() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut hasher = blake3::Hasher::new();
    // The keys of a `RandomState` come from the system's source of randomness.
    hasher.update(&RandomState::new().build_hasher().finish().to_le_bytes());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    hasher.update(&now.as_nanos().to_le_bytes());
    hasher.update(&std::process::id().to_le_bytes());
    hasher.update(&COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    hasher.update(host().as_bytes());
    hasher.finalize().to_hex()[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_is_never_judged_dead() {
        let me = Holder::me();
        let far = Holder { host: "elsewhere".into(), ..me.clone() };
        let other_boot = Holder { boot: "another".into(), ..me.clone() };
        let contained = Holder { namespace: "pid:[1]".into(), start: 1, ..me.clone() };
        let reused = Holder { start: 1, ..me.clone() };
        for (holder, lock, is_local, lives) in [
            (&me, Lock::Unknown, true, true),
            // Nobody can say more of another host than its lock.
            (&far, Lock::Free, true, true),
            (&far, Lock::Held, true, true),
            // Before the last start of this machine; on a shared folder perhaps its namesake.
            (&other_boot, Lock::Free, true, false),
            (&other_boot, Lock::Unknown, false, true),
            (&other_boot, Lock::Held, true, true),
            // In another container, without a lock that tells.
            (&contained, Lock::Unknown, true, true),
            (&contained, Lock::Free, true, true),
            // The process id was given to another process.
            (&reused, Lock::Unknown, true, false),
            (&reused, Lock::Free, false, false),
            (&reused, Lock::Held, true, true),
        ] {
            assert_eq!(holder.may_live(lock, is_local), lives, "{holder:?} {lock:?} {is_local}");
        }
        // With a lock of this kernel, which went with the process.
        let locked = Holder { locked: true, ..contained };
        assert!(!locked.may_live(Lock::Free, true));
        assert!(locked.may_live(Lock::Free, false), "a network may not pass locks on");
        assert!(locked.may_live(Lock::Unknown, true));
        let renamed = Holder { locked: true, ..far };
        assert!(!renamed.may_live(Lock::Free, true), "a container that is started anew has another name");
    }

    #[test]
    fn claims_of_earlier_versions_are_read() {
        let text = r#"{"host":"node017","boot":"b","pid":4242,"start":1}"#;
        let holder: Holder = serde_json::from_str(text).expect("read");
        assert_eq!((holder.namespace.as_str(), holder.locked), ("", false));
        assert!(holder.may_live(Lock::Free, true));
        assert_eq!(holder.to_string(), "process 4242 on node017");
    }

    #[test]
    fn no_two_nonces_are_equal() {
        let mut all: Vec<String> = (0..1000).map(|_| nonce()).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 1000);
    }
}
