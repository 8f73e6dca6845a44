//! `dygl cost --measure`: passes on this machine.

use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_exec::ask;
use dygl_exec::local::Local;
use dygl_exec::measure::{self, Measured, Pass, Question};
use dygl_spec::ledger::Ledger;
use dygl_spec::name::Named;
use dygl_spec::ops::cores;

use super::memory::mebibytes;
use crate::cli::Cost;
use crate::command;

/// The device to measure on, as a job names it.
pub(super) fn choose(local: &Local, arguments: &Cost) -> Result<String, Failure> {
    let devices = ask::devices(local, &arguments.common.store).or_exit(Exit::Environment)?;
    Ok(devices.choose(arguments.device, cores()).or_exit(Exit::Environment)?.name)
}

/// Both passes of every network, each in a process of its own, and how many of
/// them failed, which is told at once.
pub(super) fn measure(
    local: &Local,
    models: &[Named],
    arguments: &Cost,
    batch: usize,
    device: &str,
) -> (Vec<Measured>, usize) {
    let question =
        Question { size: arguments.size, batch, repeats: arguments.repeats, device, threads: cores() };
    let mut found = Vec::with_capacity(2 * models.len());
    let mut failed = 0;
    let all = 2 * models.len();
    let passes =
        models.iter().flat_map(|model| [Pass::Inference, Pass::TrainingStep].map(|pass| (model, pass)));
    for (index, (model, pass)) in passes.enumerate() {
        command::note(&format!("measuring {model}, {} ({} of {all})", pass.words(), index + 1));
        match measure::measure(local, model, pass, question) {
            Ok(measured) => found.push(measured),
            Err(error) => {
                failed += 1;
                command::note(&format!("error: {error}"));
            }
        }
    }
    (found, failed)
}

/// A line for each pass and batch, and on what they were measured.
pub(super) fn text(found: &[Measured], ledgers: &[Ledger]) -> String {
    let Some(first) = found.first() else { return "Nothing was measured.\n".to_owned() };
    let heading = [
        "model",
        "pass",
        "images",
        "median",
        "fastest",
        "quartiles",
        "images/s",
        "memory",
        "at start",
        "computed",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for measured in found {
        let ledger = ledgers.iter().find(|ledger| ledger.model == measured.model);
        let last = measured.timings.len().saturating_sub(1);
        for (index, timing) in measured.timings.iter().enumerate() {
            // The process is as large as its largest batch.
            let memory = if index == last {
                [
                    mebibytes(measured.peak_memory_bytes),
                    mebibytes(measured.start_memory_bytes),
                    ledger.map_or_else(String::new, |ledger| mebibytes(computed(ledger, measured.pass))),
                ]
            } else {
                [const { String::new() }; 3]
            };
            let [lower, upper] = timing.quartiles_seconds.map(seconds);
            let mut row = vec![
                measured.model.clone(),
                measured.pass.words().to_owned(),
                timing.batch.to_string(),
                seconds(timing.median_seconds),
                seconds(timing.fastest_seconds),
                format!("{lower} to {upper}"),
                format!("{:.2}", timing.images_per_second),
            ];
            row.extend(memory);
            rows.push(row);
        }
    }
    let repeats = first.timings.first().map_or(0, |timing| timing.seconds.len());
    format!(
        "{}Measured at {size} px on {} (numerics class {}), {} threads: {repeats} passes in turn behind\n\
         one that is not timed; images/s at the median. Inference is forward alone, with running statistics; a\n\
         training step is forward, loss, backward and AdamW. Memory is the highest that the process had resident,\n\
         and what it had before its first pass (the program, weights, images); computed is what the ledger says of\n\
         weights, activations and, in training, gradients and moments. A card's memory is in none of the three.\n",
        command::columns(&rows),
        first.device,
        first.numerics,
        first.threads,
        size = first.size.words(),
    )
}

/// What the ledger says that a pass must hold, bytes.
fn computed(ledger: &Ledger, pass: Pass) -> u64 {
    let memory = ledger.memory;
    match pass {
        Pass::Inference => memory.weights + memory.inference,
        Pass::TrainingStep => memory.training(),
    }
}

/// `12.3 ms`, `1.234 s`.
fn seconds(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.1} ms", 1e3 * seconds) } else { format!("{seconds:.3} s") }
}

#[cfg(test)]
mod tests {
    use dygl_exec::measure::Timing;
    use dygl_spec::ledger::Memory;

    use super::*;

    #[test]
    fn a_line_for_each_batch_and_memory_beside_the_largest() {
        let mib = 1 << 20;
        let timings =
            [(1, [0.25, 0.5, 1.0]), (4, [1.5, 1.5, 1.75])].map(|(batch, s)| Timing::of(batch, s.to_vec()));
        let measured = Measured {
            model: "unet".into(),
            size: 64.into(),
            pass: Pass::Inference,
            device: "flex, avx2".into(),
            numerics: "flex".into(),
            threads: 2,
            timings: timings.into_iter().flatten().collect(),
            start_memory_bytes: 100 * mib,
            peak_memory_bytes: 300 * mib,
        };
        let memory = Memory { batch: 4, inference: 60 * mib, weights: 40 * mib, ..Memory::default() };
        let ledger = Ledger { model: "unet".into(), memory, ..Ledger::default() };
        let told = text(&[measured], &[ledger]);
        let lines: Vec<&str> = told.lines().collect();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(lines[1]), "unet inference 1 500.0 ms 250.0 ms 375.0 ms to 750.0 ms 2.00");
        let second = "unet inference 4 1.500 s 1.500 s 1.500 s to 1.625 s 2.67 300.0 MiB 100.0 MiB 100.0 MiB";
        assert_eq!(words(lines[2]), second);
        assert!(told.contains("on flex, avx2 (numerics class flex), 2 threads: 3 passes"), "{told}");
        assert_eq!(text(&[], &[]), "Nothing was measured.\n");
    }
}
