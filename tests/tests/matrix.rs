//! Whole matrices with the mock executor, in milliseconds.

use std::sync::Mutex;

use dygl_datasets::KnownDatasets;
use dygl_exec::event::RunEvent;
use dygl_exec::mock::Mock;
use dygl_exec::{CellOutcome, Ended, Inputs, Options, Runner, Stop, Summary};
use dygl_spec::Request;
use dygl_spec::plan::{Cell, Plan};
use dygl_store::key::revision::Revisions;
use dygl_store::record::Outcome;
use dygl_store::{Lookup, Store};
use dygl_tests::lab::{Lab, alter};

/// Seeds times two networks on a phantom.
fn cells(lab: &Lab, seeds: &str) -> Vec<Cell> {
    cells_with(lab, &[format!("seed={seeds}")])
}

fn cells_with(lab: &Lab, set: &[String]) -> Vec<Cell> {
    let request = Request { experiment: "tiny", profile: None, set, root: lab.path() };
    let experiment = dygl_spec::load(&request, &KnownDatasets).expect("a sound experiment");
    Plan::expand(&experiment).cells.iter().map(|planned| planned.cell.clone()).collect()
}

fn lab() -> Lab {
    Lab::default().with_experiment("tiny", r#"["unet", "dyglnet"]"#, 1)
}

fn options() -> Options {
    Options {
        profile: "paper".into(),
        jobs: 1,
        threads: 1,
        device: "flex".into(),
        numerics: "mock".into(),
        keep_going: true,
        retry_failed: false,
        force: false,
        timeout: None,
        budget: None,
    }
}

struct Bench {
    store: Store,
    inputs: Inputs,
    events: Mutex<Vec<RunEvent>>,
}

impl Bench {
    fn of(lab: &Lab) -> Self {
        let store = Store::at(lab.path().join(".dygl"));
        Self { inputs: Inputs::at(store.root()), store, events: Mutex::default() }
    }

    fn run(&self, mock: &Mock, cells: &[Cell], options: &Options) -> Summary {
        self.run_with(mock, cells, options, &Revisions::of_this_build())
    }

    fn run_with(&self, mock: &Mock, cells: &[Cell], options: &Options, revisions: &Revisions) -> Summary {
        let runner = Runner {
            store: &self.store,
            inputs: &self.inputs,
            revisions,
            executor: mock,
            options,
            stop: &Stop::default(),
            tell: &|event| self.events.lock().expect("events").push(event),
        };
        runner.run(cells)
    }
}

fn done(summary: &Summary, ran: bool) -> usize {
    summary.count(|outcome| *outcome == CellOutcome::Done { ran })
}

#[test]
fn a_matrix_runs_once() {
    let lab = lab();
    let (bench, cells) = (Bench::of(&lab), cells(&lab, "1,2,3"));
    let first = Mock::default();
    assert_eq!(done(&bench.run(&first, &cells, &options()), true), 6);
    assert_eq!(first.ran().len(), 12, "a training and an evaluation each");
    let second = Mock::default();
    assert_eq!(done(&bench.run(&second, &cells, &options()), false), 6);
    assert!(second.ran().is_empty());
}

#[test]
fn slots_run_side_by_side() {
    let lab = lab();
    let (bench, cells) = (Bench::of(&lab), cells(&lab, "1,2,3"));
    let mock = Mock::with(|_| {
        std::thread::sleep(std::time::Duration::from_millis(30));
        Ended::Recorded
    });
    let summary = bench.run(&mock, &cells, &Options { jobs: 3, ..options() });
    assert_eq!(done(&summary, true), 6);
    assert!((2..=3).contains(&mock.most_at_once()), "{}", mock.most_at_once());
}

#[test]
fn every_way_to_fail_is_kept_and_told() {
    let lab = lab();
    let (bench, cells) = (Bench::of(&lab), cells(&lab, "1,2,3"));
    let bad = [
        Outcome::Failed { message: "broken".into() },
        Outcome::Diverged { epoch: 1, step: 2, message: "NaN".into() },
        Outcome::TimedOut { seconds: 1.0 },
        Outcome::OutOfMemory { message: "too large".into() },
    ];
    let outcomes = bad.clone();
    let mock = Mock::with(move |job| match job.cell.seed {
        1 if job.cell.model.name == "unet" => Ended::Died(outcomes[0].clone()),
        1 => Ended::Died(outcomes[1].clone()),
        2 if job.cell.model.name == "unet" => Ended::Died(outcomes[2].clone()),
        2 => Ended::Died(outcomes[3].clone()),
        _ => Ended::Recorded,
    });
    let summary = bench.run(&mock, &cells, &options());
    assert_eq!(done(&summary, true), 2);
    for outcome in bad {
        assert_eq!(summary.count(|found| *found == CellOutcome::Failed(outcome.clone())), 1, "{outcome:?}");
    }
    // Failures are data: they are not run again unless asked.
    let again = Mock::default();
    let summary = bench.run(&again, &cells, &options());
    assert!(again.ran().is_empty());
    assert_eq!(summary.count(|outcome| matches!(outcome, CellOutcome::Failed(_))), 4);
    let retried = Mock::default();
    let summary = bench.run(&retried, &cells, &Options { retry_failed: true, ..options() });
    assert_eq!((done(&summary, true), done(&summary, false)), (4, 2));
}

#[test]
fn without_keep_going_nothing_begins_after_a_failure() {
    let lab = lab();
    let (bench, cells) = (Bench::of(&lab), cells(&lab, "1,2,3"));
    let mock = Mock::with(|_| Ended::Died(Outcome::Failed { message: "broken".into() }));
    let summary = bench.run(&mock, &cells, &Options { keep_going: false, ..options() });
    assert_eq!(mock.ran().len(), 1);
    assert_eq!(summary.count(|outcome| *outcome == CellOutcome::NotStarted), 5);
}

#[test]
fn an_interrupted_cell_leaves_no_attempt_and_runs_again() {
    let lab = lab();
    let (bench, cells) = (Bench::of(&lab), cells(&lab, "1"));
    let summary = bench.run(&Mock::with(|_| Ended::Interrupted), &cells, &options());
    assert_eq!(summary.count(|outcome| *outcome == CellOutcome::Interrupted), 2);
    assert!(lab.stored("MANIFEST").is_empty());
    assert_eq!(done(&bench.run(&Mock::default(), &cells, &options()), true), 2);
}

#[test]
fn an_altered_result_is_put_aside_and_repaired() {
    let lab = lab();
    let (bench, cells) = (Bench::of(&lab), cells(&lab, "1"));
    bench.run(&Mock::default(), &cells, &options());
    let scores = lab.stored("per_image.csv");
    alter(&scores[0]);
    let mock = Mock::default();
    let summary = bench.run(&mock, &cells, &options());
    assert_eq!((done(&summary, true), done(&summary, false)), (1, 1));
    assert_eq!(mock.ran().len(), 1, "the evaluation alone: {:?}", mock.ran());
    let events = bench.events.lock().expect("events");
    assert!(events.iter().any(|event| matches!(event, RunEvent::Quarantined { .. })));
}

#[test]
fn weights_that_were_altered_are_trained_again_before_they_are_evaluated() {
    let lab = lab();
    let (bench, cells) = (Bench::of(&lab), cells(&lab, "1"));
    bench.run(&Mock::default(), &cells[..1], &options());
    alter(&lab.stored("model.safetensors")[0]);
    let mock = Mock::default();
    assert_eq!(done(&bench.run(&mock, &cells[..1], &options()), true), 1);
    // To the same weights, whose scores are there.
    assert_eq!(mock.ran().len(), 1, "{:?}", mock.ran());
    assert!(mock.ran()[0].starts_with("train"));
}

#[test]
fn evaluations_of_one_training_are_one_dependency() {
    let lab = lab();
    let cells = cells_with(&lab, &["seed=1,2".to_owned(), "evaluate.threshold=0.3,0.4,0.5".to_owned()]);
    assert_eq!(cells.len(), 12);
    let slow = || {
        Mock::with(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            Ended::Recorded
        })
    };
    for force in [false, true] {
        let (bench, mock) = (Bench::of(&lab), slow());
        let summary = bench.run(&mock, &cells, &Options { jobs: 4, force, ..options() });
        assert_eq!(done(&summary, true), 12);
        assert_eq!(mock.ran().iter().filter(|task| task.starts_with("train")).count(), 4);
        let events = bench.events.lock().expect("events");
        assert!(!events.iter().any(|event| matches!(event, RunEvent::Waiting { .. })), "nobody is told");
    }
}

