//! Every setting of the protocol and of `[ops]`: its path, what it may hold and
//! where it goes. A test holds the list against the types, so a new field that is
//! not listed here does not pass.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::kind::{Kind, Range, words};
use super::ops::{ExecutorName, PreflightMode};
use super::protocol::{
    Border, CropFrom, DecayExclude, EmptyRule, Filter, MaskMode, OptimizerName, Part, Pooling, Precision,
    Protocol, ScheduleUnit, SelectionRule, SplitSource,
};
use super::source::At;
use super::tree::{self, Node, Value};

/// A setting of the protocol.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// `train.epochs`
    pub path: &'static str,
    /// What it may hold.
    pub kind: Kind,
    assign: fn(&mut Protocol, &Json) -> Result<(), serde_json::Error>,
    value: fn(&Protocol) -> Json,
}

impl Setting {
    /// Puts a checked value into a protocol.
    pub fn assign(&self, protocol: &mut Protocol, value: &Json) -> Result<(), serde_json::Error> {
        (self.assign)(protocol, value)
    }

    /// Its value in a protocol, in canonical form: equal values compare equal.
    pub fn value(&self, protocol: &Protocol) -> Json {
        (self.value)(protocol)
    }

    /// A value from elsewhere in canonical form, so that `1` and `1.0` of a number are
    /// one value; what the setting cannot hold stays as it is.
    pub fn canonical(&self, value: Json) -> Json {
        let number = |value: &Json| value.as_f64().map(|number| Json::from(number + 0.0));
        match (&self.kind, &value) {
            (Kind::Number(_), Json::Number(_)) => number(&value).unwrap_or(value),
            (Kind::Numbers { .. } | Kind::Bounds(_), Json::Array(items)) => {
                items.iter().map(number).collect::<Option<Vec<Json>>>().map_or(value, Json::Array)
            }
            _ => value,
        }
    }
}

macro_rules! setting {
    ($first:ident $(. $rest:ident)*, $kind:expr) => {
        Setting {
            path: concat!(stringify!($first) $(, ".", stringify!($rest))*),
            kind: $kind,
            assign: |protocol, value| {
                protocol.$first $(. $rest)* = Deserialize::deserialize(value)?;
                Ok(())
            },
            // Numbers, words and lists of numbers always serialise.
            value: |protocol| serde_json::to_value(&protocol.$first $(. $rest)*).unwrap_or_default(),
        }
    };
}

const fn at_least(low: u64) -> Kind {
    Kind::Count { low, high: u64::MAX }
}

const CHANCE: Kind = Kind::Number(Range::PROBABILITY);

/// Every leaf of [`Protocol`], in its order.
pub const SETTINGS: &[Setting] = &[
    setting!(image.size, Kind::Count { low: 8, high: 4096 }),
    setting!(image.filter, Kind::Word(words::<Filter>)),
    setting!(image.mean, Kind::Numbers { len: 3, range: Range::PROBABILITY }),
    setting!(image.std, Kind::Numbers { len: 3, range: Range::POSITIVE }),
    setting!(image.training_masks, Kind::Word(words::<MaskMode>)),
    setting!(augment.horizontal_flip, CHANCE),
    setting!(augment.vertical_flip, CHANCE),
    setting!(augment.border, Kind::Word(words::<Border>)),
    setting!(augment.crop.probability, CHANCE),
    setting!(augment.crop.from, Kind::Word(words::<CropFrom>)),
    setting!(augment.crop.scale, Kind::Bounds(Range::FRACTION)),
    setting!(augment.crop.aspect, Kind::Bounds(Range::closed(0.1, 10.0))),
    setting!(augment.rotate.probability, CHANCE),
    setting!(augment.rotate.degrees, Kind::Number(Range::closed(0.0, 180.0))),
    setting!(augment.elastic.probability, CHANCE),
    setting!(augment.elastic.alpha, Kind::Number(Range::NOT_NEGATIVE)),
    setting!(augment.elastic.sigma, Kind::Number(Range::POSITIVE)),
    setting!(augment.brightness_contrast.probability, CHANCE),
    setting!(augment.brightness_contrast.brightness, CHANCE),
    setting!(augment.brightness_contrast.contrast, CHANCE),
    setting!(loss.lambda, CHANCE),
    setting!(loss.dice_smoothing, Kind::Number(Range::POSITIVE)),
    setting!(loss.dice_pooling, Kind::Word(words::<Pooling>)),
    setting!(optimizer.name, Kind::Word(words::<OptimizerName>)),
    setting!(optimizer.learning_rate, Kind::Number(Range::POSITIVE)),
    setting!(optimizer.betas, Kind::Numbers { len: 2, range: Range::BELOW_ONE }),
    setting!(optimizer.epsilon, Kind::Number(Range::POSITIVE)),
    setting!(optimizer.weight_decay, Kind::Number(Range::NOT_NEGATIVE)),
    setting!(optimizer.decay_exclude, Kind::Word(words::<DecayExclude>)),
    setting!(optimizer.clip_norm, Kind::Number(Range::NOT_NEGATIVE)),
    setting!(schedule.warmup_epochs, at_least(0)),
    setting!(schedule.warmup_start, CHANCE),
    setting!(schedule.power, Kind::Number(Range::NOT_NEGATIVE)),
    setting!(schedule.unit, Kind::Word(words::<ScheduleUnit>)),
    setting!(train.epochs, Kind::Count { low: 1, high: 1_000_000 }),
    setting!(train.batch_size, Kind::Count { low: 1, high: 65_536 }),
    setting!(train.drop_last, Kind::Flag),
    setting!(train.images_per_epoch, at_least(0)),
    setting!(train.precision, Kind::Word(words::<Precision>)),
    setting!(selection.rule, Kind::Word(words::<SelectionRule>)),
    setting!(selection.part, Kind::Word(words::<Part>)),
    setting!(selection.every, at_least(0)),
    setting!(split.source, Kind::Word(words::<SplitSource>)),
    setting!(split.seed, at_least(0)),
    setting!(split.folds, Kind::Count { low: 2, high: 1000 }),
    setting!(split.fold, Kind::Count { low: 0, high: 999 }),
    setting!(split.file, Kind::Text),
    setting!(evaluate.part, Kind::Word(words::<Part>)),
    setting!(evaluate.threshold, Kind::Number(Range::INSIDE)),
    setting!(evaluate.epsilon, Kind::Number(Range::NOT_NEGATIVE)),
    setting!(evaluate.empty, Kind::Word(words::<EmptyRule>)),
];

