//! Plain text for a terminal: aligned columns between light rules, wrapped
//! prose, bold and underline only where asked for.

use super::super::model::{Align, Block, Emphasis, Table, TableCell};
use super::superscript;

/// How to write for a terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    /// Bold and underline as ANSI sequences; without them best is marked `*`
    /// and second `_`, so that nothing is lost in a log.
    pub ansi: bool,
    /// Columns of the terminal; `None` is not limited.
    pub width: Option<usize>,
}

const GAP: &str = "  ";
const PROSE_WIDTH: usize = 100;

/// The table as text.
pub fn terminal(table: &Table, style: Style) -> String {
    let prose_width = style.width.unwrap_or(PROSE_WIDTH).max(20);
    let mut out = String::new();
    out.push_str(&format!("{}\n", paint(&plain(&table.title), "1", style)));
    if !table.question.is_empty() {
        wrap(&mut out, "", &table.question, prose_width);
    }
    for line in &table.heading {
        wrap(&mut out, "! ", line, prose_width);
    }
    for block in &table.blocks {
        out.push('\n');
        write_block(&mut out, block, style);
    }
    out.push('\n');
    for (index, text) in table.footnotes.iter().enumerate() {
        wrap(&mut out, &format!("{} ", superscript(&[index + 1])), text, prose_width);
    }
    for note in &table.notes {
        wrap(&mut out, "", note, prose_width);
    }
    if !style.ansi && table.blocks.iter().any(has_emphasis) {
        wrap(&mut out, "", "Here * stands for bold and _ for underlined.", prose_width);
    }
    out
}

/// One printed cell: its visible text and how to paint it.
struct Painted {
    text: String,
    code: &'static str,
}

impl Painted {
    fn new(cell: &TableCell, style: Style) -> Self {
        let (sign, code) = match cell.emphasis {
            Emphasis::Best => ("*", "1"),
            Emphasis::Second => ("_", "4"),
            Emphasis::None => ("", ""),
        };
        let sign = if style.ansi { "" } else { sign };
        Self { text: format!("{sign}{}", plain(&cell.text)), code }
    }
}

fn write_block(out: &mut String, block: &Block, style: Style) {
    let rows: Vec<_> = block.groups.iter().flat_map(|g| &g.rows).collect();
    let label_width =
        rows.iter().map(|r| columns(&plain(&r.label)) + 2).max().unwrap_or(0).max(columns(block.stub));
    let widths: Vec<[usize; 3]> = (0..block.columns.len())
        .map(|i| {
            let cells: Vec<&TableCell> = rows.iter().filter_map(|r| r.cells.get(i)).collect();
            widths(&cells, columns(&plain(&block.columns[i].header)), style)
        })
        .collect();
    for part in parts(&widths, label_width, style.width) {
        let width = label_width
            + widths[part.clone()].iter().map(|w| GAP.len() + w.iter().sum::<usize>()).sum::<usize>();
        let rule = "─".repeat(width);
        out.push_str(&format!("{}\n{rule}\n", paint(&plain(&block.title), "1", style)));
        if let Some(line) = spans(block, &widths, part.clone(), label_width) {
            out.push_str(&format!("{line}\n"));
        }
        let mut line = pad_right(block.stub, label_width);
        for index in part.clone() {
            let [value, marks, reported] = widths[index];
            let header = plain(&block.columns[index].header);
            let written = columns(&header);
            if block.columns[index].align == Align::Left {
                line.push_str(&format!("{GAP}{}", pad_right(&header, value + marks + reported)));
                continue;
            }
            // Right-aligned over the digits unless it needs the whole width.
            let room = if written <= value { value } else { value + marks + reported };
            let rest = value + marks + reported - room;
            line.push_str(&format!(
                "{GAP}{}{header}{}",
                " ".repeat(room - written.min(room)),
                " ".repeat(rest)
            ));
        }
        out.push_str(&format!("{}\n{rule}\n", line.trim_end()));
        for group in &block.groups {
            out.push_str(&format!("{}\n", plain(&group.label)));
            for row in &group.rows {
                let mut line = pad_right(&format!("  {}", plain(&row.label)), label_width);
                for index in part.clone() {
                    if let Some(cell) = row.cells.get(index) {
                        line.push_str(GAP);
                        match block.columns[index].align {
                            Align::Left => line.push_str(&words(cell, widths[index], style)),
                            Align::Right => line.push_str(&written(cell, widths[index], style)),
                        }
                    }
                }
                out.push_str(&format!("{}\n", line.trim_end()));
            }
        }
        out.push_str(&format!("{rule}\n"));
    }
}

/// The headings over several columns, each with a rule as far as it reaches;
/// none where the block has none.
fn spans(
    block: &Block,
    widths: &[[usize; 3]],
    part: std::ops::Range<usize>,
    label_width: usize,
) -> Option<String> {
    if block.spans.is_empty() {
        return None;
    }
    let mut line = " ".repeat(label_width);
    let mut start = 0;
    for span in &block.spans {
        let reach = start.max(part.start)..(start + span.columns).min(part.end);
        start += span.columns;
        if reach.is_empty() {
            continue;
        }
        let width = widths[reach.clone()].iter().map(|w| w.iter().sum::<usize>()).sum::<usize>()
            + GAP.len() * (reach.len() - 1);
        let title = plain(&span.title);
        let rest = width.saturating_sub(columns(&title) + 2);
        let (left, right) = (rest / 2, rest - rest / 2);
        line.push_str(&format!("{GAP}{} {title} {}", "─".repeat(left), "─".repeat(right)));
    }
    Some(line.trim_end().to_owned())
}

