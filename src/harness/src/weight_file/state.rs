//! From what a pickle built to named tensors.

use std::collections::{BTreeMap, HashMap};

use super::error::Fault;
use super::layout::{Layout, Storage};
use super::value::{Arena, Id, Node, Tensor};
use super::{Entry, Index, limits};

/// Keys under which trainers keep the dictionary of tensors, in the order in
/// which they are looked for.
const WRAPPERS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];
/// What DataParallel puts before every name.
const PREFIX: &str = "module.";

/// The dictionary of tensors that a pickle holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    within: Vec<String>,
    others: Vec<String>,
    tensors: BTreeMap<String, Tensor>,
}

/// Looks for the tensors: at the top, else under one of [`WRAPPERS`].
pub(super) fn find(arena: &Arena, root: Id) -> Result<Found, Fault> {
    let mut within = Vec::new();
    match look(arena, root, &mut within)? {
        Some(found) => Ok(found),
        None => Err(Fault::NoTensors(match arena.node(root) {
            Node::Dict(entries) => {
                let keys: Vec<&str> =
                    entries.iter().filter_map(|(key, _)| arena.text(*key)).take(12).collect();
                if keys.is_empty() {
                    "it is empty".to_owned()
                } else {
                    format!("it holds {}", keys.join(", "))
                }
            }
            other => format!("it holds {}", other.words()),
        })),
    }
}

fn look(arena: &Arena, at: Id, within: &mut Vec<String>) -> Result<Option<Found>, Fault> {
    let Node::Dict(entries) = arena.node(at) else { return Ok(None) };
    let mut found = Found { within: within.clone(), ..Found::default() };
    for (key, value) in entries {
        let name = arena.text(*key);
        match (arena.node(*value), name) {
            (Node::Tensor(tensor), Some(name)) => {
                check_name(name)?;
                found.tensors.insert(name.to_owned(), Tensor::clone(tensor));
            }
            (_, name) => found.others.push(name.unwrap_or("(no text)").chars().take(limits::NAME).collect()),
        }
        if found.tensors.len() > limits::TENSORS || found.others.len() > limits::TENSORS {
            let what = "the number of tensors".to_owned();
            return Err(Fault::TooLarge { what, limit: limits::TENSORS as u64 });
        }
    }
    if !found.tensors.is_empty() {
        return Ok(Some(found));
    }
    if within.len() >= limits::DEPTH {
        return Ok(None);
    }
    for wrapper in WRAPPERS {
        // As in Python, the last of equal keys counts.
        let inner = entries.iter().rev().find(|(key, _)| arena.text(*key) == Some(wrapper));
        if let Some((_, inner)) = inner {
            within.push(wrapper.to_owned());
            if let Some(found) = look(arena, *inner, within)? {
                return Ok(Some(found));
            }
            within.pop();
        }
    }
    Ok(None)
}

/// A name that is fit for files and messages.
pub(super) fn check_name(name: &str) -> Result<(), Fault> {
    if name.is_empty() || name.len() > limits::NAME || name.chars().any(char::is_control) {
        let shown: String = name.chars().take(40).collect();
        let reason = format!("a name has 1 to {} bytes without control characters", limits::NAME);
        return Err(Fault::Tensor { tensor: shown.escape_debug().to_string(), reason });
    }
    Ok(())
}

impl Found {
    /// The keys of the storages that the tensors lie in, each once, with the
    /// bytes that it must have.
    ///
    /// # Errors
    /// Two tensors disagree about a storage, or one is larger than is read.
    pub(super) fn storages(&self) -> Result<BTreeMap<String, u64>, Fault> {
        let mut storages = BTreeMap::new();
        for (name, tensor) in &self.tensors {
            let refused = |reason: String| Fault::Tensor { tensor: name.clone(), reason };
            let bytes = tensor.held.checked_mul(tensor.dtype.size());
            let Some(bytes) = bytes.filter(|bytes| *bytes <= limits::STORAGE) else {
                let what = format!("the storage of `{name}` with {} values", tensor.held);
                return Err(Fault::TooLarge { what, limit: limits::STORAGE });
            };
            let known = storages.insert(tensor.storage.clone(), bytes);
            if known.is_some_and(|known| known != bytes) {
                return Err(refused("another tensor gives its storage another size".to_owned()));
            }
        }
        Ok(storages)
    }

    /// Puts the tensors into their storages.
    pub(super) fn index(self, places: BTreeMap<String, Storage>) -> Result<Index, Fault> {
        let mut index = Index { within: self.within, others: self.others, ..Index::default() };
        let mut known = HashMap::new();
        for (key, storage) in places {
            known.insert(key, index.storages.len());
            index.storages.push(storage);
        }
        for (name, tensor) in self.tensors {
            let refused = |reason: String| Fault::Tensor { tensor: name.clone(), reason };
            let storage = known.get(&tensor.storage).copied();
            let storage = storage.ok_or_else(|| refused("its storage is not in the file".to_owned()))?;
            let layout = Layout::new(storage, tensor.held, tensor.start, &tensor.shape, &tensor.strides);
            let entry = Entry { layout: layout.map_err(refused)?, shape: tensor.shape, dtype: tensor.dtype };
            index.tensors.insert(name, entry);
        }
        Ok(index)
    }
}

/// Takes `module.` off if every name begins with it, as often as it does.
pub(super) fn strip(mut tensors: BTreeMap<String, Entry>) -> (String, BTreeMap<String, Entry>) {
    let mut prefix = String::new();
    while !tensors.is_empty()
        && tensors.keys().all(|name| name.len() > PREFIX.len() && name.starts_with(PREFIX))
    {
        prefix.push_str(PREFIX);
        tensors = tensors.into_iter().map(|(name, entry)| (name[PREFIX.len()..].to_owned(), entry)).collect();
    }
    (prefix, tensors)
}
