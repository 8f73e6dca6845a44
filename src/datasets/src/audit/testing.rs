//! For tests, of other crates too: a folder with one of everything that an audit looks
//! for, and the audit of it.

use std::fs;
use std::path::Path;

use dygl_pixels::split::Straddle;
use dygl_spec::name::Named;
use dygl_spec::protocol::{Split, SplitSource};
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};

use super::{Audit, Groups, audit};
use crate::{Dataset, Manifest, Registry};

/// A picture with structure; `seed` moves it.
pub fn scene(seed: f64) -> RgbImage {
    RgbImage::from_fn(120, 90, |x, y| {
        let (x, y) = (f64::from(x) / 120.0, f64::from(y) / 90.0);
        let wave = ((3.0 + seed) * x * 3.0 + seed).sin() * ((2.0 + 1.7 * seed) * y * 2.0 - seed).cos();
        let level = 120.0 + 80.0 * wave;
        Rgb([level as u8, (level * 0.7) as u8, (200.0 - level * 0.6) as u8])
    })
}

/// A mask of 120 x 90: a disc at (`x0`, 45), around it a rim of 4 pixels of the level `edge`.
pub fn disc(x0: f64, radius: f64, edge: u8) -> GrayImage {
    GrayImage::from_fn(120, 90, |x, y| {
        let distance = (f64::from(x) - x0).hypot(f64::from(y) - 45.0);
        Luma([if distance < radius {
            255
        } else if distance < radius + 4.0 {
            edge
        } else {
            0
        }])
    })
}

/// Twenty pairs in the layout of cvc-clinicdb:
/// 1 is 0 as another file with the same pixels, 2 the same file, 3 is 0
/// brighter and as JPEG; 4 is grey, 5 has two equal channels, 6 is blank;
/// mask 7 is empty, 8 full, 9 soft, 11 that of 10.
pub fn folder(root: &Path) {
    for sub in ["images", "masks"] {
        fs::create_dir_all(root.join(sub)).expect("made");
    }
    let save =
        |image: &RgbImage, id: usize| image.save(root.join(format!("images/{id}.png"))).expect("written");
    for id in 0..20 {
        let mut image = scene(id as f64);
        match id {
            1 => image = scene(0.0),
            4 => image.pixels_mut().for_each(|p| p.0 = [p.0[0]; 3]),
            5 => image.pixels_mut().for_each(|p| p.0[1] = p.0[0]),
            6 => image.pixels_mut().for_each(|p| p.0 = [40, 50, 60]),
            _ => {}
        }
        save(&image, id);
        let mask = match id {
            7 => disc(60.0, -9.0, 0),
            8 => disc(60.0, 999.0, 0),
            9 => disc(60.0, 20.0, 100),
            11 => disc(34.0, 15.0, 0),
            _ => disc(24.0 + id as f64, 5.0 + id as f64, 0),
        };
        mask.save(root.join(format!("masks/{id}.png"))).expect("written");
    }
    // Other bytes, the same pixels: another compression.
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(scene(0.0)).write_to(&mut bytes, ImageFormat::Bmp).expect("encodes");
    fs::write(root.join("images/1.png"), bytes.into_inner()).expect("written");
    fs::copy(root.join("images/0.png"), root.join("images/2.png")).expect("copied");
    let mut brighter = scene(0.0);
    brighter.pixels_mut().for_each(|p| p.0 = p.0.map(|v| (f64::from(v) * 0.8 + 40.0) as u8));
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(brighter).write_to(&mut bytes, ImageFormat::Jpeg).expect("encodes");
    fs::write(root.join("images/3.png"), bytes.into_inner()).expect("written");
}

/// What is found in [`folder`].
pub fn audited() -> Audit {
    let home = tempfile::tempdir().expect("a folder");
    let root = home.path().join("set");
    folder(&root);
    let registry = Registry::at(&home.path().join("store"));
    let manifest = Manifest::find("cvc-clinicdb").expect("valid").expect("listed");
    registry.add(manifest, &root, true, &|_, _| {}).expect("registered");
    let dataset = Dataset::open(&Named::plain("cvc-clinicdb"), &registry).expect("opens");
    let split = Split { source: SplitSource::Seeded, seed: 42, folds: 5, fold: 0, file: String::new() };
    let partition = dataset.split(&split).expect("divides");
    audit(&dataset, &split, &partition, &|_, _| {}).expect("looked at")
}

/// The same with groups that are torn apart.
pub fn sample() -> Audit {
    let mut audit = audited();
    audit.groups = Groups {
        known: true,
        count: 3,
        unknown: 0,
        images_straddling: 5,
        straddling: vec![Straddle { group: "a".into(), train: 3, validation: 1, test: 1 }],
    };
    audit
}
