//! Files of real torch, pickles made by hand, and what hostile ones come to.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use ::zip::CompressionMethod;
use ::zip::write::{SimpleFileOptions, ZipWriter};

use super::*;

type Values = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/import")
}

/// What `make.py` says that a file holds.
fn expected(name: &str) -> Values {
    let text = fs::read_to_string(golden().join("expected.json")).expect("golden");
    let mut all: BTreeMap<String, Values> = serde_json::from_str(&text).expect("JSON");
    all.remove(name).expect("expected")
}

fn all(file: &mut WeightFile) -> Result<Values, WeightFileError> {
    let shapes: Vec<(String, Vec<usize>)> =
        file.tensors().iter().map(|(name, entry)| (name.clone(), entry.shape.clone())).collect();
    let mut found = Values::new();
    for (name, shape) in shapes {
        let values = file.values(&name)?.expect("listed");
        found.insert(name, (shape, values));
    }
    Ok(found)
}

/// A folder with one file.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("folder") }
    }

    fn open(&self, bytes: &[u8]) -> Result<WeightFile, WeightFileError> {
        let path = self.folder.path().join("weights");
        fs::write(&path, bytes).expect("written");
        WeightFile::open(&path)
    }

    fn read(&self, bytes: &[u8]) -> Result<Values, WeightFileError> {
        all(&mut self.open(bytes)?)
    }

    /// The fault of a refused file, and that the file and a remedy are named.
    fn fault(&self, bytes: &[u8]) -> Fault {
        let error = self.open(bytes).expect_err("refused");
        let text = error.to_string();
        assert!(text.contains("/weights: "), "{text}");
        match error {
            WeightFileError::Refused { fault, .. } => fault,
            other => panic!("{other}"),
        }
    }
}

// ---- files of torch ----

#[test]
fn both_formats_give_what_torch_saved() {
    for name in ["plain", "parallel", "views", "kinds", "nested", "deeper"] {
        for (ending, format) in [("zip", Format::TorchZip), ("legacy", Format::TorchLegacy)] {
            let path = golden().join(format!("{name}.{ending}.pth"));
            let mut file = WeightFile::open(&path).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(file.format(), format);
            assert_eq!(all(&mut file).expect("read"), expected(name), "{name} {ending}");
            assert_eq!(file.prefix(), if ["parallel", "nested"].contains(&name) { "module." } else { "" });
        }
    }
    let mut file = WeightFile::open(&golden().join("protocol4.zip.pth")).expect("opened");
    assert_eq!(all(&mut file).expect("read"), expected("protocol4"));
}

#[test]
fn the_way_to_the_tensors_is_told() {
    let within = |name: &str| {
        let file = WeightFile::open(&golden().join(name)).expect("opened");
        file.within().join(".")
    };
    assert_eq!(within("plain.zip.pth"), "");
    assert_eq!(within("nested.legacy.pth"), "state_dict");
    assert_eq!(within("deeper.zip.pth"), "net.model_state_dict");
}

#[test]
fn whole_modules_and_programs_are_refused_by_name() {
    for name in ["module.zip.pth", "module.legacy.pth"] {
        let text = WeightFile::open(&golden().join(name)).expect_err("refused").to_string();
        assert!(
            text.contains("torch.nn.modules.linear.Linear") && text.contains("nothing was executed"),
            "{text}"
        );
        assert!(text.contains("model.state_dict()"), "{text}");
    }
    let text = WeightFile::open(&golden().join("script.pt")).expect_err("refused").to_string();
    assert!(text.contains("TorchScript"), "{text}");
}

/// Of every file cut short and of a thousand with changed bits: an error, or
/// tensors within the bounds of the file; never a panic.
#[test]
fn damaged_files_give_errors_or_tensors() {
    let bench = Bench::new();
    for name in ["views.zip.pth", "views.legacy.pth", "nested.legacy.pth", "parallel.zip.pth"] {
        let whole = fs::read(golden().join(name)).expect("golden");
        let intact = bench.read(&whole).expect("intact");
        for length in 0..whole.len() {
            let error = bench.read(&whole[..length]);
            assert!(error.is_err(), "{name} cut to {length} bytes was read");
        }
        let mut stream = dygl_base::random::Stream::new(1, "flip", &[name]);
        for round in 0..1000 {
            let mut bytes = whole.clone();
            for _ in 0..=round % 3 {
                let at = stream.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << stream.below(8);
            }
            if let Ok(values) = bench.read(&bytes) {
                let count: usize = values.values().map(|(_, values)| values.len()).sum();
                let most: usize = intact.values().map(|(_, values)| values.len()).sum();
                // A shape may change, but not to more than the storages hold.
                assert!(count <= most * 24, "{name}: {count} values");
            }
        }
    }
}

