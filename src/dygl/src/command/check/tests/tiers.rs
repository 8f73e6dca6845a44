//! Every tier with its words, and the forms of an answer.

use super::*;

#[test]
fn held_is_enough_unless_identical_is_required() {
    let bench = Bench::locked();
    bench.score(|model, seed, lambda| {
        let sway = |place: usize| if place.is_multiple_of(2) { 0.0002 } else { -0.0002 };
        usual(model, seed, lambda).iter().enumerate().map(|(place, dice)| dice + sway(place)).collect()
    });
    bench.run(&[]);
    let output = bench.check(&["--format", "json"]).exits(0);
    let cells = output.json()["cells"].clone();
    assert_eq!((&cells[0]["tier"], &cells[0]["level"]), (&"held".into(), &0.9.into()));
    assert!(cells[0]["reason"].as_str().expect("a reason").starts_with("equivalent (90 % interval"));
    assert!(cells[0]["low"].as_f64() < Some(0.0) && cells[0]["high"].as_f64() > Some(0.0));
    bench.check(&["--require", "identical"]).exits(6).says("held: unet on");
}

#[test]
fn a_wide_interval_is_said_and_passes_and_far_images_are_named() {
    let bench = Bench::locked();
    bench.score(|model, seed, lambda| {
        let sway = |place: usize| if place.is_multiple_of(2) { 0.105 } else { -0.105 };
        usual(model, seed, lambda).iter().enumerate().map(|(place, dice)| dice + sway(place)).collect()
    });
    bench.run(&[]);
    bench
        .check(&["--filter", "model=unet"])
        .exits(0)
        .says("held: unet on")
        .says("a loss of up to 4.17 points is not excluded")
        .says("20 images (image00 (")
        .says("and 15 more) moved by more than 10 points");
}

#[test]
fn a_loss_below_the_tolerance_that_every_image_shares_is_worse() {
    let bench = Bench::locked();
    bench.score(|model, seed, lambda| usual(model, seed, lambda).iter().map(|dice| dice - 0.007).collect());
    bench.run(&[]);
    bench
        .check(&["--filter", "model=unet"])
        .exits(6)
        .says("worse: unet on")
        .says("95 % interval by image -0.70 to -0.70");
    // Without the images it is within the tolerance.
    fs::remove_file(bench.folder.path().join(TABLE)).expect("removed");
    bench.check(&[]).exits(0).says("4 held");
}

#[test]
fn a_gain_fails_unless_it_is_allowed() {
    let bench = Bench::locked();
    bench.score(|model, seed, lambda| usual(model, seed, lambda).iter().map(|dice| dice + 0.05).collect());
    bench.run(&[]);
    bench.check(&[]).exits(6).says("better: unet on").says("4 better");
    bench.check(&["--allow-better"]).exits(0).says("accept it: `dygl check tiny --accept`");
    bench.check(&["--accept"]).exits(0);
    bench.check(&["--require", "identical"]).exits(0);
}

#[test]
fn tolerances_come_from_seeds_where_there_are_three() {
    let bench = Bench::new();
    let three = ["--set", "seed=1,2,3"];
    bench.run(&three);
    let call = [&three[..], &["--accept", "--tolerance", "from-seeds"]].concat();
    bench.check(&call).exits(0).says("tolerances of 6 cells");
    // Seeds differ by 0.02: two standard deviations are 0.04.
    assert!(bench.text(LOCK).contains("tolerance = { dice = 0.04, iou = "), "{}", bench.text(LOCK));
    bench.score(|model, seed, lambda| {
        let by = |place: usize| if place.is_multiple_of(2) { 0.1 } else { -0.04 };
        usual(model, seed, lambda).iter().enumerate().map(|(place, dice)| dice + by(place)).collect()
    });
    bench.run(&three);
    let answer = bench.check(&[&three[..], &["--format", "json"]].concat()).exits(0).json();
    let dice = &answer["cells"]
        .as_array()
        .expect("cells")
        .iter()
        .find(|row| row["metric"] == "dice")
        .expect("a row");
    assert_eq!((&dice["tier"], &dice["allowed"]), (&"held".into(), &0.04.into()));
    // Accepting again keeps what is set.
    bench.check(&[&three[..], &["--accept"]].concat()).exits(0);
    assert!(bench.text(LOCK).contains("tolerance = { dice = 0.04"));
}

#[test]
fn a_lock_whose_mean_was_edited_fails() {
    let bench = Bench::locked();
    // As `.ci/run` does it with sed.
    bench.edit(LOCK, "\ndice = 0.", "\ndice = 1.");
    bench.check(&[]).exits(6).says("worse: ").says("at odds with itself").says("2 identical, 2 worse");
    fs::remove_file(bench.folder.path().join(TABLE)).expect("removed");
    bench.check(&[]).exits(6).says("at odds with itself");
}

#[test]
fn an_edited_table_is_noticed() {
    let bench = Bench::locked();
    let first = bench.text(TABLE).lines().nth(1).expect("a row").to_owned();
    let (head, _) = first.rsplit_once(",0.").expect("a score");
    let (head, _) = head.rsplit_once(",0.").expect("a score");
    bench.edit(TABLE, &first, &format!("{head},0.00000,0.00000"));
    bench.check(&[]).exits(7).says("unknown: dyglnet on").says("at odds with itself");
    bench.edit(TABLE, "model,", "network,");
    bench.check(&[]).exits(2).says("tiny.lock.csv:1: there is no column `model`");
}

