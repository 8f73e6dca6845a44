//! `dygl audit`: the paper against itself, as a process.

use std::fs;

use dygl_tests::lab::Lab;

/// A paper of two networks that agrees with itself.
const NUMBERS: &str = r#"
[[dataset]]
id = "one"
label = "One"
images = 10
resize = [224, 224]
train = 8
validation = 1
test = 1
modality = "x"
[[model]]
id = "unet"
label = "U-Net"
group = "cnn"
[[model]]
id = "dyglnet"
label = "DyGLNet"
group = "ours"
[[table]]
number = 2
dataset = "one"
metrics = ["dice"]
rows = [["unet", "80.00"], ["dyglnet", "84.00"]]
"#;

const SENTENCES: &str = r#"
[paper]
title = "A small paper"
[[claim]]
id = "first"
section = "4"
quote = "DyGLNet gains 4.00% over U-Net"
check = [
  { says = "best", model = "dyglnet", metrics = ["dice"] },
  { says = "gain", model = "dyglnet", over = "unet", dataset = "one", values = { dice = "4.00" } },
]
"#;

#[test]
fn the_built_in_paper_contradicts_itself() {
    let lab = Lab::default();
    let answer = lab.dygl(&["audit"]).exits(0);
    for told in ["1089 + 137 + 138 = 1364", "rank 4 of 13", "mixed-percentages", "networks change their rank"]
    {
        assert!(answer.stdout.contains(told), "{told} is missing in\n{}", answer.stdout);
    }
    assert_eq!(answer.stderr, "");
    assert!(!answer.stdout.contains("\nHeld ("));
    assert!(lab.dygl(&["audit", "--all"]).exits(0).stdout.contains("\nHeld ("));
    assert!(!lab.path().join(".dygl").exists(), "an audit needs no store");
}

#[test]
fn strict_is_for_scripts() {
    let lab = Lab::default();
    let json = lab.dygl(&["audit", "--strict", "--format", "json"]).exits(6).json();
    let findings = json["findings"].as_array().expect("a list");
    let sum = findings.iter().find(|finding| finding["id"] == "split-sum/brain-mri").expect("found");
    assert_eq!(sum["severity"], "contradiction");
    assert_eq!(sum["place"], "Table 1");
    assert_eq!(sum["figures"]["sum"], 1364.0);
    assert_eq!(sum["cells"][1]["printed"], "1089");
    // The ablations are counted, too.
    assert_eq!(json["unchecked"].as_array().expect("a list").len(), 0, "{}", json["unchecked"]);
    // Finding 10: what the worker counts, against what the paper prints.
    let counter = findings.iter().find(|finding| finding["id"] == "counter").expect("found");
    assert_eq!(counter["figures"]["true operations hiformer_b"], 7_820_465_856.0_f64);

    lab.write("claims.toml", SENTENCES);
    lab.write("numbers.toml", NUMBERS);
    let small = ["audit", "--claims", "claims.toml", "--reported", "numbers.toml", "--strict"];
    let answer = lab.dygl(&small).exits(0);
    assert!(answer.stdout.contains("1 sentences, 2 checks: 2 held, nothing found"), "{}", answer.stdout);
    lab.write("numbers.toml", NUMBERS.replace("84.00", "85.00"));
    let answer = lab.dygl(&small).exits(6);
    assert!(
        answer.stdout.contains("[first/gain]") && answer.stdout.contains("85.00 - 80.00"),
        "{}",
        answer.stdout
    );
}

#[test]
fn files_of_the_working_directory_come_before_the_built_in_ones() {
    let lab = Lab::default();
    lab.write("experiments/claims.toml", SENTENCES);
    lab.write("experiments/reported.toml", NUMBERS);
    assert!(lab.dygl(&["audit"]).exits(0).stdout.starts_with("A small paper\n"));
}

#[test]
fn mistakes_are_told_with_their_places() {
    let lab = Lab::default();
    lab.dygl(&["audit", "--claims", "absent.toml"]).exits(3);
    let broken = SENTENCES
        .replace("over = \"unet\"", "over = \"unett\"")
        .replace("says = \"best\"", "says = \"bets\"");
    lab.write("claims.toml", broken);
    lab.write("numbers.toml", NUMBERS);
    let answer = lab.dygl(&["audit", "--claims", "claims.toml", "--reported", "numbers.toml"]).exits(2);
    assert_eq!(answer.stdout, "");
    for told in
        ["claims.toml:9:", "claims.toml:10:", "did you mean `unet`?", "did you mean `best`?", "2 mistakes"]
    {
        assert!(answer.stderr.contains(told), "{told} is missing in\n{}", answer.stderr);
    }
    // Sentences about numbers that are not printed.
    lab.write(
        "claims.toml",
        SENTENCES.replace("metrics = [\"dice\"] }", "datasets = [\"one\"], table = 3 }"),
    );
    let answer = lab.dygl(&["audit", "--claims", "claims.toml", "--reported", "numbers.toml"]).exits(2);
    assert!(answer.stderr.contains("table 3 has no rows of `dyglnet`"), "{}", answer.stderr);
    lab.write("numbers.toml", NUMBERS.replace("\"84.00\"", "\"84,00\""));
    let answer = lab.dygl(&["audit", "--claims", "claims.toml", "--reported", "numbers.toml"]).exits(2);
    assert!(answer.stderr.contains("numbers.toml") && answer.stderr.contains("84,00"), "{}", answer.stderr);
}

#[test]
fn a_page_is_written_with_the_findings_as_data() {
    let lab = Lab::default();
    let answer = lab.dygl(&["audit", "--out", "pages/audit"]).exits(0);
    assert!(answer.stdout.trim_end().ends_with("pages/audit/index.html"), "{}", answer.stdout);
    let page = fs::read_to_string(lab.path().join("pages/audit/index.html")).expect("written");
    // With the worker beside it nothing about costs stays open, and the page adds up.
    assert!(!page.contains("<h2>Not checked"), "something was not checked");
    let fact = |name: &str| -> usize {
        let (_, rest) = page.split_once(&format!("<dt>{name}</dt><dd>")).expect("a fact");
        rest.split('<').next().expect("a number").parse().expect("a number")
    };
    assert_eq!(fact("Checks"), fact("Held") + fact("Findings") + fact("Not checked"));
    assert_eq!(fact("Findings"), fact("Findings of sentences") + fact("Findings without one"));
    assert!(page.contains("1089 + 137 + 138 = 1364") && page.contains("Brain-MRI Recall"));
    let data = fs::read_to_string(lab.path().join("pages/audit/audit.json")).expect("written");
    let data: serde_json::Value = serde_json::from_str(&data).expect("JSON");
    assert_eq!(page.matches("<article").count(), data["findings"].as_array().expect("a list").len());
}
