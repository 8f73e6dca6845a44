//! Loading as a whole: the shipped experiments, precedence, and what mistakes look
//! like.

use std::fs;

use dygl_testing::draws;
use proptest::prelude::*;

use super::testing::{FakeDatasets, experiment, load_text, load_with};
use super::*;
use crate::metric::Metric;

const HEAD: &str = "[experiment]\nname = 'test'\ntitle = 'T'\nquestion = 'Q'\n";
const MATRIX: &str = "[matrix]\nmodel = ['unet']\ndataset = ['ph2']\nseed = [42]\n";

fn text(rest: &str) -> String {
    format!("{HEAD}{MATRIX}{rest}")
}

fn messages(result: Result<Experiment, Diagnostics>) -> Vec<String> {
    result.expect_err("mistakes").list.into_iter().map(|d| d.message).collect()
}

#[test]
fn shipped_experiments_load_under_every_profile() {
    for shipped in embedded::EXPERIMENTS {
        for profile in [None, Some("paper"), Some("quick"), Some("smoke"), Some("slurm")] {
            let loaded = experiment(shipped.name, profile, &[]);
            assert_eq!(loaded.name, shipped.name);
            assert_eq!(loaded.marks.iter().count(), schema::SETTINGS.len());
            assert!(shipped.text.starts_with("# Question:"), "{}", shipped.path);
        }
    }
}

#[test]
fn the_paper_profile_changes_nothing_and_the_others_say_what_they_change() {
    for profile in [None, Some("slurm")] {
        let paper = experiment("table2", profile, &[]);
        assert!(
            paper.departures.is_empty() && paper.profile.substitutes.is_empty() && !paper.profile.partial
        );
    }
    let quick = experiment("table2", Some("quick"), &[]);
    assert!(quick.profile.partial);
    assert_eq!(quick.profile.substitutes.len(), 1);
    assert!(quick.departures.iter().any(|d| d.to_string() == "train.epochs = 12 instead of 130"));
    assert_eq!(quick.marks.get("train.epochs"), Some(Mark::Profile));
    let smoke = experiment("table2", Some("smoke"), &[]);
    let used: Vec<&str> = smoke.matrix.datasets().iter().map(|d| d.used.name.as_str()).collect();
    assert_eq!(used, ["phantom-polyp", "phantom-polyp"]);
}

#[test]
fn later_layers_win() {
    let file = text("[protocol.train]\nepochs = 50\n[ops]\njobs = 3\n");
    let loaded = load_with(&file, Some("quick"), &["train.batch_size=2", "ops.threads=1"]).expect("valid");
    assert_eq!((loaded.protocol.train.epochs, loaded.protocol.train.batch_size), (50, 2));
    assert_eq!(loaded.protocol.image.size, 64);
    assert_eq!(loaded.marks.get("train.epochs"), Some(Mark::Experiment));
    assert_eq!(loaded.marks.get("train.batch_size"), Some(Mark::CommandLine));
    assert_eq!((loaded.ops.jobs, loaded.ops.threads, loaded.ops.timeout_hours), (3, 1, 1.0));
    assert_eq!(loaded.ops.data.to_str(), Some("datasets"));
}

#[test]
fn set_overrides_replaces_and_adds_axes() {
    let file = text("");
    let load = |set: &[&str]| load_with(&file, None, set).expect("valid").matrix;
    assert_eq!(load(&["seed=1,2,3"]).seeds(), [1, 2, 3]);
    assert_eq!(load(&["model=unet,dyglnet"]).models().len(), 2);
    assert_eq!(load(&["model=unet,variant=table-exact"]).models()[0].label, "Unet (variant=table-exact)");
    assert_eq!(load(&["loss.lambda=0.3,0.5"]).settings()[0].path(), "loss.lambda");
    let axis = text("").replace("seed = [42]", "seed = [42]\n'loss.lambda' = [0.3, 0.5]");
    let single = load_with(&axis, None, &["loss.lambda=0.4"]).expect("valid");
    assert_eq!((single.matrix.settings().len(), single.protocol.loss.lambda), (0, 0.4));
    let last =
        load_with(&file, None, &["loss.dice_pooling=batch", "loss.dice_pooling=image"]).expect("valid");
    assert_eq!(last.protocol.loss.dice_pooling, protocol::Pooling::Image);
    let list = load_with(&file, None, &["ops.slurm_args=--a=1,--b"]).expect("valid");
    assert_eq!(list.ops.slurm_args, ["--a=1", "--b"]);
}

