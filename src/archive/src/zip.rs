//! zip: stored and deflated members.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use zip::CompressionMethod;
use zip::result::ZipError;

use super::{ArchiveError, Census, Fault, Limits, Maker, Member, Writer};

/// Largest central directory, bytes: 200 000 members with long names.
const MAX_DIRECTORY: u64 = 64 << 20;
/// File types of Unix modes.
const TYPE: u32 = 0o170_000;
const PLAIN: [u32; 3] = [0, 0o100_000, 0o040_000];

type Zip = zip::ZipArchive<BufReader<File>>;

/// Looks at every member. The crate keeps one member a name and decodes names
/// by guess, so the raw names are read here from the central directory.
pub(super) fn list(path: &Path, limits: &Limits) -> Result<Vec<Member>, ArchiveError> {
    let mut archive = open(path)?;
    let names = raw_names(path, archive.central_directory_start(), limits.members)?;
    if names.len() > limits.members {
        return Err(ArchiveError::TooMany { archive: path.to_owned(), limit: limits.members });
    }
    let mut census = Census::default();
    let mut makers = BTreeMap::new();
    for (name, maker) in &names {
        if makers.insert(name.as_slice(), *maker).is_some() {
            census.fault(&String::from_utf8_lossy(name), Fault::Twice);
        }
    }
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(|error| damaged(path, &error))?;
        let raw = member.name_raw();
        let maker = makers.get(raw).copied().unwrap_or(Maker::Unix);
        let shown = String::from_utf8_lossy(raw).into_owned();
        let mode = member.unix_mode().unwrap_or(0) & TYPE;
        if member.is_symlink() {
            census.fault(&shown, Fault::Link);
        } else if !PLAIN.contains(&mode) {
            census.fault(&shown, Fault::Special);
        } else if member.encrypted() {
            census.fault(&shown, Fault::Encrypted);
        } else if member.is_dir() {
            census.folder(raw, maker);
        } else {
            match member.compression() {
                CompressionMethod::Stored | CompressionMethod::Deflated => {
                    census.file(raw, maker, member.size(), Some(member.compressed_size()), limits);
                }
                other => census.fault(&shown, Fault::Method(format!("{other:?}").to_lowercase())),
            }
        }
    }
    census.finish(path)
}

pub(super) fn extract(
    path: &Path,
    wanted: &BTreeMap<String, String>,
    writer: &mut Writer<'_>,
) -> Result<(), ArchiveError> {
    let mut archive = open(path)?;
    let makers = makers(path, &archive)?;
    let mut written = 0;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(|error| damaged(path, &error))?;
        let maker = makers.get(member.name_raw()).copied().unwrap_or(Maker::Unix);
        let Ok(name) = super::name::checked(member.name_raw(), maker) else { continue };
        let Some(into) = wanted.get(&name).filter(|_| !member.is_dir()) else { continue };
        let size = member.size();
        // The crate checks the CRC at the member's end.
        writer.write(into, &name, &mut member, size)?;
        written += 1;
    }
    if written == wanted.len() { Ok(()) } else { Err(writer.damaged("*", "it changed while it was read")) }
}

/// The bytes of a member that was looked at: as many as it announced then.
pub(super) fn read(path: &Path, member: &Member) -> Result<Vec<u8>, ArchiveError> {
    let failed = |message: String| ArchiveError::Damaged {
        archive: path.to_owned(),
        message: format!("`{}`: {message}", member.name),
    };
    let mut archive = open(path)?;
    // As it is written, or as Windows writes it.
    let place = archive.index_for_name(&member.name);
    let place = place.or_else(|| archive.index_for_name(&member.name.replace('/', "\\")));
    let place = place.ok_or_else(|| failed("there is no such member".to_owned()))?;
    let found = archive.by_index(place).map_err(|error| failed(error.to_string()))?;
    let mut bytes = Vec::new();
    // The crate checks the CRC at the member's end, so it is read to there.
    let more = member.size.saturating_add(1);
    found.take(more).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 != member.size {
        return Err(failed("it holds another number of bytes than it announces".to_owned()));
    }
    Ok(bytes)
}

fn open(path: &Path) -> Result<Zip, ArchiveError> {
    let read = |source| ArchiveError::Read { archive: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    zip::ZipArchive::new(BufReader::new(file)).map_err(|error| damaged(path, &error))
}

fn damaged(path: &Path, error: &ZipError) -> ArchiveError {
    ArchiveError::Damaged { archive: path.to_owned(), message: error.to_string() }
}

/// Who made each member.
fn makers(path: &Path, archive: &Zip) -> Result<BTreeMap<Vec<u8>, Maker>, ArchiveError> {
    let names = raw_names(path, archive.central_directory_start(), archive.len())?;
    Ok(names.into_iter().collect())
}

/// The names as they stand in the central directory, one for each record, and
/// whose habits they follow.
fn raw_names(path: &Path, start: u64, most: usize) -> Result<Vec<(Vec<u8>, Maker)>, ArchiveError> {
    const SIGNATURE: &[u8] = b"PK\x01\x02";
    /// Bytes of a record before the name.
    const FIXED: usize = 46;
    /// Where the system stands that made the member, and those of Windows: FAT, HPFS, NTFS, VFAT.
    const SYSTEM: usize = 5;
    const OF_WINDOWS: [u8; 4] = [0, 6, 10, 14];
    let read = |source: io::Error| ArchiveError::Read { archive: path.to_owned(), source };
    let mut file = File::open(path).map_err(read)?;
    file.seek(SeekFrom::Start(start)).map_err(read)?;
    let mut directory = Vec::new();
    file.take(MAX_DIRECTORY).read_to_end(&mut directory).map_err(read)?;
    let mut names = Vec::new();
    let mut rest = &directory[..];
    while rest.starts_with(SIGNATURE) && rest.len() >= FIXED && names.len() <= most {
        let length = |at: usize| usize::from(u16::from_le_bytes([rest[at], rest[at + 1]]));
        let (name, extra, comment) = (length(28), length(30), length(32));
        let Some(record) = rest.get(FIXED..FIXED + name) else { break };
        let maker = if OF_WINDOWS.contains(&rest[SYSTEM]) { Maker::Windows } else { Maker::Unix };
        names.push((record.to_vec(), maker));
        rest = rest.get(FIXED + name + extra + comment..).unwrap_or_default();
    }
    Ok(names)
}
