//! The command line's contract: exit codes, streams, JSON.

use dygl_tests::lab::Lab;

#[test]
fn every_verb_explains_itself_with_an_example() {
    let lab = Lab::default();
    for verb in [
        "plan",
        "run",
        "status",
        "explain",
        "report",
        "check",
        "audit",
        "show",
        "logs",
        "reproduce",
        "predict",
        "dataset",
        "model",
        "store",
        "doctor",
    ] {
        let help = lab.dygl(&[verb, "--help"]).exits(0);
        assert!(help.stdout.contains("Example:"), "{verb}: {}", help.stdout);
    }
}

#[test]
fn mistakes_are_told_all_at_once_and_nothing_is_started() {
    let lab = Lab::default();
    lab.write(
        "experiments/bad.toml",
        "[experiment]\nname = \"bad\"\ntitle = \"t\"\nquestion = \"q\"\n[matrix]\nmodel = [\"unett\"]\ndataset = [\"phantom-polp\"]\nseed = [42]\n[protocol]\ntrain.epoch = 3\nloss.lambda = 1.5\n",
    );
    let output = lab.dygl(&["run", "bad"]).exits(2);
    for told in ["bad.toml:6:", "did you mean", "unet", "phantom-polyp", "epochs", "loss.lambda"] {
        assert!(output.stderr.contains(told), "{told} is missing in\n{}", output.stderr);
    }
    assert!(!lab.path().join(".dygl").exists(), "nothing is started");
    assert_eq!(output.stdout, "");
}

#[test]
fn usage_and_selection_have_their_codes() {
    let lab = Lab::default().with_experiment("tiny", r#"["unet", "dyglnet"]"#, 1);
    lab.dygl(&["run", "no-such-experiment"]).exits(2);
    lab.dygl(&["plan", "tiny", "--filter", "model=swin"]).exits(4);
    lab.dygl(&["run", "tiny", "--device", "tch:0"]).exits(3);
    lab.dygl(&["run", "tiny", "--device", "gpu"]).exits(2);
    lab.dygl(&["status", "tiny"]).exits(7);
    lab.dygl(&["check", "tiny"]).exits(7);
    lab.dygl(&["show", "0123abcd"]).exits(7);
    lab.dygl(&["show", "xyz"]).exits(2);
    lab.dygl(&["plan", "tiny", "--set", "image.size=100"]).exits(2);
}

#[test]
fn a_plan_lists_cells_and_filters_them() {
    let lab = Lab::default().with_experiment("tiny", r#"["unet", "dyglnet"]"#, 1);
    let plan = lab.dygl(&["plan", "tiny", "--format", "json"]).exits(0).json();
    assert_eq!(plan["cells"].as_array().expect("cells").len(), 2);
    let plan = lab
        .dygl(&["plan", "tiny", "--format", "json", "--filter", "model=dyg*", "--set", "loss.lambda=0.3,0.7"])
        .exits(0)
        .json();
    let cells = plan["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), 2);
    assert!(cells.iter().all(|cell| cell["model"] == "dyglnet"));
    assert_ne!(cells[0]["train_key"], cells[1]["train_key"]);
}

#[test]
fn a_billion_cells_are_refused_at_once() {
    let lab = Lab::default().with_experiment("tiny", r#"["unet"]"#, 1);
    let thousand: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
    let axis = |name: &str| format!("{name}={}", thousand.join(","));
    let rates: Vec<String> = (1..=1000).map(|i| format!("{}e-6", i)).collect();
    let lambdas: Vec<String> = (0..1000).map(|i| format!("{}", f64::from(i) / 1000.0)).collect();
    let output = lab
        .dygl(&[
            "plan",
            "tiny",
            "--set",
            &axis("seed"),
            "--set",
            &format!("optimizer.learning_rate={}", rates.join(",")),
            "--set",
            &format!("loss.lambda={}", lambdas.join(",")),
        ])
        .exits(2);
    assert!(output.stderr.contains("cells"), "{}", output.stderr);
}

#[test]
fn networks_and_datasets_are_listed() {
    let lab = Lab::default();
    let networks = lab.dygl(&["model", "list", "--format", "json"]).exits(0).json();
    assert!(networks["networks"].as_array().expect("list").iter().any(|n| n["name"] == "dyglnet"));
    let datasets = lab.dygl(&["dataset", "list", "--format", "json"]).exits(0).json();
    assert!(datasets["datasets"].as_array().expect("list").iter().any(|d| d["id"] == "phantom-polyp"));
    lab.dygl(&["doctor"]).exits(0);
}

#[test]
fn every_shipped_experiment_plans_under_every_profile() {
    let lab = Lab::default();
    for experiment in dygl_spec::embedded::EXPERIMENTS.iter().map(|experiment| experiment.name) {
        for profile in ["paper", "quick", "smoke", "slurm"] {
            lab.dygl(&["plan", experiment, "--profile", profile]).exits(0);
        }
    }
}
