//! The header of a safetensors file: names, types, shapes, bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::dtype::Dtype;
use super::error::Fault;
use super::layout::{Place, Storage, contiguous};
use super::state::{self, Found};
use super::value::Tensor;
use super::{Index, limits};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// A dictionary of JSON, each name once.
pub(super) struct Once<T>(pub(super) BTreeMap<String, T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Once<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Read<T> {
            type Value = Once<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a dictionary of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Once<T>, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    if entries.len() >= limits::TENSORS {
                        return Err(A::Error::custom("too many tensors"));
                    }
                    let value = map.next_value()?;
                    if entries.insert(name.clone(), value).is_some() {
                        return Err(A::Error::custom(format!("tensor `{name}` stands there twice")));
                    }
                }
                Ok(Once(entries))
            }
        }
        deserializer.deserialize_map(Read(PhantomData))
    }
}

/// Whether the first nine bytes are those of such a file: a length, then JSON.
/// The length may begin with the bytes of a pickle.
pub(super) fn is_one(head: &[u8]) -> bool {
    matches!(head, [_, _, _, _, 0, 0, 0, 0, b'{'] | [0, .., b'{'])
}

/// Reads the index; `length` is that of the file, `number` its place among shards.
pub(super) fn read(file: &mut File, length: u64, number: usize) -> Result<Index, Fault> {
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
    let Once(infos) = serde_json::from_slice(&header)
        .map_err(|error| Fault::damaged(format!("the header is not as it must be: {error}")))?;
    let start = 8 + size;
    index(infos, number, start, length - start)
}

/// Holds each tensor against the bytes that it claims: together they must be
/// exactly those of the file.
fn index(infos: BTreeMap<String, Info>, file: usize, start: u64, held: u64) -> Result<Index, Fault> {
    let mut found = Found::default();
    let mut places = BTreeMap::new();
    let mut ranges = Vec::with_capacity(infos.len());
    for (name, info) in infos {
        state::check_name(&name)?;
        let refused = |reason: String| Fault::Tensor { tensor: name.clone(), reason };
        let [begin, end] = info.data_offsets;
        let outside = || refused(format!("shape {:?} in bytes {begin} to {end} of {held}", info.shape));
        if begin > end || end > held {
            return Err(outside());
        }
        ranges.push((begin, end));
        let Some(dtype) = Dtype::of_safetensors(&info.dtype) else {
            let dtype: String = info.dtype.chars().take(20).collect();
            found.others.push(format!("{name} (values of type {})", dtype.escape_debug()));
            continue;
        };
        let shape: Option<Vec<usize>> = info.shape.iter().map(|size| usize::try_from(*size).ok()).collect();
        let elements = info.shape.iter().try_fold(1u64, |product, size| product.checked_mul(*size));
        let bytes = elements.and_then(|elements| elements.checked_mul(dtype.size()));
        let (Some(shape), Some(bytes)) = (shape, bytes) else { return Err(outside()) };
        if bytes != end - begin {
            return Err(refused(format!("shape {shape:?} needs {bytes} bytes and has {}", end - begin)));
        }
        let strides = contiguous(&shape);
        let tensor =
            Tensor { storage: name.clone(), held: bytes / dtype.size(), dtype, start: 0, shape, strides };
        let place = Place::At { file, start: start + begin };
        places.insert(name.clone(), Storage { place, bytes });
        found.tensors.insert(name, tensor);
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
    if found.tensors.is_empty() {
        let held: Vec<&str> = found.others.iter().take(10).map(String::as_str).collect();
        let held = if held.is_empty() { "it is empty".to_owned() } else { held.join(", ") };
        return Err(Fault::NoTensors(held));
    }
    Ok(Index { dictionaries: vec![found], places })
}
