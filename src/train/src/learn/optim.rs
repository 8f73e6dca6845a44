//! AdamW (Loshchilov & Hutter 2019) as PyTorch computes it, with one clip by
//! the global norm of all gradients.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Gradients, Tensor, TensorData};
use dygl_nn::op::{self, AdamWStep};
use dygl_spec::protocol::{DecayExclude, Optimizer, OptimizerName};

use crate::learn::tensors::{self, TensorFileError, Tensors};
use crate::learn::weights::{self, Site};
use crate::net::Net;

/// The gradients of one step, checked to be finite.
#[derive(Debug)]
pub struct GradientSet {
    gradients: Vec<(Site, Tensor<1>)>,
    norm: f64,
}

/// The gradient holds NaN or infinity.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the gradient of `{parameter}` is not finite")]
pub struct NotFinite {
    /// Reference name of the first such parameter.
    pub parameter: String,
}

impl GradientSet {
    /// Takes the network's gradients. A parameter that took no part in the
    /// loss has none and will not be stepped.
    ///
    /// # Errors
    /// A gradient is not finite: do not step.
    pub fn collect(net: &Net, grads: &Gradients) -> Result<Self, NotFinite> {
        Self::new(weights::flat_gradients(net, grads))
    }

    fn new(gradients: Vec<(Site, Tensor<1>)>) -> Result<Self, NotFinite> {
        let squares = op::sums_of_squares(gradients.iter().map(|(_, gradient)| gradient.clone()));
        let spoilt = gradients.iter().zip(&squares).find(|(_, squares)| !squares.is_finite());
        match spoilt {
            Some(((site, _), _)) => Err(NotFinite { parameter: site.name.clone() }),
            None => Ok(Self { gradients, norm: squares.iter().sum::<f64>().sqrt() }),
        }
    }

    /// L2 norm over all parameters, before clipping.
    pub fn norm(&self) -> f64 {
        self.norm
    }
}

/// The optimizer's state.
#[derive(Debug)]
pub struct AdamW {
    spec: Optimizer,
    step: u64,
    moments: BTreeMap<String, (Tensor<1>, Tensor<1>)>,
}

/// Why a state could not be loaded; completes "failed to".
#[derive(Debug, thiserror::Error)]
pub enum OptimizerStateError {
    /// The file of the state cannot be read.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// The file holds tensors, but not the state of this network's optimizer.
    #[error("load {path}: it is no optimizer state of this network ({reason})")]
    Mismatch {
        /// The file of the state.
        path: std::path::PathBuf,
        /// The first thing that is missing or does not fit.
        reason: String,
    },
}

impl AdamW {
    /// Before the first step.
    pub fn new(spec: &Optimizer) -> Self {
        match spec.name {
            OptimizerName::Adamw => Self { spec: spec.clone(), step: 0, moments: BTreeMap::new() },
        }
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// One step at learning rate `rate`.
    ///
    /// With c = min(1, clip / (norm + 1e-6)) (as `clip_grad_norm_`; no clip if
    /// `clip_norm` is 0), g the clipped gradient and t the step's number:
    /// m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
    /// p = p (1 - rate decay) - rate / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps).
    pub fn step(&mut self, net: Net, gradients: GradientSet, rate: f64) -> Net {
        self.step += 1;
        let clip = match self.spec.clip_norm {
            limit if limit > 0.0 => (limit / (gradients.norm + 1e-6)).min(1.0),
            _ => 1.0,
        };
        let [beta1, beta2] = self.spec.betas;
        let mut gradients: BTreeMap<String, Tensor<1>> =
            gradients.gradients.into_iter().map(|(site, gradient)| (site.name, gradient)).collect();
        weights::map_flat(net, |site, parameter| {
            let Some(gradient) = gradients.remove(&site.name) else { return parameter };
            let constants = AdamWStep {
                clip,
                beta1,
                beta2,
                epsilon: self.spec.epsilon,
                rate,
                weight_decay: self.decay(site),
                time: self.step as f64,
            };
            let (m, v) = self
                .moments
                .remove(&site.name)
                .unwrap_or_else(|| (gradient.zeros_like(), gradient.zeros_like()));
            let (parameter, m, v) = op::adamw(parameter, gradient, m, v, constants);
            self.moments.insert(site.name.clone(), (m, v));
            parameter
        })
    }

    fn decay(&self, site: &Site) -> f64 {
        match self.spec.decay_exclude {
            DecayExclude::Vectors if site.shape.len() <= 1 => 0.0,
            DecayExclude::Vectors | DecayExclude::Nothing => self.spec.weight_decay,
        }
    }

    /// Writes the state: `NAME.m` and `NAME.v` (flat) under reference names,
    /// and `step`. Loading it gives bit-identical further steps.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TensorFileError> {
        let mut held = Tensors::new();
        held.insert("step".into(), TensorData::new(vec![self.step as i64], [1]));
        for (name, (m, v)) in &self.moments {
            held.insert(format!("{name}.m"), m.to_data());
            held.insert(format!("{name}.v"), v.to_data());
        }
        tensors::write(path, &held)
    }