// ---- pickles by hand ----

/// Writes pickles instruction by instruction.
#[derive(Default, Clone)]
struct Pickle(Vec<u8>);

impl Pickle {
    fn new() -> Self {
        Self(vec![0x80, 2])
    }

    fn op(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.op(b"X").op(&(text.len() as u32).to_le_bytes()).op(text.as_bytes())
    }

    fn int(self, value: i64) -> Self {
        self.op(&[0x8a, 8]).op(&value.to_le_bytes())
    }

    fn ints(self, values: &[i64]) -> Self {
        values.iter().fold(self.op(b"("), |pickle, value| pickle.int(*value)).op(b"t")
    }

    fn name(self, module: &str, name: &str) -> Self {
        self.op(format!("c{module}\n{name}\n").as_bytes())
    }

    /// `held` floats under the key `0`; a tensor of that view of them.
    fn tensor(self, held: i64, start: i64, shape: &[i64], strides: &[i64]) -> Self {
        self.name("torch._utils", "_rebuild_tensor_v2")
            .op(b"((")
            .text("storage")
            .name("torch", "FloatStorage")
            .text("0")
            .text("cpu")
            .int(held)
            .op(b"tQ")
            .int(start)
            .ints(shape)
            .ints(strides)
            .op(b"\x89NtR")
    }

    fn end(self) -> Vec<u8> {
        self.op(b".").0
    }

    /// Wraps `{"w": <self>}` as a file of torch with `floats` values.
    fn file(self, floats: usize) -> Vec<u8> {
        let pickle = Pickle::new().op(b"}").text("w").op(&self.0).op(b"s").end();
        zip_of(&pickle, &[("data/0", &vec![0; 4 * floats])])
    }
}

fn body() -> Pickle {
    Pickle(Vec::new())
}

fn zip_of(pickle: &[u8], members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    writer.start_file("w/data.pkl", stored).expect("started");
    writer.write_all(pickle).expect("written");
    for (name, content) in members {
        writer.start_file(format!("w/{name}"), stored).expect("started");
        writer.write_all(content).expect("written");
    }
    writer.finish().expect("finished").into_inner()
}

#[test]
fn a_pickle_by_hand_is_read() {
    let values = Bench::new().read(&body().tensor(6, 0, &[2, 3], &[3, 1]).file(6)).expect("read");
    assert_eq!(values["w"], (vec![2, 3], vec![0.0; 6]));
}

