//! Parity with the reference implementations.
//!
//! A fixture holds what a PyTorch network gives for weights, input and target
//! that anyone can regenerate: [`fill`] makes them from names alone. A check
//! runs `dygl model forward` as a process on such files, in evaluation and in
//! training, and holds logits, loss and gradient norms against the fixture.
//!
//! Two forms of a fixture: the complete one ([`Fixture::read`], beside the
//! checkout) and a compact one ([`Fixture::thin`], checked in under
//! `tests/golden/parity`): logits at 8 x 8 positions, about 40 gradient norms.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

pub use crate::arrays::{
    Array, Arrays, fill, fnv1a64, images, input, read_arrays, target, tokens, unit, write_arrays,
};

/// Seed of all fixtures.
pub const SEED: u64 = 1;
/// Side of the images, pixels.
const SIDE: usize = 224;
/// Rows and columns of logits that a compact fixture keeps.
const GRID: usize = 8;
/// Gradient norms that a compact fixture keeps.
const NORMS: usize = 40;
/// Part of the largest gradient norm that is rounding: biases before batch
/// norm have a true gradient of 0.
const ROUNDING: f64 = 2e-5;

/// Factors on filled tensors that a fixture's note states: (fixture, end of
/// the name, factor).
const OVERRIDES: &[(&str, &str, f32)] = &[
    ("m2snet", "conv_3.norm.running_var", 331_776.0),
    ("m2snet", "conv_5.norm.running_var", 2_560_000.0),
    ("dyglnet_wo_dyt", ".pre_norm.weight", 0.25),
];

/// How far a network may be from its fixture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Largest absolute difference of a logit, evaluation.
    pub eval: f64,
    /// Largest absolute difference of a logit, training.
    pub train: f64,
    /// Relative difference of gradient norms that 99 % must keep.
    pub most: f64,
    /// Relative difference of gradient norms that all must keep.
    pub all: f64,
    /// Relative difference of the loss.
    pub loss: f64,
}

/// What a fixture says, complete or compact: logits by their flat index.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// Stem of its file, without the seed: `dyglnet_wo_dyt`.
    pub name: String,
    /// How far a network may be from it.
    pub bounds: Bounds,
    /// Logits in evaluation.
    pub eval: BTreeMap<usize, f64>,
    /// Logits in training, with batch statistics.
    pub train: BTreeMap<usize, f64>,
    /// `loss`, and its parts `bce` and `dice_loss`.
    pub losses: BTreeMap<String, f64>,
    /// `None` where the parameter has no gradient.
    pub norms: BTreeMap<String, Option<f64>>,
    /// The largest of all the network's gradient norms.
    pub largest: f64,
}

impl Fixture {
    /// Reads a complete fixture of the folder that holds `parity`.
    pub fn read(shared: &Path, name: &str) -> Result<Self> {
        let folder = shared.join("parity");
        let path = folder.join(format!("{name}.seed{SEED}.json"));
        let facts: Value = serde_json::from_str(&text(&path)?)?;
        let logits = read_arrays(&folder.join(format!("{name}.seed{SEED}.safetensors")))?;
        let all = |tensor: &str| -> Result<BTreeMap<usize, f64>> {
            let array = logits.get(tensor).with_context(|| format!("{name}: no tensor {tensor}"))?;
            Ok(array.values.iter().map(|value| f64::from(*value)).enumerate().collect())
        };
        let norms: BTreeMap<String, Option<f64>> = facts["grad_norms"]
            .as_object()
            .context("grad_norms")?
            .iter()
            .map(|(name, norm)| (name.clone(), norm.as_f64().filter(|norm| *norm != 0.0)))
            .collect();
        let largest = norms.values().flatten().fold(0.0, |most, norm| norm.max(most));
        Ok(Self {
            name: name.to_owned(),
            bounds: bounds(&folder.join("bounds.csv"), name)?,
            eval: all("eval_logits")?,
            train: all("train_logits")?,
            losses: losses(&facts)?,
            norms,
            largest,
        })
    }

