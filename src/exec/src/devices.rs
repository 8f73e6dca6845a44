//! What a worker can compute with, and the choice among it.
//!
//! The harness holds no tensors: it asks the worker (`dygl-worker devices`),
//! and remembers the answer (see [`super::ask`]).

use dygl_store::key::numerics;
use dygl_store::key::revision::Revisions;
use serde::{Deserialize, Serialize};

use super::device::Device;

/// What a worker offers, fastest device first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Devices {
    /// One offer for each device that is there; the first is what `auto` takes.
    pub devices: Vec<Offer>,
    /// `None` if the worker is built without it.
    pub libtorch: Option<Libtorch>,
}

/// One device of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// What `--device` calls it.
    pub name: String,
    /// The numerics class of its results, without the threads of a run
    /// ([`numerics::with_threads`]).
    pub numerics: String,
    /// The vector instructions in use.
    pub simd: String,
    /// For people.
    pub description: String,
}

/// The libtorch that a worker runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Libtorch {
    /// With its build label: `2.9.0+cu128`.
    pub version: String,
    /// The library that is loaded.
    pub path: String,
    /// Why CUDA cannot be used, with the remedy; `None` if it can.
    pub no_cuda: Option<String>,
}

/// A numerics class, and the libraries that compute in it beyond those that
/// every class has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Class {
    /// As keys name it, with the threads of a run where results depend on them: `libtorch-cpu-avx2-2t`.
    pub numerics: String,
    /// Version of libtorch and of the crates that bind it, as keys have them; none where it takes no
    /// part.
    pub libtorch: Option<String>,
}

impl Class {
    /// The class of the device that is always there.
    pub fn flex() -> Self {
        Self { numerics: numerics::FLEX.into(), libtorch: None }
    }

    /// Today's revisions for results of this class.
    pub fn revisions(&self, base: &Revisions) -> Revisions {
        match &self.libtorch {
            Some(libraries) => base.clone().with(Revisions::LIBTORCH, libraries),
            None => base.clone(),
        }
    }
}

/// A device that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// As a job names it.
    pub name: String,
    /// Of its results; with the threads of the run where they depend on them.
    pub class: Class,
    /// For people: [`Offer::description`].
    pub description: String,
}

/// A device that is not there; a full sentence with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("device `{device}` cannot be used: {reason}")]
pub struct Absent {
    device: Device,
    reason: String,
}

impl Devices {
    /// What a worker without libtorch offers.
    pub fn flex_alone() -> Self {
        let flex = Offer {
            name: "flex".into(),
            numerics: numerics::FLEX.into(),
            simd: String::new(),
            description: "flex".into(),
        };
        Self { devices: vec![flex], libtorch: None }
    }

    /// The device that a run on so many threads computes on.
    ///
    /// # Errors
    /// The worker does not offer it.
    pub fn choose(&self, device: Device, threads: usize) -> Result<Chosen, Absent> {
        let wanted = device.to_string();
        let found = match device {
            Device::Auto | Device::Any => self.devices.first(),
            _ => self.devices.iter().find(|offer| offer.name == wanted),
        };
        found
            .map(|offer| self.chosen(offer, numerics::with_threads(&offer.numerics, threads)))
            .ok_or_else(|| Absent { device, reason: self.lacks(device) })
    }

    /// The device whose results are of a class, on as many threads as that says.
    pub fn of_class(&self, class: &str) -> Option<Chosen> {
        let device = numerics::without_threads(class);
        let offer = self.devices.iter().find(|offer| offer.numerics == device)?;
        Some(self.chosen(offer, class.to_owned()))
    }

    /// The classes of runs on so many threads of all devices, fastest first.
    pub fn classes(&self, threads: usize) -> Vec<Class> {
        let mut classes: Vec<Class> = Vec::new();
        for offer in &self.devices {
            let class = self.class(numerics::with_threads(&offer.numerics, threads));
            if !classes.contains(&class) {
                classes.push(class);
            }
        }
        classes
    }

    fn chosen(&self, offer: &Offer, numerics: String) -> Chosen {
        let class = self.class(numerics);
        Chosen { name: offer.name.clone(), class, description: offer.description.clone() }
    }

    fn class(&self, numerics: String) -> Class {
        let libtorch = self.libtorch.as_ref().filter(|_| numerics.starts_with("libtorch"));
        let libtorch = libtorch.map(|libtorch| Revisions::of_this_build().libtorch(&libtorch.version));
        Class { numerics, libtorch }
    }

