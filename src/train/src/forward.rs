//! The verb `forward`: one pass of given weights over a given input, and with
//! `--train` loss and gradients. What the parity fixtures are checked with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use dygl::exit::Exit;
use dygl::spec::name::{NameError, Named};
use dygl::spec::network::{self, Network, NetworkError};

use crate::device::{self, DeviceError};
use crate::loss::{self, LossParts};
use crate::net::Net;
use crate::tensors::{self, TensorFileError, Tensors};
use crate::weights::{self, WeightsError};

/// Arguments of `dygl-worker forward`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  dygl-worker forward --model unet --weights w.safetensors \
                        --input x.safetensors --output y.safetensors")]
pub struct Arguments {
    /// NAME or NAME,option=value,...
    #[arg(long, value_name = "M")]
    pub model: String,
    /// Weights under the reference's names.
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,
    /// Tensor `input` [B,3,H,W], f32.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Where tensor `logits` [B,1,H,W] goes.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Batch statistics; prints the loss and writes the gradients.
    #[arg(long, requires = "target", requires = "gradients")]
    pub train: bool,
    /// Tensor `target` [B,1,H,W], f32, values in 0..1.
    #[arg(long, value_name = "FILE", requires = "train")]
    pub target: Option<PathBuf>,
    /// Where the gradients go, under the reference's names.
    #[arg(long, value_name = "FILE", requires = "train")]
    pub gradients: Option<PathBuf>,
    /// auto, any, flex, tch-cpu, tch:0 or wgpu:0.
    #[arg(long, value_name = "D", default_value = "auto")]
    pub device: String,
}

/// Why there is no result; completes "failed to".
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    #[error("read the model `{model}`: {source}")]
    Model { model: String, source: NameError },
    #[error("find the model `{model}`: {source} (known: {known})")]
    Network { model: String, source: NetworkError, known: String },
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    File(#[from] TensorFileError),
    #[error(transparent)]
    Weights(#[from] WeightsError),
    #[error("use `{tensor}` of {path}: its shape is {found:?} and should be {expected}")]
    Shape { tensor: &'static str, path: PathBuf, found: Vec<usize>, expected: String },
    #[error(
        "use `input` of {path}: {network} takes no {side} of {found} pixels; \
         sides are multiples of {multiple}, at least {least}: take {nearest}"
    )]
    Size {
        path: PathBuf,
        network: &'static str,
        side: &'static str,
        found: usize,
        multiple: usize,
        least: usize,
        nearest: usize,
    },
    #[error("use `target` of {path}: it holds {value}; targets are in 0..1")]
    Target { path: PathBuf, value: f32 },
    #[error("read the result off the device: {0}")]
    Readback(String),
}

impl ForwardError {
    /// The exit code that says what kind of failure it is.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Device(DeviceError::NotCompiled { .. }) => Exit::Environment,
            Self::File(error) | Self::Weights(WeightsError::File(error)) if error.is_missing() => Exit::Environment,
            Self::File(TensorFileError::Read { .. } | TensorFileError::Write { .. })
            | Self::Weights(WeightsError::File(TensorFileError::Read { .. }))
            | Self::Readback(_) => Exit::Environment,
            _ => Exit::Usage,
        }
    }
}

/// Runs the verb; with `--train` returns the line for stdout.
///
/// # Errors
/// See [`ForwardError`].
pub fn run(arguments: &Arguments) -> Result<Option<String>, ForwardError> {
    let model = arguments.model.clone();
    let named =
        Named::parse(&model).map_err(|source| ForwardError::Model { model: model.clone(), source })?;
    let (network, named) = network::resolve(&named).map_err(|source| unknown(&model, source))?;
    let backend = device::parse(&arguments.device)?;
    let input = image(&arguments.input, network)?;
    let net = Net::build(&named, &backend.device).map_err(|source| unknown(&model, source))?;
    let net = weights::load(net, &arguments.weights)?;

    let (Some(target), Some(gradients)) = (&arguments.target, &arguments.gradients) else {
        let logits = net.forward(Tensor::from_data(input, &backend.device));
        write_logits(&arguments.output, logits)?;
        return Ok(None);
    };
    let target = mask(target, &input)?;
    let net = net.train();
    let device = backend.device.autodiff();
    let logits = net.forward(Tensor::from_data(input, &device));
    let LossParts { total, bce, dice } =
        loss::loss(logits.clone(), Tensor::from_data(target, &device), &loss::REFERENCE);
    let grads = total.backward();
    write_logits(&arguments.output, logits)?;
    tensors::write(gradients, &weights::gradients(&net, &grads))?;
    let line = serde_json::json!({
        "loss": scalar(total)?,
        "bce": scalar(bce)?,
        "dice_loss": scalar(dice)?,
    });
    Ok(Some(line.to_string()))
}

