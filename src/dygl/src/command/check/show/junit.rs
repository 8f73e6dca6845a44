//! JUnit's XML, as CI systems read it: a suite for each experiment.

use std::fmt::Write as _;

use dygl_spec::metric::Metric;

use super::super::verdict::{Row, Rules, Tier};
use super::{Answer, Suite};

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Passed,
    Failure,
    Error,
    Skipped,
}

impl End {
    fn of(row: &Row, rules: Rules) -> Self {
        match row.tier {
            tier if rules.passes(tier) => End::Passed,
            Tier::Altered | Tier::Failed => End::Error,
            // What was accepted and is not in the experiment, or is not comparable,
            // was not left out by anybody's wish.
            Tier::Missing if row.is_gone || row.metric.is_some() => End::Failure,
            Tier::Unknown if row.line.is_some() => End::Failure,
            Tier::Missing | Tier::Unknown | Tier::Stale => End::Skipped,
            _ => End::Failure,
        }
    }
}

/// The whole answer as JUnit's XML.
pub fn junit(answer: &Answer) -> String {
    let all: Vec<&Suite> = answer.suites.iter().collect();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(xml, "<testsuites name=\"dygl check\"{}>", counts(&all, answer.rules));
    for suite in &answer.suites {
        write_suite(&mut xml, suite, answer.rules);
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn counts(suites: &[&Suite], rules: Rules) -> String {
    let rows = || suites.iter().flat_map(|suite| &suite.rows);
    let of = |end: End| rows().filter(|row| End::of(row, rules) == end).count();
    let seconds: f64 = suites.iter().map(|suite| suite.seconds).sum();
    format!(
        " tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{seconds:.3}\"",
        rows().count(),
        of(End::Failure),
        of(End::Error),
        of(End::Skipped)
    )
}

fn write_suite(xml: &mut String, suite: &Suite, rules: Rules) {
    let _ = writeln!(xml, "  <testsuite name=\"{}\"{}>", escape(&suite.experiment), counts(&[suite], rules));
    if !suite.properties.is_empty() {
        xml.push_str("    <properties>\n");
        for (name, value) in &suite.properties {
            let _ = writeln!(xml, "      <property name=\"{name}\" value=\"{}\"/>", escape(value));
        }
        xml.push_str("    </properties>\n");
    }
    for row in &suite.rows {
        let name = row.metric.map_or("result", Metric::name);
        let _ = write!(xml, "    <testcase classname=\"{}\" name=\"{name}\"", escape(&row.cell));
        let (tier, message) = (row.tier.word(), escape(&message(row)));
        match End::of(row, rules) {
            End::Passed => xml.push_str("/>\n"),
            End::Failure => {
                let _ = writeln!(xml, "><failure type=\"{tier}\" message=\"{message}\"/></testcase>");
            }
            End::Error => {
                let _ = writeln!(xml, "><error type=\"{tier}\" message=\"{message}\"/></testcase>");
            }
            End::Skipped => {
                let _ = writeln!(xml, "><skipped message=\"{message}\"/></testcase>");
            }
        }
    }
    xml.push_str("  </testsuite>\n");
}

fn message(row: &Row) -> String {
    if row.metric.is_some() { row.describe() } else { row.reason.clone() }
}

/// Text for an attribute. What XML cannot hold at all is replaced.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            '\0'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::samples;
    use super::*;

    #[test]
    fn every_tier_has_its_element() {
        let xml = junit(&samples::answer());
        let expected = "tests=\"10\" failures=\"2\" errors=\"2\" skipped=\"3\" time=\"12.500\"";
        assert_eq!(xml.matches(expected).count(), 2, "{xml}");
        for part in [
            "<testsuite name=\"smoke\"",
            "<property name=\"commit\" value=\"35ce58c0\"/>",
            "<property name=\"simd\" value=\"avx2\"/>",
            "classname=\"a &lt;b&gt;&amp;&quot; | 100%&#10;c\" name=\"dice\"",
            "<failure type=\"worse\" message=\"a &lt;b",
            "<failure type=\"better\"",
            "<error type=\"altered\"",
            "<error type=\"failed\"",
            "<skipped message=\"never run\"/>",
        ] {
            assert!(xml.contains(part), "{part} is missing in\n{xml}");
        }
    }

    #[test]
    fn what_fails_depends_on_the_rules() {
        let mut answer = samples::answer();
        answer.rules = Rules { identical: true, better: true };
        let xml = junit(&answer);
        assert!(xml.contains("<failure type=\"held\"") && xml.contains("<failure type=\"other-numerics\""));
        assert!(!xml.contains("<failure type=\"better\""), "{xml}");
    }

    #[test]
    fn a_cell_that_left_the_experiment_is_a_failure() {
        let mut answer = samples::missing(2);
        answer.suites[0].rows[0].is_gone = true;
        let xml = junit(&answer);
        assert!(xml.contains("failures=\"1\" errors=\"0\" skipped=\"1\""), "{xml}");
        assert!(xml.contains("<failure type=\"missing\" message=\"never run\"/>"), "{xml}");
    }

    #[test]
    fn it_is_well_formed() {
        let mut answer = samples::answer();
        answer.suites[0].rows[0].reason = "\u{1b}[31m\u{0}\u{ffff}".into();
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("junit.xml");
        std::fs::write(&path, junit(&answer)).expect("written");
        // Whichever reader of XML is here; none is needed to build.
        let script = "import sys, xml.dom.minidom as m; m.parse(sys.argv[1])";
        let readers = [("xmllint", vec!["--noout"]), ("python3", vec!["-c", script])];
        for (program, arguments) in readers {
            match Command::new(program).args(arguments).arg(&path).output() {
                Ok(output) => {
                    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                }
                Err(_) => println!("skipped: {program} is not here"),
            }
        }
    }
}
