//! From what a pickle built to dictionaries of named tensors.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use super::error::Fault;
use super::layout::{Layout, Storage};
use super::value::{Arena, Id, Node, Tensor};
use super::{Entry, limits};

/// Keys under which trainers keep the dictionary of tensors, and runs that they
/// put before every name, the likeliest first.
pub const WRAPPERS: [&str; 11] = [
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "network_weights",
    "module",
    "_orig_mod",
    "weights",
    "params",
    "backbone",
];

/// A dictionary of tensors in a file, its layouts unchecked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Keys that led to it.
    pub(super) within: Vec<String>,
    /// Its entries that are no tensors.
    pub(super) others: Vec<String>,
    pub(super) tensors: BTreeMap<String, Tensor>,
}

/// All dictionaries of tensors, those near the top and under the usual keys
/// first. No value is looked at twice.
///
/// # Errors
/// There is none, or they hold more tensors than any file of weights.
pub(super) fn find(arena: &Arena, root: Id) -> Result<Vec<Found>, Fault> {
    let mut found: Vec<Found> = Vec::new();
    let mut seen = HashSet::from([root]);
    let mut queue = VecDeque::from([(root, Vec::<String>::new())]);
    let mut tensors = 0;
    while let Some((at, within)) = queue.pop_front() {
        if let Some(here) = look(arena, at, &within) {
            tensors += here.tensors.len();
            if tensors > limits::TENSORS || here.others.len() > limits::TENSORS {
                let what = "the number of tensors".to_owned();
                return Err(Fault::TooLarge { what, limit: limits::TENSORS as u64 });
            }
            if !here.tensors.is_empty() {
                found.push(here);
            }
        }
        if within.len() >= limits::DEPTH {
            continue;
        }
        for (key, value) in below(arena, at) {
            if seen.len() < limits::PLACES && seen.insert(value) {
                let mut within = within.clone();
                within.push(key);
                queue.push_back((value, within));
            }
        }
    }
    if found.is_empty() { Err(nothing(arena, root)) } else { Ok(found) }
}

fn look(arena: &Arena, at: Id, within: &[String]) -> Option<Found> {
    let Node::Dict(entries) = arena.node(at) else { return None };
    let mut found = Found { within: within.to_vec(), ..Found::default() };
    for (key, value) in entries {
        let name = arena.text(*key);
        match (arena.node(*value), name) {
            (Node::Tensor(tensor), Some(name)) => {
                found.tensors.insert(name.to_owned(), Tensor::clone(tensor));
            }
            (_, name) => found.others.push(name.unwrap_or("(no text)").chars().take(limits::NAME).collect()),
        }
        if found.tensors.len() > limits::TENSORS || found.others.len() > limits::TENSORS {
            break;
        }
    }
    Some(found)
}

/// The dictionaries and lists that a value holds, by key, the usual keys first.
fn below(arena: &Arena, at: Id) -> Vec<(String, Id)> {
    let holds = |id: &Id| matches!(arena.node(*id), Node::Dict(_) | Node::List(_) | Node::Tuple(_));
    match arena.node(at) {
        Node::Dict(entries) => {
            // As in Python, the last of equal keys counts.
            let mut keys: Vec<(String, Id)> = Vec::new();
            let mut places = HashMap::new();
            for (key, value) in entries {
                let Some(key) = arena.text(*key).filter(|key| check_name(key).is_ok()) else { continue };
                match places.get(key) {
                    Some(place) => keys[*place] = (key.to_owned(), *value),
                    None => {
                        places.insert(key, keys.len());
                        keys.push((key.to_owned(), *value));
                    }
                }
            }
            keys.retain(|(_, value)| holds(value));
            let rank = |key: &str| WRAPPERS.iter().position(|word| *word == key).unwrap_or(WRAPPERS.len());
            keys.sort_by_key(|(key, _)| rank(key));
            keys
        }
        Node::List(items) | Node::Tuple(items) => {
            let items = items.iter().take(limits::ITEMS).enumerate().filter(|(_, id)| holds(id));
            items.map(|(index, id)| (index.to_string(), *id)).collect()
        }
        _ => Vec::new(),
    }
}

