//! Operations against PyTorch. `bench/torch/ops_golden.py` computes the cases in
//! f64 and keeps shape, norm and values of every result and gradient in
//! `golden/ops.json`; inputs are made anew from their names.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::{DType, Device};
use dygl_nn::op::{Convolution, Corners};
use dygl_spec::protocol::{Loss, Pooling};
use dygl_tests::kept::Kept;
use serde::Deserialize;
use serde_json::Value;

use super::harness::{BOUND, Case, Rule, devices, run};
use super::layout::Layout;
use super::{convolution, layer, norm, product, resample, training};

/// Relative difference of f64: the file keeps twelve digits.
const EXACT: f64 = 1e-9;

/// A row of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    case: String,
    operation: String,
    parameters: Value,
    inputs: Vec<Given>,
    tensors: BTreeMap<String, Kept>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    name: String,
    shape: Vec<usize>,
    scale: Option<f32>,
    shift: Option<f32>,
    rule: Option<String>,
    #[serde(default)]
    constant: bool,
}

impl Row {
    fn shape<const D: usize>(&self, input: &str) -> Result<[usize; D]> {
        let given = self.inputs.iter().find(|given| given.name == input);
        let given = given.with_context(|| format!("{}: no input {input}", self.case))?;
        given.shape.as_slice().try_into().with_context(|| format!("{}: rank of {input}", self.case))
    }

    fn has(&self, input: &str) -> bool {
        self.inputs.iter().any(|given| given.name == input)
    }

    fn number(&self, key: &str) -> Result<f64> {
        self.parameters[key].as_f64().with_context(|| format!("{}: no number {key}", self.case))
    }

    fn count(&self, key: &str) -> Result<usize> {
        let value =
            self.parameters[key].as_u64().with_context(|| format!("{}: no count {key}", self.case))?;
        Ok(usize::try_from(value)?)
    }

    fn flag(&self, key: &str) -> Result<bool> {
        self.parameters[key].as_bool().with_context(|| format!("{}: no flag {key}", self.case))
    }

    /// The operation here.
    fn case(&self) -> Result<Case> {
        let case = match self.operation.as_str() {
            "convolution" => {
                let form = Convolution {
                    stride: self.count("stride")?,
                    padding: self.count("padding")?,
                    output_padding: self.count("output_padding")?,
                    dilation: self.count("dilation")?,
                    groups: self.count("groups")?,
                    transposed: self.flag("transposed")?,
                };
                let weight: [usize; 4] = self.shape("w")?;
                let output = if form.transposed { weight[1] } else { weight[0] / form.groups };
                convolution::convolution(self.shape("x")?, output, weight[2], self.has("b"), form)
            }
            "pointwise" => convolution::pointwise(self.shape("x")?, self.shape::<4>("w")?[0], self.has("b")),
            "depthwise" => {
                let window = [self.count("stride")?, self.count("padding")?, self.count("dilation")?];
                convolution::depthwise(self.shape("x")?, self.shape::<4>("w")?[2], window, self.has("b"))
            }
            "batch_norm_train" => norm::batch_norm_train(self.shape("x")?),
            "batch_norm_layer" => norm::batch_norm_layer(self.shape("x")?),
            "batch_norm" => norm::batch_norm(self.shape("x")?),
            "layer_norm" => norm::layer_norm(self.shape("x")?),
            "group_norm" => norm::group_norm(self.shape("x")?, self.count("groups")?),
            "dynamic_tanh" => norm::dynamic_tanh(self.shape("x")?),
            "gelu" => {
                let scale = self.inputs.first().and_then(|given| given.scale).context("a scale")?;
                product::gelu(self.shape("x")?, scale)
            }
            "linear" => product::linear(self.shape("x")?, self.shape::<2>("w")?[0], self.has("b")),
            "attention" => {
                let bias = self.has("bias").then(|| self.shape("bias")).transpose()?;
                product::attention(self.shape("q")?, self.shape::<4>("k")?[2], bias)
            }
            "self_attention" => {
                layer::self_attention(self.shape("x")?, self.count("heads")?, self.has("bias"))
            }
            "channel_gate" => layer::channel_gate(self.shape("x")?, self.shape::<3>("w")?[2]),
            "pixel_difference" => {
                let kind = self.parameters["kind"].as_str().unwrap_or_default();
                let known = layer::DIFFERENCES.into_iter().find(|(name, _)| *name == kind);
                let (_, kind) = known.with_context(|| format!("no difference {kind}"))?;
                let weight: [usize; 4] = self.shape("w")?;
                let output = (weight[1] > 1).then_some(weight[0]);
                layer::pixel_difference(self.shape("x")?, output, kind)
            }
            "resize" => {
                let size: [usize; 2] = serde_json::from_value(self.parameters["size"].clone())?;
                let corners = if self.flag("aligned")? { Corners::Aligned } else { Corners::Centred };
                resample::resize(self.shape("x")?, size, corners)
            }
            "nearest" => resample::nearest(self.shape("x")?, self.count("factor")?),
            "dynamic_upsample" => {
                let rule = self.inputs.iter().find_map(|given| given.rule.as_deref());
                let rule = if rule == Some("quarters") { Rule::Quarters } else { Rule::Between };
                resample::dynamic_upsample(self.shape("x")?, self.count("groups")?, rule)
            }
            "pool" => {
                let kind = self.parameters["kind"].as_str().unwrap_or_default();
                let pool = resample::POOLS.into_iter().find(|(name, _)| *name == kind);
                resample::pool(self.shape("x")?, pool.with_context(|| format!("no pool {kind}"))?)
            }
            "global_average" => resample::average(self.shape("x")?),
            "loss" => {
                let pooling = if self.flag("by_image")? { Pooling::Image } else { Pooling::Batch };
                let (lambda, dice_smoothing) = (self.number("weight")?, self.number("smoothing")?);
                let spec = Loss { lambda, dice_smoothing, dice_pooling: pooling };
                training::losses(self.shape("target")?, self.inputs.len() - 1, spec)
            }
            "adamw" => {
                let [rate, decay, clip] = ["rate", "decay", "clip"].map(|key| self.number(key));
                training::adamw(self.shape::<1>("p")?[0], rate?, decay?, clip?)
            }
            other => bail!("{}: no operation {other}", self.case),
        };
        let case = case.named(&self.case);
        // Both sides mean the same inputs.
        ensure!(case.inputs.len() == self.inputs.len(), "{}: other inputs", self.case);
        for given in &self.inputs {
            let input = case.inputs.iter().find(|input| input.name == given.name);
            let input = input.with_context(|| format!("{}: no input {}", self.case, given.name))?;
            let rule = match given.rule.as_deref() {
                Some("quarters") => Rule::Quarters,
                Some("between") => Rule::Between,
                Some(other) => bail!("no rule {other}"),
                None => Rule::Spread {
                    scale: given.scale.context("a scale")?,
                    shift: given.shift.context("a shift")?,
                },
            };
            ensure!(input.array.shape == given.shape, "{}: shape of {}", self.case, given.name);
            ensure!(input.rule == rule, "{}: {} by {:?}", self.case, given.name, input.rule);
            ensure!(input.is_constant == given.constant, "{}: {} has a gradient", self.case, given.name);
        }
        Ok(case)
    }

