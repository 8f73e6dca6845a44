//! How much an archive may unpack to.

use std::io;
use std::path::Path;

use super::Fault;

/// Bounds on what is unpacked. The largest official archive (LGG, which holds
/// its tree twice) has 15 724 files of 0.2 MB and packs blank masks 800 times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Members of an archive.
    pub members: usize,
    /// Bytes of one file.
    pub file: u64,
    /// Bytes of all wanted files together.
    pub total: u64,
    /// Unpacked to packed bytes, beyond `floor` bytes unpacked.
    pub ratio: u64,
    /// Unpacked bytes up to which `ratio` does not matter.
    pub floor: u64,
}

impl Limits {
    /// Bounds for unpacking into a folder: all together at most nine tenths of
    /// its free space.
    pub fn for_folder(folder: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(folder)?;
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        Ok(Self::with_total(free / 10 * 9))
    }

    /// The usual bounds with that much space.
    pub fn with_total(total: u64) -> Self {
        Self { members: 200_000, file: 1 << 30, total, ratio: 250, floor: 16 << 20 }
    }

    /// What is wrong with the size of a file.
    pub(super) fn fault(&self, size: u64, packed: Option<u64>) -> Option<Fault> {
        if size > self.file {
            return Some(Fault::TooLarge { size, limit: self.file });
        }
        let packed = packed?;
        (size > self.floor && size > packed.saturating_mul(self.ratio)).then_some(Fault::Ratio {
            size,
            packed,
            limit: self.ratio,
        })
    }
}

/// Bytes for people: `1.5 MiB`.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} bytes") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_blank_files_are_no_bombs_and_large_ones_are() {
        let limits = Limits::with_total(1 << 40);
        assert_eq!(limits.fault(65_670, Some(80)), None);
        assert!(matches!(limits.fault(100 << 20, Some(100_000)), Some(Fault::Ratio { .. })));
        assert!(matches!(limits.fault(2 << 30, None), Some(Fault::TooLarge { .. })));
        assert_eq!((bytes(1536), bytes(12)), ("1.5 KiB".to_owned(), "12 bytes".to_owned()));
    }
}
