//! The command line: the contract with people and scripts.

mod check;
mod dataset;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use dygl_exec::device::Device;
use dygl_pixels::mask::MaskRule;
use dygl_spec::ledger::Size;
use dygl_spec::ops::PreflightMode;
use dygl_spec::project;
use dygl_spec::schema;

pub use check::{Against, Check, Require, ToleranceRule};
pub use dataset::{Dataset, Division, FailOn, PartName, Preview};

/// Regenerate, trace, verify and doubt the numbers of a paper's tables.
#[derive(Debug, Parser)]
#[command(
    name = "dygl",
    version,
    max_term_width = 100,
    after_help = "Example:\n  dygl run smoke && dygl report smoke\n  \
                  Exit codes: 0 ok, 1 some runs failed, 2 bad experiment or usage, 3 environment, 4 nothing selected,\n\
                  5 altered, 6 regressed or refuted, 7 missing, 8 stale, 130 interrupted"
)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the cells of experiments and what each would need
    #[command(after_help = "Example:\n  dygl plan table2 --profile quick --filter 'model=dyglnet'")]
    Plan(Selection),
    /// Train and evaluate what is not in the store yet
    #[command(
        after_help = "Example:\n  dygl run table2 --profile quick --data ~/datasets --jobs 2 --keep-going"
    )]
    Run(Run),
    /// Say which cells are done, failed, missing, stale or altered
    #[command(after_help = "Example:\n  dygl status table2 --format json")]
    Status(Selection),
    /// Say why a cell would run again: field, old -> new
    #[command(after_help = "Example:\n  dygl explain table2 --set loss.lambda=0.3")]
    Explain(Selection),
    /// Render tables and an HTML report from the store; never trains
    #[command(after_help = "Example:\n  dygl report table2 --out reports/out")]
    Report(Report),
    /// Hold results against accepted ones; fails when a score moved
    #[command(
        after_help = "Results are identical (every image's score, to the last bit), held (within the tolerance),\n\
                      worse, better, missing or of other numerics; all but held and identical are told.\n\n\
                      Example:\n  dygl check smoke --junit check.xml\n  dygl check smoke --require identical\n  \
                      dygl check table2 --accept --filter 'model=dyglnet'\n  \
                      dygl check table2 --accept --prune --tolerance from-seeds"
    )]
    Check(Check),
    /// Say where the paper does not agree with itself: its sentences against its numbers
    #[command(after_help = "Example:\n  dygl audit --out reports/out/audit\n  \
                      dygl audit --claims my-claims.toml --reported my-numbers.toml --strict")]
    Audit(PaperAudit),
    /// Show everything the store knows of a key
    #[command(after_help = "Example:\n  dygl show 3fa9c2d1")]
    Show(KeyArgs),
    /// Print the log of a run, finished or under way
    #[command(after_help = "Example:\n  dygl logs 3fa9c2d1")]
    Logs(KeyArgs),
    /// Run a stored result again from its recorded cell and compare
    #[command(after_help = "Example:\n  dygl reproduce 3fa9c2d1")]
    Reproduce(KeyArgs),
    /// Predict masks of images with a trained network
    #[command(after_help = "Example:\n  dygl predict --run 3fa9c2d1 ~/frames --out masks\n  \
                      dygl predict --model dyglnet --weights w.safetensors 'frames/**/*.png' --out masks\n  \
                      dygl predict --run 3fa9c2d1 images --truth masks --out out\n  \
                      dygl predict --run 3fa9c2d1 images --truth 'masks/{id}_anno.bmp' --out out")]
    Predict(Predict),
    /// What networks cost: parameters, operations and memory, truly and as published
    #[command(
        after_help = "Example:\n  dygl cost\n  dygl cost fat_net dyglnet,upsample=transposed --layers\n  \
                      dygl cost dyglnet unet --measure --batch 4"
    )]
    Cost(Cost),
    /// Datasets: list, register, divide, audit, verify
    #[command(subcommand, after_help = "Example:\n  dygl dataset add cvc-clinicdb ~/CVC-ClinicDB --partial")]
    Dataset(Dataset),
    /// Networks: list, run forward, import weights
    #[command(subcommand, after_help = "Example:\n  dygl model list")]
    Model(Model),
    /// The store: list, verify, unlock
    #[command(subcommand, after_help = "Example:\n  dygl store verify")]
    Store(StoreVerb),
    /// Look at this machine: what is here, what is missing, what to do
    #[command(after_help = "Example:\n  dygl doctor")]
    Doctor(Common),
    /// Print a completion script
    #[command(
        after_help = "Example:\n  dygl completions bash > ~/.local/share/bash-completion/completions/dygl"
    )]
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
}

