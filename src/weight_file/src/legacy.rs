//! The format of `torch.save` before PyTorch 1.6: five pickles in a row (magic
//! number, version, machine, object, keys of storages), then each storage as
//! its number of values and their bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use super::error::Fault;
use super::layout::{Place, Storage};
use super::pickle::Machine;
use super::value::Node;
use super::{Index, limits, state};

/// First number of a file.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const VERSION: i128 = 1001;

/// Reads the index; `length` is that of the file.
pub(super) fn read(file: &mut File, length: u64) -> Result<Index, Fault> {
    let unreadable = |error: std::io::Error| Fault::damaged(error.to_string());
    file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
    let mut head = Vec::new();
    file.by_ref().take(limits::PICKLE).read_to_end(&mut head).map_err(unreadable)?;
    let mut machine = Machine::new(&head);
    let ended = |fault| match fault {
        Fault::Damaged(_) if length > limits::PICKLE && machine_full(&head) => {
            Fault::TooLarge { what: "the pickle".to_owned(), limit: limits::PICKLE }
        }
        other => other,
    };
    let magic = machine.run().map_err(ended)?;
    if !matches!(machine.arena().node(magic), Node::Int(MAGIC)) {
        let what = "is a pickle, but not one of torch.save".to_owned();
        return Err(Fault::Foreign(what));
    }
    let version = machine.run().map_err(ended)?;
    if !matches!(machine.arena().node(version), Node::Int(VERSION)) {
        return Err(Fault::Unsupported("its version of the legacy format is unknown".to_owned()));
    }
    let system = machine.run().map_err(ended)?;
    let little = machine.arena().entry(system, "little_endian");
    if little.is_some_and(|little| matches!(machine.arena().node(little), Node::Flag(false))) {
        return Err(Fault::Unsupported("its values are stored big-endian".to_owned()));
    }
    let root = machine.run().map_err(ended)?;
    let keys = machine.run().map_err(ended)?;
    let start = machine.at() as u64;

    let dictionaries = state::find(machine.arena(), root)?;
    let Node::List(keys) = machine.arena().node(keys) else {
        return Err(Fault::damaged("the list of storages is missing"));
    };
    let sizes = machine.storages();
    let mut places = BTreeMap::new();
    let mut at = start;
    for key in keys {
        let Some(key) = machine.arena().text(*key) else {
            return Err(Fault::damaged("the key of a storage is no text"));
        };
        let Some((held, dtype)) = sizes.get(key) else {
            return Err(Fault::damaged("a storage that nothing refers to"));
        };
        let mut count = [0; 8];
        file.seek(SeekFrom::Start(at)).map_err(unreadable)?;
        file.read_exact(&mut count).map_err(|_| Fault::damaged("it ends before its values do"))?;
        if u64::from_le_bytes(count) != *held {
            return Err(Fault::damaged("a storage has another size than its tensors say"));
        }
        let bytes = held.checked_mul(dtype.size());
        let end = bytes.and_then(|bytes| (at + 8).checked_add(bytes)).filter(|end| *end <= length);
        let (Some(bytes), Some(end)) = (bytes, end) else {
            return Err(Fault::damaged("it ends before its values do"));
        };
        let place = Place::At { file: 0, start: at + 8 };
        if places.insert(key.to_owned(), Storage { place, bytes }).is_some() {
            return Err(Fault::damaged("a storage stands there twice"));
        }
        at = end;
    }
    Ok(Index { dictionaries, places })
}

/// Whether a pickle may end beyond what was read.
fn machine_full(head: &[u8]) -> bool {
    head.len() as u64 >= limits::PICKLE
}