    /// Thins the fixture out: logits on a grid, gradient norms spread over the
    /// network, among them the largest.
    pub fn thin(&self) -> Self {
        let step = SIDE / GRID;
        let kept = |index: &usize| {
            let (row, column) = (index / SIDE % SIDE, index % SIDE);
            row % step == step / 2 && column % step == step / 2
        };
        let grid = |logits: &BTreeMap<usize, f64>| -> BTreeMap<usize, f64> {
            logits.iter().filter(|(index, _)| kept(index)).map(|(index, value)| (*index, *value)).collect()
        };
        let telling: Vec<&String> = self
            .norms
            .iter()
            .filter(|(_, norm)| norm.is_some_and(|norm| norm > 1e-3 * self.largest))
            .map(|(name, _)| name)
            .collect();
        let count = NORMS.min(telling.len());
        let spread = (0..count).map(|index| telling[index * telling.len() / count]);
        let top = telling.iter().copied().filter(|name| self.norms[*name] == Some(self.largest));
        let norms = spread.chain(top).map(|name| (name.clone(), self.norms[name])).collect();
        Self { eval: grid(&self.eval), train: grid(&self.train), norms, ..self.clone() }
    }

    /// Writes the fixture as JSON, one fact a line.
    pub fn to_json(&self) -> Value {
        let logits = |logits: &BTreeMap<usize, f64>| -> Map<String, Value> {
            logits.iter().map(|(index, value)| (index.to_string(), json!(value))).collect()
        };
        json!({
            "fixture": self.name,
            "bounds": {
                "eval": self.bounds.eval,
                "train": self.bounds.train,
                "most": self.bounds.most,
                "all": self.bounds.all,
                "loss": self.bounds.loss,
            },
            "losses": self.losses,
            "largest": self.largest,
            "eval_logits": logits(&self.eval),
            "train_logits": logits(&self.train),
            "gradient_norms": self.norms,
        })
    }

    /// Reads what [`Fixture::to_json`] gave.
    pub fn from_json(value: &Value) -> Result<Self> {
        let number = |value: &Value, key: &str| value[key].as_f64().with_context(|| key.to_owned());
        let object = |key: &str| value[key].as_object().with_context(|| key.to_owned());
        let logits = |key: &str| -> Result<BTreeMap<usize, f64>> {
            object(key)?.iter().map(|(k, v)| Ok((k.parse()?, v.as_f64().context("logit")?))).collect()
        };
        let bounds = &value["bounds"];
        Ok(Self {
            name: value["fixture"].as_str().context("fixture")?.to_owned(),
            bounds: Bounds {
                eval: number(bounds, "eval")?,
                train: number(bounds, "train")?,
                most: number(bounds, "most")?,
                all: number(bounds, "all")?,
                loss: number(bounds, "loss")?,
            },
            eval: logits("eval_logits")?,
            train: logits("train_logits")?,
            losses: losses(&value["losses"])?,
            norms: object("gradient_norms")?.iter().map(|(k, v)| (k.clone(), v.as_f64())).collect(),
            largest: number(value, "largest")?,
        })
    }
}

fn losses(facts: &Value) -> Result<BTreeMap<String, f64>> {
    ["loss", "bce", "dice_loss"]
        .into_iter()
        .map(|key| Ok((key.to_owned(), facts[key].as_f64().with_context(|| key.to_owned())?)))
        .collect()
}

fn bounds(path: &Path, name: &str) -> Result<Bounds> {
    let table = text(path)?;
    let mut lines = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().context("bounds.csv is empty")?;
    let row = lines.find(|row| row[0] == name).with_context(|| format!("no bounds for {name}"))?;
    let column = |wanted: &str| -> Result<f64> {
        let at = header.iter().position(|column| *column == wanted).context("bounds.csv")?;
        Ok(row.get(at).context("bounds.csv")?.parse()?)
    };
    Ok(Bounds {
        eval: column("eval_logits_max_abs")?,
        train: column("train_logits_max_abs")?,
        most: column("gradient_norm_rel_99pct")?,
        all: column("gradient_norm_rel_all")?,
        loss: if matches!(name, "dcsau_net" | "m2snet" | "cmunext_l") { 1e-4 } else { 1e-5 },
    })
}

