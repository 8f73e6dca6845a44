//! HTML: a fragment (headed tables, footnotes, notes) that the report puts
//! into its page. Classes are styled by the report; without style it still
//! reads.

use super::super::model::{Align, Block, Emphasis, Table, TableCell};

/// Text that is safe in element content and in quoted attributes.
pub fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

/// The table as an HTML fragment for a page at the report's root: values link
/// to their runs' pages.
pub fn html(table: &Table) -> String {
    let mut out = String::new();
    if !table.heading.is_empty() {
        let lines: String = table.heading.iter().map(|l| format!("<li>{}</li>\n", prose(l))).collect();
        out.push_str(&format!("<ul class=\"heading\">\n{lines}</ul>\n"));
    }
    for (index, one) in table.blocks.iter().enumerate() {
        block(&mut out, table, index, one);
    }
    if !table.footnotes.is_empty() {
        let name = escape(&table.name);
        out.push_str("<ol class=\"footnotes\">\n");
        for (index, text) in table.footnotes.iter().enumerate() {
            out.push_str(&format!("<li id=\"{name}-note-{}\">{}</li>\n", index + 1, escape(text)));
        }
        out.push_str("</ol>\n");
    }
    let notes: String = table.notes.iter().map(|n| format!("<li>{}</li>\n", prose(n))).collect();
    out.push_str(&format!("<ul class=\"notes\">\n{notes}</ul>\n"));
    out
}

fn block(out: &mut String, table: &Table, index: usize, block: &Block) {
    let id = format!("{}-block-{}", escape(&table.name), index + 1);
    out.push_str(&format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"{id}\">\n<table class=\"results\">\n\
         <caption id=\"{id}\">{}</caption>\n",
        escape(&block.title)
    ));
    head(out, block);
    for group in &block.groups {
        out.push_str(&format!(
            "<tbody>\n<tr class=\"group\"><th scope=\"rowgroup\" colspan=\"{}\">{}</th></tr>\n",
            block.columns.len() + 1,
            escape(&group.label)
        ));
        for row in &group.rows {
            out.push_str(&format!(
                "<tr><th scope=\"row\" title=\"{}\">{}</th>",
                escape(&row.model),
                escape(&row.label)
            ));
            for (column, cell) in block.columns.iter().zip(&row.cells) {
                value(out, &table.name, cell, column.align);
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody>\n");
    }
    out.push_str("</table>\n</div>\n");
}

/// The headings; over several datasets in two lines.
fn head(out: &mut String, block: &Block) {
    out.push_str("<thead>");
    let stub = escape(block.stub);
    if block.spans.is_empty() {
        out.push_str(&format!("<tr><th scope=\"col\" class=\"model\">{stub}</th>"));
    } else {
        out.push_str(&format!(
            "<tr class=\"spans\"><th scope=\"col\" rowspan=\"2\" class=\"model\">{stub}</th>"
        ));
        for span in &block.spans {
            let title = escape(&span.title);
            out.push_str(&format!("<th scope=\"colgroup\" colspan=\"{}\">{title}</th>", span.columns));
        }
        out.push_str("</tr>\n<tr>");
    }
    for column in &block.columns {
        let class = if column.align == Align::Left { " class=\"words\"" } else { "" };
        out.push_str(&format!("<th scope=\"col\"{class}>{}</th>", escape(&column.header)));
    }
    out.push_str("</tr></thead>\n");
}

fn value(out: &mut String, table: &str, cell: &TableCell, align: Align) {
    let text = escape(&cell.text);
    let text = match cell.emphasis {
        Emphasis::Best => format!("<strong>{text}</strong>"),
        Emphasis::Second => format!("<u>{text}</u>"),
        Emphasis::None => text,
    };
    let linked = match &cell.link {
        Some(link) => {
            format!("<a href=\"{}\" title=\"{}\">{text}</a>", escape(link), escape(&tooltip(cell)))
        }
        None => text,
    };
    let table = escape(table);
    let marks: Vec<String> =
        cell.footnotes.iter().map(|n| format!("<a href=\"#{table}-note-{n}\">{n}</a>")).collect();
    let marks = if marks.is_empty() { String::new() } else { format!("<sup>{}</sup>", marks.join(",")) };
    let reported = cell.reported.as_deref();
    let reported =
        reported.map(|r| format!(" <span class=\"reported\">[{}]</span>", escape(r))).unwrap_or_default();
    let is_mark = !cell.entries.is_empty() && cell.entries.iter().all(|entry| entry.value.is_none());
    let class = match align {
        Align::Left => " class=\"words\"",
        Align::Right if is_mark => " class=\"mark\"",
        Align::Right => "",
    };
    out.push_str(&format!("<td{class}>{linked}{marks}{reported}</td>"));
}

/// What a pointer that rests on a value is told: the results behind it.
fn tooltip(cell: &TableCell) -> String {
    let lines = cell.entries.iter().map(|entry| {
        let n = entry.images.map(|n| format!(", n = {n}")).unwrap_or_default();
        let Some(seed) = entry.seed else { return format!("{}{n}", entry.state) };
        let key = entry.eval_key.as_deref().unwrap_or(&entry.train_key);
        let key = super::super::results::short(key);
        let numerics = entry.numerics.as_deref().map(|n| format!(", {n}")).unwrap_or_default();
        format!("seed {seed}: {}{n}{numerics}, key {key}", entry.state)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Escaped text in which balanced backticks become `<code>`.
fn prose(text: &str) -> String {
    let parts: Vec<String> = text.split('`').map(escape).collect();
    if parts.len().is_multiple_of(2) {
        return escape(text);
    }
    let written = parts
        .iter()
        .enumerate()
        .map(|(index, part)| if index % 2 == 0 { part.clone() } else { format!("<code>{part}</code>") });
    written.collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::build;
    use super::super::super::samples::{self, Paper};
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let mut results = samples::mixed();
        let evil = "<script>\"&'</script>";
        results.title = evil.into();
        results.profile = evil.into();
        samples::depart(&mut results);
        results.notes.push(evil.into());
        for cell in &mut results.cells {
            cell.label = evil.into();
            cell.dataset_title = evil.into();
        }
        let text = html(&build(&results, &Paper));
        assert!(!text.contains("<script"));
        assert!(text.contains("&lt;script&gt;&quot;&amp;&#39;"));
    }

    #[test]
    fn code_marks_need_a_partner() {
        assert_eq!(prose("`a<b` c"), "<code>a&lt;b</code> c");
        assert_eq!(prose("a ` b"), "a ` b");
    }
}
