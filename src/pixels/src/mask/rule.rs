//! The rule of a dataset's masks, as manifests, records and arguments state it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How stored mask values become foreground.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MaskRule {
    /// Grey values; foreground is `> above` on the scale 0..=255.
    Grey {
        /// The greatest grey that is background, 0..=254.
        above: u8,
    },
    /// The alpha channel instead of the colours; foreground is `> above` on the
    /// scale 0..=255.
    Alpha {
        /// The greatest alpha that is background, 0..=254.
        above: u8,
    },
    /// Labels of objects, of any depth; foreground is `> 0`.
    Instances,
}

/// A text that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no rule for masks{}; write it as a manifest does, {{ kind = \"grey\", above = 127 }}, \
     {{ kind = \"alpha\", above = 127 }} or {{ kind = \"instances\" }}, or in words: `grey > 127`, `alpha > 127`, \
     `instances`", .why.as_ref().map_or_else(String::new, |why| format!(" ({why})"))
)]
pub struct RuleError {
    text: String,
    why: Option<String>,
}

impl MaskRule {
    /// The rule of masks that are drawn as levels.
    pub const OF_LEVELS: Self = MaskRule::Grey { above: super::HALF };

    /// The rule as a line of a manifest.
    pub fn line(self) -> String {
        match self {
            MaskRule::Grey { above } => format!("mask = {{ kind = \"grey\", above = {above} }}"),
            MaskRule::Alpha { above } => format!("mask = {{ kind = \"alpha\", above = {above} }}"),
            MaskRule::Instances => "mask = { kind = \"instances\" }".to_owned(),
        }
    }

    /// The greatest value that is background, on the scale 0..=255.
    pub(super) fn above(self) -> u8 {
        match self {
            MaskRule::Grey { above } | MaskRule::Alpha { above } => above,
            MaskRule::Instances => 0,
        }
    }

    /// Why no value can be foreground under the rule.
    pub fn contradiction(self) -> Option<String> {
        (self.above() == u8::MAX).then(|| {
            let most = u8::MAX - 1;
            format!("`{self}` marks nothing: no value is greater; the greatest `above` is {most}")
        })
    }
}

/// In words, as digests and records have it: `grey > 127`, `instances > 0`.
impl fmt::Display for MaskRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            MaskRule::Grey { .. } => "grey",
            MaskRule::Alpha { .. } => "alpha",
            MaskRule::Instances => "instances",
        };
        write!(f, "{kind} > {}", self.above())
    }
}

/// From words, or from the table that manifests hold (with `mask =` or without).
impl FromStr for MaskRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let error = |why: Option<String>| RuleError { text: text.to_owned(), why };
        let rule = if text.contains('{') {
            #[derive(Deserialize)]
            struct Line {
                mask: MaskRule,
            }
            let line = text.trim();
            let line = if line.starts_with('{') { format!("mask = {line}") } else { line.to_owned() };
            let told = |e: &toml::de::Error| e.message().lines().next().unwrap_or_default().to_owned();
            toml::from_str::<Line>(&line).map_err(|e| error(Some(told(&e))))?.mask
        } else {
            let (kind, above) = text.split_once('>').unwrap_or((text, ""));
            let above = match above.trim() {
                "" => None,
                number => Some(number.parse::<u8>().map_err(|_| {
                    error(Some(format!("`{number}` is no whole number from 0 to {}", u8::MAX - 1)))
                })?),
            };
            match (kind.trim(), above) {
                ("grey", Some(above)) => MaskRule::Grey { above },
                ("alpha", Some(above)) => MaskRule::Alpha { above },
                ("instances", None | Some(0)) => MaskRule::Instances,
                _ => return Err(error(None)),
            }
        };
        match rule.contradiction() {
            Some(why) => Err(error(Some(why))),
            None => Ok(rule),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_back_from_words_and_from_a_line() {
        let rules = [
            MaskRule::Grey { above: 0 },
            MaskRule::Grey { above: 254 },
            MaskRule::Alpha { above: 127 },
            MaskRule::Instances,
        ];
        for rule in rules {
            assert_eq!(rule.to_string().parse(), Ok(rule));
            assert_eq!(rule.line().parse(), Ok(rule));
            assert_eq!(rule.line().trim_start_matches("mask = ").parse(), Ok(rule));
        }
        assert_eq!("instances".parse(), Ok(MaskRule::Instances));
    }

    #[test]
    fn what_is_no_rule_is_told_with_one_that_is() {
        for (text, why) in [
            ("gray > 127", "no rule"),
            ("grey > 300", "from 0 to 254"),
            ("grey > 255", "marks nothing"),
            ("grey", "no rule"),
            ("{ kind = \"grey\" }", "above"),
            ("{ kind = \"grey\", above = 300 }", "300"),
            ("instances > 3", "no rule"),
        ] {
            let error = text.parse::<MaskRule>().expect_err("refused").to_string();
            assert!(error.contains(why) && error.contains("grey > 127"), "{text}: {error}");
        }
    }
}