fn nothing(arena: &Arena, root: Id) -> Fault {
    Fault::NoTensors(match arena.node(root) {
        Node::Dict(entries) => {
            let keys: Vec<&str> = entries.iter().filter_map(|(key, _)| arena.text(*key)).take(12).collect();
            if keys.is_empty() { "it is empty".to_owned() } else { format!("it holds {}", keys.join(", ")) }
        }
        other => format!("it holds {}", other.words()),
    })
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

/// The tensors of a dictionary in their storages.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// By the name behind the prefix.
    pub(super) tensors: BTreeMap<String, Entry>,
    /// Names without the prefix.
    pub(super) beside: Vec<String>,
    pub(super) storages: Vec<Storage>,
}

impl Found {
    /// Holds every tensor whose name begins with `prefix` against the bytes of its
    /// storage. `places` are the storages of the file by key.
    ///
    /// # Errors
    /// A name is unfit, a storage is missing or of another size, a tensor lies
    /// outside it, two disagree about one.
    pub(super) fn take(&self, prefix: &str, places: &BTreeMap<String, Storage>) -> Result<Taken, Fault> {
        let mut taken = Taken::default();
        let mut known: HashMap<&str, (usize, u64)> = HashMap::new();
        for (name, tensor) in &self.tensors {
            check_name(name)?;
            let Some(short) = behind(name, prefix) else {
                taken.beside.push(name.clone());
                continue;
            };
            let refused = |reason: String| Fault::Tensor { tensor: name.clone(), reason };
            let bytes = tensor.held.checked_mul(tensor.dtype.size());
            let Some(bytes) = bytes.filter(|bytes| *bytes <= limits::STORAGE) else {
                let what = format!("the storage of `{name}` with {} values", tensor.held);
                return Err(Fault::TooLarge { what, limit: limits::STORAGE });
            };
            let at = match known.get(tensor.storage.as_str()) {
                Some((_, other)) if *other != bytes => {
                    return Err(refused("another tensor gives its storage another size".to_owned()));
                }
                Some((at, _)) => *at,
                None => {
                    let storage = places.get(&tensor.storage).ok_or_else(|| {
                        Fault::damaged(format!("it lacks the values `data/{}`", tensor.storage))
                    })?;
                    if storage.bytes != bytes {
                        return Err(Fault::damaged(format!(
                            "`data/{}` has {} bytes and should have {bytes}",
                            tensor.storage, storage.bytes
                        )));
                    }
                    known.insert(&tensor.storage, (taken.storages.len(), bytes));
                    taken.storages.push(storage.clone());
                    taken.storages.len() - 1
                }
            };
            let layout = Layout::new(at, tensor.held, tensor.start, &tensor.shape, &tensor.strides);
            let layout = layout.map_err(refused)?;
            let entry = Entry { layout, shape: tensor.shape.clone(), dtype: tensor.dtype };
            taken.tensors.insert(short.to_owned(), entry);
        }
        Ok(taken)
    }
}

/// What is left of a name behind a prefix; never nothing.
pub fn behind<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    name.strip_prefix(prefix).filter(|rest| !rest.is_empty())
}

/// The run of components, each with its dot, that every name begins with and
/// that leaves something of each: `module.model.` of `module.model.a`.
pub fn common_prefix<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let Some(first) = names.next() else { return String::new() };
    let mut common = first.trim_end_matches('.').rfind('.').map_or("", |end| &first[..=end]);
    for name in names {
        while !(common.is_empty() || name.starts_with(common) && name.len() > common.len()) {
            let end = common.trim_end_matches('.').rfind('.');
            common = end.map_or("", |end| &common[..=end]);
        }
    }
    common.to_owned()
}

/// What DataParallel, DistributedDataParallel (`module.`) and torch.compile
/// (`_orig_mod.`) put before every name, in any order.
pub(super) fn wrapped_by_torch(names: &BTreeSet<&str>) -> String {
    let common = common_prefix(names.iter().copied());
    let parts = common.split_inclusive('.').take_while(|part| ["module.", "_orig_mod."].contains(part));
    parts.collect()
}
