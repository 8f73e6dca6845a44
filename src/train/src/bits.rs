//! `dygl-worker bits`: digests of what a machine computes on flex, for every
//! network with every option: the proof that another machine, another number of
//! threads or narrower vectors give the same bits.
//!
//! A line for each value, in the order in which it is computed, so that the first
//! one that differs names what to look at:
//!
//! ```text
//! op matmul [2, 49, 300, 33] 0d4b...
//! net dyglnet f32 evaluation 8a21...
//! ```

use std::path::PathBuf;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use dygl_base::exit::Exit;
use dygl_base::random::Stream;
use dygl_nn::op::{autocast, noise};
use dygl_nn::vector::Level;
use dygl_spec::name::Named;
use dygl_spec::network::{NETWORKS, Network, Values};
use dygl_spec::protocol::{DecayExclude, Optimizer, OptimizerName};

use crate::learn::init::initialise_for;
use crate::learn::loss::{REFERENCE, mean_loss};
use crate::learn::optim::{AdamW, GradientSet};
use crate::learn::tensors::Tensors;
use crate::learn::weights;
use crate::net::Net;

mod operations;

/// Images of a batch.
const BATCH: usize = 2;
/// Side of the images, at least, pixels.
const SIDE: usize = 32;
/// Optimizer steps whose weights are digested.
const STEPS: u64 = 3;
/// The seed of weights and images.
const SEED: u64 = 42;

/// What the verb takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Networks, with or without options (default: all, with every option)
    #[arg(long = "model", value_name = "MODEL")]
    pub models: Vec<String>,
    /// The networks and ablations of the paper's tables alone
    #[arg(long, conflicts_with = "models")]
    pub paper: bool,
    /// f32 or bf16-amp (default: both)
    #[arg(long, value_name = "WORD")]
    pub precision: Option<Precision>,
    /// Leave out the operations by themselves
    #[arg(long)]
    pub no_operations: bool,
    /// Stop at the first line that is not the one of this file
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
}

/// Numbers of the products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Precision {
    /// Everything in f32
    F32,
    /// Operands of convolutions and linear layers rounded to bfloat16
    Bf16Amp,
}

impl Precision {
    fn word(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16Amp => "bf16-amp",
        }
    }
}

/// Why the bits are not told; completes "failed to".
#[derive(Debug, thiserror::Error)]
pub enum BitsError {
    /// `DYGL_SIMD` asks for vectors that this processor has not; what [`Level::check`] says.
    #[error("use {0}")]
    Level(String),
    /// The file that the digests are held against cannot be read.
    #[error("read {}: {error}", path.display())]
    Read {
        /// As given with `--against`.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The network is unknown, cannot be built, or has a gradient that is not finite.
    #[error("digest `{model}`: {message}")]
    Model {
        /// Name with options, as its lines spell it.
        model: String,
        /// What is wrong with it.
        message: String,
    },
    /// A digest is not the one of the file, or the file has none for that value.
    #[error(
        "compute the same bits as {}: the first value that differs is `{name}`: {found} instead of {wanted} \
         ({level})",
        path.display()
    )]
    Differs {
        /// As given with `--against`.
        path: PathBuf,
        /// The line before its digest: `net dyglnet f32 evaluation`.
        name: String,
        /// Digest of what was computed here.
        found: String,
        /// Digest that the file has; `nothing` where it has no such line.
        wanted: String,
        /// Vector instructions that computed it here.
        level: &'static str,
    },
}

impl BitsError {
    /// The exit code that says what kind of failure it is.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Level(_) | Self::Read { .. } => Exit::Environment,
            Self::Model { .. } => Exit::Usage,
            Self::Differs { .. } => Exit::Regressed,
        }
    }
}

/// Tells the digests line by line, or holds them against a file.
///
/// # Errors
/// A level, a file or a model that is not there; a line that differs from the file's.
pub fn run(arguments: &Arguments, mut tell: impl FnMut(&str)) -> Result<(), BitsError> {
    let level = Level::check().map_err(BitsError::Level)?;
    let wanted = match &arguments.against {
        Some(path) => {
            let error = |error| BitsError::Read { path: path.clone(), error };
            Some((path, std::fs::read_to_string(path).map_err(error)?))
        }
        None => None,
    };
    let mut each = |name: String, digest: String| -> Result<(), BitsError> {
        tell(&format!("{name} {digest}"));
        let Some((path, text)) = &wanted else { return Ok(()) };
        let of_file = text.lines().find_map(|line| line.strip_prefix(&name)?.strip_prefix(' '));
        if of_file == Some(&digest) {
            return Ok(());
        }
        let wanted = of_file.unwrap_or("nothing").to_owned();
        let path = (*path).clone();
        Err(BitsError::Differs { path, name, found: digest, wanted, level: level.name() })
    };
    if !arguments.no_operations {
        operations::each(&mut |name, tensors| each(format!("op {name}"), digest(tensors)))?;
    }
    let models = match (arguments.paper, arguments.models.is_empty()) {
        (true, _) => paper(),
        (false, true) => variants(),
        (false, false) => arguments.models.clone(),
    };
    let wants = |precision: &Precision| arguments.precision.is_none_or(|only| only == *precision);
    for model in models {
        let subject = Subject::of(&model)?;
        for precision in [Precision::F32, Precision::Bf16Amp].into_iter().filter(wants) {
            subject.digest(precision, &mut each)?;
        }
    }
    Ok(())
}

/// What DyGLNet is changed to in the paper's table 6.
const ABLATIONS: [&str; 7] = [
    "upsample=bilinear",
    "upsample=transposed",
    "norm=group",
    "local=none",
    "global=none",
    "split=local",
    "split=global",
];