/// Arguments of `dygl-worker tensors`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Example:\n  dygl-worker tensors --model dyglnet")]
pub struct TensorsArguments {
    /// NAME or NAME,option=value,...
    #[arg(long, value_name = "M")]
    pub model: String,
}

/// Runs the verb `tensors`: a JSON object of the reference names and shapes
/// that a weights file of the model holds.
///
/// # Errors
/// The model is unknown.
pub fn tensors(arguments: &TensorsArguments) -> Result<String, ForwardError> {
    let model = &arguments.model;
    let named = Named::parse(model).map_err(|source| ForwardError::Model { model: model.clone(), source })?;
    let net = Net::build(&named, &device::parse("auto")?.device).map_err(|source| unknown(model, source))?;
    let shapes: BTreeMap<String, Vec<usize>> =
        weights::sites(&net).into_iter().map(|site| (site.name, site.shape)).collect();
    Ok(serde_json::json!(shapes).to_string())
}

fn unknown(model: &str, source: NetworkError) -> ForwardError {
    let known = source.candidates().join(", ");
    ForwardError::Network { model: model.to_owned(), source, known }
}

fn image(path: &Path, network: &Network) -> Result<TensorData, ForwardError> {
    let data = tensors::read_one(path, "input")?;
    let shape = data.shape().to_vec();
    let &[batch, 3, height, width] = shape.as_slice() else {
        return Err(misshaped("input", path, shape, "[B, 3, H, W]"));
    };
    if batch == 0 {
        return Err(misshaped("input", path, shape, "[B, 3, H, W] with at least one image"));
    }
    for (side, found) in [("height", height), ("width", width)] {
        if let Err(nearest) = network.check_size(found) {
            return Err(ForwardError::Size {
                path: path.to_owned(),
                network: network.name,
                side,
                found,
                multiple: network.size_multiple,
                least: network.size_min,
                nearest,
            });
        }
    }
    Ok(data)
}

fn mask(path: &Path, input: &TensorData) -> Result<TensorData, ForwardError> {
    let data = tensors::read_one(path, "target")?;
    let mut expected = input.shape().to_vec();
    expected[1] = 1;
    let found = data.shape().to_vec();
    if found != expected {
        return Err(misshaped("target", path, found, &format!("{expected:?}")));
    }
    let values = data.as_slice::<f32>().unwrap_or_default();
    match values.iter().find(|value| !(0.0..=1.0).contains(*value)) {
        Some(&value) => Err(ForwardError::Target { path: path.to_owned(), value }),
        None => Ok(data),
    }
}

fn misshaped(tensor: &'static str, path: &Path, found: Vec<usize>, expected: &str) -> ForwardError {
    ForwardError::Shape { tensor, path: path.to_owned(), found, expected: expected.to_owned() }
}

fn write_logits(path: &Path, logits: Tensor<4>) -> Result<(), ForwardError> {
    let data = logits.try_into_data().map_err(|error| ForwardError::Readback(error.to_string()))?;
    Ok(tensors::write(path, &Tensors::from([("logits".to_owned(), data)]))?)
}

fn scalar(tensor: Tensor<1>) -> Result<f32, ForwardError> {
    let data = tensor.try_into_data().map_err(|error| ForwardError::Readback(error.to_string()))?;
    let values = data.try_to_vec::<f32>().map_err(|error| ForwardError::Readback(format!("{error:?}")))?;
    values.first().copied().ok_or_else(|| ForwardError::Readback("an empty tensor".into()))
}
