//! What a comparison comes to: its tier, the row that shows it, the exit code.

use dygl_base::exit::Exit;
use dygl_spec::metric::Metric;
use dygl_spec::plan::Settings;
use serde::{Serialize, Serializer};

/// How a result stands to what was accepted or published, in the order of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    Altered,
    Worse,
    Better,
    Failed,
    Missing,
    Stale,
    /// Within the tolerance of what another numerics class computed.
    OtherNumerics,
    /// Nothing comparable was accepted or published for it.
    Unknown,
    Held,
    /// Every image has its accepted score, to the last bit.
    Identical,
}

impl Tier {
    pub const ALL: [Tier; 10] = [
        Tier::Altered,
        Tier::Worse,
        Tier::Better,
        Tier::Failed,
        Tier::Missing,
        Tier::Stale,
        Tier::OtherNumerics,
        Tier::Unknown,
        Tier::Held,
        Tier::Identical,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Tier::Altered => "altered",
            Tier::Worse => "worse",
            Tier::Better => "better",
            Tier::Failed => "failed",
            Tier::Missing => "missing",
            Tier::Stale => "stale",
            Tier::OtherNumerics => "other-numerics",
            Tier::Unknown => "unknown",
            Tier::Held => "held",
            Tier::Identical => "identical",
        }
    }
}

impl Serialize for Tier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// What a call lets pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// Nothing but identical results.
    pub identical: bool,
    /// Results that are better by more than their tolerance.
    pub better: bool,
}

impl Rules {
    /// The exit code that a result of this tier asks for.
    pub fn exit(self, tier: Tier) -> Exit {
        match tier {
            Tier::Altered => Exit::Altered,
            Tier::Worse => Exit::Regressed,
            Tier::Better if self.better => Exit::Ok,
            Tier::Better => Exit::Regressed,
            Tier::Failed => Exit::Failed,
            Tier::Missing | Tier::Unknown => Exit::Missing,
            Tier::Stale => Exit::Stale,
            Tier::OtherNumerics | Tier::Held if self.identical => Exit::Regressed,
            Tier::OtherNumerics | Tier::Held | Tier::Identical => Exit::Ok,
        }
    }

    pub fn passes(self, tier: Tier) -> bool {
        self.exit(tier) == Exit::Ok
    }

    /// The exit code of all: that of the worst tier. Where nothing was compared, nothing
    /// holds.
    pub fn exit_of<'a>(self, rows: impl IntoIterator<Item = &'a Row>) -> Exit {
        // Altered bytes first, then scores that moved, then what is not there.
        const ORDER: [Exit; 5] = [Exit::Altered, Exit::Regressed, Exit::Failed, Exit::Missing, Exit::Stale];
        let exits: Vec<Exit> = rows.into_iter().map(|row| self.exit(row.tier)).collect();
        if exits.is_empty() {
            return Exit::Missing;
        }
        ORDER.into_iter().find(|exit| exits.contains(exit)).unwrap_or(Exit::Ok)
    }
}

/// One score against what it should be, or one cell that has none.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub cell: String,
    /// The label of the cell's row in tables; of a cell that is gone its network.
    pub label: String,
    /// The settings that tell the cell apart, by path.
    pub settings: Settings,
    pub metric: Option<Metric>,
    pub accepted: Option<f64>,
    pub found: Option<f64>,
    /// How far it may move.
    pub allowed: Option<f64>,
    pub tier: Tier,
    /// Of the mean difference by image, where the images were accepted, too.
    pub interval: Option<Bounds>,
    /// Images that moved by more than ten points, the farthest first.
    pub moved: Vec<Moved>,
    /// Why, for people; may be empty.
    pub reason: String,
    /// Where in the lock the accepted value stands, from 1.
    pub line: Option<usize>,
    /// Whether the cell is in the lock and not in the experiment.
    pub is_gone: bool,
}

/// An interval with its level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    pub low: f64,
    pub high: f64,
    pub level: f64,
}

/// The score of an image that moved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moved {
    pub image: String,
    pub accepted: f64,
    pub found: f64,
}

