//! What the names of a pickle build: dictionaries, storages, tensors, and values
//! without content.

use super::super::error::Fault;
use super::super::limits;
use super::super::value::{Id, Name, Node, Tensor};
use super::Machine;

impl Machine<'_> {
    pub(super) fn name(&mut self, module: &str, name: &str) -> Result<(), Fault> {
        let Some(known) = Name::find(module, name) else {
            let asked: String = format!("{module}.{name}").chars().take(120).collect();
            return Err(Fault::Code(asked.escape_debug().to_string()));
        };
        self.push(Node::Name(known))
    }

    /// BINPERSID: `("storage", type, key, device, values[, view])`.
    pub(super) fn storage(&mut self) -> Result<(), Fault> {
        let id = self.pop()?;
        let arena = &self.arena;
        let fault = || Fault::damaged("a reference to a storage is not as torch.save writes it");
        let items = arena.items(id).ok_or_else(fault)?;
        let ([kind, class, key, _, held] | [kind, class, key, _, held, _]) = *items else {
            return Err(fault());
        };
        if let [.., view] = items
            && items.len() == 6
            && !matches!(arena.node(*view), Node::None)
        {
            return Err(Fault::Unsupported("a storage is a view of another".to_owned()));
        }
        let (Some("storage"), Node::Name(Name::Storage(dtype)), Some(key), Some(held)) =
            (arena.text(kind), arena.node(class), arena.text(key), arena.count(held))
        else {
            return Err(fault());
        };
        if key.len() > limits::NAME {
            return Err(fault());
        }
        let (key, dtype) = (key.to_owned(), *dtype);
        if *self.storages.entry(key.clone()).or_insert((held, dtype)) != (held, dtype) {
            return Err(Fault::damaged("one storage is described in two ways"));
        }
        self.push(Node::Storage(Box::new((key, held, dtype))))
    }

    /// REDUCE: in Python a call of any function; here one of [`Name`]. `refusal`
    /// makes the error of what is none, from what it is.
    pub(super) fn call(&mut self, refusal: impl Fn(&str) -> Fault) -> Result<(), Fault> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Node::Name(name) = *self.arena.node(function) else {
            return Err(refusal(self.arena.node(function).words()));
        };
        let built = self.build_value(name, arguments, true)?;
        self.push(built)
    }

    /// What a name makes of its arguments; `typed` where it may name another.
    fn build_value(&mut self, name: Name, arguments: Id, typed: bool) -> Result<Node, Fault> {
        let fault = || Fault::damaged("a tensor of the pickle is not as torch.save writes it");
        if let Name::Inert(word) = name {
            return Ok(Node::Other(word));
        }
        // Before anything is copied.
        if let Some([pairs]) = self.arena.items(arguments) {
            let pairs = self.arena.items(*pairs).map_or(0, <[Id]>::len);
            self.spend(8 * pairs)?;
        }
        let items = self.arena.items(arguments).ok_or_else(fault)?;
        Ok(match (name, items) {
            (Name::OrderedDict, []) => Node::Dict(Vec::new()),
            (Name::OrderedDict, [pairs]) => {
                let pairs = self.arena.items(*pairs).ok_or_else(fault)?;
                let pair = |id: &Id| match self.arena.items(*id) {
                    Some([key, value]) => Ok((*key, *value)),
                    _ => Err(fault()),
                };
                Node::Dict(pairs.iter().map(pair).collect::<Result<_, _>>()?)
            }
            (Name::Size, []) => Node::Tuple(Vec::new()),
            (Name::Size, [sizes]) => Node::Tuple(self.arena.items(*sizes).ok_or_else(fault)?.to_vec()),
            (Name::Tensor, [storage, start, shape, strides])
            | (Name::TensorV2, [storage, start, shape, strides, _, _]) => {
                self.tensor(*storage, *start, *shape, *strides)?
            }
            (Name::TensorV2, [storage, start, shape, strides, _, _, extra]) => {
                match self.arena.node(*extra) {
                    Node::None => self.tensor(*storage, *start, *shape, *strides)?,
                    Node::Dict(marks) if marks.is_empty() => {
                        self.tensor(*storage, *start, *shape, *strides)?
                    }
                    // Marks of lazy conjugation and negation: the values are others.
                    _ => Node::Other("a lazy view of a tensor"),
                }
            }
            (Name::Same, [value, ..]) => match self.arena.node(*value) {
                // Quantized, sparse: as little a weight as before.
                node @ (Node::Tensor(_) | Node::Other(_)) => node.clone(),
                _ => return Err(fault()),
            },
            (Name::Typed, [function, _, arguments, _]) if typed => {
                let (function, arguments) = (*function, *arguments);
                let Node::Name(name) = *self.arena.node(function) else { return Err(fault()) };
                self.build_value(name, arguments, false)?
            }
            _ => return Err(fault()),
        })
    }

    fn tensor(&self, storage: Id, start: Id, shape: Id, strides: Id) -> Result<Node, Fault> {
        let fault = || Fault::damaged("a tensor of the pickle is not as torch.save writes it");
        let Node::Storage(known) = self.arena.node(storage) else { return Err(fault()) };
        let (storage, held, dtype) = (**known).clone();
        let start = self.arena.count(start).ok_or_else(fault)?;
        let shape = self.arena.sizes(shape).ok_or_else(fault)?;
        let strides = self.arena.sizes(strides).ok_or_else(fault)?;
        Ok(Node::Tensor(Box::new(Tensor { storage, held, dtype, start, shape, strides })))
    }

    /// BUILD: in Python it sets attributes or calls `__setstate__`. State
    /// dictionaries carry their version so (`_metadata`), numpy's types their byte
    /// order; it is dropped.
    pub(super) fn build(&mut self) -> Result<(), Fault> {
        self.pop()?;
        let top = self.top()?;
        match self.arena.node(top) {
            Node::Dict(_) | Node::Other(_) => Ok(()),
            other => Err(Fault::Code(format!("attributes of {}", other.words()))),
        }
    }
}