#[test]
fn a_single_value_leaves_its_zip() {
    let file = format!(
        "{HEAD}[matrix]\nmodel = ['unet', 'dyglnet']\ndataset = ['ph2']\nseed = [1, 2]\nzip = [['model', 'seed']]\n"
    );
    let count =
        |set: &[&str]| crate::plan::Plan::expand(&load_with(&file, None, set).expect("valid")).cells.len();
    assert_eq!(count(&[]), 2);
    assert_eq!(count(&["seed=7"]), 2);
    assert_eq!(count(&["seed=7,8"]), 2);
}

#[test]
fn axes_are_zipped_on_the_command_line_in_the_place_of_the_file() {
    let file = format!(
        "{HEAD}[matrix]\nmodel = ['unet', 'dyglnet']\ndataset = ['ph2']\nseed = [1, 2]\nzip = [['model', 'seed']]\n"
    );
    let plan = |set: &[&str]| crate::plan::Plan::expand(&load_with(&file, None, set).expect("valid")).cells;
    let rates = "optimizer.learning_rate=1e-3,1e-2";
    let powers = "schedule.power=1,2";
    assert_eq!(plan(&[rates, powers]).len(), 8);
    for zip in [
        "zip=optimizer.learning_rate,schedule.power",
        "zip=[\"optimizer.learning_rate\",\"schedule.power\"]",
        "zip=[['optimizer.learning_rate','schedule.power']]",
    ] {
        // Whatever comes first. The file's zip gives way.
        for set in [[zip, rates, powers], [rates, powers, zip]] {
            let cells = plan(&set);
            assert_eq!(cells.len(), 8, "{zip}");
            for planned in cells {
                let protocol = &planned.cell.protocol;
                assert_eq!(protocol.optimizer.learning_rate == 1e-3, protocol.schedule.power == 1.0);
            }
        }
    }
    assert_eq!(plan(&[rates, powers, "zip=model,seed"]).len(), 8);
    let both = "zip=[['model','seed'],['optimizer.learning_rate','schedule.power']]";
    assert_eq!(plan(&[rates, powers, both]).len(), 4);
    assert_eq!(plan(&["zip=[]"]).len(), 4);
    let refused = |set: &[&str]| messages(load_with(&file, None, set));
    assert_eq!(
        refused(&[rates, "schedule.power=1,2,3", "zip=optimizer.learning_rate,schedule.power"]),
        ["zipped axes must be equally long"]
    );
    assert_eq!(refused(&["zip=model,loss.lambda"]), ["the matrix has no axis `loss.lambda` to zip"]);
    assert_eq!(refused(&["zip=model"]), ["a zip needs at least two axes"]);
}

#[test]
fn whole_numbers_take_ranges() {
    let file = text("");
    let load = |set: &[&str]| load_with(&file, None, set).expect("valid").matrix;
    assert_eq!(load(&["seed=1..5"]).seeds(), [1, 2, 3, 4, 5]);
    assert_eq!(load(&["seed=1..3,7,10..30..10"]).seeds(), [1, 2, 3, 7, 10, 20, 30]);
    assert_eq!(load(&["seed=4..4"]).seeds(), [4]);
    let folds = load(&["split.source=k-fold", "split.fold=0..4"]);
    assert_eq!(folds.settings()[0].values().len(), 5);
    assert_eq!(load_with(&file, None, &["train.epochs=40..40"]).expect("valid").protocol.train.epochs, 40);
    let in_file = text("").replace("seed = [42]", "seed = ['1..3', 42]");
    assert_eq!(load_with(&in_file, None, &[]).expect("valid").matrix.seeds(), [1, 2, 3, 42]);
    for (set, told) in [
        ("seed=5..1", "`seed`: the range `5..1` runs backwards"),
        ("seed=1..", "`seed`: `1..` is no range of whole numbers"),
        ("loss.lambda=0.1..0.5", "`loss.lambda` must be a number"),
        ("split.fold=0..2000", "`split.fold` must be between 0 and 999"),
    ] {
        let found = messages(load_with(&file, None, &[set]));
        assert_eq!(found[0], told, "{found:?}");
    }
    let long = messages(load_with(&file, None, &["seed=0..99999999999"]));
    assert!(long[0].contains("at most 100000 cells"), "{long:?}");
    assert_eq!(messages(load_with(&file, None, &["seed=1..3,2"])), ["the same cells twice: seed=2"]);
}

