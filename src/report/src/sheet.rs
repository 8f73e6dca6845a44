//! Contact sheets: images side by side with the outline of their masks, a
//! caption below each and a title above all.

use std::io;
use std::path::Path;

use dygl_base::atomic;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::imageops;
use image::{ExtendedColorType, GrayImage, ImageEncoder, Rgb, RgbImage};

use super::lettering::{LINE, Weight, shortened, wrapped, write};

/// Longest side of a picture on the sheet, pixels.
const TILE: u32 = 224;
const GAP: u32 = 10;
/// Most pictures beside each other.
const COLUMNS: usize = 6;
/// Fewest columns that leave room for a title.
const NARROWEST: usize = 3;

const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
const INK: Rgb<u8> = Rgb([20, 20, 20]);
const FAINT: Rgb<u8> = Rgb([90, 90, 90]);
/// Okabe and Ito's yellow on black: seen on mucosa, skin, stain and scan alike.
const OUTLINE: Rgb<u8> = Rgb([240, 228, 66]);
const SHADOW: Rgb<u8> = Rgb([0, 0, 0]);

/// One picture.
#[derive(Debug, Clone)]
pub struct Tile {
    /// The picture, of any size.
    pub image: RgbImage,
    /// Foreground is what is not 0; as large as the image.
    pub mask: GrayImage,
    /// Lines below the picture, shortened where they do not fit.
    pub caption: Vec<String>,
}

/// A whole sheet.
#[derive(Debug, Clone)]
pub struct Sheet {
    /// First lines of the sheet, broken where it does not fit.
    pub title: String,
    /// Lines below the title, broken where they do not fit.
    pub notes: Vec<String>,
    /// From left to right, then from top to bottom.
    pub tiles: Vec<Tile>,
}

/// Why a sheet could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SheetError {
    /// The file or its folder cannot be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// Where the sheet was to be.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The drawn sheet cannot be encoded as PNG.
    #[error("failed to encode the sheet as PNG")]
    Encode(#[from] image::ImageError),
}

impl Sheet {
    /// Draws the sheet.
    pub fn draw(&self) -> RgbImage {
        // As square as the count allows.
        let count = self.tiles.len();
        let columns = (1..COLUMNS).find(|n| n * n >= count).unwrap_or(COLUMNS).max(NARROWEST) as u32;
        let rows = (count as u32).div_ceil(columns);
        let width = columns * (TILE + GAP) + GAP;
        let inner = width - 2 * GAP;
        let title = wrapped(&self.title, inner);
        let notes: Vec<String> = self.notes.iter().flat_map(|note| wrapped(note, inner)).collect();
        let head = GAP + (title.len() + notes.len()) as u32 * LINE + GAP;
        let captions = self.tiles.iter().map(|tile| tile.caption.len()).max().unwrap_or(0) as u32;
        let pictures: Vec<RgbImage> = self.tiles.iter().map(Tile::draw).collect();
        let tall = pictures.iter().map(RgbImage::height).max().unwrap_or(0);
        let pitch = tall + 2 + captions * LINE + GAP;

        let mut sheet = RgbImage::from_pixel(width, head + rows * pitch, PAPER);
        let mut y = GAP;
        for (lines, weight, ink) in [(&title, Weight::Bold, INK), (&notes, Weight::Regular, FAINT)] {
            for line in lines {
                write(&mut sheet, (GAP, y), line, weight, ink);
                y += LINE;
            }
        }
        for (place, (tile, picture)) in (0u32..).zip(self.tiles.iter().zip(&pictures)) {
            let (x, y) = (GAP + place % columns * (TILE + GAP), head + place / columns * pitch);
            // Smaller pictures stand in the middle, on their captions.
            let (left, top) = (x + (TILE - picture.width()) / 2, y + tall - picture.height());
            imageops::replace(&mut sheet, picture, i64::from(left), i64::from(top));
            for (row, line) in (0u32..).zip(&tile.caption) {
                let at = (x, y + tall + 2 + row * LINE);
                let ink = if row == 0 { INK } else { FAINT };
                write(&mut sheet, at, &shortened(line, TILE), Weight::Regular, ink);
            }
        }
        sheet
    }

