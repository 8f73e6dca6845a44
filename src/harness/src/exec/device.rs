//! Devices by name, and the numerics classes that each stands for.

use std::fmt;

/// What `--device` may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The fastest that is compiled in and present.
    Auto,
    /// Reading verbs: results of every class.
    Any,
    Flex,
    TchCpu,
    TchCuda(usize),
    Wgpu(usize),
}

/// No such device name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown device `{0}`; known: auto, any, flex, tch-cpu, tch:0, wgpu:0")]
pub struct UnknownDevice(String);

impl std::str::FromStr for Device {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        let index = |rest: &str| rest.parse().map_err(|_| UnknownDevice(text.to_owned()));
        Ok(match text {
            "auto" => Device::Auto,
            "any" => Device::Any,
            "flex" => Device::Flex,
            "tch-cpu" => Device::TchCpu,
            _ => match text.split_once(':') {
                Some(("tch", rest)) => Device::TchCuda(index(rest)?),
                Some(("wgpu", rest)) => Device::Wgpu(index(rest)?),
                _ => return Err(UnknownDevice(text.to_owned())),
            },
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Auto => f.write_str("auto"),
            Device::Any => f.write_str("any"),
            Device::Flex => f.write_str("flex"),
            Device::TchCpu => f.write_str("tch-cpu"),
            Device::TchCuda(index) => write!(f, "tch:{index}"),
            Device::Wgpu(index) => write!(f, "wgpu:{index}"),
        }
    }
}

impl Device {
    /// Whether a reading verb takes results of this numerics class.
    pub fn reads(self, numerics: &str) -> bool {
        match self {
            Device::Auto | Device::Any => true,
            // Results of any card: its architecture is part of the class.
            Device::TchCuda(_) => numerics.starts_with("libtorch-cuda"),
            other => numerics == other.numerics(),
        }
    }

    /// The numerics class, or what the names of its classes begin with.
    pub fn numerics(self) -> &'static str {
        match self {
            Device::Auto | Device::Any | Device::Flex => "flex",
            Device::TchCpu => "libtorch-cpu",
            Device::TchCuda(_) => "libtorch-cuda",
            Device::Wgpu(_) => "wgpu",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_mistakes_are_named() {
        for name in ["auto", "any", "flex", "tch-cpu", "tch:0", "wgpu:1"] {
            assert_eq!(name.parse::<Device>().expect("known").to_string(), name);
        }
        assert!("cuda".parse::<Device>().is_err());
        assert!("tch:x".parse::<Device>().is_err());
    }

    #[test]
    fn any_card_is_read_and_no_other_class() {
        assert!(Device::TchCuda(1).reads("libtorch-cuda-sm_90"));
        assert!(!Device::TchCuda(0).reads("libtorch-cpu"));
        assert!(Device::TchCpu.reads("libtorch-cpu") && !Device::TchCpu.reads("flex"));
        assert!(Device::Any.reads("libtorch-cuda-sm_80") && Device::Auto.reads("flex"));
    }
}
