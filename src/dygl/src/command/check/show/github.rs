//! GitHub's annotations and the summary of its step.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use super::{Answer, markdown};

/// GitHub shows ten annotations of a step; the last says how many there are more.
const SHOWN: usize = 9;
/// The summary of a step may have a mebibyte; others may write to it, too.
const SUMMARY_BYTES: u64 = 900 << 10;

/// One `::error` for each comparison that does not pass, the worst first, as far as
/// GitHub shows them.
pub fn annotations(answer: &Answer) -> Vec<String> {
    let failing = answer.failing();
    let mut lines: Vec<String> = failing
        .iter()
        .take(SHOWN)
        .map(|(suite, row)| {
            let mut properties = Vec::new();
            if let Some(lock) = &suite.lock {
                properties.push(format!("file={}", property(lock)));
                properties.extend(row.line.map(|line| format!("line={line}")));
            }
            properties.push(format!(
                "title={}",
                property(&format!("dygl check {}: {}", suite.experiment, row.tier.word()))
            ));
            format!("::error {}::{}", properties.join(","), message(&row.describe()))
        })
        .collect();
    if failing.len() > SHOWN {
        let more = failing.len() - SHOWN;
        lines.push(format!("::error title=dygl check::and {more} more, see the summary"));
    }
    lines
}

/// Adds the whole table to the summary of the step.
///
/// # Errors
/// The file cannot be written.
pub fn summary(answer: &Answer, path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let left = SUMMARY_BYTES.saturating_sub(file.metadata()?.len());
    file.write_all(markdown(answer, Some(left as usize)).as_bytes())
}

fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn an_annotation_points_into_the_lock_and_is_escaped() {
        let lines = annotations(&samples::answer());
        let tiers: Vec<&str> = lines
            .iter()
            .map(|line| line.split("%3A ").nth(1).and_then(|rest| rest.split("::").next()).expect("a title"))
            .collect();
        assert_eq!(tiers, ["altered", "worse", "better", "failed", "missing", "stale", "unknown"]);
        assert_eq!(
            lines[1],
            "::error file=experiments/smoke.lock.toml,line=12,title=dygl check smoke%3A worse::\
             a <b>&\" | 100%25%0Ac: Dice 48.00 (accepted 50.00, -2.00, allowed +-1.00); because"
        );
        assert!(lines[6].starts_with("::error file=experiments/smoke.lock.toml,title="), "{}", lines[6]);
        let mut odd = samples::missing(1);
        odd.suites[0].lock = Some("a:b,c%.toml".into());
        assert!(annotations(&odd)[0].contains("file=a%3Ab%2Cc%25.toml,line=1,"));
    }

    #[test]
    fn a_hundred_and_five_missing_cells_are_ten_annotations() {
        let lines = annotations(&samples::missing(105));
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[9], "::error title=dygl check::and 96 more, see the summary");
        assert_eq!(annotations(&samples::missing(9)).len(), 9);
        assert!(annotations(&samples::missing(0)).is_empty());
    }

    #[test]
    fn the_summary_is_added_and_keeps_within_its_bounds() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("summary.md");
        std::fs::write(&path, "# before\n").expect("written");
        summary(&samples::missing(30_000), &path).expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        assert!(text.starts_with("# before\n## dygl check\n") && text.contains(" of 30000 rows were cut"));
        assert!(text.len() as u64 <= SUMMARY_BYTES, "{}", text.len());
    }
}
