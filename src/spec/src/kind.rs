//! What a setting may hold, and the check of one value against it.
//!
//! A checked value is a [`serde_json::Value`] in canonical form (numbers of a
//! number setting are always floating), so equal settings compare equal.

use serde::Deserialize;
use serde::de::value::Error as ValueError;
use serde::de::{self, Deserializer, Visitor};
use serde_json::{Value as Json, json};

use super::diagnostic::Diagnostic;
use super::tree::{Node, Value};

/// An interval; open ends are written as such by [`Range::words`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Lower end.
    pub low: f64,
    /// Upper end; infinite where there is none.
    pub high: f64,
    /// Whether `low` and `high` themselves belong to it.
    pub closed: (bool, bool),
}

impl Range {
    /// From 0 to 1, both included.
    pub const PROBABILITY: Range = Range { low: 0.0, high: 1.0, closed: (true, true) };
    /// Between 0 and 1, both left out.
    pub const INSIDE: Range = Range { low: 0.0, high: 1.0, closed: (false, false) };
    /// From 0, left out, to 1, included.
    pub const FRACTION: Range = Range { low: 0.0, high: 1.0, closed: (false, true) };
    /// From 0, included, to 1, left out.
    pub const BELOW_ONE: Range = Range { low: 0.0, high: 1.0, closed: (true, false) };
    /// Above 0.
    pub const POSITIVE: Range = Range { low: 0.0, high: f64::INFINITY, closed: (false, false) };
    /// 0 and above.
    pub const NOT_NEGATIVE: Range = Range { low: 0.0, high: f64::INFINITY, closed: (true, false) };

    /// From `low` to `high`, both included.
    pub const fn closed(low: f64, high: f64) -> Self {
        Range { low, high, closed: (true, true) }
    }

    /// Whether a number lies in it; NaN lies in none.
    pub fn contains(&self, x: f64) -> bool {
        let above = if self.closed.0 { x >= self.low } else { x > self.low };
        let below = if self.closed.1 { x <= self.high } else { x < self.high };
        above && below
    }

    /// `at least 0`, `between 0 and 1`.
    pub fn words(&self) -> String {
        let low = if self.closed.0 { "at least" } else { "greater than" };
        if self.high.is_infinite() {
            return format!("{low} {}", self.low);
        }
        match self.closed {
            (true, true) => format!("between {} and {}", self.low, self.high),
            (_, closed) => {
                let high = if closed { "at most" } else { "less than" };
                format!("{low} {} and {high} {}", self.low, self.high)
            }
        }
    }
}

/// What a setting may hold.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A whole number.
    Count {
        /// The least that is allowed.
        low: u64,
        /// The most that is allowed; `u64::MAX` for no bound.
        high: u64,
    },
    /// A finite number in that range, written with or without a point.
    Number(Range),
    /// True or false.
    Flag,
    /// One of a few words.
    Word(fn() -> &'static [&'static str]),
    /// That many numbers.
    Numbers {
        /// How many.
        len: usize,
        /// What each of them must lie in.
        range: Range,
    },
    /// Two numbers, the first at most the second.
    Bounds(Range),
    /// Any text.
    Text,
    /// A list of texts, of any length.
    Texts,
}

impl Kind {
    /// For messages: `a whole number`, `a list of 3 numbers`.
    pub fn words(&self) -> String {
        match self {
            Kind::Count { .. } => "a whole number".into(),
            Kind::Number(_) => "a number".into(),
            Kind::Flag => "true or false".into(),
            Kind::Word(words) => format!("one of {}", words().join(", ")),
            Kind::Numbers { len, .. } => format!("a list of {len} numbers"),
            Kind::Bounds(_) => "a list of a lower and an upper bound".into(),
            Kind::Text => "a text".into(),
            Kind::Texts => "a list of texts".into(),
        }
    }

    /// Whether a bare word of the command line is a text for this kind.
    pub(super) fn takes_text(&self) -> bool {
        matches!(self, Kind::Word(_) | Kind::Text | Kind::Texts)
    }

