//! What the figures were measured on.

use dygl_nn::vector::Level;
use dygl_store::key::revision::{COMMIT, DIRTY, Revisions};
use serde::{Deserialize, Serialize};

/// The machine and the versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    /// Processors that the system offers.
    pub processors: usize,
    pub memory_gib: f64,
    /// The widest vector instructions in use.
    pub simd: String,
    /// And those that the processor has.
    #[serde(default)]
    pub widest: String,
    /// Threads of each process.
    pub threads: usize,
    /// Processes that wanted to run when the benchmark began, besides it.
    pub load: f64,
    pub system: String,
    pub commit: String,
    /// Those that compute, with their versions.
    pub libraries: String,
    /// Seconds since 1970.
    pub time: u64,
}

impl Machine {
    pub fn here(threads: usize) -> Self {
        let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let commit = COMMIT.get(..10).unwrap_or(COMMIT);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            processor: processor(&file("/proc/cpuinfo")),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory(&file("/proc/meminfo")),
            simd: dygl_train::device::parse("flex").map_or_else(|_| String::new(), |flex| flex.simd.into()),
            widest: Level::widest().name().into(),
            threads,
            load: file("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
            system: format!(
                "{} {}, {}",
                std::env::consts::OS,
                file("/proc/sys/kernel/osrelease").trim(),
                std::env::consts::ARCH
            ),
            commit: if DIRTY { format!("{commit} with changes") } else { commit.to_owned() },
            libraries: libraries(
                &Revisions::of_this_build().libraries().remove("tensor").unwrap_or_default(),
            ),
            time: now.map_or(0, |since| since.as_secs()),
        }
    }

    /// In a few lines of markdown; `versions` are those that the sides told.
    pub fn markdown(&self, versions: &[String]) -> String {
        let mut text = format!(
            "- processor: {}, {} in use here by {} threads, {}, {:.0} GiB of memory\n- system: {}\n",
            self.processor,
            self.processors,
            self.threads,
            self.instructions(),
            self.memory_gib,
            self.system,
        );
        text.push_str(&format!("- versions: {}", self.libraries));
        for version in versions {
            text.push_str(&format!(", {version}"));
        }
        text.push_str(&format!(
            "; commit {}\n- measured {}; load of the machine at the start {:.2}\n",
            self.commit,
            date(self.time),
            self.load
        ));
        text
    }

    /// Which kind of machine it is: processor and vector instructions.
    pub fn kind(&self) -> String {
        format!("{}, {}", self.processor, self.simd)
    }

    /// The vector instructions, and whether there are wider ones.
    fn instructions(&self) -> String {
        match self.widest.as_str() {
            "" => self.simd.clone(),
            widest if widest == self.simd => self.simd.clone(),
            widest => format!("all sides held to {} (there is {widest})", self.simd),
        }
    }
}

/// Of all the crates behind the tensors those that compute on the processor.
fn libraries(all: &str) -> String {
    let computes = |crates: &&str| {
        ["burn", "burn-flex", "burn-tch", "gemm", "macerator"]
            .contains(&crates.split(' ').next().unwrap_or_default())
    };
    all.split(", ").filter(computes).collect::<Vec<_>>().join(", ")
}

/// Model name, with the numbers that tell models of one name apart.
fn processor(cpuinfo: &str) -> String {
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.split(':').next().map(str::trim) == Some(name))?;
        Some(line.split_once(':')?.1.trim())
    };
    match (field("model name"), field("cpu family"), field("model")) {
        (Some(name), Some(family), Some(model)) => format!("{name} (family {family}, model {model})"),
        (Some(name), ..) => name.to_owned(),
        _ => "unknown".to_owned(),
    }
}

fn memory(meminfo: &str) -> f64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kib.unwrap_or(0.0) / f64::from(1 << 20)
}

/// The day, UTC (Hinnant's algorithm for the proleptic Gregorian calendar).
fn date(seconds: u64) -> String {
    let days = (seconds / 86_400) as i64 + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_read() {
        let cpuinfo =
            "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\n";
        assert_eq!(processor(cpuinfo), "AMD EPYC (family 25, model 17)");
        assert_eq!(processor("model name : X\n"), "X");
        assert_eq!(processor(""), "unknown");
        assert_eq!(libraries("burn 1.0, burn-cpu 1.0, gemm 2.0"), "burn 1.0, gemm 2.0");
        assert_eq!(memory("MemTotal:       4194304 kB\nMemFree: 1 kB\n"), 4.0);
        assert_eq!([0, 951_782_400, 1_795_564_800].map(date), ["1970-01-01", "2000-02-29", "2026-11-25"]);
    }
}
