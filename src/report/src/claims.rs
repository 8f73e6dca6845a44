//! The page of a paper's audit: one self-contained file, and everything found as
//! JSON beside it.

use std::path::{Path, PathBuf};

use dygl_paper::{Audit, Finding, General, Held, Severity, Topic, Unchecked};
use serde::Serialize;

use super::{ReportError, STYLE, write};

const TEMPLATE: &str = include_str!("../../../reports/templates/claims.html");
const OWN_STYLE: &str = include_str!("../../../reports/assets/claims.css");
/// The ending makes tera escape every value that is not marked safe.
const PAGE: &str = "index.html";

#[derive(Debug, Serialize)]
struct Page<'a> {
    title: String,
    question: &'a str,
    facts: Vec<(&'static str, String)>,
    severities: Vec<(&'static str, &'static str, usize)>,
    topics: Vec<TopicView<'a>>,
    unchecked: &'a [Unchecked],
    held: &'a [Held],
    general: &'a [General],
    /// Findings of all of `general`.
    found_without: usize,
    alone: usize,
    generated_by: &'a str,
}

/// A topic with its findings; shown in the overview also where nothing was found.
#[derive(Debug, Serialize)]
struct TopicView<'a> {
    title: &'static str,
    anchor: String,
    /// `2 contradictions, 1 ambiguity`.
    counts: String,
    /// `bad`, `odd` or `fine`; a class of the style sheet.
    class: &'static str,
    findings: Vec<FindingView<'a>>,
}

#[derive(Debug, Serialize)]
struct FindingView<'a> {
    anchor: String,
    class: &'static str,
    severity: &'static str,
    /// Anchor of the finding whose details are the same.
    same_as: Option<String>,
    finding: &'a Finding,
}

/// Writes `index.html` and `audit.json` into a folder, the page last. Returns the
/// path of the page.
///
/// # Errors
/// A file cannot be written.
pub fn render(audit: &Audit, out: &Path, generated_by: &str) -> Result<PathBuf, ReportError> {
    let mut tera = tera::Tera::default();
    tera.add_raw_templates([super::HEAD, (PAGE, TEMPLATE)])?;
    let mut context = tera::Context::from_serialize(page(audit, generated_by))?;
    context.insert("style", &format!("{STYLE}{OWN_STYLE}"));
    let html = tera.render(PAGE, &context)?;
    let json = serde_json::to_string_pretty(audit).map_err(tera::Error::json)?;
    write::folder(out)?;
    write::file(out, "audit.json", &json)?;
    write::file(out, PAGE, &html)
}

fn page<'a>(audit: &'a Audit, generated_by: &'a str) -> Page<'a> {
    let facts = vec![
        ("Sentences", audit.sentences.to_string()),
        ("Checks", audit.checks.to_string()),
        ("Held", audit.held.len().to_string()),
        ("Findings", audit.findings.len().to_string()),
        ("Not checked", audit.unchecked.len().to_string()),
        ("Findings of sentences", audit.of_sentences().to_string()),
        ("Findings without one", (audit.findings.len() - audit.of_sentences()).to_string()),
    ];
    Page {
        title: "Does the paper agree with itself?".to_owned(),
        question: &audit.title,
        facts,
        severities: Severity::ALL
            .iter()
            .map(|severity| (severity.word(), severity.meaning(), audit.count(*severity)))
            .filter(|(_, _, count)| *count > 0)
            .collect(),
        topics: Topic::ALL.iter().map(|topic| view(audit, *topic)).collect(),
        unchecked: &audit.unchecked,
        held: &audit.held,
        general: &audit.general,
        found_without: audit.general.iter().map(|general| general.found).sum(),
        alone: audit.alone,
        generated_by,
    }
}

fn view(audit: &Audit, topic: Topic) -> TopicView<'_> {
    let findings: Vec<FindingView<'_>> = audit
        .of(topic)
        .map(|finding| FindingView {
            anchor: anchor(&finding.id),
            class: class(Some(finding.severity)),
            severity: finding.severity.word(),
            same_as: finding.same_as.as_deref().map(anchor),
            finding,
        })
        .collect();
    let counts: Vec<String> = Severity::ALL
        .iter()
        .map(|severity| (severity, audit.of(topic).filter(|f| f.severity == *severity).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(severity, count)| format!("{} {count}", severity.word()))
        .collect();
    TopicView {
        title: topic.title(),
        anchor: anchor(topic.title()),
        counts: counts.join(", "),
        class: class(audit.of(topic).map(|finding| finding.severity).min()),
        findings,
    }
}

