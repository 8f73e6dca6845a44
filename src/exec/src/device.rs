//! Devices by name, and the numerics classes that each stands for.

use std::fmt;

use dygl_store::key::numerics;

/// What `--device` may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The fastest that is compiled in and present.
    Auto,
    /// Reading verbs: results of every class.
    Any,
    /// `flex`: the CPU, by burn's backend of that name.
    Flex,
    /// `tch-cpu`: the CPU, by libtorch.
    TchCpu,
    /// `tch:0`: the CUDA card of this index, by libtorch.
    TchCuda(usize),
    /// `wgpu:0`: the card of this index, by wgpu; no worker offers it.
    Wgpu(usize),
}

/// No such device name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown device `{0}`; known: auto, any, flex, tch-cpu, tch:0")]
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
    /// Whether a reading verb takes results of this numerics class. None takes
    /// [`numerics::PAST_CPU`], which says too little of its arithmetic.
    pub fn reads(self, class: &str) -> bool {
        if class == numerics::PAST_CPU {
            return false;
        }
        match self {
            Device::Auto | Device::Any => true,
            // Results of any card and CPU: what computed them is part of the class.
            Device::TchCpu | Device::TchCuda(_) => class.starts_with(self.numerics()),
            other => class == other.numerics(),
        }
    }

    /// The numerics class, or what the names of its classes begin with.
    pub fn numerics(self) -> &'static str {
        match self {
            Device::Auto | Device::Any | Device::Flex => numerics::FLEX,
            Device::TchCpu => numerics::PAST_CPU,
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
    fn any_card_and_cpu_is_read_and_no_other_class() {
        assert!(Device::TchCuda(1).reads("libtorch-cuda-sm_90"));
        assert!(!Device::TchCuda(0).reads("libtorch-cpu-avx2-2t"));
        for class in ["libtorch-cpu-avx2-2t", "libtorch-cpu-avx512-amd-16t"] {
            assert!(Device::TchCpu.reads(class) && !Device::Flex.reads(class), "{class}");
        }
        assert!(!Device::TchCpu.reads("flex") && Device::Flex.reads("flex"));
        assert!(Device::Any.reads("libtorch-cuda-sm_80") && Device::Auto.reads("flex"));
        assert!(
            ![Device::Any, Device::Auto, Device::TchCpu].iter().any(|device| device.reads("libtorch-cpu"))
        );
    }
}
