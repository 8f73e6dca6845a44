//! What is compared: this project on a device, PyTorch on a processor. One side
//! of one measurement is one process.

use std::path::{Path, PathBuf};
use std::process::Command;

use dygl_exec::{ALLOCATOR, ENVIRONMENT};
use dygl_nn::vector::VARIABLE;
use serde::{Deserialize, Serialize};

/// What holds ATen, oneDNN and MKL to AVX2.
const TORCH_AVX2: [(&str, &str); 3] =
    [("ATEN_CPU_CAPABILITY", "avx2"), ("ONEDNN_MAX_CPU_ISA", "AVX2"), ("MKL_ENABLE_INSTRUCTIONS", "AVX2")];

/// One side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// As the table names it.
    pub name: String,
    pub who: Who,
    /// A device of ours, or of PyTorch: cpu, cuda:0.
    pub device: String,
    /// f32, tf32, bf16.
    pub precision: String,
    /// Whether `torch.compile` has its turn first.
    pub compiled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    Ours,
    Torch,
}

/// What a process measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    Training,
    Evaluation,
}

/// Where the programs of both sides are.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The example `step`.
    pub step: PathBuf,
    /// A Python with PyTorch, if there is one.
    pub python: Option<PathBuf>,
}

/// What every process of a comparison is told.
#[derive(Debug, Clone, Copy)]
pub struct Load<'a> {
    pub model: &'a str,
    pub size: usize,
    pub batch: usize,
    pub steps: usize,
    pub threads: usize,
    pub task: Task,
}

/// The sides for these devices, ours first, each followed by what it is held
/// against; PyTorch only where there is one.
pub fn sides(devices: &[String], has_torch: bool) -> Vec<Side> {
    let mut sides = Vec::new();
    let cuda = |device: &str| device.starts_with("tch:");
    for device in devices.iter().filter(|device| !cuda(device)) {
        sides.push(ours(device, "f32", device));
    }
    if has_torch && !sides.is_empty() {
        sides.push(torch("cpu", "f32", false, "PyTorch"));
        sides.push(torch("cpu", "f32", true, "PyTorch compiled"));
    }
    for device in devices.iter().filter(|device| cuda(device)) {
        for precision in ["f32", "tf32", "bf16"] {
            sides.push(ours(device, precision, &format!("{device} {precision}")));
            for (compiled, how) in [(false, ""), (true, " compiled")] {
                if has_torch {
                    let theirs = device.replacen("tch", "cuda", 1);
                    sides.push(torch(
                        &theirs,
                        precision,
                        compiled,
                        &format!("PyTorch {theirs} {precision}{how}"),
                    ));
                }
            }
        }
    }
    sides
}

fn ours(device: &str, precision: &str, name: &str) -> Side {
    Side {
        name: name.into(),
        who: Who::Ours,
        device: device.into(),
        precision: precision.into(),
        compiled: false,
    }
}

fn torch(device: &str, precision: &str, compiled: bool, name: &str) -> Side {
    Side { name: name.into(), who: Who::Torch, device: device.into(), precision: precision.into(), compiled }
}

/// What `torch.compile` is measured with on a processor: it compiles for minutes.
const COMPILED: [&str; 2] = ["unet", "dyglnet"];

impl Side {
    /// Whether it is measured with this network.
    pub fn takes(&self, model: &str) -> bool {
        !self.compiled || self.card().is_some() || COMPILED.contains(&model)
    }

    /// The number of the card that it runs on, if it does.
    pub fn card(&self) -> Option<&str> {
        self.device.split_once(':').map(|(_, index)| index)
    }

    /// Whether the other one is PyTorch on the same processor at the same precision.
    pub fn compares_with(&self, other: &Side) -> bool {
        self.who == Who::Ours
            && other.who == Who::Torch
            && self.card() == other.card()
            && self.precision == other.precision
    }

    /// The process that measures this side; none where there is no program for it.
    pub fn command(&self, programs: &Programs, load: &Load<'_>) -> Option<Command> {
        let mut command = match self.who {
            Who::Ours => Command::new(&programs.step),
            Who::Torch => {
                let mut command = Command::new(programs.python.as_ref()?);
                command.arg(Path::new("bench/torch/step.py"));
                command
            }
        };
        command
            .arg(load.model)
            .args([load.size, load.batch, load.steps].map(|number| number.to_string()))
            .args(["--threads", &load.threads.to_string()])
            .args(["--device", self.device_word()])
            .args(["--precision", &self.precision]);
        if load.task == Task::Evaluation {
            command.arg("--eval");
        }
        if self.compiled {
            command.arg("--compile");
        }
        self.environment(&mut command);
        Some(command)
    }

    /// PyTorch's script knows one card: the one that it is shown.
    pub fn device_word(&self) -> &str {
        match self.who {
            Who::Ours => &self.device,
            Who::Torch => self.device.split(':').next().unwrap_or_default(),
        }
    }

