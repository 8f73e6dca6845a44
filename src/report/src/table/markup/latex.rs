//! LaTeX: a floating table in the paper's layout (booktabs; a rule between
//! families; best bold, second underlined; footnotes and notes below it), to
//! be `\input` into a paper, and a whole document around it.
//!
//! The text is plain ASCII and uses no font or encoding of its own, so that it
//! fits any preamble that loads `booktabs`. Nothing that comes from outside
//! reaches TeX as a command: [`escape`] writes every special sign as text.

use super::super::model::{Align, Block, Column, Emphasis, Row, Table, TableCell};
use super::super::results::slug;
use super::tex::{escape, prose};

/// The table as an environment for `\input`.
pub fn latex(table: &Table) -> String {
    let mut out = String::from(
        "% Written by dygl from verified results: generated, not typed. Needs \\usepackage{booktabs};\n\
         % with \\usepackage{graphicx} a table too wide for the text is scaled down to it.\n\
         \\ifdefined\\dygltable\\else\\newsavebox{\\dygltable}\\newlength{\\dyglwidth}\\fi\n\
         \\begin{table}[tbp]\n\\centering\\small\n\\setlength{\\tabcolsep}{4pt}%\n\\sbox{\\dygltable}{%\n",
    );
    let runs = alike(&table.blocks);
    if runs.len() > 1 {
        out.push_str("\\begin{tabular}{@{}l@{}}\n");
    }
    for (index, blocks) in runs.iter().enumerate() {
        if index > 0 {
            out.push_str("\\\\[6pt]\n");
        }
        tabular(&mut out, table, blocks);
    }
    if runs.len() > 1 {
        out.push_str("\\end{tabular}");
    }
    // Caption and notes are as wide as the table, but never a narrow column; the
    // table is never wider than the text where it can be scaled.
    out.push_str(
        "}%\n\\setlength{\\dyglwidth}{\\wd\\dygltable}%\n\
         \\ifdim\\dyglwidth<.6\\linewidth\\setlength{\\dyglwidth}{.6\\linewidth}\\fi\n\
         \\ifdim\\dyglwidth>\\linewidth\\ifdefined\\resizebox\\setlength{\\dyglwidth}{\\linewidth}%\n\
         \\sbox{\\dygltable}{\\resizebox{\\linewidth}{!}{\\usebox{\\dygltable}}}\\fi\\fi\n\
         \\begin{minipage}{\\dyglwidth}\n",
    );
    out.push_str(&format!("\\caption{{{}}}\n\\label{{tab:{}}}\n", caption(table), slug(&table.name)));
    out.push_str("\\vspace{3pt}\\centering\\usebox{\\dygltable}\\par\n");
    out.push_str(&below(table));
    out.push_str("\\end{minipage}\n\\end{table}\n");
    out
}

/// A document that holds the table alone, on a page of its size. It compiles
/// with pdfLaTeX and the packages `booktabs`, `caption` and `geometry`.
pub fn latex_page(table: &Table) -> String {
    let (width, height) = page_size(table);
    let counter = match table.number {
        Some(number) => format!("\\setcounter{{table}}{{{}}}\n", i32::from(number) - 1),
        None => String::new(),
    };
    format!(
        "\\documentclass[10pt]{{article}}\n\
         \\IfFileExists{{lmodern.sty}}{{\\usepackage[T1]{{fontenc}}\\usepackage{{lmodern}}}}{{}}\n\
         \\usepackage{{booktabs}}\n\
         \\usepackage[font=small,labelfont=bf,justification=raggedright,singlelinecheck=false,skip=3pt]{{caption}}\n\
         \\usepackage[paperwidth={width}mm,paperheight={height}mm,margin={MARGIN}mm]{{geometry}}\n\
         \\makeatletter\\setlength{{\\@fptop}}{{0pt}}\\makeatother\n\
         \\pagestyle{{empty}}\n\
         \\begin{{document}}\n{counter}{}\\end{{document}}\n",
        latex(table).replacen("[tbp]", "[t!]", 1)
    )
}

/// Runs of blocks under the same headings: one tabular each.
fn alike(blocks: &[Block]) -> Vec<&[Block]> {
    blocks.chunk_by(|a, b| headings(a).eq(headings(b)) && a.spans == b.spans).collect()
}

fn headings(block: &Block) -> impl Iterator<Item = (&str, Align)> {
    block.columns.iter().map(|column| (column.header.as_str(), column.align))
}