    /// The largest difference of a result or gradient, relative, and which it is.
    fn difference(&self, case: &Case, device: &Device, kind: DType) -> Result<(f64, &str)> {
        let found = run(case, device, kind, Layout::Plain);
        ensure!(found.keys().eq(self.tensors.keys()), "{}: other tensors: {:?}", self.case, found.keys());
        let mut most = (0.0, "");
        for (name, kept) in &self.tensors {
            let apart = kept.difference_of(&found[name].shape, &found[name].values);
            let apart = apart.with_context(|| format!("{}, {name}", self.case))?;
            if apart > most.0 {
                most = (apart, name);
            }
        }
        Ok(most)
    }

    /// How near f64 can come.
    fn bound(&self) -> f64 {
        match self.operation.as_str() {
            // Positions are f32 in every precision, as PyTorch's are in f32.
            "resize" if self.parameters["aligned"] == true => BOUND,
            // burn's gradient of a quotient has its divisor as f32.
            "loss" if self.has("second") => 1e-7,
            // burn's grid sampling on the gradient tape comes to 2e-9.
            "dynamic_upsample" => 1e-8,
            _ => EXACT,
        }
    }
}

#[test]
fn every_operation_is_pytorchs() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/ops.json");
    let rows: Vec<Row> = serde_json::from_str(&fs::read_to_string(path)?)?;
    assert!(rows.len() > 40, "the file holds {} cases", rows.len());
    let mut failed = Vec::new();
    for row in &rows {
        let case = row.case()?;
        let mut check = |name: &str, device: &Device, kind: DType, bound: f64| -> Result<()> {
            let (apart, at) = row.difference(&case, device, kind)?;
            println!("ops {name:8} {kind:?} against PyTorch {apart:.1e} / {bound:.0e}  {}", row.case);
            if apart > bound {
                failed.push(format!("{} on {name}, {kind:?}, {at}: {apart:e} is beyond {bound:e}", row.case));
            }
            Ok(())
        };
        // At a kink burn's own sampling takes another side.
        if !row.inputs.iter().any(|given| given.rule.as_deref() == Some("quarters")) {
            check("flex", &Device::flex(), DType::F64, row.bound())?;
        }
        for (name, device) in devices() {
            check(name, device, DType::F32, BOUND)?;
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}
