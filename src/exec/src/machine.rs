//! What this machine has: memory and disk, as far as the system tells.
//!
//! In a container the limit of its control group counts, not the machine's
//! memory. Where `/proc` is missing every function answers with "unknown".

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Main memory that processes of this machine (or container) can have, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// All of it; 0 where the system does not tell.
    pub total: u64,
    /// What is free or can be freed without writing anything to disk.
    pub available: u64,
}

/// Memory of the machine, or of the narrowest control group around this process.
pub fn memory() -> Memory {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let mut memory = Memory {
        total: kib(&text, "MemTotal:").unwrap_or(0),
        available: kib(&text, "MemAvailable:").unwrap_or(0),
    };
    for folder in memory_groups() {
        let Some((limit, used)) = limit_and_use(&folder) else { continue };
        if limit < memory.total {
            memory.total = limit;
        }
        memory.available = memory.available.min(limit.saturating_sub(used));
    }
    memory
}

/// Highest resident memory of a process so far, bytes; none if it has ended.
pub fn peak_resident(pid: u32) -> Option<u64> {
    kib(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmHWM:")
}

/// The share of its address space (`ulimit -v`) that a process has had in use;
/// none if it has no limit or has ended.
pub fn address_space(pid: u32) -> Option<f64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    let limit: f64 = limit.split_whitespace().next()?.parse().ok()?;
    let peak = kib(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmPeak:")?;
    Some(peak as f64 / limit)
}

/// How many processes the kernel has killed for want of memory: on this
/// machine, and in the control groups around this process.
pub fn oom_kills() -> u64 {
    let of = |text: &str| {
        let count = |line: &str| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok();
        text.lines().find_map(count).unwrap_or(0)
    };
    let groups = memory_groups().into_iter().flat_map(|folder| {
        ["memory.events", "memory.oom_control"].map(|file| fs::read_to_string(folder.join(file)))
    });
    let machine = fs::read_to_string("/proc/vmstat");
    std::iter::once(machine).chain(groups).flatten().map(|text| of(&text)).sum()
}

/// Bytes that a user may still write where `path` is, or will be.
pub fn free_disk(path: &Path) -> Option<u64> {
    let absolute = std::path::absolute(path).ok()?;
    let there = absolute.ancestors().find(|folder| folder.exists())?;
    let space = rustix::fs::statvfs(there).ok()?;
    Some(space.f_bavail.saturating_mul(space.f_frsize))
}

/// The value of a line `NAME   123 kB`, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The folders of the control groups around this process that may limit
/// memory, from the innermost out, of both versions of the interface.
fn memory_groups() -> Vec<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut folders = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let root = match controllers {
            "" => Path::new("/sys/fs/cgroup").to_owned(),
            some if some.split(',').any(|name| name == "memory") => "/sys/fs/cgroup/memory".into(),
            _ => continue,
        };
        let inside = root.join(path.trim_start_matches('/'));
        folders.extend(inside.ancestors().take_while(|p| p.starts_with(&root)).map(Path::to_path_buf));
    }
    folders
}

/// Limit of a control group and what of it is in use and cannot be dropped.
fn limit_and_use(folder: &Path) -> Option<(u64, u64)> {
    let number = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
    let limit = number("memory.max").or_else(|| number("memory.limit_in_bytes"))?;
    let used = number("memory.current").or_else(|| number("memory.usage_in_bytes"))?;
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let droppable = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse().ok());
    Some((limit, used.saturating_sub(droppable.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_are_read_in_bytes() {
        let text = "MemTotal:       16303172 kB\nMemAvailable:      12 kB\n";
        assert_eq!(kib(text, "MemAvailable:"), Some(12 * 1024));
        assert_eq!(kib(text, "MemFree:"), None);
        assert_eq!(kib("MemTotal: many kB", "MemTotal:"), None);
    }

    #[test]
    fn a_group_counts_what_cannot_be_dropped() {
        let folder = tempfile::tempdir().expect("folder");
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).expect("written");
        assert_eq!(limit_and_use(folder.path()), None);
        write("memory.max", "max\n");
        write("memory.current", "700\n");
        assert_eq!(limit_and_use(folder.path()), None, "no limit");
        write("memory.max", "1000\n");
        assert_eq!(limit_and_use(folder.path()), Some((1000, 700)));
        write("memory.stat", "anon 5\ninactive_file 300\n");
        assert_eq!(limit_and_use(folder.path()), Some((1000, 400)));
    }

    #[test]
    fn this_process_and_its_folder_are_seen() {
        let memory = memory();
        assert!(memory.available <= memory.total || memory.total == 0, "{memory:?}");
        if memory.total > 0 {
            assert!(peak_resident(std::process::id()).is_some_and(|bytes| bytes > 1 << 16));
        }
        let folder = tempfile::tempdir().expect("folder");
        assert!(free_disk(&folder.path().join("not/yet/there")).is_some());
    }
}
