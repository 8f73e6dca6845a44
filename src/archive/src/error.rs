//! Why an archive is not unpacked.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::limits::bytes;

/// An error of this room.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("{}: {source}", .archive.display())]
    Read { archive: PathBuf, source: io::Error },
    #[error(
        "{}: is {found}; what is read is a folder, or zip, tar, tar.gz and rar archives: {}",
        .archive.display(), .remedy
    )]
    Unknown {
        archive: PathBuf,
        /// What its first bytes say that it is.
        found: &'static str,
        remedy: &'static str,
    },
    #[error("{}: the archive is damaged: {message}; fetch it again", .archive.display())]
    Damaged { archive: PathBuf, message: String },
    #[error("{}: refused, nothing was unpacked:{}", .archive.display(), list(.faults))]
    Refused {
        archive: PathBuf,
        /// Every member at fault, with what is wrong.
        faults: Vec<(String, Fault)>,
    },
    #[error("{}: holds more than {limit} members; unpack it yourself and give the folder", .archive.display())]
    TooMany { archive: PathBuf, limit: usize },
    #[error(
        "{}: unpacks to more than {limit_times} times its size (beyond {}): a decompression bomb",
        .archive.display(), bytes(*.floor)
    )]
    Bomb { archive: PathBuf, limit_times: u64, floor: u64 },
    #[error(
        "{}: needs {} in {}, of whose free space {} may be taken; free some, or choose another --store",
        .archive.display(), bytes(*.needed), .folder.display(), bytes(*.allowed)
    )]
    NoSpace { archive: PathBuf, needed: u64, allowed: u64, folder: PathBuf },
    #[error(
        "{}: reading rar needs one of unar, bsdtar, unrar or 7z, and none is installed; \
         install one (apt install unar, or apt install libarchive-tools), \
         or unpack it yourself and give the folder", .archive.display()
    )]
    NoProgram { archive: PathBuf },
    #[error("{}: {program} failed: {message}", .archive.display())]
    Program { archive: PathBuf, program: String, message: String },
    #[error("{}: cannot be written: {source}", .path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("stopped; nothing was registered and nothing kept")]
    Stopped,
}

/// What is wrong with a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// `..` or an absolute path.
    Escapes,
    /// A backslash or a drive letter: another system's path.
    ForeignPath,
    /// Control characters, or no name at all.
    BadName,
    NotUtf8,
    Link,
    /// A device, a pipe, a sparse file.
    Special,
    Encrypted,
    /// A way of packing that this program does not read.
    Method(String),
    /// The name stands in the archive twice.
    Twice,
    /// Another archive of the same dataset holds a member of the name.
    InBoth {
        other: PathBuf,
    },
    TooLarge {
        size: u64,
        limit: u64,
    },
    /// Unpacked to packed bytes.
    Ratio {
        size: u64,
        packed: u64,
        limit: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Escapes => f.write_str("the path leads out of its folder"),
            Fault::ForeignPath => {
                f.write_str("the path holds a drive letter, or a backslash in an archive not made on Windows")
            }
            Fault::BadName => f.write_str("the name is empty or holds control characters"),
            Fault::NotUtf8 => f.write_str("the name is not UTF-8"),
            Fault::Link => f.write_str("is a link"),
            Fault::Special => f.write_str("is neither a plain file nor a folder"),
            Fault::Encrypted => f.write_str("is encrypted"),
            Fault::Method(method) => write!(f, "is packed by {method}, which is not read"),
            Fault::Twice => f.write_str("stands in the archive twice"),
            Fault::InBoth { other } => write!(f, "stands in {} too", other.display()),
            Fault::TooLarge { size, limit } => {
                write!(f, "unpacks to {}, more than the {} allowed for one file", bytes(*size), bytes(*limit))
            }
            Fault::Ratio { size, packed, limit } => write!(
                f,
                "unpacks from {} to {}, more than {limit} times: a decompression bomb",
                bytes(*packed),
                bytes(*size)
            ),
        }
    }
}

/// One fault a line; a long list is cut.
fn list(faults: &[(String, Fault)]) -> String {
    const SHOWN: usize = 20;
    let shown =
        faults.iter().take(SHOWN).map(|(name, fault)| format!("\n  {}: {fault}", name.escape_debug()));
    let mut text: String = shown.collect();
    if faults.len() > SHOWN {
        text.push_str(&format!("\n  and {} more", faults.len() - SHOWN));
    }
    text
}
