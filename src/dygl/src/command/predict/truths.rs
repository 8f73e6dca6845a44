//! The true mask of each image: by its name below a folder, or by a pattern.
//!
//! A truth is of one image. Where two images would be held against the same
//! file, or one image finds several, nothing is computed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_datasets::pattern::Pattern;
use dygl_datasets::text::{nfc, without_ending};

use super::inputs::{Found, below, is_image};

/// Where the truths lie: a folder, or `FOLDER/{id}_anno.bmp`.
#[derive(Debug)]
struct Place {
    folder: PathBuf,
    /// Of the paths below the folder.
    pattern: Option<Pattern>,
}

impl Place {
    /// Reads the argument. Whatever is there as a folder is one.
    fn read(given: &Path) -> Result<Self, String> {
        let text = given.to_str().filter(|text| text.contains(['{', '*']) && !given.is_dir());
        let Some(text) = text else { return Ok(Self { folder: given.to_owned(), pattern: None }) };
        let mut folder = PathBuf::from(if text.starts_with('/') { "/" } else { "" });
        let mut parts = text.split('/').filter(|part| !part.is_empty()).peekable();
        while let Some(part) = parts.next_if(|part| !part.contains(['{', '*'])) {
            folder.push(part);
        }
        let pattern = Pattern::parse(&parts.collect::<Vec<_>>().join("/"))?;
        if pattern.placeholders() != ["id"] {
            return Err("of the placeholders {id} alone has a meaning here".to_owned());
        }
        if folder.as_os_str().is_empty() {
            folder.push(".");
        }
        Ok(Self { folder, pattern: Some(pattern) })
    }

    /// The files below the folder by the names of images that they may be of.
    fn by_name(&self, files: &[PathBuf]) -> BTreeMap<String, Vec<PathBuf>> {
        let mut by_name: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for file in files {
            let Some(path) = file.to_str() else { continue };
            let names: BTreeSet<String> = match &self.pattern {
                None if is_image(&self.folder.join(file)) => [nfc(without_ending(path)).into_owned()].into(),
                None => BTreeSet::new(),
                Some(pattern) => named_by(pattern, path),
            };
            for name in names {
                by_name.entry(name).or_default().push(file.clone());
            }
        }
        by_name
    }

    /// What was looked for, for people.
    fn wanted(&self, relative: &Path) -> String {
        match &self.pattern {
            None => "no mask of its name".to_owned(),
            Some(pattern) => {
                let name = relative.file_name().unwrap_or_default().to_string_lossy();
                let captures = [("id".to_owned(), without_ending(&name).to_owned())].into();
                format!("no mask {}", self.folder.join(pattern.fill(&captures)).display())
            }
        }
    }
}

/// The names under which a pattern takes a path: the pattern may stand in any
/// folder, which then belongs to the name, as that of an image in a folder does.
fn named_by(pattern: &Pattern, path: &str) -> BTreeSet<String> {
    let starts = std::iter::once(0).chain(path.match_indices('/').map(|(at, _)| at + 1));
    let mut names = BTreeSet::new();
    for at in starts {
        let (folders, rest) = path.split_at(at);
        for captures in pattern.captures(rest) {
            names.extend(captures.get("id").map(|id| format!("{}{id}", nfc(folders))));
        }
    }
    names
}

/// The files that may be truths, listed once.
#[derive(Debug)]
pub(super) struct Truths {
    given: PathBuf,
    place: Place,
    files: Vec<PathBuf>,
    by_name: BTreeMap<String, Vec<PathBuf>>,
}

impl Truths {
    /// Lists what the argument of `--truth` holds.
    ///
    /// # Errors
    /// Exit 2 if it is no pattern, exit 3 if the folder cannot be read.
    pub(super) fn open(given: &Path) -> Result<Self, Failure> {
        let place = Place::read(given)
            .map_err(|error| Failure::new(Exit::Usage, format!("--truth {}: {error}", given.display())))?;
        let mut files = Vec::new();
        below(&place.folder, Path::new(""), None, &mut BTreeSet::new(), &mut files)
            .map_err(|error| format!("--truth {}: {error}", given.display()))
            .or_exit(Exit::Environment)?;
        let by_name = place.by_name(&files);
        Ok(Self { given: given.to_owned(), place, files, by_name })
    }

    /// The masks of an image by its name: at the same place below the folder, or
    /// else directly in it.
    fn named(&self, image: &Found) -> &[PathBuf] {
        let relative = image.relative.to_string_lossy().into_owned();
        let stem = nfc(without_ending(&relative)).into_owned();
        let alone = stem.rsplit('/').next().unwrap_or(&stem);
        self.by_name.get(&stem).or_else(|| self.by_name.get(alone)).map_or(&[], Vec::as_slice)
    }

    /// Which of the pictures are masks of others: where both lie in one folder, what
    /// a pattern names as a mask is no photo.
    pub(super) fn among(&self, found: &[Found]) -> BTreeSet<PathBuf> {
        if self.place.pattern.is_none() {
            return BTreeSet::new();
        }
        let real = |mask: &PathBuf| std::fs::canonicalize(self.place.folder.join(mask)).ok();
        let masks = found.iter().flat_map(|image| {
            self.named(image).iter().filter_map(real).filter(|mask| *mask != image.canonical)
        });
        masks.collect()
    }

