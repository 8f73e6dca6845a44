//! Loading an experiment: find the texts, read them into trees, merge the layers,
//! resolve. Every mistake of every text is collected before anything is refused.
//!
//! # An experiment file
//!
//! ```toml
//! [experiment]                 # all three keys are required
//! name = "table2"              # letters, digits, - and _
//! title = "..."
//! question = "..."
//!
//! [matrix]                     # each axis is a list; cells are their product
//! model = ["unet", { name = "dyglnet", upsample = "bilinear", label = "w BiIn" }]
//! dataset = ["kvasir-seg", "cvc-clinicdb"]
//! seed = [42]                  # whole numbers take ranges, too: ["1..5"]
//! "loss.lambda" = [0.3, 0.5]   # any setting of the protocol
//! zip = [["model", "seed"]]    # these advance together
//!
//! [protocol.train]             # overrides of protocol.toml
//! epochs = 50
//!
//! [pretrained.fat_net]         # weights to start from: see `pretrained`
//! file = "weights/fat_net.safetensors"   # relative to this file
//! sha256 = "..."
//!
//! [table]                      # what is rendered; may be left out
//! kind = "results"             # results, ablation, cost, datasets, bubble
//! paper_table = 2              # whose printed values stand beside
//! metrics = ["dice", "iou"]
//! arrange = "below"            # a second dataset: below the first, or beside it
//!
//! [ops]                        # how runs are carried out; never keyed
//! jobs = 2
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;

use super::axes::RawMatrix;
use super::check;
use super::choice::DatasetNames;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::experiment::{Experiment, Mark, Profile, TableKind};
use super::fields::Fields;
use super::kind::Kind;
use super::layers::Layers;
use super::locate;
use super::ops::Ops;
use super::pretrained;
use super::profile;
use super::project;
use super::protocol::Protocol;
use super::resolve;
use super::schema;
use super::set::{self, Set};
use super::source::{At, Origin, SourceMap};
use super::tables;
use super::tree::{self, Node};

/// What to load.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// A name, or a path (with `/` or ending in `.toml`).
    pub experiment: &'a str,
    /// None means `paper`.
    pub profile: Option<&'a str>,
    /// The arguments of `--set`, in order; later ones win.
    pub set: &'a [String],
    /// The working directory.
    pub root: &'a Path,
}

/// Loads an experiment, or says everything that is wrong with it.
///
/// # Errors
/// All mistakes of the experiment, the protocol, the profile and the arguments.
pub fn load(request: &Request<'_>, datasets: &dyn DatasetNames) -> Result<Experiment, Diagnostics> {
    let mut sources = SourceMap::default();
    let mut list = Vec::new();
    let experiment = read_all(request, datasets, &mut sources, &mut list);
    match experiment {
        Some(experiment) if list.is_empty() => Ok(experiment),
        _ => {
            let mut diagnostics = Diagnostics { sources, list };
            if diagnostics.is_empty() {
                diagnostics.push(Diagnostic::nowhere("the experiment could not be resolved"));
            }
            diagnostics.sort();
            Err(diagnostics)
        }
    }
}

/// The protocol that every experiment starts from: `experiments/protocol.toml`
/// of the project that `root` lies in, else the built-in one.
///
/// # Errors
/// All mistakes of that file.
pub fn standard_protocol(root: &Path) -> Result<Protocol, Diagnostics> {
    let mut sources = SourceMap::default();
    let mut list = Vec::new();
    let layers = locate::protocol_of_project(root, &mut sources, &mut list)
        .and_then(|source| tree::parse(&sources, source, &mut list))
        .map(|node| Layers::from_protocol(&node, &mut list));
    match layers.and_then(|layers| layers.protocol()) {
        Some(protocol) if list.is_empty() => Ok(protocol),
        _ => {
            let mut diagnostics = Diagnostics { sources, list };
            if diagnostics.is_empty() {
                diagnostics.push(Diagnostic::nowhere("the protocol could not be resolved"));
            }
            diagnostics.sort();
            Err(diagnostics)
        }
    }
}

/// The head of an experiment file.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) question: String,
}

