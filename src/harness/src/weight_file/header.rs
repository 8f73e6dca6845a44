//! The header of a safetensors file: names, types, shapes, bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::dtype::Dtype;
use super::error::Fault;
use super::layout::{Layout, Place, Storage, contiguous};
use super::{Entry, Index, limits, state};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// The tensors of a header, each name once.
struct Infos(BTreeMap<String, Info>);

impl<'de> Deserialize<'de> for Infos {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Infos;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a dictionary of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Infos, A::Error> {
                let mut infos = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    if infos.len() >= limits::TENSORS {
                        return Err(A::Error::custom("too many tensors"));
                    }
                    let info = map.next_value()?;
                    if infos.insert(name.clone(), info).is_some() {
                        return Err(A::Error::custom(format!("tensor `{name}` stands there twice")));
                    }
                }
                Ok(Infos(infos))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// Reads the index; `length` is that of the file.
pub(super) fn read(file: &mut File, length: u64) -> Result<Index, Fault> {
    let unreadable = |error: std::io::Error| Fault::damaged(error.to_string());
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let mut size = [0; 8];
    file.read_exact(&mut size).map_err(unreadable)?;
    let size = u64::from_le_bytes(size);
    if size > limits::HEADER.min(length.saturating_sub(8)) {
        return Err(if size > length {
            Fault::damaged("the header is longer than the file")
        } else {
            Fault::TooLarge { what: format!("a header of {size} bytes"), limit: limits::HEADER }
        });
    }
    let mut header = Vec::new();
    file.take(size).read_to_end(&mut header).map_err(unreadable)?;
    let Infos(infos) = serde_json::from_slice(&header)
        .map_err(|error| Fault::damaged(format!("the header is not as it must be: {error}")))?;
    let start = 8 + size;
    index(infos, start, length - start)
}

/// Holds each tensor against the bytes that it claims: together they must be
/// exactly those of the file.
fn index(infos: BTreeMap<String, Info>, start: u64, held: u64) -> Result<Index, Fault> {
    let mut index = Index::default();
    let mut ranges = Vec::with_capacity(infos.len());
    for (name, info) in infos {
        state::check_name(&name)?;
        let refused = |reason: String| Fault::Tensor { tensor: name.clone(), reason };
        let Some(dtype) = Dtype::of_safetensors(&info.dtype) else {
            let types = "F64, F32, F16, BF16, integers and BOOL are";
            return Err(refused(format!("values of type {:?} are not read ({types})", info.dtype)));
        };
        let [begin, end] = info.data_offsets;
        let shape: Option<Vec<usize>> = info.shape.iter().map(|size| usize::try_from(*size).ok()).collect();
        let elements = info.shape.iter().try_fold(1u64, |product, size| product.checked_mul(*size));
        let bytes = elements.and_then(|elements| elements.checked_mul(dtype.size()));
        let (Some(shape), Some(bytes), true) = (shape, bytes, begin <= end && end <= held) else {
            return Err(refused(format!("shape {:?} in bytes {begin} to {end} of {held}", info.shape)));
        };
        if bytes != end - begin {
            return Err(refused(format!("shape {shape:?} needs {bytes} bytes and has {}", end - begin)));
        }
        ranges.push((begin, end));
        let strides = contiguous(&shape);
        let layout = Layout::new(index.storages.len(), bytes / dtype.size(), 0, &shape, &strides);
        index.storages.push(Storage { place: Place::At(start + begin), bytes });
        index.tensors.insert(name.clone(), Entry { layout: layout.map_err(refused)?, shape, dtype });
    }
    ranges.sort_unstable();
    let mut next = 0;
    for (begin, end) in ranges {
        if begin != next {
            return Err(Fault::damaged("the tensors overlap or leave gaps"));
        }
        next = end;
    }
    if next != held {
        return Err(Fault::damaged(format!("the tensors take {next} bytes, and the file holds {held}")));
    }
    if index.tensors.is_empty() {
        return Err(Fault::NoTensors("it is empty".to_owned()));
    }
    Ok(index)
}
