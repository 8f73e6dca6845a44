//! Weights of others: imported, started from, kept apart in the store. What
//! imported parts of networks compute is tested where their fields are seen:
//! `baselines`, with [`dygl_tests::classifier`].

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use dygl_tests::arrays::{Array, Arrays, fill, input, read_arrays, write_arrays};
use dygl_tests::lab::Lab;
use dygl_tests::parity::{Fixture, SEED, difference, evaluate, weights, worker};
use dygl_weight_file::WeightFile;
use serde_json::Value;

fn golden(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/import").join(name).display().to_string()
}

/// The `[pretrained.*]` lines that an import ends with.
fn table(stdout: &str) -> String {
    stdout.lines().skip_while(|line| !line.starts_with("[pretrained")).collect::<Vec<_>>().join("\n")
}

#[test]
fn files_that_do_not_fit_or_hold_code_are_refused_and_nothing_is_written() {
    let lab = Lab::default();
    let import = |file: &str, more: &[&str]| {
        let mut arguments = vec!["model", "import", file, "--output", "out.safetensors"];
        arguments.extend(more);
        lab.dygl(&arguments)
    };
    // A state dict of another network, in both formats and every wrapping.
    for name in ["plain.zip.pth", "plain.legacy.pth", "nested.legacy.pth", "deeper.zip.pth"] {
        let told = import(&golden(name), &["--model", "unet"]).exits(2).stderr;
        assert!(told.contains("does not fit unet") && told.contains("unknown to the network"), "{told}");
        // The counts, and at most ten names of each list.
        assert!(told.contains("2.weight\n") && told.contains("100 missing in the file:"), "{told}");
        assert!(told.contains("the network: 100 tensors") && told.contains("and 90 more"), "{told}");
    }
    let told = import(&golden("module.legacy.pth"), &["--model", "unet"]).exits(2).stderr;
    assert!(
        told.contains("torch.nn.modules.linear.Linear") && told.contains("nothing was executed"),
        "{told}"
    );
    let told =
        import(&golden("plain.zip.pth"), &["--model", "unet", "--backbone", "resnet34"]).exits(2).stderr;
    assert!(told.contains("leave --backbone out"), "{told}");
    import("nowhere.pth", &["--model", "unet"]).exits(3);
    import(&golden("plain.zip.pth"), &[]).exits(2);
    assert_eq!(fs::read_dir(lab.path()).expect("folder").count(), 0, "something was written");
    let help = lab.dygl(&["model", "import", "--help"]).exits(0).stdout;
    assert!(help.contains("Example:") && help.contains("--backbone"), "{help}");
}

