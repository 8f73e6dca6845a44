//! The verb `import`: weights that PyTorch or others wrote become the weights
//! of a network here, as a file of safetensors under the reference's names.
//!
//! A file of the whole network must match it tensor by tensor. Which dictionary of
//! the file that is, and under which prefix, is found out ([`choose`]) or said
//! (`--key`, `--prefix`). With `--backbone` a file of a classification network fills the part that the
//! network declares for it ([`Backbone`]), and the result holds that part alone:
//! an experiment lays it over the initial weights.

mod assign;
mod choose;
#[cfg(test)]
mod tests;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use assign::Assigned;
use burn::tensor::TensorData;
use choose::{Choice, Refusal, Wanted, ten};
use dygl_base::exit::Exit;
use dygl_nn::network::Backbone;
use dygl_spec::name::{NameError, Named};
use dygl_spec::network::{self, NetworkError};
use dygl_weight_file::{Contents, WeightFile, WeightFileError};

use crate::device::{self, DeviceError};
use crate::learn::tensors::{self, TensorFileError, Tensors};
use crate::learn::weights;
use crate::net::Net;
pub use assign::Misfit;
pub use choose::Nearest;

/// Arguments of `dygl-worker import`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  \
    dygl model import unet.pth --model unet,variant=table-exact\n  \
    dygl model import resnet34-b627a593.pth --model fat_net --backbone resnet34 \
    --output weights/fat_net.safetensors\n  \
    dygl model import checkpoint.pth --model dyglnet --key network_weights --prefix model.\n  \
    dygl model import model.safetensors.index.json --model swin_unet\n\n\
    Only tensors are read from a .pth file; nothing in it is executed. The answer ends with\n\
    the lines that let an experiment start from the result.")]
pub struct Arguments {
    /// Weights: safetensors, the index of such files in shards, or what torch.save wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// NAME or NAME,option=value,... (see `dygl model list`)
    #[arg(long, value_name = "M")]
    pub model: String,
    /// The file is of this classification network; fill the part of the model that it fits
    #[arg(long, value_name = "NAME")]
    pub backbone: Option<String>,
    /// Where the tensors lie in FILE, dots between keys (default: where they fit)
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// What to take off the names of tensors; those without it are left over
    /// (default: a common beginning, where the rest fits)
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// Where the weights go (default: beside FILE, as FILE.NAME.safetensors)
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Side of the images, pixels: some networks hold a tensor for each position
    #[arg(long, value_name = "PIXELS", default_value_t = 224)]
    pub size: usize,
    /// Replace an existing output
    #[arg(long)]
    pub force: bool,
}

