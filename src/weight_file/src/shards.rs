//! Weights in several files of safetensors, and the index beside them
//! (`model.safetensors.index.json`): `{"weight_map": {"name": "file", ...}}`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::error::{self, Fault, WeightFileError};
use super::header::{self, Once};
use super::state::Found;
use super::{Index, limits};

#[derive(Deserialize)]
struct Map {
    weight_map: Once<String>,
}

/// Reads the index of shards and the header of every shard. The files are those
/// that places name by number.
pub(super) fn read(
    path: &Path,
    file: &mut File,
    length: u64,
) -> Result<(Vec<PathBuf>, Index), WeightFileError> {
    let refused = |fault: Fault| error::refused(path, fault);
    let map = map(file, length).map_err(refused)?;
    let names: BTreeSet<&str> = map.values().map(String::as_str).collect();
    if names.len() > limits::SHARDS {
        let limit = limits::SHARDS as u64;
        return Err(refused(Fault::TooLarge { what: format!("the number of {} files", names.len()), limit }));
    }
    if let Some(far) = names.iter().find(|name| !is_beside(name)) {
        let far: String = far.chars().take(120).collect();
        return Err(refused(Fault::Foreign(format!(
            "is an index of shards that names {far:?}, which is no file beside it"
        ))));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let files: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    let mut whole = Found::default();
    let mut places = BTreeMap::new();
    let mut wrong = Vec::new();
    for ((number, file), name) in files.iter().enumerate().zip(&names) {
        let Index { dictionaries, places: more } = shard(file, number)?;
        for Found { others, tensors, .. } in dictionaries {
            for tensor in tensors.keys() {
                match map.get(tensor) {
                    Some(listed) if listed == name => {}
                    Some(listed) => wrong.push(format!("`{tensor}` lies in {name}, not in {listed}")),
                    None => wrong.push(format!("`{tensor}` of {name} is not in the index")),
                }
            }
            whole.others.extend(others);
            whole.tensors.extend(tensors);
        }
        places.extend(more);
    }
    let is_other = |name: &str| whole.others.iter().any(|other| other.starts_with(&format!("{name} (")));
    let lost = map.iter().filter(|(name, _)| !whole.tensors.contains_key(*name) && !is_other(name));
    wrong.extend(lost.map(|(name, listed)| format!("`{name}` is not in {listed}")));
    match wrong.len() {
        0 => Ok((files, Index { dictionaries: vec![whole], places })),
        count => {
            let more = if count > 10 { format!("; and {} more", count - 10) } else { String::new() };
            let wrong = wrong.into_iter().take(10).collect::<Vec<_>>().join("; ");
            Err(refused(Fault::damaged(format!("index and shards part: {wrong}{more}"))))
        }
    }
}

fn map(file: &mut File, length: u64) -> Result<BTreeMap<String, String>, Fault> {
    let unreadable = |error: io::Error| Fault::damaged(error.to_string());
    if length > limits::HEADER {
        return Err(Fault::TooLarge { what: format!("an index of {length} bytes"), limit: limits::HEADER });
    }
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let mut text = Vec::new();
    file.take(length).read_to_end(&mut text).map_err(unreadable)?;
    let Map { weight_map: Once(map) } = serde_json::from_slice(&text)
        .map_err(|error| Fault::Foreign(format!("is JSON, but no index of shards ({error})")))?;
    if map.is_empty() { Err(Fault::NoTensors("its weight_map is empty".to_owned())) } else { Ok(map) }
}

/// Whether a name is that of a file in the same folder.
fn is_beside(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
        && !name.contains(['\\', '\0'])
        && !name.ends_with('/')
}

fn shard(path: &Path, number: usize) -> Result<Index, WeightFileError> {
    let (mut file, length, head) = super::open(path)?;
    if !header::is_one(&head) {
        return Err(error::refused(path, Fault::foreign(&head)));
    }
    header::read(&mut file, length, number).map_err(|fault| fault.of(path))
}
