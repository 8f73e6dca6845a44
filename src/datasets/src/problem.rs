//! What can be wrong with the files of a dataset, each naming its file.

use std::fmt;

use dygl_pixels::decode::Facts;
use serde::Serialize;

use super::LeftOver;

/// One thing wrong with a dataset on disk. File names are relative to the
/// dataset's folder, with `/` between parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Problem {
    /// The whole folder is gone.
    NoFolder {
        /// Absolute path of the folder.
        folder: String,
    },
    /// An image without its mask.
    MissingMask {
        /// The image.
        image: String,
        /// Where its masks would lie, joined by `or`.
        expected: String,
    },
    /// A mask without its image.
    MissingImage {
        /// The mask.
        mask: String,
        /// Where its image would lie, joined by `or`.
        expected: String,
    },
    /// Two files claim the same image id.
    Duplicate {
        /// The id that both claim.
        id: String,
        /// The later claimant.
        file: String,
        /// The earlier claimant.
        other: String,
        /// How to part the two.
        remedy: String,
    },
    /// An image has several masks, and nothing says that they are one.
    SeveralMasks {
        /// The image.
        image: String,
        /// Its masks, two or more.
        masks: Vec<String>,
        /// How to say that they are one, or which is meant.
        remedy: String,
    },
    /// One file is claimed for two ids.
    Shared {
        /// The file.
        file: String,
        /// Both ids.
        ids: [String; 2],
    },
    /// Pictures that no layout took, beside the pairs that were found.
    LeftOver {
        /// Which pictures they are, and why.
        left: LeftOver,
        /// How many pairs were found.
        pairs: usize,
    },
    /// The file does not decode.
    Undecodable {
        /// The file.
        file: String,
        /// What the decoder says.
        message: String,
    },
    /// The file decodes, but holds what the dataset's rules have no place for.
    Unfit {
        /// The file.
        file: String,
        /// What it holds, and the remedy.
        message: String,
    },
    /// Image and mask agree in size as stored, but not as their orientation
    /// tags show them; `tagged` is the file whose tag parts them.
    Turned {
        /// The image.
        image: String,
        /// Width and height of the image as shown, pixels.
        image_size: (u32, u32),
        /// The mask.
        mask: String,
        /// Width and height of the mask as shown, pixels.
        mask_size: (u32, u32),
        /// One of the two files.
        tagged: String,
        /// Its orientation tag (EXIF), 5..=8.
        tag: u8,
    },
    /// The file cannot be read.
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        message: String,
    },
    /// Image and mask differ in size (width, height; pixels).
    SizeMismatch {
        /// The image.
        image: String,
        /// Of the image, as shown.
        image_size: (u32, u32),
        /// The mask.
        mask: String,
        /// Of the mask, as shown.
        mask_size: (u32, u32),
    },
    /// A table that names groups does not know the image.
    NoGroup {
        /// Id of the image.
        id: String,
        /// The table.
        table: String,
    },
    /// A table gives one image two groups.
    TwoGroups {
        /// The table.
        table: String,
        /// Id of the image.
        id: String,
        /// Both lines, from 1.
        lines: [usize; 2],
        /// What each of them says.
        groups: [String; 2],
    },
    /// A table spells ids with the endings of their files.
    IdsWithEnding {
        /// The table.
        table: String,
        /// The first of them, as the table spells it.
        written: String,
        /// The same as an id.
        id: String,
        /// How many images are spelt so.
        count: usize,
    },
    /// Not the number of pairs that the manifest states.
    WrongCount {
        /// Pairs found that `keep` takes.
        found: usize,
        /// Pairs that the manifest states.
        expected: usize,
    },
    /// Every pair was left out by the manifest's `keep`.
    NothingKept {
        /// How many pairs were left out.
        left_out: usize,
    },
    /// The rule does not fit the masks.
    UnfitMasks {
        /// What was found in which files, and the remedy.
        message: String,
    },
    /// What would only be told, had everything not been asked to be right.
    Strict {
        /// What would have been told.
        message: String,
    },
    /// The content is not what was registered.
    Altered {
        /// The file.
        file: String,
    },
    /// A registered file is gone.
    Missing {
        /// The file.
        file: String,
    },
    /// A file that was not there at registration and belongs to the layout.
    Extra {
        /// The file.
        file: String,
    },
}

impl Problem {
    /// What to say of an image and a mask of different sizes: each with its
    /// name, its size as shown, and the facts of its file.
    pub fn of_sizes(image: (&str, (u32, u32), &Facts), mask: (&str, (u32, u32), &Facts)) -> Self {
        let ((image, image_size, of_image), (mask, mask_size, of_mask)) = (image, mask);
        let tagged = if of_image.stored_size(image_size) == mask_size {
            Some((image, of_image.orientation))
        } else if of_mask.stored_size(mask_size) == image_size {
            Some((mask, of_mask.orientation))
        } else {
            None
        };
        let (image, mask) = (image.to_owned(), mask.to_owned());
        match tagged {
            Some((tagged, tag)) => {
                Problem::Turned { image, image_size, mask, mask_size, tagged: tagged.to_owned(), tag }
            }
            None => Problem::SizeMismatch { image, image_size, mask, mask_size },
        }
    }

