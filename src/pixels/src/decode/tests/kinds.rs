//! Every kind of file in which a picture may arrive: depths, layouts of TIFF,
//! animations, orientation tags.

use ::tiff::encoder::colortype::{
    ColorType, Gray8, Gray16, Gray32, Gray32Float, Gray64, Gray64Float, GrayI16, GrayI32, GrayI64, RGB8,
    RGB16, RGB32Float,
};
use ::tiff::encoder::{TiffEncoder, TiffValue};
use ::tiff::tags::{ExtraSamples, Tag};
use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, Frame, ImageEncoder, RgbaImage};

use super::*;

const GREY: MaskRule = MaskRule::Grey { above: 127 };

/// A TIFF of one page, big or classic, with tags of its own.
fn tiff_of<C: ColorType>(
    (width, height): (u32, u32),
    values: &[C::Inner],
    is_big: bool,
    extra: &[ExtraSamples],
    tags: &[(Tag, u16)],
) -> Vec<u8>
where
    [C::Inner]: TiffValue,
{
    let mut bytes = Cursor::new(Vec::new());
    macro_rules! put {
        ($encoder:expr) => {{
            let mut encoder = $encoder.expect("a header");
            let mut image = encoder.new_image::<C>(width, height).expect("an image");
            if !extra.is_empty() {
                image.extra_samples(extra).expect("samples");
            }
            for (tag, value) in tags {
                image.encoder().write_tag(*tag, *value).expect("a tag");
            }
            image.write_data(values).expect("pixels");
        }};
    }
    if is_big {
        put!(TiffEncoder::new_big(&mut bytes))
    } else {
        put!(TiffEncoder::new(&mut bytes))
    }
    bytes.into_inner()
}

fn plain<C: ColorType>(size: (u32, u32), values: &[C::Inner]) -> Vec<u8>
where
    [C::Inner]: TiffValue,
{
    tiff_of::<C>(size, values, false, &[], &[])
}

fn path() -> &'static Path {
    Path::new("a.tif")
}

#[test]
fn big_tiffs_are_read_as_classic_ones() {
    let values: Vec<u8> = (0..12).map(|v| v * 20).collect();
    for is_big in [false, true] {
        let file = tiff_of::<RGB8>((2, 2), &values, is_big, &[], &[]);
        assert_eq!(rgb(&file, path()).expect("decodes").into_raw(), values);
        let file = tiff_of::<Gray8>((4, 3), &values, is_big, &[], &[]);
        assert_eq!(mask(&file, path(), GREY).expect("decodes").into_raw(), values);
        let folder = tempfile::tempdir().expect("folder");
        let place = folder.path().join("x.png");
        std::fs::write(&place, &file).expect("written");
        assert_eq!(dimensions(&place).expect("header"), (4, 3));
    }
}

#[test]
fn labels_of_every_width_are_read() {
    let expected = [0, 255, 255, 0];
    let size = (2, 2);
    for (bits, file) in [
        (8, plain::<Gray8>(size, &[0, 1, 255, 0])),
        (16, plain::<Gray16>(size, &[0, 1, u16::MAX, 0])),
        (32, plain::<Gray32>(size, &[0, 1, u32::MAX, 0])),
        (64, plain::<Gray64>(size, &[0, 1, u64::MAX, 0])),
        (16, plain::<GrayI16>(size, &[0, 1, i16::MAX, 0])),
        (32, plain::<GrayI32>(size, &[0, 1, i32::MAX, 0])),
        (64, plain::<GrayI64>(size, &[0, 1, i64::MAX, 0])),
        (32, plain::<Gray32Float>(size, &[0.0, 1.0, 900.0, 0.0])),
        (64, plain::<Gray64Float>(size, &[0.0, 1.0, 900.0, 0.0])),
    ] {
        let decoded = super::super::mask(&file, path(), MaskRule::Instances).expect("decodes");
        assert_eq!(decoded.facts.depth.bits, bits);
        assert_eq!(decoded.pixels.into_raw(), expected, "{bits}");
    }
}

