//! Why a weight file is not read.

use std::io;
use std::path::{Path, PathBuf};

use dygl_archive::ArchiveError;

/// An error of this room.
#[derive(Debug, thiserror::Error)]
pub enum WeightFileError {
    /// No file lies there.
    #[error("{}: there is no such file", .path.display())]
    Missing {
        /// The file that was asked for.
        path: PathBuf,
    },
    /// The system does not give its bytes.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The file in question.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Its zip archive is not read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// What it is or holds is refused.
    #[error("{}: {fault}", .path.display())]
    Refused {
        /// The file in question.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
}

impl WeightFileError {
    /// Whether the file is merely not there or not readable.
    pub fn is_environment(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Read { .. })
            || matches!(self, Self::Archive(ArchiveError::Read { .. }))
    }
}

pub(super) fn refused(path: &Path, fault: Fault) -> WeightFileError {
    WeightFileError::Refused { path: path.to_owned(), fault }
}

/// What is wrong with a weight file, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A folder, or something else that is no plain file.
    #[error("is no file; of weights in shards give the index, *.safetensors.index.json")]
    NoFile,
    /// Of a format that is not read; which, in words.
    #[error("{0}; give a safetensors file or one that torch.save wrote")]
    Foreign(String),
    /// Not as its format demands; in what way.
    #[error("the file is damaged: {0}; fetch it again")]
    Damaged(String),
    /// The pickle asks for something that could run code; for what.
    #[error(
        "asks for `{0}`, which tensors do not need and which could run code; nothing was executed. \
         Where you trust the file, save its tensors alone in Python: \
         torch.save(dict(model.state_dict()), \"weights.pth\")"
    )]
    Code(String),
    /// A variety of its format that is not read; which.
    #[error(
        "{0}; load it in Python where you trust it, and save its tensors anew: \
         torch.save({{k: v.contiguous() for k, v in state_dict.items()}}, \"weights.pth\")"
    )]
    Unsupported(String),
    /// Larger than the weights of any network.
    #[error("{what} exceeds the limit of {limit}: no weights of a network need that; the file is refused")]
    TooLarge {
        /// What is too large, and how large it is where that is known.
        what: String,
        /// The most that is taken: bytes, tensors or files.
        limit: u64,
    },
    /// A tensor that is not as it must be, or whose values are not read.
    #[error("tensor `{tensor}` is refused: {reason}; fetch the file again, or save it anew with torch.save")]
    Tensor {
        /// Name of the tensor.
        tensor: String,
        /// Why, for people.
        reason: String,
    },
    /// No tensor where they are looked for; what is there instead.
    #[error("holds no dictionary of tensors ({0}); save model.state_dict()")]
    NoTensors(String),
    /// Not what it was when it was opened.
    #[error("the file changed while it was read; try again")]
    Changed,
}

impl Fault {
    pub(super) fn of(self, path: &Path) -> WeightFileError {
        refused(path, self)
    }

    pub(super) fn damaged(reason: impl Into<String>) -> Self {
        Fault::Damaged(reason.into())
    }

    /// Of a file whose first bytes are of no format that is read.
    pub(super) fn foreign(head: &[u8]) -> Self {
        Fault::Foreign(match head {
            [] => "the file is empty".to_owned(),
            [0x89, b'H', b'D', b'F', ..] => "is an HDF5 file (Keras)".to_owned(),
            [0x93, b'N', b'U', b'M', ..] => "is a NumPy array".to_owned(),
            [0x1f, 0x8b, ..] => "is packed with gzip: unpack it".to_owned(),
            [b'<', ..] => "is a web page, not weights: the download went wrong".to_owned(),
            _ => "is neither a safetensors file nor one of torch.save".to_owned(),
        })
    }
}
