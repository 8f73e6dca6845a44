//! The verb `forward`: one pass of given weights over a given input, and with
//! `--train` loss and gradients. What the parity fixtures are checked with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{FloatDType, Tensor, TensorData};
use dygl_base::exit::Exit;
use dygl_spec::name::{NameError, Named};
use dygl_spec::network::{self, Network, NetworkError};

use crate::device::{self, DeviceError};
use crate::learn::loss::{self, LossParts};
use crate::learn::tensors::{self, TensorFileError, Tensors};
use crate::learn::weights::{self, WeightsError};
use crate::net::Net;

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
    /// Tensor `input` `[B,3,H,W]`, f32.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Where tensor `logits` `[B,1,H,W]` goes.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Batch statistics; prints the loss and writes the gradients.
    #[arg(long, requires = "target", requires = "gradients")]
    pub train: bool,
    /// Tensor `target` `[B,1,H,W]`, f32, values in 0..1.
    #[arg(long, value_name = "FILE", requires = "train")]
    pub target: Option<PathBuf>,
    /// Where the gradients go, under the reference's names.
    #[arg(long, value_name = "FILE", requires = "train")]
    pub gradients: Option<PathBuf>,
    /// auto, any, flex, tch-cpu or tch:0.
    #[arg(long, value_name = "D", default_value = "auto")]
    pub device: String,
}

/// Why there is no result; completes "failed to".
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The name of the model does not parse.
    #[error("read the model `{model}`: {source}")]
    Model {
        /// The text as it was given.
        model: String,
        /// What is wrong in it.
        source: NameError,
    },
    /// The network is unknown, or an option or the value of one.
    #[error("find the model `{model}`: {source} (known: {known})")]
    Network {
        /// The text as it was given.
        model: String,
        /// Which of them it is.
        source: NetworkError,
        /// The words that may stand there, with commas between; empty where none can be listed.
        known: String,
    },
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A file of tensors cannot be read or written, or lacks the tensor.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// The weights cannot be read, or are of another network.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A tensor has a shape that the model cannot use.
    #[error("use `{tensor}` of {path}: its shape is {found:?} and should be {expected}")]
    Shape {
        /// `input` or `target`.
        tensor: &'static str,
        /// The file that holds it.
        path: PathBuf,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that it should have, letters for what is free.
        expected: String,
    },
    /// The network takes no images of such a side.
    #[error(
        "use `input` of {path}: {network} takes no {side} of {found} pixels; \
         sides are multiples of {multiple}, at least {least}: take {nearest}"
    )]
    Size {
        /// The file that holds the input.
        path: PathBuf,
        /// Name without options.
        network: &'static str,
        /// `height` or `width`.
        side: &'static str,
        /// Its length, pixels.
        found: usize,
        /// Valid sides are multiples of this, pixels.
        multiple: usize,
        /// The smallest valid side, pixels.
        least: usize,
        /// The valid side nearest to the one found, pixels.
        nearest: usize,
    },
    /// The target has a value outside of 0..1.
    #[error("use `target` of {path}: it holds {value}; targets are in 0..1")]
    Target {
        /// The file that holds the target.
        path: PathBuf,
        /// The first such value.
        value: f32,
    },
    /// Logits or loss cannot be read off the device; why.
    #[error("read the result off the device: {0}")]
    Readback(String),
}

impl ForwardError {
    /// The exit code that says what kind of failure it is.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Device(error) => error.exit(),
            Self::File(error) | Self::Weights(WeightsError::File(error)) if error.is_missing() => {
                Exit::Environment
            }
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
    let shape = input.shape();
    let size = [shape[2], shape[3]];
    let net = Net::build(&named, size, &backend.device).map_err(|source| unknown(&model, source))?;
    let net = weights::load(net, &arguments.weights)?;

    let (Some(target), Some(gradients)) = (&arguments.target, &arguments.gradients) else {
        let logits = net.forward(Tensor::from_data(input, &backend.device));
        write_logits(&arguments.output, logits)?;
        return Ok(None);
    };
    let target = mask(target, &input)?;
    let kind = if net.is_ill_conditioned() { FloatDType::F64 } else { FloatDType::F32 };
    let net = weights::cast(net, kind).train();
    let device = backend.device.autodiff();
    let tensor = |data| Tensor::<4>::from_data(data, &device).cast(kind);
    let logits = net.forward(tensor(input));
    let LossParts { total, bce, dice } = loss::loss(logits.clone(), tensor(target), &loss::REFERENCE);
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

    /// Side of the images, pixels: some networks hold a tensor for each position
    #[arg(long, value_name = "PIXELS", default_value_t = 224)]
    pub size: usize,
}