/// Whether a column of the document has something beside its values (footnote
/// marks, reported values), which then stand in a column of their own: digits
/// stay aligned.
fn beside(blocks: &[Block], column: usize) -> bool {
    let cells =
        blocks.iter().flat_map(|b| &b.groups).flat_map(|g| &g.rows).filter_map(|r| r.cells.get(column));
    cells.into_iter().any(|cell| cell.reported.is_some() || !cell.footnotes.is_empty())
}

fn tabular(out: &mut String, table: &Table, blocks: &[Block]) {
    let Some(first) = blocks.first() else { return };
    let pairs: Vec<bool> = (0..first.columns.len())
        .map(|index| first.columns[index].align == Align::Right && beside(blocks, index))
        .collect();
    let spec: String = first
        .columns
        .iter()
        .zip(&pairs)
        .map(|(column, pair)| match (column.align, pair) {
            (Align::Left, _) => "l",
            (Align::Right, true) => "r@{}l",
            (Align::Right, false) => "r",
        })
        .collect();
    let all = 2 + pairs.iter().map(|pair| 1 + usize::from(*pair)).sum::<usize>();
    out.push_str(&format!("\\begin{{tabular}}{{@{{}}ll{spec}@{{}}}}\n\\toprule\n"));
    head(out, first, &pairs);
    // A block is named unless the caption does it, or its spans.
    let named = first.spans.is_empty() && (blocks.len() > 1 || !table.title.contains(&first.title));
    for block in blocks {
        if named && block.stub == "Model" {
            out.push_str(&format!(
                "\\midrule\n\\multicolumn{{{all}}}{{c}}{{\\textit{{{}}}}} \\\\\n",
                escape(&block.title)
            ));
        }
        for (index, group) in block.groups.iter().enumerate() {
            let rule = if index == 0 { "\\midrule\n".to_owned() } else { format!("\\cmidrule{{1-{all}}}\n") };
            out.push_str(&rule);
            for (index, row) in group.rows.iter().enumerate() {
                let family = if index == 0 { escape(&group.label) } else { String::new() };
                out.push_str(&line(&family, row, &block.columns, &pairs));
            }
        }
    }
    out.push_str("\\bottomrule\n\\end{tabular}");
}

/// The headings; over several datasets in two lines, each with its rule.
fn head(out: &mut String, block: &Block, pairs: &[bool]) {
    let wide = |columns: &[bool]| columns.iter().map(|pair| 1 + usize::from(*pair)).sum::<usize>();
    // Networks are headed above their names, datasets above the groups.
    let stubs = if block.stub == "Model" {
        format!(" & {}", escape(block.stub))
    } else {
        format!("{} & ", escape(block.stub))
    };
    if !block.spans.is_empty() {
        let mut titles = String::from(" & ");
        let mut rules = String::new();
        let (mut column, mut place) = (0, 3);
        for span in &block.spans {
            let end = (column + span.columns).min(pairs.len());
            let width = wide(&pairs[column..end]);
            titles.push_str(&format!(" & \\multicolumn{{{width}}}{{c}}{{{}}}", escape(&span.title)));
            rules.push_str(&format!("\\cmidrule(lr){{{place}-{}}}", place + width - 1));
            (column, place) = (end, place + width);
        }
        out.push_str(&format!("{titles} \\\\\n{rules}\n"));
    }
    out.push_str(&stubs);
    for (column, pair) in block.columns.iter().zip(pairs) {
        let header = escape(&column.header);
        out.push_str(&if *pair {
            format!(" & \\multicolumn{{2}}{{c}}{{{header}}}")
        } else {
            format!(" & {header}")
        });
    }
    out.push_str(" \\\\\n");
}

fn line(family: &str, row: &Row, columns: &[Column], pairs: &[bool]) -> String {
    let mut line = format!("{family} & {}", escape(&row.label));
    for ((cell, column), pair) in row.cells.iter().zip(columns).zip(pairs) {
        line.push_str(" & ");
        let text = painted(cell);
        let marks = superscript(&cell.footnotes);
        let is_number = cell.text.starts_with(|c: char| c.is_ascii_digit()) && !cell.text.contains(" / ");
        line.push_str(&match (column.align, *pair) {
            (Align::Left, _) | (Align::Right, false) => format!("{text}{marks}"),
            (Align::Right, true) if is_number || cell.reported.is_some() => {
                let reported = cell.reported.as_deref();
                let reported = reported.map(|r| format!("\\,{{\\scriptsize{{[}}{}{{]}}}}", escape(r)));
                format!("{text} & {marks}{}", reported.unwrap_or_default())
            }
            (Align::Right, true) => format!("\\multicolumn{{2}}{{c}}{{{text}{marks}}}"),
        });
    }
    format!("{} \\\\\n", line.trim_end())
}