/// Where things are, and how answers look.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Folder of results and registered datasets (default: the project's)
    #[arg(long, value_name = "DIR", env = "DYGL_STORE", default_value_os_t = project::store())]
    pub store: PathBuf,
    /// How the answer on standard output is written
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// Which cells, under which settings.
#[derive(Debug, Clone, Args)]
pub struct Selection {
    /// Experiments: names (table2, smoke, ...: files in experiments/ of the project, else built-in) or TOML files
    #[arg(required = true, value_name = "EXP")]
    pub experiments: Vec<String>,
    /// Profile of settings: paper, quick, smoke, ...
    #[arg(long, value_name = "P")]
    pub profile: Option<String>,
    /// Override a setting (`--set train.epochs=3`); `a,b` makes an axis, `1..5` one of
    /// whole numbers
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Let axes advance together (`--zip image.size,train.batch_size`), as `zip` of an
    /// experiment file does and in its place; repeat for further groups
    #[arg(long, value_name = "AXIS,AXIS")]
    pub zip: Vec<String>,
    /// Keep cells that match: `model=unet|dyglnet,dataset=kvasir*,loss.lambda=0.3`;
    /// repeat for a union
    #[arg(long, value_name = "F")]
    pub filter: Vec<String>,
    /// Folder that holds the datasets by id
    #[arg(long, value_name = "DIR", env = "DYGL_DATA")]
    pub data: Option<PathBuf>,
    /// auto, any, flex, tch-cpu, tch:0
    #[arg(long, value_name = "D", default_value = "auto")]
    pub device: Device,
    #[command(flatten)]
    pub common: Common,
}

impl Selection {
    /// All that `--set` and `--zip` say, as arguments of `--set`.
    pub fn settings(&self) -> Vec<String> {
        let mut settings = self.set.clone();
        if !self.zip.is_empty() {
            let group = |axes: &String| {
                let axes: Vec<String> = axes.split(',').map(|axis| format!("{:?}", axis.trim())).collect();
                format!("[{}]", axes.join(","))
            };
            settings.push(format!("zip=[{}]", self.zip.iter().map(group).collect::<Vec<_>>().join(",")));
        }
        settings
    }
}

#[derive(Debug, Args)]
pub struct Cost {
    /// NAME or NAME,option=value,... (default: every network)
    #[arg(value_name = "MODEL")]
    pub models: Vec<String>,
    /// Size of the image, pixels: the side of a square, or WIDTHxHEIGHT (224x320)
    #[arg(long, value_name = "PIXELS", default_value_t = Size::from(224))]
    pub size: Size,
    /// List every layer
    #[arg(long)]
    pub layers: bool,
    /// Measure latency, throughput and memory on this machine, too
    #[arg(long)]
    pub measure: bool,
    /// Images at once, for memory and --measure (default: 1; of --measure 2)
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=4096))]
    pub batch: Option<usize>,
    /// Timed passes of --measure, behind one that is not timed
    #[arg(long, value_name = "R", default_value_t = 5, requires = "measure",
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    pub repeats: usize,
    /// What --measure computes on: auto, flex, tch-cpu, tch:0
    #[arg(long, value_name = "D", default_value = "auto", requires = "measure")]
    pub device: Device,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Place {
    Local,
    Slurm,
}

#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub selection: Selection,
    /// Where to run (default: what the profile says)
    #[arg(long, value_enum)]
    pub on: Option<Place>,
    /// Cells at once
    #[arg(long, value_name = "N", value_parser = |text: &str| schema::read::<usize>("ops.jobs", text))]
    pub jobs: Option<usize>,
    /// Begin further cells after one has failed
    #[arg(long)]
    pub keep_going: bool,
    /// Run cells again that failed before
    #[arg(long)]
    pub retry_failed: bool,
    /// Run cells again that are done; the new attempt is kept beside the old
    #[arg(long)]
    pub force: bool,
    /// Measure a step of each kind of cell first: time, memory and disk of the
    /// whole run (default: what the profile says; `auto` measures before long runs)
    #[arg(long, value_enum, value_name = "MODE")]
    pub preflight: Option<PreflightMode>,
    /// Stop at checkpoints after so many hours
    #[arg(long, value_name = "H", value_parser = hours)]
    pub max_hours: Option<f64>,
}

fn hours(text: &str) -> Result<f64, String> {
    schema::read_like("--max-hours", "ops.timeout_hours", text)
}

#[derive(Debug, Args)]
pub struct Report {
    #[command(flatten)]
    pub selection: Selection,
    /// Folder of the report
    #[arg(long, value_name = "DIR", default_value = "reports/out")]
    pub out: PathBuf,
    /// Embed images of datasets whose terms forbid showing them to others
    #[arg(long)]
    pub embed_images: bool,
}

