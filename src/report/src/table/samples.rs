//! Made-up results for the tests of tables and reports.

mod facts;
mod uneven;

use std::collections::BTreeMap;

use dygl_base::random::Stream;
use dygl_spec::experiment::Mark;
use dygl_spec::metric::Metric;
use dygl_spec::name::Named;
use dygl_spec::network::Group;
use dygl_spec::plan::Cell;
use dygl_spec::protocol::{self as p, Protocol};
use dygl_spec::{Arrange, Departure, TableKind};
use dygl_store::record::{DatasetFacts, EvalRecord, Outcome, Provenance, Sample, TrainRecord, Trivial};
use image::{GrayImage, Luma, Rgb, RgbImage};

use super::results::{
    CellResult, CellState, Finished, HistoryRow, ImageScores, Journal, Reported, Results, SampleImages,
};
pub(crate) use facts::{costs, datasets};
pub(crate) use uneven::{folds, skip};

/// A paper that prints something for every place of Tables 2, 4 and 6.
pub(crate) struct Paper;

impl Reported for Paper {
    fn value(&self, table: u8, _: &str, _: &Named, metric: Metric) -> Option<String> {
        [2, 4, 6].contains(&table).then(|| format!("{}.50", 90 + metric as u8))
    }
}

pub(crate) fn protocol() -> Protocol {
    Protocol {
        image: p::Image {
            size: 224,
            filter: p::Filter::Bilinear,
            mean: [0.5; 3],
            std: [0.5; 3],
            training_masks: p::MaskMode::Soft,
        },
        augment: p::Augment {
            horizontal_flip: 0.5,
            vertical_flip: 0.5,
            border: p::Border::Reflect,
            crop: p::Crop {
                probability: 0.5,
                from: p::CropFrom::Resized,
                scale: [0.5, 1.0],
                aspect: [0.75, 1.33],
            },
            rotate: p::Rotate { probability: 0.5, degrees: 30.0 },
            elastic: p::Elastic { probability: 0.2, alpha: 10.0, sigma: 5.0 },
            brightness_contrast: p::BrightnessContrast { probability: 0.5, brightness: 0.2, contrast: 0.2 },
        },
        loss: p::Loss { lambda: 0.5, dice_smoothing: 1.0, dice_pooling: p::Pooling::Batch },
        optimizer: p::Optimizer {
            name: p::OptimizerName::Adamw,
            learning_rate: 5e-4,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 1e-2,
            decay_exclude: p::DecayExclude::Nothing,
            clip_norm: 1.0,
        },
        schedule: p::Schedule {
            warmup_epochs: 10,
            warmup_start: 0.1,
            power: 0.9,
            unit: p::ScheduleUnit::Epoch,
        },
        train: p::Train {
            epochs: 200,
            batch_size: 16,
            drop_last: false,
            images_per_epoch: 0,
            precision: p::Precision::F32,
        },
        selection: p::Selection { rule: p::SelectionRule::Last, part: p::Part::Validation, every: 5 },
        split: p::Split {
            source: p::SplitSource::Manifest,
            seed: 42,
            folds: 5,
            fold: 0,
            file: String::new(),
        },
        evaluate: p::Evaluate {
            part: p::Part::Test,
            threshold: 0.5,
            epsilon: 1e-8,
            empty: p::EmptyRule::Formula,
        },
    }
}

fn digest(words: &str) -> String {
    blake3::hash(words.as_bytes()).to_hex().to_string()
}