/// Why there is no result; completes "failed to".
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
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
    /// The network takes no images of the side that `--size` names.
    #[error(
        "build {network} for images of {size} px: sides are multiples of {multiple}, at least {least}: give --size {nearest}"
    )]
    Size {
        /// Name without options.
        network: &'static str,
        /// The side that was asked for, pixels.
        size: usize,
        /// Valid sides are multiples of this, pixels.
        multiple: usize,
        /// The smallest valid side, pixels.
        least: usize,
        /// The valid side nearest to the one asked for, pixels.
        nearest: usize,
    },
    /// The network declares no such backbone.
    #[error("find the backbone `{backbone}` of {network}: {known}")]
    Backbone {
        /// Name without options.
        network: String,
        /// As given with `--backbone`.
        backbone: String,
        /// Which backbones there are, as the message ends; or that there is none.
        known: String,
    },
    /// The device on which the network is laid out cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The file cannot be read, or is none that weights are read from.
    #[error("import {0}")]
    File(#[from] WeightFileError),
    /// Nothing in the file fits the network.
    #[error("import {path}: it does not fit {network}; {hint}{nearest}{misfit}")]
    Misfit {
        /// The file to import.
        path: PathBuf,
        /// The model with its options.
        network: String,
        /// Which arguments to look at.
        hint: String,
        /// What of the file comes nearest.
        nearest: Box<Nearest>,
        /// Why that does not fit.
        misfit: Box<Misfit>,
    },
    /// No tensors lie under the key that is asked for.
    #[error(
        "import {path}: no tensors lie under the key `{key}`; there are tensors {known}: give one of these keys"
    )]
    Key {
        /// The file to import.
        path: PathBuf,
        /// As given with `--key`; empty where it was not.
        key: String,
        /// Where tensors lie and how many, ten places at most.
        known: String,
    },
    /// No tensor's name begins with the prefix that is asked for.
    #[error("import {path}: no name of a tensor begins with `{prefix}`; {known}; give another --prefix")]
    Prefix {
        /// The file to import.
        path: PathBuf,
        /// As given with `--prefix`; empty where it was not.
        prefix: String,
        /// What all names begin with, or a few of them.
        known: String,
    },
    /// Several sets of tensors fit equally well, none under a usual name.
    #[error(
        "import {path}: several sets of weights in it fit {network} equally well; choose one:{list}",
        list = lines(.choices)
    )]
    Ambiguous {
        /// The file to import.
        path: PathBuf,
        /// The model with its options.
        network: String,
        /// For each set the arguments that choose it.
        choices: Vec<String>,
    },
    /// No tensor fits at all.
    #[error(
        "import {path}: no tensor of it fits the part for {backbone} of {network}; it holds, among others, {held}"
    )]
    Foreign {
        /// The file to import.
        path: PathBuf,
        /// The model with its options.
        network: String,
        /// As given with `--backbone`; empty where it was not.
        backbone: String,
        /// Names of tensors in the file, five at most, with commas between.
        held: String,
    },
    /// Tensors of the file that become one of the network are not equal.
    #[error(
        "import {path}: tensors that must be equal differ:{list}\nThe network has one tensor for both names; \
         the file is of another network, or damaged", list = lines(.pairs)
    )]
    Aliases {
        /// The file to import.
        path: PathBuf,
        /// Two names each, as `NAME and NAME`.
        pairs: Vec<String>,
    },
    /// Tensors hold NaN or infinity, in the file or once they are f32.
    #[error(
        "import {path}: NaN, or values too large for f32, in{list}\nThe training behind the file diverged, or it \
         is damaged", list = lines(.tensors)
    )]
    NotFinite {
        /// The file to import.
        path: PathBuf,
        /// Their names in the file.
        tensors: Vec<String>,
    },
    /// The output is the file to import.
    #[error("write {path}: it is the file to read; give another --output")]
    Same {
        /// The output.
        path: PathBuf,
    },
    /// The output exists, and `--force` is not given.
    #[error("write {path}: it exists; give another --output, or --force to replace it")]
    Exists {
        /// The output.
        path: PathBuf,
    },
    /// The tensors cannot be written beside the output.
    #[error(transparent)]
    Tensors(#[from] TensorFileError),
    /// The output cannot be put in its place, or not be read again for its digest.
    #[error("write {path}: {source}")]
    Write {
        /// The output.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// One a line.
fn lines(names: &[String]) -> String {
    names.iter().map(|name| format!("\n  {name}")).collect()
}

impl ImportError {
    /// The exit code that says what kind of failure it is.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Device(error) => error.exit(),
            Self::File(error) if error.is_environment() => Exit::Environment,
            Self::Tensors(_) | Self::Write { .. } => Exit::Environment,
            _ => Exit::Usage,
        }
    }
}

/// Runs the verb and returns the lines for stdout.
///
/// # Errors
/// See [`ImportError`]; nothing was written then.
pub fn run(arguments: &Arguments) -> Result<String, ImportError> {
    let model = &arguments.model;
    let named = Named::parse(model).map_err(|source| ImportError::Model { model: model.clone(), source })?;
    let unknown = |source: NetworkError| {
        let known = source.candidates().join(", ");
        ImportError::Network { model: model.clone(), source, known }
    };
    let (network, named) = network::resolve(&named).map_err(unknown)?;
    if let Err(nearest) = network.check_size(arguments.size) {
        let (multiple, least) = (network.size_multiple, network.size_min);
        return Err(ImportError::Size {
            network: network.name,
            size: arguments.size,
            multiple,
            least,
            nearest,
        });
    }
    let output = output(arguments, network.name)?;
    // Shapes alone are wanted of it: any device will do.
    let net = Net::build(&named, [arguments.size; 2], &device::parse("flex")?.device).map_err(unknown)?;
    let backbone = arguments.backbone.as_deref().map(|name| find_backbone(&net, name)).transpose()?;

    let contents = Contents::read(&arguments.file)?;
    let choice = chosen(&net, &named, backbone, &contents, arguments)?;
    let mut file = contents.take(choice.number, &choice.prefix)?;
    let tensors = read(&mut file, &choice.assigned)?;
    write(&output, &tensors, arguments.force)?;
    let sha256 = dygl_weight_file::sha256(&output)
        .map_err(|source| ImportError::Write { path: output.clone(), source })?;
    let all = weights::sites(&net).len();
    let done = Imported { named, backbone, choice, tensors, all, output, sha256 };
    Ok(done.told(&file))
}