impl Row {
    /// A cell without a number.
    pub fn without_number(cell: &str, tier: Tier, reason: impl Into<String>, line: Option<usize>) -> Self {
        Self {
            cell: cell.to_owned(),
            label: String::new(),
            settings: Settings::new(),
            metric: None,
            accepted: None,
            found: None,
            allowed: None,
            tier,
            interval: None,
            moved: Vec::new(),
            reason: reason.into(),
            line,
            is_gone: false,
        }
    }

    pub fn delta(&self) -> Option<f64> {
        Some(self.found? - self.accepted?)
    }

    /// One line without the tier: `CELL: Dice 60.00 (accepted 61.53, -1.53, allowed +-1.00); why`.
    pub fn describe(&self) -> String {
        let Some(metric) = self.metric else { return format!("{}: {}", self.cell, self.reason) };
        let mut compared = Vec::new();
        if let Some(accepted) = self.accepted {
            compared.push(format!("accepted {}", percent(accepted)));
        }
        compared.extend(self.delta().map(points));
        compared.extend(self.allowed.map(|allowed| format!("allowed +-{}", percent(allowed))));
        let found = self.found.map_or_else(|| "-".to_owned(), percent);
        let reason = if self.reason.is_empty() { String::new() } else { format!("; {}", self.reason) };
        format!("{}: {} {found} ({}){reason}", self.cell, metric.label(), compared.join(", "))
    }
}

/// A score in 0..1 as the tables print it.
pub fn percent(score: f64) -> String {
    if score.is_finite() { format!("{:.2}", 100.0 * score) } else { "no number".to_owned() }
}

/// A difference of scores in points, with its sign.
pub fn points(difference: f64) -> String {
    if !difference.is_finite() {
        return "no number".to_owned();
    }
    let text = format!("{:+.2}", 100.0 * difference);
    // Nothing has no sign.
    if ["+0.00", "-0.00"].contains(&text.as_str()) { "0.00".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(tiers: &[Tier]) -> Vec<Row> {
        tiers.iter().map(|tier| Row::without_number("a", *tier, "", None)).collect()
    }

    #[test]
    fn every_tier_has_its_exit_code() {
        let exits: Vec<u8> = Tier::ALL.iter().map(|tier| Rules::default().exit(*tier) as u8).collect();
        assert_eq!(exits, [5, 6, 6, 1, 7, 8, 0, 7, 0, 0]);
        let strict = Rules { identical: true, better: false };
        let exits: Vec<u8> = Tier::ALL.iter().map(|tier| strict.exit(*tier) as u8).collect();
        assert_eq!(exits, [5, 6, 6, 1, 7, 8, 6, 7, 6, 0]);
        let mild = Rules { identical: false, better: true };
        assert_eq!((mild.exit(Tier::Better), mild.exit(Tier::Worse)), (Exit::Ok, Exit::Regressed));
    }

    #[test]
    fn the_first_in_the_order_decides() {
        let exit = |tiers: &[Tier]| Rules::default().exit_of(&rows(tiers));
        assert_eq!(exit(&[Tier::Held, Tier::Identical, Tier::OtherNumerics]), Exit::Ok);
        assert_eq!(exit(&[Tier::Missing, Tier::Worse, Tier::Altered]), Exit::Altered);
        assert_eq!(exit(&[Tier::Unknown, Tier::Stale, Tier::Better]), Exit::Regressed);
        assert_eq!(exit(&[Tier::Stale, Tier::Failed]), Exit::Failed);
        assert_eq!(exit(&[Tier::Stale, Tier::Missing]), Exit::Missing);
        assert_eq!(exit(&[]), Exit::Missing);
    }

    #[test]
    fn differences_have_a_sign_unless_they_are_nothing() {
        let texts = [0.012_34, -0.1, 0.000_01, -0.000_01, -0.000_06, f64::NAN].map(points);
        assert_eq!(texts, ["+1.23", "-10.00", "0.00", "0.00", "-0.01", "no number"]);
    }

    #[test]
    fn the_order_of_reports_is_that_of_the_tiers() {
        let mut sorted = Tier::ALL;
        sorted.sort();
        assert_eq!(sorted, Tier::ALL);
    }
}
