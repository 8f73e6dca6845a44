//! The verb from file to file.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use burn::tensor::Device;

use super::*;
use crate::learn::init::initialise;

/// A folder with intact weights of the plain U-Net.
struct Bench {
    folder: tempfile::TempDir,
    weights: Tensors,
}

impl Bench {
    fn new() -> Self {
        let net = Net::build(&Named::plain("unet"), [32; 2], &Device::flex()).expect("known");
        let weights = weights::snapshot(&initialise(net, 5));
        Self { folder: tempfile::tempdir().expect("folder"), weights }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, tensors: &Tensors) -> Arguments {
        tensors::write(&self.path("in.safetensors"), tensors).expect("written");
        Arguments {
            file: self.path("in.safetensors"),
            model: "unet".into(),
            backbone: None,
            key: None,
            prefix: None,
            output: Some(self.path("out.safetensors")),
            size: 224,
            force: false,
        }
    }

    /// The text of a failure that left nothing behind.
    fn fails(&self, arguments: &Arguments) -> (Exit, String) {
        let before = self.files();
        let error = run(arguments).expect_err("refused");
        assert_eq!(before, self.files(), "something was written");
        (error.exit(), error.to_string())
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        fs::read_dir(self.folder.path())
            .expect("folder")
            .flatten()
            .map(|entry| {
                (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).expect("bytes"))
            })
            .collect()
    }
}

#[test]
fn a_whole_network_is_imported_to_the_bit() {
    let bench = Bench::new();
    let mut given = bench.weights.clone();
    given.insert(
        "inc.double_conv.1.num_batches_tracked".into(),
        TensorData::new(vec![3i64], Vec::<usize>::new()),
    );
    // DataParallel's names.
    let given: Tensors = given.into_iter().map(|(name, data)| (format!("module.{name}"), data)).collect();
    let text = run(&bench.put(&given)).expect("imported");
    let written = tensors::read(&bench.path("out.safetensors")).expect("read");
    assert!(written == bench.weights);
    let sha256 = dygl_weight_file::sha256(&bench.path("out.safetensors")).expect("read");
    for part in ["without module.", "[pretrained.unet]", &format!("sha256 = \"{sha256}\"")] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("left over"), "{text}");
}

/// Names in front of which a wrapper put something, in a flat file: the rest counts.
#[test]
fn prefixes_are_found_or_said() {
    let bench = Bench::new();
    let put = |prefix: &str, more: &[&str]| {
        let mut tensors: Tensors =
            bench.weights.iter().map(|(name, data)| (format!("{prefix}{name}"), data.clone())).collect();
        for name in more {
            tensors.insert((*name).to_owned(), TensorData::new(vec![0.5f32], [1]));
        }
        Arguments { force: true, ..bench.put(&tensors) }
    };
    let same = || tensors::read(&bench.path("out.safetensors")).expect("read") == bench.weights;
    for prefix in ["model.", "module.model.", "model.module.", "_orig_mod.module.net.", "ema_model."] {
        let text = run(&put(prefix, &[])).expect("imported");
        assert!(text.contains(&format!("without {prefix})")) && same(), "{text}");
    }
    // Tensors beside the prefixed ones, as a loss has them.
    let arguments = put("model.", &["criterion.weight", "best_dice"]);
    let text = run(&arguments).expect("imported");
    assert!(text.contains("left over: best_dice, criterion.weight") && same(), "{text}");
    for prefix in ["model", "model."] {
        let said = Arguments { prefix: Some(prefix.to_owned()), ..arguments.clone() };
        assert!(run(&said).is_ok() && same());
    }
    let wrong = Arguments { prefix: Some("net.".to_owned()), ..arguments.clone() };
    let (exit, text) = bench.fails(&wrong);
    assert!(exit == Exit::Usage && text.contains("no name of a tensor begins with `net.`"), "{text}");
    // An empty prefix takes nothing off.
    let plain = Arguments { prefix: Some(String::new()), ..arguments.clone() };
    assert!(bench.fails(&plain).1.contains("unknown to the network"));
    let key = Arguments { key: Some("state_dict".to_owned()), ..arguments };
    assert!(bench.fails(&key).1.contains("no tensors lie under the key `state_dict`"));
    // Beside tensors without a prefix, a stranger is one.
    let (_, text) = bench.fails(&put("", &["criterion.weight"]));
    assert!(text.contains("1 unknown to the network:\n  criterion.weight"), "{text}");
}

