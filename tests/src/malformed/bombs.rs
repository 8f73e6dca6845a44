//! Files of a few kilobytes that claim or unpack to hundreds of megabytes.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use tiff::encoder::colortype::RGB8;
use tiff::encoder::{Compression, DeflateLevel, TiffEncoder};

use super::fields::{chunk, chunks, set, set_tiff};
use super::good::{bmp_header, encoded};

/// A side just within the limits: 9400 x 9400 pixels of RGB are 253 MiB.
const LARGE: u32 = 9400;

/// Its name and what makes it.
type Bomb = (&'static str, fn() -> Vec<u8>);

/// In the order of the formats.
pub(super) const ALL: [Bomb; 19] = [
    ("a PNG of the largest size, all black", png_large),
    ("a PNG whose header claims 60000 x 60000", || png_claims(60_000)),
    ("a PNG whose header claims the largest size", || png_claims(LARGE)),
    ("a PNG of 8 x 8 whose data unpack to 253 MiB", png_overlong),
    ("a PNG with a colour profile that unpacks to 253 MiB", || png_extra(b"iCCP", b"p\0\0")),
    ("a PNG with a text that unpacks to 253 MiB", || png_extra(b"zTXt", b"t\0\0")),
    ("a TIFF of the largest size, deflated", || tiff_large(Compression::Deflate(DeflateLevel::Fast))),
    ("a TIFF of the largest size, LZW", || tiff_large(Compression::Lzw)),
    ("a TIFF of the largest size, PackBits", || tiff_large(Compression::Packbits)),
    ("a TIFF in one strip that unpacks to more than it holds", tiff_overlong),
    ("a TIFF of one pixel with 65535 samples", tiff_samples),
    ("a TIFF that claims 2^31 pixels a side", tiff_claims),
    ("a JPEG that claims 65500 x 65500", || jpeg_claims(65_500, 0xC0)),
    ("a JPEG that claims the largest size", || jpeg_claims(LARGE, 0xC0)),
    ("a progressive JPEG that claims the largest size", || jpeg_claims(LARGE, 0xC2)),
    ("a JPEG of the largest size, almost all of it missing", || jpeg_padded(0xC0)),
    ("a progressive JPEG of the largest size, almost all of it missing", || jpeg_padded(0xC2)),
    ("a BMP of the largest size in run lengths, ended at once", bmp_runs),
    ("a BMP that claims the largest size", || bmp_header(LARGE, LARGE, 24, 0, 0)),
];

fn png_large() -> Vec<u8> {
    encoded(&DynamicImage::ImageRgb8(RgbImage::new(LARGE, LARGE)), ImageFormat::Png)
}

fn small_png() -> Vec<u8> {
    encoded(&DynamicImage::ImageRgb8(RgbImage::new(8, 8)), ImageFormat::Png)
}

fn png_claims(side: u32) -> Vec<u8> {
    let mut bytes = small_png();
    set(&mut bytes, "width", side);
    set(&mut bytes, "height", side);
    bytes
}

/// The compressed data of the largest PNG: 253 MiB of zeros.
fn zeros() -> Vec<u8> {
    let large = png_large();
    let data = chunks(&large).into_iter().filter(|data| large[data.start - 4..data.start] == *b"IDAT");
    data.flat_map(|data| large[data].to_vec()).collect()
}

fn png_overlong() -> Vec<u8> {
    let (small, end) = (small_png(), chunk(b"IEND", &[]));
    [&small[..33], &chunk(b"IDAT", &zeros()), &end].concat()
}

fn png_extra(kind: &[u8; 4], head: &[u8]) -> Vec<u8> {
    let small = small_png();
    [&small[..33], &chunk(kind, &[head, &zeros()].concat()), &small[33..]].concat()
}

fn tiff_of(side: u32, rows_per_strip: u32, compression: Compression) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).expect("a header").with_compression(compression);
    let mut image = encoder.new_image::<RGB8>(side, side).expect("an image");
    image.rows_per_strip(rows_per_strip).expect("strips");
    image.write_data(&vec![0; 3 * side as usize * side as usize]).expect("pixels");
    bytes.into_inner()
}

fn tiff_large(compression: Compression) -> Vec<u8> {
    tiff_of(LARGE, 100, compression)
}

fn tiff_overlong() -> Vec<u8> {
    let mut bytes = tiff_of(4000, 4000, Compression::Deflate(DeflateLevel::Fast));
    set_tiff(&mut bytes, 256, 8);
    set_tiff(&mut bytes, 257, 8);
    bytes
}

fn tiff_samples() -> Vec<u8> {
    let mut bytes = encoded(&DynamicImage::ImageLuma8(GrayImage::new(1, 1)), ImageFormat::Tiff);
    set_tiff(&mut bytes, 277, 65_535);
    bytes
}

fn tiff_claims() -> Vec<u8> {
    let mut bytes = encoded(&DynamicImage::ImageLuma8(GrayImage::new(4, 4)), ImageFormat::Tiff);
    set_tiff(&mut bytes, 256, 1 << 31);
    set_tiff(&mut bytes, 257, 1 << 31);
    bytes
}

fn jpeg_claims(side: u32, kind: u8) -> Vec<u8> {
    let mut bytes = encoded(&DynamicImage::ImageRgb8(RgbImage::new(16, 16)), ImageFormat::Jpeg);
    set(&mut bytes, "width", side);
    set(&mut bytes, "height", side);
    let frame = bytes.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a frame header");
    bytes[frame + 1] = kind;
    bytes
}

/// As many bytes as the pixels need at least, but behind the end.
fn jpeg_padded(kind: u8) -> Vec<u8> {
    let mut bytes = jpeg_claims(LARGE, kind);
    bytes.resize(LARGE as usize * LARGE as usize / 512 + 1, 0);
    bytes
}

fn bmp_runs() -> Vec<u8> {
    let mut bytes = bmp_header(LARGE, LARGE, 8, 1, 256);
    bytes.extend([0; 4 * 256]);
    // One run, then the end of the bitmap.
    bytes.extend([255, 1, 0, 1]);
    bytes
}