#[test]
fn other_images_and_missing_scores_are_not_compared_in_silence() {
    let bench = Bench::locked();
    bench.score(|model, seed, lambda| usual(model, seed, lambda)[..19].to_vec());
    bench.run(&[]);
    bench.check(&[]).exits(7).says("19 images were scored, 20 accepted");
    // A score that is accepted of some cells alone, each with a tolerance of its own.
    let bench = Bench::locked();
    let iou = bench.text(LOCK).lines().find(|line| line.starts_with("iou = ")).expect("a score").to_owned();
    bench.edit(LOCK, &format!("{iou}\n"), "");
    bench.edit(LOCK, "[tolerance.iou]\nabsolute = 0.01\n", "");
    let text = bench.text(LOCK);
    let (head, last) = text.rsplit_once("\n[cell.settings]").expect("two cells");
    bench.write(LOCK, &format!("{head}tolerance = {{ iou = 0.01 }}\n\n[cell.settings]{last}"));
    bench.check(&[]).exits(7).says("unknown: dyglnet on").says("IoU").says("no value of it was accepted");
}

#[test]
fn cells_without_a_result_have_their_codes() {
    let bench = Bench::locked();
    bench.run(&["--filter", "model=unet"]);
    bench.check(&[]).exits(7).says("missing: dyglnet on").says("never run").says("2 identical, 1 missing");
    bench.check(&["--accept"]).exits(7).says("is missing: never run");
    bench.experiment(r#"["unet", "dyglnet", "m2snet"]"#);
    bench.run(&["--filter", "model=unet|m2snet"]);
    bench.check(&["--filter", "model=m2snet"]).exits(7).says("unknown: m2snet on").says("--accept adds it");
    let altered = bench.folder.path().join(".dygl/store");
    let scores = find(&altered, "per_image.csv").expect("scores");
    fs::write(scores, "id,dice\n").expect("written");
    bench.check(&[]).exits(5).says("altered: ");
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    entries
        .filter_map(
            |path| if path.is_dir() { find(&path, name) } else { path.ends_with(name).then_some(path) },
        )
        .min()
}

#[test]
fn reports_are_written_as_files() {
    let bench = Bench::locked();
    bench.run(&["--filter", "model=unet"]);
    let path = |name: &str| bench.folder.path().join(name).display().to_string();
    bench.check(&["--junit", &path("junit.xml"), "--markdown", &path("check.md")]).exits(7);
    let junit = bench.text("junit.xml");
    for part in [
        "<testsuite name=\"tiny\" tests=\"3\" failures=\"0\" errors=\"0\" skipped=\"1\"",
        "<property name=\"numerics\" value=\"flex\"/>",
        "name=\"dice\"/>",
        "<skipped message=\"never run\"/>",
    ] {
        assert!(junit.contains(part), "{part} is missing in\n{junit}");
    }
    let markdown = bench.text("check.md");
    assert!(
        markdown.contains("| missing | dyglnet on") && markdown.contains("| identical | unet on"),
        "{markdown}"
    );
}

#[test]
fn many_images_are_kept_on_request_alone() {
    let bench = Bench::new();
    bench.score(|model, seed, lambda| (0..2_500).map(|i| usual(model, seed, lambda)[i % 20]).collect());
    bench.run(&[]);
    bench.check(&["--accept"]).exits(0).says("5000 images").says("--per-image keeps them");
    assert!(!bench.folder.path().join(TABLE).exists());
    bench.check(&["--require", "identical"]).exits(0);
    bench.check(&["--accept", "--per-image"]).exits(0);
    assert_eq!(bench.text(TABLE).lines().count(), 5_001);
    bench.check(&["--accept"]).exits(0);
    assert!(!bench.folder.path().join(TABLE).exists(), "what is not kept is removed");
}

#[test]
fn contradictory_calls_are_refused() {
    let bench = Bench::locked();
    bench.check(&["--against", "paper", "--accept"]).exits(2);
    bench.check(&["--against", "paper", "--require", "identical"]).exits(2);
    bench.check(&["--allow-better", "--require", "identical"]).exits(2);
    bench.edit(LOCK, "profile = \"paper\"", "profile = \"quick\"");
    bench.check(&[]).exits(2).says("give --profile quick");
    bench.check(&["--accept"]).exits(2);
    fs::remove_file(bench.folder.path().join(LOCK)).expect("removed");
    bench.check(&[]).exits(7).says("experiments/tiny.lock.toml does not exist").says("--accept` writes it");
    bench.check(&["--against", "paper"]).exits(7).says("not comparable");
    for words in
        [&["--prune"][..], &["--per-image"], &["--tolerance", "from-seeds"], &["--accept", "--github"]]
    {
        let words = ["dygl", "check", "tiny"].into_iter().chain(words.iter().copied());
        assert!(Cli::try_parse_from(words).is_err());
    }
}
