//! A mark in the pictures that this program draws for people, so that it never takes
//! one of them for a photo: the text `Software: dygl` behind the header of a PNG.

/// The first bytes of every PNG: its magic and its header chunk.
const HEADER: usize = 8 + 25;
/// The content of the chunk: keyword and text, parted by a zero.
const TEXT: &[u8] = b"Software\0dygl";

/// The PNG with the mark. Bytes that are no PNG are left as they are.
pub fn signed(mut png: Vec<u8>) -> Vec<u8> {
    if png.len() < HEADER || !png.starts_with(b"\x89PNG\r\n\x1a\n") || is_signed(&png) {
        return png;
    }
    let mut chunk = Vec::from((TEXT.len() as u32).to_be_bytes());
    chunk.extend_from_slice(b"tEXt");
    chunk.extend_from_slice(TEXT);
    let mut crc = flate2::Crc::new();
    crc.update(&chunk[4..]);
    chunk.extend_from_slice(&crc.sum().to_be_bytes());
    png.splice(HEADER..HEADER, chunk);
    png
}

/// Whether the bytes begin like a PNG with the mark; the first 64 are enough.
pub fn is_signed(head: &[u8]) -> bool {
    let text = head.get(HEADER + 8..HEADER + 8 + TEXT.len());
    head.starts_with(b"\x89PNG") && text == Some(TEXT)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_signed_picture_is_the_same_picture() {
        let picture = image::RgbImage::from_fn(7, 5, |x, y| image::Rgb([x as u8, y as u8, 9]));
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).expect("encodes");
        let plain = bytes.into_inner();
        let signed_once = signed(plain.clone());
        assert!(!is_signed(&plain) && is_signed(&signed_once[..64]));
        assert_eq!(signed(signed_once.clone()), signed_once);
        // Decoders check the sum of each chunk.
        assert_eq!(image::load_from_memory(&signed_once).expect("decodes").into_rgb8(), picture);
        assert_eq!(signed(b"no PNG".to_vec()), b"no PNG");
    }
}