fn read_all(
    request: &Request<'_>,
    datasets: &dyn DatasetNames,
    sources: &mut SourceMap,
    found: &mut Vec<Diagnostic>,
) -> Option<Experiment> {
    let located = locate::locate(request.experiment, request.root, sources, found)?;
    let name = request.profile.unwrap_or(profile::DEFAULT);
    let profile_source = sources.add(Origin::Argument("--profile"), name);
    let profile_at = sources.whole(profile_source);
    let sets = set::read(request.set, sources, found);
    let protocol = tree::parse(sources, located.protocol, found);
    let profiles = tree::parse(sources, located.profiles, found);
    let file = tree::parse(sources, located.experiment, found);
    let (protocol, profiles, file) = (protocol?, profiles?, file?);

    let mut layers = Layers::from_protocol(&protocol, found);
    let chosen = profile::read(&profiles, name, profile_at, datasets, found);
    if let Some(table) = chosen.as_ref().and_then(|chosen| chosen.protocol) {
        layers.put(table, Mark::Profile, found);
    }

    let mut top = Fields::new("", &file, found);
    let head = top.require("experiment", "start with [experiment] name, title and question", found);
    let matrix = top.get("matrix");
    let overrides = top.get("protocol");
    let pretrained = top.get("pretrained");
    let table = top.get("table");
    let ops = top.get("ops");
    top.finish(found);

    let head = head.and_then(|entry| read_head(&entry.node, found));
    let table = tables::read(table.map(|entry| &entry.node), found);
    if let Some(entry) = overrides {
        layers.put(&entry.node, Mark::Experiment, found);
    }
    let matrix_at = matrix.map_or(At { end: file.at.start, ..file.at }, |entry| entry.node.at);
    let mut raw = match matrix {
        Some(entry) => RawMatrix::read(&entry.node, datasets, found),
        None => RawMatrix::default(),
    };
    refuse_doubled(&raw, &layers, found);
    // Before `--set model=...` leaves models out: that is no mistake of the file.
    let starts = pretrained.map(|entry| pretrained::read(&entry.node, &raw, found)).unwrap_or_default();

    let (ops_sets, others): (Vec<&Set>, Vec<&Set>) =
        sets.iter().partition(|set| set.path.starts_with("ops."));
    let (zip_sets, axis_sets): (Vec<&Set>, Vec<&Set>) = others.into_iter().partition(|set| set.path == "zip");
    for set in axis_sets {
        raw.apply(set, &mut layers, datasets, found);
    }
    // When all axes are there: the order of arguments is of no account.
    for set in zip_sets {
        raw.apply_zip(set, found);
    }
    let default_ops = profiles
        .entries()
        .and_then(|profiles| profiles.iter().find(|profile| profile.key == profile::DEFAULT))
        .and_then(|profile| profile.node.entries())
        .and_then(|keys| keys.iter().find(|key| key.key == "ops"))
        .map(|entry| &entry.node);
    // The default profile's own table is the lowest layer already.
    let profile_ops = chosen.as_ref().and_then(|c| c.ops).filter(|_| name != profile::DEFAULT);
    let tables = [default_ops, profile_ops, ops.map(|e| &e.node)];
    let ops = resolve_ops(&tables, &ops_sets, profiles.at, &project::of(request.root), found);

    raw.start_from(&starts, &located.folder);
    require_axes(&raw, table.kind, matrix_at, found);
    raw.check_zip(found);
    let substitutes = chosen.as_ref().map_or(&[][..], |chosen| &chosen.profile.substitutes);
    let warnings = check::check(&layers, &raw, matrix_at, datasets, substitutes, found);
    if !found.is_empty() {
        return None;
    }

    let profile: Profile = chosen?.profile;
    let shown = [located.experiment, located.protocol, located.profiles];
    let sources = shown.iter().filter_map(|source| sources.origin(*source).cloned()).collect();
    resolve::resolve(resolve::Parts {
        head: head?,
        profile,
        layers,
        raw,
        starts,
        table,
        ops: ops?,
        warnings,
        sources,
    })
}

fn read_head(node: &Node, found: &mut Vec<Diagnostic>) -> Option<Head> {
    let mut fields = Fields::new("experiment", node, found);
    let name = fields.text("name", "add name = \"...\": a short name, used in file names", found);
    let title = fields.text("title", "add title = \"...\": a heading for the report", found);
    let question = fields.text(
        "question",
        "add question = \"...\": the one question that the experiment answers",
        found,
    );
    fields.finish(found);
    let (name, name_at) = name?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || !name.chars().all(fits) {
        found.push(
            Diagnostic::new(name_at, format!("`{name}` cannot name an experiment"))
                .label("used in file names")
                .help("use letters, digits, `-` and `_`"),
        );
    }
    Some(Head { name, title: title?.0, question: question?.0 })
}

