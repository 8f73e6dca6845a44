//! The whole table as Markdown: for GitHub's summary, and for other CI systems.

use dygl_spec::metric::Metric;

use super::super::verdict::{Row, percent, points};
use super::{Answer, counts};

/// Every comparison, the worst first. At most `limit` bytes, where there is a limit;
/// then a line says how many rows were cut.
pub fn markdown(answer: &Answer, limit: Option<usize>) -> String {
    let exit = answer.exit() as u8;
    let mut out = format!("## dygl check\n\n{} (exit code {exit})\n", counts(answer));
    // Room for the sentence that says what was cut.
    let limit = limit.map_or(usize::MAX, |limit| limit.saturating_sub(100));
    let (mut cut, total) = (0, answer.rows().count());
    for suite in &answer.suites {
        let lock = suite.lock.as_ref().map_or(String::new(), |lock| format!(" against `{lock}`"));
        let head = format!(
            "\n### {}{lock}\n\n| verdict | cell | score | accepted | found | difference | allowed | remark |\n\
             |---|---|---|---:|---:|---:|---:|---|\n",
            cell(&suite.experiment)
        );
        if out.len() + head.len() <= limit {
            out.push_str(&head);
        }
        for row in &suite.rows {
            let line = line(row);
            // Once one is cut, so is all that follows.
            if cut > 0 || out.len() + line.len() > limit {
                cut += 1;
            } else {
                out.push_str(&line);
            }
        }
    }
    if cut > 0 {
        out.push_str(&format!("\n{cut} of {total} rows were cut to keep this short.\n"));
    }
    out
}

fn line(row: &Row) -> String {
    let score = |score: Option<f64>| score.map_or_else(String::new, percent);
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
        row.tier.word(),
        cell(&row.cell),
        row.metric.map_or("", Metric::label),
        score(row.accepted),
        score(row.found),
        row.delta().map_or_else(String::new, points),
        score(row.allowed),
        cell(&row.reason)
    )
}

/// Text that stays in its cell and is no markup.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '~' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn the_table_holds_every_row_and_nothing_breaks_out() {
        let text = markdown(&samples::answer(), None);
        assert!(text.starts_with("## dygl check\n\n10 scores: 1 identical,"), "{text}");
        assert!(
            text.contains("(exit code 5)")
                && text.contains("### smoke against `experiments/smoke.lock.toml`")
        );
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).collect();
        assert_eq!(rows.len(), 11);
        assert_eq!(
            rows[2],
            "| worse | a &lt;b&gt;&amp;\" \\| 100% c | Dice | 50.00 | 48.00 | -2.00 | 1.00 | because |"
        );
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let answer = samples::missing(500);
        let text = markdown(&answer, Some(4_000));
        assert!(text.len() <= 4_000, "{}", text.len());
        let rows = text.lines().filter(|line| line.starts_with("| missing ")).count();
        assert!(
            rows > 10
                && text.ends_with(&format!("{} of 500 rows were cut to keep this short.\n", 500 - rows))
        );
        assert_eq!(
            markdown(&answer, None).lines().filter(|line| line.starts_with("| missing ")).count(),
            500
        );
    }
}
