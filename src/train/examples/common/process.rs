//! What a measured process is: its allocator, its processor time, its memory.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Result;
use dygl::exec::ALLOCATOR;

/// Goes on with the allocator's settings that a worker gets; the allocator
/// reads them when a program starts.
pub fn as_a_worker() -> Result<()> {
    if ALLOCATOR.iter().all(|(name, value)| std::env::var(name).ok().as_deref() == Some(*value)) {
        return Ok(());
    }
    let own = std::env::current_exe()?;
    Err(Command::new(own).args(std::env::args_os().skip(1)).envs(ALLOCATOR).exec().into())
}

/// Processor time of this process so far, all threads, seconds; NaN where the
/// system has no `/proc`.
pub fn processor_seconds() -> f64 {
    /// Of what Linux shows to programs, on all its architectures.
    const TICKS_PER_SECOND: f64 = 100.0;
    let told = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field, the program's name, may hold spaces.
    let fields = told.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    match ticks[..] {
        [user, system] => (user + system) / TICKS_PER_SECOND,
        _ => f64::NAN,
    }
}
