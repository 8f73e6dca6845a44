//! Formats, refusals, and what holds for every sequence of bytes: an answer,
//! never a panic.

mod kinds;
mod levels;

use std::sync::LazyLock;

use dygl_testing::draws;
use image::{ImageBuffer, Luma, Rgb, Rgba};
use proptest::prelude::*;

use super::*;

/// As an image whose range nobody states.
fn rgb(bytes: &[u8], path: &Path) -> Result<RgbImage, PixelError> {
    super::rgb(bytes, path, ImageRule::default()).map(|decoded| decoded.pixels)
}

fn mask(bytes: &[u8], path: &Path, rule: MaskRule) -> Result<GrayImage, PixelError> {
    super::mask(bytes, path, rule).map(|decoded| decoded.pixels)
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("encodes");
    bytes.into_inner()
}

fn colours() -> RgbImage {
    RgbImage::from_fn(9, 7, |x, y| Rgb([x as u8 * 20, y as u8 * 30, (x * y) as u8]))
}

#[test]
fn content_decides_and_not_the_name() {
    let image = DynamicImage::ImageRgb8(colours());
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff] {
        let decoded = rgb(&encoded(&image, format), Path::new("image.jpg")).expect("decodes");
        assert_eq!(decoded, colours(), "{format:?}");
    }
    assert!(rgb(&encoded(&image, ImageFormat::Jpeg), Path::new("image.png")).is_ok());
}

#[test]
fn instance_labels_of_16_bits_become_0_and_255() {
    let labels: ImageBuffer<Luma<u16>, _> =
        ImageBuffer::from_fn(3, 1, |x, _| Luma([[0, 1, 300][x as usize]]));
    let bytes = encoded(&DynamicImage::ImageLuma16(labels), ImageFormat::Png);
    let mask = mask(&bytes, Path::new("m.png"), MaskRule::Instances).expect("decodes");
    assert_eq!(mask.into_raw(), [0, 255, 255]);
}

#[test]
fn grey_masks_keep_their_values() {
    let rule = MaskRule::Grey { above: 127 };
    let grey = GrayImage::from_fn(256, 1, |x, _| Luma([x as u8]));
    let path = Path::new("m.png");
    let single = encoded(&DynamicImage::ImageLuma8(grey.clone()), ImageFormat::Png);
    assert_eq!(mask(&single, path, rule).expect("decodes"), grey);
    let triple = encoded(
        &DynamicImage::ImageRgb8(DynamicImage::ImageLuma8(grey.clone()).into_rgb8()),
        ImageFormat::Bmp,
    );
    assert_eq!(mask(&triple, path, rule).expect("decodes"), grey);
}

#[test]
fn bombs_are_refused_before_memory_is_taken() {
    // A PNG header that claims 60000 x 60000 pixels.
    let mut bytes = encoded(&DynamicImage::ImageRgb8(colours()), ImageFormat::Png);
    bytes[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
    let mut crc = !0u32;
    for byte in &bytes[12..29] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    bytes[29..33].copy_from_slice(&(!crc).to_be_bytes());
    let error = rgb(&bytes, Path::new("bomb.png")).expect_err("refused");
    assert!(matches!(error, PixelError::TooLarge { width: 60_000, .. }), "{error}");
}

#[test]
fn what_is_no_picture_is_told_with_its_name() {
    for (bytes, told) in [
        (&b"no image"[..], "no picture of a format that is read"),
        (b"", "it is empty (0 bytes)"),
        (b"qoif\0\0\0\x01", "it is a QOI picture, which is not read"),
    ] {
        let error = rgb(bytes, Path::new("a/b.png")).expect_err("refused").to_string();
        assert!(error.starts_with("a/b.png: does not decode: ") && error.contains(told), "{error}");
        assert!(error.contains("(PNG, JPEG, BMP, TIFF, GIF, WebP"), "{error}");
    }
}

#[test]
fn a_jpeg_cut_short_is_refused_at_every_length() {
    let whole = encoded(&DynamicImage::ImageRgb8(colours()), ImageFormat::Jpeg);
    for length in 0..whole.len() {
        let error = rgb(&whole[..length], Path::new("x.jpg")).expect_err("refused");
        assert!(matches!(error, PixelError::Decode { .. }), "{length}: {error}");
    }
    let mut followed = whole.clone();
    followed.extend(b"trailing bytes");
    assert_eq!(
        rgb(&followed, Path::new("x.jpg")).expect("decodes"),
        rgb(&whole, Path::new("x")).expect("decodes")
    );
}

/// The decoder has code of its own for AVX2 and for Neon; what it gives must not
/// depend on that. The digests are of both its ways on x86 (see `make.py` there).
/// A change here moves every result of a dataset of JPEGs.
#[test]
fn the_pixels_of_a_jpeg_are_frozen() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/decode");
    for (name, expected) in [
        ("444", "800bbf5442c1bc43"),
        ("422", "08682a64386d1426"),
        ("420", "8c5684aed869e27d"),
        ("420-progressive", "2380bde8caea75ca"),
        ("grey", "78bafa2f9134639a"),
    ] {
        let path = folder.join(format!("{name}.jpg"));
        let decoded = rgb(&std::fs::read(&path).expect("golden"), &path).expect("decodes");
        assert_eq!(decoded.dimensions(), (61, 45));
        assert_eq!(blake3::hash(decoded.as_raw()).to_hex()[..16], *expected, "{name}");
    }
}

