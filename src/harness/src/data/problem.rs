//! What can be wrong with the files of a dataset, each naming its file.

use std::fmt;

use serde::Serialize;

use super::decode::Facts;

/// One thing wrong with a dataset on disk. File names are relative to the
/// dataset's folder, with `/` between parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Problem {
    /// The whole folder is gone.
    NoFolder { folder: String },
    /// An image without its mask.
    MissingMask { image: String, expected: String },
    /// A mask without its image.
    MissingImage { mask: String, expected: String },
    /// Two files claim the same image id.
    Duplicate { id: String, file: String },
    /// The file does not decode.
    Undecodable { file: String, message: String },
    /// The file decodes, but holds what the dataset's rules have no place for.
    Unfit { file: String, message: String },
    /// Image and mask agree in size as stored, but not as their orientation
    /// tags show them; `tagged` is the file whose tag parts them.
    Turned {
        image: String,
        image_size: (u32, u32),
        mask: String,
        mask_size: (u32, u32),
        tagged: String,
        tag: u8,
    },
    /// The file cannot be read.
    Unreadable { file: String, message: String },
    /// Image and mask differ in size (width, height; pixels).
    SizeMismatch { image: String, image_size: (u32, u32), mask: String, mask_size: (u32, u32) },
    /// A table that names groups does not know the image.
    NoGroup { id: String, table: String },
    /// Not the number of pairs that the manifest states.
    WrongCount { found: usize, expected: usize },
    /// Every pair was left out by the manifest's `keep`.
    NothingKept { left_out: usize },
    /// The content is not what was registered.
    Altered { file: String },
    /// A registered file is gone.
    Missing { file: String },
    /// A file that was not there at registration and belongs to the layout.
    Extra { file: String },
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

    /// Whether the files are sound and it is the manifest, or how they were
    /// saved, that has to change.
    pub fn is_of_the_rules(&self) -> bool {
        matches!(self, Problem::Unfit { .. } | Problem::Turned { .. })
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
            | Problem::Extra { file } => Some(file),
            Problem::NoGroup { table, .. } => Some(table),
            Problem::NoFolder { .. } | Problem::WrongCount { .. } | Problem::NothingKept { .. } => None,
        }
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
            Problem::Duplicate { id, file } => write!(f, "{file}: the id `{id}` is taken by another file"),
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
            Problem::NothingKept { left_out } => {
                write!(f, "none of the {left_out} masks holds foreground, so no image is kept")
            }
            Problem::WrongCount { found, expected } => {
                write!(
                    f,
                    "{found} pairs found, the dataset has {expected} (--partial registers what is there)"
                )
            }
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
