//! Archives from strangers: what is in them, and how it gets out safely.
//!
//! An archive is read twice. First every member's name and size is looked at
//! ([`Archive::members`]); one that could write outside its folder, is a link
//! or device, is encrypted, stands twice or is out of all proportion makes the
//! whole archive refused, with every such member named. Then those members
//! that somebody wants are written ([`Archive::extract`]), each into a folder
//! that nobody else looks into yet, and never more bytes than were announced.
//!
//! rar has no free reader in Rust; an installed program unpacks it into a
//! scratch folder, watched while it works, and what it left is looked at in
//! the same way.

mod error;
mod external;
mod limits;
mod name;
mod tar;
#[cfg(test)]
mod tests;
mod zip;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

pub use error::{ArchiveError, Fault};
pub use limits::Limits;
use name::Maker;

/// The kinds that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Zip,
    Tar,
    TarGz,
    Rar,
}

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Relative path, `/` between parts, no `.` and `..`.
    pub name: String,
    /// Unpacked, bytes.
    pub size: u64,
}

/// How a long reading goes on and is stopped.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Called with the bytes written so far.
    pub told: &'a (dyn Fn(u64) + Sync),
    /// Set from outside (Ctrl-C) to end.
    pub stop: &'a AtomicBool,
}

impl Watch<'_> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// An archive whose members were looked at.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    kind: Kind,
    members: Vec<Member>,
    limits: Limits,
    /// Where a program has unpacked it already (rar).
    unpacked: Option<PathBuf>,
}

impl Archive {
    /// Whether a file is an archive that can be read, by its first bytes.
    pub fn is_one(path: &Path) -> bool {
        path.is_file() && matches!(kind(path), Ok(Ok(_)))
    }

    /// Looks at every member. `scratch` is an empty folder of the caller's, on
    /// the file system that will hold the files; rar is unpacked into it.
    ///
    /// # Errors
    /// It is no archive, is damaged, or holds what is refused.
    pub fn open(path: &Path, scratch: &Path, limits: Limits, watch: Watch<'_>) -> Result<Self, ArchiveError> {
        let kind = kind(path)
            .map_err(|source| ArchiveError::Read { archive: path.to_owned(), source })?
            .map_err(|(found, remedy)| ArchiveError::Unknown { archive: path.to_owned(), found, remedy })?;
        let mut unpacked = None;
        let members = match kind {
            Kind::Zip => zip::list(path, &limits)?,
            Kind::Tar | Kind::TarGz => tar::list(path, kind == Kind::TarGz, &limits, watch)?,
            Kind::Rar => {
                let folder = scratch.join("unpacked");
                external::unpack(path, &folder, &limits, watch)?;
                let members = external::list(path, &folder, &limits)?;
                unpacked = Some(folder);
                members
            }
        };
        Ok(Self { path: path.to_owned(), kind, members, limits, unpacked })
    }

    /// The archive's own file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its files, in the order of the archive.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The bytes of one member of a zip archive.
    ///
    /// # Errors
    /// There is no such member, the archive is damaged, or it is no zip.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, ArchiveError> {
        let damaged = |message: &str| ArchiveError::Damaged {
            archive: self.path.clone(),
            message: format!("`{name}`: {message}"),
        };
        let member = self.members.iter().find(|member| member.name == name);
        let member = member.ok_or_else(|| damaged("there is no such member"))?;
        match self.kind {
            Kind::Zip => zip::read(&self.path, member),
            _ => Err(damaged("only members of zip archives are read one by one")),
        }
    }

    /// Writes members into `into`: name of the member -> path below `into`.
    ///
    /// # Errors
    /// The archive is damaged or has changed, the disk is full, or the watch
    /// stopped it. What was written so far is the caller's to remove.
    pub fn extract(
        &self,
        wanted: &BTreeMap<String, String>,
        into: &Path,
        watch: Watch<'_>,
    ) -> Result<(), ArchiveError> {
        let sizes = self.members.iter().filter(|member| wanted.contains_key(&member.name));
        let needed: u64 = sizes.map(|member| member.size).sum();
        if needed > self.limits.total {
            let (archive, allowed) = (self.path.clone(), self.limits.total);
            return Err(ArchiveError::NoSpace { archive, needed, allowed, folder: into.to_owned() });
        }
        let mut writer = Writer { archive: &self.path, into, watch, written: 0 };
        match (self.kind, &self.unpacked) {
            (_, Some(folder)) => external::take(folder, wanted, &mut writer),
            (Kind::Zip, None) => zip::extract(&self.path, wanted, &mut writer),
            (kind, None) => tar::extract(&self.path, kind == Kind::TarGz, &self.limits, wanted, &mut writer),
        }
    }
}

/// What the first bytes say; of what is not read its name, and what to do.
fn kind(path: &Path) -> io::Result<Result<Kind, (&'static str, &'static str)>> {
    let mut head = Vec::new();
    File::open(path)?.take(512).read_to_end(&mut head)?;
    Ok(match &head[..] {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Ok(Kind::Zip),
        [0x1f, 0x8b, ..] => Ok(Kind::TarGz),
        [b'R', b'a', b'r', b'!', 0x1a, 7, ..] => Ok(Kind::Rar),
        head if head.get(257..262) == Some(b"ustar") => Ok(Kind::Tar),
        head => Err(foreign(head)),
    })
}