fn class(severity: Option<Severity>) -> &'static str {
    match severity {
        Some(Severity::Contradiction) => "bad",
        Some(_) => "odd",
        None => "fine",
    }
}

/// An id as a page can carry it: other characters than letters and digits become `-`.
fn anchor(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use dygl_paper::{Claims, audit};
    use dygl_spec::reported;

    use super::*;

    fn sample() -> Audit {
        let reported = reported::embedded().expect("readable");
        audit(&Claims::embedded(reported).expect("readable"), reported, None).expect("complete")
    }

    fn html(audit: &Audit) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("new");
        let page = render(audit, &out, "dygl <test>").expect("rendered");
        let json = std::fs::read_to_string(out.join("audit.json")).expect("written");
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["findings"].as_array().expect("a list").len(), audit.findings.len());
        std::fs::read_to_string(page).expect("written")
    }

    #[test]
    fn the_page_is_self_contained_and_its_links_lead_somewhere() {
        let text = html(&sample());
        let outside =
            regex::Regex::new(r#"(src|href)="(https?:|//|/)|url\(|<script|@import"#).expect("valid");
        assert!(!outside.is_match(&text));
        let links = regex::Regex::new(r##" href="#([^"]+)""##).expect("valid");
        assert!(links.captures_iter(&text).count() >= Topic::ALL.len() - 1);
        for link in links.captures_iter(&text) {
            assert!(text.contains(&format!(" id=\"{}\"", &link[1])), "{} leads nowhere", &link[1]);
        }
        let ids = regex::Regex::new(r#" id="([^"]+)""#).expect("valid");
        let mut all: Vec<&str> =
            ids.captures_iter(&text).filter_map(|c| c.get(1)).map(|m| m.as_str()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "an id is given twice");
    }

    #[test]
    fn every_finding_is_on_the_page_with_what_it_says() {
        let audit = sample();
        let text = html(&audit);
        assert_eq!(text.matches("<article").count(), audit.findings.len());
        assert!(text.contains("1089 + 137 + 138 = 1364"));
    }

    /// What a reader adds up: the checks of the head, the findings by weight, by topic and by
    /// where they come from.
    #[test]
    fn the_page_adds_up() {
        let audit = sample();
        let text = html(&audit);
        let fact = |name: &str| -> usize {
            let (_, rest) = text.split_once(&format!("<dt>{name}</dt><dd>")).expect("a fact");
            rest.split('<').next().expect("a number").parse().expect("a number")
        };
        let all = ["Held", "Findings", "Not checked"].map(fact);
        assert_eq!(fact("Checks"), all.iter().sum::<usize>());
        assert_eq!(fact("Findings"), fact("Findings of sentences") + fact("Findings without one"));
        assert!(
            text.contains(&format!(
                "<td class=\"number\">{}</td></tr></tfoot>",
                fact("Findings without one")
            ))
        );
        let numbers = |pattern: &str| -> usize {
            let pattern = regex::Regex::new(pattern).expect("valid");
            pattern.captures_iter(&text).filter_map(|c| c[1].parse::<usize>().ok()).sum()
        };
        assert_eq!(numbers(r#"<b>[a-z]+</b> \((\d+)\)"#), audit.findings.len());
        assert_eq!(numbers(r#"<span class="pill">(\d+)</span>"#), audit.findings.len());
        assert_eq!(text.matches("<article").count(), audit.findings.len());
    }

    #[test]
    fn everything_from_outside_is_escaped() {
        let evil = "<img src=x onerror=alert(1)>\"'&";
        let mut audit = sample();
        audit.title = evil.into();
        audit.findings[0].quote = evil.into();
        audit.findings[0].says = evil.into();
        audit.findings[0].details = vec![evil.into()];
        audit.findings[0].same_as = None;
        audit.findings[0].place = evil.into();
        audit.held[0].quote = evil.into();
        audit.unchecked[0].why = evil.into();
        assert!(!html(&audit).contains("<img src=x"));
    }

    /// Writes the page for a person to look at: set `DYGL_REPORT_PREVIEW` to a folder.
    #[test]
    fn preview() {
        let Ok(folder) = std::env::var("DYGL_REPORT_PREVIEW") else {
            println!("skipped: DYGL_REPORT_PREVIEW is not set");
            return;
        };
        render(&sample(), &Path::new(&folder).join("paper-audit"), "dygl").expect("rendered");
    }
}