fn painted(cell: &TableCell) -> String {
    // A lone hyphen stands for nothing: a dash is easier to see.
    let text = if cell.text == "-" { "--".to_owned() } else { escape(&cell.text) };
    match cell.emphasis {
        Emphasis::Best => format!("\\textbf{{{text}}}"),
        Emphasis::Second => format!("\\underline{{{text}}}"),
        Emphasis::None => text,
    }
}

fn superscript(numbers: &[usize]) -> String {
    if numbers.is_empty() {
        return String::new();
    }
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("\\textsuperscript{{{}}}", numbers.join(","))
}

/// Title, every departure from the paper, and the number of runs.
fn caption(table: &Table) -> String {
    let mut sentences = vec![format!("{}.", escape(table.title.trim_end_matches('.')))];
    sentences.extend(table.heading.iter().chain(&table.seeds).map(|text| prose(text)));
    sentences.join(" ")
}

/// Footnotes and notes; the number of runs stands in the caption already.
fn below(table: &Table) -> String {
    let mut lines: Vec<String> = (1..)
        .zip(&table.footnotes)
        .map(|(number, text)| format!("{}\\,{}", superscript(&[number]), prose(text)))
        .collect();
    let notes = table.notes.iter().filter(|note| Some(*note) != table.seeds.as_ref());
    lines.push(notes.map(|note| prose(note)).collect::<Vec<_>>().join(" "));
    format!("\\vspace{{4pt}}\n{{\\footnotesize\\raggedright\n{}\\par}}\n", lines.join("\\par\n"))
}

/// Margin of a document of one table, mm.
const MARGIN: usize = 12;

