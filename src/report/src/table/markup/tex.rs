//! Text for TeX: every sign that TeX gives a meaning is written as a sign.
//! The result is ASCII and fits text in any font encoding.

/// Text that TeX prints literally, also at the start of a row (where `[` and
/// `*` would be read as arguments of `\\`) and in captions (where an empty
/// line would end a paragraph).
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    for sign in text.chars() {
        match sign {
            '\\' => out.push_str("\\textbackslash{}"),
            '{' | '}' | '$' | '&' | '#' | '_' | '%' => out.extend(['\\', sign]),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '`' => out.push_str("\\textasciigrave{}"),
            '<' => out.push_str("$<$"),
            '>' => out.push_str("$>$"),
            '|' => out.push_str("$|$"),
            '"' => out.push_str("''"),
            '[' | ']' | '*' => out.extend(['{', sign, '}']),
            // Repeated, these would join into dashes and quotes.
            '-' | ',' | '\'' if before == sign => out.extend(['{', '}', sign]),
            sign if sign.is_control() => out.push(' '),
            sign if sign.is_ascii() => out.push(sign),
            sign => other(&mut out, sign),
        }
        before = sign;
    }
    out
}

/// As [`escape`], with balanced backticks set as code.
pub(super) fn prose(text: &str) -> String {
    let parts: Vec<String> = text.split('`').map(escape).collect();
    if parts.len().is_multiple_of(2) {
        return escape(text);
    }
    let written = parts
        .iter()
        .enumerate()
        .map(|(index, part)| if index % 2 == 0 { part.clone() } else { format!("\\texttt{{{part}}}") });
    written.collect()
}

/// Accents: TeX's command, letters without it, letters with it.
const ACCENTS: [(&str, &str, &str); 8] = [
    ("`", "AEIOUaeiou", "ÀÈÌÒÙàèìòù"),
    ("'", "AEIOUYaeiouyCcNnSsZz", "ÁÉÍÓÚÝáéíóúýĆćŃńŚśŹź"),
    ("^", "AEIOUaeiou", "ÂÊÎÔÛâêîôû"),
    ("~", "ANOano", "ÃÑÕãñõ"),
    ("\"", "AEIOUaeiouy", "ÄËÏÖÜäëïöüÿ"),
    ("c", "CcSs", "ÇçŞş"),
    ("v", "CcSsZzRrEe", "ČčŠšŽžŘřĚě"),
    ("u", "AaGg", "ĂăĞğ"),
];

/// Signs with a name of their own in TeX.
const NAMED: [(char, &str); 24] = [
    ('±', "$\\pm$"),
    ('×', "$\\times$"),
    ('·', "$\\cdot$"),
    ('≤', "$\\le$"),
    ('≥', "$\\ge$"),
    ('≈', "$\\approx$"),
    ('λ', "$\\lambda$"),
    ('α', "$\\alpha$"),
    ('β', "$\\beta$"),
    ('σ', "$\\sigma$"),
    ('µ', "$\\mu$"),
    ('°', "$^\\circ$"),
    ('²', "$^2$"),
    ('–', "--"),
    ('—', "---"),
    ('…', "\\ldots{}"),
    ('’', "'"),
    ('“', "``"),
    ('”', "''"),
    ('\u{a0}', "~"),
    ('\u{202f}', "\\,"),
    ('ß', "\\ss{}"),
    ('ø', "\\o{}"),
    ('å', "\\aa{}"),
];

fn other(out: &mut String, sign: char) {
    if let Some((_, written)) = NAMED.iter().find(|(known, _)| *known == sign) {
        out.push_str(written);
        return;
    }
    for (command, plain, accented) in ACCENTS {
        let place = accented.chars().position(|known| known == sign);
        if let Some(letter) = place.and_then(|place| plain.chars().nth(place)) {
            out.push_str(&format!("\\{command}{{{letter}}}"));
            return;
        }
    }
    // No font is asked for signs that it may lack.
    out.push_str(&format!("{{[}}U+{:04X}{{]}}", u32::from(sign)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_signs_are_text() {
        assert_eq!(escape("50 % of a_b & c"), "50 \\% of a\\_b \\& c");
        assert_eq!(escape("\\x{y}~^"), "\\textbackslash{}x\\{y\\}\\textasciitilde{}\\textasciicircum{}");
        assert_eq!(escape("[3pt] *"), "{[}3pt{]} {*}");
        assert_eq!(escape("a\n\nb"), "a  b");
        assert_eq!(escape("--set ,, ''"), "-{}-set ,{}, '{}'");
        assert_eq!(escape("a < b"), "a $<$ b");
    }

    #[test]
    fn letters_of_other_languages_and_unknown_signs() {
        assert_eq!(escape("Jiří Škoda é"), "Ji\\v{r}\\'{i} \\v{S}koda \\'{e}");
        assert_eq!(escape("91.3 ± 0.2"), "91.3 $\\pm$ 0.2");
        assert_eq!(escape("漢"), "{[}U+6F22{]}");
        for (command, plain, accented) in ACCENTS {
            assert_eq!(plain.chars().count(), accented.chars().count(), "{command}");
        }
    }

    #[test]
    fn code_needs_a_partner() {
        assert_eq!(prose("`a_b` c"), "\\texttt{a\\_b} c");
        assert_eq!(prose("a ` b"), "a \\textasciigrave{} b");
    }
}