fn provenance() -> Provenance {
    Provenance {
        dygl_version: "0.1.0".into(),
        commit: "35ce58c0a1b2c3d4e5f60718293a4b5c6d7e8f90".into(),
        dirty: false,
        numerics: "flex".into(),
        device: "CPU (8 cores)".into(),
        simd: "avx2".into(),
        threads: 8,
        host: "node-17".into(),
        started: 1_760_000_000,
        finished: 1_760_003_600,
        libraries: [("burn", "0.22.1"), ("burn-flex", "0.22.1"), ("image", "0.25.10")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
    }
}

fn history(seed: u64) -> Vec<HistoryRow> {
    let mut stream = Stream::new(seed, "history", &[]);
    (1..=200)
        .map(|epoch| {
            let t = epoch as f64 / 200.0;
            let bce = 0.6 * (-4.0 * t).exp() + 0.05 + 0.02 * stream.unit();
            let dice_loss = 0.8 * (-5.0 * t).exp() + 0.07 + 0.03 * stream.unit();
            let warm = (epoch as f64 / 10.0).min(1.0);
            HistoryRow {
                epoch,
                learning_rate: 5e-4 * warm * (1.0 - t).powf(0.9),
                loss: 0.5 * bce + 0.5 * dice_loss,
                bce,
                dice_loss,
                select_dice: (epoch % 5 == 0).then(|| 0.91 - 0.5 * (-6.0 * t).exp() + 0.01 * stream.unit()),
                gradient_norm: 1.0 + stream.unit(),
                seconds: 41.0 + stream.unit(),
            }
        })
        .collect()
}

fn disc(side: u32, x: f64, y: f64, radius: f64) -> GrayImage {
    GrayImage::from_fn(side, side, |px, py| {
        let inside = (f64::from(px) - x).hypot(f64::from(py) - y) < radius;
        Luma([if inside { 255 } else { 0 }])
    })
}

fn sample(role: &str, id: &str, shift: f64) -> SampleImages {
    let side = 112;
    let image = RgbImage::from_fn(side, side, |x, y| {
        let wave = (f64::from(x) / 17.0).sin() + (f64::from(y) / 23.0).cos();
        let tone = (150.0 + 30.0 * wave) as u8;
        Rgb([tone.saturating_add(40), tone / 2 + 20, tone / 2])
    });
    SampleImages {
        sample: Sample { id: id.into(), file: id.into(), role: role.into(), dice: 1.0 - shift / 45.0 },
        image: Some(image),
        truth: disc(side, 52.0, 58.0, 30.0),
        prediction: disc(side, 52.0 + shift, 58.0 - shift / 2.0, 30.0 - shift / 4.0),
    }
}

/// A cell of `kvasir-seg` that is done with that mean Dice.
pub(crate) fn cell(model: &str, label: &str, group: Group, seed: u64, dice: f64) -> CellResult {
    let train_key = digest(&format!("train {model} {label} {seed}"));
    let eval_key = digest(&format!("eval {model} {label} {seed}"));
    let cell = Cell {
        model: Named::parse(model).expect("valid"),
        dataset: Named::plain("kvasir-seg"),
        asked: Named::plain("kvasir-seg"),
        seed,
        protocol: protocol().into(),
        pretrained: None,
    };
    let facts = DatasetFacts {
        id: "kvasir-seg".into(),
        digest: digest("kvasir"),
        split_digest: digest("kvasir split"),
        images: 1000,
        expected: 1000,
        train: 800,
        validation: 100,
        test: 100,
        redistributable: true,
        mask_rule: "grey > 127".into(),
        concerns: Vec::new(),
        white: None,
    };
    let mut stream = Stream::new(seed, "scores", &[label]);
    let spread: Vec<f64> = (0..100).map(|_| -(stream.unit().powi(6))).collect();
    let centre = spread.iter().sum::<f64>() / 100.0;
    let per_image: Vec<ImageScores> = spread
        .iter()
        .enumerate()
        .map(|(i, x)| {
            let dice = dice + 0.45 * (x - centre);
            let scores = Metric::ALL.map(|m| (m, score(m, dice)));
            ImageScores { id: format!("cju{i:03}<&\"'>"), scores: scores.into() }
        })
        .collect();
    let mean = mean(&per_image);
    let finished = Finished {
        attempt: super::results::short(&digest(&format!("attempt {model} {seed}"))).to_owned(),
        train: TrainRecord {
            key: train_key.clone(),
            cell: cell.clone(),
            profile: "paper".into(),
            outcome: Outcome::Done,
            dataset: Some(facts.clone()),
            weights: digest("weights"),
            parameters: 9_870_000,
            selected_epoch: 200,
            epochs_done: 200,
            steps_done: 10_000,
            final_loss: 0.08,
            train_seconds: 8_412.0,
            peak_memory_bytes: 3_400_000_000,
            resumed: 1,
            start: None,
            provenance: provenance(),
        },
        eval: EvalRecord {
            key: eval_key.clone(),
            train_key: train_key.clone(),
            weights: digest("weights"),
            scores: digest("scores"),
            cell: cell.clone(),
            profile: "paper".into(),
            outcome: Outcome::Done,
            dataset: Some(facts),
            images: 100,
            skipped: 0,
            mean,
            std: Metric::ALL.map(|m| (m, 0.08)).into(),
            trivial: Trivial { all_foreground: 0.2731, mean_mask: 0.4412 },
            samples: Vec::new(),
            eval_seconds: 12.5,
            provenance: provenance(),
        },
        history: history(seed),
        per_image,
        samples: vec![
            sample("worst", "cju0<b>&\"x\"", 22.0),
            sample("median", "cju1", 8.0),
            sample("best", "cju2", 2.0),
        ],
    };
    CellResult {
        cell,
        label: label.into(),
        model_label: label.into(),
        settings: BTreeMap::new(),
        group,
        dataset_title: "Kvasir-SEG".into(),
        train_key,
        eval_key: Some(eval_key),
        state: CellState::Done(Box::new(finished)),
        journals: vec![journal("training", 200), journal("evaluation", 0)],
    }
}

fn journal(stage: &'static str, epochs: usize) -> Journal {
    Journal {
        stage,
        attempt: "0af3".into(),
        tail: vec!["warning: <slow> disk & \"late\" sync".into()],
        earlier: 7,
        events: [("started", 1), ("epoch", epochs), ("checkpoint", 3)]
            .map(|(name, count)| (name.to_owned(), count))
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect(),
        provenance: None,
    }
}

fn mean(images: &[ImageScores]) -> BTreeMap<Metric, f64> {
    Metric::ALL.map(|m| (m, images.iter().map(|i| i.scores[&m]).sum::<f64>() / images.len() as f64)).into()
}

fn score(metric: Metric, dice: f64) -> f64 {
    match metric {
        Metric::Dice => dice,
        Metric::Iou => dice / (2.0 - dice),
        Metric::Precision => dice * 0.99 + 0.005,
        Metric::Recall => dice * 0.98 + 0.015,
        Metric::Specificity => 0.95 + dice * 0.04,
        Metric::Accuracy => 0.90 + dice * 0.08,
    }
}

fn results(cells: Vec<CellResult>) -> Results {
    let mark = |path: &str, value: &str, mark: &str| (path.to_owned(), value.to_owned(), mark.to_owned());
    Results {
        name: "table2".into(),
        title: "Table 2: polyp segmentation".into(),
        question: "Does DyGLNet lead the twelve baselines on Kvasir-SEG?".into(),
        profile: "paper".into(),
        departures: Vec::new(),
        paper_table: Some(2),
        metrics: Metric::ALL.to_vec(),
        kind: TableKind::Results,
        arrange: Arrange::Below,
        cells,
        datasets: Vec::new(),
        costs: Vec::new(),
        marks: vec![
            mark("image.size", "224", "paper"),
            mark("train.epochs", "200", "paper"),
            mark("train.batch_size", "16", "paper"),
            mark("optimizer.learning_rate", "0.0005", "paper"),
            mark("optimizer.betas", "[0.9, 0.999]", "assumed"),
            mark("augment.elastic.alpha", "10.0", "assumed"),
            mark("selection.rule", "last", "assumed"),
            mark("split.seed", "42", "experiment"),
        ],
        notes: Vec::new(),
    }
}

/// Three rows, all done.
pub(crate) fn done() -> Results {
    results(vec![
        cell("unet", "Unet", Group::Cnn, 42, 0.8796),
        cell("swin_unet", "SwinUnet", Group::Transformer, 42, 0.8976),
        cell("dyglnet", "DyGLNet", Group::Ours, 42, 0.9134),
    ])
}

/// Two rows of three seeds; one run failed.
pub(crate) fn seeds() -> Results {
    let mut cells: Vec<CellResult> = [(1, 0.89), (2, 0.90), (3, 0.91)]
        .map(|(seed, dice)| cell("unet", "Unet", Group::Cnn, seed, dice))
        .into();
    cells.extend([(1, 0.90), (2, 0.92), (3, 0.93)].map(|(s, d)| cell("unetpp", "Unet++", Group::Cnn, s, d)));
    cells[5].state = failed();
    results(cells)
}

fn failed() -> CellState {
    let message = "loss is NaN <after> step 12 & \"clip\"".to_owned();
    CellState::Failed {
        outcome: Outcome::Diverged { epoch: 3, step: 12, message },
        attempt: Some("0af3".into()),
    }
}

/// Every state: done, tied, failed, missing, altered, in conflict.
pub(crate) fn mixed() -> Results {
    let mut cells = vec![
        cell("unet", "Unet", Group::Cnn, 42, 0.8796),
        cell("attention_unet", "AttentionUnet", Group::Cnn, 42, 0.913_36),
        cell("unetpp", "Unet++", Group::Cnn, 42, 0.8877),
        cell("m2snet", "M2SNet", Group::Cnn, 42, 0.8357),
        cell("swin_unet", "SwinUnet", Group::Transformer, 42, 0.8976),
        cell("missformer", "MISSFormer <&>", Group::Transformer, 42, 0.8537),
        cell("hiformer_b", "HiFormer-B", Group::Hybrid, 42, 0.8950),
        cell("fat_net", "FATNet", Group::Hybrid, 42, 0.9058),
        cell("dyglnet", "DyGLNet", Group::Ours, 42, 0.913_44),
    ];
    cells[2].state = failed();
    cells[3].state = CellState::Altered { file: "per_image.csv".into() };
    cells[5].state = CellState::Missing { reason: "not run yet".into() };
    let other = cell("hiformer_b", "HiFormer-B", Group::Hybrid, 43, 0.8871);
    let both = [&cells[6], &other].iter().flat_map(|c| c.state.finished().to_vec()).collect();
    cells[6].state = CellState::Conflict(both);
    results(cells)
}

/// Two datasets under four metrics, as in Table 4.
pub(crate) fn beside() -> Results {
    let on = |dataset: &str, title: &str, mut cell: CellResult| {
        cell.cell.dataset = Named::plain(dataset);
        cell.cell.asked = Named::plain(dataset);
        cell.dataset_title = title.into();
        cell
    };
    let mut cells = Vec::new();
    for (dataset, title, shift) in [("isic2016", "ISIC2016", 0.02), ("ph2", "PH2", 0.05)] {
        for (model, label, group, dice) in [
            ("unet", "Unet", Group::Cnn, 0.8796),
            ("attention_unet", "AttentionUnet", Group::Cnn, 0.8836),
            ("swin_unet", "SwinUnet", Group::Transformer, 0.8976),
            ("hiformer_b", "HiFormer-B", Group::Hybrid, 0.8950),
            ("dyglnet", "DyGLNet", Group::Ours, 0.9134),
        ] {
            cells.push(on(dataset, title, cell(model, label, group, 42, dice + shift)));
        }
    }
    let mut results = results(cells);
    results.name = "table4".into();
    results.title = "Comparisons on ISIC2016 and PH2".into();
    results.question = "How do the networks compare on the two skin lesion datasets?".into();
    results.paper_table = Some(4);
    results.arrange = Arrange::Beside;
    results.metrics = vec![Metric::Dice, Metric::Iou, Metric::Precision, Metric::Accuracy];
    results
}

/// Thirteen networks on seven datasets with three seeds: as large as the
/// paper's tables together get.
pub(crate) fn matrix() -> Results {
    let datasets = ["kvasir-seg", "cvc-clinicdb", "brain-mri", "isic2016", "ph2", "glas", "tnbc"];
    let mut cells = Vec::new();
    for (shift, dataset) in datasets.into_iter().enumerate() {
        for model in 0..13_u8 {
            let group = [Group::Cnn, Group::Transformer, Group::Hybrid, Group::Ours][usize::from(model) / 4];
            for seed in 1..=3 {
                let dice = 0.80 + 0.008 * f64::from(model) + 0.001 * shift as f64;
                let mut one =
                    cell(&format!("network_{model}"), &format!("Network {model}"), group, seed, dice);
                one.cell.dataset = Named::plain(dataset);
                one.cell.asked = Named::plain(dataset);
                one.dataset_title = dataset.to_owned();
                one.train_key = digest(&format!("{} {dataset}", one.train_key));
                one.eval_key = Some(digest(&format!("evaluation {}", one.train_key)));
                cells.push(one);
            }
        }
    }
    results(cells)
}

/// A run of the smoke profile: phantoms in place of the dataset, small, few.
pub(crate) fn smoke() -> Results {
    let mut results = done();
    results.name = "smoke".into();
    results.title = "Smoke test".into();
    results.profile = "smoke".into();
    depart(&mut results);
    for cell in &mut results.cells {
        cell.cell.dataset = Named::plain("phantom-polyp");
        cell.cell.protocol_mut().image.size = 64;
    }
    each_finished(&mut results, |f| {
        f.eval.trivial.mean_mask = 0.9;
        f.eval.provenance.dirty = true;
        f.history.truncate(3);
        f.per_image.truncate(12);
        f.eval.images = 12;
        f.eval.mean = mean(&f.per_image);
        for facts in [&mut f.train.dataset, &mut f.eval.dataset].into_iter().flatten() {
            facts.id = "phantom-polyp".into();
            facts.redistributable = false;
        }
    });
    results
}

/// Makes the experiment depart from the paper's protocol.
pub(crate) fn depart(results: &mut Results) {
    results.departures.push(Departure {
        path: "train.epochs".into(),
        base: 130.into(),
        values: vec![12.into()],
        by: Mark::Profile,
    });
}

/// Changes every finished attempt.
pub(crate) fn each_finished(results: &mut Results, mut change: impl FnMut(&mut Finished)) {
    for cell in &mut results.cells {
        match &mut cell.state {
            CellState::Done(finished) => change(finished),
            CellState::Conflict(attempts) => attempts.iter_mut().for_each(&mut change),
            _ => {}
        }
    }
}

/// The attempt of a cell that is done.
pub(crate) fn finished(results: &mut Results, cell: usize) -> &mut Finished {
    match &mut results.cells[cell].state {
        CellState::Done(finished) => finished,
        other => panic!("cell {cell} is {}", other.word()),
    }
}

/// The dataset facts of an evaluation.
pub(crate) fn facts(finished: &mut Finished) -> &mut DatasetFacts {
    finished.eval.dataset.as_mut().expect("samples state their data")
}
