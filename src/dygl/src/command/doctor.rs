//! `dygl doctor`: what this machine has, what it lacks, what to do about it.

use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_datasets::Registry;
use dygl_exec::ask;
use dygl_exec::devices::Offer;
use dygl_exec::local::Local;
use dygl_spec::ops;
use dygl_store::key::{numerics, revision};
use dygl_store::{Store, probe};
use serde_json::json;

use super::given;
use crate::cli::{Common, Format};

/// The variable that takes narrower vectors than the processor has.
const SIMD: &str = "DYGL_SIMD";

/// One finding.
struct Finding {
    what: &'static str,
    fine: bool,
    text: String,
}

pub fn doctor(common: &Common) -> Result<Exit, Failure> {
    let mut findings = vec![program(), worker(), machine()];
    findings.extend(devices(common));
    findings.extend([store(common), datasets(common)]);
    let fine = findings.iter().all(|finding| finding.fine);
    if common.format == Format::Json {
        let listed: Vec<_> =
            findings.iter().map(|f| json!({ "what": f.what, "fine": f.fine, "text": f.text })).collect();
        super::answer_json(&json!({ "fine": fine, "findings": listed }))?;
    } else {
        let rows: Vec<Vec<String>> = findings
            .iter()
            .map(|f| vec![if f.fine { "ok" } else { "!!" }.to_owned(), f.what.to_owned(), f.text.clone()])
            .collect();
        super::answer(&super::columns(&rows));
    }
    Ok(if fine { Exit::Ok } else { Exit::Environment })
}

fn program() -> Finding {
    let dirty = if revision::DIRTY { ", with uncommitted changes" } else { "" };
    let commit = revision::COMMIT.get(..12).unwrap_or(revision::COMMIT);
    Finding {
        what: "program",
        fine: true,
        text: format!("dygl {} built from {commit}{dirty}", env!("CARGO_PKG_VERSION")),
    }
}

fn worker() -> Finding {
    match Local::beside_this_program() {
        Ok(local) => Finding { what: "worker", fine: true, text: local.worker().display().to_string() },
        Err(failure) => Finding { what: "worker", fine: false, text: failure.message },
    }
}

fn machine() -> Finding {
    let cores = ops::cores();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = memory
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        })
        .unwrap_or(0);
    Finding { what: "machine", fine: true, text: format!("{cores} cores, {} GiB of memory", total >> 20) }
}

/// The devices, and the libtorch behind some of them.
fn devices(common: &Common) -> Vec<Finding> {
    let asked = Local::beside_this_program()
        .and_then(|local| ask::devices(&local, &common.store).or_exit(Exit::Environment));
    let devices = match asked {
        Ok(devices) => devices,
        Err(failure) => return vec![Finding { what: "device", fine: false, text: failure.message }],
    };
    let offered = devices.devices.iter().map(|offer| Finding {
        what: "device",
        fine: true,
        text: format!(
            "{}: {}; numerics class {}: {}",
            offer.name,
            offer.description,
            offer.numerics,
            numerics::words(&offer.numerics)
        ),
    });
    let vectors = devices.devices.iter().find(|offer| offer.numerics == numerics::FLEX).map(vectors);
    let auto = devices.devices.first().map(|first| first.name.as_str()).unwrap_or_default();
    let text = match &devices.libtorch {
        Some(libtorch) => {
            let cuda =
                libtorch.no_cuda.as_ref().map_or("CUDA is available".into(), |why| format!("no CUDA: {why}"));
            format!("{} at {}; {cuda}", libtorch.version, libtorch.path)
        }
        None => "not built in; `make libtorch`, then `make BACKEND=tch build`".to_owned(),
    };
    // A machine without it is a sound one.
    let libtorch = Finding { what: "libtorch", fine: true, text };
    let chosen = Finding { what: "device", fine: true, text: format!("auto is {auto}") };
    offered.chain(vectors).chain([chosen, libtorch]).collect()
}

/// What dygl's own kernels run on; no result depends on it.
fn vectors(flex: &Offer) -> Finding {
    let asked = std::env::var(SIMD).ok().filter(|asked| !asked.is_empty());
    let asked = asked.map_or_else(
        || format!("the widest here; {SIMD} takes narrower ones"),
        |asked| format!("as {SIMD}={asked} asks"),
    );
    Finding { what: "vectors", fine: true, text: format!("{}, {asked}", flex.simd) }
}

/// Whether results can be claimed, published and found there: tried, not guessed.
fn store(common: &Common) -> Finding {
    let root = &common.store;
    let finding = |fine: bool, text: String| Finding { what: "store", fine, text };
    let folder = match Store::at(root).is_there() {
        Ok(true) => root.clone(),
        Ok(false) if given::is_named(common) => {
            let text = format!("{}: there is no such folder; `dygl run` makes it", root.display());
            return finding(false, text);
        }
        // It will be made here.
        Ok(false) => std::env::current_dir().unwrap_or_default(),
        Err(error) => return finding(false, error.to_string()),
    };
    match probe(&folder) {
        Ok(habits) => {
            let space = rustix::fs::statvfs(&folder).map_or(0, |s| s.f_bavail * s.f_frsize);
            let mut text = format!("{}: holds results, {} GiB free", root.display(), space >> 30);
            if !habits.is_local {
                text.push_str("; on a network or a shared folder");
            }
            if !habits.hard_links {
                text.push_str("; without hard links, claims are made exclusively");
            }
            if !habits.locks {
                text.push_str(
                    "; without locks, a claim of another container is respected until `dygl store unlock`",
                );
            }
            finding(true, text)
        }
        Err(error) => finding(false, format!("cannot hold results: {error}")),
    }
}

fn datasets(common: &Common) -> Finding {
    let registry = Registry::at(&common.store);
    let (mut here, mut absent) = (Vec::new(), Vec::new());
    for entry in dygl_datasets::catalogue_in(&registry) {
        match registry.get(&entry.id) {
            Ok(Some(_)) => here.push(entry.id),
            _ if entry.is_phantom => here.push(entry.id),
            _ => absent.push(entry.id),
        }
    }
    let mut text = format!("here: {}", here.join(", "));
    if !absent.is_empty() {
        text.push_str(&format!("; not registered: {} (dygl dataset add NAME PATH)", absent.join(", ")));
    }
    // Missing datasets are no fault of the machine: the phantoms are always there.
    Finding { what: "datasets", fine: true, text }
}
