//! Exit codes: what a script may rely on.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | everything asked for is there |
//! | 1 | some runs failed |
//! | 2 | bad experiment or usage; nothing was started |
//! | 3 | the environment lacks something: data, device, library |
//! | 4 | nothing was selected |
//! | 5 | stored bytes or dataset files were altered |
//! | 6 | a score is not what was accepted; with `dygl audit --strict`, the paper contradicts itself |
//! | 7 | a result is missing |
//! | 8 | a result is stale: its inputs changed since |
//! | 130 | interrupted |

use std::fmt;

/// Why a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    Environment = 3,
    NothingSelected = 4,
    Altered = 5,
    Regressed = 6,
    Missing = 7,
    Stale = 8,
    Interrupted = 130,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        (exit as u8).into()
    }
}

/// An error that knows its exit code.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

impl Failure {
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Gives an error the exit code of its kind.
pub trait OrExit<T> {
    /// # Errors
    /// The error as a [`Failure`] with that code.
    fn or_exit(self, exit: Exit) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(exit, error))
    }
}
