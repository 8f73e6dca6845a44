//! Where the numbers of a header stand, in each format, and how to set them.

use std::ops::Range;

/// TIFF's tag that says what samples mean.
pub(super) const PHOTOMETRIC: u16 = 262;

/// A number in a file.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) at: usize,
    /// Bytes: 1, 2 or 4.
    pub(super) width: usize,
    big_endian: bool,
}

impl Field {
    /// The values that break things; `length` is that of the file.
    pub(super) fn extremes(&self, length: usize) -> Vec<u32> {
        match self.width {
            1 => vec![0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 32, 64, 127, 128, 255],
            2 => vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 255, 256, 32767, 32768, 32773, 65500, 65535],
            _ => {
                let length = u32::try_from(length).unwrap_or(u32::MAX);
                let near = [length - 1, length, length + 1];
                let fixed = [0, 1, 2, 255, 9400, 65535, 65536, 1 << 20, 0x7FFF_FFFF, 1 << 31, u32::MAX];
                fixed.into_iter().chain(near).collect()
            }
        }
    }

    pub(super) fn put(&self, bytes: &mut [u8], value: u32) {
        if let Some(into) = bytes.get_mut(self.at..self.at + self.width) {
            let number = value.to_be_bytes();
            into.copy_from_slice(&number[4 - self.width..]);
            if !self.big_endian {
                into.reverse();
            }
        }
    }
}

/// The fields of a file, by its format.
pub(super) fn of(bytes: &[u8]) -> Vec<Field> {
    match bytes {
        [0x89, b'P', ..] => png(bytes),
        [0xFF, 0xD8, ..] => jpeg(bytes),
        [b'B', b'M', ..] => bmp(),
        _ => tiff(bytes),
    }
}

/// Sets a field by its name.
pub(super) fn set(bytes: &mut [u8], name: &str, value: u32) {
    let field = of(bytes).into_iter().find(|field| field.name == name).expect("a field of the format");
    field.put(bytes, value);
    mend(bytes);
}

/// Sets the value of a TIFF tag that holds one short or long.
pub(super) fn set_tiff(bytes: &mut [u8], tag: u16, value: u32) {
    set(bytes, &format!("tag {tag} value"), value);
}

/// Puts checksums right, so that damage gets past them.
pub(super) fn mend(bytes: &mut [u8]) {
    if bytes.starts_with(b"\x89PNG") {
        for data in chunks(bytes) {
            let sum = crc(&bytes[data.start - 4..data.end]);
            bytes[data.end..data.end + 4].copy_from_slice(&sum.to_be_bytes());
        }
    }
}

/// The data of each chunk that is there as a whole.
pub(super) fn chunks(bytes: &[u8]) -> Vec<Range<usize>> {
    let (mut found, mut at) = (Vec::new(), 8);
    while let Some(head) = bytes.get(at..at + 8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let data = at + 8..(at + 8).saturating_add(length);
        if data.end.saturating_add(4) > bytes.len() {
            break;
        }
        at = data.end + 4;
        found.push(data);
    }
    found
}

/// A chunk of a PNG, whole.
pub(super) fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let named = [&kind[..], data].concat();
    let length = u32::try_from(data.len()).expect("a small chunk");
    [&length.to_be_bytes()[..], &named, &crc(&named).to_be_bytes()].concat()
}

/// CRC-32 as PNG takes it over name and data of a chunk.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg()))
    })
}

fn png(bytes: &[u8]) -> Vec<Field> {
    let field = |name: &str, at, width| Field { name: name.to_owned(), at, width, big_endian: true };
    let mut fields = vec![
        field("width", 16, 4),
        field("height", 20, 4),
        field("bit depth", 24, 1),
        field("colour type", 25, 1),
        field("compression", 26, 1),
        field("filter", 27, 1),
        field("interlace", 28, 1),
    ];
    for data in chunks(bytes) {
        fields.push(field(&format!("length of the chunk at {}", data.start - 8), data.start - 8, 4));
        // The head of compressed data.
        fields.push(field(&format!("first byte of the chunk at {}", data.start - 8), data.start, 1));
    }
    fields
}

fn jpeg(bytes: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut push =
        |name: String, at: usize, width: usize| fields.push(Field { name, at, width, big_endian: true });
    let mut at = 2;
    while let Some([0xFF, marker, high, low]) = bytes.get(at..at + 4) {
        let (marker, length) = (*marker, usize::from(u16::from_be_bytes([*high, *low])));
        push(format!("marker at {at}"), at + 1, 1);
        push(format!("length of the segment {marker:02X} at {at}"), at + 2, 2);
        let data = at + 4;
        match marker {
            0xC0..=0xC2 => {
                push("precision".into(), data, 1);
                push("height".into(), data + 1, 2);
                push("width".into(), data + 3, 2);
                push("components".into(), data + 5, 1);
                push("sampling".into(), data + 7, 1);
                push("quantisation table".into(), data + 8, 1);
            }
            0xC4 | 0xDB | 0xDA => push(format!("first byte of the segment {marker:02X} at {at}"), data, 1),
            _ => {}
        }
        at = data + length.saturating_sub(2);
        if marker == 0xDA {
            break;
        }
    }
    fields
}

fn bmp() -> Vec<Field> {
    [
        ("file size", 2, 4),
        ("offset of the pixels", 10, 4),
        ("size of the header", 14, 4),
        ("width", 18, 4),
        ("height", 22, 4),
        ("planes", 26, 2),
        ("bits", 28, 2),
        ("compression", 30, 4),
        ("image size", 34, 4),
        ("colours", 46, 4),
    ]
    .map(|(name, at, width)| Field { name: name.to_owned(), at, width, big_endian: false })
    .to_vec()
}

fn tiff(bytes: &[u8]) -> Vec<Field> {
    let big_endian = bytes.starts_with(b"MM");
    let number = |at: usize, width: usize| -> Option<usize> {
        let taken = bytes.get(at..at + width)?;
        let push = |sum: usize, byte: &u8| (sum << 8) | usize::from(*byte);
        Some(if big_endian { taken.iter().fold(0, push) } else { taken.iter().rev().fold(0, push) })
    };
    let field = |name: String, at, width| Field { name, at, width, big_endian };
    let mut fields = vec![field("offset of the directory".into(), 4, 4)];
    let Some(directory) = number(4, 4) else { return fields };
    let Some(entries) = number(directory, 2) else { return fields };
    fields.push(field("entries".into(), directory, 2));
    for entry in 0..entries.min(64) {
        let at = directory + 2 + 12 * entry;
        let (Some(tag), Some(kind)) = (number(at, 2), number(at + 2, 2)) else { break };
        fields.push(field(format!("tag {tag} kind"), at + 2, 2));
        fields.push(field(format!("tag {tag} count"), at + 4, 4));
        let width = if kind == 3 { 2 } else { 4 };
        fields.push(field(format!("tag {tag} value"), at + 8, width));
    }
    fields
}