/// Formats that are known by their first bytes and not read.
fn foreign(head: &[u8]) -> (&'static str, &'static str) {
    const UNPACK: &str = "unpack it yourself and give the folder";
    const FOLDER: &str = "give the folder that the picture lies in";
    let known: [(&[u8], &str, &str); 20] = [
        (b"\xfd7zXZ\0", "a file packed by xz (.xz, .tar.xz)", UNPACK),
        (b"BZh", "a file packed by bzip2 (.bz2, .tar.bz2)", UNPACK),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
        (b"\x28\xb5\x2f\xfd", "a file packed by Zstandard (.zst, .tar.zst)", UNPACK),
        (b"\x04\x22\x4d\x18", "a file packed by LZ4", UNPACK),
        (b"\x1f\x9d", "a file packed by compress (.Z)", UNPACK),
        (b"LZIP", "a file packed by lzip", UNPACK),
        (b"]\0\0", "a file packed by LZMA", UNPACK),
        (b"MSCF", "a cabinet archive (.cab)", UNPACK),
        (b"PK\x07\x08", "the first part of a split zip archive", UNPACK),
        (b"MZ", "a program, perhaps an archive that unpacks itself", UNPACK),
        (b"\x89HDF", "an HDF5 file", "write its images and masks as PNG files and give their folder"),
        (b"\x93NUMPY", "an array of NumPy", "write its images and masks as PNG files and give their folder"),
        (b"\x89PNG", "a single PNG picture", FOLDER),
        (b"\xff\xd8\xff", "a single JPEG picture", FOLDER),
        (b"II*\0", "a single TIFF picture", FOLDER),
        (b"MM\0*", "a single TIFF picture", FOLDER),
        (b"BM", "a single BMP picture", FOLDER),
        (b"%PDF", "a PDF", UNPACK),
        (b"<", "a web page or other markup, perhaps instead of the archive", "fetch the archive again"),
    ];
    if head.is_empty() {
        return ("an empty file", "fetch it again");
    }
    let found = known.iter().find(|(magic, ..)| head.starts_with(magic));
    found.map_or(("neither a folder nor an archive of a known format", UNPACK), |(_, name, remedy)| {
        (*name, *remedy)
    })
}

/// Collects members and what is wrong with them.
#[derive(Debug, Default)]
struct Census {
    members: Vec<Member>,
    seen: BTreeSet<String>,
    faults: Vec<(String, Fault)>,
}

impl Census {
    fn fault(&mut self, name: &str, fault: Fault) {
        self.faults.push((name.to_owned(), fault));
    }

    /// A file; `packed` are its bytes in the archive, where they are known.
    fn file(&mut self, raw: &[u8], from: Maker, size: u64, packed: Option<u64>, limits: &Limits) {
        let shown = String::from_utf8_lossy(raw).into_owned();
        match name::checked(raw, from) {
            Err(fault) => self.fault(&shown, fault),
            Ok(name) => {
                if let Some(fault) = limits.fault(size, packed) {
                    self.fault(&name, fault);
                }
                if self.seen.insert(name.clone()) {
                    self.members.push(Member { name, size });
                } else {
                    self.fault(&name, Fault::Twice);
                }
            }
        }
    }

    /// A folder: only its name can be at fault.
    fn folder(&mut self, raw: &[u8], from: Maker) {
        if let Err(fault) = name::checked(raw, from) {
            self.fault(&String::from_utf8_lossy(raw), fault);
        }
    }

    fn finish(self, archive: &Path) -> Result<Vec<Member>, ArchiveError> {
        if self.faults.is_empty() {
            return Ok(self.members);
        }
        Err(ArchiveError::Refused { archive: archive.to_owned(), faults: self.faults })
    }
}

/// Writes members below a folder.
struct Writer<'a> {
    archive: &'a Path,
    into: &'a Path,
    watch: Watch<'a>,
    written: u64,
}

impl Writer<'_> {
    /// Writes exactly `size` bytes; more or fewer mean that the archive lied.
    fn write(&mut self, path: &str, name: &str, from: &mut dyn Read, size: u64) -> Result<(), ArchiveError> {
        let full = self.into.join(path);
        let failed = |source| ArchiveError::Write { path: full.clone(), source };
        if let Some(folder) = full.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        // Never through something that is already there.
        let mut file = File::options().write(true).create_new(true).open(&full).map_err(failed)?;
        let mut left = size;
        let mut buffer = vec![0; 1 << 16];
        loop {
            if self.watch.stopped() {
                return Err(ArchiveError::Stopped);
            }
            let got = from.read(&mut buffer).map_err(|error| self.damaged(name, &error.to_string()))?;
            if got == 0 {
                break;
            }
            left = left
                .checked_sub(got as u64)
                .ok_or_else(|| self.damaged(name, "it holds more bytes than it announces"))?;
            file.write_all(&buffer[..got]).map_err(failed)?;
            self.written += got as u64;
            (self.watch.told)(self.written);
        }
        if left > 0 {
            return Err(self.damaged(name, "it ends early"));
        }
        Ok(())
    }

    fn damaged(&self, name: &str, message: &str) -> ArchiveError {
        let message = format!("`{name}`: {message}");
        ArchiveError::Damaged { archive: self.archive.to_owned(), message }
    }
}
