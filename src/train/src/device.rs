//! Names of devices: `auto`, `any`, `flex`, `tch-cpu`, `tch:0`, `wgpu:0`.

use burn::tensor::Device;

/// A device to compute on.
#[derive(Debug, Clone)]
pub struct Backend {
    /// burn's device, without autodiff.
    pub device: Device,
    /// What the results' last digits depend on; part of a result's key.
    pub numerics: &'static str,
    /// The widest vector instructions in use.
    pub simd: &'static str,
    /// For people: backend, instruction set, threads.
    pub description: String,
}

/// Why a device cannot be used; completes "failed to".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    #[error("use device `{0}`: there is no such device; take one of auto, flex, tch-cpu, tch:0, wgpu:0")]
    Unknown(String),
    #[error(
        "use device `{name}`: this dygl-worker is built without the backend `{feature}`; \
         build with `make BACKEND={feature}`, or take --device flex"
    )]
    NotCompiled { name: String, feature: &'static str },
}

/// The device of that name. `auto` and `any` take the best compiled in.
///
/// # Errors
/// The name is unknown, or its backend is not compiled in.
pub fn parse(name: &str) -> Result<Backend, DeviceError> {
    let absent = |feature| Err(DeviceError::NotCompiled { name: name.to_owned(), feature });
    let (backend, index) = name.split_once(':').unwrap_or((name, ""));
    let indexed = index.parse::<usize>().is_ok();
    match backend {
        "auto" | "any" | "flex" if index.is_empty() && !name.contains(':') => Ok(Backend {
            device: Device::flex(),
            numerics: "flex",
            simd: instruction_set(),
            description: format!(
                "flex (pure Rust), {}, {} thread{}",
                instruction_set(),
                rayon::current_num_threads(),
                if rayon::current_num_threads() == 1 { "" } else { "s" }
            ),
        }),
        "tch-cpu" if !name.contains(':') => absent("tch"),
        "tch" if indexed => absent("tch"),
        "wgpu" if indexed => absent("wgpu"),
        _ => Err(DeviceError::Unknown(name.to_owned())),
    }
}

/// The widest vector instructions of this processor.
fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return "avx512";
        }
        if is_x86_feature_detected!("avx2") {
            return "avx2";
        }
        "sse2"
    }
    #[cfg(target_arch = "aarch64")]
    {
        "neon"
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        "no vector instructions"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flex_is_the_default_and_others_name_their_feature() {
        for name in ["auto", "any", "flex"] {
            assert_eq!(parse(name).expect("built in").numerics, "flex");
        }
        for (name, feature) in [("tch-cpu", "tch"), ("tch:0", "tch"), ("wgpu:1", "wgpu")] {
            assert_eq!(
                parse(name).expect_err("not built in"),
                DeviceError::NotCompiled { name: name.into(), feature }
            );
        }
        for name in ["cuda", "flex:0", "flex:", "tch", "wgpu:x", "tch-cpu:0", ""] {
            assert_eq!(parse(name).expect_err("unknown"), DeviceError::Unknown(name.into()));
        }
    }
}
