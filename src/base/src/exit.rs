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

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

/// Why a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for is there.
    Ok = 0,
    /// Some runs failed.
    Failed = 1,
    /// Bad experiment or usage; nothing was started.
    Usage = 2,
    /// The environment lacks something: data, device, library.
    Environment = 3,
    /// Nothing was selected.
    NothingSelected = 4,
    /// Stored bytes or dataset files were altered.
    Altered = 5,
    /// A score is not what was accepted, or the paper contradicts itself.
    Regressed = 6,
    /// A result is missing.
    Missing = 7,
    /// A result is stale: its inputs changed since.
    Stale = 8,
    /// Interrupted from outside.
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
    /// What the process is to end with.
    pub exit: Exit,
    /// What went wrong, in full, for people.
    pub message: String,
}

impl Failure {
    /// An error of that code, with what `message` displays.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

/// Gives an error the exit code of its kind.
pub trait OrExit<T> {
    /// # Errors
    /// The error [in full](in_full) as a [`Failure`] with that code.
    fn or_exit(self, exit: Exit) -> Result<T, Failure>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(exit, in_full(&*error.into())))
    }
}

/// Says which file or folder an error of the system is about.
pub trait AtPath<T> {
    /// `doing` completes "failed to": `make the folder`.
    ///
    /// # Errors
    /// The error with path, cause and remedy, as one of the environment.
    fn at(self, doing: &str, path: &Path) -> Result<T, Failure>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, doing: &str, path: &Path) -> Result<T, Failure> {
        self.map_err(|error| {
            let text = format!("failed to {doing} {}: {}", path.display(), in_full(&error));
            Failure::new(Exit::Environment, text)
        })
    }
}

/// An error with every cause behind it that it does not name itself, and a remedy
/// where the last one is a common one of the system.
pub fn in_full(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut at = Some(error);
    while let Some(error) = at {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(&format!(": {said}"));
        }
        if let Some(remedy) = error.downcast_ref::<io::Error>().and_then(|error| remedy(error.kind()))
            && !text.contains(remedy)
        {
            text.push_str(&format!("; {remedy}"));
        }
        at = error.source();
    }
    text
}

/// What to do about an error of the system.
fn remedy(kind: io::ErrorKind) -> Option<&'static str> {
    Some(match kind {
        io::ErrorKind::StorageFull => "free some space there, or give another place",
        io::ErrorKind::QuotaExceeded => "free some of your quota there, or give another place",
        io::ErrorKind::PermissionDenied => "give a place that you may use, or ask its owner for the right to",
        io::ErrorKind::ReadOnlyFilesystem => "give a place that can be written to",
        io::ErrorKind::NotADirectory => "a part of the path is a file: give another one",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to write the page")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("p/x.html: {0}")]
    struct Middle(#[source] io::Error);

    #[test]
    fn every_cause_is_told_once_with_a_remedy() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let cause = full().to_string();
        let remedy = "free some space there, or give another place";
        let text = in_full(&Outer(Middle(full())));
        assert_eq!(text, format!("failed to write the page: p/x.html: {cause}; {remedy}"));
        let failed: Result<(), _> = Err(Outer(Middle(full())));
        let failure = failed.or_exit(Exit::Environment).expect_err("failed");
        assert_eq!((failure.exit, failure.message), (Exit::Environment, text));
        let failure = Err::<(), _>(full()).at("make the folder", Path::new("a/b")).expect_err("failed");
        assert_eq!(failure.message, format!("failed to make the folder a/b: {cause}; {remedy}"));
    }

    #[test]
    fn texts_are_errors_as_they_are() {
        let failure = Err::<(), _>("no such thing".to_owned()).or_exit(Exit::Usage).expect_err("failed");
        assert_eq!(failure.message, "no such thing");
        let other = io::Error::other("odd");
        assert_eq!(in_full(&other), "odd");
    }
}