/// Width and height of the document's page, mm: what the table takes by a
/// generous estimate of its texts (1.75 mm a character at 9 pt).
fn page_size(table: &Table) -> (usize, usize) {
    let shown = |cell: &TableCell| {
        let marks = cell.footnotes.iter().map(|n| n.to_string().len() + 1).sum::<usize>();
        cell.text.chars().count() + marks + cell.reported.as_ref().map_or(0, |r| r.chars().count() + 2)
    };
    let mut widest = 0;
    let mut rows = 4;
    for block in &table.blocks {
        let all = || block.groups.iter().flat_map(|g| &g.rows);
        let longest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
        let labels = longest(&mut block.groups.iter().map(|g| g.label.chars().count()))
            + longest(&mut all().map(|row| row.label.chars().count()));
        let columns: usize = (0..block.columns.len())
            .map(|i| {
                let cells = longest(&mut all().filter_map(|row| row.cells.get(i)).map(shown));
                2 + cells.max(block.columns[i].header.chars().count())
            })
            .sum();
        widest = widest.max(labels + columns);
        rows += 2 + all().count() + block.groups.len() / 4;
    }
    let width = (widest * 7 / 4 + 2 * MARGIN + 8).max(130);
    let text = table.heading.iter().chain(&table.notes).map(|t| t.chars().count()).sum::<usize>();
    let footnotes: usize = table.footnotes.iter().map(|t| 1 + t.chars().count() * 2 / width).sum();
    let lines = rows + 4 + footnotes + text * 2 / width;
    (width, lines * 4 + 2 * MARGIN + 8)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::super::build;
    use super::super::super::results::Results;
    use super::super::super::samples::{self, Paper};
    use super::*;

    /// What a hostile experiment file could put into names.
    const EVIL: &str =
        r"\input{/etc/passwd} \\[9in] \write18{id} %$&#_{}~^ ^^5c }} [*] -- \end{table} é漢 `x";

    fn hostile(mut results: Results) -> Results {
        results.title = EVIL.into();
        results.profile = EVIL.into();
        samples::depart(&mut results);
        results.notes.push(EVIL.into());
        for cell in &mut results.cells {
            cell.label = EVIL.into();
            cell.dataset_title = EVIL.into();
        }
        for card in &mut results.datasets {
            card.title = EVIL.into();
        }
        results
    }

    #[test]
    fn nothing_from_outside_becomes_a_command() {
        let command = regex::Regex::new(r"\\([A-Za-z]+|.)").expect("valid");
        let known: Vec<String> = [samples::mixed(), samples::beside(), samples::datasets(), samples::seeds()]
            .iter()
            .map(|results| latex_page(&build(results, &Paper)))
            .collect();
        let signs = [
            "textbackslash",
            "{",
            "}",
            "$",
            "&",
            "#",
            "_",
            "%",
            "textasciitilde",
            "textasciicircum",
            "'",
            "textasciigrave",
            "texttt",
            "pm",
        ];
        for results in [samples::mixed(), samples::beside(), samples::datasets()] {
            let text = latex_page(&build(&hostile(results), &Paper));
            assert!(text.is_ascii());
            for found in command.captures_iter(&text) {
                let is_ours =
                    known.iter().any(|known| known.contains(&found[0])) || signs.contains(&&found[1]);
                assert!(is_ours, "{} in\n{text}", &found[0]);
            }
            // `input` and its like stand there as words.
            assert!(
                text.contains("\\textbackslash{}input\\{")
                    && !text.contains("\\input")
                    && !text.contains("^^")
            );
            let open = |sign: char| {
                let chars: Vec<char> = text.chars().collect();
                (0..chars.len()).filter(|i| chars[*i] == sign && (*i == 0 || chars[i - 1] != '\\')).count()
            };
            assert_eq!(open('{'), open('}'), "braces pair up");
        }
    }

    #[test]
    fn rows_follow_the_papers_layout() {
        let text = latex(&build(&samples::done(), &Paper));
        assert!(text.contains("CNN-based & Unet & 87.96 & \\,{\\scriptsize{[}90.50{]}}"), "{text}");
        assert!(text.contains("\\textbf{91.34}") && text.contains("\\underline{89.76}"));
        assert!(text.contains("\\label{tab:table2}") && text.contains("n = 1 run per value (seed 42)"));
        let beside = latex(&build(&samples::beside(), &Paper));
        assert!(beside.contains("\\multicolumn{8}{c}{ISIC2016} & \\multicolumn{8}{c}{PH2}"), "{beside}");
        assert!(beside.contains("\\cmidrule(lr){3-10}\\cmidrule(lr){11-18}"));
    }

    /// Compiles every sample, friendly and hostile, where pdfLaTeX is
    /// installed; `DYGL_LATEX_PREVIEW=FOLDER` keeps the documents.
    #[test]
    fn the_documents_compile() {
        if Command::new("pdflatex").arg("--version").output().is_err() {
            println!("skipped: pdflatex is not installed");
            return;
        }
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = std::env::var_os("DYGL_LATEX_PREVIEW").map_or(temporary.path().to_owned(), Into::into);
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut both = samples::done();
        let second = samples::done().cells.into_iter().map(|mut cell| {
            cell.cell.asked = dygl_spec::name::Named::plain("cvc-clinicdb");
            cell.cell.dataset = cell.cell.asked.clone();
            cell.dataset_title = "CVC-ClinicDB".into();
            cell
        });
        both.cells.extend(second);
        let all = [
            ("table1", samples::datasets()),
            ("table7", samples::costs()),
            ("table2", both),
            ("mixed", samples::mixed()),
            ("table4", samples::beside()),
            ("smoke", samples::smoke()),
            ("seeds", samples::seeds()),
            ("hostile1", hostile(samples::datasets())),
            ("hostile2", hostile(samples::mixed())),
            ("hostile4", hostile(samples::beside())),
        ];
        let mut documents: Vec<(&str, String)> =
            all.iter().map(|(name, results)| (*name, latex_page(&build(results, &Paper)))).collect();
        // Two tables in a paper of another width, each wider than its text.
        let paper: String =
            [samples::mixed(), samples::beside()].iter().map(|r| latex(&build(r, &Paper))).collect();
        let head = "\\documentclass{article}\\usepackage{booktabs,graphicx}\n\\begin{document}\n";
        documents.push(("included", format!("{head}{paper}\\end{{document}}\n")));
        for (name, text) in documents {
            std::fs::write(folder.join(format!("{name}.tex")), text).expect("written");
            let output = Command::new("pdflatex")
                .args(["-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", name])
                .current_dir(&folder)
                .output()
                .expect("started");
            let log = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && folder.join(format!("{name}.pdf")).is_file(), "{name}: {log}");
            assert!(log.contains("(1 page"), "{name} fits on its page: {log}");
            assert!(name.starts_with("hostile") || !log.contains("Overfull"), "{name}: {log}");
        }
    }
}
