//! The images that a report shows: worst, median, best, and some between.

use std::fs;
use std::io;
use std::path::Path;

use dygl_pixels::mask;
use dygl_spec::metric::Metric;
use dygl_store::record::Sample;
use image::{GrayImage, ImageError, Luma, RgbImage};

use super::{EvaluateError, ScoredImage};

/// Ranks (0 worst, 1 best) that are kept, and what they are called.
const RANKS: [(f64, &str); 5] =
    [(0.0, "worst"), (0.25, "other"), (0.5, "median"), (0.75, "other"), (1.0, "best")];

/// Writes image, truth and prediction of a few images, at the network size.
pub(super) fn write(folder: &Path, scored: &[ScoredImage]) -> Result<Vec<Sample>, EvaluateError> {
    fs::create_dir_all(folder).map_err(|source| EvaluateError::Write { path: folder.to_owned(), source })?;
    let mut ranked: Vec<(f64, &ScoredImage)> =
        scored.iter().filter_map(|image| Some((image.scores?.get(Metric::Dice), image))).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id)));
    let mut samples: Vec<Sample> = Vec::new();
    for (rank, role) in RANKS {
        let index = (rank * ranked.len().saturating_sub(1) as f64).round() as usize;
        let Some((dice, image)) = ranked.get(index) else { continue };
        if samples.iter().any(|sample| sample.id == image.id) {
            continue;
        }
        let file = format!("{:02}", samples.len());
        save(folder, &file, image)?;
        samples.push(Sample { id: image.id.clone(), file, role: role.to_owned(), dice: *dice });
    }
    Ok(samples)
}

fn save(folder: &Path, stem: &str, scored: &ScoredImage) -> Result<(), EvaluateError> {
    let size = scored.resized.size as u32;
    let write = |name: &str, result: Result<(), ImageError>| {
        result.map_err(|error| EvaluateError::Write {
            path: folder.join(name),
            source: io::Error::other(error.to_string()),
        })
    };
    let name = format!("{stem}.image.png");
    if let Some(image) = RgbImage::from_raw(size, size, scored.resized.rgb.clone()) {
        write(&name, image.save(folder.join(&name)))?;
    }
    for (kind, pixels) in [("truth", scored.resized.truth()), ("prediction", scored.prediction.clone())] {
        let name = format!("{stem}.{kind}.png");
        let picture =
            GrayImage::from_fn(size, size, |x, y| Luma([mask::level(pixels[(y * size + x) as usize])]));
        write(&name, picture.save(folder.join(&name)))?;
    }
    Ok(())
}
