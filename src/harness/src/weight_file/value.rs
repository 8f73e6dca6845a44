//! The values that a pickle builds, in an arena.

use super::dtype::Dtype;
use super::limits;

/// Number of a value in the arena.
pub(super) type Id = u32;

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Node {
    None,
    Flag(bool),
    Int(i128),
    /// A number that no tensor needs; its value is dropped.
    Number,
    Text(Box<str>),
    /// Bytes; dropped.
    Bytes,
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Name(Name),
    Storage(Box<(String, u64, Dtype)>),
    Tensor(Box<Tensor>),
}

impl Node {
    /// What it is, for people.
    pub(super) fn words(&self) -> &'static str {
        match self {
            Node::None => "nothing",
            Node::Flag(_) | Node::Int(_) | Node::Number => "a number",
            Node::Text(_) => "a text",
            Node::Bytes => "bytes",
            Node::Tuple(_) | Node::List(_) => "a list",
            Node::Dict(_) => "a dictionary",
            Node::Name(_) => "a name",
            Node::Storage(_) => "a storage",
            Node::Tensor(_) => "a single tensor",
        }
    }
}

/// The names that may stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    OrderedDict,
    Tensor,
    TensorV2,
    Parameter,
    Storage(Dtype),
}

impl Name {
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("collections", "OrderedDict") => Some(Name::OrderedDict),
            ("torch._utils", "_rebuild_tensor") => Some(Name::Tensor),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Name::TensorV2),
            ("torch._utils", "_rebuild_parameter") | ("torch.nn.parameter", "Parameter") => {
                Some(Name::Parameter)
            }
            ("torch" | "torch.cuda", class) => Dtype::of_storage(class).map(Name::Storage),
            _ => None,
        }
    }
}

/// A tensor as the file describes it, unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    pub(super) storage: String,
    /// Values of the storage.
    pub(super) held: u64,
    pub(super) dtype: Dtype,
    pub(super) start: u64,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// The values that were built.
#[derive(Debug, Default)]
pub(super) struct Arena(Vec<Node>);

impl Arena {
    pub(super) fn push(&mut self, node: Node) -> Id {
        self.0.push(node);
        (self.0.len() - 1) as Id
    }

    pub(super) fn node_mut(&mut self, id: Id) -> Option<&mut Node> {
        self.0.get_mut(id as usize)
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        self.0.get(id as usize).unwrap_or(&Node::None)
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a key of a dictionary.
    pub(super) fn entry(&self, dict: Id, key: &str) -> Option<Id> {
        match self.node(dict) {
            Node::Dict(entries) => {
                entries.iter().rev().find(|(name, _)| self.text(*name) == Some(key)).map(|(_, value)| *value)
            }
            _ => None,
        }
    }

    pub(super) fn items(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn count(&self, id: Id) -> Option<u64> {
        match self.node(id) {
            Node::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    pub(super) fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        let items = self.items(id)?;
        // Many tensors may share one long list: keep no copies of it.
        if items.len() > limits::RANK {
            return None;
        }
        items.iter().map(|item| usize::try_from(self.count(*item)?).ok()).collect()
    }
}