#[test]
fn float_grey_is_read_like_float_rgb() {
    let values = [0.0f32, 0.25, 0.5, 1.0];
    let triple: Vec<f32> = values.iter().flat_map(|v| [*v; 3]).collect();
    let grey = rgb(&plain::<Gray32Float>((4, 1), &values), path()).expect("decodes");
    assert_eq!(grey, rgb(&plain::<RGB32Float>((4, 1), &triple), path()).expect("decodes"));
    assert_eq!(grey.into_raw()[..6], [0, 0, 0, 64, 64, 64]);
    let file = plain::<RGB32Float>((4, 1), &triple.iter().map(|v| v * 255.0).collect::<Vec<_>>());
    let told = rgb(&file, path()).expect_err("refused").to_string();
    assert!(told.starts_with("a.tif: holds 32-bit float samples up to 255, beyond 0..1"), "{told}");
    let stated = super::super::rgb(&file, path(), ImageRule { white: Some(255.0) }).expect("decodes");
    assert_eq!(stated.pixels.into_raw()[3..6], [64, 64, 64]);
}

#[test]
fn sixteen_bits_are_scaled_by_the_stated_white_in_every_format() {
    let values = [0u16, 1000, 2000, 4000];
    let grey: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_raw(4, 1, values.to_vec()).expect("fits");
    let png = encoded(&DynamicImage::ImageLuma16(grey), ImageFormat::Png);
    let triple: Vec<u16> = values.iter().flat_map(|v| [*v; 3]).collect();
    for file in [png, plain::<Gray16>((4, 1), &values), plain::<RGB16>((4, 1), &triple)] {
        let free = super::super::rgb(&file, path(), ImageRule::default()).expect("decodes");
        assert_eq!(free.pixels.into_raw()[9], 16, "of 65535");
        let dark = free.facts.too_dark(ImageRule::default()).expect("told");
        assert!(dark.contains("4000 of 65535") && dark.contains("white = 4095"), "{dark}");
        let stated = super::super::rgb(&file, path(), ImageRule { white: Some(4000.0) }).expect("decodes");
        assert_eq!(stated.pixels.into_raw().chunks(3).map(|p| p[0]).collect::<Vec<_>>(), [0, 64, 128, 255]);
    }
}

#[test]
fn further_pages_and_channels_are_refused_and_alpha_is_told() {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).expect("a header");
    for page in 0..3u8 {
        encoder.write_image::<Gray8>(2, 1, &[page, page]).expect("a page");
    }
    let pages = bytes.into_inner();
    let told = rgb(&pages, path()).expect_err("refused").to_string();
    assert!(told.starts_with("a.tif: holds 3 pages"), "{told}");
    assert!(mask(&pages, path(), GREY).expect_err("refused").to_string().contains("3 pages"));

    let values: Vec<u8> = (0..8).collect();
    for (extra, is_read) in [
        (ExtraSamples::Unspecified, false),
        (ExtraSamples::AssociatedAlpha, true),
        (ExtraSamples::UnassociatedAlpha, true),
    ] {
        let file = tiff_of::<RGB8>((2, 1), &values, false, &[extra], &[]);
        let decoded = super::super::rgb(&file, path(), ImageRule::default());
        match decoded {
            Ok(decoded) => {
                assert!(is_read && decoded.facts.transparent, "{extra:?}");
                assert_eq!(decoded.pixels.into_raw(), [0, 1, 2, 4, 5, 6]);
            }
            Err(error) => {
                assert!(!is_read, "{error}");
                assert!(
                    error.to_string().contains("4 samples a pixel, and those beyond the third"),
                    "{error}"
                );
            }
        }
    }
    let five = [ExtraSamples::UnassociatedAlpha, ExtraSamples::Unspecified];
    let file = tiff_of::<RGB8>((2, 1), &[0; 10], false, &five, &[]);
    assert!(rgb(&file, path()).expect_err("refused").to_string().contains("5 samples a pixel"));
    let file = tiff_of::<Gray8>((2, 1), &[7, 255, 9, 0], false, &[ExtraSamples::UnassociatedAlpha], &[]);
    assert_eq!(rgb(&file, path()).expect("decodes").into_raw(), [7, 7, 7, 9, 9, 9]);
    let file = tiff_of::<Gray8>((2, 1), &[7, 255, 9, 0], false, &[ExtraSamples::Unspecified], &[]);
    assert!(rgb(&file, path()).expect_err("refused").to_string().contains("2 samples a pixel"));
}

