//! What the containers of PNG, GIF and WebP say beside the first picture: how
//! many there are, and an orientation tag. Their blocks are stepped over, none
//! is unpacked.

/// Pictures of a PNG's animation, 1 without one.
pub(super) fn of_png(bytes: &[u8]) -> usize {
    let count = png_chunk(bytes, b"acTL").and_then(|data| data.first_chunk::<4>());
    count.map_or(1, |count| u32::from_be_bytes(*count) as usize).max(1)
}

/// The EXIF block of a PNG, which may stand before its pixels or behind them.
pub(super) fn exif_of_png(bytes: &[u8]) -> Option<&[u8]> {
    let data = png_chunk(bytes, b"eXIf")?;
    // Some programs leave the prefix that JPEG needs.
    Some(data.strip_prefix(b"Exif\0\0").unwrap_or(data))
}

/// The data of the first chunk of a kind.
fn png_chunk<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    let mut rest = bytes.get(8..)?;
    loop {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let (found, behind) = behind.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length) as usize;
        let data = behind.get(..length)?;
        if found == kind {
            return Some(data);
        }
        rest = behind.get(length.checked_add(4)?..)?;
    }
}

/// Pictures of a GIF, 1 at least.
pub(super) fn of_gif(bytes: &[u8]) -> usize {
    let mut frames = 0;
    // Signature, screen, and the table of colours where a bit says so.
    let mut at = 13 + bytes.get(10).map_or(0, |flags| table(*flags));
    while let Some(kind) = bytes.get(at) {
        at += 1;
        match kind {
            0x21 => at += 1,
            0x2C => {
                frames += 1;
                let Some(flags) = bytes.get(at + 8) else { break };
                // Place and size, the table, and the width of the codes.
                at += 9 + table(*flags) + 1;
            }
            _ => break,
        }
        while let Some(length) = bytes.get(at) {
            at += 1 + usize::from(*length);
            if *length == 0 {
                break;
            }
        }
    }
    frames.max(1)
}

/// Bytes of a GIF's table of colours.
fn table(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// Pictures of a WebP, 1 at least.
pub(super) fn of_webp(bytes: &[u8]) -> usize {
    let (mut frames, mut rest) = (0, bytes.get(12..).unwrap_or_default());
    while let Some((kind, behind)) = rest.split_first_chunk::<4>()
        && let Some((length, behind)) = behind.split_first_chunk::<4>()
    {
        frames += usize::from(kind == b"ANMF");
        let length = u32::from_le_bytes(*length) as usize;
        // Blocks begin at even places.
        rest = length.checked_add(length & 1).and_then(|length| behind.get(length..)).unwrap_or_default();
    }
    frames.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_a_gif_are_counted_past_tables_and_extensions() {
        let frame = [&[0x2C, 0, 0, 0, 0, 1, 0, 1, 0, 0x80][..], &[9; 6], &[2, 2, 0x44, 1, 0]].concat();
        let extension = [0x21, 0xF9, 4, 0, 0, 0x2C, 0, 0];
        let head = [&b"GIF89a\x01\0\x01\0\x80\0\0"[..], &[7; 6]].concat();
        let of = |parts: &[&[u8]]| of_gif(&[&head[..], &parts.concat(), &[0x3B]].concat());
        assert_eq!(of(&[&frame]), 1);
        assert_eq!(of(&[&extension, &frame, &extension, &frame, &frame]), 3);
        assert_eq!((of_gif(b"GIF89a"), of_gif(b"")), (1, 1));
    }

    #[test]
    fn frames_of_a_webp_are_its_blocks() {
        let block = |kind: &[u8; 4], data: &[u8]| {
            let padding = &[0][..data.len() % 2];
            [kind, &(data.len() as u32).to_le_bytes()[..], data, padding].concat()
        };
        let of = |parts: &[Vec<u8>]| of_webp(&[&b"RIFF\0\0\0\0WEBP"[..], &parts.concat()].concat());
        assert_eq!(of(&[block(b"VP8L", &[1, 2, 3])]), 1);
        assert_eq!(of(&[block(b"ANIM", &[0; 6]), block(b"ANMF", &[1; 17]), block(b"ANMF", &[1; 16])]), 2);
    }

    #[test]
    fn no_bytes_keep_it_busy() {
        for length in [0, 1, 12, 13, 5000] {
            for byte in [0, 0x21, 0x2C, 0xFF] {
                let bytes = vec![byte; length];
                assert!(of_png(&bytes) >= 1 && of_webp(&bytes) >= 1 && of_gif(&bytes) >= 1);
                assert_eq!(exif_of_png(&bytes), None);
            }
        }
    }
}
