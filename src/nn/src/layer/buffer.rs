//! State that a forward pass updates: running statistics.
//!
//! burn's own `RunningState` parks the last update until the next forward
//! pass and shares it between clones, so that a checkpoint taken right after
//! a step is one update behind. A [`Buffer`] is exact at once and copied by
//! `clone`.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param,
    ParamId,
};
use burn::tensor::{Device, Tensor};

/// Whether a tensor of this (path or reference) name is a [`Buffer`] and not a
/// trainable parameter.
pub fn is_buffer(name: &str) -> bool {
    matches!(name.rsplit('.').next(), Some("running_mean" | "running_var"))
}

/// A tensor `[C]` outside the gradient that `forward` may replace. It is visited
/// and mapped like a parameter; tell it apart by [`is_buffer`].
pub struct Buffer {
    id: ParamId,
    value: Mutex<Tensor<1>>,
}

impl Buffer {
    /// A buffer with an initial value.
    pub fn new(value: Tensor<1>) -> Self {
        Self { id: ParamId::new(), value: Mutex::new(value.without_autodiff()) }
    }

    /// The current value, off the gradient tape.
    pub fn value(&self) -> Tensor<1> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the value.
    pub fn set(&self, value: Tensor<1>) {
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = value.without_autodiff();
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        Self { id: self.id, value: Mutex::new(self.value()) }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({:?})", self.value().dims())
    }
}

impl fmt::Display for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl ModuleDisplayDefault for Buffer {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&self.to_string()).optional()
    }
}

impl ModuleDisplay for Buffer {}

impl Module for Buffer {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        visitor.visit_float(&Param::initialized(self.id, self.value()));
    }

    fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
        let (_, value, _) = mapper.map_float(Param::initialized(self.id, self.value())).consume();
        self.set(value);
        self
    }

    fn to_device(self, device: &Device) -> Self {
        self.set(self.value().to_device(device));
        self
    }

    fn fork(self, device: &Device) -> Self {
        self.to_device(device)
    }

    fn collect_devices(&self, mut devices: Devices) -> Devices {
        let device = self.value().device();
        if !devices.contains(&device) {
            devices.push(device);
        }
        devices
    }

    fn materialize(self) -> Self {
        self
    }

    fn valid(&self) -> Self {
        self.clone()
    }

    fn train(self) -> Self {
        self
    }
}