#[test]
fn a_preview_beside_the_picture_is_no_page() {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).expect("a header");
    encoder.write_image::<Gray8>(2, 1, &[4, 5]).expect("a page");
    let mut preview = encoder.new_image::<Gray8>(1, 1).expect("a page");
    preview.encoder().write_tag(Tag::NewSubfileType, 1u32).expect("a tag");
    preview.write_data(&[4]).expect("pixels");
    assert_eq!(mask(&bytes.into_inner(), path(), GREY).expect("decodes").into_raw(), [4, 5]);
}

/// An EXIF block with nothing but the tag.
fn exif(tag: u8) -> Vec<u8> {
    [&b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"[..], &[tag, 0, 0, 0, 0, 0, 0, 0]].concat()
}

/// The pixels that a file holds whose viewer shows `shown` by the tag: as EXIF
/// defines it, by where the first row and the first column are seen.
fn stored_for(shown: &RgbImage, tag: u8) -> RgbImage {
    let (width, height) = shown.dimensions();
    let (w, h) = if tag >= 5 { (height, width) } else { (width, height) };
    RgbImage::from_fn(w, h, |x, y| {
        let (right, down) = (w - 1 - x, h - 1 - y);
        let (x, y) = match tag {
            1 => (x, y),
            2 => (right, y),
            3 => (right, down),
            4 => (x, down),
            5 => (y, x),
            6 => (down, x),
            7 => (down, right),
            _ => (y, right),
        };
        *shown.get_pixel(x, y)
    })
}

#[test]
fn all_eight_orientations_of_every_format_show_the_picture() {
    // A square one too, whose size tells nothing.
    for shown in [colours(), RgbImage::from_fn(8, 8, |x, y| Rgb([x as u8 * 30, y as u8 * 30, 90]))] {
        for tag in 1..=8 {
            let stored = stored_for(&shown, tag);
            let (width, height) = stored.dimensions();
            macro_rules! by {
                ($new:expr) => {{
                    let mut bytes = Vec::new();
                    let mut encoder = $new(&mut bytes);
                    encoder.set_exif_metadata(exif(tag)).expect("takes it");
                    let colour = ExtendedColorType::Rgb8;
                    encoder.write_image(stored.as_raw(), width, height, colour).expect("encodes");
                    bytes
                }};
            }
            let files = [
                (by!(PngEncoder::new), true),
                (by!(WebPEncoder::new_lossless), true),
                (by!(|bytes| JpegEncoder::new_with_quality(bytes, 100)), false),
                (
                    tiff_of::<RGB8>(
                        (width, height),
                        stored.as_raw(),
                        false,
                        &[],
                        &[(Tag::Orientation, u16::from(tag))],
                    ),
                    true,
                ),
            ];
            for (file, is_exact) in files {
                let decoded = super::super::rgb(&file, path(), ImageRule::default()).expect("decodes");
                let told = decoded.facts.format;
                assert_eq!(decoded.facts.orientation, tag, "{told:?}");
                assert_eq!(decoded.pixels.dimensions(), shown.dimensions(), "{told:?} {tag}");
                let off = decoded.pixels.iter().zip(shown.iter()).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(off <= Some(if is_exact { 0 } else { 80 }), "{told:?} {tag}: {off:?}");
                // A mask is turned as an image is, and the header tells the same size.
                let grey = mask(&file, path(), GREY).expect("decodes");
                assert_eq!(grey.dimensions(), shown.dimensions());
                let folder = tempfile::tempdir().expect("folder");
                std::fs::write(folder.path().join("x"), &file).expect("written");
                assert_eq!(dimensions(&folder.path().join("x")).expect("header"), shown.dimensions());
            }
        }
    }
}

#[test]
fn a_tag_behind_the_pixels_of_a_png_or_of_nonsense_is_read_as_what_it_is() {
    let shown = colours();
    let png = encoded(&DynamicImage::ImageRgb8(stored_for(&shown, 6)), ImageFormat::Png);
    let chunk = |data: &[u8]| {
        let body = [b"eXIf", data].concat();
        let mut crc = !0u32;
        for byte in &body {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
            }
        }
        [&(data.len() as u32).to_be_bytes()[..], &body, &(!crc).to_be_bytes()].concat()
    };
    let with = |data: &[u8]| [&png[..png.len() - 12], &chunk(data), &png[png.len() - 12..]].concat();
    assert_eq!(rgb(&with(&exif(6)), path()).expect("decodes"), shown);
    assert_eq!(rgb(&with(&[b"Exif\0\0", &exif(6)[..]].concat()), path()).expect("decodes"), shown);
    for tag in [0, 9, 200] {
        assert_eq!(rgb(&with(&exif(tag)), path()).expect("decodes"), rgb(&png, path()).expect("decodes"));
    }
}