/// Two sets in one file: the usual name wins, and what else fits is said; of two
/// unusual names the user chooses.
#[test]
fn of_two_sets_that_fit_the_usual_one_is_taken_or_the_user_asked() {
    let bench = Bench::new();
    let put = |first: &str, second: &str| {
        let mut tensors = Tensors::new();
        for (name, data) in &bench.weights {
            tensors.insert(format!("{first}{name}"), data.clone());
            let values: Vec<f32> = data.try_to_vec::<f32>().expect("f32").iter().map(|v| v + 1.0).collect();
            tensors.insert(format!("{second}{name}"), TensorData::new(values, data.shape()));
        }
        Arguments { force: true, ..bench.put(&tensors) }
    };
    let same = || tensors::read(&bench.path("out.safetensors")).expect("read") == bench.weights;
    let text = run(&put("model.", "model_ema.")).expect("imported");
    assert!(text.contains("fits as well, and was not taken: --prefix model_ema.") && same(), "{text}");
    let arguments = put("first.", "second.");
    let (exit, text) = bench.fails(&arguments);
    assert!(exit == Exit::Usage && text.contains("equally well"), "{text}");
    assert!(text.contains("\n  --prefix first.") && text.contains("\n  --prefix second."), "{text}");
    run(&Arguments { prefix: Some("first.".to_owned()), ..arguments }).expect("imported");
    assert!(same());
}

#[test]
fn shards_are_one_set_of_weights() {
    let bench = Bench::new();
    let names: Vec<&String> = bench.weights.keys().collect();
    let mut map = serde_json::Map::new();
    for (number, names) in names.chunks(40).enumerate() {
        let file = format!("model-{:05}-of-00003.safetensors", number + 1);
        let part: Tensors =
            names.iter().map(|name| (format!("model.{name}"), bench.weights[*name].clone())).collect();
        tensors::write(&bench.path(&file), &part).expect("written");
        part.keys().for_each(|name| drop(map.insert(name.clone(), file.clone().into())));
    }
    let index = bench.path("model.safetensors.index.json");
    let text = serde_json::json!({ "metadata": { "total_size": 1 }, "weight_map": map }).to_string();
    fs::write(&index, text).expect("written");
    let arguments = Arguments { file: index, ..bench.put(&bench.weights) };
    let text = run(&arguments).expect("imported");
    assert!(text.contains("safetensors in shards; without model."), "{text}");
    assert!(tensors::read(&bench.path("out.safetensors")).expect("read") == bench.weights);
    let alone = bench.path("model-00002-of-00003.safetensors");
    let (_, text) = bench.fails(&Arguments { file: alone.clone(), force: true, ..arguments.clone() });
    assert!(text.contains("one of several shards"), "{text}");
    fs::remove_file(alone).expect("removed");
    let (exit, text) = bench.fails(&Arguments { force: true, ..arguments });
    assert!(exit == Exit::Environment && text.contains("model-00002-of-00003.safetensors"), "{text}");
}

#[test]
fn nothing_is_overwritten_unless_asked() {
    let bench = Bench::new();
    let arguments = bench.put(&bench.weights);
    fs::write(bench.path("out.safetensors"), b"mine").expect("written");
    let (exit, text) = bench.fails(&arguments);
    assert!(exit == Exit::Usage && text.contains("--force"), "{text}");
    run(&Arguments { force: true, ..arguments.clone() }).expect("replaced");
    assert!(tensors::read(&bench.path("out.safetensors")).expect("read") == bench.weights);
    let own = Arguments { output: Some(arguments.file.clone()), force: true, ..arguments.clone() };
    assert!(bench.fails(&own).1.contains("is the file to read"));
    // The output beside the input, under the network's name.
    run(&Arguments { output: None, ..arguments.clone() }).expect("imported");
    assert!(bench.path("in.unet.safetensors").is_file());
    let nowhere = Arguments { output: Some(bench.path("no/folder/x.safetensors")), ..arguments };
    assert_eq!(bench.fails(&nowhere).0, Exit::Environment);
}

#[test]
fn what_does_not_fit_is_told_with_the_file_and_a_remedy() {
    let bench = Bench::new();
    let arguments = bench.put(&bench.weights);
    let (exit, text) = bench.fails(&Arguments { model: "dyglnet".into(), ..arguments.clone() });
    assert!(exit == Exit::Usage && text.contains("in.safetensors: it does not fit dyglnet; check --model"));
    // The counts of both, and ten names of each list.
    let count = bench.weights.len();
    for part in [
        format!("the file: {count} tensors at the top"),
        "the network: 803 tensors, whose names have no common beginning".to_owned(),
        "803 missing in the file:\n  patch_embed.0.c.weight\n".to_owned(),
        "and 793 more".to_owned(),
        format!("{count} unknown to the network:"),
        format!("and {} more", count - 10),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }

    let (_, text) = bench.fails(&Arguments { backbone: Some("resnet34".into()), ..arguments.clone() });
    assert!(text.contains("`resnet34` of unet"), "{text}");
    let (_, text) = bench.fails(&Arguments { model: "unett".into(), ..arguments.clone() });
    assert!(text.contains("known: unet"), "{text}");
    let (_, text) = bench.fails(&Arguments { model: "dyglnet".into(), size: 100, ..arguments.clone() });
    assert!(text.contains("--size 96"), "{text}");
    let (exit, _) = bench.fails(&Arguments { file: bench.path("nowhere.pth"), ..arguments.clone() });
    assert_eq!(exit, Exit::Environment);
    fs::write(bench.path("page.pth"), b"<html>").expect("written");
    let (exit, text) = bench.fails(&Arguments { file: bench.path("page.pth"), ..arguments });
    assert!(exit == Exit::Usage && text.contains("page.pth: is a web page"), "{text}");
}