/// The networks and ablations of the paper's tables.
pub fn paper() -> Vec<String> {
    let networks = NETWORKS.iter().map(|network| network.name.to_owned());
    networks.chain(ABLATIONS.iter().map(|option| format!("dyglnet,{option}"))).collect()
}

/// Every network, and with each other value of each of its options.
pub fn variants() -> Vec<String> {
    let of = |network: &Network| {
        let options = network.options.iter().flat_map(|option| {
            let values: &[&str] = match &option.values {
                Values::Words(words) => &words[1..],
                Values::Rate(_) => &["0.5"],
            };
            values.iter().map(move |value| format!("{},{}={value}", network.name, option.name))
        });
        std::iter::once(network.name.to_owned()).chain(options).collect::<Vec<_>>()
    };
    NETWORKS.iter().flat_map(of).collect()
}

/// A network with its first weights.
struct Subject {
    model: String,
    named: Named,
    side: usize,
    initial: Tensors,
}

impl Subject {
    fn of(model: &str) -> Result<Self, BitsError> {
        let refused = |message: String| BitsError::Model { model: model.to_owned(), message };
        let named = Named::parse(model).map_err(|error| refused(format!("{error:?}")))?;
        let listed = dygl_spec::network::resolve(&named).map_err(|error| refused(error.to_string()))?.0;
        let side = (SIDE..).find(|side| listed.check_size(*side).is_ok()).unwrap_or(SIDE);
        let mut subject = Self { model: model.to_owned(), named, side, initial: Tensors::new() };
        subject.initial = weights::snapshot(&initialise_for(&subject.named, subject.build()?, SEED));
        Ok(subject)
    }

    fn refused(&self, message: String) -> BitsError {
        BitsError::Model { model: self.model.clone(), message }
    }

    fn build(&self) -> Result<Net, BitsError> {
        let net = Net::build(&self.named, [self.side; 2], &Device::flex());
        net.map_err(|error| self.refused(error.to_string()))
    }

    /// Evaluates the network, and trains it for some steps.
    fn digest(
        &self,
        precision: Precision,
        each: &mut impl FnMut(String, String) -> Result<(), BitsError>,
    ) -> Result<(), BitsError> {
        let net = weights::apply(self.build()?, self.initial.clone());
        let mut net = net.map_err(|error| self.refused(error.to_string()))?;
        let mut tell = |what: &str, digest: String| {
            each(format!("net {} {} {what}", self.model, precision.word()), digest)
        };
        let [images, targets] = batch(self.side);
        let mixed = precision == Precision::Bf16Amp;
        let logits = {
            let _products = autocast(mixed);
            net.forward(Tensor::from_data(images.clone(), &Device::flex()))
        };
        tell("evaluation", digest_of(&[logits.into_data()]))?;

        net = net.train();
        let device = Device::flex().autodiff();
        let mut optimizer = AdamW::new(&optimizer());
        for step in 0..STEPS {
            let outputs = {
                let _products = autocast(mixed);
                let mut stream = Stream::new(SEED, "bits", &["drop", &step.to_string()]);
                let _drops = noise(move || stream.unit());
                net.outputs(Tensor::from_data(images.clone(), &device))
            };
            if step == 0 {
                let maps: Vec<TensorData> =
                    outputs.iter().map(|map| map.clone().inner().into_data()).collect();
                tell("logits", digest_of(&maps))?;
            }
            let loss = mean_loss(outputs, Tensor::from_data(targets.clone(), &device), &REFERENCE).total;
            if step == 0 {
                tell("loss", digest_of(&[loss.clone().inner().into_data()]))?;
            }
            let grads = loss.backward();
            if step == 0 {
                tell("gradients", digest(&weights::gradients(&net, &grads)))?;
            }
            let gradients =
                GradientSet::collect(&net, &grads).map_err(|error| self.refused(error.to_string()))?;
            net = optimizer.step(net, gradients, 1e-3);
        }
        tell("weights", digest(&weights::snapshot(&net)))
    }
}

/// With clipping and decay, as the paper trains.
fn optimizer() -> Optimizer {
    Optimizer {
        name: OptimizerName::Adamw,
        learning_rate: 1e-3,
        betas: [0.9, 0.999],
        epsilon: 1e-8,
        weight_decay: 1e-4,
        decay_exclude: DecayExclude::Nothing,
        clip_norm: 1.0,
    }
}

/// Noise, and a disc in each image [B, 1, S, S] to find.
fn batch(side: usize) -> [TensorData; 2] {
    let mut stream = Stream::new(SEED, "bits", &["images"]);
    let images: Vec<f32> = (0..BATCH * 3 * side * side).map(|_| stream.range(-2.0, 2.0) as f32).collect();
    let inside = |at: usize| {
        let centre = side as f64 / 2.0;
        let (row, column) = ((at / side % side) as f64 - centre, (at % side) as f64 - centre);
        f32::from(u8::from(row * row + column * column < centre * centre / 3.0))
    };
    let targets: Vec<f32> = (0..BATCH * side * side).map(inside).collect();
    [TensorData::new(images, [BATCH, 3, side, side]), TensorData::new(targets, [BATCH, 1, side, side])]
}

/// Of tensors with names, in the order of these.
fn digest(tensors: &Tensors) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, tensor) in tensors {
        hasher.update(name.as_bytes()).update(&[0]).update(tensor.as_bytes());
    }
    short(&hasher)
}

fn digest_of(tensors: &[TensorData]) -> String {
    let mut hasher = blake3::Hasher::new();
    tensors.iter().for_each(|tensor| {
        hasher.update(tensor.as_bytes());
    });
    short(&hasher)
}

/// Enough of a digest that two differ.
fn short(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex()[..24].to_owned()
}