/// Where the result goes, if it may.
fn output(arguments: &Arguments, network: &str) -> Result<PathBuf, ImportError> {
    let path = match &arguments.output {
        Some(path) => path.clone(),
        None => arguments.file.with_extension(format!("{network}.safetensors")),
    };
    let same = fs::canonicalize(&path).ok().zip(fs::canonicalize(&arguments.file).ok());
    if same.is_some_and(|(output, input)| output == input) {
        return Err(ImportError::Same { path });
    }
    if !arguments.force && path.symlink_metadata().is_ok() {
        return Err(ImportError::Exists { path });
    }
    Ok(path)
}

fn find_backbone(net: &Net, name: &str) -> Result<&'static Backbone, ImportError> {
    let found = net.backbones().iter().find(|backbone| backbone.name == name);
    found.ok_or_else(|| ImportError::Backbone {
        network: net.name().to_owned(),
        backbone: name.to_owned(),
        known: match backbones(net) {
            names if names.is_empty() => {
                "it has no part that published classification weights fit; leave --backbone out".to_owned()
            }
            names => format!("there is {names}"),
        },
    })
}

fn backbones(net: &Net) -> String {
    net.backbones().iter().map(|backbone| backbone.name).collect::<Vec<_>>().join(", ")
}

/// What of the file is the network, or why nothing is.
fn chosen(
    net: &Net,
    named: &Named,
    backbone: Option<&Backbone>,
    contents: &Contents,
    arguments: &Arguments,
) -> Result<Choice, ImportError> {
    let wanted = Wanted { sites: weights::sites(net), aliases: net.aliases(), backbone };
    let (key, prefix) = (arguments.key.as_deref(), arguments.prefix.as_deref());
    let refusal = match choose::choose(&wanted, contents, key, prefix) {
        Ok(choice) => return Ok(choice),
        Err(refusal) => refusal,
    };
    let (path, network) = (contents.path().to_owned(), named.to_string());
    Err(match (refusal, backbone) {
        (Refusal::Key(known), _) => {
            ImportError::Key { path, key: arguments.key.clone().unwrap_or_default(), known }
        }
        (Refusal::Prefix(known), _) => {
            ImportError::Prefix { path, prefix: arguments.prefix.clone().unwrap_or_default(), known }
        }
        (Refusal::Ambiguous(choices), _) => ImportError::Ambiguous { path, network, choices },
        (Refusal::Foreign(names), backbone) => {
            let backbone = backbone.map_or_else(String::new, |backbone| backbone.name.to_owned());
            ImportError::Foreign { path, network, backbone, held: names.join(", ") }
        }
        (Refusal::Misfit(misfit, nearest), backbone) => {
            let mut hint = match backbone {
                Some(backbone) => format!("the part for {} wants all of its tensors", backbone.name),
                None => {
                    let part = match backbones(net) {
                        names if names.is_empty() => String::new(),
                        names => format!(", and --backbone where the file is of a part alone ({names})"),
                    };
                    format!("check --model, its options and --size{part}")
                }
            };
            if is_shard(&path) {
                hint.push_str(
                    "; the file is one of several shards: give their index, *.safetensors.index.json",
                );
            }
            let nearest = Box::new(nearest);
            ImportError::Misfit { path, network, hint, nearest, misfit }
        }
    })
}

/// Whether a file is named as one of several: `model-00001-of-00003.safetensors`.
fn is_shard(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    stem.rsplit_once("-of-").is_some_and(|(before, count)| {
        is_number(count) && before.rsplit_once('-').is_some_and(|(_, number)| is_number(number))
    })
}

