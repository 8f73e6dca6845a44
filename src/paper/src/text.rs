//! What was found, as text for a terminal.

use std::fmt::Write as _;

use super::{Audit, Finding, Severity, Topic};

/// Width of a line of the text.
const WIDTH: usize = 100;

/// The whole answer; `all` also lists what held.
pub fn text(audit: &Audit, all: bool) -> String {
    let mut text = format!("{}\n", audit.title);
    let _ = writeln!(
        text,
        "{} sentences, {} checks: {} held, {}{}",
        audit.sentences,
        audit.checks,
        audit.held.len(),
        counts(audit),
        match audit.unchecked.len() {
            0 => String::new(),
            several => format!(", {several} not checked"),
        }
    );
    for topic in Topic::ALL {
        let found: Vec<&Finding> = audit.of(topic).collect();
        if found.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n{} ({})", topic.title(), found.len());
        found.into_iter().for_each(|found| finding(&mut text, found));
    }
    if !audit.unchecked.is_empty() {
        let _ = writeln!(text, "\nNot checked ({})", audit.unchecked.len());
        for one in &audit.unchecked {
            let _ = writeln!(text, "  {}: {} ({})", one.id, one.why, one.place);
        }
    }
    if all {
        let _ = writeln!(text, "\nHeld ({})", audit.held.len());
        for one in &audit.held {
            paragraph(&mut text, 2, &format!("{}: {}", one.id, one.says));
        }
    }
    let _ = writeln!(text, "\nWithout a sentence");
    for general in &audit.general {
        let _ = writeln!(text, "  {}: {} examined, {} found", general.name, general.examined, general.found);
    }
    if audit.alone > 0 {
        let _ = writeln!(text, "  {} quantities are stated once; nothing holds them against", audit.alone);
    }
    text
}

/// `3 contradictions`, for the heaviest kinds first.
pub fn counts(audit: &Audit) -> String {
    let counted = Severity::ALL.map(|severity| (severity, audit.count(severity)));
    let words: Vec<String> = counted
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(severity, count)| format!("{count} {}", plural(severity, count)))
        .collect();
    if words.is_empty() { "nothing found".to_owned() } else { words.join(", ") }
}

fn plural(severity: Severity, count: usize) -> &'static str {
    match (severity, count) {
        (_, 1) | (Severity::Unsupported, _) => severity.word(),
        (Severity::Contradiction, _) => "contradictions",
        (Severity::Overstatement, _) => "overstatements",
        (Severity::Ambiguity, _) => "ambiguities",
        (Severity::Coincidence, _) => "coincidences",
        (Severity::Spelling, _) => "spellings",
    }
}

fn finding(text: &mut String, finding: &Finding) {
    let _ = writeln!(text, "\n  {}  {}  [{}]", finding.severity.word(), finding.place, finding.id);
    if !finding.quote.is_empty() {
        paragraph(text, 4, &format!("\"{}\"", finding.quote));
    }
    paragraph(text, 4, &finding.says);
    if let Some(id) = &finding.same_as {
        paragraph(text, 6, &format!("- as [{id}]"));
        return;
    }
    finding.details.iter().for_each(|detail| paragraph(text, 6, &format!("- {detail}")));
}

/// Words in lines of at most [`WIDTH`] characters, all but the first a little further in.
fn paragraph(text: &mut String, indent: usize, words: &str) {
    let mut line = " ".repeat(indent);
    let mut is_empty = true;
    for word in words.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = " ".repeat(indent + 2);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    text.push_str(&line);
    text.push('\n');
}