/// Runs the verb `tensors`: a JSON object of the reference names and shapes
/// that a weights file of the model holds.
///
/// # Errors
/// The model is unknown.
pub fn tensors(arguments: &TensorsArguments) -> Result<String, ForwardError> {
    let model = &arguments.model;
    let named = Named::parse(model).map_err(|source| ForwardError::Model { model: model.clone(), source })?;
    let size = [arguments.size; 2];
    let device = device::parse("flex")?.device;
    let net = Net::build(&named, size, &device).map_err(|source| unknown(model, source))?;
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
    if network.square && height != width {
        return Err(misshaped("input", path, shape, "[B, 3, S, S]: the network takes square images"));
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
    Ok(tensors::write(path, &Tensors::from([("logits".to_owned(), data.convert::<f32>())]))?)
}

fn scalar(tensor: Tensor<1>) -> Result<f32, ForwardError> {
    let data = tensor.try_into_data().map_err(|error| ForwardError::Readback(error.to_string()))?;
    let values = data
        .convert::<f32>()
        .try_to_vec::<f32>()
        .map_err(|error| ForwardError::Readback(format!("{error:?}")))?;
    values.first().copied().ok_or_else(|| ForwardError::Readback("an empty tensor".into()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::learn::init::initialise;

    /// A folder with intact weights of the plain U-Net.
    struct Bench {
        folder: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("folder");
            let device = device::parse("flex").expect("flex").device;
            let net = Net::build(&Named::plain("unet"), [32; 2], &device).expect("known");
            weights::save(&initialise(net, 1), &folder.path().join("weights")).expect("saved");
            Self { folder }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn put(&self, name: &str, tensor: &str, shape: &[usize], value: f32) {
            let data = TensorData::new(vec![value; shape.iter().product()], shape.to_vec());
            tensors::write(&self.path(name), &Tensors::from([(tensor.to_owned(), data)])).expect("written");
        }

        fn arguments(&self) -> Arguments {
            Arguments {
                model: "unet".into(),
                weights: self.path("weights"),
                input: self.path("input"),
                output: self.path("output"),
                train: false,
                target: None,
                gradients: None,
                device: "flex".into(),
            }
        }

        fn fails(&self, arguments: &Arguments) -> (Exit, String) {
            let error = run(arguments).expect_err("refused");
            (error.exit(), error.to_string())
        }
    }

    #[test]
    fn bad_requests_are_told_in_one_line_with_the_remedy() {
        let bench = Bench::new();
        let arguments = bench.arguments();
        assert_eq!(bench.fails(&arguments).0, Exit::Environment);

        bench.put("input", "image", &[1, 3, 32, 32], 0.0);
        let (exit, text) = bench.fails(&arguments);
        assert!(exit == Exit::Usage && text.contains("no tensor `input` (it holds: image)"), "{text}");

        bench.put("input", "input", &[3, 32, 32], 0.0);
        let (exit, text) = bench.fails(&arguments);
        assert!(exit == Exit::Usage && text.contains("[3, 32, 32] and should be [B, 3, H, W]"), "{text}");

        bench.put("input", "input", &[1, 3, 40, 24], 0.0);
        let (exit, text) = bench.fails(&arguments);
        assert!(exit == Exit::Usage && text.contains("width of 24") && text.contains("take 32"), "{text}");

        bench.put("input", "input", &[1, 3, 40, 40], 0.0);
        let sized = Arguments { model: "dyglnet".into(), ..bench.arguments() };
        let (exit, text) = bench.fails(&sized);
        assert!(
            exit == Exit::Usage && text.contains("multiples of 16") && text.contains("take 48"),
            "{text}"
        );

        bench.put("input", "input", &[1, 3, 32, 32], 0.0);
        let (exit, text) = bench.fails(&Arguments { model: "dyglnet".into(), ..bench.arguments() });
        assert!(exit == Exit::Usage && text.contains("missing") && text.contains("unexpected"), "{text}");

        let (exit, text) = bench.fails(&Arguments { model: "unett".into(), ..bench.arguments() });
        assert!(exit == Exit::Usage && text.contains("known: unet"), "{text}");

        let (exit, _) = bench.fails(&Arguments { device: "tch:0".into(), ..bench.arguments() });
        assert_eq!(exit, Exit::Environment);

        fs::write(bench.path("weights"), b"not a tensor file").expect("written");
        let (exit, text) = bench.fails(&arguments);
        assert!(exit == Exit::Usage && text.contains("no intact safetensors file"), "{text}");
        assert!(!text.contains('\n'));
    }

    #[test]
    fn training_reports_loss_and_gradients_and_checks_the_target() {
        let bench = Bench::new();
        bench.put("input", "input", &[1, 3, 32, 32], 0.5);
        let arguments = Arguments {
            train: true,
            target: Some(bench.path("target")),
            gradients: Some(bench.path("gradients")),
            ..bench.arguments()
        };
        bench.put("target", "target", &[1, 1, 32, 16], 1.0);
        assert_eq!(bench.fails(&arguments).0, Exit::Usage);
        bench.put("target", "target", &[1, 1, 32, 32], 255.0);
        assert!(bench.fails(&arguments).1.contains("targets are in 0..1"));
        bench.put("target", "target", &[1, 1, 32, 32], 0.25);
        let line = run(&arguments).expect("run").expect("a line");
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let part = |key: &str| line[key].as_f64().expect("number");
        assert!((part("loss") - 0.5 * (part("bce") + part("dice_loss"))).abs() < 1e-6);
        let gradients = tensors::read(&bench.path("gradients")).expect("gradients");
        assert_eq!(gradients["outc.conv.weight"].shape().to_vec(), [1, 64, 1, 1]);
        assert!(!gradients.keys().any(|name| name.ends_with("running_mean")));
    }
}