    /// The true mask of each image.
    ///
    /// # Errors
    /// Exit 2 with every image that has no mask or several, and every mask that
    /// two images claim.
    pub(super) fn of(&self, found: &[Found]) -> Result<Vec<PathBuf>, Failure> {
        let (mut mistakes, mut without) = (Vec::new(), 0);
        let mut truths: Vec<PathBuf> = Vec::new();
        let mut claims: BTreeMap<&Path, Vec<&Path>> = BTreeMap::new();
        for image in found {
            match self.named(image) {
                [one] => {
                    claims.entry(one).or_default().push(&image.file);
                    truths.push(self.place.folder.join(one));
                }
                [] => {
                    without += 1;
                    let wanted = self.place.wanted(&image.relative);
                    mistakes.push(format!("  {}: {wanted}", image.file.display()));
                }
                many => {
                    let names: Vec<String> = many.iter().map(|mask| mask.display().to_string()).collect();
                    let (image, count) = (image.file.display(), many.len());
                    mistakes.push(format!("  {image}: {count} masks of its name: {}", names.join(", ")));
                }
            }
        }
        for (mask, images) in claims.iter().filter(|(_, images)| images.len() > 1) {
            let names: Vec<String> = images.iter().map(|image| image.display().to_string()).collect();
            mistakes.push(format!(
                "  {}: is claimed by {} images: {}; a mask is of one image",
                self.place.folder.join(mask).display(),
                images.len(),
                names.join(", ")
            ));
        }
        if mistakes.is_empty() {
            return Ok(truths);
        }
        let hint = if without > 0 { suffix(&self.place, &self.files, found) } else { None };
        let hint = hint.map_or_else(String::new, |pattern| {
            format!("\n  a suffix is written as a pattern, perhaps --truth '{pattern}'")
        });
        let given = self.given.display();
        let text = format!("--truth {given} does not fit the images:\n{}{hint}", mistakes.join("\n"));
        Err(Failure::new(Exit::Usage, text))
    }
}

/// The pattern that the name of a mask suggests, where it is the image's with
/// something behind it.
fn suffix(place: &Place, files: &[PathBuf], found: &[Found]) -> Option<String> {
    let name = |path: &Path| Some(nfc(path.file_name()?.to_str()?).into_owned());
    let names: Vec<String> = files.iter().filter_map(|file| name(file)).collect();
    found.iter().find_map(|image| {
        let image = name(&image.relative)?;
        let stem = without_ending(&image);
        let mask = names.iter().find(|mask| mask.starts_with(stem) && without_ending(mask) != stem)?;
        let rest = &mask[stem.len()..];
        let is_suffix = rest.starts_with(|c: char| !c.is_alphanumeric());
        is_suffix.then(|| place.folder.join(format!("{{id}}{rest}")).display().to_string())
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";

    fn bench(masks: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("folder");
        for mask in masks {
            let path = root.path().join(mask);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
            fs::write(path, PNG).expect("written");
        }
        root
    }

    fn found(images: &[&str]) -> Vec<Found> {
        let image = |relative: &&str| Found {
            file: Path::new("in").join(relative),
            canonical: Path::new("/in").join(relative),
            relative: PathBuf::from(relative),
        };
        images.iter().map(image).collect()
    }

    /// The masks below the folder, or the message.
    fn of(root: &tempfile::TempDir, truth: &str, images: &[&str]) -> Result<Vec<String>, String> {
        let truths = Truths::open(&root.path().join(truth)).map_err(|failure| failure.message)?;
        let masks = truths.of(&found(images)).map_err(|failure| failure.message)?;
        let short = |mask: &PathBuf| mask.strip_prefix(root.path()).expect("below").display().to_string();
        Ok(masks.iter().map(short).collect())
    }

    #[test]
    fn a_mask_is_of_one_image() {
        let root = bench(&["truth/1.png", "truth/2.png"]);
        let told = of(&root, "truth", &["1.png", "1.jpg", "2.png"]).expect_err("two claims");
        assert!(told.contains("truth/1.png: is claimed by 2 images: in/1.png, in/1.jpg"), "{told}");
        // By bare name from two folders as well.
        assert!(
            of(&root, "truth", &["a/1.png", "b/1.png"]).expect_err("two").contains("in/a/1.png, in/b/1.png")
        );
        let root = bench(&["truth/a/1.png", "truth/b/1.png"]);
        assert_eq!(
            of(&root, "truth", &["a/1.png", "b/1.jpg"]),
            Ok(vec!["truth/a/1.png".into(), "truth/b/1.png".into()])
        );
    }

    #[test]
    fn accents_and_endings_do_not_part_image_and_mask() {
        let root = bench(&["truth/Ko\u{308}ln.TIF"]);
        assert_eq!(of(&root, "truth", &["Köln.jpg"]), Ok(vec!["truth/Ko\u{308}ln.TIF".into()]));
    }

    #[test]
    fn a_pattern_names_the_suffix() {
        let root = bench(&["m/1_anno.bmp", "m/deep/2_anno.BMP", "m/1.bmp", "m/3/3_lesion.png"]);
        assert_eq!(of(&root, "m/{id}_anno.bmp", &["1.jpg"]), Ok(vec!["m/1_anno.bmp".into()]));
        let deep = of(&root, "m/{id}_anno.bmp", &["1.jpg", "deep/2.png"]);
        assert_eq!(deep, Ok(vec!["m/1_anno.bmp".into(), "m/deep/2_anno.BMP".into()]));
        assert_eq!(of(&root, "m/{id}/{id}_lesion.*", &["3.jpg"]), Ok(vec!["m/3/3_lesion.png".into()]));
        let told = of(&root, "m/{id}_mask.png", &["1.jpg"]).expect_err("none");
        assert!(told.contains("in/1.jpg: no mask") && told.contains("m/1_mask.png"), "{told}");
        assert!(told.contains("m/{id}_anno.bmp"), "{told}");
        for (truth, word) in
            [("m/{name}.png", "no placeholder"), ("m/*.png", "no {id}"), ("{part}/{id}.png", "alone")]
        {
            assert!(of(&root, truth, &["1.jpg"]).expect_err("refused").contains(word), "{truth}");
        }
    }
}