#[test]
fn the_first_frame_of_an_animation_is_taken_and_told() {
    let frame = |grey: u8| RgbaImage::from_fn(6, 4, |x, _| Rgba([grey, grey, x as u8 * 40, 255]));
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    encoder.encode_frames([frame(0), frame(80), frame(255)].map(Frame::new)).expect("encodes");
    drop(encoder);
    let gif = super::super::rgb(&bytes, path(), ImageRule::default()).expect("decodes");
    assert_eq!((gif.facts.frames, gif.facts.format), (3, Format::Gif));
    assert!(gif.pixels.pixels().all(|pixel| pixel.0[0] == 0), "the first");
    for length in 0..bytes.len() / 4 {
        assert!(rgb(&bytes[..length], path()).is_err(), "cut at {length}");
    }
    let one = encoded(&DynamicImage::ImageRgb8(colours()), ImageFormat::WebP);
    let webp = super::super::rgb(&one, path(), ImageRule::default()).expect("decodes");
    assert_eq!((webp.facts.frames, webp.pixels), (1, colours()));
    for length in 0..one.len() * 9 / 10 {
        assert!(rgb(&one[..length], path()).is_err(), "cut at {length}");
    }
}

#[test]
fn a_mask_of_any_depth_holds_the_same_truth() {
    let truth = [0u8, 255, 255, 0, 255, 0];
    let deep: Vec<u16> = truth.iter().map(|v| u16::from(*v) * 257).collect();
    let float: Vec<f32> = truth.iter().map(|v| f32::from(*v) / 255.0).collect();
    let signed: Vec<i32> = truth.iter().map(|v| if *v > 0 { i32::MAX } else { 0 }).collect();
    let grey = GrayImage::from_raw(6, 1, truth.to_vec()).expect("fits");
    let triple = DynamicImage::ImageRgb8(DynamicImage::ImageLuma8(grey.clone()).into_rgb8());
    for file in [
        encoded(&DynamicImage::ImageLuma8(grey), ImageFormat::Png),
        encoded(&triple, ImageFormat::Gif),
        encoded(&triple, ImageFormat::WebP),
        plain::<Gray16>((6, 1), &deep),
        plain::<Gray32Float>((6, 1), &float),
        plain::<GrayI32>((6, 1), &signed),
    ] {
        for rule in [GREY, MaskRule::Grey { above: 0 }, MaskRule::Instances] {
            assert_eq!(mask(&file, path(), rule).expect("decodes").into_raw(), truth, "{rule:?}");
        }
    }
    // Two values of any depth, where everything above 0 is meant.
    for file in [plain::<Gray16>((2, 1), &[0, 1]), plain::<Gray8>((2, 1), &[0, 1])] {
        let found = mask(&file, path(), MaskRule::Grey { above: 0 }).expect("decodes").into_raw();
        assert!(found[0] == 0 && found[1] > 0, "{found:?}");
    }
}