/// Reads the values of what was assigned.
fn read(file: &mut WeightFile, assigned: &Assigned) -> Result<Tensors, ImportError> {
    let mut found = Tensors::new();
    let (mut differ, mut not_finite) = (Vec::new(), Vec::new());
    for (target, sources) in &assigned.sources {
        let mut first: Option<(&str, Vec<f32>)> = None;
        for name in sources {
            let values = file.values(name)?.unwrap_or_default();
            match &first {
                None => {
                    if !values.iter().all(|value| value.is_finite()) {
                        not_finite.push(name.clone());
                    }
                    first = Some((name, values));
                }
                Some((other, known)) => {
                    // 0 and -0 are equal, NaN is told of above.
                    let same = known.iter().zip(&values).all(|(a, b)| a == b || a.is_nan() && b.is_nan());
                    if !same {
                        differ.push(format!("{other} and {name}"));
                    }
                }
            }
        }
        if let Some((name, values)) = first {
            let shape = file.tensors().get(name).map(|entry| entry.shape.clone()).unwrap_or_default();
            found.insert(target.clone(), TensorData::new(values, shape));
        }
    }
    let path = file.path().to_owned();
    if !differ.is_empty() {
        return Err(ImportError::Aliases { path, pairs: differ });
    }
    if !not_finite.is_empty() {
        return Err(ImportError::NotFinite { path, tensors: not_finite });
    }
    Ok(found)
}

/// Writes beside the output and renames: it is there whole, or not at all.
fn write(path: &Path, tensors: &Tensors, force: bool) -> Result<(), ImportError> {
    let failed = |source| ImportError::Write { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new()
        .prefix(".import-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(failed)?;
    tensors::write(temporary.path(), tensors)?;
    temporary.as_file().sync_all().map_err(failed)?;
    if force {
        temporary.persist(path).map_err(|error| failed(error.error))?;
    } else {
        temporary.persist_noclobber(path).map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => ImportError::Exists { path: path.to_owned() },
            _ => failed(error.error),
        })?;
    }
    Ok(())
}

/// What an import has made of a file.
struct Imported<'a> {
    named: Named,
    backbone: Option<&'a Backbone>,
    choice: Choice,
    tensors: Tensors,
    /// Tensors of the whole network.
    all: usize,
    output: PathBuf,
    sha256: String,
}

impl Imported<'_> {
    /// What was found and written, and how to start from it.
    fn told(&self, file: &WeightFile) -> String {
        let Self { named, backbone, choice, tensors, all, output, sha256 } = self;
        let mut lines = Vec::new();
        let mut format = file.format().words().to_owned();
        if !file.within().is_empty() {
            format.push_str(&format!("; under {}", file.within().join(".")));
        }
        if !file.prefix().is_empty() {
            format.push_str(&format!("; without {}", file.prefix()));
        }
        if choice.inner {
            format.push_str("; without the wrappers inside names");
        }
        let held = file.tensors().len() + file.beside().len();
        lines.push(format!("{}: {held} tensors ({format})", file.path().display()));
        let values: usize = tensors.values().map(|data| data.num_elements()).sum();
        let of = backbone.map_or(String::new(), |backbone| format!(" from {}", backbone.name));
        lines.push(format!("{named}: {} of {all} tensors{of}, {values} values", tensors.len()));
        if !choice.assigned.left_over.is_empty() {
            lines.push(format!("left over: {}", ten(&choice.assigned.left_over, ", ")));
        }
        if !choice.also.is_empty() {
            lines.push(format!("fits as well, and was not taken: {}", ten(&choice.also, "; ")));
        }
        lines.push(format!("written: {}", output.display()));
        let bare = named.options.is_empty();
        let key = if bare { named.to_string() } else { format!("\"{named}\"") };
        lines.push("\nTo start from it, in an experiment (the path is relative to its file):\n".to_owned());
        lines.push(format!("[pretrained.{key}]"));
        lines.push(format!("file = {:?}", output.display().to_string()));
        lines.push(format!("sha256 = \"{sha256}\""));
        lines.join("\n")
    }
}
