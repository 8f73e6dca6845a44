//! The files of `experiments/` that are built into the program, so that an
//! installed binary works in any folder. A test fails when a file is not listed.

/// `experiments/protocol.toml`
pub const PROTOCOL: &str = include_str!("../../../experiments/protocol.toml");
/// `experiments/profiles.toml`
pub const PROFILES: &str = include_str!("../../../experiments/profiles.toml");
/// `experiments/reported.toml`
pub const REPORTED: &str = include_str!("../../../experiments/reported.toml");
/// `experiments/claims.toml`
pub const CLAIMS: &str = include_str!("../../../experiments/claims.toml");

/// A built-in experiment.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddedExperiment {
    /// The stem of its file, by which commands name it.
    pub name: &'static str,
    /// Its place in the repository.
    pub path: &'static str,
    /// The content of its file, TOML.
    pub text: &'static str,
}

macro_rules! experiments {
    ($($name:literal),* $(,)?) => {
        &[$(EmbeddedExperiment {
            name: $name,
            path: concat!("experiments/", $name, ".toml"),
            text: include_str!(concat!("../../../experiments/", $name, ".toml")),
        }),*]
    };
}

/// Every shipped experiment.
pub const EXPERIMENTS: &[EmbeddedExperiment] = experiments![
    "ablation", "fig1", "smoke", "table1", "table2", "table3", "table4", "table5", "table6", "table7"
];

/// Files of `experiments/` that are no experiments.
pub const OTHER_FILES: &[&str] = &["protocol.toml", "profiles.toml", "reported.toml", "claims.toml"];

/// Whether a file of an experiments folder holds an experiment.
pub fn is_experiment_file(file_name: &str) -> bool {
    file_name.ends_with(".toml") && !file_name.ends_with(".lock.toml") && !OTHER_FILES.contains(&file_name)
}

/// The built-in experiment of that name.
pub fn experiment(name: &str) -> Option<&'static EmbeddedExperiment> {
    EXPERIMENTS.iter().find(|experiment| experiment.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_experiment_file_is_built_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("the experiments folder")
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .filter(|name| is_experiment_file(name))
            .collect();
        files.sort();
        let listed: Vec<String> = EXPERIMENTS.iter().map(|e| format!("{}.toml", e.name)).collect();
        assert_eq!(files, listed, "list it in EXPERIMENTS, sorted by name");
    }
}
