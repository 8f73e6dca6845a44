//! Whether a number may stand beside the paper's: the one place that decides it, for
//! the tables, for the mean Dice of the costs and for `dygl check --against paper`.

use std::fmt;

use dygl_spec::Departure;
use dygl_spec::plan::Cell;
use dygl_spec::protocol::Part;
use dygl_store::record::{EvalRecord, TrainRecord};

/// Side of the network input in the paper, pixels.
pub const PAPER_SIZE: usize = 224;

/// Why a number is no repetition of the paper's.
#[derive(Debug, Clone, PartialEq)]
pub enum NotThePapers {
    /// The experiment changes the protocol, by itself, by its profile or by hand.
    Departs(String),
    /// Another dataset stands in.
    Substituted { used: String, asked: String },
    /// Images are of another size, pixels.
    Size(usize),
    /// Another part is reported.
    Part(Part),
    /// A record that does not say what it saw cannot vouch for all of it.
    Unstated { stage: &'static str },
    /// Images are missing.
    Partial { stage: &'static str, images: usize, expected: usize },
}

impl fmt::Display for NotThePapers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotThePapers::Departs(what) => f.write_str(what),
            NotThePapers::Substituted { used, asked } => write!(f, "{used} in the place of {asked}"),
            NotThePapers::Size(size) => write!(f, "images of {size} px instead of {PAPER_SIZE}"),
            NotThePapers::Part(part) => write!(f, "scores are on the {} part", super::part_name(*part)),
            NotThePapers::Unstated { stage } => {
                write!(f, "the record of the {stage} does not state what data it saw")
            }
            NotThePapers::Partial { stage, images, expected } => {
                write!(f, "the {stage} saw {images} of {expected} images")
            }
        }
    }
}

/// Why the result of a cell may not stand beside the paper's; `None` if it may: the
/// paper's protocol in every setting, its dataset, whole in training and in evaluation.
/// `departures` are those of the experiment from `protocol.toml`.
pub fn not_the_papers(
    departures: &[Departure],
    cell: &Cell,
    train: &TrainRecord,
    eval: &EvalRecord,
) -> Option<NotThePapers> {
    if let Some(departure) = departures.first() {
        return Some(NotThePapers::Departs(departure.in_cell(&cell.protocol)));
    }
    if cell.is_substituted() {
        let [used, asked] = [&cell.dataset, &cell.asked].map(ToString::to_string);
        return Some(NotThePapers::Substituted { used, asked });
    }
    if cell.protocol.image.size != PAPER_SIZE {
        return Some(NotThePapers::Size(cell.protocol.image.size));
    }
    if cell.protocol.evaluate.part != Part::Test {
        return Some(NotThePapers::Part(cell.protocol.evaluate.part));
    }
    [("training", &train.dataset), ("evaluation", &eval.dataset)].into_iter().find_map(|(stage, facts)| {
        match facts {
            None => Some(NotThePapers::Unstated { stage }),
            Some(facts) if facts.is_partial() => {
                Some(NotThePapers::Partial { stage, images: facts.images, expected: facts.expected })
            }
            Some(_) => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use dygl_spec::experiment::Mark;
    use dygl_spec::name::Named;

    use super::super::results::Results;
    use super::super::samples;
    use super::*;

    fn asked(results: &Results) -> Option<NotThePapers> {
        let cell = &results.cells[0];
        let finished = &cell.state.finished()[0];
        not_the_papers(&results.departures, &cell.cell, &finished.train, &finished.eval)
    }

    #[test]
    fn what_differs_from_the_paper_is_named() {
        assert_eq!(asked(&samples::done()), None);
        type Spoil = fn(&mut Results);
        let spoil: [(&str, Spoil); 8] = [
            ("train.epochs = 3 instead of 130", |r| {
                r.cells[0].cell.protocol_mut().train.epochs = 3;
                r.departures.push(Departure {
                    path: "train.epochs".into(),
                    base: 130.into(),
                    values: vec![3.into()],
                    by: Mark::CommandLine,
                });
            }),
            ("phantom in the place of kvasir-seg", |r| r.cells[0].cell.dataset = Named::plain("phantom")),
            ("images of 64 px instead of 224", |r| r.cells[0].cell.protocol_mut().image.size = 64),
            ("scores are on the validation part", |r| {
                r.cells[0].cell.protocol_mut().evaluate.part = Part::Validation;
            }),
            ("the record of the training does not state what data it saw", |r| {
                samples::finished(r, 0).train.dataset = None;
            }),
            ("the record of the evaluation does not state what data it saw", |r| {
                samples::finished(r, 0).eval.dataset = None;
            }),
            ("the training saw 62 of 1000 images", |r| {
                samples::finished(r, 0).train.dataset.as_mut().expect("facts").images = 62;
            }),
            ("the evaluation saw 62 of 1000 images", |r| {
                samples::finished(r, 0).eval.dataset.as_mut().expect("facts").images = 62;
            }),
        ];
        for (expected, spoil) in spoil {
            let mut results = samples::done();
            spoil(&mut results);
            assert_eq!(asked(&results).map(|why| why.to_string()).as_deref(), Some(expected));
        }
    }
}