/// Every shape of a whole network's file that trainers write: the tensors are found,
/// where it is told, and the rest is told.
#[test]
fn weights_of_any_wrapping_are_found() -> Result<()> {
    let lab = Lab::default();
    let own = weights(&worker()?, "unet_p0", "unet", SEED, 224)?;
    let count = own.len();
    let import = |tensors: &Arrays, more: &[&str]| {
        write_arrays(&lab.path().join("in.safetensors"), tensors).expect("written");
        let plain = [
            "model",
            "import",
            "in.safetensors",
            "--model",
            "unet",
            "--size",
            "32",
            "--force",
            "--output",
            "o",
        ];
        lab.dygl(&[&plain[..], more].concat())
    };
    let named = |prefix: &str| -> Arrays {
        own.iter().map(|(name, array)| (format!("{prefix}{name}"), array.clone())).collect()
    };
    let some = own.values().next().expect("a tensor").clone();
    for prefix in ["", "module.", "model.", "model.module.", "_orig_mod.module.", "state_dict.net."] {
        let mut tensors = named(prefix);
        if !prefix.is_empty() {
            tensors.insert("best_dice".to_owned(), some.clone());
        }
        let told = import(&tensors, &[]).exits(0).stdout;
        assert!(told.contains(&format!("unet: {count} of {count} tensors")), "{told}");
        assert!(prefix.is_empty() || told.contains(&format!("without {prefix}")), "{told}");
        assert!(prefix.is_empty() || told.contains("left over: best_dice"), "{told}");
        assert!(read_arrays(&lab.path().join("o"))? == own, "{prefix}");
    }
    // A running average beside the weights is not taken, and it is said.
    let mut both = named("model.");
    let average = |array: &Array| {
        let mut array = array.clone();
        array.values.iter_mut().for_each(|value| *value += 1.0);
        array
    };
    both.extend(own.iter().map(|(name, array)| (format!("model_ema.{name}"), average(array))));
    let told = import(&both, &[]).exits(0).stdout;
    assert!(told.contains("was not taken: --prefix model_ema."), "{told}");
    assert!(read_arrays(&lab.path().join("o"))? == own);
    import(&both, &["--prefix", "model_ema"]).exits(0);
    assert!(read_arrays(&lab.path().join("o"))? != own);
    let told = import(&both, &["--prefix", "net."]).exits(2).stderr;
    assert!(told.contains("no name of a tensor begins with `net.`"), "{told}");
    let told = import(&both, &["--key", "nowhere"]).exits(2).stderr;
    assert!(told.contains("at the top"), "{told}");

    // In shards with an index.
    let names: Vec<&String> = own.keys().collect();
    let mut map = serde_json::Map::new();
    for (number, names) in names.chunks(own.len().div_ceil(3)).enumerate() {
        let file = format!("model-0000{}-of-00003.safetensors", number + 1);
        let part: Arrays = names.iter().map(|name| ((*name).clone(), own[*name].clone())).collect();
        write_arrays(&lab.path().join(&file), &part)?;
        names.iter().for_each(|name| drop(map.insert((*name).clone(), file.clone().into())));
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": map }).to_string();
    lab.write("model.safetensors.index.json", index);
    let sharded = |file: &str| {
        lab.dygl(&["model", "import", file, "--model", "unet", "--size", "32", "--force", "--output", "o"])
    };
    let told = sharded("model.safetensors.index.json").exits(0).stdout;
    assert!(told.contains("safetensors in shards"), "{told}");
    assert!(read_arrays(&lab.path().join("o"))? == own);
    let told = sharded("model-00001-of-00003.safetensors").exits(2).stderr;
    assert!(told.contains("give their index"), "{told}");
    Ok(())
}

#[test]
fn an_experiment_starts_from_weights_that_are_what_it_says() {
    let lab = Lab::default().with_experiment("plain", r#"["unet"]"#, 1);
    lab.dygl(&["run", "plain"]).exits(0);
    let trained = lab.stored("model.safetensors").remove(0);
    let text = lab
        .dygl(&[
            "model",
            "import",
            &trained.display().to_string(),
            "--model",
            "unet",
            "--output",
            "experiments/w.safetensors",
        ])
        .exits(0)
        .stdout;
    let plain = fs::read_to_string(lab.path().join("experiments/plain.toml")).expect("experiment");
    let started = plain
        .replace("name = \"plain\"", "name = \"started\"")
        .replace("[\"unet\"]", "[\"unet\", { name = \"unet\", pretrained = \"none\", label = \"scratch\" }]");
    // The path is relative to the experiment.
    let tables = table(&text).replace("experiments/w.safetensors", "w.safetensors");
    lab.write("experiments/started.toml", format!("{started}\n{tables}\n"));

    // Beside it, the random start keeps its key and its result.
    let keys = |name: &str| -> Vec<Value> {
        let plan = lab.dygl(&["plan", name, "--format", "json"]).exits(0).json();
        plan["cells"].as_array().expect("cells").clone()
    };
    let (alone, both) = (keys("plain"), keys("started"));
    assert_eq!(alone[0]["train_key"], both[1]["train_key"]);
    assert_ne!(alone[0]["train_key"], both[0]["train_key"]);
    // The random start is another cell of the experiment, so its result is no earlier one.
    assert_eq!((&both[0]["state"], &both[1]["state"]), (&"missing".into(), &"done".into()));
    let sha256 = both[0]["pretrained"]["sha256"].as_str().expect("a digest").to_owned();
    assert!(tables.contains(&sha256));
    let shown = lab.dygl(&["plan", "started"]).exits(0).stdout;
    assert!(shown.contains(&format!("unet (from {})", &sha256[..12])), "{shown}");

    let why = lab.dygl(&["explain", "started"]).exits(0).stdout;
    assert!(
        why.contains("pretrained.sha256: (absent) ->") && why.contains("other weights to start from"),
        "{why}"
    );

    // Another file, or none, ends it before anything runs.
    let path = lab.path().join("experiments/w.safetensors");
    let right = fs::read(&path).expect("weights");
    let mut wrong = right.clone();
    if let Some(byte) = wrong.last_mut() {
        *byte ^= 1;
    }
    fs::write(&path, wrong).expect("written");
    let told = lab.dygl(&["run", "started"]).exits(5).stderr;
    assert!(told.contains("w.safetensors") && told.contains(&sha256), "{told}");
    fs::remove_file(&path).expect("removed");
    let told = lab.dygl(&["run", "started"]).exits(3).stderr;
    assert!(told.contains("there is no such file") && told.contains("dygl model import"), "{told}");
    assert_eq!(keys("started")[0]["state"], "missing", "nothing ran");

    // The right one is laid over; the record says so.
    fs::write(&path, right).expect("written");
    lab.dygl(&["run", "started"]).exits(0);
    let key = both[0]["train_key"].as_str().expect("key");
    let record = lab
        .stored("record.json")
        .iter()
        .map(|path| serde_json::from_slice::<Value>(&fs::read(path).expect("record")).expect("JSON"))
        .find(|record| record["key"] == key)
        .expect("published");
    assert_eq!(record["start"]["sha256"], sha256.as_str());
    assert!(record["start"]["tensors"] == record["start"]["of"] && record["start"]["of"].as_u64() > Some(50));
    lab.dygl(&["report", "started", "--out", "out"]).exits(0);
    let pages = fs::read_dir(lab.path().join("out/runs")).expect("pages").flatten();
    let named =
        pages.filter(|page| fs::read_to_string(page.path()).is_ok_and(|text| text.contains(&sha256))).count();
    assert_eq!(named, 1, "the page of the run names its start, the other's does not");

    // A result needs its start no more.
    fs::remove_file(&path).expect("removed");
    lab.dygl(&["run", "started"]).exits(0);
}

/// Whole checkpoints, as torchvision and timm write them: `make.py full DIR`
/// fills them by the rule of the parity fixtures. Skipped unless
/// `DYGL_CLASSIFIERS` names DIR.
#[test]
fn whole_checkpoints_are_read_to_the_bit_and_fill_their_parts() {
    let Some(folder) = std::env::var_os("DYGL_CLASSIFIERS") else {
        println!("skipped: DYGL_CLASSIFIERS is not set (python3 tests/golden/import/make.py full DIR)");
        return;
    };
    let folder = std::path::PathBuf::from(folder);
    let layouts = fs::read_to_string(golden("layouts.json")).expect("golden");
    let layouts: BTreeMap<String, BTreeMap<String, Vec<usize>>> =
        serde_json::from_str(&layouts).expect("JSON");
    let lab = Lab::default();
    let listed = lab.dygl(&["model", "list", "--format", "json"]).exits(0).json();
    let networks = listed["networks"].as_array().expect("networks").iter();
    let networks: Vec<&str> = networks.map(|network| network["name"].as_str().expect("a name")).collect();
    for (layout, shapes) in &layouts {
        let expected: BTreeMap<&str, Vec<f32>> =
            shapes.iter().map(|(name, shape)| (name.as_str(), fill(name, shape, SEED).values)).collect();
        for format in ["zip", "legacy"] {
            let path = folder.join(format!("{layout}.{format}.pth"));
            if !path.is_file() {
                continue;
            }
            let mut file = WeightFile::open(&path).expect("opened");
            for (name, shape) in shapes {
                assert_eq!(file.tensors()[name].shape, *shape, "{layout}: {name}");
                let values = file.values(name).expect("read").expect("there");
                assert!(values == expected[name.as_str()], "{layout}: {name}");
            }
            let backbone = layout.split('.').next().expect("a name");
            let path = path.display().to_string();
            for network in &networks {
                let arguments = [
                    "model",
                    "import",
                    &path,
                    "--model",
                    network,
                    "--backbone",
                    backbone,
                    "--force",
                    "--output",
                    "o",
                ];
                let told = lab.dygl(&arguments);
                if told.stderr.contains("find the backbone") {
                    continue;
                }
                told.exits(0);
                let written = read_arrays(&lab.path().join("o")).expect("read");
                assert!(!written.is_empty());
                for (name, array) in written {
                    let is_from = |(source, shape): (&String, &Vec<usize>)| {
                        *shape == array.shape && expected[source.as_str()] == array.values
                    };
                    assert!(shapes.iter().any(is_from), "{network} from {layout}: {name}");
                }
                println!("{network} from {layout} ({format})");
            }
        }
    }
}

/// Imports a file of a whole network and gives what was written.
fn imported(lab: &Lab, file: &Path, model: &str) -> PathBuf {
    let file = file.display().to_string();
    lab.dygl(&["model", "import", &file, "--model", model, "--force", "--output", "whole"]).exits(0);
    lab.path().join("whole")
}

/// How far the logits of imported weights are from the reference's, and how
/// far they may be.
fn deviation(fixture: &str, model: &str, weights: &Path) -> Result<(f64, f64)> {
    let path = format!("{}/golden/parity/{fixture}.json", env!("CARGO_MANIFEST_DIR"));
    let fixture = Fixture::from_json(&serde_json::from_str(&fs::read_to_string(path)?)?)?;
    let apart = difference(&fixture.eval, &evaluate(&worker()?, model, weights, input(SEED))?)?;
    Ok((apart, fixture.bounds.eval))
}

/// Tensors that HiFormer's code registers a second time, under other names.
const TWICE: [(&str, &str); 3] =
    [(".resnet_layers.5.", ".p2."), (".resnet_layers.6.", ".p3."), (".conv_tower.", ".convs_level.")];

#[test]
fn a_network_under_all_its_names_is_imported_and_computes_as_the_reference() -> Result<()> {
    let lab = Lab::default();
    let own = weights(&worker()?, "hiformer_b", "hiformer_b", SEED, 224)?;
    let mut given = Arrays::new();
    for (name, array) in &own {
        given.insert(format!("module.{name}"), array.clone());
        for (run, other) in TWICE.iter().filter(|(run, _)| name.contains(run)) {
            given.insert(format!("module.{}", name.replace(run, other)), array.clone());
        }
    }
    assert!(given.len() > own.len() + 100, "{} names of {} tensors", given.len(), own.len());
    let file = lab.path().join("given.safetensors");
    write_arrays(&file, &given)?;
    let written = imported(&lab, &file, "hiformer_b");
    assert!(read_arrays(&written)? == own);
    let (apart, bound) = deviation("hiformer_b", "hiformer_b", &written)?;
    assert!(apart <= bound, "{apart:e} is beyond {bound:e}");
    Ok(())
}

/// Networks whose files `make.py whole WORKER DIR` has torch.save write, and
/// their fixtures.
const WHOLE: [(&str, &str); 3] = [("unet", "unet_p0"), ("dyglnet", "dyglnet"), ("hiformer_b", "hiformer_b")];

/// How far the logits of weights rounded to 11 bits may be.
const HALF: f64 = 1e-2;

/// Whole networks as torch writes them: in both formats, wrapped, prefixed, in
/// half precision. Skipped unless `DYGL_CHECKPOINTS` names DIR.
#[test]
fn whole_networks_that_torch_wrote_compute_as_the_reference() -> Result<()> {
    let Some(folder) = std::env::var_os("DYGL_CHECKPOINTS") else {
        println!(
            "skipped: DYGL_CHECKPOINTS is not set (python3 tests/golden/import/make.py whole WORKER DIR)"
        );
        return Ok(());
    };
    let lab = Lab::default();
    for (model, fixture) in WHOLE {
        let own = weights(&worker()?, fixture, model, SEED, 224)?;
        let mut tried = 0;
        for form in ["zip", "legacy", "parallel", "nested", "f16"] {
            let file = Path::new(&folder).join(format!("{model}.{form}.pth"));
            if !file.is_file() {
                continue;
            }
            let written = imported(&lab, &file, model);
            let found = read_arrays(&written)?;
            assert!(found.keys().eq(own.keys()), "{model} ({form})");
            for (name, array) in &own {
                let same = |(got, want): (&f32, &f32)| match form {
                    "f16" => (got - want).abs() <= (want.abs() / 2048.0).max(1.0 / (1u32 << 25) as f32),
                    _ => got == want,
                };
                assert!(found[name].values.iter().zip(&array.values).all(same), "{model} ({form}): {name}");
            }
            let (apart, bound) = deviation(fixture, model, &written)?;
            let bound = if form == "f16" { HALF } else { bound };
            println!("{model} ({form}): logits {apart:.1e} / {bound:.1e}");
            assert!(apart <= bound, "{model} ({form}): {apart:e} is beyond {bound:e}");
            tried += 1;
        }
        assert!(tried > 1, "{model}: no files in DYGL_CHECKPOINTS");
    }
    Ok(())
}
