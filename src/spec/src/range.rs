//! `FIRST..LAST` and `FIRST..LAST..STEP`: whole numbers of an axis, both ends among them.

use super::diagnostic::Diagnostic;
use super::matrix::MAX_CELLS;
use super::tree::{Node, Value};

const FORM: &str = "a range is FIRST..LAST or FIRST..LAST..STEP, both ends among its values: 1..5";

/// Whether a text is meant as a range.
pub(super) fn is_meant(text: &str) -> bool {
    let looks = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | '=' | ' ' | '_');
    text.contains("..") && text.chars().all(looks)
}

/// The numbers of a range, each at the place of the whole.
///
/// # Errors
/// No two or three whole numbers, a range that runs backwards, one without end.
pub(super) fn nodes(path: &str, node: &Node, text: &str) -> Result<Vec<Node>, Diagnostic> {
    let refuse = |message: String| Diagnostic::new(node.at, message).help(FORM);
    let parts: Option<Vec<u64>> = text.split("..").map(|part| part.trim().parse().ok()).collect();
    let (first, last, step) = match parts.as_deref() {
        Some([first, last]) => (*first, *last, 1),
        Some([first, last, step]) if *step > 0 => (*first, *last, *step),
        _ => return Err(refuse(format!("`{path}`: `{text}` is no range of whole numbers"))),
    };
    if first > last {
        let message = format!("`{path}`: the range `{text}` runs backwards");
        return Err(Diagnostic::new(node.at, message).help(format!("write {last}..{first}")));
    }
    let count = ((last - first) / step).saturating_add(1);
    if count > MAX_CELLS as u64 {
        return Err(Diagnostic::new(
            node.at,
            format!("`{path}`: the range `{text}` has {count} values; at most {MAX_CELLS} cells are allowed"),
        ));
    }
    let numbers = (0..count).map(|place| i128::from(first + place * step));
    Ok(numbers.map(|number| Node { at: node.at, value: Value::Integer(number) }).collect())
}

#[cfg(test)]
mod tests {
    use super::super::source::At;
    use super::*;

    fn numbers(text: &str) -> Result<Vec<i128>, String> {
        let node = Node { at: At::new(0, 0..text.len()), value: Value::Text(text.to_owned()) };
        let read = nodes("seed", &node, text).map_err(|diagnostic| diagnostic.message)?;
        let number = |node: Node| match node.value {
            Value::Integer(number) => number,
            other => panic!("{other:?}"),
        };
        Ok(read.into_iter().map(number).collect())
    }

    #[test]
    fn both_ends_belong_to_a_range() {
        assert_eq!(numbers("1..5"), Ok(vec![1, 2, 3, 4, 5]));
        assert_eq!(numbers("7..7"), Ok(vec![7]));
        assert_eq!(numbers("32..96..32"), Ok(vec![32, 64, 96]));
        assert_eq!(numbers("0 .. 5..2"), Ok(vec![0, 2, 4]));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        assert!(numbers("5..1").expect_err("backwards").contains("runs backwards"));
        assert!(numbers("0..18446744073709551615..1").expect_err("long").contains("values; at most"));
        for text in ["1..", "..5", "1..=5", "1...5", "1..2..0", "-1..2", "1..2..3..4"] {
            assert!(numbers(text).expect_err("no range").contains("is no range"), "{text}");
        }
        assert!(is_meant("1..=5") && !is_meant("a..b") && !is_meant("1.5"));
    }
}
