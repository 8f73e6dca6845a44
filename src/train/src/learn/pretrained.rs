//! Starting from weights of others: a file, known by its digest, laid over the
//! initial weights. It may hold the whole network or a part of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dygl_spec::pretrained::Pretrained;
use dygl_store::record::Start;

use crate::learn::tensors::{self, TensorFileError};
use crate::learn::weights::{self, Mismatch};
use crate::net::Net;

/// Why training cannot start from a file.
#[derive(Debug, thiserror::Error)]
pub enum PretrainedError {
    /// The file cannot be read.
    #[error("start from {}: {source}", path.display())]
    Read {
        /// The file, as the experiment names it.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is another than the one whose digest the experiment states.
    #[error("start from {}: its sha256 is {found} and should be {expected}", path.display())]
    Changed {
        /// The file, as the experiment names it.
        path: PathBuf,
        /// Its SHA-256, hex.
        found: String,
        /// The SHA-256 that the experiment states, hex.
        expected: String,
    },
    /// The file is no intact safetensors file, or holds another type than F32 and I64.
    #[error("{0}; `dygl model import` makes a file that fits")]
    Tensors(TensorFileError),
    /// The file has tensors that the network lacks, or of another shape.
    #[error("start from {}: it is not of {network}: {mismatch}; import it with that --model", path.display())]
    Mismatch {
        /// The file, as the experiment names it.
        path: PathBuf,
        /// Name without options.
        network: String,
        /// Which tensors they are.
        mismatch: Mismatch,
    },
    /// The file has no tensor that could be laid.
    #[error("start from {}: it holds no tensor of {network}", path.display())]
    Empty {
        /// The file, as the experiment names it.
        path: PathBuf,
        /// Name without options.
        network: String,
    },
}

/// Lays the tensors of the file over those of an initialised network.
///
/// # Errors
/// The file cannot be read, is another than the digest says, or has tensors
/// that the network lacks.
pub fn lay(net: Net, from: &Pretrained) -> Result<(Net, Start), PretrainedError> {
    let path = Path::new(&from.file);
    // Read once: what is checked is what is laid.
    let bytes = fs::read(path).map_err(|source| PretrainedError::Read { path: path.to_owned(), source })?;
    let found = dygl_weight_file::sha256_of(&bytes);
    if found != from.sha256 {
        let expected = from.sha256.clone();
        return Err(PretrainedError::Changed { path: path.to_owned(), found, expected });
    }
    let tensors = tensors::parse(path, &bytes).map_err(PretrainedError::Tensors)?;
    let network = net.name().to_owned();
    let of = weights::sites(&net).len();
    let (net, tensors) = weights::lay(net, tensors).map_err(|mismatch| PretrainedError::Mismatch {
        path: path.to_owned(),
        network: network.clone(),
        mismatch,
    })?;
    if tensors == 0 {
        return Err(PretrainedError::Empty { path: path.to_owned(), network });
    }
    Ok((net, Start { sha256: from.sha256.clone(), file: from.file.clone(), tensors, of }))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use dygl_spec::name::Named;

    use super::*;
    use crate::learn::init::initialise;
    use crate::learn::tensors::Tensors;

    fn unet(seed: u64) -> Net {
        initialise(Net::build(&Named::plain("unet"), [32; 2], &Device::flex()).expect("known"), seed)
    }

    fn put(folder: &Path, tensors: &Tensors) -> Pretrained {
        let path = folder.join("w.safetensors");
        tensors::write(&path, tensors).expect("written");
        let sha256 = dygl_weight_file::sha256(&path).expect("read");
        Pretrained { file: path.display().to_string(), sha256 }
    }

    #[test]
    fn a_part_is_laid_over_and_the_rest_stays() {
        let folder = tempfile::tempdir().expect("folder");
        let (own, other) = (weights::snapshot(&unet(1)), weights::snapshot(&unet(2)));
        let mut part = other.clone();
        part.retain(|name, _| name.starts_with("inc."));
        let (net, start) = lay(unet(1), &put(folder.path(), &part)).expect("laid");
        assert_eq!((start.tensors, start.of), (part.len(), own.len()));
        for (name, data) in weights::snapshot(&net) {
            assert!(data == if part.contains_key(&name) { &other } else { &own }[&name], "{name}");
        }
    }

    #[test]
    fn another_file_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let whole = weights::snapshot(&unet(2));
        let mut from = put(folder.path(), &whole);
        let text = |from: &Pretrained| lay(unet(1), from).expect_err("refused").to_string();
        let mut foreign = whole.clone();
        foreign.insert("extra".into(), whole["outc.conv.bias"].clone());
        assert!(lay(unet(1), &from).is_ok());
        let right = put(folder.path(), &foreign);
        assert!(text(&from).contains("its sha256 is"));
        assert!(text(&right).contains("extra") && text(&right).contains("--model"));
        assert!(text(&put(folder.path(), &Tensors::new())).contains("no tensor of unet"));
        fs::write(&from.file, b"PK").expect("written");
        from.sha256 = dygl_weight_file::sha256_of(b"PK");
        assert!(text(&from).contains("dygl model import"));
        fs::remove_file(&from.file).expect("removed");
        assert!(text(&from).contains("w.safetensors"));
    }
}