#[test]
fn a_file_wins_over_the_built_in_one() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("experiments");
    fs::create_dir(&folder).expect("a folder");
    let load = |name: &str| {
        let request = Request { experiment: name, profile: None, set: &[], root: root.path() };
        super::load(&request, &FakeDatasets)
    };
    let shown = |loaded: &Experiment| loaded.sources.iter().map(ToString::to_string).collect::<Vec<_>>();
    let built_in = load("smoke").expect("valid");
    assert_eq!(
        shown(&built_in),
        [
            "built-in:experiments/smoke.toml",
            "built-in:experiments/protocol.toml",
            "built-in:experiments/profiles.toml"
        ]
    );
    fs::write(folder.join("smoke.toml"), text("")).expect("a file");
    let protocol = embedded::PROTOCOL.replace("epochs = 130", "epochs = 131");
    fs::write(folder.join("protocol.toml"), protocol).expect("a file");
    for name in ["smoke", "experiments/smoke.toml"] {
        let loaded = load(name).expect("valid");
        assert_eq!((loaded.name.as_str(), loaded.protocol.train.epochs), ("test", 131));
        assert_eq!(
            shown(&loaded),
            ["experiments/smoke.toml", "experiments/protocol.toml", "built-in:experiments/profiles.toml"]
        );
    }
    let missing = load("smok").expect_err("no such experiment");
    assert_eq!(missing.list[0].help[0], "did you mean `smoke`?");
    assert_eq!(
        known_experiments(root.path()),
        ["ablation", "fig1", "smoke", "table1", "table2", "table3", "table4", "table5", "table6", "table7"]
    );
    assert!(load("nowhere/x.toml").is_err());
}

#[test]
fn a_billion_cells_are_refused_before_they_are_made() {
    let many: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
    let fractions: Vec<String> = (0..1000).map(|i| format!("{}", f64::from(i) / 1000.0)).collect();
    let file = format!(
        "{HEAD}[matrix]\nmodel=['unet']\ndataset=['ph2']\nseed=[{}]\nloss.lambda=[{}]\naugment.horizontal_flip=[{}]\n",
        many.join(","),
        fractions.join(","),
        fractions.join(",")
    );
    let start = std::time::Instant::now();
    assert_eq!(messages(load_text(&file)), ["the matrix has 1000000000 cells; at most 100000 are allowed"]);
    assert!(start.elapsed().as_secs() < 5);
}

#[test]
fn mistakes_between_values_are_found() {
    for (rest, set, message) in [
        ("[protocol.train]\nepochs = 5", "", "a warm-up of 10 epochs does not end within 5"),
        ("", "train.epochs=130,7", "a warm-up of 10 epochs does not end within 7"),
        (
            "[protocol.selection]\nrule='best-dice'\nevery=0",
            "",
            "the best epoch cannot be selected: `selection.every` is 0, which scores no epoch",
        ),
        (
            "[protocol.train]\ndrop_last=true\nimages_per_epoch=8",
            "",
            "with `train.drop_last`, 8 images make no full batch of 16",
        ),
        (
            "[protocol.loss]\nlambda=0.4\n[matrix.loss]\nlambda=[0.3]",
            "",
            "`loss.lambda` is set here and is an axis of the matrix",
        ),
        ("", "seed=4,4", "the same cells twice: seed=4"),
        ("", "model=unet,unet,variant=published", "the same cells twice: model=unet"),
        (
            "",
            "model=unet,{name='unet',variant='table-exact',label='Unet'}",
            "two networks have the label `Unet`",
        ),
        ("", "image.size=16", "`unet` cannot take images of 16 px; the nearest valid size is 32"),
    ] {
        let set: Vec<&str> = if set.is_empty() { Vec::new() } else { vec![set] };
        assert_eq!(messages(load_with(&text(rest), None, &set)), [message]);
    }
}

#[test]
fn selecting_on_the_reported_part_is_allowed_and_said() {
    let rest = "[protocol.selection]\nrule = 'best-dice'\npart = 'test'\n";
    assert_eq!(load_text(&text(rest)).expect("valid").warnings.len(), 1);
    assert_eq!(load_text(&text("")).expect("valid").warnings.len(), 0);
}

#[test]
fn the_papers_tables_are_laid_out_as_in_the_paper() {
    let six = Metric::ALL.to_vec();
    let four = vec![Metric::Dice, Metric::Iou, Metric::Precision, Metric::Accuracy];
    for (number, datasets, metrics, arrange) in [
        (2, &["kvasir-seg", "cvc-clinicdb"][..], &six, Arrange::Below),
        (3, &["brain-mri"], &six, Arrange::Below),
        (4, &["isic2016", "ph2"], &four, Arrange::Beside),
        (5, &["glas", "tnbc"], &four, Arrange::Beside),
    ] {
        let table = experiment(&format!("table{number}"), None, &[]);
        let asked: Vec<&str> = table.matrix.datasets().iter().map(|d| d.asked.name.as_str()).collect();
        assert_eq!((asked.as_slice(), &table.table.metrics), (datasets, metrics), "table {number}");
        assert_eq!((table.table.paper_table, table.table.arrange), (number, arrange));
        // Every place has its printed number, and none is left over.
        let printed = reported::embedded().expect("readable");
        let places: Vec<_> = printed.iter().filter(|v| v.table == number).collect();
        assert_eq!(places.len(), 13 * datasets.len() * metrics.len());
        assert!(places.iter().all(|v| datasets.contains(&v.dataset)), "table {number}");
        assert!(places.iter().all(|v| metrics.iter().any(|m| m.name() == v.metric)), "table {number}");
        // The networks that there are, in the paper's order, and every one of them.
        let order: Vec<&str> = printed.models.iter().map(|m| m.id.name.as_str()).collect();
        let models: Vec<&str> = table.matrix.models().iter().map(|m| m.model.name.as_str()).collect();
        let known: Vec<&str> =
            network::NETWORKS.iter().map(|n| n.name).filter(|name| order.contains(name)).collect();
        assert_eq!(models, known, "table {number}");
        assert!(models.is_sorted_by_key(|name| order.iter().position(|known| known == name)));
    }
    let table1 = experiment("table1", None, &[]);
    let asked: Vec<&str> = table1.matrix.datasets().iter().map(|d| d.asked.name.as_str()).collect();
    let printed = reported::embedded().expect("readable");
    assert_eq!(asked, printed.datasets.iter().map(|d| d.id.as_str()).collect::<Vec<_>>());
}

