//! The files that damage is done to: crafted ones of every kind that the
//! datasets come in, and real ones where they are at hand.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};

use super::fields;

/// A sound file.
pub struct Good {
    /// For messages: a crafted file's name, a real file's path.
    pub name: String,
    /// The file as a whole.
    pub bytes: Vec<u8>,
}

const SIDE: (u32, u32) = (45, 31);

/// JPEG; PNG in colour, with alpha, with a palette, grey of 8 and 16 bits; BMP of 1, 8 and 24
/// bits; TIFF in colour, grey, and in colour tagged as grey.
pub fn crafted() -> Vec<Good> {
    let colours = RgbImage::from_fn(SIDE.0, SIDE.1, |x, y| Rgb([x as u8 * 5, y as u8 * 8, (x * y) as u8]));
    let clear = RgbaImage::from_fn(SIDE.0, SIDE.1, |x, y| Rgba([x as u8 * 5, y as u8, 70, 255]));
    let inside = |x: u32, y: u32| (x + y) % 23 < 11;
    let grey = GrayImage::from_fn(SIDE.0, SIDE.1, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]));
    let deep: ImageBuffer<Luma<u16>, _> =
        ImageBuffer::from_fn(SIDE.0, SIDE.1, |x, y| Luma([if inside(x, y) { 300 + x as u16 } else { 0 }]));
    let colours = DynamicImage::ImageRgb8(colours);
    let grey = DynamicImage::ImageLuma8(grey);
    let mut files = vec![
        ("colour.jpg", encoded(&colours, ImageFormat::Jpeg)),
        ("grey.jpg", encoded(&grey, ImageFormat::Jpeg)),
        ("colour.png", encoded(&colours, ImageFormat::Png)),
        ("alpha.png", encoded(&DynamicImage::ImageRgba8(clear), ImageFormat::Png)),
        ("grey.png", encoded(&grey, ImageFormat::Png)),
        ("labels16.png", encoded(&DynamicImage::ImageLuma16(deep), ImageFormat::Png)),
        ("colour.bmp", encoded(&colours, ImageFormat::Bmp)),
        ("palette.bmp", encoded(&grey, ImageFormat::Bmp)),
        ("bits.bmp", one_bit_bmp(SIDE.0, SIDE.1, inside)),
        ("colour.tif", encoded(&colours, ImageFormat::Tiff)),
        ("grey.tif", encoded(&grey, ImageFormat::Tiff)),
    ];
    let mut tagged = encoded(&colours, ImageFormat::Tiff);
    fields::set_tiff(&mut tagged, fields::PHOTOMETRIC, 1);
    files.push(("colour-tagged-grey.tif", tagged));
    // Grey values become places in a palette, which stands before the pixels.
    let plain = encoded(&grey, ImageFormat::Png);
    let palette: Vec<u8> = (0..=255).flat_map(|value| [value, 255 - value, 9]).collect();
    let mut placed = [&plain[..33], &fields::chunk(b"PLTE", &palette), &plain[33..]].concat();
    fields::set(&mut placed, "colour type", 3);
    files.push(("palette.png", placed));
    files.into_iter().map(|(name, bytes)| Good { name: name.to_owned(), bytes }).collect()
}

pub(super) fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("encodes");
    bytes.into_inner()
}

/// A bitmap of two colours, rows from the bottom, each filled up to 32 bits.
fn one_bit_bmp(width: u32, height: u32, inside: impl Fn(u32, u32) -> bool) -> Vec<u8> {
    let stride = width.div_ceil(32) * 4;
    let mut bytes = bmp_header(width, height, 1, 0, 2);
    bytes.extend([0, 0, 0, 0, 255, 255, 255, 0]);
    for y in (0..height).rev() {
        let mut row = vec![0u8; stride as usize];
        for x in (0..width).filter(|x| inside(*x, y)) {
            row[(x / 8) as usize] |= 0x80 >> (x % 8);
        }
        bytes.extend(row);
    }
    bytes
}

/// File and info header of a bitmap whose pixels follow the palette.
pub(super) fn bmp_header(width: u32, height: u32, bits: u16, compression: u32, colours: u32) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    for number in [0, 0, 54 + 4 * colours, 40, width, height] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(1u16.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    for number in [compression, 0, 2835, 2835, colours, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes
}

/// One image and one mask of each real dataset below `folder`, and the
/// original TIFFs of CVC-ClinicDB.
pub fn real(folder: &Path) -> Vec<Good> {
    let mut found = Vec::new();
    for folder in [
        "kvasir-seg/images",
        "kvasir-seg/masks",
        "kvasir-seg-352/test/images",
        "kvasir-seg-352/test/masks",
        "cvc-clinicdb/images",
        "cvc-clinicdb/masks",
        "cvc-clinicdb/tif_sample/Original",
        "cvc-clinicdb/tif_sample/Ground Truth",
        "lgg-mri/images",
        "lgg-mri/masks",
        "isic2016-ids-512/images",
        "isic2016-ids-512/masks",
        "ph2/images",
        "ph2/masks",
        "glas/images",
        "glas/masks",
        "tnbc/images",
        "tnbc/masks",
    ]
    .map(|name| folder.join(name))
    {
        let mut files: Vec<PathBuf> =
            fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.sort();
        if let Some(path) = files.into_iter().find(|path| path.is_file()) {
            let bytes = fs::read(&path).expect("readable");
            found.push(Good { name: path.to_string_lossy().into_owned(), bytes });
        }
    }
    found
}