#[derive(Debug, Args)]
pub struct PaperAudit {
    /// Sentences of the paper (default: the project's experiments/claims.toml, else the built-in ones)
    #[arg(long, value_name = "FILE")]
    pub claims: Option<PathBuf>,
    /// Numbers of the paper (default: the project's experiments/reported.toml, else the built-in ones)
    #[arg(long, value_name = "FILE")]
    pub reported: Option<PathBuf>,
    /// Write a page and audit.json into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Exit with 6 if there is a contradiction
    #[arg(long)]
    pub strict: bool,
    /// List what held, too
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Predict {
    /// A training or an evaluation of the store, by the first digits of its key
    #[arg(
        long,
        value_name = "KEY",
        required_unless_present = "model",
        conflicts_with_all = ["model", "weights", "size"]
    )]
    pub run: Option<String>,
    /// NAME or NAME,option=value,... (see `dygl model list`)
    #[arg(long, value_name = "M", requires = "weights")]
    pub model: Option<String>,
    /// Weights under the reference's names (safetensors)
    #[arg(long, value_name = "W", requires = "model")]
    pub weights: Option<PathBuf>,
    /// Files, folders (to the bottom) and patterns (`'frames/**/*.png'`): PNG, JPEG, BMP, TIFF, GIF, WebP
    #[arg(required = true, value_name = "IMAGES")]
    pub images: Vec<PathBuf>,
    /// Folder of the masks; a stopped call is taken up there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Side of the network input, pixels (default: the protocol's)
    #[arg(long, value_name = "PIXELS")]
    pub size: Option<usize>,
    /// A pixel is foreground above this probability (default: the run's or the protocol's)
    #[arg(long, value_name = "P")]
    pub threshold: Option<f64>,
    /// Stored value that is white (default: that of the run's dataset, else the greatest of each file's depth)
    #[arg(long, value_name = "VALUE")]
    pub white: Option<f64>,
    /// Images of one forward pass (default: the run's or the protocol's batch)
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Write masks at the network's size, as evaluations score them, not at the image's own
    #[arg(long)]
    pub at_network_size: bool,
    /// Write no probability pictures
    #[arg(long)]
    pub no_probability: bool,
    /// Write no overlays
    #[arg(long)]
    pub no_overlay: bool,
    /// Folder of true masks by the images' names, or where each lies (`'masks/{id}_anno.bmp'`): adds scores
    #[arg(long, value_name = "DIR")]
    pub truth: Option<PathBuf>,
    /// What of the true masks is foreground: `grey > 127`, `alpha > 127`, `instances`, or as a manifest
    /// has it (default: the rule of the run's dataset; with --model `grey > 127`)
    #[arg(long, value_name = "RULE", requires = "truth")]
    pub truth_rule: Option<MaskRule>,
    /// Overwrite what an earlier call left in --out
    #[arg(long)]
    pub force: bool,
    /// auto, flex, tch-cpu, tch:0
    #[arg(long, value_name = "D", default_value = "auto")]
    pub device: Device,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct KeyArgs {
    /// Key of a result, or its first digits (4 at least)
    pub key: String,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Subcommand)]
pub enum Model {
    /// List the networks with their options and sizes
    List(Common),
    /// Run a network on given tensors (safetensors in, safetensors out)
    #[command(
        after_help = "Example:\n  dygl model forward --model dyglnet --weights w.safetensors --input x.safetensors --output y.safetensors"
    )]
    Forward {
        /// Passed on to the worker; see `dygl-worker forward --help`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<String>,
    },
    /// Turn weights of PyTorch (.pth) or safetensors into weights of a network
    #[command(
        after_help = "Reads tensors only: nothing in a .pth file is executed. The tensors are taken from where they\n\
                      fit, under the key of a trainer and behind the prefix of a wrapper, and it is told; --key and\n\
                      --prefix say it. Weights in shards are given by their index (*.safetensors.index.json). Files\n\
                      of classification networks fill the part that is made for them (--backbone resnet34); what is\n\
                      left over is told.\n\n\
                      Example:\n  dygl model import resnet34.pth --model fat_net --backbone resnet34 \
                      --output weights/fat_net.safetensors"
    )]
    Import {
        /// FILE --model NAME[,option=value...]; see `dygl-worker import --help`
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum StoreVerb {
    /// List the results, and what is running
    List(Common),
    /// Hash every byte of every stored file again; what was altered is put aside
    Verify(Common),
    /// Take the claim on a key away from a run that is gone
    #[command(
        after_help = "For claims of other machines and containers, of which nobody here can tell whether they are\n\
                      alive. A process that lives on this machine keeps its claim. The work stays: the next\n\
                      `dygl run` goes on from its checkpoint.\n\nExample:\n  dygl store unlock 3fa9c2d1"
    )]
    Unlock(KeyArgs),
}