    /// The canonical value, or what is wrong with it.
    pub(super) fn check(&self, path: &str, node: &Node) -> Result<Json, Diagnostic> {
        match (self, &node.value) {
            (Kind::Count { low, high }, Value::Integer(i)) => match u64::try_from(*i) {
                Ok(n) if (*low..=*high).contains(&n) => Ok(json!(n)),
                _ if *high == u64::MAX => Err(range(path, node, &format!("at least {low}"))),
                _ => Err(range(path, node, &format!("between {low} and {high}"))),
            },
            (Kind::Number(limits), _) if number(node).is_some() => one(path, node, limits),
            (Kind::Flag, Value::Flag(flag)) => Ok(json!(flag)),
            (Kind::Word(words), Value::Text(text)) => {
                if words().contains(&text.as_str()) {
                    return Ok(json!(text));
                }
                Err(Diagnostic::new(node.at, format!("`{path}` has no value `{text}`"))
                    .suggest(text, words(), "values")
                    .label("unknown value"))
            }
            (Kind::Numbers { len, range }, Value::List(items)) if items.len() == *len => {
                items.iter().map(|item| each(path, item, range)).collect()
            }
            (Kind::Bounds(limits), Value::List(items)) if items.len() == 2 => {
                let checked: Result<Vec<Json>, _> =
                    items.iter().map(|item| each(path, item, limits)).collect();
                let checked = checked?;
                if number(&items[0]) > number(&items[1]) {
                    return Err(Diagnostic::new(
                        node.at,
                        format!("the bounds of `{path}` are in the wrong order"),
                    )
                    .label("the lower bound exceeds the upper")
                    .help(format!("write [{}, {}]", checked[1], checked[0])));
                }
                Ok(Json::Array(checked))
            }
            (Kind::Text, Value::Text(text)) => Ok(json!(text)),
            (Kind::Texts, Value::List(items)) => items
                .iter()
                .map(|item| match &item.value {
                    Value::Text(text) => Ok(json!(text)),
                    _ => Err(wrong_type(path, item, "a text")),
                })
                .collect(),
            _ => {
                let mistake = wrong_type(path, node, &self.words());
                Err(match self.spelling(path, &node.value) {
                    Some(spelling) => mistake.help(spelling),
                    None => mistake,
                })
            }
        }
    }

    /// How a value of this kind is spelt, where what stands there shows that this was
    /// what went wrong.
    fn spelling(&self, path: &str, value: &Value) -> Option<String> {
        match (self, value) {
            (Kind::Flag, Value::Text(text)) => {
                let is = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
                let meant = match () {
                    () if is(["true", "yes", "on", "1"]) => "true",
                    () if is(["false", "no", "off", "0"]) => "false",
                    () => return Some("write true or false, in small letters and without quotes".to_owned()),
                };
                Some(format!("write {path}={meant}, in small letters and without quotes"))
            }
            (Kind::Flag, Value::Integer(n @ 0..=1)) => Some(format!("write {path}={}", *n == 1)),
            // `--set optimizer.betas=0.9,0.99` gives two values, not one list.
            (Kind::Numbers { .. } | Kind::Bounds(_), Value::Integer(_) | Value::Number(_)) => {
                let len = if let Kind::Numbers { len, .. } = self { *len } else { 2 };
                let example: Vec<String> = (1..=len).map(|n| format!("0.{n}")).collect();
                Some(format!(
                    "a list stands in brackets, all of its numbers in one: {path}=[{}]",
                    example.join(",")
                ))
            }
            (Kind::Number(_), Value::Text(text)) if text.contains(',') => {
                Some("write the point of a number as `.`, not as `,`".to_owned())
            }
            _ => None,
        }
    }
}

/// `path` expects something else than stands there.
pub fn wrong_type(path: &str, node: &Node, expected: &str) -> Diagnostic {
    Diagnostic::new(node.at, format!("`{path}` must be {expected}")).label(format!("this is {}", node.kind()))
}

fn range(path: &str, node: &Node, words: &str) -> Diagnostic {
    Diagnostic::new(node.at, format!("`{path}` must be {words}")).label("out of range")
}

/// The finite number that stands there. NaN and infinities are no settings.
fn number(node: &Node) -> Option<f64> {
    match node.value {
        Value::Integer(i) => Some(i as f64),
        Value::Number(x) => Some(x),
        _ => None,
    }
}

fn one(path: &str, node: &Node, limits: &Range) -> Result<Json, Diagnostic> {
    match number(node) {
        // Adding zero turns -0.0 into 0.0: they mean the same and must compare the same.
        Some(x) if x.is_finite() && limits.contains(x) => Ok(json!(x + 0.0)),
        _ => Err(range(path, node, &limits.words())),
    }
}

