//! What passed once and must not: a lock with holes, and results that are not its cells'.

use super::*;

#[test]
fn what_was_accepted_is_identical() {
    let bench = Bench::locked();
    bench.check(&[]).exits(0).says("4 scores: 4 identical");
    let output = bench.check(&["--require", "identical"]).exits(0);
    assert_eq!(output.stdout, "");
    let lock = bench.text(LOCK);
    for part in [
        "lock = 2",
        "model = \"dyglnet\"",
        "numerics = \"flex\"",
        "threads = 1",
        "images = 20",
        "scores_digest = ",
        "keys = { train = ",
        "date = \"2",
        "image.size = 32",
        "[tolerance.dice]\nabsolute = 0.01\n",
    ] {
        assert!(lock.contains(part), "{part} is missing in\n{lock}");
    }
    assert!(!lock.contains("relative") && !lock.contains("simd"), "{lock}");
    let table = bench.text(TABLE);
    assert_eq!(table.lines().count(), 41);
    assert!(table.starts_with("model,dataset,seed,image,dice,iou\ndyglnet,"), "{table}");
}

#[test]
fn a_locked_cell_that_left_the_experiment_is_missing() {
    let bench = Bench::locked();
    bench.experiment(r#"["unet"]"#);
    bench.check(&[]).exits(7).says("missing: dyglnet on").says("--accept --prune");
    // The filter of other cells does not look at it, one of its own does.
    bench.check(&["--filter", "model=unet"]).exits(0).says("2 scores: 2 identical");
    bench.check(&["--filter", "model=dyglnet"]).exits(7).says("missing: dyglnet on");
    bench.check(&["--filter", "model=swin*"]).exits(4);
    bench.check(&["--accept", "--prune"]).exits(0).says("pruned: dyglnet on");
    bench.check(&[]).exits(0);
    assert!(!bench.text(LOCK).contains("dyglnet") && !bench.text(TABLE).contains("dyglnet"));
}

#[test]
fn a_score_without_a_tolerance_is_a_mistake_of_the_lock() {
    let bench = Bench::locked();
    let whole = bench.text(LOCK);
    bench.edit(LOCK, "[tolerance.dice]\nabsolute = 0.01\n", "");
    bench
        .check(&[])
        .exits(2)
        .says("tiny.lock.toml:")
        .says("`dice` of 2 cells has no tolerance")
        .says("--accept");
    // Without any at all, every score is named.
    bench.edit(LOCK, "[tolerance.iou]\nabsolute = 0.01\n", "[tolerance]\n");
    bench.check(&[]).exits(2).says("`dice` of 2 cells").says("`iou` of 2 cells");
    bench.check(&["--require", "identical"]).exits(2);
    // Accepting fills the holes and says so.
    bench.check(&["--accept"]).exits(0).says("no tolerance for dice: 0.01 is written").says("2 unchanged");
    assert_eq!(bench.text(LOCK), whole);
    bench.check(&[]).exits(0);
}

#[test]
fn a_tolerance_without_a_score_is_a_mistake_too() {
    let bench = Bench::locked();
    let whole = bench.text(LOCK);
    bench.edit(LOCK, "[tolerance.iou]", "[tolerance.recall]\nabsolute = 0.01\n\n[tolerance.iou]");
    bench.check(&[]).exits(2).says("tiny.lock.toml:13: [tolerance.recall]: no cell has such a score");
    bench.check(&["--accept"]).exits(0).says("the tolerance for recall is dropped");
    assert_eq!(bench.text(LOCK), whole);
    // Of one cell of several.
    let dice = whole.lines().find(|line| line.starts_with("dice = ")).expect("a score");
    bench.edit(LOCK, &format!("{dice}\n"), "");
    bench.check(&[]).exits(2).says("dyglnet on").says("has a tolerance for `dice` and no such score");
    bench.check(&["--filter", "model=unet"]).exits(2);
    // All of a cell's, and its tolerances with them.
    bench.write(LOCK, &whole);
    let scores: Vec<&str> =
        whole.lines().filter(|line| line.starts_with("dice = ") || line.starts_with("iou = ")).collect();
    scores.iter().for_each(|score| bench.edit(LOCK, &format!("{score}\n"), ""));
    for metric in ["dice", "iou"] {
        bench.edit(LOCK, &format!("[tolerance.{metric}]\nabsolute = 0.01\n"), "");
    }
    bench.check(&[]).exits(7).says("no score of it was accepted").says("2 unknown");
}

#[test]
fn a_tolerance_that_cannot_fail_is_refused() {
    for (old, new) in [
        ("absolute = 0.01\n\n[tolerance.iou]", "absolute = 1.0\n\n[tolerance.iou]"),
        ("absolute = 0.01\n\n[tolerance.iou]", "absolute = 0.0\nrelative = 7\n\n[tolerance.iou]"),
        ("absolute = 0.01\n\n[tolerance.iou]", "absolute = 0.9\n\n[tolerance.iou]"),
    ] {
        let bench = Bench::locked();
        bench.edit(LOCK, old, new);
        bench.check(&[]).exits(2).says("the tolerance for `dice` of unet on").says("lets every score pass");
    }
    let bench = Bench::locked();
    bench.edit(LOCK, "\n[cell.settings]", "tolerance = { dice = 1.0 }\n\n[cell.settings]");
    bench.check(&[]).exits(2).says("lets every score pass");
    let bench = Bench::locked();
    bench.edit(LOCK, "absolute = 0.01", "absolute = inf");
    bench.check(&[]).exits(2).says("tolerance.dice.absolute");
}

#[test]
fn a_lock_is_of_the_experiment_that_it_names() {
    let bench = Bench::locked();
    bench.edit(LOCK, "experiment = \"tiny\"", "experiment = \"other\"");
    bench.check(&[]).exits(2).says("holds the results of the experiment `other`, not of `tiny`");
    bench.check(&["--accept"]).exits(2);
}

#[test]
fn one_experiment_has_one_lock_by_every_name() {
    let bench = Bench::new();
    // The name within the file is another than the file's.
    bench.edit("experiments/tiny.toml", "name = 'tiny'", "name = 'little'");
    bench.run(&[]);
    bench.check(&["--accept"]).exits(0);
    assert!(bench.text(LOCK).contains("experiment = \"little\""));
    let by_path = bench.folder.path().join("experiments/tiny.toml").display().to_string();
    // The working directory is another in this process: by its whole path.
    bench.check(&[&by_path]).exits(0).says("8 scores: 8 identical");
    bench.check(&["--accept", &by_path]).exits(0).says("2 unchanged");
    assert!(!bench.folder.path().join("experiments/little.lock.toml").exists());
}

#[test]
fn where_nothing_is_compared_nothing_holds() {
    let bench = Bench::locked();
    bench.write(
        "experiments/tiny.toml",
        "[experiment]\nname = 'tiny'\ntitle = 'T'\nquestion = '?'\n[matrix]\ndataset = ['ph2']\n[table]\nkind = 'datasets'\n",
    );
    bench.check(&["--against", "paper"]).exits(7).says("nothing to compare");
    // An empty lock holds nothing, either.
    let empty = Bench::locked();
    let text = empty.text(LOCK);
    empty.write(LOCK, text.split("[[cell]]").next().expect("a head"));
    empty.check(&[]).exits(7).says("2 unknown").says("nothing was accepted for it");
    bench.check(&[]).exits(7).says("2 missing");
}

#[test]
fn a_tolerance_of_an_unknown_metric_is_refused_with_its_place() {
    let bench = Bench::locked();
    bench.edit(LOCK, "[tolerance.dice]", "[tolerance.dise]");
    bench.check(&[]).exits(2).says("tiny.lock.toml:10:12").says("did you mean `dice`?");
    bench.check(&["--accept"]).exits(2);
}

#[test]
fn accepting_a_part_leaves_the_rest_byte_for_byte() {
    let bench = Bench::new();
    bench.run(&[]);
    bench.check(&["--accept"]).exits(0).says("added: unet on").says("2 added, 0 changed");
    let before = (bench.text(LOCK), bench.text(TABLE));
    bench
        .check(&["--accept", "--filter", "model=unet"])
        .exits(0)
        .says("kept: dyglnet on")
        .says("1 unchanged, 1 kept");
    assert_eq!((bench.text(LOCK), bench.text(TABLE)), before);
    bench.check(&["--accept"]).exits(0).says("0 added, 0 changed, 2 unchanged, 0 kept, 0 pruned");
    assert_eq!((bench.text(LOCK), bench.text(TABLE)), before);
    // A cell that moved replaces its own entry and nothing else.
    bench.score(|model, seed, lambda| {
        let by = if model == "unet" { 0.03 } else { 0.0 };
        usual(model, seed, lambda).iter().map(|dice| dice + by).collect()
    });
    bench.run(&[]);
    bench
        .check(&["--accept", "--filter", "model=unet"])
        .exits(0)
        .says("changed: unet on")
        .says("Dice ")
        .says(" -> ");
    let lines = |text: &str, of: &str| -> Vec<String> {
        text.split("[[cell]]").filter(|cell| cell.contains(of)).map(str::to_owned).collect()
    };
    assert_eq!(lines(&bench.text(LOCK), "\"dyglnet\""), lines(&before.0, "\"dyglnet\""));
    assert_ne!(lines(&bench.text(LOCK), "\"unet\""), lines(&before.0, "\"unet\""));
    bench.check(&[]).exits(0).says("4 identical");
}

#[test]
fn a_lock_of_another_class_is_said_and_never_identical() {
    let bench = Bench::locked();
    bench.edit(LOCK, "numerics = \"flex\"", "numerics = \"libtorch-cpu\"");
    bench
        .check(&[])
        .exits(0)
        .says("4 scores: 4 other-numerics")
        .says("other-numerics: unet on")
        .says("accepted in class libtorch-cpu, found in flex");
    bench.check(&["--require", "identical"]).exits(6);
    bench.score(|model, seed, lambda| usual(model, seed, lambda).iter().map(|dice| dice - 0.05).collect());
    bench.run(&[]);
    bench.check(&[]).exits(6).says("worse: unet on").says("accepted in class libtorch-cpu");
}

#[test]
fn json_is_alone_on_standard_output() {
    let bench = Bench::locked();
    bench.edit(LOCK, "\ndice = 0.", "\ndice = 1.");
    let summary = bench.folder.path().join("summary.md");
    let output = bench.check_with(&["--format", "json", "--github"], Some(&summary)).exits(6);
    let answer = output.json();
    assert_eq!((&answer["schema"], &answer["exit"]), (&"dygl-check-2".into(), &6.into()));
    assert_eq!((&answer["counts"]["worse"], &answer["counts"]["identical"]), (&2.into(), &2.into()));
    assert_eq!(answer["cells"][0]["tier"], "worse");
    assert!(output.stderr.contains("::error file=experiments/tiny.lock.toml,line="), "{}", output.stderr);
    assert!(fs::read_to_string(&summary).expect("a summary").contains("| worse | dyglnet on"));
    // Without it they stand below the lines for people.
    let output = bench.check(&["--github"]).exits(6);
    assert!(
        output.stdout.contains("worse: ") && output.stdout.contains("\n::error file="),
        "{}",
        output.stdout
    );
    let accepted = bench.check(&["--accept", "--format", "json"]).exits(0).json();
    assert_eq!(accepted["accepted"][0]["changed"].as_array().map(Vec::len), Some(2));
}

#[test]
fn the_cells_of_a_sweep_are_told_apart() {
    let bench = Bench::new();
    let sweep = ["--set", "loss.lambda=0.3,0.5"];
    let call = |more: &[&'static str]| [&sweep[..], more].concat();
    bench.run(&sweep);
    bench.check(&call(&["--accept"])).exits(0).says("4 added");
    bench.check(&sweep).exits(0).says("8 scores: 8 identical");
    let listed = bench.check(&call(&["--format", "json"])).exits(0).json()["cells"].clone();
    let of = |key: &str| -> std::collections::BTreeSet<String> {
        listed.as_array().expect("rows").iter().map(|row| row[key].to_string()).collect()
    };
    assert_eq!((of("settings").len(), of("label").len(), of("cell").len()), (2, 4, 4), "{listed}");
    // The setting stands in the lock whatever its value, the protocol's own among them.
    let lock = bench.text(LOCK);
    assert_eq!(
        (lock.matches("lambda = 0.3").count(), lock.matches("lambda = 0.5").count()),
        (2, 2),
        "{lock}"
    );
    bench.edit(LOCK, "loss.lambda = 0.3\n", "loss.lambda = 0.5\n");
    bench.check(&sweep).exits(2).says("the cell is").says("again");
    bench.write(LOCK, &lock);
    // A filter by the setting takes the cells that have it, here and in the lock.
    bench.check(&call(&["--filter", "loss.lambda=0.3"])).exits(0).says("4 scores: 4 identical");
    let half = ["--set", "loss.lambda=0.3", "--filter", "loss.lambda=3e-1"];
    bench.check(&half).exits(0).says("4 scores: 4 identical");
    bench.check(&["--set", "loss.lambda=0.3", "--filter", "loss.lambda=0.5"]).exits(7).says("2 missing");
    let junit = bench.folder.path().join("junit.xml").display().to_string();
    bench.check(&[&sweep[..], &["--junit", &junit]].concat()).exits(0);
    let names: Vec<String> = bench
        .text("junit.xml")
        .lines()
        .filter(|line| line.contains("<testcase"))
        .map(|line| line.trim().trim_end_matches("/>").to_owned())
        .collect();
    assert_eq!(names.len(), 8);
    assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 8, "{names:?}");
    assert!(names[0].contains("(loss.lambda 0.3)"), "{names:?}");
    assert!(bench.text(TABLE).starts_with("model,dataset,seed,variant,image,"));
    // One of the two moves: that one is named.
    bench.score(|model, seed, lambda| {
        let by = if lambda < 0.4 { -0.05 } else { 0.0 };
        usual(model, seed, lambda).iter().map(|dice| dice + by).collect()
    });
    bench.run(&sweep);
    let output = bench.check(&sweep).exits(6).says("4 identical, 4 worse");
    assert!(output.stdout.contains("(loss.lambda 0.3)") && !output.stdout.contains("(loss.lambda 0.5)"));
    // A single setting is no other cell's: it is not taken for the one without.
    bench.check(&["--set", "loss.lambda=0.7"]).exits(7).says("stale: unet on");
    bench.run(&["--set", "loss.lambda=0.7"]);
    bench
        .check(&["--set", "loss.lambda=0.7"])
        .exits(7)
        .says("nothing was accepted for it")
        .says("2 unknown, 4 missing");
    bench.run(&sweep);
    // The protocol's own value is the cell without any.
    bench
        .check(&["--filter", "model=unet"])
        .exits(7)
        .says("under other settings (loss.lambda 0.3, now the protocol's)");
    bench.check(&["--accept", "--prune"]).exits(0).says("2 unchanged, 0 kept, 2 pruned");
    bench.check(&["--require", "identical"]).exits(0);
    assert!(bench.text(TABLE).starts_with("model,dataset,seed,image,"));
}

#[test]
fn a_lock_of_the_first_format_is_held_and_renewed() {
    let bench = Bench::locked();
    // As the first format had it: no settings, no images, a relative part.
    let mut first = String::new();
    let mut is_settings = false;
    for line in bench.text(LOCK).lines() {
        is_settings = line == "[cell.settings]" || (is_settings && !line.starts_with('['));
        let new = ["lock", "threads", "commit", "date", "images", "scores_digest", "keys", "simd", "groups"];
        if !is_settings && !new.iter().any(|key| line.starts_with(&format!("{key} = "))) {
            first.push_str(&format!("{line}\n"));
        }
        if line == "absolute = 0.01" {
            first.push_str("relative = 0.01\n");
        }
    }
    bench.write(LOCK, &first);
    fs::remove_file(bench.folder.path().join(TABLE)).expect("removed");
    bench.check(&[]).exits(0).says("is of format 1").says("4 scores: 4 held");
    bench.check(&["--require", "identical"]).exits(6).says("held: unet on").says("accept again");
    // It knows no settings, so a cell with its own is none of its cells.
    bench.check(&["--set", "loss.lambda=0.3"]).exits(7).says("knows no settings");
    bench.check(&["--accept", "--filter", "model=unet"]).exits(0).says("1 unchanged, 1 kept");
    bench.check(&["--accept"]).exits(0).says("2 unchanged, 0 kept");
    assert!(!bench.text(LOCK).contains("relative"));
    bench.check(&["--require", "identical"]).exits(0);
}

#[test]
fn two_results_that_the_first_format_cannot_tell_apart_are_not_taken_for_one() {
    let bench = Bench::locked();
    let cell = "[[cell]]\nmodel = 'unet'\ndataset = 'phantom-polyp,count=12,seed=1,size=32'\nseed = 42\n\
                numerics = 'flex'\n[cell.scores]\ndice = 0.5\n";
    let tolerance = "[tolerance.dice]\nabsolute = 0.01\n";
    bench.write(LOCK, &format!("experiment = 'tiny'\nprofile = 'paper'\n{tolerance}{cell}{cell}"));
    bench.check(&["--filter", "model=unet"]).exits(7).says("cannot tell apart; accept again");
    bench.check(&["--accept"]).exits(0).says("pruned: unet on").says("1 pruned");
    assert_eq!(bench.text(LOCK).matches("[[cell]]").count(), 2);
}