/// What the worker gave.
#[derive(Debug)]
pub struct Outcome {
    /// Logits in evaluation, `[B, 1, H, W]`.
    pub eval: Array,
    /// Logits in training, `[B, 1, H, W]`.
    pub train: Array,
    /// `loss`, and its parts `bce` and `dice_loss`.
    pub losses: BTreeMap<String, f64>,
    /// Euclidean norm of each parameter's gradient, by reference name; none where there is no gradient.
    pub norms: BTreeMap<String, f64>,
}

/// The weights of a fixture, or of another seed, for images of `side` pixels.
pub fn weights(worker: &Path, fixture: &str, model: &str, seed: u64, side: usize) -> Result<Arrays> {
    let told = call(worker, &["tensors", "--model", model, "--size", &side.to_string()])?;
    let shapes: BTreeMap<String, Vec<usize>> = serde_json::from_str(&told)?;
    Ok(filled(fixture, shapes.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())), seed))
}

/// The fixture's values for tensors of those names and shapes.
pub fn filled<'a>(
    fixture: &str,
    shapes: impl IntoIterator<Item = (&'a str, &'a [usize])>,
    seed: u64,
) -> Arrays {
    let weights = shapes.into_iter().map(|(name, shape)| {
        let mut array = fill(name, shape, seed);
        let overrides = OVERRIDES.iter().filter(|(of, end, _)| *of == fixture && name.ends_with(end));
        for (_, _, factor) in overrides {
            array.values.iter_mut().for_each(|value| *value *= factor);
        }
        (name.to_owned(), array)
    });
    weights.collect()
}

/// Logits [B, 1, H, W] in evaluation, by `dygl model forward` on `flex`, of
/// the weights of a file.
///
/// # Errors
/// The program refuses; the message is what it says.
pub fn evaluate(worker: &Path, model: &str, weights: &Path, images: Array) -> Result<Array> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    write_arrays(&at("input"), &Arrays::from([("input".into(), images)]))?;
    let path = |path: &Path| path.display().to_string();
    let (weights, input, output) = (path(weights), path(&at("input")), path(&at("output")));
    let arguments = ["--model", model, "--weights", &weights, "--input", &input, "--output", &output];
    call(worker, &[&["forward", "--device", "flex"][..], &arguments].concat())?;
    read_arrays(&at("output"))?.remove("logits").context("no tensor `logits`")
}

/// Runs the worker on the fixture's weights, input and target: once in
/// evaluation, once in training. `model` and `device` are the worker's
/// `--model` and `--device`.
pub fn run(worker: &Path, fixture: &str, model: &str, device: &str) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    write_arrays(&at("weights"), &weights(worker, fixture, model, SEED, SIDE)?)?;
    write_arrays(&at("input"), &Arrays::from([("input".into(), input(SEED))]))?;
    write_arrays(&at("target"), &Arrays::from([("target".into(), target(SEED))]))?;
    let path = |name: &str| at(name).display().to_string();
    let (weights, input) = (path("weights"), path("input"));
    let from = ["--model", model, "--weights", &weights, "--input", &input];
    let common = [&["forward", "--device", device][..], &from, &["--output"]].concat();

    let eval = path("eval");
    call(worker, &[&common[..], &[&eval]].concat())?;
    let (train, target, gradients) = (path("train"), path("target"), path("gradients"));
    let training = [&train, "--train", "--target", &target, "--gradients", &gradients];
    let line = call(worker, &[&common[..], &training].concat())?;
    let logits = |name: &str| -> Result<Array> {
        read_arrays(&at(name))?.remove("logits").context("no tensor `logits`")
    };
    let norm = |array: Array| array.values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    Ok(Outcome {
        eval: logits("eval")?,
        train: logits("train")?,
        losses: losses(&serde_json::from_str(&line)?)?,
        norms: read_arrays(&at("gradients"))?.into_iter().map(|(name, array)| (name, norm(array))).collect(),
    })
}

