//! The libtorch that this process runs on: which it is, where it lies, and
//! what it can use.
#![allow(deprecated, reason = "libtorch is what burn 0.22 has for CUDA that builds from registries alone")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use burn::tensor::Device;
use dygl_store::key::numerics::Processor;

use crate::device::DeviceError;

/// The version that this program was built against.
const BUILT_AGAINST: &str = env!("DYGL_LIBTORCH_VERSION");

/// The library that is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// With its build label: `2.9.0+cu128`.
    pub version: String,
    /// The `libtorch_cpu.so` that is mapped into this process.
    pub path: PathBuf,
}

/// Finds the loaded library and reads its version beside it.
///
/// # Errors
/// The version is not to be found, or is another than the one that this
/// program was built against.
pub fn loaded() -> Result<Loaded, DeviceError> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let path = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])))
        .find(|path| path.file_name().is_some_and(|name| name == "libtorch_cpu.so"))
        .ok_or(DeviceError::Unversioned { path: "libtorch_cpu.so".into() })?;
    let unversioned = || DeviceError::Unversioned { path: path.to_owned() };
    let root = path.parent().and_then(Path::parent).ok_or_else(unversioned)?;
    // `make libtorch` keeps the package as `site/torch` below the folder that
    // holds the version; an archive or a package has it one folder up.
    let version = [root, root.parent().and_then(Path::parent).unwrap_or(root)]
        .into_iter()
        .find_map(version_in)
        .ok_or_else(unversioned)?;
    if version != BUILT_AGAINST {
        return Err(DeviceError::Version { path: path.to_owned(), found: version, expected: BUILT_AGAINST });
    }
    Ok(Loaded { version, path: path.to_owned() })
}

fn version_in(folder: &Path) -> Option<String> {
    if let Ok(text) = fs::read_to_string(folder.join("version.py")) {
        let rest = text.lines().find_map(|line| line.strip_prefix("__version__ = '"))?;
        return Some(rest.trim_end_matches('\'').to_owned());
    }
    Some(fs::read_to_string(folder.join("build-version")).ok()?.trim().to_owned())
}

/// The numerics class of operations on this CPU, without the threads, and the
/// vector instructions of ATen's kernels.
pub fn arithmetic() -> (String, &'static str) {
    let processor = Processor::here();
    let variable = |name: &str| std::env::var(name).ok();
    (processor.torch(&variable), processor.aten(&variable))
}

/// The CPU, with this many threads for each operation; the result of one may
/// depend on their number.
pub fn cpu(threads: usize) -> Device {
    dygl_nn::op::keep_memory();
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    Device::libtorch()
}

/// A card. `cuda_problem` must have been asked: without CUDA burn panics here.
pub fn cuda(index: usize, threads: usize) -> Device {
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    Device::libtorch_cuda(index)
}

/// Number of cards that can be used.
pub fn cards() -> usize {
    usize::try_from(tch::Cuda::device_count()).unwrap_or(0)
}

/// Why no card can be used, with the remedy; `None` if one can.
pub fn cuda_problem(loaded: &Loaded) -> Option<String> {
    if tch::Cuda::is_available() && cards() > 0 {
        return None;
    }
    let has_cuda = loaded.path.with_file_name("libtorch_cuda.so").is_file();
    Some(if !has_cuda {
        "the libtorch here is for CPUs; `CUDA=1 make libtorch`, then `make BACKEND=tch build`".to_owned()
    } else if !tch::utils::has_cuda() {
        "this program was built against a libtorch without CUDA; `make BACKEND=tch build`".to_owned()
    } else {
        "libtorch sees no card: is the NVIDIA driver loaded (`nvidia-smi`), and what does \
         CUDA_VISIBLE_DEVICES say?"
            .to_owned()
    })
}

/// Name and architecture (`sm_90`) of a card, as the driver's own tool tells.
///
/// # Errors
/// It does not answer.
pub fn card(index: usize) -> Result<(String, String), DeviceError> {
    let unknown = |message: String| DeviceError::Architecture { index, message };
    // A card's index counts those that are visible to the process.
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
    let id = visible.split(',').map(str::trim).filter(|id| !id.is_empty()).nth(index);
    let id = id.map_or_else(|| index.to_string(), str::to_owned);
    let output = Command::new("nvidia-smi")
        .args(["--query-gpu=name,compute_cap", "--format=csv,noheader", "-i", &id])
        .output()
        .map_err(|error| unknown(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    parse_card(&text).ok_or_else(|| unknown(format!("nvidia-smi says `{}`", text.trim())))
}

/// `NVIDIA H100 80GB HBM3, 9.0` to name and `sm_90`.
fn parse_card(text: &str) -> Option<(String, String)> {
    let (name, capability) = text.lines().next()?.rsplit_once(',')?;
    let (major, minor) = capability.trim().split_once('.')?;
    let digits = format!("{major}{minor}");
    let is_number = digits.len() >= 2 && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| (name.trim().to_owned(), format!("sm_{digits}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_knows_its_libtorch() {
        let loaded = loaded().expect("loaded");
        assert_eq!(loaded.version, BUILT_AGAINST);
        assert!(loaded.path.is_file());
    }

    #[test]
    fn cards_are_told_by_name_and_architecture() {
        let card = parse_card("NVIDIA H100 80GB HBM3, 9.0\n").expect("parsed");
        assert_eq!(card, ("NVIDIA H100 80GB HBM3".to_owned(), "sm_90".to_owned()));
        assert_eq!(parse_card("NVIDIA B200, 10.0").expect("parsed").1, "sm_100");
        for text in ["", "No devices were found", "x, [N/A]"] {
            assert_eq!(parse_card(text), None, "{text}");
        }
    }
}
