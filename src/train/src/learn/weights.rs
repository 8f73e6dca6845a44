//! Weights under the reference's names: reading, writing, and walking over
//! the tensors of a network by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, FloatDType, Gradients, Tensor, TensorData};
use dygl_nn::layer::is_buffer;
use dygl_nn::network::reference_name;

use crate::learn::tensors::{self, TensorFileError, Tensors};
use crate::net::Net;

/// Tensors of reference files that a network here has no use for: counters,
/// and constants that the code computes.
const IGNORED: &[&str] = &["num_batches_tracked", "init_pos", "relative_position_index", "attn_mask"];

/// Where a tensor sits in a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Reference name, `blocks1.0.conv.m.c.weight`.
    pub name: String,
    /// Type of the layer that holds it, `Conv2d`.
    pub layer: String,
    /// Sizes of the tensor's dimensions, outermost first.
    pub shape: Vec<usize>,
}

impl Site {
    /// Whether it is a running statistic, not a parameter.
    pub fn is_buffer(&self) -> bool {
        is_buffer(&self.name)
    }

    /// Number of values.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Why weights could not be loaded or saved; completes "failed to".
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// The file's tensors are not exactly those of the network.
    #[error("load {path} into {network}: {mismatch}")]
    Mismatch {
        /// The file to load.
        path: PathBuf,
        /// Name without options.
        network: String,
        /// Every difference.
        mismatch: Mismatch,
    },
}

/// All the ways in which a file and a network differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Tensors of the network that the file lacks.
    pub missing: Vec<String>,
    /// Tensors of the file that the network lacks.
    pub unexpected: Vec<String>,
    /// Tensors of another shape: (name, shape in the network, shape in the file).
    pub misshaped: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Mismatch {
    pub(crate) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.misshaped.is_empty()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let misshaped: Vec<String> = self
            .misshaped
            .iter()
            .map(|(name, network, file)| format!("{name} is {file:?} and should be {network:?}"))
            .collect();
        let kinds =
            [("missing", &self.missing), ("unexpected", &self.unexpected), ("of another shape", &misshaped)];
        let told = kinds.iter().filter(|(_, names)| !names.is_empty()).map(|(kind, names)| {
            let shown = names.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more =
                if names.len() > 8 { format!(", and {} more", names.len() - 8) } else { String::new() };
            format!("{} {kind}: {shown}{more}", names.len())
        });
        f.write_str(&told.collect::<Vec<_>>().join("; "))
    }
}

/// Writes every parameter and running statistic, as they are now, under the
/// reference's names. Equal networks give equal bytes.
///
/// # Errors
/// The file cannot be written.
pub fn save(net: &Net, path: &Path) -> Result<(), WeightsError> {
    Ok(tensors::write(path, &snapshot(net))?)
}

/// Gives a network the weights of a file. Device and training state stay.
///
/// # Errors
/// The file cannot be read, or it is not exactly the network's; all
/// differences are told at once.
pub fn load(net: Net, path: &Path) -> Result<Net, WeightsError> {
    let tensors = tensors::read(path)?;
    let network = net.name().to_owned();
    apply(net, tensors).map_err(|mismatch| WeightsError::Mismatch {
        path: path.to_owned(),
        network,
        mismatch,
    })
}

/// Gives a network the weights of a [`snapshot`].
///
/// # Errors
/// The names or shapes are not exactly the network's.
pub fn apply(net: Net, mut tensors: Tensors) -> Result<Net, Mismatch> {
    let mut mismatch = Mismatch::default();
    let mut known = BTreeSet::new();
    for site in sites(&net) {
        match tensors.get(&site.name) {
            None => mismatch.missing.push(site.name.clone()),
            Some(data) if data.shape().to_vec() != site.shape || data.dtype() != DType::F32 => {
                mismatch.misshaped.push((site.name.clone(), site.shape, data.shape().to_vec()));
            }
            Some(_) => {}
        }
        known.insert(site.name);
    }
    mismatch.unexpected =
        tensors.keys().filter(|name| !known.contains(*name) && !is_ignored(name)).cloned().collect();
    if !mismatch.is_empty() {
        return Err(mismatch);
    }
    Ok(replace(net, |site| tensors.remove(&site.name)))
}

