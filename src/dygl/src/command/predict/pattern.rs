//! Patterns of paths as shells have them, for those that no shell expanded.

use regex::Regex;

/// A shell's pattern as a regular expression over whole paths.
pub(super) fn glob(pattern: &str) -> Option<Regex> {
    let mut text = String::from("^");
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if rest == "**" {
            text.push_str(".*");
            break;
        }
        if let Some(after) = rest.strip_prefix("**/") {
            text.push_str("(?:[^/]+/)*");
            rest = after;
            continue;
        }
        let set = rest.strip_prefix('[').and_then(|inside| {
            // A `]` that comes first is one of the set.
            let start = usize::from(inside.starts_with(['!', '^']));
            let end = inside.char_indices().skip(start + 1).find(|(_, c)| *c == ']')?.0;
            Some((&inside[..end], &inside[end + 1..]))
        });
        match (first, set) {
            (_, Some((set, after))) => {
                let (negation, set) = match set.strip_prefix(['!', '^']) {
                    Some(set) => ("^", set),
                    None => ("", set),
                };
                text.push_str(&format!("[{negation}{}]", escaped(set)));
                rest = after;
            }
            ('*', _) => {
                text.push_str("[^/]*");
                rest = &rest[1..];
            }
            ('?', _) => {
                text.push_str("[^/]");
                rest = &rest[1..];
            }
            (other, _) => {
                text.push_str(&regex::escape(&other.to_string()));
                rest = &rest[other.len_utf8()..];
            }
        }
    }
    text.push('$');
    Regex::new(&text).ok()
}

/// A set without what only a regular expression would make more of.
fn escaped(set: &str) -> String {
    let special = |c: char| matches!(c, '\\' | '[' | '&' | '~');
    set.chars().fold(String::new(), |mut text, c| {
        if special(c) {
            text.push('\\');
        }
        text.push(c);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        glob(pattern).expect("a pattern").is_match(path)
    }

    #[test]
    fn a_star_stays_inside_a_name_and_two_cross_folders() {
        assert!(matches("in/*.png", "in/a.png") && !matches("in/*.png", "in/deep/a.png"));
        assert!(matches("in/**/*.png", "in/a.png") && matches("in/**/*.png", "in/very/deep/a.png"));
        assert!(matches("in/**", "in/very/deep/a.png") && !matches("in/**", "out/a.png"));
        assert!(!matches("in/*.png", "in/a.pngx") && !matches("in/*.png", "in/apng"));
    }

    #[test]
    fn sets_and_single_characters_are_those_of_a_shell() {
        assert!(matches("[ab]?.png", "a1.png") && !matches("[ab]?.png", "c1.png"));
        assert!(matches("[!ab].png", "c.png") && !matches("[^ab].png", "a.png"));
        assert!(matches("[]x].png", "].png") && matches("[0-9]+(1).png", "7+(1).png"));
        assert!(matches("[a&&b].png", "&.png") && matches("[a&&b].png", "a.png"));
        // A bracket that is never closed is itself.
        assert!(matches("a[1.png", "a[1.png"));
    }
}
