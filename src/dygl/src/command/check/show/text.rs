//! Lines for people.

use super::super::verdict::{Row, Tier};
use super::{Answer, Suite};

/// What does not pass, and what passes but should be looked at; a line each.
pub fn text(answer: &Answer) -> String {
    let mut out = String::new();
    for suite in &answer.suites {
        for row in suite.rows.iter().filter(|row| !answer.rules.passes(row.tier) || is_worth_a_look(row)) {
            out.push_str(&format!("{}: {}{}\n", row.tier.word(), row.describe(), place(suite, row)));
        }
    }
    out
}

fn place(suite: &Suite, row: &Row) -> String {
    match (&suite.lock, row.line) {
        (Some(lock), Some(line)) => format!(" [{lock}:{line}]"),
        _ => String::new(),
    }
}

fn is_worth_a_look(row: &Row) -> bool {
    match row.tier {
        Tier::Identical => false,
        Tier::Held => {
            let allowed = row.allowed.unwrap_or(f64::INFINITY);
            !row.moved.is_empty() || row.interval.is_some_and(|i| i.low < -allowed || i.high > allowed)
        }
        _ => true,
    }
}

/// `24 scores: 12 identical, 10 held, 2 worse`.
pub fn counts(answer: &Answer) -> String {
    let total = answer.rows().count();
    let found: Vec<String> = Tier::ALL
        .iter()
        .rev()
        .filter_map(|tier| match answer.count(*tier) {
            0 => None,
            count => Some(format!("{count} {}", tier.word())),
        })
        .collect();
    match found.is_empty() {
        true => "nothing to compare".to_owned(),
        false => format!("{total} {}: {}", if total == 1 { "score" } else { "scores" }, found.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_line_names_tier_cell_numbers_reason_and_place() {
        let answer = samples::answer();
        let shown = text(&answer);
        let worse = shown.lines().find(|line| line.starts_with("worse: ")).expect("a line");
        assert!(worse.starts_with("worse: a <b>&\" | 100%"), "{worse}");
        assert!(
            shown.contains("c: Dice 48.00 (accepted 50.00, -2.00, allowed +-1.00); because [experiments/smoke.lock.toml:12]"),
            "{shown}"
        );
        assert!(shown.contains("missing: ") && shown.contains("never run [experiments/smoke.lock.toml:3]"));
        assert!(shown.contains("held: ") && !shown.contains("identical: "), "{shown}");
    }

    #[test]
    fn counts_name_the_good_first() {
        let mut answer = samples::answer();
        let all = "10 scores: 1 identical, 1 held, 1 unknown, 1 other-numerics, 1 stale, 1 missing, 1 failed, \
                   1 better, 1 worse, 1 altered";
        assert_eq!(counts(&answer), all);
        answer.suites[0].rows.truncate(1);
        assert_eq!(counts(&answer), "1 score: 1 altered");
        answer.suites.clear();
        assert_eq!(counts(&answer), "nothing to compare");
    }
}
