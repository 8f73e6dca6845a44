//! The part of Python's pickle that tensors need, as a machine that builds
//! values and can do nothing else.
//!
//! Values lie in an arena and refer to each other by number. So a value that
//! holds itself, or one that is doubled a hundred times, costs what it costs in
//! the file; nothing is copied, and nothing is walked recursively.
//!
//! | name | stands for |
//! |---|---|
//! | `collections.OrderedDict` | a dictionary |
//! | `torch.<Type>Storage`, `torch.cuda.<Type>Storage` | a type of values |
//! | `torch._utils._rebuild_tensor`, `_rebuild_tensor_v2` | a tensor: storage, start, sizes, strides |
//! | `torch._utils._rebuild_parameter`, `torch.nn.parameter.Parameter` | that tensor |
//! | `torch._tensor._rebuild_from_type_v2` | one of these, with attributes, which are dropped |
//! | `torch.Size` | a tuple |
//!
//! What else `torch.load(weights_only=True)` lets stand beside the weights (sets,
//! bytes, devices, types, quantized tensors; `value::INERT`) becomes a value without
//! content. Every other name ends the reading ([`Fault::Code`]).

mod build;

use std::collections::HashMap;

use super::dtype::Dtype;
use super::error::Fault;
use super::limits;
use super::value::{Arena, Id, Node};

/// Reads one pickle after the other from the same bytes.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    arena: Arena,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    storages: HashMap<String, (u64, Dtype)>,
    /// About the bytes that all of this takes: a short call may copy a long list.
    spent: u64,
}