    fn lacks(&self, device: Device) -> String {
        let rebuild = "dygl-worker is built without libtorch; `make libtorch`, then `make BACKEND=tch build`";
        match (device, &self.libtorch) {
            (Device::TchCpu | Device::TchCuda(_), None) => rebuild.to_owned(),
            (Device::TchCuda(_), Some(Libtorch { no_cuda: Some(reason), .. })) => reason.clone(),
            (Device::TchCuda(_), Some(_)) => {
                let known: Vec<&str> = self.devices.iter().map(|offer| offer.name.as_str()).collect();
                format!("there is no such device; here are {}", known.join(", "))
            }
            (Device::Wgpu(_), _) => "dygl-worker has no wgpu backend; take --device auto".to_owned(),
            _ => "dygl-worker is built without it; `make build`".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(name: &str, numerics: &str) -> Offer {
        let (name, numerics, description) = (name.into(), numerics.into(), name.to_uppercase());
        Offer { name, numerics, simd: "avx2".into(), description }
    }

    fn with_cuda(no_cuda: Option<&str>) -> Devices {
        let mut devices = vec![offer("tch-cpu", "libtorch-cpu-avx2"), offer("flex", "flex")];
        if no_cuda.is_none() {
            devices.insert(0, offer("tch:1", "libtorch-cuda-sm_80"));
            devices.insert(0, offer("tch:0", "libtorch-cuda-sm_90"));
        }
        let no_cuda = no_cuda.map(str::to_owned);
        let libtorch = Libtorch { version: "2.9.0+cu128".into(), path: "/lib".into(), no_cuda };
        Devices { devices, libtorch: Some(libtorch) }
    }

    #[test]
    fn auto_takes_the_fastest_that_is_there() {
        let name = |devices: &Devices| devices.choose(Device::Auto, 2).expect("one").name;
        assert_eq!(name(&with_cuda(None)), "tch:0");
        assert_eq!(name(&with_cuda(Some("no driver"))), "tch-cpu");
        assert_eq!(name(&Devices::flex_alone()), "flex");
    }

    #[test]
    fn what_is_absent_is_told_with_the_remedy() {
        let told = |devices: &Devices, device| devices.choose(device, 2).expect_err("absent").to_string();
        let text = told(&Devices::flex_alone(), Device::TchCpu);
        assert!(text.contains("`tch-cpu`") && text.contains("make libtorch"), "{text}");
        let text = told(&with_cuda(Some("no driver")), Device::TchCuda(0));
        assert!(text.contains("`tch:0`") && text.contains("no driver"), "{text}");
        assert!(told(&with_cuda(None), Device::TchCuda(7)).contains("tch:1"));
        assert!(told(&with_cuda(None), Device::Wgpu(0)).contains("wgpu"));
    }

    #[test]
    fn only_classes_of_libtorch_are_keyed_with_it() {
        let classes = with_cuda(None).classes(2);
        let numerics: Vec<&str> = classes.iter().map(|class| class.numerics.as_str()).collect();
        assert_eq!(numerics, ["libtorch-cuda-sm_90", "libtorch-cuda-sm_80", "libtorch-cpu-avx2-2t", "flex"]);
        for class in &classes {
            let text = class.libtorch.as_deref().unwrap_or_default();
            assert_eq!(class.numerics != "flex", text.starts_with("libtorch 2.9.0+cu128"), "{class:?}");
        }
        let base = Revisions::of_this_build();
        assert_eq!(classes[3].revisions(&base), base);
        assert_ne!(classes[2].revisions(&base), base);
    }
    #[test]
    fn the_threads_of_a_run_are_in_the_class_of_libtorch_on_a_cpu() {
        let devices = with_cuda(None);
        let class = |device, threads| devices.choose(device, threads).expect("there").class.numerics;
        assert_eq!(
            [1, 2].map(|n| class(Device::TchCpu, n)),
            ["libtorch-cpu-avx2-1t", "libtorch-cpu-avx2-2t"]
        );
        assert_eq!([1, 2].map(|n| class(Device::Flex, n)), ["flex", "flex"]);
        assert_eq!(class(Device::TchCuda(1), 3), "libtorch-cuda-sm_80");
        // What was computed on another number is reproduced on that number.
        let found = devices.of_class("libtorch-cpu-avx2-7t").expect("this device");
        assert_eq!((found.name.as_str(), found.class.numerics.as_str()), ("tch-cpu", "libtorch-cpu-avx2-7t"));
        assert!(found.class.libtorch.is_some());
        assert_eq!(devices.of_class("flex").expect("flex").name, "flex");
        for class in ["libtorch-cpu", "libtorch-cpu-avx512-2t", "wgpu"] {
            assert_eq!(devices.of_class(class), None, "{class}");
        }
    }
}