#[test]
fn code_is_refused_by_its_name() {
    let bench = Bench::new();
    let witness = bench.folder.path().join("executed");
    let command = format!("touch {}", witness.display());
    let calls = [
        ("posix", "system"),
        ("os", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("__builtin__", "apply"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_wrapper_subclass"),
        ("torch.serialization", "load"),
        ("collections", "OrderedDict.fromkeys"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("argparse", "Namespace"),
    ];
    for (module, name) in calls {
        let call = |pickle: Pickle| pickle.name(module, name).op(b"(").text(&command).op(b"tR");
        let stacked = |pickle: Pickle| pickle.text(module).text(name).op(b"\x93(").text(&command).op(b"tR");
        let legacy = call(Pickle::new()).end();
        for bytes in [call(body()).file(0), stacked(body()).file(0), legacy] {
            match bench.fault(&bytes) {
                Fault::Code(asked) => assert_eq!(asked, format!("{module}.{name}")),
                other => panic!("{module}.{name}: {other}"),
            }
        }
    }
    for (ops, word) in [
        (&b"(iposix\nsystem\n"[..], "INST"),
        (b"(cos\nsystem\no", "os.system"),
        (b")\x81", "NEWOBJ"),
        (b"\x82\x01", "EXT"),
        (b"Pxyz\n", "PERSID"),
    ] {
        let fault = bench.fault(&body().op(ops).file(0));
        assert!(matches!(&fault, Fault::Code(asked) if asked.contains(word)), "{fault}");
    }
    // Calling a value, and setting attributes of a tensor (`__setstate__`).
    let fault = bench.fault(&body().text("x").op(b")R").file(0));
    assert!(matches!(fault, Fault::Code(_)), "{fault}");
    let fault = bench.fault(&body().tensor(1, 0, &[1], &[1]).op(b"}b").file(1));
    assert!(matches!(fault, Fault::Code(_)), "{fault}");
    assert!(!witness.exists());
}

/// What trainers keep beside the weights, in the instructions of protocols 2 to 5,
/// is read past: the one tensor is there.
#[test]
fn values_beside_the_weights_are_read_past() {
    let bench = Bench::new();
    let call = |module: &str, name: &str, arguments: Pickle| {
        Pickle(body().name(module, name).op(b"(").0).op(&arguments.0).op(b"tR")
    };
    let beside = [
        ("size", call("torch", "Size", body().ints(&[3, 224, 224]))),
        ("set", call("__builtin__", "set", body().op(b"](").int(1).int(2).op(b"e"))),
        ("set4", body().op(b"\x8f(").int(1).int(2).op(b"\x90")),
        ("frozen4", body().op(b"(").int(1).text("x").op(b"\x91")),
        ("frozen", call("builtins", "frozenset", body().op(b"]"))),
        ("bytes2", call("_codecs", "encode", body().text("abc").text("latin1"))),
        ("bytes3", body().op(b"C\x03abc").op(b"0").op(b"B\x01\0\0\0a")),
        ("bytes4", body().op(b"\x8e\x02\0\0\0\0\0\0\0ab")),
        ("bytearray5", body().op(b"\x96\x02\0\0\0\0\0\0\0ab")),
        ("bytearray", call("__builtin__", "bytearray", body().text("a").text("latin-1"))),
        ("complex", call("builtins", "complex", body().op(&[b"G", &[0; 8][..]].concat()).op(b"K\x01"))),
        ("count", call("collections", "Counter", body().op(b"}").text("a").int(2).op(b"s"))),
        ("device", call("torch", "device", body().text("cuda").int(0))),
        ("type", body().name("torch", "float16")),
        ("layout", call("torch.serialization", "_get_layout", body().text("torch.strided"))),
        ("flags", body().op(b"I01\n0I00\n0I-12\n0L99999L\n0F1.5\n")),
        ("huge", body().op(&[0x8a, 20]).op(&[7; 20])),
        ("new", body().name("torch", "Size").op(b"(").ints(&[1]).op(b"t\x81")),
        (
            "numpy",
            body()
                .name("numpy.core.multiarray", "scalar")
                .op(b"(")
                .op(&body().name("numpy", "dtype").op(b"(").text("f8").op(b"\x89\x88tR(K\x03tb").0)
                .op(b"C\x080000000\0tR"),
        ),
        ("nested", body().op(b"](}(K\x01Nu)K\x02\x85e")),
    ];
    for protocol in 2..=5 {
        let mut pickle = Pickle(vec![0x80, protocol]).op(b"}");
        for (name, value) in &beside {
            pickle = pickle.text(name).op(&value.0).op(b"s");
        }
        let tensor = body().tensor(2, 0, &[2], &[1]);
        let bytes = zip_of(&pickle.text("w").op(&tensor.0).op(b"s").end(), &[("data/0", &[0; 8])]);
        let file = bench.open(&bytes).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(file.tensors().keys().collect::<Vec<_>>(), ["w"]);
        assert_eq!(file.others(), beside.each_ref().map(|(name, _)| *name));
    }
}

/// Tensors of types that no network uses, sparse and quantized ones.
#[test]
fn tensors_of_other_kinds_are_no_obstacle() {
    let bench = Bench::new();
    let kind = |class: &str, key: &str| {
        body()
            .name("torch._utils", "_rebuild_tensor_v2")
            .op(b"((")
            .text("storage")
            .name("torch", class)
            .text(key)
            .text("cpu")
            .int(1)
            .op(b"tQ")
            .int(0)
            .ints(&[1])
            .ints(&[1])
            .op(b"\x89NtR")
    };
    let quantized = body().name("torch._utils", "_rebuild_qtensor").op(b"(").int(1).op(b"tR");
    let typed = body()
        .name("torch._tensor", "_rebuild_from_type_v2")
        .op(b"(")
        .name("torch._utils", "_rebuild_parameter")
        .name("torch.nn.parameter", "Parameter")
        .op(b"(")
        .op(&kind("FloatStorage", "0").0)
        .op(b"\x88Nt}tR");
    let pickle = Pickle::new()
        .op(b"}")
        .text("complex")
        .op(&kind("ComplexFloatStorage", "1").0)
        .op(b"s")
        .text("quantized")
        .op(&quantized.0)
        .op(b"s")
        .text("typed")
        .op(&typed.0)
        .op(b"s");
    let mut file =
        bench.open(&zip_of(&pickle.end(), &[("data/0", &[0; 4]), ("data/1", &[0; 8])])).expect("opened");
    assert_eq!(file.tensors().keys().collect::<Vec<_>>(), ["complex", "typed"]);
    assert_eq!(file.others(), ["quantized"]);
    assert_eq!(file.values("typed").expect("read"), Some(vec![0.0]));
    let error = file.values("complex").expect_err("not read").to_string();
    assert!(error.contains("values of type C64 are not read"), "{error}");
    let header = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
        "b":{"dtype":"F8_E5M2","shape":[2],"data_offsets":[4,6]},"c":{"dtype":"F4","shape":[4],"data_offsets":[6,8]}}"#;
    let file = bench.open(&safetensors(header, &[0; 8])).expect("opened");
    assert_eq!(file.tensors().keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(file.others(), ["c (values of type F4)"]);
}

#[test]
fn expanded_tensors_are_views() {
    let bench = Bench::new();
    let bytes: Vec<u8> = [1f32, 2.0, 3.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let read = |shape: &[i64], strides: &[i64]| {
        let tensor = body().tensor(3, 0, shape, strides);
        let pickle = Pickle::new().op(b"}").text("w").op(&tensor.0).op(b"s").end();
        bench.read(&zip_of(&pickle, &[("data/0", &bytes)])).expect("read").remove("w").expect("there").1
    };
    assert_eq!(read(&[4], &[0]), [1.0; 4]);
    assert_eq!(read(&[2, 3], &[0, 1]), [1., 2., 3., 1., 2., 3.]);
    assert_eq!(read(&[3, 2], &[1, 0]), [1., 1., 2., 2., 3., 3.]);
}

/// Every dictionary of tensors is found, wherever it lies; the usual keys first.
#[test]
fn all_dictionaries_of_a_file_are_listed() {
    let bench = Bench::new();
    let tensor = || body().tensor(1, 0, &[1], &[1]);
    let dict = |names: &[&str]| {
        let start = body().op(b"}");
        names.iter().fold(start, |pickle, name| pickle.text(name).op(&tensor().0).op(b"s"))
    };
    let put = |pickle: Pickle, key: &str, value: &Pickle| pickle.text(key).op(&value.0).op(b"s");
    let inner = put(body().op(b"}"), "model_state_dict", &dict(&["a", "b", "c"]));
    let mut pickle = Pickle::new().op(b"}");
    pickle = put(pickle, "best_dice", &tensor());
    pickle = put(pickle, "ema", &dict(&["a", "b"]));
    pickle = put(pickle, "custom", &inner);
    pickle = put(pickle, "state_dict", &dict(&["module.a", "module.b"]));
    pickle = put(pickle, "pair", &body().op(b"(").op(&dict(&["x"]).0).op(b"K\x01t"));
    let bytes = zip_of(&pickle.end(), &[("data/0", &[0; 4])]);
    let file = bench.open(&bytes).expect("opened");
    assert_eq!(file.within(), ["custom", "model_state_dict"], "the largest, for who knows no more");
    let contents = Contents::read(file.path()).expect("read");
    let listed: Vec<String> = contents.dictionaries().map(|found| found.within().join(".")).collect();
    assert_eq!(listed, ["", "state_dict", "ema", "custom.model_state_dict", "pair.0"]);
    let taken = contents.take(1, "module.").expect("sound");
    assert_eq!((taken.tensors().len(), taken.beside().len(), taken.prefix()), (2, 0, "module."));
    let taken = Contents::read(file.path()).expect("read").take(1, "module.a").expect("sound");
    assert_eq!((taken.tensors().len(), taken.beside().len()), (0, 2), "a whole name is no prefix");
}

#[test]
fn what_names_have_in_common_is_whole_components() {
    for (names, common) in [
        (&["module.model.a", "module.model.b.c"][..], "module.model."),
        (&["model.a", "model_ema.a"], ""),
        (&["a.b.weight", "a.b.bias", "a.c"], "a."),
        (&["module."], ""),
        (&["module.x"], "module."),
        (&["", "a.b"], ""),
        (&["a.b.", "a.b.c"], "a."),
        (&[], ""),
    ] {
        assert_eq!(common_prefix(names.iter().copied()), common, "{names:?}");
    }
}

#[test]
fn layouts_beyond_the_storage_are_refused() {
    let bench = Bench::new();
    let fault = |held, start, shape: &[i64], strides: &[i64]| {
        bench.fault(&body().tensor(held, start, shape, strides).file(6)).to_string()
    };
    assert!(fault(6, 1, &[6], &[1]).contains("`w` is refused: values of shape [6] lie outside"));
    assert!(fault(6, 0, &[1 << 40, 1 << 40], &[1, 1]).contains("outside"));
    assert!(fault(6, 0, &[1 << 40], &[0]).contains("at most"));
    assert!(fault(6, 0, &[2, 2], &[1, 1]).contains("two places"));
    assert!(fault(6, 0, &[2], &[i64::MAX]).contains("outside"));
    assert!(fault(6, i64::MAX, &[2], &[1]).contains("outside"));
    assert!(fault(6, 0, &[-1], &[1]).contains("damaged"));
    assert!(fault(6, 0, &[1; 9], &[1; 9]).contains("damaged"));
    assert!(fault(5, 0, &[5], &[1]).contains("has 24 bytes and should have 20"));
    assert!(fault(i64::MAX, 0, &[1], &[1]).contains("exceeds the limit"));
    let nowhere = body().tensor(6, 0, &[6], &[1]);
    let pickle = Pickle::new().op(b"}").text("w").op(&nowhere.0).op(b"s").end();
    assert!(bench.fault(&zip_of(&pickle, &[])).to_string().contains("lacks the values `data/0`"));
}

#[test]
fn bombs_stay_small() {
    let bench = Bench::new();
    let too_large = |bytes: &[u8]| {
        let fault = bench.fault(bytes);
        assert!(matches!(fault, Fault::TooLarge { .. }), "{fault}");
    };
    // A list of 50 000 pairs, copied by each of many short calls.
    let mut pickle = Pickle::new().op(b"](");
    for _ in 0..50_000 {
        pickle = pickle.op(b"NN\x86");
    }
    pickle = pickle.op(b"e\x85q\x000ccollections\nOrderedDict\nq\x010");
    for _ in 0..50_000 {
        pickle = pickle.op(b"h\x01h\x00R0");
    }
    too_large(&zip_of(&pickle.end(), &[]));
    // Nothing but small values; nothing but a memo; nothing but a growing list.
    too_large(&zip_of(&Pickle::new().op(&b"N".repeat(20 << 20)).end(), &[]));
    let mut memo = Pickle::new().op(b"N");
    for index in 0..6_000_000u32 {
        memo.0.push(b'r');
        memo.0.extend(index.to_le_bytes());
    }
    let _ = bench.open(&zip_of(&memo.clone().end(), &[])).expect_err("no tensors");
    too_large(&zip_of(&Pickle::new().op(&b"N".repeat(33 << 20)).end(), &[]));
    // Lists in lists a million deep, and a dictionary that holds itself.
    let deep = Pickle::new().op(&b"]".repeat(1 << 20)).op(&b"a".repeat((1 << 20) - 1)).end();
    assert!(matches!(bench.fault(&zip_of(&deep, &[])), Fault::NoTensors(_)));
    let own = Pickle::new().op(b"}q\x00").text("model").op(b"h\x00s").text("net").op(b"h\x00s").end();
    assert!(matches!(bench.fault(&zip_of(&own, &[])), Fault::NoTensors(_)));
    // A length that no file has.
    let long = Pickle::new().op(b"\x8d").op(&u64::MAX.to_le_bytes()).end();
    assert!(matches!(bench.fault(&zip_of(&long, &[])), Fault::Damaged(_)));
    // Storages packed beyond all proportion.
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let packed = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    writer.start_file("w/data/0", packed).expect("started");
    writer.write_all(&vec![0; 32 << 20]).expect("written");
    let bomb = writer.finish().expect("finished").into_inner();
    let text = bench.open(&bomb).expect_err("refused").to_string();
    assert!(text.contains("decompression bomb"), "{text}");
}

#[test]
fn names_out_of_place_are_refused() {
    let bench = Bench::new();
    let named = |name: &str| {
        let tensor = body().tensor(1, 0, &[1], &[1]);
        let pickle = Pickle::new().op(b"}").text(name).op(&tensor.0).op(b"s").end();
        bench.open(&zip_of(&pickle, &[("data/0", &[0; 4])]))
    };
    assert!(named("encoder.weight").is_ok());
    // A prefix alone is a name like any other.
    assert_eq!(named("module.").expect("read").tensors().keys().collect::<Vec<_>>(), ["module."]);
    for name in ["", "a\nb", "a\u{1b}[31m", &"x".repeat(600)] {
        let text = named(name).expect_err("refused").to_string();
        assert!(text.contains("control characters") && !text.contains('\u{1b}'), "{text}");
    }
}

#[test]
fn foreign_files_are_named_for_what_they_are() {
    let bench = Bench::new();
    let text = |bytes: &[u8]| bench.open(bytes).expect_err("refused").to_string();
    assert!(text(b"").contains("empty"));
    assert!(text(b"<!DOCTYPE html><html>").contains("web page"));
    assert!(text(b"\x89HDF\r\n\x1a\n....").contains("HDF5"));
    assert!(text(b"random words that are no weights").contains("neither"));
    assert!(text(&Pickle::new().int(3).end()).contains("not one of torch.save"));
    assert!(text(&zip_of(&Pickle::new().op(b"]").end(), &[])).contains("no dictionary of tensors"));
    let only = Pickle::new().op(b"}").text("epoch").op(b"K\x01s").end();
    assert!(text(&zip_of(&only, &[])).contains("it holds epoch"));
    let other = {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.start_file("a.txt", SimpleFileOptions::default()).expect("started");
        writer.finish().expect("finished").into_inner()
    };
    assert!(text(&other).contains("without data.pkl"));
    let big = zip_of(&Pickle::new().op(b"}").end(), &[("byteorder", b"big")]);
    assert!(text(&big).contains("big-endian"));
    let missing = WeightFile::open(Path::new("/nowhere/at/all.pth")).expect_err("missing");
    assert!(missing.is_environment());
    assert!(WeightFile::open(bench.folder.path()).expect_err("folder").to_string().contains("is no file"));
}

// ---- safetensors ----

fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn safetensors_are_read_in_every_type_and_cut_nowhere() {
    let bench = Bench::new();
    let header = r#"{"__metadata__":{"by":"x"},"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},
        "module.b":{"dtype":"BF16","shape":[1,1],"data_offsets":[4,6]},"c":{"dtype":"I8","shape":[],"data_offsets":[6,7]},
        "d":{"dtype":"F64","shape":[0,9],"data_offsets":[7,7]}}"#;
    let whole = safetensors(header, &[0x00, 0x3c, 0x00, 0xc0, 0xc0, 0x3f, 0xfe]);
    let values = bench.read(&whole).expect("read");
    assert_eq!(values["a"], (vec![2], vec![1.0, -2.0]));
    assert_eq!(values["module.b"], (vec![1, 1], vec![1.5]));
    assert_eq!(values["c"], (vec![], vec![-2.0]));
    assert_eq!(values["d"], (vec![0, 9], vec![]));
    for length in 0..whole.len() {
        assert!(bench.read(&whole[..length]).is_err(), "{length}");
    }
}

#[test]
fn a_length_that_looks_like_a_pickle_is_a_length() {
    let header = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    for length in [0x0280, 0x0380, 0x0480] {
        let bytes = safetensors(&format!("{header:length$}"), &[7]);
        assert_eq!(bytes[0], 0x80);
        assert_eq!(Bench::new().read(&bytes).expect("read")["a"], (vec![1], vec![7.0]));
    }
}

#[test]
fn headers_that_lie_are_refused() {
    let bench = Bench::new();
    let text = |header: &str, data: &[u8]| bench.fault(&safetensors(header, data)).to_string();
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    assert!(text(&one("F32", "[2]", "[0,4]"), &[0; 4]).contains("needs 8 bytes"));
    assert!(text(&one("F32", "[1]", "[4,0]"), &[0; 4]).contains("refused"));
    assert!(text(&one("F32", "[2]", "[0,8]"), &[0; 4]).contains("refused"));
    assert!(text(&one("F32", "[4611686018427387905]", "[0,4]"), &[0; 4]).contains("refused"));
    assert!(text(&one("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), &[0; 4]).contains("dimensions"));
    assert!(text(&one("F3_X", "[4]", "[0,4]"), &[0; 4]).contains("a (values of type F3_X)"));
    assert!(text(&one("C64", "[1]", "[0,4]"), &[0; 4]).contains("needs 8 bytes"));
    assert!(text(&one("F32", "[1]", "[0,4]"), &[0; 5]).contains("take 4 bytes"));
    assert!(text(&one("F32", "[-1]", "[0,4]"), &[0; 4]).contains("header"));
    assert!(text("{}", &[]).contains("empty"));
    let twice = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#;
    assert!(text(twice, &[0; 2]).contains("twice"));
    let shared = r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#;
    assert!(text(shared, &[0; 3]).contains("overlap"));
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert!(text(&deep, &[]).contains("header"));
    // A header of many gigabytes, announced and not there.
    let mut bytes = (1u64 << 40).to_le_bytes().to_vec();
    bytes.extend(b"{\"a\"");
    assert!(bench.fault(&bytes).to_string().contains("longer than the file"));
}

/// A folder with an index of shards; `files` are (name, name of its tensor).
fn shards(map: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    for (file, tensor) in files {
        let header = format!(r#"{{"{tensor}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#);
        fs::write(folder.path().join(file), safetensors(&header, &[tensor.len() as u8])).expect("written");
    }
    let index = folder.path().join("w.safetensors.index.json");
    fs::write(&index, format!(r#"{{"metadata": {{"total_size": 2}}, "weight_map": {map}}}"#))
        .expect("written");
    (folder, index)
}

#[test]
fn shards_are_read_as_one() {
    let two = [("1.safetensors", "a"), ("2.safetensors", "bb")];
    let (_folder, index) = shards(r#"{"a": "1.safetensors", "bb": "2.safetensors"}"#, &two);
    let mut file = WeightFile::open(&index).expect("opened");
    assert_eq!(file.format(), Format::Shards);
    let values = all(&mut file).expect("read");
    assert_eq!((values["a"].1[0], values["bb"].1[0]), (1.0, 2.0));
    for (map, told) in [
        (r#"{"a": "1.safetensors", "bb": "1.safetensors"}"#, "`bb` is not in 1.safetensors"),
        (
            r#"{"a": "2.safetensors", "bb": "1.safetensors"}"#,
            "`bb` lies in 2.safetensors, not in 1.safetensors",
        ),
        (r#"{"bb": "2.safetensors", "x": "1.safetensors"}"#, "`a` of 1.safetensors is not in the index"),
        (r#"{"a": "../1.safetensors"}"#, "no file beside it"),
        (r#"{"a": "/etc/passwd"}"#, "no file beside it"),
        (r#"{"a": "3.safetensors"}"#, "3.safetensors: there is no such file"),
        (r#"{"a": "w.safetensors.index.json"}"#, "neither a safetensors file"),
        (r#"{"a": 3}"#, "no index of shards"),
        (r#"{"a": "1.safetensors", "a": "2.safetensors"}"#, "twice"),
        ("{}", "empty"),
    ] {
        let (_folder, index) = shards(map, &two);
        let error = WeightFile::open(&index).expect_err(map).to_string();
        assert!(error.contains(told), "{map}: {error}");
    }
}