#[test]
fn a_panic_of_a_decoder_is_an_error() {
    let path = Path::new("a.tif");
    let told = |work: fn() -> Result<u8, PixelError>| guarded(path, work).expect_err("caught").to_string();
    let text = told(|| panic!("never"));
    assert_eq!(text, "a.tif: does not decode: the decoder gave up: never");
    let text = told(|| panic!("index {} is out of range", [3].len()));
    assert_eq!(text, "a.tif: does not decode: the decoder gave up: index 1 is out of range");
    assert_eq!(guarded(path, || Ok(7)).expect("passed on"), 7);
}

#[test]
fn the_official_tiffs_hold_the_pixels_of_the_pngs() {
    let Some(shared) = dygl_testing::shared_data() else { return };
    let root = shared.join("cvc-clinicdb");
    let rule = MaskRule::Grey { above: 127 };
    let mut compared = 0;
    for entry in std::fs::read_dir(root.join("tif_sample/Original")).expect("folder") {
        let tif = entry.expect("entry").path();
        let stem = tif.file_stem().and_then(|s| s.to_str()).expect("UTF-8").to_owned();
        let png = root.join(format!("images/{stem}.png"));
        let bytes = |path: &Path| std::fs::read(path).expect("readable");
        let image = rgb(&bytes(&tif), &tif).expect("decodes");
        assert_eq!(image.dimensions(), (384, 288));
        let truth = root.join(format!("tif_sample/Ground Truth/{stem}.tif"));
        let truth = mask(&bytes(&truth), &truth, rule).expect("decodes");
        if png.exists() {
            assert_eq!(image, rgb(&bytes(&png), &png).expect("decodes"), "{stem}");
            let png = root.join(format!("masks/{stem}.png"));
            assert_eq!(truth, mask(&bytes(&png), &png, rule).expect("decodes"), "{stem}");
            compared += 1;
        }
    }
    assert!(compared > 0);
}

const ALL: [ImageFormat; 6] = [
    ImageFormat::Png,
    ImageFormat::Jpeg,
    ImageFormat::Bmp,
    ImageFormat::Tiff,
    ImageFormat::Gif,
    ImageFormat::WebP,
];

/// Files of every format and depth that the datasets come in, small.
static GOOD: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let colours = RgbImage::from_fn(19, 13, |x, y| Rgb([x as u8 * 12, y as u8 * 17, (x * y) as u8]));
    let grey = GrayImage::from_fn(19, 13, |x, y| Luma([if x > y { 255 } else { 3 }]));
    let deep: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_fn(19, 13, |x, y| Luma([(x * y * 300) as u16]));
    let clear = image::RgbaImage::from_fn(19, 13, |x, y| Rgba([x as u8, y as u8, 9, 255]));
    let pictures = [
        DynamicImage::ImageRgb8(colours),
        DynamicImage::ImageLuma8(grey),
        DynamicImage::ImageLuma16(deep),
        DynamicImage::ImageRgba8(clear),
    ];
    let mut files = Vec::new();
    for format in ALL {
        for picture in &pictures {
            let mut bytes = Cursor::new(Vec::new());
            // Not every format has every depth.
            if picture.write_to(&mut bytes, format).is_ok() {
                files.push(bytes.into_inner());
            }
        }
    }
    files
});

