//! Files of named tensors (safetensors): f32, and i64 for counters.
//!
//! Written files are a pure function of names, shapes and values (sorted, no
//! metadata), so that their digest identifies the content.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, TensorData};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// Named tensors on the host.
pub type Tensors = BTreeMap<String, TensorData>;

/// Why a file of tensors could not be read or written; completes "failed to".
#[derive(Debug, thiserror::Error)]
pub enum TensorFileError {
    /// There is no such file.
    #[error("read {path}: there is no such file")]
    Missing {
        /// The file to read.
        path: PathBuf,
    },
    /// The file is there and cannot be read.
    #[error("read {path}: {source}")]
    Read {
        /// The file to read.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The bytes are no intact safetensors file.
    #[error("read {path}: it is no intact safetensors file ({reason})")]
    Malformed {
        /// The file to read.
        path: PathBuf,
        /// What the reader stumbles over.
        reason: String,
    },
    /// A tensor has another type than is wanted.
    #[error("read {path}: tensor `{tensor}` has type {dtype}; convert it to F32")]
    Type {
        /// The file to read.
        path: PathBuf,
        /// Its name in the file.
        tensor: String,
        /// The type that it has: `F16`, `I64`.
        dtype: String,
    },
    /// The file lacks the tensor that is asked for.
    #[error("read {path}: it holds no tensor `{tensor}` (it holds: {held})")]
    Absent {
        /// The file to read.
        path: PathBuf,
        /// The name that is asked for.
        tensor: String,
        /// Names that it has, five at most, with commas between.
        held: String,
    },
    /// The file cannot be written, or a tensor is of another type than f32 and i64.
    #[error("write {path}: {reason}")]
    Write {
        /// The file to write.
        path: PathBuf,
        /// What the system or the encoder says.
        reason: String,
    },
}

impl TensorFileError {
    /// Whether the file itself is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}

/// Reads every tensor of a file.
///
/// # Errors
/// The file is missing, unreadable, not intact, or holds another type than
/// F32 and I64.
pub fn read(path: &Path) -> Result<Tensors, TensorFileError> {
    let bytes = fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => TensorFileError::Missing { path: path.to_owned() },
        _ => TensorFileError::Read { path: path.to_owned(), source },
    })?;
    parse(path, &bytes)
}

/// The tensors of a file whose bytes were read; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Tensors, TensorFileError> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| TensorFileError::Malformed { path: path.to_owned(), reason: error.to_string() })?;
    let mut tensors = Tensors::new();
    for (name, view) in file.iter() {
        let shape = view.shape().to_vec();
        let data = match view.dtype() {
            Dtype::F32 => TensorData::new(decode(view.data(), f32::from_le_bytes), shape),
            Dtype::I64 => TensorData::new(decode(view.data(), i64::from_le_bytes), shape),
            other => {
                return Err(TensorFileError::Type {
                    path: path.to_owned(),
                    tensor: name.to_owned(),
                    dtype: format!("{other:?}"),
                });
            }
        };
        tensors.insert(name.to_owned(), data);
    }
    Ok(tensors)
}

/// Reads one f32 tensor of a file.
///
/// # Errors
/// As [`read`]; or the file holds no such tensor, or not as f32.
pub fn read_one(path: &Path, name: &str) -> Result<TensorData, TensorFileError> {
    let mut tensors = read(path)?;
    let Some(data) = tensors.remove(name) else {
        let held = tensors.keys().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(TensorFileError::Absent { path: path.to_owned(), tensor: name.to_owned(), held });
    };
    if data.dtype() != DType::F32 {
        return Err(TensorFileError::Type {
            path: path.to_owned(),
            tensor: name.to_owned(),
            dtype: format!("{:?}", data.dtype()),
        });
    }
    Ok(data)
}

/// Writes tensors of f32 and i64.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, tensors: &Tensors) -> Result<(), TensorFileError> {
    let failed = |reason: String| TensorFileError::Write { path: path.to_owned(), reason };
    let mut encoded = Vec::with_capacity(tensors.len());
    for (name, data) in tensors {
        let (dtype, bytes) = encode(data).map_err(&failed)?;
        encoded.push((name, dtype, data.shape().to_vec(), bytes));
    }
    let views = encoded
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| failed(error.to_string()))?;
    let bytes = safetensors::serialize(views, None).map_err(|error| failed(error.to_string()))?;
    fs::write(path, bytes).map_err(|error| failed(error.to_string()))
}

fn decode<const N: usize, T>(bytes: &[u8], from: fn([u8; N]) -> T) -> Vec<T> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|chunk| from(*chunk)).collect()
}

fn encode(data: &TensorData) -> Result<(Dtype, Vec<u8>), String> {
    match data.dtype() {
        DType::F32 => {
            let values = data.as_slice::<f32>().map_err(|error| format!("{error:?}"))?;
            Ok((Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        }
        DType::I64 => {
            let values = data.as_slice::<i64>().map_err(|error| format!("{error:?}"))?;
            Ok((Dtype::I64, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        }
        other => Err(format!("a tensor has type {other:?}, and only f32 and i64 are written")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_round_trip_and_are_deterministic() {
        let folder = tempfile::tempdir().expect("folder");
        let mut tensors = Tensors::new();
        tensors.insert("b".into(), TensorData::new(vec![1.5f32, -2.0], [2]));
        tensors.insert("a".into(), TensorData::new(vec![7i64], Vec::<usize>::new()));
        let (first, second) = (folder.path().join("1"), folder.path().join("2"));
        write(&first, &tensors).expect("written");
        write(&second, &read(&first).expect("read")).expect("written");
        assert_eq!(fs::read(first).expect("bytes"), fs::read(second).expect("bytes"));
    }

    #[test]
    fn damaged_files_are_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("x");
        assert!(read(&path).expect_err("missing").is_missing());
        for bytes in [&b""[..], &b"garbage that is no tensor file"[..], &[0xff; 64][..]] {
            fs::write(&path, bytes).expect("written");
            assert!(matches!(read(&path), Err(TensorFileError::Malformed { .. })));
        }
    }
}
