//! Path patterns of a layout: `Slide_{group}/{id}.png`.
//!
//! A pattern is a relative path whose segments hold at most one placeholder
//! each. A placeholder takes one or more characters, never a `/`; where it
//! stands twice, both places must read the same. Besides these, a segment may hold
//!
//! | text | stands for |
//! |---|---|
//! | `*` | any characters or none, never a `/` |
//! | `{png,jpg}` | one of the words |
//! | `.*` at the end of the pattern | the ending of any picture that is read |
//!
//! The ending of a file is compared without case, everything else as it is
//! written; both in Unicode's composed form (see `text.rs`).

use std::collections::BTreeMap;

use super::text;

/// What the placeholders stood for.
pub type Captures = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Text(String),
    Placeholder(String),
    /// Any characters or none.
    Star,
    OneOf(Vec<String>),
    /// The ending of a picture.
    AnyEnding,
}

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    segments: Vec<Vec<Token>>,
    /// Whether the last segment writes the ending of the file out.
    has_ending: bool,
}

/// Placeholders that a pattern may use.
const PLACEHOLDERS: [&str; 3] = ["id", "part", "group"];

/// How exactly a path must fit; the loose ways only find out why one does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// To the letter.
    Exact,
    /// Capital and small letters are the same everywhere.
    AnyCase,
    /// The file's ending does not matter.
    AnyEnding,
}

