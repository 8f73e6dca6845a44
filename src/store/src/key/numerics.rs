//! Numerics classes: what the last bits of a result depend on beside sources and
//! library versions, by name and in words.
//!
//! | class | what it holds apart |
//! |---|---|
//! | `flex` | nothing: sums run in an order that stands in the source |
//! | `libtorch-cpu-avx2-2t` | vector instructions, threads; `amd` where it is no Intel's, `onednn` and `mkl` where they do otherwise than ATen |
//! | `libtorch-cuda-sm_90` | the card's architecture |
//!
//! ATen, oneDNN and MKL choose their kernels by the processor, and cut sums into
//! as many pieces as there are threads. ATen's choice follows its
//! `DispatchStub.cpp`; its binding has no word for it.

/// The class of dygl's own arithmetic.
pub const FLEX: &str = "flex";

/// Results of libtorch on a CPU from before instructions and threads were keyed;
/// no run computes in it any more. Its successors begin with its name.
pub const PAST_CPU: &str = "libtorch-cpu";

/// The environment variables that choose kernels of libtorch on a CPU.
pub const VARIABLES: [&str; 5] =
    ["ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR"];

/// What libraries look at of a processor when they choose their kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processor {
    /// `avx512`, `avx2`, `sve`, `neon`, or `default` of every processor.
    pub vectors: &'static str,
    /// Products of bf16 that only oneDNN knows: `amx`, `bf16`.
    pub products: Option<&'static str>,
    /// `amd`, `other`; none of Intel's, which MKL asks for, and beside x86.
    pub maker: Option<&'static str>,
}

impl Processor {
    /// The one that this program runs on.
    pub fn here() -> Self {
        native()
    }

    /// The vector instructions of ATen's kernels. A value that ATen does not know
    /// is ignored, as by ATen.
    pub fn aten(&self, variable: &dyn Fn(&str) -> Option<String>) -> &'static str {
        let asked = variable(VARIABLES[0]).unwrap_or_default();
        match (self.vectors, asked.as_str()) {
            ("neon" | "sve", "default") => "neon",
            ("neon" | "sve", _) => self.vectors,
            (_, "default") => "default",
            (_, "avx2") => "avx2",
            (_, "avx512") => "avx512",
            _ => self.vectors,
        }
    }

    /// The class of libtorch on this processor, without the number of threads;
    /// `variable` gives the environment.
    pub fn torch(&self, variable: &dyn Fn(&str) -> Option<String>) -> String {
        let aten = self.aten(variable);
        let set = |names: &[&str]| {
            let value = names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
            value.map(|value| word(&value))
        };
        let own = self.products.unwrap_or(self.vectors).to_owned();
        let onednn = set(&VARIABLES[1..3]).unwrap_or(own);
        let mut class = format!("{PAST_CPU}-{aten}");
        if let Some(maker) = self.maker {
            class.push_str(&format!("-{maker}"));
        }
        if onednn != aten {
            class.push_str(&format!("-onednn-{onednn}"));
        }
        if let Some(mkl) = set(&VARIABLES[3..]) {
            class.push_str(&format!("-mkl-{mkl}"));
        }
        class
    }
}

