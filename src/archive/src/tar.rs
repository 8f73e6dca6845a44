//! tar, plain or gzipped: a stream, read from its start each time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::bufread::MultiGzDecoder;
use tar::EntryType;

use super::{ArchiveError, Census, Fault, Limits, Maker, Member, Watch, Writer};

/// Looks at every member.
pub(super) fn list(
    path: &Path,
    gzipped: bool,
    limits: &Limits,
    watch: Watch<'_>,
) -> Result<Vec<Member>, ArchiveError> {
    let mut census = Census::default();
    let mut count = 0;
    walk(path, gzipped, limits, watch, |entry| {
        count += 1;
        if count > limits.members {
            return Err(ArchiveError::TooMany { archive: path.to_owned(), limit: limits.members });
        }
        let raw = entry.path_bytes().into_owned();
        let shown = String::from_utf8_lossy(&raw).into_owned();
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {
                census.file(&raw, Maker::Unix, entry.size(), None, limits);
            }
            EntryType::Directory => {
                // `tar -C folder .` begins with the folder itself.
                if raw != b"./" && raw != b"." {
                    census.folder(&raw, Maker::Unix);
                }
            }
            EntryType::XGlobalHeader => {}
            EntryType::Symlink | EntryType::Link => census.fault(&shown, Fault::Link),
            _ => census.fault(&shown, Fault::Special),
        }
        Ok(())
    })?;
    census.finish(path)
}

pub(super) fn extract(
    path: &Path,
    gzipped: bool,
    limits: &Limits,
    wanted: &BTreeMap<String, String>,
    writer: &mut Writer<'_>,
) -> Result<(), ArchiveError> {
    let mut written = 0;
    let watch = writer.watch;
    walk(path, gzipped, limits, watch, |entry| {
        let Ok(name) = super::name::checked(&entry.path_bytes(), Maker::Unix) else { return Ok(()) };
        let is_file = matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Continuous);
        if let Some(into) = wanted.get(&name).filter(|_| is_file) {
            let size = entry.size();
            writer.write(into, &name, entry, size)?;
            written += 1;
        }
        Ok(())
    })?;
    if written == wanted.len() { Ok(()) } else { Err(writer.damaged("*", "it changed while it was read")) }
}

/// Goes through the members of the stream.
fn walk(
    path: &Path,
    gzipped: bool,
    limits: &Limits,
    watch: Watch<'_>,
    mut each: impl FnMut(&mut tar::Entry<'_, Gauge<'_, Box<dyn Read>>>) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let read = |source| ArchiveError::Read { archive: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    let packed = file.metadata().map_err(read)?.len();
    let file = BufReader::with_capacity(1 << 16, file);
    let stream: Box<dyn Read> = if gzipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let most = if gzipped { limits.floor.max(packed.saturating_mul(limits.ratio)) } else { u64::MAX };
    let burst = AtomicBool::new(false);
    let gauge = Gauge { stream, left: most, burst: &burst, watch };
    let explain = |error: &io::Error| {
        if watch.stopped() {
            ArchiveError::Stopped
        } else if burst.load(Ordering::Relaxed) {
            let (limit_times, floor) = (limits.ratio, limits.floor);
            ArchiveError::Bomb { archive: path.to_owned(), limit_times, floor }
        } else {
            ArchiveError::Damaged { archive: path.to_owned(), message: error.to_string() }
        }
    };
    let mut archive = tar::Archive::new(gauge);
    let mut any = false;
    for entry in archive.entries().map_err(|e| explain(&e))? {
        let mut entry = entry.map_err(|e| explain(&e))?;
        each(&mut entry)?;
        any = true;
    }
    // The rest of the stream, so that a file cut off behind the last member shows.
    let mut gauge = archive.into_inner();
    io::copy(&mut gauge, &mut io::sink()).map_err(|e| explain(&e))?;
    if any { Ok(()) } else { Err(explain(&io::Error::other("it holds no members; is it a tar archive?"))) }
}

/// Lets a bounded number of bytes through, and stops when it is told to.
struct Gauge<'a, R> {
    stream: R,
    left: u64,
    burst: &'a AtomicBool,
    watch: Watch<'a>,
}

impl<R: Read> Read for Gauge<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.watch.stopped() {
            return Err(io::Error::other("stopped"));
        }
        let got = self.stream.read(into)?;
        match self.left.checked_sub(got as u64) {
            Some(left) => self.left = left,
            None => {
                self.burst.store(true, Ordering::Relaxed);
                return Err(io::Error::other("too many bytes"));
            }
        }
        Ok(got)
    }
}
