//! Names of devices (`auto`, `any`, `flex`, `tch-cpu`, `tch:0`), and
//! which of them are here.

use std::path::PathBuf;

use burn::tensor::Device;
use dygl_base::exit::Exit;
use dygl_exec::devices::{Devices, Offer};
use dygl_nn::vector::Level;
use dygl_store::key::numerics;

#[cfg(feature = "tch")]
use crate::learn::torch;

/// A device to compute on.
#[derive(Debug, Clone)]
pub struct Backend {
    /// burn's device, without autodiff.
    pub device: Device,
    /// What the results' last digits depend on, threads included; part of a
    /// result's key.
    pub numerics: String,
    /// The version of libtorch that computes, where it does; keyed likewise.
    pub libtorch: Option<String>,
    /// The vector instructions in use: of dygl's kernels, or of ATen's.
    pub simd: &'static str,
    /// For people: backend, instruction set, threads.
    pub description: String,
}

/// Why a device cannot be used; completes "failed to".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// No device is called so; the name as it was given.
    #[error("use device `{0}`: there is no such device; take one of auto, flex, tch-cpu, tch:0")]
    Unknown(String),
    /// The backend of the device is not built in.
    #[error(
        "use device `{name}`: this dygl-worker is built without the backend `{feature}`; {}",
        remedy(feature)
    )]
    NotCompiled {
        /// The device as it was asked for.
        name: String,
        /// The backend that is lacking: `tch` or `wgpu`.
        feature: &'static str,
    },
    /// `DYGL_SIMD` asks for vectors that this processor has not.
    #[error("take the vectors that are asked for: {0}")]
    Vectors(String),
    /// libtorch cannot use that card.
    #[error("use device `tch:{index}`: {reason}")]
    NoCuda {
        /// The card's number among the visible ones, from 0.
        index: usize,
        /// Why not, with the remedy where there is one.
        reason: String,
    },
    /// The card's architecture, which the numerics class names, is not to be found out.
    #[error(
        "use device `tch:{index}`: its architecture is not known ({message}); `nvidia-smi` must be on the PATH"
    )]
    Architecture {
        /// The card's number among the visible ones, from 0.
        index: usize,
        /// What `nvidia-smi` says instead, or why it does not start.
        message: String,
    },
    /// The loaded libtorch is another than the one that this program was built against.
    #[error(
        "use libtorch at {}: it is version {found}, and this program was built against {expected}; \
         `make libtorch`, then `make BACKEND=tch build`", path.display()
    )]
    Version {
        /// The loaded `libtorch_cpu.so`.
        path: PathBuf,
        /// Its version, as the file beside it tells.
        found: String,
        /// The version that this program was built against.
        expected: &'static str,
    },
    /// No file beside the loaded libtorch tells its version, or none is loaded.
    #[error(
        "use libtorch at {}: neither build-version nor version.py beside it says which version it is; \
         `make libtorch`, then `make BACKEND=tch build`", path.display()
    )]
    Unversioned {
        /// The loaded `libtorch_cpu.so`; without its folder where none is loaded.
        path: PathBuf,
    },
}

impl DeviceError {
    /// The exit code that says what kind of failure it is.
    pub fn exit(&self) -> Exit {
        if matches!(self, Self::Unknown(_)) { Exit::Usage } else { Exit::Environment }
    }
}

fn remedy(feature: &str) -> &'static str {
    match feature {
        "tch" => "`make libtorch`, then `make BACKEND=tch build`; or take --device flex",
        _ => "take --device flex",
    }
}

/// The device of that name. `auto` and `any` take the fastest that is here.
///
/// # Errors
/// The name is unknown, its backend is not compiled in, or it is not here; or the
/// environment asks for vectors that are not here.
pub fn parse(name: &str) -> Result<Backend, DeviceError> {
    // Kernels of whatever backend would find it out too late to say it well.
    Level::check().map_err(DeviceError::Vectors)?;
    let (backend, index) = match name.split_once(':') {
        Some((backend, index)) => (backend, Some(index.parse::<usize>().ok())),
        None => (name, None),
    };
    match (backend, index) {
        ("auto" | "any", None) => fastest(),
        ("flex", None) => flex(),
        ("tch-cpu", None) => torch_cpu(name),
        ("tch", Some(Some(index))) => torch_cuda(name, index),
        ("wgpu", Some(Some(_))) => Err(DeviceError::NotCompiled { name: name.to_owned(), feature: "wgpu" }),
        _ => Err(DeviceError::Unknown(name.to_owned())),
    }
}

/// Every device that is here, fastest first, and the libtorch behind some.
///
/// # Errors
/// libtorch is compiled in and cannot be used, or the environment asks for vectors
/// that are not here.
pub fn all() -> Result<Devices, DeviceError> {
    let offer = |name: &str, backend: Backend| Offer {
        name: name.to_owned(),
        // The threads are those of each run.
        numerics: numerics::without_threads(&backend.numerics).to_owned(),
        simd: backend.simd.to_owned(),
        description: backend.description,
    };
    #[allow(unused_mut, reason = "without libtorch there is flex alone")]
    let mut devices = Devices { devices: vec![offer("flex", flex()?)], libtorch: None };
    #[cfg(feature = "tch")]
    {
        let loaded = torch::loaded()?;
        devices.devices.insert(0, offer("tch-cpu", parse("tch-cpu")?));
        let mut no_cuda = torch::cuda_problem(&loaded);
        if no_cuda.is_none() {
            for index in 0..torch::cards() {
                let name = format!("tch:{index}");
                match parse(&name) {
                    Ok(backend) => devices.devices.insert(index, offer(&name, backend)),
                    // The CPU can still be used.
                    Err(error) => {
                        no_cuda = Some(error.to_string());
                        break;
                    }
                }
            }
        }
        devices.libtorch = Some(dygl_exec::devices::Libtorch {
            version: loaded.version,
            path: loaded.path.display().to_string(),
            no_cuda,
        });
    }
    Ok(devices)
}