#[test]
fn the_ablation_and_the_costs_have_the_papers_rows() {
    let printed = reported::embedded().expect("readable");
    let rows = |name: &str| -> Vec<String> {
        let models = experiment(name, None, &[]).matrix.models().to_vec();
        models.iter().map(|choice| choice.model.to_string()).collect()
    };
    let of_table = |number: u8| -> Vec<String> {
        let mut rows: Vec<String> =
            printed.iter().filter(|v| v.table == number).map(|v| v.model.to_string()).collect();
        let mut seen = std::collections::BTreeSet::new();
        rows.retain(|model| seen.insert(model.clone()));
        rows
    };
    assert_eq!(rows("table6"), of_table(6));
    // One row more: Unet as published, and the variant that has the paper's count.
    assert_eq!(rows("table7")[1], "unet,variant=table-exact");
    let without: Vec<String> =
        rows("table7").into_iter().filter(|model| model != "unet,variant=table-exact").collect();
    assert_eq!((&without, &rows("fig1")), (&of_table(7), &of_table(7)));
    // Every reading stands beside the numbers of the row that it reads.
    let readings = experiment("ablation", None, &[]);
    for choice in readings.matrix.models() {
        for dataset in readings.matrix.datasets() {
            let value = printed.value(6, &dataset.asked.name, &choice.model, "dice");
            assert!(value.is_some(), "{} on {}", choice.model, dataset.asked);
        }
    }
    assert_eq!(readings.matrix.models().len(), 15);
}

#[test]
fn tables_without_runs_need_no_axes() {
    let file = format!("{HEAD}[matrix]\ndataset = ['ph2']\n[table]\nkind = 'datasets'\npaper_table = 1\n");
    let loaded = load_text(&file).expect("valid");
    assert!(crate::plan::Plan::expand(&loaded).cells.is_empty());
    assert_eq!(
        messages(load_text(HEAD)),
        [
            "[matrix] lacks the axis `model`",
            "[matrix] lacks the axis `dataset`",
            "[matrix] lacks the axis `seed`"
        ]
    );
}

/// One file with a dozen different mistakes, and mistaken arguments besides.
#[test]
fn an_experiment_is_json() {
    let json =
        serde_json::to_value(experiment("table2", Some("smoke"), &["loss.lambda=0.3,0.5"])).expect("json");
    assert_eq!(json["matrix"]["settings"][0]["path"], "loss.lambda");
    assert_eq!(json["matrix"]["datasets"][0]["asked"], "kvasir-seg");
    assert_eq!(json["marks"]["loss.lambda"], "command-line");
    assert_eq!(json["table"]["metrics"][0], "dice");
    assert_eq!(json["sources"][0], "built-in:experiments/table2.toml");
}

proptest! {
    #![proptest_config(draws(128))]

    /// Whatever stands in the file: an experiment or mistakes that can be shown.
    #[test]
    fn no_text_breaks_the_loader(from in 0_usize..700, len in 0_usize..40, noise in "[\\PC\n\\[\\]\"',=.]{0,12}", set in "\\PC{0,20}") {
        let text = embedded::experiment("table2").expect("shipped").text;
        let clamp = |i: usize| (0..=i.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        let (start, end) = (clamp(from), clamp(from + len));
        let broken = format!("{}{noise}{}", &text[..start], &text[end..]);
        for set in [vec![], vec![set.as_str()]] {
            if let Err(diagnostics) = load_with(&broken, None, &set) {
                prop_assert!(!diagnostics.is_empty());
                prop_assert!(diagnostics.to_string().contains("mistake"));
                prop_assert_eq!(diagnostics.entries().len(), diagnostics.len());
            }
        }
    }
}