/// Both ways of decoding: each gives a picture within the limits, or an error
/// that begins with the file's name.
fn answers(bytes: &[u8]) -> Result<(), TestCaseError> {
    let path = Path::new("a folder/x.png");
    let error = match rgb(bytes, path) {
        Ok(image) => {
            prop_assert!(image.width() > 0 && image.height() > 0);
            prop_assert!(image.width() <= MAX_SIDE && image.height() <= MAX_SIDE);
            None
        }
        Err(error) => Some(error),
    };
    for rule in [MaskRule::Grey { above: 127 }, MaskRule::Instances] {
        match (mask(bytes, path, rule), &error) {
            (Ok(mask), None) => prop_assert!(mask.width() > 0),
            (Err(PixelError::Unfit { .. }), _) | (_, Some(PixelError::Unfit { .. })) => {}
            (Err(told), Some(error)) => prop_assert_eq!(told.to_string(), error.to_string()),
            (mask, error) => prop_assert!(false, "{:?} but {:?}", mask.map(|m| m.dimensions()), error),
        }
    }
    if let Some(error) = error {
        prop_assert!(error.to_string().starts_with("a folder/x.png: "), "{}", error);
        let is_ours = matches!(
            error,
            PixelError::Decode { .. } | PixelError::Unfit { .. } | PixelError::TooLarge { .. }
        );
        prop_assert!(is_ours, "{}", error);
    }
    Ok(())
}

#[test]
fn the_undamaged_files_decode() {
    assert!(GOOD.len() >= 12, "{}", GOOD.len());
    for file in GOOD.iter() {
        assert_eq!(rgb(file, Path::new("x")).expect("decodes").dimensions(), (19, 13));
    }
}

proptest! {
    #![proptest_config(draws(10_000))]

    #[test]
    fn any_bytes(
        magic in prop::sample::select(vec![
            &b""[..], b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0",
            b"GIF89a", b"RIFF\x40\0\0\0WEBPVP8X",
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        answers(&[magic, &rest].concat())?;
    }

    #[test]
    fn a_cut_and_a_few_changed_bytes(
        file in any::<prop::sample::Index>(),
        length in any::<prop::sample::Index>(),
        keep in prop::bool::weighted(0.6),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut bytes = GOOD[file.index(GOOD.len())].clone();
        if !keep {
            bytes.truncate(length.index(bytes.len()) + 1);
        }
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        answers(&bytes)?;
    }

    #[test]
    fn header_numbers_of_any_size(
        file in any::<prop::sample::Index>(),
        place in 0usize..120,
        number in prop::sample::select(vec![0u32, 1, 2, 3, 7, 255, 256, 32767, 65535, 65536, 1 << 24, 1 << 31, u32::MAX]),
        width in prop::sample::select(vec![1usize, 2, 4]),
        big_endian in any::<bool>(),
    ) {
        let mut bytes = GOOD[file.index(GOOD.len())].clone();
        let number = if big_endian { number.to_be_bytes()[4 - width..].to_vec() } else { number.to_le_bytes()[..width].to_vec() };
        let place = place.min(bytes.len() - width);
        bytes[place..place + width].copy_from_slice(&number);
        answers(&bytes)?;
    }

    #[test]
    fn two_files_spliced(
        first in any::<prop::sample::Index>(),
        second in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
    ) {
        let (first, second) = (&GOOD[first.index(GOOD.len())], &GOOD[second.index(GOOD.len())]);
        let (at, from) = (at.index(first.len()), from.index(second.len()));
        answers(&[&first[..at], &second[from..]].concat())?;
    }
}