fn fastest() -> Result<Backend, DeviceError> {
    #[cfg(feature = "tch")]
    {
        if torch::cuda_problem(&torch::loaded()?).is_none() {
            return parse("tch:0");
        }
        parse("tch-cpu")
    }
    #[cfg(not(feature = "tch"))]
    {
        flex()
    }
}

fn flex() -> Result<Backend, DeviceError> {
    let simd = Level::check().map_err(DeviceError::Vectors)?.name();
    Ok(Backend {
        device: Device::flex(),
        numerics: numerics::FLEX.to_owned(),
        libtorch: None,
        simd,
        description: format!("flex (pure Rust), {simd}, {}", threads()),
    })
}

#[cfg(feature = "tch")]
fn torch_cpu(_: &str) -> Result<Backend, DeviceError> {
    let version = torch::loaded()?.version;
    let (class, simd) = torch::arithmetic();
    let count = rayon::current_num_threads();
    Ok(Backend {
        device: torch::cpu(count),
        numerics: numerics::with_threads(&class, count),
        description: format!("libtorch {version}, CPU, {simd}, {}", threads()),
        libtorch: Some(version),
        simd,
    })
}

#[cfg(feature = "tch")]
fn torch_cuda(_: &str, index: usize) -> Result<Backend, DeviceError> {
    let loaded = torch::loaded()?;
    if let Some(reason) = torch::cuda_problem(&loaded) {
        return Err(DeviceError::NoCuda { index, reason });
    }
    if index >= torch::cards() {
        let reason = format!("there are {} cards, counted from 0", torch::cards());
        return Err(DeviceError::NoCuda { index, reason });
    }
    let (card, architecture) = torch::card(index)?;
    Ok(Backend {
        device: torch::cuda(index, rayon::current_num_threads()),
        numerics: format!("libtorch-cuda-{architecture}"),
        description: format!("libtorch {}, {card} ({architecture})", loaded.version),
        libtorch: Some(loaded.version),
        simd: torch::arithmetic().1,
    })
}

#[cfg(not(feature = "tch"))]
fn torch_cpu(name: &str) -> Result<Backend, DeviceError> {
    Err(DeviceError::NotCompiled { name: name.to_owned(), feature: "tch" })
}

#[cfg(not(feature = "tch"))]
fn torch_cuda(name: &str, _: usize) -> Result<Backend, DeviceError> {
    torch_cpu(name)
}

fn threads() -> String {
    match rayon::current_num_threads() {
        1 => "1 thread".to_owned(),
        count => format!("{count} threads"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flex_is_always_here_and_unknown_names_are_told() {
        let flex = parse("flex").expect("built in");
        assert_eq!((flex.numerics.as_str(), flex.simd), ("flex", Level::current().name()));
        for name in ["cuda", "flex:0", "flex:", "tch", "wgpu:x", "tch-cpu:0", ""] {
            assert_eq!(parse(name).expect_err("unknown"), DeviceError::Unknown(name.into()));
        }
        let error = parse("wgpu:1").expect_err("not built in");
        assert_eq!(error, DeviceError::NotCompiled { name: "wgpu:1".into(), feature: "wgpu" });
        assert_eq!(error.exit(), Exit::Environment);
        let all = all().expect("devices");
        assert_eq!(all.devices.last().expect("flex").name, "flex");
        let fastest = parse("auto").expect("fastest");
        assert_eq!(numerics::without_threads(&fastest.numerics), all.devices[0].numerics);
        assert_eq!(fastest.simd, all.devices[0].simd);
    }

    #[cfg(not(feature = "tch"))]
    #[test]
    fn a_backend_that_is_not_built_in_names_its_feature() {
        for name in ["tch-cpu", "tch:0"] {
            let error = parse(name).expect_err("not built in");
            assert!(error.to_string().contains("make BACKEND=tch"), "{error}");
        }
    }

    #[cfg(feature = "tch")]
    #[test]
    fn libtorch_is_here_and_takes_the_threads() {
        let backend = parse("tch-cpu").expect("built in");
        assert_eq!(tch::get_num_threads() as usize, rayon::current_num_threads());
        let threads = format!("-{}t", rayon::current_num_threads());
        assert!(backend.numerics.starts_with("libtorch-cpu-") && backend.numerics.ends_with(&threads));
        assert!(backend.numerics.contains(backend.simd), "{backend:?}");
        let offered = all().expect("devices");
        assert_eq!(offered.libtorch.expect("libtorch").version, backend.libtorch.expect("version"));
        if !tch::Cuda::is_available() {
            let error = parse("tch:0").expect_err("no card");
            assert!(matches!(error, DeviceError::NoCuda { .. }), "{error}");
        }
    }
}
