//! A table as markdown whose columns are in line, so that it can be read as it
//! is.

/// The rows below the headers; words to the left, figures to the right.
pub fn markdown(headers: &[&str], words: usize, rows: &[Vec<String>]) -> String {
    let length = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = headers.iter().map(|header| length(header).max(3)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(length(cell));
        }
    }
    let line = |cells: Vec<&str>| {
        let padded = widths.iter().enumerate().map(|(place, width)| {
            let cell = cells.get(place).copied().unwrap_or_default();
            let space = " ".repeat(width - length(cell).min(*width));
            if place < words { format!(" {cell}{space} |") } else { format!(" {space}{cell} |") }
        });
        format!("|{}\n", padded.collect::<String>())
    };
    let mut text = line(headers.to_vec());
    let rules = widths.iter().enumerate().map(|(place, width)| {
        let rule = "-".repeat(*width);
        if place < words { format!(" {rule} |") } else { format!(" {}: |", &rule[1..]) }
    });
    text.push_str(&format!("|{}\n", rules.collect::<String>()));
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

/// Three significant digits, as a reader wants them.
pub fn figure(value: f64) -> String {
    match value.abs() {
        v if !v.is_finite() => "-".into(),
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_in_line() {
        let rows = [vec!["flex".into(), "1.5".into()], vec!["PyTorch".into()]];
        assert_eq!(
            markdown(&["backend", "step"], 1, &rows),
            "| backend | step |\n| ------- | ---: |\n| flex    |  1.5 |\n| PyTorch |      |\n"
        );
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(
            [0.123, 1.0, 9.996, 12.34, 99.96, 1234.5].map(figure),
            ["0.12", "1.00", "10.0", "12.3", "100", "1234"]
        );
        assert_eq!(figure(f64::NAN), "-");
    }
}
