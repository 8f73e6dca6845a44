//! Why a result is not the one that is asked for: field, old -> new.

use serde::Serialize;

use std::collections::BTreeSet;

use super::Preimage;

/// One field in which two pre-images differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Dotted name of the field: `protocol.optimizer.learning_rate`.
    pub field: String,
    /// `None` where the older result has no such field.
    pub old: Option<String>,
    /// `None` where today's key has no such field.
    pub new: Option<String>,
}

impl Change {
    /// `optimizer.learning_rate 0.001 -> 0.01`, for a sentence.
    pub fn short(&self) -> String {
        let field = self.field.strip_prefix("protocol.").unwrap_or(&self.field);
        let [old, new] = self.values();
        format!("{field} {old} -> {new}")
    }

    /// How far apart the values are, 0..1: of numbers their difference by their sizes.
    pub fn gap(&self) -> f64 {
        let number = |value: &Option<String>| value.as_ref()?.parse::<f64>().ok();
        match (number(&self.old), number(&self.new)) {
            (Some(old), Some(new)) if old != new => (old - new).abs() / (old.abs() + new.abs()),
            _ => 1.0,
        }
    }

    fn values(&self) -> [String; 2] {
        [&self.old, &self.new].map(|value| value.as_deref().map_or_else(|| "(absent)".to_owned(), shorten))
    }

    /// What moved, in words a user can act on.
    pub fn describe(&self) -> String {
        let [old, new] = self.values();
        let note = match self.field.as_str() {
            "revision.network" => "  the network's source, or a layer it uses, was edited",
            "revision.pixels" => {
                "  the source of decoding, resizing, splits, phantoms or augmentation was edited"
            }
            "revision.train" => "  the source of the training loop was edited",
            "revision.metric" => "  the source of the scores was edited: re-evaluates, does not retrain",
            "numerics" => "  other arithmetic: another device, or other threads of libtorch",
            "revision.library.libtorch" => "  libtorch, or a crate that binds it, was updated",
            "revision.library.tensor" | "revision.library.image" => "  a computing crate was updated",
            "dataset.digest" => "  the dataset's bytes differ",
            "split.digest" => "  other images in the parts of the split",
            "pretrained.sha256" => "  other weights to start from",
            "train" | "weights" => "  other weights",
            _ => "",
        };
        format!("{}: {old} -> {new}{note}", self.field)
    }
}

/// Digests are told apart by their first digits.
fn shorten(value: &str) -> String {
    let is_digest = value.len() >= 32 && value.bytes().all(|b| b.is_ascii_hexdigit());
    if is_digest { value[..12].to_owned() } else { value.to_owned() }
}

/// The fields in which `old` and `new` differ, by name.
pub fn compare(old: &Preimage, new: &Preimage) -> Vec<Change> {
    let names: BTreeSet<&str> = old.fields().chain(new.fields()).map(|(name, _)| name).collect();
    names
        .into_iter()
        .filter_map(|name| {
            let [before, after] = [old.get(name), new.get(name)];
            (before != after).then(|| Change {
                field: name.to_owned(),
                old: before.map(str::to_owned),
                new: after.map(str::to_owned),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_changed_field_is_named_with_both_values() {
        let mut old = Preimage::new("train");
        old.put("seed", "42");
        old.put("protocol.loss.lambda", "0.5");
        let mut new = old.clone();
        new.put("protocol.loss.lambda", "0.3");
        let changes = compare(&old, &new);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].describe(), "protocol.loss.lambda: 0.5 -> 0.3");
        assert_eq!(changes[0].short(), "loss.lambda 0.5 -> 0.3");
        let near = Change { new: Some("0.49".into()), ..changes[0].clone() };
        assert!(near.gap() < changes[0].gap() && changes[0].gap() < 1.0);
        assert!(compare(&old, &old).is_empty());
    }
}
