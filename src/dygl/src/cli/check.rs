//! `dygl check`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Selection;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Against {
    /// The published numbers
    Paper,
    /// The accepted results in `experiments/<EXP>.lock.toml`
    Lock,
}

/// What a result must be to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Require {
    /// Within its tolerance
    Held,
    /// Every image's scores as accepted, to the last bit
    Identical,
}

/// Where new tolerances come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ToleranceRule {
    /// Two standard deviations over the seeds, where three or more are locked; 0.002 at least
    FromSeeds,
}

#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pub selection: Selection,
    /// What to hold the results against
    #[arg(long, value_enum, default_value = "lock")]
    pub against: Against,
    /// What a result must be to pass; exit 6 if it is less
    #[arg(long, value_enum, value_name = "TIER", default_value = "held")]
    pub require: Require,
    /// Let results pass that are better by more than their tolerance
    #[arg(long, conflicts_with = "accept")]
    pub allow_better: bool,
    /// Accept today's results: they replace theirs in the lock file, other cells stay
    #[arg(long, conflicts_with_all = ["junit", "markdown", "github"])]
    pub accept: bool,
    /// With --accept: drop the cells that the experiment does not have any more
    #[arg(long, requires = "accept")]
    pub prune: bool,
    /// With --accept: keep the scores of every image, even of more than 5,000
    #[arg(long, requires = "accept")]
    pub per_image: bool,
    /// With --accept: set the tolerances anew
    #[arg(long, value_enum, value_name = "RULE", requires = "accept")]
    pub tolerance: Option<ToleranceRule>,
    /// Write a JUnit report
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write the whole table as Markdown
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Write GitHub annotations (with --format json to standard error) and the summary of its step
    #[arg(long)]
    pub github: bool,
}