impl Pattern {
    /// Reads a pattern; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let composed = text::nfc(text);
        let last = composed.split('/').count() - 1;
        let has_ending = has_ending(composed.rsplit('/').next().unwrap_or_default());
        let segments = composed.split('/').enumerate();
        let segments = segments.map(|(place, part)| segment(part, has_ending && place == last));
        let segments =
            segments.collect::<Result<Vec<_>, _>>().map_err(|error| format!("`{text}`: {error}"))?;
        let pattern = Self { text: text.to_owned(), segments, has_ending };
        if !pattern.placeholders().contains(&"id") {
            return Err(format!("`{text}`: has no {{id}}"));
        }
        Ok(pattern)
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Names of the placeholders, sorted, each once.
    pub fn placeholders(&self) -> Vec<&str> {
        let tokens = self.segments.iter().flatten();
        let mut names: Vec<&str> = tokens
            .filter_map(|token| match token {
                Token::Placeholder(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether several files may stand for the same placeholders by intent: it holds a `*`.
    pub fn has_star(&self) -> bool {
        self.segments.iter().flatten().any(|token| *token == Token::Star)
    }

    /// The path with the placeholders filled in; one without value stays as it is.
    pub fn fill(&self, captures: &Captures) -> String {
        let mut text = self.text.clone();
        for (name, value) in captures {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }

    /// Whether a relative path fits.
    pub fn matches(&self, path: &str) -> bool {
        !self.captures(path).is_empty()
    }

    /// What the placeholders may stand for in a relative path that fits; several
    /// answers only where a `*` leaves it open, that with the shortest first
    /// placeholder first.
    pub fn captures(&self, path: &str) -> Vec<Captures> {
        self.captures_by(path, Fit::Exact)
    }

    /// [`Pattern::captures`] of a path that fits in one of the looser ways.
    pub fn captures_by(&self, path: &str, fit: Fit) -> Vec<Captures> {
        let path = text::nfc(path);
        // What leaves the ending open means pictures, not the files beside them.
        let is_meant = text::is_picture(&path)
            || (!self.has_star() && (self.has_ending || text::ending(&path).is_none()));
        if path.split('/').count() != self.segments.len() || !is_meant {
            return Vec::new();
        }
        let mut found = vec![Captures::new()];
        let last = self.segments.len() - 1;
        for (place, (tokens, part)) in self.segments.iter().zip(path.split('/')).enumerate() {
            let mut name = part.to_owned();
            let mut tokens = tokens.clone();
            if place == last && self.has_ending {
                name = small_ending(&name);
            }
            if place == last && fit == Fit::AnyEnding {
                let cut = cut_ending(&mut tokens);
                name = if cut { text::without_ending(&name).to_owned() } else { name };
            }
            let mut next = Vec::new();
            for captures in &found {
                take(&tokens, &name, fit == Fit::AnyCase, captures, &mut next);
            }
            found = next;
        }
        let mut seen = std::collections::BTreeSet::new();
        found.retain(|captures| seen.insert(captures.clone()));
        found
    }
}

/// Whether the text of a last segment writes the file's ending out: a dot stands
/// behind the last placeholder.
fn has_ending(segment: &str) -> bool {
    let places = PLACEHOLDERS.iter().filter_map(|name| {
        let written = format!("{{{name}}}");
        segment.rfind(&written).map(|at| at + written.len())
    });
    segment[places.max().unwrap_or(0)..].contains('.')
}

/// A name whose ending is in small letters.
fn small_ending(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((stem, ending)) => format!("{stem}.{}", ending.to_lowercase()),
        None => name.to_owned(),
    }
}

/// Takes the ending off the tokens of a last segment, where it is written out.
fn cut_ending(tokens: &mut Vec<Token>) -> bool {
    while let Some(last) = tokens.pop() {
        if let Token::Text(text) = &last
            && let Some((stem, _)) = text.rsplit_once('.')
        {
            tokens.push(Token::Text(stem.to_owned()));
            return true;
        }
        if matches!(last, Token::Placeholder(_)) {
            tokens.push(last);
            return false;
        }
    }
    false
}

fn segment(text: &str, ends: bool) -> Result<Vec<Token>, String> {
    if text.is_empty() || text == "." || text == ".." {
        return Err("empty, `.` and `..` are no parts of a pattern".to_owned());
    }
    if text.contains("**") {
        return Err("`**` is not known: write one `*` for each folder".to_owned());
    }
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '*']) {
        if at > 0 {
            tokens.push(Token::Text(rest[..at].to_owned()));
        }
        if rest[at..].starts_with('*') {
            tokens.push(Token::Star);
            rest = &rest[at + 1..];
            continue;
        }
        let (inside, after) = rest[at + 1..].split_once('}').ok_or("a brace is not closed")?;
        tokens.push(braces(inside)?);
        rest = after;
    }
    if !rest.is_empty() {
        tokens.push(Token::Text(rest.to_owned()));
    }
    if tokens.iter().filter(|token| matches!(token, Token::Placeholder(_))).count() > 1 {
        return Err(format!("`{text}` has more than one placeholder"));
    }
    if ends {
        if let [.., Token::Text(before), last @ Token::Star] = &mut tokens[..]
            && before.ends_with('.')
        {
            *last = Token::AnyEnding;
        }
        small_endings(&mut tokens);
    }
    Ok(tokens)
}

/// `{id}` or `{png,jpg}`.
fn braces(inside: &str) -> Result<Token, String> {
    if inside.contains(',') {
        let mut words: Vec<String> = inside.split(',').map(|word| word.trim().to_owned()).collect();
        words.sort_unstable();
        words.dedup();
        return Ok(Token::OneOf(words));
    }
    if PLACEHOLDERS.contains(&inside) {
        return Ok(Token::Placeholder(inside.to_owned()));
    }
    Err(format!(
        "`{{{inside}}}` is no placeholder; known: {}; one of several words is written {{png,jpg}}",
        PLACEHOLDERS.join(", ")
    ))
}

/// Puts what stands behind the last dot of a segment into small letters, as
/// names are before they are compared.
fn small_endings(tokens: &mut [Token]) {
    for token in tokens.iter_mut().rev() {
        match token {
            Token::Text(text) if text.contains('.') => {
                *text = small_ending(text);
                return;
            }
            Token::Text(text) => *text = text.to_lowercase(),
            Token::OneOf(words) => {
                let dotted = words.iter().any(|word| word.contains('.'));
                for word in words.iter_mut() {
                    *word = if word.contains('.') { small_ending(word) } else { word.to_lowercase() };
                }
                if dotted {
                    return;
                }
            }
            Token::Placeholder(_) => return,
            Token::Star | Token::AnyEnding => {}
        }
    }
}

/// Adds every way in which `name` fits the tokens and agrees with what was captured so far.
fn take(tokens: &[Token], name: &str, any_case: bool, captures: &Captures, found: &mut Vec<Captures>) {
    let Some((first, rest)) = tokens.split_first() else {
        if name.is_empty() {
            found.push(captures.clone());
        }
        return;
    };
    match first {
        Token::Text(text) => {
            if let Some(after) = strip(name, text, any_case) {
                take(rest, after, any_case, captures, found);
            }
        }
        Token::OneOf(words) => {
            for word in words {
                if let Some(after) = strip(name, word, any_case) {
                    take(rest, after, any_case, captures, found);
                }
            }
        }
        Token::AnyEnding => {
            if !name.contains('.') && text::is_read(&format!("x.{name}")) {
                take(rest, "", any_case, captures, found);
            }
        }
        Token::Star => {
            for at in boundaries(name) {
                take(rest, &name[at..], any_case, captures, found);
            }
        }
        Token::Placeholder(placeholder) => match captures.get(placeholder) {
            Some(known) => {
                if let Some(after) = name.strip_prefix(known.as_str()) {
                    take(rest, after, any_case, captures, found);
                }
            }
            None => {
                let mut with = |inner: &str, after: &str| {
                    let mut captures = captures.clone();
                    captures.insert(placeholder.clone(), inner.to_owned());
                    take(rest, after, any_case, &captures, found);
                };
                match rest {
                    // The common case needs no search.
                    [Token::Text(text)] if !any_case => {
                        if let Some(inner) = name.strip_suffix(text.as_str()).filter(|i| !i.is_empty()) {
                            with(inner, &name[inner.len()..]);
                        }
                    }
                    _ => boundaries(name).skip(1).for_each(|at| with(&name[..at], &name[at..])),
                }
            }
        },
    }
}

/// Where a text can be cut, both ends included.
fn boundaries(text: &str) -> impl Iterator<Item = usize> + '_ {
    text.char_indices().map(|(at, _)| at).chain([text.len()])
}

fn strip<'a>(name: &'a str, text: &str, any_case: bool) -> Option<&'a str> {
    if !any_case {
        return name.strip_prefix(text);
    }
    let mut rest = name.chars();
    for wanted in text.chars() {
        let found = rest.next()?;
        if found != wanted && !found.to_lowercase().eq(wanted.to_lowercase()) {
            return None;
        }
    }
    Some(rest.as_str())
}

#[cfg(test)]
mod tests;