/// A left-aligned text with its marks.
fn words(cell: &TableCell, widths: [usize; 3], style: Style) -> String {
    let painted = Painted::new(cell, style);
    let notes = superscript(&cell.footnotes);
    let rest = widths.iter().sum::<usize>().saturating_sub(columns(&painted.text) + columns(&notes));
    format!("{}{notes}{}", paint(&painted.text, painted.code, style), " ".repeat(rest))
}

/// Value, marks and reported stand in sub-columns, so that the digits of ours
/// and of the paper's align whether or not a footnote is between. A longer
/// text with nothing beside it (`diverged`, two values in conflict) may use
/// the whole width.
fn widths(cells: &[&TableCell], header: usize, style: Style) -> [usize; 3] {
    let widest = |width: &dyn Fn(&TableCell) -> usize| cells.iter().map(|c| width(c)).max().unwrap_or(0);
    let text = |cell: &TableCell| columns(&Painted::new(cell, style).text);
    let marks = widest(&|c| columns(&superscript(&c.footnotes)));
    let reported = widest(&|c| columns(&bracketed(c)));
    let beside = widest(&|c| if c.reported.is_some() { text(c) } else { 0 });
    let alone = widest(&|c| if c.reported.is_some() { 0 } else { text(c) });
    let value = beside.max(alone.saturating_sub(reported));
    [value.max(header.saturating_sub(marks + reported)), marks, reported]
}

fn written(cell: &TableCell, [value, marks, reported]: [usize; 3], style: Style) -> String {
    let painted = Painted::new(cell, style);
    if columns(&painted.text) > value {
        let notes = superscript(&cell.footnotes);
        let used = columns(&painted.text) + columns(&notes);
        let left = " ".repeat((value + marks + reported).saturating_sub(used));
        return format!("{left}{}{notes}", paint(&painted.text, painted.code, style));
    }
    let left = " ".repeat(value.saturating_sub(columns(&painted.text)));
    let notes = pad_right(&superscript(&cell.footnotes), marks);
    let beside = bracketed(cell);
    let beside = if style.ansi && !beside.is_empty() {
        let fill = " ".repeat(reported.saturating_sub(columns(&beside)));
        format!("{}{fill}", paint(&beside, "2", style))
    } else {
        pad_right(&beside, reported)
    };
    format!("{left}{}{notes}{beside}", paint(&painted.text, painted.code, style))
}

/// Ranges of columns that fit the width; one column at least.
fn parts(widths: &[[usize; 3]], label: usize, limit: Option<usize>) -> Vec<std::ops::Range<usize>> {
    let limit = limit.unwrap_or(usize::MAX);
    let mut parts: Vec<std::ops::Range<usize>> = Vec::new();
    let mut used = usize::MAX;
    for (index, width) in widths.iter().enumerate() {
        let width = GAP.len() + width.iter().sum::<usize>();
        match parts.last_mut() {
            Some(part) if used.saturating_add(width) <= limit => {
                part.end = index + 1;
                used += width;
            }
            _ => {
                parts.push(index..index + 1);
                used = label + width;
            }
        }
    }
    parts
}

fn bracketed(cell: &TableCell) -> String {
    cell.reported.as_deref().map(|r| format!(" [{}]", plain(r))).unwrap_or_default()
}

fn has_emphasis(block: &Block) -> bool {
    let mut cells = block.groups.iter().flat_map(|g| &g.rows).flat_map(|r| &r.cells);
    cells.any(|c| c.emphasis != Emphasis::None)
}

fn paint(text: &str, code: &str, style: Style) -> String {
    if style.ansi && !code.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Without control characters: a label must not drive the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Columns that a text takes; all that tables print is one column wide.
fn columns(text: &str) -> usize {
    text.chars().count()
}

fn pad_right(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// Wraps prose; further lines are indented under the first.
fn wrap(out: &mut String, lead: &str, text: &str, width: usize) {
    let mut line = lead.to_owned();
    let indent = " ".repeat(columns(lead));
    let mut empty = true;
    for word in plain(text).split_whitespace() {
        if !empty && columns(&line) + 1 + columns(word) > width {
            out.push_str(&format!("{line}\n"));
            line = indent.clone();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    out.push_str(&format!("{line}\n"));
}

#[cfg(test)]
mod tests {
    use super::super::super::build;
    use super::super::super::samples::{self, Paper};
    use super::*;

    #[test]
    fn narrow_terminals_get_the_columns_in_parts() {
        let table = build(&samples::mixed(), &Paper);
        let text = terminal(&table, Style { ansi: false, width: Some(60) });
        assert!(text.lines().all(|line| columns(line) <= 60), "{text}");
        assert_eq!(parts(&[[5, 0, 0]; 4], 10, Some(24)), [0..2, 2..4]);
        assert_eq!(parts(&[[50, 0, 0]; 2], 10, Some(24)), [0..1, 1..2]);
    }

    #[test]
    fn labels_cannot_drive_the_terminal() {
        let mut results = samples::done();
        results.cells[0].label = "\u{1b}[2Jgone".into();
        assert!(!terminal(&build(&results, &Paper), Style::default()).contains('\u{1b}'));
    }
}