/// How far an outcome is from its fixture.
#[derive(Debug, Clone, PartialEq)]
pub struct Deviation {
    /// Largest absolute difference of a logit, evaluation.
    pub eval: f64,
    /// Largest absolute difference of a logit, training.
    pub train: f64,
    /// Largest relative difference of loss, cross-entropy and Dice loss.
    pub loss: f64,
    /// Largest relative difference of a gradient norm beyond what is rounding.
    pub gradient: f64,
    /// Parameters beyond the bound that 99 % must keep.
    pub beyond: usize,
}

/// The largest absolute difference of logits from those of a fixture, by
/// their flat index.
///
/// # Errors
/// There are too few of them, or one is not finite.
pub fn difference(wanted: &BTreeMap<usize, f64>, got: &Array) -> Result<f64> {
    wanted.iter().try_fold(0.0f64, |most, (index, want)| {
        let got = got.values.get(*index).context("too few logits")?;
        let difference = (f64::from(*got) - want).abs();
        ensure!(difference.is_finite(), "a logit is not finite");
        Ok(most.max(difference))
    })
}

/// Holds an outcome against a fixture.
///
/// # Errors
/// A difference is beyond its bound; the message gives all of them.
pub fn compare(fixture: &Fixture, outcome: &Outcome) -> Result<Deviation> {
    let loss = fixture.losses.iter().map(|(key, want)| (outcome.losses[key] / want - 1.0).abs());
    let mut deviation = Deviation {
        eval: difference(&fixture.eval, &outcome.eval)?,
        train: difference(&fixture.train, &outcome.train)?,
        loss: loss.fold(0.0, f64::max),
        gradient: 0.0,
        beyond: 0,
    };
    let mut worst = String::new();
    for (name, want) in &fixture.norms {
        let (got, want) = (outcome.norms.get(name).copied(), *want);
        if got.is_none() && want.is_some() {
            bail!("{}: no gradient for {name}", fixture.name);
        }
        let (got, want) = (got.unwrap_or(0.0), want.unwrap_or(0.0));
        let excess = ((got - want).abs() - ROUNDING * fixture.largest).max(0.0);
        let relative = if excess > 0.0 { excess / want } else { 0.0 };
        ensure!(relative.is_finite(), "{}: the gradient of {name} is {got}, not {want}", fixture.name);
        if relative > deviation.gradient {
            deviation.gradient = relative;
            worst = format!("{name}: {got:e} instead of {want:e}");
        }
        deviation.beyond += usize::from(relative > fixture.bounds.most);
    }
    let bounds = fixture.bounds;
    let allowed = fixture.norms.len().div_ceil(100);
    let kept = deviation.eval <= bounds.eval
        && deviation.train <= bounds.train
        && deviation.loss <= bounds.loss
        && deviation.gradient <= bounds.all
        && deviation.beyond <= allowed;
    ensure!(kept, "{}: {deviation:?} is beyond {bounds:?} ({worst})", fixture.name);
    Ok(deviation)
}

/// The worker beside a test executable (`target/<profile>/deps/NAME`).
pub fn worker() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent).context("the test has no folder")?;
    let path = folder.join(format!("dygl-worker{}", std::env::consts::EXE_SUFFIX));
    ensure!(path.exists(), "{} is missing: build the workspace first (`cargo build`)", path.display());
    Ok(path)
}

/// Forward passes go the user's way, through `dygl model forward`, which
/// hands over to the worker beside it.
fn call(worker: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = match arguments.first() {
        Some(&"forward") => {
            let mut command =
                Command::new(worker.with_file_name(format!("dygl{}", std::env::consts::EXE_SUFFIX)));
            command.arg("model");
            command
        }
        _ => Command::new(worker),
    };
    let output = command.args(arguments).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {errors}", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}