const ENDS: &str = "the pickle ends early";
const STACK: &str = "the pickle takes more values than it has put down";

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            arena: Arena::default(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            storages: HashMap::new(),
            spent: 0,
        }
    }

    pub(super) fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Bytes read so far.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The storages that were referred to: values and their type by key.
    pub(super) fn storages(&self) -> &HashMap<String, (u64, Dtype)> {
        &self.storages
    }

    /// Runs the next pickle to its end.
    ///
    /// # Errors
    /// It is damaged, too large, or asks for more than tensors need.
    pub(super) fn run(&mut self) -> Result<Id, Fault> {
        self.stack.clear();
        self.marks.clear();
        self.memo.clear();
        loop {
            let [code] = self.take()?;
            if code == b'.' {
                let top = self.pop()?;
                return Ok(top);
            }
            self.step(code)?;
        }
    }

    fn step(&mut self, code: u8) -> Result<(), Fault> {
        match code {
            // PROTO, FRAME: how the rest is written.
            0x80 => match self.take()? {
                [2..=5] => {}
                [other] => return Err(Fault::Unsupported(format!("its pickle has protocol {other}"))),
            },
            0x95 => {
                self.take::<8>()?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.down_to_mark()?;
            }
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Node::None)?,
            0x88 => self.push(Node::Flag(true))?,
            0x89 => self.push(Node::Flag(false))?,
            b'I' => {
                // Python 2 wrote long numbers and flags so, in protocol 2 as well.
                let line = self.line()?;
                let number = line.parse().map_or(Node::Other("a number"), Node::Int);
                self.push(match line {
                    "00" => Node::Flag(false),
                    "01" => Node::Flag(true),
                    _ => number,
                })?;
            }
            b'L' | b'F' => {
                self.line()?;
                self.push(Node::Other("a number"))?;
            }
            b'K' => {
                let [byte] = self.take()?;
                self.push(Node::Int(byte.into()))?;
            }
            b'M' => {
                let value = u16::from_le_bytes(self.take()?);
                self.push(Node::Int(value.into()))?;
            }
            b'J' => {
                let value = i32::from_le_bytes(self.take()?);
                self.push(Node::Int(value.into()))?;
            }
            0x8a => {
                let [length] = self.take()?;
                let value = self.long(length.into())?;
                self.push(value)?;
            }
            0x8b => {
                let length = self.length4()?;
                let value = self.long(length)?;
                self.push(value)?;
            }
            b'G' => {
                self.take::<8>()?;
                self.push(Node::Other("a number"))?;
            }
            b'X' => {
                let length = self.length4()?;
                self.push_text(length)?;
            }
            0x8c | b'U' => {
                let [length] = self.take()?;
                self.push_text(length.into())?;
            }
            0x8d => {
                let length = self.length8()?;
                self.push_text(length)?;
            }
            b'T' => {
                let length = self.length4()?;
                self.push_text(length)?;
            }
            b'C' => {
                let [length] = self.take()?;
                self.push_bytes(length.into())?;
            }
            b'B' => {
                let length = self.length4()?;
                self.push_bytes(length)?;
            }
            // BINBYTES8, BYTEARRAY8.
            0x8e | 0x96 => {
                let length = self.length8()?;
                self.push_bytes(length)?;
            }
            // EMPTY_SET, ADDITEMS, FROZENSET: what is in a set is no weight.
            0x8f => self.push(Node::Other("a set"))?,
            0x90 => {
                self.down_to_mark()?;
                match self.arena.node(self.top()?) {
                    Node::Other(_) => {}
                    _ => return Err(Fault::damaged("the pickle adds to something that is no set")),
                }
            }
            0x91 => {
                self.down_to_mark()?;
                self.push(Node::Other("a set"))?;
            }
            b')' => self.push(Node::Tuple(Vec::new()))?,
            b']' => self.push(Node::List(Vec::new()))?,
            b'}' => self.push(Node::Dict(Vec::new()))?,
            b't' => {
                let items = self.down_to_mark()?;
                self.push(Node::Tuple(items))?;
            }
            b'l' => {
                let items = self.down_to_mark()?;
                self.push(Node::List(items))?;
            }
            0x85..=0x87 => {
                let mut items = Vec::with_capacity(3);
                for _ in 0x84..code {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push(Node::Tuple(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.down_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![key, value])?;
            }
            b'u' => {
                let items = self.down_to_mark()?;
                self.set(items)?;
            }
            b'd' => {
                let items = self.down_to_mark()?;
                self.push(Node::Dict(Vec::new()))?;
                self.set(items)?;
            }
            b'q' => {
                let [index] = self.take()?;
                self.remember(index.into())?;
            }
            b'r' => {
                let index = u32::from_le_bytes(self.take()?);
                self.remember(index)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let [index] = self.take()?;
                self.recall(index.into())?;
            }
            b'j' => {
                let index = u32::from_le_bytes(self.take()?);
                self.recall(index)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.name(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |id| self.arena.text(id).unwrap_or_default().to_owned();
                let (module, name) = (text(module), text(name));
                self.name(&module, &name)?;
            }
            b'Q' => self.storage()?,
            b'R' => self.call(|_| Fault::Code("a call of something that is no function".to_owned()))?,
            // NEWOBJ makes an instance of a class; those of the list come to the same as a call.
            0x81 => self.call(|what| Fault::Code(format!("the instruction NEWOBJ of {what}")))?,
            b'b' => self.build()?,
            other => return Err(unknown(other)),
        }
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let found = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let found = *found.ok_or_else(|| Fault::damaged(ENDS))?;
        self.at += N;
        Ok(found)
    }

    fn length4(&mut self) -> Result<usize, Fault> {
        Ok(u32::from_le_bytes(self.take()?) as usize)
    }

    fn length8(&mut self) -> Result<usize, Fault> {
        usize::try_from(u64::from_le_bytes(self.take()?)).map_err(|_| Fault::damaged(ENDS))
    }

    fn skip(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(length).ok_or_else(|| Fault::damaged(ENDS))?;
        let found = self.bytes.get(self.at..end).ok_or_else(|| Fault::damaged(ENDS))?;
        self.at = end;
        Ok(found)
    }

    fn line(&mut self) -> Result<&'a str, Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().take(512).position(|byte| *byte == b'\n');
        let line = self.skip(end.ok_or_else(|| Fault::damaged(ENDS))?)?;
        self.at += 1;
        std::str::from_utf8(line).map_err(|_| Fault::damaged("a name in the pickle is not UTF-8"))
    }

    /// Two's complement, little-endian.
    fn long(&mut self, length: usize) -> Result<Node, Fault> {
        let bytes = self.skip(length)?;
        if bytes.len() > 16 {
            return Ok(Node::Other("a number"));
        }
        let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
        let mut whole = if negative { [0xff; 16] } else { [0; 16] };
        whole[..bytes.len()].copy_from_slice(bytes);
        Ok(Node::Int(i128::from_le_bytes(whole)))
    }

    fn push(&mut self, node: Node) -> Result<(), Fault> {
        let content = match &node {
            Node::Text(text) => text.len(),
            Node::Tuple(items) | Node::List(items) => 4 * items.len(),
            Node::Dict(entries) => 8 * entries.len(),
            Node::Storage(storage) => 64 + storage.0.len(),
            Node::Tensor(tensor) => 160 + tensor.storage.len() + 16 * tensor.shape.len(),
            _ => 0,
        };
        self.spend(size_of::<Node>() + content)?;
        let id = self.arena.push(node);
        self.stack.push(id);
        Ok(())
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Fault> {
        self.spent += bytes as u64;
        if self.spent > limits::BUILT {
            let what = "the memory for what the pickle builds".to_owned();
            return Err(Fault::TooLarge { what, limit: limits::BUILT });
        }
        Ok(())
    }

    /// A text; what is not UTF-8 (Python 2 wrote bytes so) becomes bytes.
    fn push_text(&mut self, length: usize) -> Result<(), Fault> {
        let bytes = self.skip(length)?;
        let text = std::str::from_utf8(bytes).map(|text| Node::Text(text.into()));
        self.push(text.unwrap_or(Node::Other("bytes")))
    }

    fn push_bytes(&mut self, length: usize) -> Result<(), Fault> {
        self.skip(length)?;
        self.push(Node::Other("bytes"))
    }

    fn pop(&mut self) -> Result<Id, Fault> {
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return Err(Fault::damaged(STACK));
        }
        self.stack.pop().ok_or_else(|| Fault::damaged(STACK))
    }

    fn top(&self) -> Result<Id, Fault> {
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return Err(Fault::damaged(STACK));
        }
        self.stack.last().copied().ok_or_else(|| Fault::damaged(STACK))
    }

    fn down_to_mark(&mut self) -> Result<Vec<Id>, Fault> {
        let mark = self.marks.pop().ok_or_else(|| Fault::damaged(STACK))?;
        Ok(self.stack.split_off(mark))
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), Fault> {
        let top = self.top()?;
        self.spend(4 * items.len())?;
        match self.arena.node_mut(top) {
            Some(Node::List(list)) => list.extend(items),
            _ => return Err(Fault::damaged("the pickle appends to something that is no list")),
        }
        Ok(())
    }

    fn set(&mut self, items: Vec<Id>) -> Result<(), Fault> {
        let top = self.top()?;
        self.spend(4 * items.len())?;
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err(Fault::damaged("a dictionary of the pickle lacks a value"));
        };
        match self.arena.node_mut(top) {
            // Counts and the like, whose content is dropped.
            Some(Node::Other(_)) => {}
            Some(Node::Dict(entries)) => entries.extend(pairs.iter().map(|[key, value]| (*key, *value))),
            _ => return Err(Fault::damaged("the pickle sets keys of something that is no dictionary")),
        }
        Ok(())
    }

    fn remember(&mut self, index: u32) -> Result<(), Fault> {
        let top = self.top()?;
        if self.memo.insert(index, top).is_none() {
            self.spend(16)?;
        }
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<(), Fault> {
        let known = self.memo.get(&index).copied();
        self.stack.push(known.ok_or_else(|| Fault::damaged("the pickle recalls what it did not keep"))?);
        Ok(())
    }
}

/// An instruction that tensors do not need.
fn unknown(code: u8) -> Fault {
    let word = match code {
        b'i' => "INST",
        b'o' => "OBJ",
        0x92 => "NEWOBJ_EX",
        0x82..=0x84 => "EXT",
        b'P' => "PERSID",
        0x97 => "NEXT_BUFFER",
        0x98 => "READONLY_BUFFER",
        _ => {
            return Fault::damaged(format!(
                "the pickle holds the byte {code:#04x}, which is no instruction known here"
            ));
        }
    };
    Fault::Code(format!("the instruction {word}"))
}