/// A setting as a part of a name: no part holds a hyphen, or what a file's name may not.
fn word(value: &str) -> String {
    value.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

#[cfg(target_arch = "x86_64")]
fn native() -> Processor {
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    let highest = __cpuid(0);
    // `Genu`ineIntel, `Auth`enticAMD.
    let maker = match &highest.ebx.to_le_bytes() {
        b"Genu" => None,
        b"Auth" => Some("amd"),
        _ => Some("other"),
    };
    let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let has_avx512 = has_avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq");
    // Tiles, and their products of bf16.
    let has_amx = highest.eax >= 7 && __cpuid_count(7, 0).edx & (1 << 24 | 1 << 22) == (1 << 24 | 1 << 22);
    let products = match (has_amx, is_x86_feature_detected!("avx512bf16")) {
        (true, _) if has_avx512 => Some("amx"),
        (_, true) if has_avx512 => Some("bf16"),
        _ => None,
    };
    let vectors = match (has_avx512, has_avx2) {
        (true, _) => "avx512",
        (_, true) => "avx2",
        _ => "default",
    };
    Processor { vectors, products, maker }
}

#[cfg(target_arch = "aarch64")]
fn native() -> Processor {
    let vectors = if std::arch::is_aarch64_feature_detected!("sve") { "sve" } else { "neon" };
    let products = std::arch::is_aarch64_feature_detected!("bf16").then_some("bf16");
    Processor { vectors, products, maker: None }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn native() -> Processor {
    Processor { vectors: "default", products: None, maker: None }
}

/// Whether results of a class depend on the number of threads.
fn by_threads(class: &str) -> bool {
    class.strip_prefix(PAST_CPU).is_some_and(|rest| rest.starts_with('-'))
}

/// The class of a run on so many threads, of the class of its device.
pub fn with_threads(class: &str, threads: usize) -> String {
    let class = without_threads(class);
    if by_threads(class) { format!("{class}-{threads}t") } else { class.to_owned() }
}

/// The class of the device behind the class of a run.
pub fn without_threads(class: &str) -> &str {
    match class.rsplit_once('-') {
        Some((device, last)) if by_threads(device) && threads(last).is_some() => device,
        _ => class,
    }
}

/// `2t` to 2.
fn threads(part: &str) -> Option<usize> {
    part.strip_suffix('t')?.parse().ok()
}

/// A class in words, for people.
pub fn words(class: &str) -> String {
    if class == FLEX {
        return "portable arithmetic of dygl, the same bits on every CPU and with any number of threads"
            .to_owned();
    }
    if class == PAST_CPU {
        return "libtorch on a CPU of unknown vector width and threads (recorded before that was keyed)"
            .to_owned();
    }
    if let Some(parts) = class.strip_prefix(PAST_CPU).and_then(|rest| rest.strip_prefix('-')) {
        return of_cpu(parts);
    }
    match class.strip_prefix("libtorch-cuda-") {
        Some(architecture) => format!("libtorch on a card of architecture {architecture}"),
        None => format!("arithmetic that this program has no words for (`{class}`)"),
    }
}

fn of_cpu(parts: &str) -> String {
    let mut processor = "a CPU";
    let mut with = Vec::new();
    let mut run = "as many threads as the run has".to_owned();
    let mut parts = parts.split('-');
    let level = parts.next().unwrap_or_default();
    while let Some(part) = parts.next() {
        match (part, threads(part)) {
            ("amd", _) => processor = "an AMD CPU",
            ("other", _) => processor = "a CPU of neither Intel nor AMD",
            ("onednn", _) => {
                with.push(format!("oneDNN with {}", instructions(parts.next().unwrap_or_default())))
            }
            ("mkl", _) => with.push(format!("MKL set to {}", parts.next().unwrap_or_default())),
            (_, Some(1)) => run = "1 thread".to_owned(),
            (_, Some(count)) => run = format!("{count} threads"),
            _ => with.push(part.to_owned()),
        }
    }
    with.push(run);
    format!("libtorch on {processor} with {}, {}", instructions(level), with.join(", "))
}

fn instructions(name: &str) -> &str {
    match name {
        "avx512" => "AVX-512",
        "avx2" => "AVX2",
        "amx" => "AMX",
        "bf16" => "products of bf16",
        "neon" => "Neon",
        "sve" => "SVE",
        "default" => "plain instructions",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING_SET: &dyn Fn(&str) -> Option<String> = &|_| None;

    fn intel(vectors: &'static str) -> Processor {
        Processor { vectors, products: None, maker: None }
    }

    #[test]
    fn what_decides_bits_is_in_the_name() {
        let class = |processor: Processor| processor.torch(NOTHING_SET);
        assert_eq!(class(intel("avx2")), "libtorch-cpu-avx2");
        assert_eq!(class(intel("default")), "libtorch-cpu-default");
        let new = Processor { products: Some("amx"), ..intel("avx512") };
        assert_eq!(class(new), "libtorch-cpu-avx512-onednn-amx");
        let amd = Processor { products: Some("bf16"), maker: Some("amd"), ..intel("avx512") };
        assert_eq!(class(amd), "libtorch-cpu-avx512-amd-onednn-bf16");
        // Here, whatever this is.
        assert!(class(Processor::here()).starts_with("libtorch-cpu-"));
    }

    #[test]
    fn settings_of_the_libraries_are_in_the_name() {
        let class = |settings: &[(&str, &str)]| {
            let variable = |name: &str| {
                settings.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            intel("avx512").torch(&variable)
        };
        assert_eq!(class(&[("ATEN_CPU_CAPABILITY", "avx2")]), "libtorch-cpu-avx2-onednn-avx512");
        assert_eq!(
            class(&[("ATEN_CPU_CAPABILITY", "AVX2")]),
            "libtorch-cpu-avx512",
            "ATen knows no such value"
        );
        assert_eq!(
            class(&[("ATEN_CPU_CAPABILITY", "avx2"), ("ONEDNN_MAX_CPU_ISA", "AVX2")]),
            "libtorch-cpu-avx2"
        );
        assert_eq!(class(&[("DNNL_MAX_CPU_ISA", "SSE41")]), "libtorch-cpu-avx512-onednn-sse41");
        assert_eq!(class(&[("ONEDNN_MAX_CPU_ISA", "")]), "libtorch-cpu-avx512");
        assert_eq!(class(&[("MKL_CBWR", "AVX2,STRICT")]), "libtorch-cpu-avx512-mkl-avx2_strict");
        assert_eq!(class(&[("MKL_CBWR", "../x-1t")]), "libtorch-cpu-avx512-mkl-___x_1t");
    }

    #[test]
    fn the_processor_of_arm_has_its_own_words() {
        let arm = Processor { vectors: "sve", products: None, maker: None };
        assert_eq!(arm.aten(NOTHING_SET), "sve");
        assert_eq!(arm.aten(&|_| Some("default".into())), "neon");
        assert_eq!(arm.aten(&|_| Some("avx2".into())), "sve");
    }

    #[test]
    fn threads_belong_to_runs_of_libtorch_on_a_cpu_alone() {
        for (device, run) in [
            ("flex", "flex"),
            ("libtorch-cpu-avx2", "libtorch-cpu-avx2-2t"),
            ("libtorch-cpu-avx512-mkl-avx2", "libtorch-cpu-avx512-mkl-avx2-2t"),
            ("libtorch-cuda-sm_90", "libtorch-cuda-sm_90"),
            ("libtorch-cpu", "libtorch-cpu"),
        ] {
            assert_eq!(with_threads(device, 2), run);
            assert_eq!(with_threads(run, 2), run);
            assert_eq!(without_threads(run), device);
            assert_eq!(without_threads(device), device);
        }
        assert_eq!(with_threads("libtorch-cpu-avx2-2t", 16), "libtorch-cpu-avx2-16t");
    }

    #[test]
    fn every_class_has_words() {
        for (class, told) in [
            (
                "flex",
                "portable arithmetic of dygl, the same bits on every CPU and with any number of threads",
            ),
            ("libtorch-cpu-avx2-2t", "libtorch on a CPU with AVX2, 2 threads"),
            ("libtorch-cpu-avx512-1t", "libtorch on a CPU with AVX-512, 1 thread"),
            ("libtorch-cpu-avx2-other-1t", "libtorch on a CPU of neither Intel nor AMD with AVX2, 1 thread"),
            ("libtorch-cpu-default-4t", "libtorch on a CPU with plain instructions, 4 threads"),
            (
                "libtorch-cpu-avx512-amd-onednn-bf16-8t",
                "libtorch on an AMD CPU with AVX-512, oneDNN with products of bf16, 8 threads",
            ),
            (
                "libtorch-cpu-avx512-onednn-amx-mkl-avx2_strict-2t",
                "libtorch on a CPU with AVX-512, oneDNN with AMX, MKL set to avx2_strict, 2 threads",
            ),
            ("libtorch-cpu-avx2", "libtorch on a CPU with AVX2, as many threads as the run has"),
            (
                "libtorch-cpu",
                "libtorch on a CPU of unknown vector width and threads (recorded before that was keyed)",
            ),
            ("libtorch-cuda-sm_90", "libtorch on a card of architecture sm_90"),
            ("wgpu", "arithmetic that this program has no words for (`wgpu`)"),
        ] {
            assert_eq!(words(class), told);
        }
    }
}
