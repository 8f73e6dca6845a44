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
    Text(Box<str>),
    /// What no tensor needs (a fraction, bytes, a set, a device); its content is
    /// dropped, and the word says what it was.
    Other(&'static str),
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
            Node::Flag(_) | Node::Int(_) => "a number",
            Node::Text(_) => "a text",
            Node::Other(word) => word,
            Node::Tuple(_) | Node::List(_) => "a list",
            Node::Dict(_) => "a dictionary",
            Node::Name(_) => "a name",
            Node::Storage(_) => "a storage",
            Node::Tensor(_) => "a single tensor",
        }
    }
}

/// The names that may stand in a file: those that `torch.load(weights_only=True)`
/// allows, and the two that numpy's single numbers need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    OrderedDict,
    Tensor,
    TensorV2,
    /// A function whose first argument is a tensor, which is what it gives.
    Same,
    /// `_rebuild_from_type_v2`: another function of this list, with its arguments.
    Typed,
    /// A tuple of sizes.
    Size,
    Storage(Dtype),
    /// What makes a value that no tensor needs, whatever its arguments are.
    Inert(&'static str),
}

/// Names of values that stand beside weights.
const INERT: [(&str, &str, &str); 24] = [
    ("builtins", "set", "a set"),
    ("builtins", "frozenset", "a set"),
    ("builtins", "bytearray", "bytes"),
    ("builtins", "bytes", "bytes"),
    ("builtins", "complex", "a number"),
    ("_codecs", "encode", "bytes"),
    ("collections", "Counter", "counts"),
    ("torch", "device", "a device"),
    ("torch", "Tensor", "a type"),
    ("torch.serialization", "_get_layout", "a memory layout"),
    ("numpy", "dtype", "a type"),
    ("numpy.core.multiarray", "scalar", "a number"),
    ("numpy._core.multiarray", "scalar", "a number"),
    ("torch._utils", "_rebuild_tensor_v3", "a tensor of a type that is not read"),
    ("torch._utils", "_rebuild_sparse_tensor", "a sparse tensor"),
    ("torch._utils", "_rebuild_qtensor", "a quantized tensor"),
    ("torch._utils", "_rebuild_nested_tensor", "a nested tensor"),
    ("torch._utils", "_rebuild_meta_tensor_no_storage", "a tensor without values"),
    ("torch", "per_tensor_affine", "a type"),
    ("torch", "per_tensor_symmetric", "a type"),
    ("torch", "per_channel_affine", "a type"),
    ("torch", "per_channel_symmetric", "a type"),
    ("torch", "per_channel_affine_float_qparams", "a type"),
    ("torch", "strided", "a memory layout"),
];

/// Types of values as PyTorch names them: `torch.float32` as a value.
const TYPES: [&str; 29] = [
    "float32",
    "float",
    "float64",
    "double",
    "float16",
    "half",
    "bfloat16",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
    "complex32",
    "complex64",
    "complex128",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "short",
    "int32",
    "int",
    "int64",
    "long",
    "bool",
    "qint8",
    "quint8",
];

impl Name {
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        // Python 2's name, which pickles of protocol 2 keep.
        let module = if module == "__builtin__" { "builtins" } else { module };
        match (module, name) {
            ("collections", "OrderedDict") => Some(Name::OrderedDict),
            ("torch._utils", "_rebuild_tensor") => Some(Name::Tensor),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Name::TensorV2),
            (
                "torch._utils",
                "_rebuild_parameter"
                | "_rebuild_parameter_with_state"
                | "_rebuild_device_tensor_from_cpu_tensor",
            )
            | ("torch.nn.parameter", "Parameter") => Some(Name::Same),
            ("torch._tensor", "_rebuild_from_type_v2") => Some(Name::Typed),
            ("torch", "Size") => Some(Name::Size),
            ("torch" | "torch.cuda" | "torch.storage", class) if class.ends_with("Storage") => {
                Dtype::of_storage(class).map(Name::Storage)
            }
            ("torch", word) if TYPES.contains(&word) => Some(Name::Inert("a type")),
            _ => {
                let known = INERT.iter().find(|known| (known.0, known.1) == (module, name));
                known.map(|(.., what)| Name::Inert(what))
            }
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
