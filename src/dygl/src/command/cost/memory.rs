//! How the memory of a pass is told.

use dygl_spec::ledger::Memory;

use crate::command;

/// What a pass must hold, part by part.
pub(super) fn text(memory: &Memory) -> String {
    let heading = format!("memory at {}, computed", images(memory.batch));
    let rows = [
        (heading, String::new()),
        ("parameters and running statistics".to_owned(), mebibytes(memory.weights)),
        ("inference: activations alive at once, at most".to_owned(), mebibytes(memory.inference)),
        ("training: activations kept for the backward pass".to_owned(), mebibytes(memory.kept)),
        ("training: gradients of the parameters".to_owned(), mebibytes(memory.gradients)),
        ("training: moments of AdamW".to_owned(), mebibytes(memory.optimizer)),
    ];
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(what, bytes)| vec![what, bytes]).collect();
    format!(
        "{}On the CPU in f32. Without the workspace of kernels, the loss and the gradients on their way back;\n\
         `--measure` gives the memory of the whole process.\n",
        command::columns(&rows)
    )
}

pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

pub(super) fn images(batch: usize) -> String {
    if batch == 1 { "one image".to_owned() } else { format!("{batch} images") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart() {
        let mib = 1 << 20;
        let memory = Memory {
            batch: 3,
            inference: 5 * mib,
            kept: 70 * mib,
            weights: 11 * mib,
            gradients: 10 * mib,
            optimizer: 20 * mib,
        };
        let told = text(&memory);
        assert!(told.starts_with("memory at 3 images, computed"), "{told}");
        for (line, bytes) in told.lines().skip(1).zip(["11.0", "5.0", "70.0", "10.0", "20.0"]) {
            assert!(line.ends_with(&format!(" {bytes} MiB")), "{line}");
        }
        assert_eq!(memory.training(), 111 * mib);
    }
}
