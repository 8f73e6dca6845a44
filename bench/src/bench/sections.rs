//! A page with a section for each kind of processor: a run writes that of its own.

use anyhow::{Context, Result};

/// The sections of a page by the kinds that they are of.
#[derive(Debug, Default, PartialEq)]
pub struct Sections(Vec<(String, String)>);

impl Sections {
    /// Those of a page that [`Sections::markdown`] is part of.
    pub fn of(page: &str) -> Self {
        let mut sections = Self::default();
        for part in page.split(BEGIN).skip(1) {
            if let Some((kind, rest)) = part.split_once(" -->\n")
                && let Some((text, _)) = rest.split_once(END)
            {
                sections.put(kind, text);
            }
        }
        sections
    }

    /// Puts a section in the place of that of its kind.
    pub fn put(&mut self, kind: &str, text: &str) {
        self.0.retain(|(other, _)| other != kind);
        self.0.push((kind.to_owned(), text.trim().to_owned()));
        self.0.sort();
    }

    /// All of them, marked so that they are found again.
    pub fn markdown(&self) -> String {
        let each = |(kind, text): &(String, String)| format!("{BEGIN}{kind} -->\n\n{text}\n\n{END}\n");
        self.0.iter().map(each).collect::<Vec<_>>().join("\n")
    }
}

const BEGIN: &str = "<!-- measured with ";
const END: &str = "<!-- end of it -->";

/// The template with every `{{place}}` filled.
///
/// # Errors
/// It has a place that none of the parts is for, or does not close one.
pub fn filled(template: &str, parts: &[(&str, String)]) -> Result<String> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (name, behind) =
            behind.split_once("}}").context("the template opens a place and does not close it")?;
        let (_, part) = parts
            .iter()
            .find(|(known, _)| *known == name)
            .with_context(|| format!("the template has a place `{name}`, of which there are no figures"))?;
        text.push_str(before);
        text.push_str(part.trim_end());
        rest = behind;
    }
    Ok(text + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_filled_and_none_is_invented() {
        let parts = [("a", "1\n".to_owned()), ("b", "2".to_owned())];
        assert_eq!(filled("x {{a}} y {{b}}, {{a}}.", &parts).expect("known"), "x 1 y 2, 1.");
        assert!(filled("{{c}}", &parts).expect_err("unknown").to_string().contains("`c`"));
        assert!(filled("{{a", &parts).is_err());
    }

    #[test]
    fn a_run_replaces_its_own_section_and_keeps_the_others() {
        let mut first = Sections::default();
        first.put("avx512", "## wide\n\nold");
        let mut second = Sections::of(&format!("# Page\n\n{}\nthe end\n", first.markdown()));
        assert_eq!(second, first);
        second.put("avx2", "## narrow");
        second.put("avx512", "## wide\n\nnew\n");
        let page = second.markdown();
        assert_eq!(Sections::of(&page).markdown(), page, "reads back");
        assert!(page.find("narrow") < page.find("wide") && page.contains("new") && !page.contains("old"));
        assert_eq!(Sections::of("a page without sections"), Sections::default());
    }
}