    /// Reads a state that [`AdamW::save`] wrote for the same network.
    ///
    /// # Errors
    /// The file cannot be read, or is no such state.
    pub fn load(spec: &Optimizer, net: &Net, path: &Path) -> Result<Self, OptimizerStateError> {
        let mismatch = |reason: String| OptimizerStateError::Mismatch { path: path.to_owned(), reason };
        let mut held = tensors::read(path)?;
        let step = held
            .remove("step")
            .and_then(|data| data.try_to_vec::<i64>().ok())
            .and_then(|values| values.first().copied())
            .and_then(|step| u64::try_from(step).ok())
            .ok_or_else(|| mismatch("it holds no step count".into()))?;
        let devices = burn::module::Module::devices(net);
        let Some(device) = devices.first().cloned().map(burn::tensor::Device::without_autodiff) else {
            return Err(mismatch("the network has no tensors".into()));
        };
        let mut moments = BTreeMap::new();
        for site in weights::sites(net) {
            let pair = (held.remove(&format!("{}.m", site.name)), held.remove(&format!("{}.v", site.name)));
            let (m, v) = match pair {
                (Some(m), Some(v)) => (m, v),
                (None, None) => continue,
                _ => return Err(mismatch(format!("`{}` has one moment of two", site.name))),
            };
            if [&m, &v].iter().any(|data| data.as_slice::<f32>().map_or(0, <[f32]>::len) != site.elements()) {
                return Err(mismatch(format!("`{}` has another size", site.name)));
            }
            moments.insert(site.name, (Tensor::from_data(m, &device), Tensor::from_data(v, &device)));
        }
        match held.keys().next() {
            Some(name) => Err(mismatch(format!("unexpected `{name}`"))),
            None => Ok(Self { spec: spec.clone(), step, moments }),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::tensor::Device;
    use dygl_spec::name::Named;
    use dygl_spec::protocol::OptimizerName;

    use super::*;
    use crate::learn::init::initialise;

    fn spec(clip_norm: f64, decay_exclude: DecayExclude) -> Optimizer {
        Optimizer {
            name: OptimizerName::Adamw,
            learning_rate: 1e-3,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 1e-2,
            decay_exclude,
            clip_norm,
        }
    }

    fn unet() -> Net {
        let net = Net::build(&Named::plain("unet"), [32; 2], &Device::flex()).expect("known");
        initialise(net, 1).train()
    }

    /// A gradient for every parameter: value i of a tensor is (i mod 7 - 3) scale.
    fn made_up(net: &Net, scale: f32) -> Vec<(Site, Tensor<1>)> {
        let sites = weights::sites(net).into_iter().filter(|site| !site.is_buffer());
        sites
            .map(|site| {
                let values: Vec<f32> = (0..site.elements()).map(|i| (i as f32 % 7.0 - 3.0) * scale).collect();
                (site, Tensor::<1>::from_floats(values.as_slice(), &Device::flex()))
            })
            .collect()
    }

    /// The update in f64, for one value.
    fn by_hand(mut p: f64, gradients: &[f64], rate: f64, decay: f64) -> f64 {
        let (mut m, mut v) = (0.0, 0.0);
        for (index, g) in gradients.iter().enumerate() {
            let t = index as i32 + 1;
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            let (m_hat, v_hat) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
            p = p * (1.0 - rate * decay) - rate * m_hat / (v_hat.sqrt() + 1e-8);
        }
        p
    }

    fn value(net: &Net, name: &str, index: usize) -> f64 {
        f64::from(weights::snapshot(net)[name].try_to_vec::<f32>().expect("f32")[index])
    }

    #[test]
    fn two_steps_match_the_formula_in_f64() {
        for (clip, exclude) in [(0.0, DecayExclude::Nothing), (1.0, DecayExclude::Vectors)] {
            let mut net = unet();
            let mut adamw = AdamW::new(&spec(clip, exclude));
            let probes = [("outc.conv.weight", 5, true), ("outc.conv.bias", 0, false)];
            let before: Vec<f64> = probes.iter().map(|(name, index, _)| value(&net, name, *index)).collect();
            let mut factors = Vec::new();
            for scale in [0.01, 0.5] {
                let set = GradientSet::new(made_up(&net, scale)).expect("finite");
                let factor = if clip > 0.0 { (clip / (set.norm() + 1e-6)).min(1.0) } else { 1.0 };
                factors.push(f64::from(scale) * factor);
                net = adamw.step(net, set, 1e-3);
            }
            for ((name, index, decays), before) in probes.into_iter().zip(before) {
                let decay = if decays || exclude == DecayExclude::Nothing { 1e-2 } else { 0.0 };
                let gradients: Vec<f64> = factors.iter().map(|f| (index as f64 % 7.0 - 3.0) * f).collect();
                let want = by_hand(before, &gradients, 1e-3, decay);
                let got = value(&net, name, index);
                assert!((got - want).abs() < 2e-7, "{name}: {got} {want}");
            }
        }
    }

    #[test]
    fn the_norm_is_global() {
        let net = unet();
        let gradients = made_up(&net, 0.25);
        let want: f64 = gradients
            .iter()
            .flat_map(|(_, gradient)| gradient.to_data().try_to_vec::<f32>().expect("f32"))
            .map(|value| f64::from(value).powi(2))
            .sum::<f64>()
            .sqrt();
        let norm = GradientSet::new(gradients).expect("finite").norm();
        assert!((norm / want - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_not_finite_is_named() {
        let net = unet();
        let mut gradients = made_up(&net, 1.0);
        let name = gradients[3].0.name.clone();
        gradients[3].1 = gradients[3].1.clone() * f32::NAN;
        assert_eq!(GradientSet::new(gradients).expect_err("NaN"), NotFinite { parameter: name });
    }

    #[test]
    fn a_loaded_state_continues_bit_for_bit() {
        let folder = tempfile::tempdir().expect("folder");
        let (state, weights_file) = (folder.path().join("o"), folder.path().join("w"));
        let spec = spec(1.0, DecayExclude::Nothing);
        let set = |net: &Net, scale| GradientSet::new(made_up(net, scale)).expect("finite");
        let mut adamw = AdamW::new(&spec);
        let mut net = unet();
        let first = set(&net, 0.1);
        net = adamw.step(net, first, 1e-3);
        adamw.save(&state).expect("saved");
        weights::save(&net, &weights_file).expect("saved");
        let second = set(&net, 0.2);
        let straight = weights::snapshot(&adamw.step(net, second, 1e-3));

        let mut net = weights::load(unet(), &weights_file).expect("loaded");
        let mut adamw = AdamW::load(&spec, &net, &state).expect("loaded");
        assert_eq!(adamw.steps(), 1);
        let second = set(&net, 0.2);
        net = adamw.step(net, second, 1e-3);
        assert!(straight == weights::snapshot(&net));
    }
}
