//! One pair of a dataset, read: its files hashed and decoded, its masks held against
//! the rule.

use std::path::Path;

use dygl_pixels::decode::{self, Held};
use dygl_pixels::mask::{self, Case, Look, MaskRule, Reading, Scale};
use dygl_pixels::{PixelError, merge};

use super::files::FileEntry;
use super::manifest::{Keep, Manifest};
use super::scan::Pair;
use super::{Entry, Problem};

/// One pair as it was looked at.
#[derive(Debug)]
pub(super) struct Looked {
    pub entry: Entry,
    /// Of the image, pixels.
    pub size: (u32, u32),
    pub image: decode::Facts,
    /// In the order of the entry's masks; at least one.
    pub masks: Vec<Look>,
    /// Pixels that any of them marks.
    pub foreground: u64,
    /// Whether the manifest's `keep` takes it.
    pub kept: bool,
}

impl Looked {
    pub fn cases(&self) -> impl Iterator<Item = Case<'_>> {
        let left_out = !self.kept;
        let files = self.entry.masks().zip(&self.masks);
        files.map(move |(file, look)| Case { file: &file.path, found: &look.found, left_out })
    }

    fn pixels(&self) -> u64 {
        u64::from(self.size.0) * u64::from(self.size.1)
    }

    /// Foreground, 0..=1.
    pub fn share(&self) -> f64 {
        self.foreground as f64 / self.pixels().max(1) as f64
    }

    pub fn is_empty(&self) -> bool {
        self.foreground == 0
    }

    pub fn is_full(&self) -> bool {
        self.foreground == self.pixels()
    }
}

/// Hashes and decodes both files of a pair and looks at them.
pub(super) fn read_pair(manifest: &Manifest, root: &Path, pair: Pair) -> Result<Looked, Vec<Problem>> {
    let take = |path: &str| {
        FileEntry::take(root, path)
            .map_err(|e| Problem::Unreadable { file: path.to_owned(), message: e.to_string() })
    };
    let undecodable = |file: &str, error: PixelError| {
        let file = file.to_owned();
        match error {
            PixelError::Decode { message, .. } => Problem::Undecodable { file, message },
            PixelError::Unfit { message, .. } => Problem::Unfit { file, message },
            other => Problem::Undecodable { file, message: other.to_string() },
        }
    };
    let image = take(&pair.image).and_then(|(entry, bytes)| {
        let decoded = decode::rgb(&bytes, Path::new(&pair.image), manifest.image)
            .map_err(|e| undecodable(&pair.image, e))?;
        Ok((entry, decoded.pixels.dimensions(), decoded.facts))
    });
    let (mut problems, mut masks, mut sound) = (Vec::new(), Vec::new(), None);
    for file in &pair.masks {
        let mask = take(file).and_then(|(entry, bytes)| {
            let looked = mask::look(&bytes, Path::new(file), manifest.mask);
            Ok((entry, bytes, looked.map_err(|e| undecodable(file, e))?))
        });
        match mask {
            Ok(mask) => masks.push(mask),
            Err(problem) => problems.push(problem),
        }
    }
    match image {
        Err(problem) => problems.insert(0, problem),
        Ok((image, size, facts)) => {
            for (mask, _, looked) in masks.iter().filter(|(.., looked)| looked.size != size) {
                let image = (pair.image.as_str(), size, &facts);
                problems.push(Problem::of_sizes(image, (&mask.path, looked.size, &looked.facts)));
            }
            sound = Some((image, size, facts)).filter(|_| problems.is_empty());
        }
    }
    let Some((image, size, facts)) = sound else { return Err(problems) };
    let foreground = match &masks[..] {
        [(.., looked)] => looked.found.foreground,
        several => {
            let files = several.iter().map(|(entry, bytes, _)| (entry.path.as_str(), bytes.as_slice()));
            marked(files, manifest).map_err(|error| vec![undecodable(&pair.image, error)])?
        }
    };
    let kept = manifest.keep == Keep::All || foreground > 0;
    let (mut entries, masks): (Vec<FileEntry>, Vec<Look>) =
        masks.into_iter().map(|(entry, _, looked)| (entry, looked)).unzip();
    if entries.is_empty() {
        return Err(problems);
    }
    let mask = entries.remove(0);
    let Pair { id, part, group, .. } = pair;
    let entry = Entry { id, part, group, image, mask, more_masks: entries };
    Ok(Looked { entry, size, image: facts, masks, foreground, kept })
}

/// What the files hold beside their pixels.
pub(super) fn held(manifest: &Manifest, all: &[Looked]) -> (Held, Held) {
    let (mut images, mut masks) = (Held::default(), Held::default());
    for looked in all {
        images.add(&looked.entry.image.path, &looked.image);
        for (file, mask) in looked.entry.masks().zip(&looked.masks) {
            // An alpha channel that is the mask is not left out.
            let transparent = mask.facts.transparent && !matches!(manifest.mask, MaskRule::Alpha { .. });
            masks.add(&file.path, &decode::Facts { transparent, ..mask.facts.clone() });
        }
    }
    (images, masks)
}

/// Pixels that any of several masks marks.
fn marked<'a>(
    masks: impl Iterator<Item = (&'a str, &'a [u8])>,
    manifest: &Manifest,
) -> Result<u64, PixelError> {
    let reading = Reading::new(manifest.mask, Scale::WHOLE);
    let levels = masks
        .map(|(path, bytes)| Ok(mask::read(bytes, Path::new(path), &reading)?.pixels))
        .collect::<Result<Vec<_>, PixelError>>()?;
    let union = merge::union(levels).unwrap_or_default();
    Ok(union.pixels().filter(|pixel| mask::is_foreground(pixel.0[0])).count() as u64)
}