    /// The file that the problem is about, if it is about one.
    pub fn file(&self) -> Option<&str> {
        match self {
            Problem::MissingMask { image: file, .. }
            | Problem::MissingImage { mask: file, .. }
            | Problem::SizeMismatch { mask: file, .. }
            | Problem::Turned { mask: file, .. }
            | Problem::Unfit { file, .. }
            | Problem::Duplicate { file, .. }
            | Problem::Undecodable { file, .. }
            | Problem::Unreadable { file, .. }
            | Problem::Altered { file }
            | Problem::Missing { file }
            | Problem::SeveralMasks { image: file, .. }
            | Problem::Shared { file, .. }
            | Problem::Extra { file } => Some(file),
            Problem::NoGroup { table, .. }
            | Problem::TwoGroups { table, .. }
            | Problem::IdsWithEnding { table, .. } => Some(table),
            Problem::LeftOver { left, .. } => left.examples.first().map(String::as_str),
            Problem::NoFolder { .. }
            | Problem::WrongCount { .. }
            | Problem::NothingKept { .. }
            | Problem::UnfitMasks { .. }
            | Problem::Strict { .. } => None,
        }
    }

    /// Every file of a claim: that of [`Problem::file`], and those that it stands against.
    pub(super) fn files(&self) -> Vec<&str> {
        let mut files: Vec<&str> = self.file().into_iter().collect();
        match self {
            Problem::Duplicate { other, .. } => files.push(other),
            Problem::SeveralMasks { masks, .. } => files.extend(masks.iter().map(String::as_str)),
            _ => {}
        }
        files
    }

    /// Whether it is about what the manifest, its table or the command line says, or
    /// how files were saved, and not about a picture that is missing or broken.
    pub fn is_of_the_manifest(&self) -> bool {
        matches!(
            self,
            Problem::LeftOver { .. }
                | Problem::Duplicate { .. }
                | Problem::SeveralMasks { .. }
                | Problem::Shared { .. }
                | Problem::Unfit { .. }
                | Problem::Turned { .. }
                | Problem::UnfitMasks { .. }
                | Problem::Strict { .. }
                | Problem::TwoGroups { .. }
                | Problem::IdsWithEnding { .. }
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::NoFolder { folder } => write!(f, "{folder}: the folder is not there"),
            Problem::MissingMask { image, expected } => {
                write!(f, "{image}: has no mask (expected {expected})")
            }
            Problem::MissingImage { mask, expected } => {
                write!(f, "{mask}: is a mask without image (expected {expected})")
            }
            Problem::Duplicate { id, file, other, remedy } => {
                write!(f, "{file}: the id `{id}` is {other}'s too ({remedy})")
            }
            Problem::SeveralMasks { image, masks, remedy } => {
                write!(f, "{image}: has {} masks: {} ({remedy})", masks.len(), masks.join(", "))
            }
            Problem::Shared { file, ids: [one, other] } => {
                write!(f, "{file}: is claimed for the image `{one}` and for `{other}`; a file is of one pair")
            }
            Problem::LeftOver { left, pairs } => write!(
                f,
                "{left}; --partial registers without them, and so does images = {pairs} in the manifest"
            ),
            Problem::Undecodable { file, message } => write!(f, "{file}: does not decode: {message}"),
            Problem::Unfit { file, message } => write!(f, "{file}: {message}"),
            Problem::Turned { image, image_size, mask, mask_size, tagged, tag } => write!(
                f,
                "{mask}: is shown as {}x{}, but {image} as {}x{}: the orientation tag {tag} of {tagged} parts \
                 them, they fit as stored; turn the other one likewise, or take the tag away \
                 (exiftool -Orientation= FILE)",
                mask_size.0, mask_size.1, image_size.0, image_size.1
            ),
            Problem::Unreadable { file, message } => write!(f, "{file}: cannot be read: {message}"),
            Problem::SizeMismatch { image, image_size, mask, mask_size } => write!(
                f,
                "{mask}: is {}x{}, but {image} is {}x{}",
                mask_size.0, mask_size.1, image_size.0, image_size.1
            ),
            Problem::NoGroup { id, table } => write!(f, "{table}: does not name the image `{id}`"),
            Problem::TwoGroups { table, id, lines: [first, second], groups: [one, other] } => write!(
                f,
                "{table}: gives the image `{id}` two groups: `{one}` in line {first}, `{other}` in line {second}"
            ),
            Problem::IdsWithEnding { table, written, id, count } => write!(
                f,
                "{table}: names {count} image(s) with the endings of their files (`{written}`); ids have none: \
                 write `{id}`"
            ),
            Problem::NothingKept { left_out } => {
                write!(f, "none of the {left_out} masks holds foreground, so no image is kept")
            }
            Problem::WrongCount { found, expected } => {
                write!(
                    f,
                    "{found} pairs found, the dataset has {expected} (--partial registers what is there)"
                )
            }
            Problem::UnfitMasks { message } => {
                write!(f, "{message} (--accept-masks registers them all the same)")
            }
            Problem::Strict { message } => write!(f, "{message} (--strict)"),
            Problem::Altered { file } => write!(f, "{file}: altered since it was registered"),
            Problem::Missing { file } => write!(f, "{file}: missing"),
            Problem::Extra { file } => write!(f, "{file}: was not there when the dataset was registered"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_file() {
        let problem = Problem::SizeMismatch {
            image: "images/1.png".into(),
            image_size: (384, 288),
            mask: "masks/1.png".into(),
            mask_size: (288, 384),
        };
        assert_eq!(problem.to_string(), "masks/1.png: is 288x384, but images/1.png is 384x288");
        assert_eq!(problem.file(), Some("masks/1.png"));
        assert_eq!(Problem::WrongCount { found: 1, expected: 2 }.file(), None);
    }
}