fn each(path: &str, node: &Node, limits: &Range) -> Result<Json, Diagnostic> {
    if number(node).is_none() {
        return Err(wrong_type(&format!("each value of {path}"), node, "a number"));
    }
    one(path, node, limits)
}

/// The words of an enum as serde reads them, so that they are listed in one place.
pub(super) fn words<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    struct Listing(Option<&'static [&'static str]>);

    impl<'de> Deserializer<'de> for &mut Listing {
        type Error = ValueError;

        fn deserialize_enum<V: Visitor<'de>>(
            self,
            _name: &'static str,
            variants: &'static [&'static str],
            _visitor: V,
        ) -> Result<V::Value, ValueError> {
            self.0 = Some(variants);
            Err(de::Error::custom("only the words were asked for"))
        }

        fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, ValueError> {
            Err(de::Error::custom("not an enum"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
        }
    }

    let mut listing = Listing(None);
    let _ = T::deserialize(&mut listing);
    listing.0.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::source::At;
    use super::super::tree;
    use super::*;

    fn check(kind: Kind, text: &str) -> Result<Json, String> {
        let node = tree::parse_value(text, At::new(0, 0..text.len())).expect("TOML");
        kind.check("a.b", &node).map_err(|d| d.message)
    }

    #[test]
    fn numbers_are_canonical_and_within_range() {
        let kind = Kind::Number(Range::FRACTION);
        assert_eq!(check(kind, "1"), check(kind, "1.0"));
        assert_eq!(check(kind, "0.0").expect_err("open"), "`a.b` must be greater than 0 and at most 1");
        assert!(check(kind, "nan").is_err());
        assert!(check(Kind::Number(Range::POSITIVE), "inf").is_err());
        assert_eq!(check(Kind::Number(Range::NOT_NEGATIVE), "-0.0"), Ok(json!(0.0)));
    }

    #[test]
    fn counts_are_whole() {
        let kind = Kind::Count { low: 1, high: 10 };
        assert_eq!(check(kind, "10"), Ok(json!(10)));
        assert_eq!(
            check(kind, "99999999999999999999999").expect_err("high"),
            "`a.b` must be between 1 and 10"
        );
        assert_eq!(check(kind, "-1").expect_err("low"), "`a.b` must be between 1 and 10");
        assert_eq!(check(kind, "1.0").expect_err("type"), "`a.b` must be a whole number");
    }

    #[test]
    fn lists_have_their_length_and_order() {
        let kind = Kind::Bounds(Range::POSITIVE);
        assert_eq!(check(kind, "[0.5, 1]"), Ok(json!([0.5, 1.0])));
        assert!(check(kind, "[1.0, 0.5]").expect_err("order").contains("wrong order"));
        assert!(check(kind, "[1.0]").is_err());
        assert!(check(Kind::Numbers { len: 1, range: Range::POSITIVE }, "['x']").is_err());
    }

    #[test]
    fn the_right_spelling_is_told() {
        let help = |kind: Kind, text: &str| {
            let at = At::new(0, 0..text.len());
            let bare = Node { at, value: Value::Text(text.to_owned()) };
            let node = tree::parse_value(text, at).unwrap_or(bare);
            kind.check("a.b", &node).expect_err(text).help
        };
        for text in ["True", "'yes'", "ON", "1"] {
            assert!(help(Kind::Flag, text).concat().contains("write a.b=true"), "{text}");
        }
        assert!(help(Kind::Flag, "False").concat().contains("write a.b=false"));
        let two = Kind::Numbers { len: 2, range: Range::BELOW_ONE };
        assert!(help(two, "0.9").concat().ends_with("a.b=[0.1,0.2]"));
        assert!(help(Kind::Bounds(Range::POSITIVE), "1").concat().contains("in brackets"));
        assert!(help(Kind::Number(Range::POSITIVE), "'0,5'").concat().contains("as `.`"));
    }

    #[test]
    fn words_come_from_the_type() {
        use super::super::protocol::Part;
        assert_eq!(words::<Part>(), ["train", "validation", "test"]);
        assert_eq!(words::<usize>(), [""; 0]);
        assert!(check(Kind::Word(words::<Part>), "'tset'").is_err());
    }
}