/// Every key of `[ops]`.
pub const OPS: &[(&str, Kind)] = &[
    ("on", Kind::Word(words::<ExecutorName>)),
    ("jobs", Kind::Count { low: 1, high: 4096 }),
    ("threads", Kind::Count { low: 0, high: 4096 }),
    ("data", Kind::Text),
    ("timeout_hours", Kind::Number(Range::POSITIVE)),
    ("preflight", Kind::Word(words::<PreflightMode>)),
    ("slurm_args", Kind::Texts),
];

/// Reads an argument of the command line that stands for a setting (`--jobs` for
/// `ops.jobs`): the same range and the same words as in a file.
///
/// # Errors
/// What is wrong with it; `unknown setting` where the path is none.
pub fn read<T: DeserializeOwned>(path: &str, text: &str) -> Result<T, String> {
    read_like(path, path, text)
}

/// The same for an argument that is no setting itself and has the range of one; `name`
/// is how messages call it.
///
/// # Errors
/// See [`read`].
pub fn read_like<T: DeserializeOwned>(name: &str, path: &str, text: &str) -> Result<T, String> {
    let ops = || OPS.iter().find(|(key, _)| path.strip_prefix("ops.") == Some(key)).map(|(_, kind)| kind);
    let kind = setting(path).map(|setting| &setting.kind).or_else(ops);
    let kind = kind.ok_or_else(|| format!("unknown setting `{path}`"))?;
    let at = At::new(0, 0..text.len());
    let bare = Node { at, value: Value::Text(text.to_owned()) };
    let node = tree::parse_value(text, at).unwrap_or(bare);
    let value = kind.check(name, &node).map_err(|diagnostic| diagnostic.message)?;
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// The setting at a path.
pub fn setting(path: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.path == path)
}

/// The paths of all settings.
pub fn paths() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.path)
}

/// The shortest tail of a path that names no other setting: `lambda`, but
/// `crop.probability`.
pub fn short(path: &str) -> &str {
    let mut starts: Vec<usize> = path.match_indices('.').map(|(i, _)| i + 1).collect();
    starts.reverse();
    for start in starts {
        let tail = &path[start..];
        let same = |other: &&str| *other == tail || other.ends_with(&format!(".{tail}"));
        if paths().filter(same).count() <= 1 {
            return tail;
        }
    }
    path
}

/// Nests values by their dotted paths.
pub fn nest<'a>(values: impl IntoIterator<Item = (&'a str, &'a Json)>) -> Json {
    let mut root = Map::new();
    for (path, value) in values {
        let mut table = &mut root;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                table.insert(part.to_owned(), value.clone());
                break;
            }
            let below = table.entry(part).or_insert_with(|| Json::Object(Map::new()));
            match below {
                Json::Object(map) => table = map,
                _ => break,
            }
        }
    }
    Json::Object(root)
}

