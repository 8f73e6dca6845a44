//! Whether a JPEG stream is whole. Decoders fill what is missing with grey;
//! half an image beside a whole mask would train quietly.
//!
//! What is damaged within the coded data cannot be told from a picture: that
//! is what the hashes of registered files are for.

/// Start of a scan, whose coded data follow.
const SCAN: u8 = 0xDA;
const END: u8 = 0xD9;

/// Walks from marker to marker up to the end of the image. Embedded previews
/// lie within segments and are stepped over, bytes behind the end do not count.
///
/// # Errors
/// The stream ends before the image does; the text says so.
pub(super) fn ends(bytes: &[u8]) -> Result<(), String> {
    let cut = || format!("the JPEG stream of {} bytes is cut short: it has no end marker", bytes.len());
    // Behind the start of the image, which is how it was recognised.
    let mut at = 2;
    loop {
        let marker = next_marker(bytes, &mut at).ok_or_else(cut)?;
        if marker == END {
            return Ok(());
        }
        if has_length(marker) {
            let length = bytes.get(at..at + 2).ok_or_else(cut)?;
            at += usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
        }
        if marker == SCAN {
            skip_coded(bytes, &mut at);
        }
    }
}

/// Most pixels that a byte can code: a block of 8 x 8 takes a bit at least.
const DENSEST: u64 = 8 * 64;

/// Whether the stream is long enough for a size at all.
///
/// # Errors
/// It is not; the text says so.
pub(super) fn holds(bytes: &[u8], width: u32, height: u32) -> Result<(), String> {
    if u64::from(width) * u64::from(height) <= DENSEST * bytes.len() as u64 {
        return Ok(());
    }
    Err(format!("the JPEG stream of {} bytes is too short for {width}x{height} pixels", bytes.len()))
}

/// The next marker, behind which `at` is left; bytes that are none are skipped,
/// as decoders do.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        let from = bytes.get(*at..)?;
        *at += from.iter().position(|byte| *byte == 0xFF)? + 1;
        match bytes.get(*at)? {
            // Fill bytes may stand before a marker; 0 is none.
            0xFF => {}
            0x00 => *at += 1,
            marker => {
                *at += 1;
                return Some(*marker);
            }
        }
    }
}

/// Moves to the marker that ends coded data: not a stuffed 0, not a restart.
fn skip_coded(bytes: &[u8], at: &mut usize) {
    while let Some(from) = bytes.get(*at..)
        && let Some(found) = from.iter().position(|byte| *byte == 0xFF)
    {
        *at += found;
        match bytes.get(*at + 1) {
            Some(0x00 | 0xD0..=0xD7) => *at += 2,
            Some(0xFF) => *at += 1,
            _ => return,
        }
    }
    *at = bytes.len();
}

/// Whether a segment's length follows: not for restarts, starts and TEM.
fn has_length(marker: u8) -> bool {
    !matches!(marker, 0x01 | 0xD0..=0xD8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A preview with its own end inside a segment, coded data with a stuffed
    /// byte, a restart and fill bytes.
    const WHOLE: &[u8] = &[
        0xFF, 0xD8, 0xFF, 0xE1, 0, 6, 0xFF, 0xD8, 0xFF, 0xD9, 0xFF, 0xDA, 0, 4, 1, 2, 7, 0xFF, 0, 8, 0xFF,
        0xD3, 9, 0xFF, 0xFF, 0xD9,
    ];

    #[test]
    fn only_the_images_own_end_counts() {
        assert_eq!(ends(WHOLE), Ok(()));
        for length in 2..WHOLE.len() {
            let error = ends(&WHOLE[..length]).expect_err("cut");
            assert!(error.contains(&format!("{length} bytes is cut short")), "{error}");
        }
        assert_eq!(ends(&[WHOLE, b"behind"].concat()), Ok(()));
    }

    #[test]
    fn a_few_bytes_hold_a_few_pixels() {
        assert_eq!(holds(&[0; 100], 512, 100), Ok(()));
        let error = holds(&[0; 100], 512, 101).expect_err("too short");
        assert_eq!(error, "the JPEG stream of 100 bytes is too short for 512x101 pixels");
    }

    #[test]
    fn no_bytes_keep_it_busy() {
        for length in [0, 1, 0xFFFF] {
            assert!(ends(&vec![0xFF; length]).is_err());
            assert!(ends(&[&[0xFF, 0xD8], &vec![0; length][..]].concat()).is_err());
        }
    }
}
