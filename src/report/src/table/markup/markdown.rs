//! Markdown: a pipe table per block. Second best is underlined with `<u>`,
//! for which Markdown has no sign of its own.

use super::super::model::{Align, Block, Emphasis, Table, TableCell};
use super::superscript;

/// The table as Markdown.
pub fn markdown(table: &Table) -> String {
    let mut lines = vec![format!("# {}", escape(&table.title)), String::new()];
    if !table.question.is_empty() {
        lines.extend([format!("_{}_", escape(&table.question)), String::new()]);
    }
    for line in &table.heading {
        lines.push(format!("> {}  ", escape_prose(line)));
    }
    if !table.heading.is_empty() {
        lines.push(String::new());
    }
    for block in &table.blocks {
        lines.extend([format!("## {}", escape(&block.title)), String::new()]);
        block_lines(&mut lines, block);
        lines.push(String::new());
    }
    for (index, text) in table.footnotes.iter().enumerate() {
        lines.push(format!("{} {}  ", superscript(&[index + 1]), escape(text)));
    }
    if !table.footnotes.is_empty() {
        lines.push(String::new());
    }
    lines.extend(table.notes.iter().map(|note| format!("- {}", escape_prose(note))));
    lines.push(String::new());
    lines.join("\n")
}

/// A pipe table. Its notation has one line of headings, so that a heading over
/// several columns is repeated in each. Tables of results end with the keys.
fn block_lines(lines: &mut Vec<String>, block: &Block) {
    let over: Vec<&str> =
        block.spans.iter().flat_map(|s| std::iter::repeat_n(s.title.as_str(), s.columns)).collect();
    let headers: Vec<String> = block
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| match over.get(index) {
            Some(title) => format!("{} {}", escape(title), escape(&column.header)),
            None => escape(&column.header),
        })
        .collect();
    let has_keys = block.columns.iter().any(|column| column.metric.is_some());
    let (key, key_rule) = if has_keys { (" Key |", "---|") } else { ("", "") };
    let rules: String = block
        .columns
        .iter()
        .map(|column| if column.align == Align::Left { "---|" } else { "--:|" })
        .collect();
    // Rows are headed in the second column, or, where a group is one dataset, in the first.
    let stubs = if has_keys { ["", block.stub] } else { [block.stub, ""] };
    lines.push(format!("| {} | {} | {} |{key}", stubs[0], stubs[1], headers.join(" | ")));
    lines.push(format!("|---|---|{rules}{key_rule}"));
    for group in &block.groups {
        for (index, row) in group.rows.iter().enumerate() {
            let family = if index == 0 { escape(&group.label) } else { String::new() };
            let values: Vec<String> = row.cells.iter().map(value).collect();
            let key = if has_keys { format!(" {} |", keys(&row.cells)) } else { String::new() };
            lines.push(format!("| {family} | {} | {} |{key}", escape(&row.label), values.join(" | ")));
        }
    }
}

fn value(cell: &TableCell) -> String {
    let text = escape(&cell.text);
    let text = match cell.emphasis {
        Emphasis::Best => format!("**{text}**"),
        Emphasis::Second => format!("<u>{text}</u>"),
        Emphasis::None => text,
    };
    let reported = cell.reported.as_deref().map(|r| format!(" [{}]", escape(r))).unwrap_or_default();
    format!("{text}{}{reported}", superscript(&cell.footnotes))
}

/// The distinct short keys of a row's cells.
fn keys(cells: &[TableCell]) -> String {
    let mut keys: Vec<String> = cells.iter().flat_map(|c| &c.keys).map(|key| format!("`{key}`")).collect();
    keys.dedup();
    keys.join(" ")
}

/// Text that no Markdown reader takes for markup, on one line.
fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
        out
    })
}

/// As [`escape`], keeping balanced `code` marks, within which a reader takes
/// everything literally but the HTML signs and the end of the line.
fn escape_prose(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return escape(text);
    }
    let written = parts
        .iter()
        .enumerate()
        .map(|(index, part)| if index % 2 == 0 { escape(part) } else { part.replace(['\n', '\r'], " ") });
    written.collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_names_is_literal() {
        assert_eq!(escape("a|b <i>*c*</i> & d\n"), "a\\|b &lt;i&gt;\\*c\\*&lt;/i&gt; &amp; d ");
        assert_eq!(escape_prose("`a_b` of c_d"), "`a_b` of c\\_d");
        assert_eq!(escape_prose("odd ` mark_"), "odd \\` mark\\_");
    }
}