/// Lays the tensors of a file over those of a network, which may have more;
/// and how many were laid.
///
/// # Errors
/// The file has tensors that the network lacks, or of another shape.
pub fn lay(net: Net, mut tensors: Tensors) -> Result<(Net, usize), Mismatch> {
    let mut mismatch = Mismatch::default();
    let shapes: BTreeMap<String, Vec<usize>> =
        sites(&net).into_iter().map(|site| (site.name, site.shape)).collect();
    tensors.retain(|name, _| !is_ignored(name));
    for (name, data) in &tensors {
        match shapes.get(name) {
            None => mismatch.unexpected.push(name.clone()),
            Some(shape) if data.shape().to_vec() != *shape || data.dtype() != DType::F32 => {
                mismatch.misshaped.push((name.clone(), shape.clone(), data.shape().to_vec()));
            }
            Some(_) => {}
        }
    }
    if !mismatch.is_empty() {
        return Err(mismatch);
    }
    let laid = tensors.len();
    Ok((replace(net, |site| tensors.remove(&site.name)), laid))
}

/// Whether a tensor of a reference file is one that no network here needs.
pub(crate) fn is_ignored(name: &str) -> bool {
    IGNORED.contains(&name.rsplit('.').next().unwrap_or(name))
}

/// Every tensor of the network, in the network's order.
pub fn sites(net: &Net) -> Vec<Site> {
    sites_with_ids(net).into_iter().map(|(_, site)| site).collect()
}

/// The same, each with the identity by which a layer knows its tensor.
pub(crate) fn sites_with_ids(net: &Net) -> Vec<(ParamId, Site)> {
    struct Sites {
        path: FieldPath,
        found: Vec<(ParamId, Site)>,
    }
    impl ModuleVisitor for Sites {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.exit();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.found.push((param.id, self.path.site(&param.lazy_shape())));
        }
    }
    let mut visitor = Sites { path: FieldPath::of(net), found: Vec::new() };
    net.visit(&mut visitor);
    visitor.found
}

/// Every parameter and running statistic, copied to the host.
pub fn snapshot(net: &Net) -> Tensors {
    struct Snapshot {
        path: FieldPath,
        found: Tensors,
    }
    impl ModuleVisitor for Snapshot {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.exit();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.found.insert(self.path.name(), param.val().into_data());
        }
    }
    let mut visitor = Snapshot { path: FieldPath::of(net), found: Tensors::new() };
    net.visit(&mut visitor);
    visitor.found
}

/// The gradients of the parameters, copied to the host as f32; a parameter that took
/// no part in the loss is left out.
pub fn gradients(net: &Net, grads: &Gradients) -> Tensors {
    flat_gradients(net, grads)
        .into_iter()
        .map(|(site, gradient)| (site.name, reshaped(gradient.into_data().convert::<f32>(), site.shape)))
        .collect()
}

/// The gradients on their device, each flattened to one dimension.
pub(crate) fn flat_gradients(net: &Net, grads: &Gradients) -> Vec<(Site, Tensor<1>)> {
    struct Collect<'a> {
        path: FieldPath,
        grads: &'a Gradients,
        found: Vec<(Site, Tensor<1>)>,
    }
    impl ModuleVisitor for Collect<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.exit();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = param.val().grad(self.grads) {
                let site = self.path.site(&gradient.shape());
                let elements = site.elements();
                self.found.push((site, gradient.reshape([elements])));
            }
        }
    }
    let mut visitor = Collect { path: FieldPath::of(net), grads, found: Vec::new() };
    net.visit(&mut visitor);
    visitor.found
}

/// Gives each tensor the new values that `values` has for it, if any.
pub(crate) fn replace(net: Net, mut values: impl FnMut(&Site) -> Option<TensorData>) -> Net {
    map_flat(net, |site, old| match values(site) {
        Some(data) => Tensor::from_data(reshaped(data, vec![site.elements()]), &old.device()),
        None => old,
    })
}

/// The network with values of another kind.
pub fn cast(net: Net, kind: FloatDType) -> Net {
    map_flat(net, |_, old| old.cast(kind))
}

