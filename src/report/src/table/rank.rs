//! Best and second best of a column, decided on the digits that are printed:
//! two values that look the same are a tie, and two values that are means over
//! different images are not compared.

use super::basis::Basis;
use super::model::{Block, Emphasis};

/// Percent with two decimals.
pub(super) fn percent(value: f64) -> String {
    let text = format!("{:.2}", value * 100.0);
    // A tiny negative difference must not print as "-0.00".
    if text == "-0.00" { "0.00".to_owned() } else { text }
}

/// The printed digits as an integer: `91.34` -> 9134. None for anything that
/// is not one plain number.
fn digits(printed: &str) -> Option<i64> {
    let (whole, fraction) = printed.split_once('.')?;
    let sign = if whole.starts_with('-') { -1 } else { 1 };
    let whole: i64 = whole.trim_start_matches('-').parse().ok()?;
    let fraction: i64 = (fraction.len() == 2).then(|| fraction.parse().ok())??;
    Some(sign * (whole * 100 + fraction))
}

/// Emphasis of each printed value; `None` takes no part. All that tie for the
/// highest are best; all that print the next lower value are second. A single
/// value has nothing to be better than.
pub(super) fn rank(printed: &[Option<String>]) -> Vec<Emphasis> {
    let values: Vec<Option<i64>> = printed.iter().map(|p| p.as_deref().and_then(digits)).collect();
    let best = values.iter().flatten().max().copied();
    let second = values.iter().flatten().filter(|v| Some(**v) < best).max().copied();
    let contested = values.iter().flatten().count() > 1;
    values
        .into_iter()
        .map(|value| match value {
            Some(_) if contested && value == best => Emphasis::Best,
            Some(_) if contested && value == second => Emphasis::Second,
            _ => Emphasis::None,
        })
        .collect()
}

/// A number of a column.
#[derive(Debug)]
pub(super) struct Standing<'a> {
    /// As printed.
    pub(super) digits: String,
    pub(super) basis: Basis<'a>,
    /// Images behind it, in words.
    pub(super) n: String,
    pub(super) role: Role,
}

/// What a line is among the others of its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Row,
    /// One fold of a cross-validation, which has a line of its own.
    Fold,
    /// The mean over folds.
    Mean,
}

/// Writes the emphasis of one column into its cells, and the number of images beside
/// each value where they have different numbers. `standing` runs over the rows of all
/// groups in order; what has no number takes no part. Folds are not compared with
/// each other but by their mean. Returns whether the numbers could be compared: means
/// over other images are not.
pub(super) fn apply(block: &mut Block, column: usize, standing: &[Option<Standing<'_>>]) -> bool {
    let compared = |one: &&Standing<'_>| one.role != Role::Fold;
    let mut bases = standing.iter().flatten().filter(compared).map(|one| &one.basis);
    let first = bases.next();
    let is_fair = bases.all(|basis| Some(basis) == first);
    let printed: Vec<Option<String>> = standing
        .iter()
        .map(|one| one.as_ref().filter(|one| is_fair && compared(one)).map(|one| one.digits.clone()))
        .collect();
    let mut counts: Vec<(bool, &str)> =
        standing.iter().flatten().map(|one| (one.role == Role::Mean, one.n.as_str())).collect();
    counts.sort_unstable();
    counts.dedup();
    // A mean over folds has as many images as its folds together.
    let is_uneven = counts.windows(2).any(|pair| pair[0].0 == pair[1].0);
    let cells = block.groups.iter_mut().flat_map(|g| &mut g.rows).filter_map(|r| r.cells.get_mut(column));
    for ((cell, emphasis), standing) in cells.zip(rank(&printed)).zip(standing) {
        cell.emphasis = emphasis;
        if let Some(standing) = standing.as_ref().filter(|_| is_uneven) {
            cell.text.push_str(&format!(", n = {}", standing.n));
        }
    }
    is_fair
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(values: &[&str]) -> Vec<Emphasis> {
        let printed: Vec<_> = values.iter().map(|v| Some((*v).to_owned())).collect();
        rank(&printed)
    }

    #[test]
    fn ties_are_decided_on_the_printed_digits() {
        use Emphasis::{Best, None, Second};
        assert_eq!(percent(0.913_44), percent(0.913_36));
        assert_eq!(
            ranked(&["91.34", "90.00", "91.34", "90.00", "89.00"]),
            [Best, Second, Best, Second, None]
        );
        // 100 is above 99.99 although it sorts before it as text.
        assert_eq!(ranked(&["99.99", "100.00", "9.99"]), [Second, Best, None]);
    }

    #[test]
    fn nothing_is_best_alone() {
        assert_eq!(ranked(&["91.34"]), [Emphasis::None]);
        assert_eq!(rank(&[Some("91.34".into()), None, Some("failed".into())]), [Emphasis::None; 3]);
    }

    #[test]
    fn all_equal_means_all_best() {
        assert_eq!(ranked(&["80.00", "80.00"]), [Emphasis::Best; 2]);
    }

    #[test]
    fn no_negative_zero() {
        assert_eq!(percent(-0.000_001), "0.00");
        assert_eq!(digits("-1.50"), Some(-150));
        assert_eq!(digits("NaN"), None);
    }
}
