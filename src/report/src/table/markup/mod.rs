//! Notations of a [`Table`]. Each is one function in one file and decides
//! nothing about content. Another notation is another file, a variant of
//! [`Markup`] and an arm of [`Markup::render`].

mod csv;
mod html;
mod json;
mod latex;
mod markdown;
mod terminal;
mod tex;

pub use csv::csv;
pub use html::{escape, html};
pub use json::json;
pub use latex::{latex, latex_page};
pub use markdown::markdown;
pub use terminal::{Style, terminal};

use super::model::Table;

/// Why a table could not be written in a notation.
#[derive(Debug, thiserror::Error)]
pub enum MarkupError {
    /// The CSV writer refuses a line.
    #[error("failed to write the table as CSV")]
    Csv(#[from] ::csv::Error),
    /// The table cannot be turned into JSON.
    #[error("failed to write the table as JSON")]
    Json(#[from] serde_json::Error),
    /// The lines of the CSV cannot be had from its writer.
    #[error("failed to write the table as CSV: {0}")]
    Flush(String),
}

/// The notations that a table is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Markup {
    /// For a terminal or a log, in this style.
    Terminal(Style),
    /// A pipe table for each block.
    Markdown,
    /// For machines: a line for each value in full precision.
    Csv,
    /// A fragment without a page around it.
    Html,
    /// The [`Table`] itself, under the names of its fields.
    Json,
    /// A floating table for `\\input` in a paper.
    Latex,
    /// A whole document with that table.
    LatexPage,
}

impl Markup {
    /// The notations that are written as files beside a report.
    pub const FILES: [Markup; 5] =
        [Markup::Markdown, Markup::Csv, Markup::Json, Markup::LatexPage, Markup::Latex];

    /// Extension of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Markup::Terminal(_) => "txt",
            Markup::Markdown => "md",
            Markup::Csv => "csv",
            Markup::Html => "html",
            Markup::Json => "json",
            Markup::Latex => "include.tex",
            Markup::LatexPage => "tex",
        }
    }

    /// Writes the table.
    pub fn render(self, table: &Table) -> Result<String, MarkupError> {
        match self {
            Markup::Terminal(style) => Ok(terminal(table, style)),
            Markup::Markdown => Ok(markdown(table)),
            Markup::Csv => csv(table),
            Markup::Html => Ok(html(table)),
            Markup::Json => json(table),
            Markup::Latex => Ok(latex(table)),
            Markup::LatexPage => Ok(latex_page(table)),
        }
    }
}

/// Footnote numbers as superscript digits: `¹²` for 12, `¹ ²` for 1 and 2.
fn superscript(numbers: &[usize]) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raised = |number: &usize| -> String {
        number.to_string().chars().filter_map(|c| Some(DIGITS[c.to_digit(10)? as usize])).collect()
    };
    numbers.iter().map(raised).collect::<Vec<_>>().join("\u{2009}")
}

#[cfg(test)]
mod tests {
    use super::super::build;
    use super::super::samples::{self, Paper};
    use super::*;

    #[test]
    fn superscripts() {
        assert_eq!(superscript(&[1, 12]), "¹\u{2009}¹²");
        assert_eq!(superscript(&[]), "");
    }

    #[test]
    fn every_notation_of_a_table_with_every_state() {
        let table = build(&samples::mixed(), &Paper);
        for (name, markup) in [
            ("terminal", Markup::Terminal(Style { ansi: false, width: Some(100) })),
            ("terminal_ansi", Markup::Terminal(Style { ansi: true, width: None })),
            ("markdown", Markup::Markdown),
            ("csv", Markup::Csv),
            ("html", Markup::Html),
            ("latex", Markup::Latex),
            ("latex_page", Markup::LatexPage),
        ] {
            insta::assert_snapshot!(name, markup.render(&table).expect("renders"));
        }
    }

    #[test]
    fn every_notation_of_datasets_beside_each_other() {
        let table = build(&samples::beside(), &Paper);
        for (name, markup) in [
            ("beside_terminal", Markup::Terminal(Style { ansi: false, width: None })),
            ("beside_markdown", Markup::Markdown),
            ("beside_html", Markup::Html),
            ("beside_latex", Markup::Latex),
        ] {
            insta::assert_snapshot!(name, markup.render(&table).expect("renders"));
        }
    }

    #[test]
    fn every_notation_of_the_table_of_datasets() {
        let table = build(&samples::datasets(), &Paper);
        for (name, markup) in [
            ("datasets_terminal", Markup::Terminal(Style { ansi: false, width: Some(100) })),
            ("datasets_markdown", Markup::Markdown),
            ("datasets_csv", Markup::Csv),
            ("datasets_html", Markup::Html),
            ("datasets_latex", Markup::Latex),
        ] {
            insta::assert_snapshot!(name, markup.render(&table).expect("renders"));
        }
    }

    #[test]
    fn every_notation_of_the_table_of_costs() {
        let table = build(&samples::costs(), &Paper);
        for (name, markup) in [
            ("costs_terminal", Markup::Terminal(Style { ansi: false, width: None })),
            ("costs_markdown", Markup::Markdown),
            ("costs_csv", Markup::Csv),
            ("costs_html", Markup::Html),
            ("costs_latex", Markup::Latex),
        ] {
            insta::assert_snapshot!(name, markup.render(&table).expect("renders"));
        }
    }

    #[test]
    fn no_notation_prints_a_number_for_altered_cells() {
        let mut results = samples::mixed();
        results.cells.retain(|c| c.state.word() == "altered");
        let table = build(&results, &Paper);
        let number = regex::Regex::new(r"\b\d{1,3}\.\d{2}\b|\b0\.\d+").expect("valid");
        for markup in [
            Markup::Terminal(Style::default()),
            Markup::Markdown,
            Markup::Csv,
            Markup::Html,
            Markup::Json,
            Markup::Latex,
        ] {
            let text = markup.render(&table).expect("renders");
            assert!(text.contains("altered"));
            assert!(!number.is_match(&text), "{text}");
        }
    }
}
