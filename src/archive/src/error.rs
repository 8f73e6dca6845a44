//! Why an archive is not unpacked.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::limits::bytes;

/// An error of this room.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The archive, or what was unpacked of it, cannot be read.
    #[error("{}: {source}", .archive.display())]
    Read {
        /// The archive; of rar, the folder that it was unpacked into.
        archive: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file of no format that is read.
    #[error(
        "{}: is {found}; what is read is a folder, or zip, tar, tar.gz and rar archives: {}",
        .archive.display(), .remedy
    )]
    Unknown {
        /// The file that was given.
        archive: PathBuf,
        /// What its first bytes say that it is.
        found: &'static str,
        /// What to do instead.
        remedy: &'static str,
    },
    /// Its bytes are not as they must be, or end early.
    #[error("{}: the archive is damaged: {message}; fetch it again", .archive.display())]
    Damaged {
        /// The archive that was given.
        archive: PathBuf,
        /// What is wrong, for people.
        message: String,
    },
    /// Members that could do harm or are not read.
    #[error("{}: refused, nothing was unpacked:{}", .archive.display(), list(.faults))]
    Refused {
        /// The archive that was given.
        archive: PathBuf,
        /// Every member at fault, with what is wrong.
        faults: Vec<(String, Fault)>,
    },
    /// More members than are allowed.
    #[error("{}: holds more than {limit} members; unpack it yourself and give the folder", .archive.display())]
    TooMany {
        /// The archive that was given.
        archive: PathBuf,
        /// Most members of an archive.
        limit: usize,
    },
    /// Unpacked bytes are out of all proportion to packed ones.
    #[error(
        "{}: unpacks to more than {limit_times} times its size (beyond {}): a decompression bomb",
        .archive.display(), bytes(*.floor)
    )]
    Bomb {
        /// The archive that was given.
        archive: PathBuf,
        /// How many times its size it may unpack to.
        limit_times: u64,
        /// Unpacked bytes up to which that does not matter.
        floor: u64,
    },
    /// What is wanted needs more space than may be taken.
    #[error(
        "{}: needs {} in {}, of whose free space {} may be taken; free some, or choose another --store",
        .archive.display(), bytes(*.needed), .folder.display(), bytes(*.allowed)
    )]
    NoSpace {
        /// The archive that was given.
        archive: PathBuf,
        /// Bytes of what is wanted; what a program had written when it was stopped.
        needed: u64,
        /// Bytes that may be taken.
        allowed: u64,
        /// The folder that was to hold them.
        folder: PathBuf,
    },
    /// rar, and no program that reads it is installed.
    #[error(
        "{}: reading rar needs one of unar, bsdtar, unrar or 7z, and none is installed; \
         install one (apt install unar, or apt install libarchive-tools), \
         or unpack it yourself and give the folder", .archive.display()
    )]
    NoProgram {
        /// The archive that was given.
        archive: PathBuf,
    },
    /// The program that unpacks rar failed.
    #[error("{}: {program} failed: {message}", .archive.display())]
    Program {
        /// The archive that was given.
        archive: PathBuf,
        /// Name of the program: `unar`.
        program: String,
        /// Its last words and how it ended, or why it could not be run.
        message: String,
    },
    /// A file cannot be written.
    #[error("{}: cannot be written: {source}", .path.display())]
    Write {
        /// The file or folder in question.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Somebody asked for the end ([`Watch::stop`](crate::Watch::stop)).
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
    /// The name is in another encoding.
    NotUtf8,
    /// A symbolic or a hard link.
    Link,
    /// A device, a pipe, a sparse file.
    Special,
    /// Only a password would open it.
    Encrypted,
    /// A way of packing that this program does not read.
    Method(String),
    /// The name stands in the archive twice.
    Twice,
    /// Another archive of the same dataset holds a member of the name.
    InBoth {
        /// The other archive.
        other: PathBuf,
    },
    /// More bytes than one file may have.
    TooLarge {
        /// Unpacked, bytes.
        size: u64,
        /// Most bytes of one file.
        limit: u64,
    },
    /// Unpacked to packed bytes.
    Ratio {
        /// Unpacked, bytes.
        size: u64,
        /// In the archive, bytes.
        packed: u64,
        /// How many times its packed bytes a member may unpack to.
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