#[test]
fn what_moves_a_key_runs_again_and_the_rest_does_not() {
    let lab = lab();
    let (bench, cells) = (Bench::of(&lab), cells(&lab, "1"));
    let built = Revisions::of_this_build();
    bench.run(&Mock::default(), &cells, &options());
    let ran = |revisions: &Revisions| {
        let mock = Mock::default();
        bench.run_with(&mock, &cells, &options(), revisions);
        let mut ran: Vec<String> =
            mock.ran().iter().map(|task| task.split(" on ").next().unwrap_or_default().to_owned()).collect();
        ran.sort();
        ran
    };
    assert_eq!(ran(&built.clone().with("network.dyglnet", "edited")), ["evaluate dyglnet", "train dyglnet"]);
    assert_eq!(ran(&built.clone().with("metric", "edited")), ["evaluate dyglnet", "evaluate unet"]);
    assert_eq!(
        ran(&built.clone().with("pixels", "edited")),
        ["evaluate dyglnet", "evaluate unet", "train dyglnet", "train unet"]
    );
    assert!(ran(&built).is_empty());
}

#[test]
fn contradicting_attempts_are_both_kept() {
    let lab = lab();
    let (bench, cells) = (Bench::of(&lab), cells(&lab, "1"));
    bench.run(&Mock::default(), &cells[..1], &options());
    let inputs = bench.inputs.of(&cells[0]).expect("inputs");
    let preimage = inputs.train_key(&cells[0], "mock", &Revisions::of_this_build());
    // The same key, other weights: as if the hardware were not deterministic.
    let other = Mock::default();
    bench.run(&other, &cells[..1], &Options { force: true, ..options() });
    let attempts = bench.store.attempts(preimage.key()).expect("attempts");
    let record = attempts[0].folder().join("record.json");
    assert!(record.is_file());
    match bench.store.lookup(preimage.key()).expect("lookup") {
        Lookup::Hit(_) => {}
        other => panic!("equal weights agree: {other:?}"),
    }
    let claim = bench.store.claim(&preimage).expect("free");
    let text = std::fs::read_to_string(&record).expect("record");
    let mut value: serde_json::Value = serde_json::from_str(&text).expect("json");
    value["weights"] = "other".into();
    std::fs::write(claim.work().join("record.json"), value.to_string()).expect("written");
    claim.publish(false).expect("published");
    drop(claim);
    assert!(
        matches!(bench.store.lookup(preimage.key()).expect("lookup"), Lookup::Conflict(all) if all.len() >= 2)
    );
}

#[test]
fn two_runners_share_the_work() {
    let lab = lab();
    let cells = cells(&lab, "1,2,3,4");
    let slow = || {
        Mock::with(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            Ended::Recorded
        })
    };
    let (first, second) = (slow(), slow());
    let benches = (Bench::of(&lab), Bench::of(&lab));
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(benches.0.run(&first, &cells, &options()).cells.len(), 8));
        scope.spawn(|| assert_eq!(benches.1.run(&second, &cells, &options()).cells.len(), 8));
    });
    let mut ran = [first.ran(), second.ran()].concat();
    assert_eq!(ran.len(), 16, "nothing runs twice");
    ran.sort();
    ran.dedup();
    assert_eq!(ran.len(), 16);
}
