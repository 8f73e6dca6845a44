//! Why a weight file is not read.

use std::io;
use std::path::{Path, PathBuf};

use dygl_archive::ArchiveError;

/// An error of this room.
#[derive(Debug, thiserror::Error)]
pub enum WeightFileError {
    #[error("{}: there is no such file", .path.display())]
    Missing { path: PathBuf },
    #[error("{}: {source}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("{}: {fault}", .path.display())]
    Refused { path: PathBuf, fault: Fault },
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
    #[error("is no file; of weights in shards give the index, *.safetensors.index.json")]
    NoFile,
    #[error("{0}; give a safetensors file or one that torch.save wrote")]
    Foreign(String),
    #[error("the file is damaged: {0}; fetch it again")]
    Damaged(String),
    #[error(
        "asks for `{0}`, which tensors do not need and which could run code; nothing was executed. \
         Where you trust the file, save its tensors alone in Python: \
         torch.save(dict(model.state_dict()), \"weights.pth\")"
    )]
    Code(String),
    #[error(
        "{0}; load it in Python where you trust it, and save its tensors anew: \
         torch.save({{k: v.contiguous() for k, v in state_dict.items()}}, \"weights.pth\")"
    )]
    Unsupported(String),
    #[error("{what} exceeds the limit of {limit}: no weights of a network need that; the file is refused")]
    TooLarge { what: String, limit: u64 },
    #[error("tensor `{tensor}` is refused: {reason}; fetch the file again, or save it anew with torch.save")]
    Tensor { tensor: String, reason: String },
    #[error("holds no dictionary of tensors ({0}); save model.state_dict()")]
    NoTensors(String),
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