/// Maps each tensor, flattened and off the gradient tape. Device, training
/// state and shape stay.
pub(crate) fn map_flat(net: Net, f: impl FnMut(&Site, Tensor<1>) -> Tensor<1>) -> Net {
    struct Mapper<F> {
        path: FieldPath,
        f: F,
    }
    impl<F: FnMut(&Site, Tensor<1>) -> Tensor<1>> ModuleMapper for Mapper<F> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.exit();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, old, mapper) = param.consume();
            let (trained, tracked) = (old.is_autodiff(), old.is_require_grad());
            let site = self.path.site(&old.shape());
            let shape = old.shape();
            let old = old.without_autodiff().reshape([site.elements()]);
            let new = (self.f)(&site, old).reshape(shape);
            let new = if trained { new.autodiff() } else { new };
            let new = if tracked { new.require_grad() } else { new };
            Param::from_mapped_value(id, new, mapper)
        }
    }
    let mut mapper = Mapper { path: FieldPath::of(&net), f };
    net.map(&mut mapper)
}

fn reshaped(data: TensorData, shape: Vec<usize>) -> TensorData {
    let (bytes, _, dtype) = data.into_parts();
    TensorData::from_bytes(bytes, shape, dtype)
}

/// The fields that lead to where a walk is, and what they are called.
struct FieldPath {
    names: &'static [(&'static str, &'static str)],
    fields: Vec<Option<String>>,
    layers: Vec<String>,
}

impl FieldPath {
    fn of(net: &Net) -> Self {
        Self { names: net.names(), fields: Vec::new(), layers: Vec::new() }
    }

    fn enter(&mut self, name: &str, container: &str) {
        // burn reports an enum's variant as a component: the reference has none.
        let (kind, layer) = container.split_once(':').unwrap_or((container, ""));
        self.fields.push((kind != "Enum").then(|| name.to_owned()));
        self.layers.push(layer.to_owned());
    }

    fn exit(&mut self) {
        self.fields.pop();
        self.layers.pop();
    }

    fn name(&self) -> String {
        let fields: Vec<&str> = self.fields.iter().flatten().map(String::as_str).collect();
        reference_name(&fields, self.names)
    }

    fn site(&self, shape: &[usize]) -> Site {
        let layer = self.layers.last().cloned().unwrap_or_default();
        Site { name: self.name(), layer, shape: shape.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use dygl_spec::name::Named;

    use super::*;
    use crate::learn::init::initialise;

    fn unet(seed: u64) -> Net {
        initialise(Net::build(&Named::plain("unet"), [32; 2], &Device::flex()).expect("known"), seed)
    }

    #[test]
    fn every_difference_is_told_at_once() {
        let mut tensors = snapshot(&unet(1));
        let moved = tensors.remove("outc.conv.bias").expect("there");
        tensors.insert("outc.bias".into(), moved);
        tensors.insert("inc.double_conv.1.weight".into(), TensorData::new(vec![0.0f32; 3], [3]));
        tensors.insert("inc.double_conv.1.num_batches_tracked".into(), TensorData::new(vec![1i64], [1]));
        let mismatch = apply(unet(2), tensors).expect_err("different");
        assert_eq!(mismatch.missing, ["outc.conv.bias"]);
        assert_eq!(mismatch.unexpected, ["outc.bias"]);
        assert_eq!(mismatch.misshaped, [("inc.double_conv.1.weight".into(), vec![64], vec![3])]);
    }

    #[test]
    fn running_statistics_are_saved_as_they_are_right_after_a_step() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("w");
        let net = unet(1).train();
        let device = Device::flex().autodiff();
        let _ = net.forward(Tensor::ones([2, 3, 32, 32], &device));
        save(&net, &path).expect("saved");
        let again = load(unet(2).train(), &path).expect("loaded");
        assert!(snapshot(&net) == snapshot(&again));
        let moved = snapshot(&net)["inc.double_conv.1.running_mean"].try_to_vec::<f32>().expect("f32");
        assert!(moved.iter().any(|value| *value != 0.0));
        // The loaded network still trains.
        let grads = again.forward(Tensor::ones([2, 3, 32, 32], &device)).sum().backward();
        assert!(gradients(&again, &grads).contains_key("inc.double_conv.0.weight"));
    }
}
