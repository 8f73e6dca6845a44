//! The forms of an answer: text, JSON, JUnit, Markdown, GitHub's annotations.

mod github;
mod json;
mod junit;
mod markdown;
mod text;

use dygl_base::exit::Exit;

use super::verdict::{Row, Rules, Tier};
pub use github::{annotations, summary};
pub use json::json;
pub use junit::junit;
pub use markdown::markdown;
pub use text::{counts, text};

/// The comparisons of one experiment.
#[derive(Debug, Clone, Default)]
pub struct Suite {
    pub experiment: String,
    /// The lock file as people name it; none against the paper.
    pub lock: Option<String>,
    /// In the order of their tiers.
    pub rows: Vec<Row>,
    /// Of the results: commit, numerics class, vector width.
    pub properties: Vec<(&'static str, String)>,
    /// What the results took to compute.
    pub seconds: f64,
}

/// What a call compared, and what it lets pass.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub suites: Vec<Suite>,
    pub rules: Rules,
}

impl Answer {
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.suites.iter().flat_map(|suite| &suite.rows)
    }

    pub fn exit(&self) -> Exit {
        self.rules.exit_of(self.rows())
    }

    /// How many rows are of a tier.
    pub fn count(&self, tier: Tier) -> usize {
        self.rows().filter(|row| row.tier == tier).count()
    }

    /// The rows that do not pass with their suites, in the order of the tiers.
    fn failing(&self) -> Vec<(&Suite, &Row)> {
        let rows = self.suites.iter().flat_map(|suite| suite.rows.iter().map(move |row| (suite, row)));
        let mut failing: Vec<_> = rows.filter(|(_, row)| !self.rules.passes(row.tier)).collect();
        failing.sort_by_key(|(_, row)| row.tier);
        failing
    }
}

/// What the tests of all forms show.
#[cfg(test)]
mod samples {
    use dygl_spec::metric::Metric;

    use super::super::verdict::{Bounds, Moved};
    use super::*;

    /// One row of each tier; the cell's name must be escaped everywhere.
    pub fn answer() -> Answer {
        let name = "a <b>&\" | 100%\nc";
        let row = |tier: Tier| match tier {
            Tier::Worse | Tier::Better | Tier::OtherNumerics | Tier::Held | Tier::Identical => Row {
                metric: Some(Metric::Dice),
                accepted: Some(0.5),
                found: Some(0.48),
                allowed: Some(0.01),
                interval: Some(Bounds { low: -0.03, high: -0.01, level: 0.9 }),
                moved: vec![Moved { image: "x".into(), accepted: 0.5, found: 0.1 }],
                ..Row::without_number(name, tier, "because", Some(12))
            },
            Tier::Missing => Row::without_number(name, tier, "never run", Some(3)),
            Tier::Unknown => Row::without_number(name, tier, "nothing was accepted for it", None),
            _ => Row::without_number(name, tier, "because", Some(3)),
        };
        let rows = Tier::ALL.into_iter().map(row).collect();
        Answer { suites: vec![suite("smoke", rows)], rules: Rules::default() }
    }

    pub fn suite(experiment: &str, rows: Vec<Row>) -> Suite {
        Suite {
            experiment: experiment.to_owned(),
            lock: Some(format!("experiments/{experiment}.lock.toml")),
            rows,
            properties: vec![
                ("commit", "35ce58c0".into()),
                ("numerics", "flex".into()),
                ("simd", "avx2".into()),
            ],
            seconds: 12.5,
        }
    }

    /// So many cells that were never run.
    pub fn missing(count: usize) -> Answer {
        let row = |i| Row::without_number(&format!("cell {i}"), Tier::Missing, "never run", Some(i + 1));
        Answer { suites: vec![suite("table2", (0..count).map(row).collect())], rules: Rules::default() }
    }
}
