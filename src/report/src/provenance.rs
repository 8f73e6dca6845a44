//! Where a number comes from, in full: keys, data, program, machine.

use dygl_store::key::numerics;
use dygl_store::record::{DatasetFacts, Provenance};
use serde::Serialize;

use super::format;
use crate::table::results::Finished;

/// A titled list of facts.
#[derive(Debug, Serialize)]
pub(super) struct Facts {
    title: &'static str,
    facts: Vec<Fact>,
}

#[derive(Debug, Serialize)]
struct Fact {
    name: String,
    value: String,
    /// Whether the value is a digest or a name for machines.
    code: bool,
}

fn text(name: &str, value: impl ToString) -> Fact {
    Fact { name: name.to_owned(), value: value.to_string(), code: false }
}

fn code(name: &str, value: impl ToString) -> Fact {
    Fact { code: true, ..text(name, value) }
}

pub(super) fn provenance(finished: &Finished) -> Vec<Facts> {
    let (train, eval) = (&finished.train, &finished.eval);
    let mut all = vec![Facts {
        title: "Result",
        facts: vec![
            code("attempt", &finished.attempt),
            code("train key", &train.key),
            code("evaluation key", &eval.key),
            code("weights", &train.weights),
            text("parameters", format::count(train.parameters)),
            text("weights of epoch", format!("{} of {}", train.selected_epoch, train.epochs_done)),
            text("steps", format::count(train.steps_done as u64)),
            text("final loss", format!("{:.6}", train.final_loss)),
            text("resumed", times(train.resumed)),
            text("training", format::duration(train.train_seconds)),
            text("evaluation", format::duration(eval.eval_seconds)),
            text("peak memory", format::bytes(train.peak_memory_bytes)),
        ],
    }];
    if let Some(start) = &train.start {
        let facts = vec![
            code("SHA-256", &start.sha256),
            code("file", &start.file),
            text("tensors", format!("{} of {}", start.tensors, start.of)),
        ];
        all.push(Facts { title: "Weights at the start", facts });
    }
    match (&train.dataset, &eval.dataset) {
        (Some(trained), Some(scored)) if trained != scored => {
            all.push(dataset("Data (training)", trained));
            all.push(dataset("Data (evaluation)", scored));
        }
        (Some(facts), _) | (None, Some(facts)) => all.push(dataset("Data", facts)),
        (None, None) => {
            let facts = vec![text("dataset", "not stated by the record")];
            all.push(Facts { title: "Data", facts });
        }
    }
    if same_origin(&train.provenance, &eval.provenance) {
        all.push(origin("Program and machine", &train.provenance));
    } else {
        all.push(origin("Program and machine (training)", &train.provenance));
        all.push(origin("Program and machine (evaluation)", &eval.provenance));
    }
    all
}

/// Of a stage that ended without a result.
pub(super) fn failed(from: &Provenance) -> Facts {
    origin("Program and machine", from)
}

/// The same but for the times.
fn same_origin(a: &Provenance, b: &Provenance) -> bool {
    *a == Provenance { started: a.started, finished: a.finished, ..b.clone() }
}

fn dataset(title: &'static str, facts: &DatasetFacts) -> Facts {
    let images = if facts.is_partial() {
        format!("{} of {} (partial)", facts.images, facts.expected)
    } else {
        facts.images.to_string()
    };
    Facts {
        title,
        facts: vec![
            code("dataset", &facts.id),
            code("content", &facts.digest),
            code("split", &facts.split_digest),
            text("images", images),
            text("training", facts.train),
            text("validation", facts.validation),
            text("test", facts.test),
            text("redistributable", if facts.redistributable { "yes" } else { "no" }),
        ],
    }
}

fn origin(title: &'static str, from: &Provenance) -> Facts {
    let dirty = if from.dirty { " + uncommitted changes" } else { "" };
    let mut facts = vec![
        text("dygl", &from.dygl_version),
        code("commit", format!("{}{dirty}", from.commit)),
        code("numerics class", &from.numerics),
        text("arithmetic", numerics::words(&from.numerics)),
        text("device", &from.device),
        text("SIMD", &from.simd),
        text("threads", from.threads),
        text("host", &from.host),
        text("started", format::utc(from.started)),
        text("finished", format::utc(from.finished)),
    ];
    facts.extend(from.libraries.iter().map(|(name, version)| text(name, version)));
    Facts { title, facts }
}

fn times(count: usize) -> String {
    match count {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        many => format!("{many} times"),
    }
}

#[cfg(test)]
mod tests {
    use dygl_store::record::Start;

    use super::*;
    use crate::table::samples;

    fn titles(change: impl FnMut(&mut Finished)) -> Vec<&'static str> {
        let mut results = samples::done();
        samples::each_finished(&mut results, change);
        let finished = &results.cells[0].state.finished()[0];
        provenance(finished).iter().map(|f| f.title).collect()
    }

    #[test]
    fn what_differs_is_shown_twice() {
        assert_eq!(titles(|f| f.eval.provenance.started += 9), ["Result", "Data", "Program and machine"]);
        let apart = titles(|f| f.eval.provenance.numerics = "wgpu".into());
        assert_eq!(apart[2..], ["Program and machine (training)", "Program and machine (evaluation)"]);
        let apart = titles(|f| samples::facts(f).digest = "other".into());
        assert_eq!(apart[1..3], ["Data (training)", "Data (evaluation)"]);
    }

    #[test]
    fn weights_of_others_are_named() {
        let start = Start { sha256: "ab".repeat(32), file: "w.safetensors".into(), tensors: 3, of: 7 };
        let mut results = samples::done();
        samples::each_finished(&mut results, |f| f.train.start = Some(start.clone()));
        let facts = provenance(&results.cells[0].state.finished()[0]);
        assert_eq!(facts[1].title, "Weights at the start");
        let values: Vec<&str> = facts[1].facts.iter().map(|fact| fact.value.as_str()).collect();
        assert_eq!(values, [start.sha256.as_str(), "w.safetensors", "3 of 7"]);
    }

    #[test]
    fn keys_are_shown_in_full() {
        let results = samples::done();
        let facts = provenance(&results.cells[0].state.finished()[0]);
        assert!(facts[0].facts.iter().any(|f| f.value == results.cells[0].train_key));
    }
}