    /// Draws the sheet into a PNG file, which appears whole or not at all. The
    /// folder is made where it does not exist.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), SheetError> {
        let drawn = self.draw();
        let mut png = Vec::new();
        PngEncoder::new_with_quality(&mut png, CompressionType::Default, FilterType::Adaptive).write_image(
            drawn.as_raw(),
            drawn.width(),
            drawn.height(),
            ExtendedColorType::Rgb8,
        )?;
        let png = dygl_base::signature::signed(png);
        let put = || -> io::Result<()> {
            std::fs::create_dir_all(atomic::folder_of(path))?;
            atomic::write(path, &png)
        };
        put().map_err(|source| SheetError::Write { path: path.to_owned(), source })
    }
}

impl Tile {
    /// The picture at the size of a tile, with the outline of the mask.
    fn draw(&self) -> RgbImage {
        let (width, height) = self.image.dimensions();
        let side = width.max(height).max(1);
        let scaled = |length: u32| ((u64::from(length) * u64::from(TILE)) / u64::from(side)).max(1) as u32;
        let (width, height) = (scaled(width), scaled(height));
        // Small ones stay pixels, large ones are averaged.
        let filter = if side < TILE { imageops::FilterType::Nearest } else { imageops::FilterType::Triangle };
        let mut picture = imageops::resize(&self.image, width, height, filter);
        let mask = imageops::resize(&self.mask, width, height, imageops::FilterType::Nearest);
        let inside = |x: i64, y: i64| {
            let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return false };
            x < width && y < height && mask.get_pixel(x, y).0[0] != 0
        };
        for y in 0..height {
            for x in 0..width {
                let (u, v) = (i64::from(x), i64::from(y));
                let beside = [(u - 1, v), (u + 1, v), (u, v - 1), (u, v + 1)];
                if inside(u, v) && beside.iter().any(|(u, v)| !inside(*u, *v)) {
                    picture.put_pixel(x, y, OUTLINE);
                } else if !inside(u, v) && beside.iter().any(|(u, v)| inside(*u, *v)) {
                    let pixel = picture.get_pixel_mut(x, y);
                    for (below, shadow) in pixel.0.iter_mut().zip(SHADOW.0) {
                        *below = below.midpoint(shadow);
                    }
                }
            }
        }
        picture
    }
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    fn tile(width: u32, height: u32) -> Tile {
        Tile {
            image: RgbImage::from_pixel(width, height, Rgb([100, 100, 100])),
            mask: GrayImage::from_fn(width, height, |x, _| Luma([if x < width / 2 { 255 } else { 0 }])),
            caption: vec!["a".into(), "b".into()],
        }
    }

    #[test]
    fn the_outline_lies_where_the_mask_ends() {
        let drawn = tile(64, 32).draw();
        assert_eq!(drawn.dimensions(), (TILE, TILE / 2));
        let middle = drawn.height() / 2;
        assert_eq!(*drawn.get_pixel(TILE / 2 - 1, middle), OUTLINE);
        assert_eq!(drawn.get_pixel(TILE / 2, middle).0, [50, 50, 50]);
        assert_eq!(drawn.get_pixel(TILE / 4, middle).0, [100, 100, 100]);
        assert_eq!(drawn.get_pixel(3 * TILE / 4, middle).0, [100, 100, 100]);
    }

    #[test]
    fn any_count_and_shape_fits() {
        for count in [0, 1, 5, 12, 50] {
            let tiles: Vec<Tile> = (0..count).map(|i| tile(1 + 700 * (i % 3), 1 + 90 * (i % 7))).collect();
            let tallest = tiles.iter().map(|tile| tile.draw().height()).max().unwrap_or(0);
            let sheet = Sheet { title: "A title".into(), notes: vec!["note ".repeat(60)], tiles };
            let drawn = sheet.draw();
            let columns = (drawn.width() - GAP) / (TILE + GAP);
            assert!((3..=6).contains(&columns));
            assert!(drawn.height() >= count.div_ceil(columns) * (tallest + 2 * LINE));
        }
    }

    #[test]
    fn a_sheet_is_written_whole_or_told() {
        let folder = tempfile::tempdir().expect("folder");
        let sheet = Sheet { title: "A".into(), notes: Vec::new(), tiles: vec![tile(20, 20)] };
        let path = folder.path().join("made/sheet.png");
        sheet.save(&path).expect("written");
        assert_eq!(image::open(&path).expect("a PNG").into_rgb8(), sheet.draw());
        let error = sheet.save(&path.join("below-a-file.png")).expect_err("refused");
        assert!(error.to_string().contains("below-a-file.png"), "{error}");
    }
}