/// A setting that is an axis and an override at once leaves open which one counts.
fn refuse_doubled(raw: &RawMatrix, layers: &Layers, found: &mut Vec<Diagnostic>) {
    for axis in &raw.axes {
        if let Some(at) = layers.given_by(&axis.name, Mark::Experiment) {
            found.push(
                Diagnostic::new(at, format!("`{}` is set here and is an axis of the matrix", axis.name))
                    .related(axis.at, "the axis")
                    .help("keep one of the two"),
            );
        }
    }
}

fn require_axes(raw: &RawMatrix, kind: TableKind, at: At, found: &mut Vec<Diagnostic>) {
    if kind.may_lack_cells() {
        return;
    }
    for (name, help) in [
        ("model", "for example model = [\"unet\", \"dyglnet\"]"),
        ("dataset", "for example dataset = [\"kvasir-seg\"]"),
        ("seed", "the paper's is seed = [42]"),
    ] {
        if raw.axis(name).is_none() {
            found.push(Diagnostic::new(at, format!("[matrix] lacks the axis `{name}`")).help(help));
        }
    }
}

/// Merges the `[ops]` tables, lowest first; the lowest must give every key. The folder
/// of data that a file names is the project's.
fn resolve_ops(
    tables: &[Option<&Node>],
    sets: &[&Set],
    profiles_at: At,
    project: &Path,
    found: &mut Vec<Diagnostic>,
) -> Option<Ops> {
    let mut values: BTreeMap<&'static str, Json> = BTreeMap::new();
    let mut complete = true;
    for (layer, table) in tables.iter().enumerate() {
        if let Some(table) = table {
            let mut fields = Fields::new("ops", table, found);
            for (key, kind) in schema::OPS {
                if let Some(value) = fields.value(key, *kind, found) {
                    values.insert(key, value);
                } else if layer == 0 && fields.get(key).is_none() {
                    complete = false;
                    found.push(
                        Diagnostic::new(table.at, format!("[{}.ops] lacks `{key}`", profile::DEFAULT))
                            .help("the default profile gives every ops setting its default"),
                    );
                }
            }
            fields.finish(found);
        } else if layer == 0 {
            complete = false;
            let start = At { end: profiles_at.start, ..profiles_at };
            found.push(Diagnostic::new(start, format!("the profiles lack [{}.ops]", profile::DEFAULT)));
        }
    }
    if let Some(Json::String(data)) = values.get_mut("data") {
        *data = project.join(&*data).display().to_string();
    }
    for set in sets {
        let key = set.path.trim_start_matches("ops.");
        let Some((key, kind)) = schema::OPS.iter().find(|(name, _)| *name == key) else {
            let keys = schema::OPS.iter().map(|(key, _)| *key);
            found.push(
                Diagnostic::new(set.path_at, format!("[ops] has no key `{key}`")).suggest(key, keys, "keys"),
            );
            continue;
        };
        match ops_value(set, kind) {
            Ok(value) => {
                values.insert(key, value);
            }
            Err(diagnostic) => found.push(diagnostic),
        }
    }
    if !complete {
        return None;
    }
    serde_json::from_value(schema::nest(values.iter().map(|(key, value)| (*key, value)))).ok()
}

fn ops_value(set: &Set, kind: &Kind) -> Result<Json, Diagnostic> {
    match (kind, set.pieces.as_slice()) {
        // One piece may be a list of its own; several are its items.
        (Kind::Texts, pieces) => {
            let nodes: Vec<Node> = pieces.iter().map(|piece| piece.node(&Kind::Texts)).collect();
            let list = match nodes.as_slice() {
                [single] if matches!(single.value, tree::Value::List(_)) => single.clone(),
                _ => Node { at: set.values_at, value: tree::Value::List(nodes) },
            };
            kind.check(&set.path, &list)
        }
        (_, [piece]) => kind.check(&set.path, &piece.node(kind)),
        _ => Err(Diagnostic::new(set.values_at, format!("`{}` takes one value", set.path))
            .label("only settings of the protocol, model, dataset and seed can be axes")),
    }
}