#[test]
fn values_that_are_no_numbers_are_refused() {
    let bench = Bench::new();
    let mut broken = bench.weights.clone();
    broken.insert("outc.conv.bias".into(), TensorData::new(vec![f32::NAN], [1]));
    let (exit, text) = bench.fails(&bench.put(&broken));
    assert!(exit == Exit::Usage && text.contains("outc.conv.bias"), "{text}");
}

#[test]
fn second_names_must_agree() {
    let bench = Bench::new();
    let mut both = Tensors::new();
    both.insert("a".into(), TensorData::new(vec![1.0f32, 2.0], [2]));
    both.insert("b".into(), TensorData::new(vec![1.0f32, 2.0], [2]));
    let assigned = Assigned {
        sources: [("a".to_owned(), vec!["a".to_owned(), "b".to_owned()])].into(),
        left_over: Vec::new(),
    };
    let arguments = bench.put(&both);
    let mut file = WeightFile::open(&arguments.file).expect("opened");
    assert_eq!(read(&mut file, &assigned).expect("equal").len(), 1);
    both.insert("b".into(), TensorData::new(vec![1.0f32, 2.5], [2]));
    let mut file = WeightFile::open(&bench.put(&both).file).expect("opened");
    let text = read(&mut file, &assigned).expect_err("different").to_string();
    assert!(text.contains("a and b"), "{text}");
}

/// Backbones whose names no package states, so that there is no layout.
const WITHOUT_LAYOUT: &[&str] = &["table5_pidinet-small"];

/// Names and shapes of published classifiers, as torchvision and timm write
/// them: each must fill the part of every network that declares it, and the
/// values must arrive where they belong.
#[test]
fn published_classifiers_fill_the_parts_that_are_declared_for_them() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/import/layouts.json");
    let text = fs::read_to_string(path).expect("golden");
    let layouts: BTreeMap<String, BTreeMap<String, Vec<usize>>> = serde_json::from_str(&text).expect("JSON");
    let folder = tempfile::tempdir().expect("folder");
    for network in network::NETWORKS {
        let net = Net::build(&Named::plain(network.name), [224; 2], &Device::flex()).expect("known");
        for backbone in net.backbones() {
            // `NAME`, and `NAME.WHO` where others name the tensors differently.
            let known = layouts.iter().filter(|(layout, _)| {
                *layout == backbone.name
                    || layout.strip_prefix(backbone.name).is_some_and(|who| who.starts_with('.'))
            });
            let mut tried = 0;
            for (layout, shapes) in known {
                tried += 1;
                // Every value of a tensor is a number of its own.
                let number = |name: &str| shapes.keys().position(|other| other == name).unwrap_or(0) as f32;
                let tensors: Tensors = shapes
                    .iter()
                    .map(|(name, shape)| {
                        let values = vec![number(name); shape.iter().product()];
                        (name.clone(), TensorData::new(values, shape.clone()))
                    })
                    .collect();
                let path = folder.path().join("in.safetensors");
                tensors::write(&path, &tensors).expect("written");
                let contents = Contents::read(&path).expect("read");
                let wanted =
                    Wanted { sites: weights::sites(&net), aliases: net.aliases(), backbone: Some(backbone) };
                let choice = choose::choose(&wanted, &contents, None, None)
                    .unwrap_or_else(|refusal| panic!("{} from {layout}: {refusal:?}", network.name));
                let mut file = contents.take(choice.number, &choice.prefix).expect("sound");
                let assigned = choice.assigned;
                let read = read(&mut file, &assigned).expect("read");
                for site in weights::sites(&net) {
                    let Some(data) = read.get(&site.name) else { continue };
                    assert_eq!(data.shape().to_vec(), site.shape, "{}", site.name);
                    let source = &assigned.sources[&site.name][0];
                    let values = data.try_to_vec::<f32>().expect("f32");
                    assert!(values.iter().all(|value| *value == number(source)), "{}", site.name);
                }
                assert!(read.len() > 4, "{} from {layout}", network.name);
            }
            let excused = WITHOUT_LAYOUT.contains(&backbone.name);
            assert!(tried > 0 || excused, "{}: make.py writes no layout of {}", network.name, backbone.name);
        }
    }
}
