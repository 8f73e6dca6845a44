//! The allocator of a measured process is that of a worker.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Result;
use dygl_exec::ALLOCATOR;

/// Goes on with the allocator's settings that a worker gets; the allocator
/// reads them when a program starts.
pub fn as_a_worker() -> Result<()> {
    if ALLOCATOR.iter().all(|(name, value)| std::env::var(name).ok().as_deref() == Some(*value)) {
        return Ok(());
    }
    let own = std::env::current_exe()?;
    Err(Command::new(own).args(std::env::args_os().skip(1)).envs(ALLOCATOR).exec().into())
}