    /// Ours runs as a worker does, PyTorch as a user starts it, but held to AVX2 where
    /// we are (`DYGL_SIMD=avx2`). In tf32 our libtorch is told by the environment what
    /// PyTorch is told by its settings.
    pub fn environment(&self, command: &mut Command) {
        for (name, value) in ALLOCATOR.into_iter().chain(ENVIRONMENT) {
            match self.who {
                Who::Ours => command.env(name, value),
                Who::Torch => command.env_remove(name),
            };
        }
        // Why something failed is one line.
        command.env("RUST_BACKTRACE", "0");
        if self.who == Who::Ours && self.precision == "tf32" {
            command.env_remove("NVIDIA_TF32_OVERRIDE").env("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "1");
        }
        if let (Who::Torch, Ok("avx2")) = (self.who, std::env::var(VARIABLE).as_deref()) {
            command.envs(TORCH_AVX2);
        }
        if let (Who::Torch, Some(index)) = (self.who, self.card()) {
            command.env("CUDA_VISIBLE_DEVICES", index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(devices: &[&str], has_torch: bool) -> Vec<String> {
        let devices: Vec<String> = devices.iter().map(|device| (*device).to_owned()).collect();
        sides(&devices, has_torch).into_iter().map(|side| side.name).collect()
    }

    #[test]
    fn cpus_share_one_pytorch_and_cards_have_it_in_each_precision() {
        assert_eq!(names(&["flex"], false), ["flex"]);
        assert_eq!(names(&["flex", "tch-cpu"], true), ["flex", "tch-cpu", "PyTorch", "PyTorch compiled"]);
        let cuda = names(&["tch:0"], true);
        assert_eq!(cuda.len(), 9);
        assert_eq!(cuda[..3], ["tch:0 f32", "PyTorch cuda:0 f32", "PyTorch cuda:0 f32 compiled"]);
        assert_eq!(names(&["tch:0"], false), ["tch:0 f32", "tch:0 tf32", "tch:0 bf16"]);
    }

    #[test]
    fn only_the_same_precision_and_processor_are_compared() {
        let all = sides(&["flex".into(), "tch:1".into()], true);
        let pairs: Vec<(&str, &str)> = all
            .iter()
            .flat_map(|ours| all.iter().map(move |theirs| (ours, theirs)))
            .filter(|(ours, theirs)| ours.compares_with(theirs))
            .map(|(ours, theirs)| (ours.name.as_str(), theirs.name.as_str()))
            .collect();
        assert_eq!(pairs.len(), 8);
        assert_eq!(pairs[..2], [("flex", "PyTorch"), ("flex", "PyTorch compiled")]);
        assert!(pairs.contains(&("tch:1 bf16", "PyTorch cuda:1 bf16 compiled")));
        assert!(!pairs.contains(&("tch:1 bf16", "PyTorch cuda:1 f32")));
    }

    #[test]
    fn on_a_processor_two_networks_are_compiled() {
        let all = sides(&["flex".into(), "tch:0".into()], true);
        let taking = |model: &str| all.iter().filter(|side| side.takes(model)).count();
        assert_eq!([taking("unet"), taking("dyglnet"), taking("fat_net")], [12, 12, 11]);
    }

    #[test]
    fn a_process_is_told_everything() {
        let programs = Programs { step: "step".into(), python: Some("python".into()) };
        let load = Load { model: "unet", size: 224, batch: 4, steps: 3, threads: 2, task: Task::Evaluation };
        let words = |side: &Side| -> Vec<String> {
            let command = side.command(&programs, &load).expect("both programs are there");
            std::iter::once(command.get_program())
                .chain(command.get_args())
                .map(|word| word.to_string_lossy().into_owned())
                .collect()
        };
        let all = sides(&["flex".into(), "tch:0".into()], true);
        assert_eq!(
            words(&all[0]).join(" "),
            "step unet 224 4 3 --threads 2 --device flex --precision f32 --eval"
        );
        assert_eq!(
            words(&all[11]).join(" "),
            "python bench/torch/step.py unet 224 4 3 --threads 2 --device cuda --precision bf16 --eval --compile"
        );
        let value = |side: &Side, name: &str| {
            let command = side.command(&programs, &load).expect("both programs are there");
            let found = command.get_envs().find(|(key, _)| *key == name).expect("set or removed");
            found.1.map(|value| value.to_string_lossy().into_owned())
        };
        let [f32, tf32] = ["tch:0 f32", "tch:0 tf32"]
            .map(|name| all.iter().find(|side| side.name == name).expect("listed"));
        assert_eq!(value(f32, "NVIDIA_TF32_OVERRIDE").as_deref(), Some("0"));
        assert_eq!(value(tf32, "NVIDIA_TF32_OVERRIDE"), None);
        assert_eq!(value(tf32, "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE").as_deref(), Some("1"));
        assert_eq!(value(&all[1], "MALLOC_TRIM_THRESHOLD_"), None);
        let without = Programs { python: None, ..programs.clone() };
        assert!(all[1].command(&without, &load).is_none());
    }
}