/// The leaves of a value by their dotted paths, in its order; lists are leaves.
pub fn leaves(value: &Json) -> Vec<(String, Json)> {
    fn walk(prefix: &str, value: &Json, out: &mut Vec<(String, Json)>) {
        let Json::Object(map) = value else {
            out.push((prefix.to_owned(), value.clone()));
            return;
        };
        for (key, value) in map {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            walk(&path, value, out);
        }
    }
    let mut out = Vec::new();
    walk("", value, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::super::ops::Ops;
    use super::super::testing::protocol;
    use super::*;

    #[test]
    fn every_leaf_of_the_protocol_is_listed_in_order() {
        let json = serde_json::to_value(protocol()).expect("serialisable");
        let found: Vec<String> = leaves(&json).into_iter().map(|(path, _)| path).collect();
        let listed: Vec<&str> = paths().collect();
        assert_eq!(found, listed);
    }

    #[test]
    fn the_sources_of_splits_are_named_as_they_are_spelt() {
        assert_eq!(SplitSource::ALL.map(SplitSource::name).as_slice(), words::<SplitSource>());
    }

    #[test]
    fn every_key_of_ops_is_listed() {
        let json = serde_json::to_value(Ops::default()).expect("serialisable");
        let found: Vec<String> = leaves(&json).into_iter().map(|(path, _)| path).collect();
        assert_eq!(found, OPS.iter().map(|(key, _)| *key).collect::<Vec<_>>());
    }

    #[test]
    fn arguments_have_the_range_of_their_setting() {
        assert_eq!(read("ops.jobs", "3"), Ok(3));
        for text in ["0", "4097", "-1"] {
            let message = read::<usize>("ops.jobs", text).expect_err(text);
            assert_eq!(message, "`ops.jobs` must be between 1 and 4096", "{text}");
        }
        assert_eq!(
            read::<usize>("ops.jobs", "two").expect_err("a word"),
            "`ops.jobs` must be a whole number"
        );
        assert_eq!(read("evaluate.threshold", "0.25"), Ok(0.25));
        assert!(
            read::<f64>("evaluate.threshold", "1").is_err()
                && read::<f64>("evaluate.threshold", "nan").is_err()
        );
        let hours = |text| read_like::<f64>("--max-hours", "ops.timeout_hours", text);
        assert_eq!(hours("0").expect_err("none"), "`--max-hours` must be greater than 0");
        assert_eq!((hours("1"), hours("0.5")), (Ok(1.0), Ok(0.5)));
        assert!(read::<usize>("ops.nothing", "1").is_err());
    }

    #[test]
    fn assigning_a_leaf_changes_that_leaf_alone() {
        let base = protocol();
        let json = serde_json::to_value(&base).expect("serialisable");
        for (setting, (path, value)) in SETTINGS.iter().zip(leaves(&json)) {
            let other = match (&setting.kind, &value) {
                (Kind::Word(words), _) => match words().iter().find(|w| **w != value) {
                    Some(word) => Json::from(*word),
                    None => continue,
                },
                (Kind::Flag, _) => Json::from(value != true),
                (Kind::Count { .. }, _) => Json::from(value.as_u64().expect("count") + 1),
                (Kind::Text, _) => Json::from("other"),
                (Kind::Numbers { len, .. }, _) => Json::from(vec![0.25; *len]),
                (Kind::Bounds(_), _) => Json::from(vec![0.25, 0.75]),
                _ => Json::from(0.125),
            };
            let mut changed = base.clone();
            setting.assign(&mut changed, &other).expect("fits");
            let after = leaves(&serde_json::to_value(&changed).expect("serialisable"));
            let differing: Vec<&String> =
                leaves(&json).iter().zip(&after).filter(|(a, b)| a != b).map(|(_, b)| &b.0).collect();
            assert_eq!(differing, [&path]);
        }
    }

    #[test]
    fn a_setting_reads_the_leaf_that_it_assigns() {
        let json = serde_json::to_value(protocol()).expect("serialisable");
        for (setting, (path, value)) in SETTINGS.iter().zip(leaves(&json)) {
            assert_eq!((setting.path, setting.value(&protocol())), (path.as_str(), value));
        }
        let rate = setting("optimizer.learning_rate").expect("a setting");
        assert_eq!(rate.canonical(Json::from(1)), Json::from(1.0));
        let scale = setting("augment.crop.scale").expect("a setting");
        assert_eq!(scale.canonical(serde_json::json!([0.5, 1])), serde_json::json!([0.5, 1.0]));
        let epochs = setting("train.epochs").expect("a setting");
        assert_eq!(epochs.canonical(Json::from(3)), Json::from(3));
    }

    #[test]
    fn short_names_stay_unambiguous() {
        assert_eq!(short("loss.lambda"), "lambda");
        assert_eq!(short("augment.crop.probability"), "crop.probability");
        assert_eq!(short("evaluate.part"), "evaluate.part");
        assert_eq!(short("train.epochs"), "epochs");
    }

    #[test]
    fn nesting_undoes_flattening() {
        let json = serde_json::to_value(protocol()).expect("serialisable");
        let flat = leaves(&json);
        assert_eq!(nest(flat.iter().map(|(path, value)| (path.as_str(), value))), json);
    }
}
