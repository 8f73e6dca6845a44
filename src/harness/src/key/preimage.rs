//! The pre-image of a key: readable, ordered, and free of collisions.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A digest of 256 bits as 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }

    /// Reads 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let valid =
            text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        valid.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Domain and fields of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preimage {
    pub domain: String,
    pub fields: BTreeMap<String, String>,
}

impl Preimage {
    pub fn new(domain: &str) -> Self {
        Self { domain: domain.to_owned(), fields: BTreeMap::new() }
    }

    pub fn put(&mut self, field: &str, value: &str) {
        self.fields.insert(field.to_owned(), value.to_owned());
    }

    /// Puts every leaf of a value under dotted names: all that is in the value
    /// is in the key, without anybody having to remember it.
    pub fn put_tree(&mut self, prefix: &str, value: &impl Serialize) {
        // Protocol types are plain structs of numbers, words and arrays, which always serialise.
        let tree = serde_json::to_value(value)
            .unwrap_or_else(|error| Value::String(format!("unserialisable: {error}")));
        self.put_value(prefix, &tree);
    }

    fn put_value(&mut self, name: &str, value: &Value) {
        match value {
            Value::Object(entries) => {
                for (key, entry) in entries {
                    self.put_value(&format!("{name}.{key}"), entry);
                }
            }
            Value::String(text) => self.put(name, text),
            other => self.put(name, &other.to_string()),
        }
    }

    /// Keeps the fields whose names satisfy the predicate.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.fields.retain(|field, _| keep(field));
    }

    /// blake3 over domain and fields, each prefixed with its length.
    pub fn key(&self) -> Key {
        let mut hasher = blake3::Hasher::new();
        let mut put = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        put("dygl key");
        put(&self.domain);
        put(&self.fields.len().to_string());
        for (field, value) in &self.fields {
            put(field);
            put(value);
        }
        Key(hasher.finalize().to_hex().to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::draws;

    #[test]
    fn the_digest_is_what_the_documentation_says() {
        // Field by field, independently of `Preimage::key`.
        let mut preimage = Preimage::new("d");
        preimage.put("a", "1");
        let mut bytes = Vec::new();
        for text in ["dygl key", "d", "1", "a", "1"] {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        assert_eq!(preimage.key().as_str(), blake3::hash(&bytes).to_hex().as_str());
        // Golden, computed by another program: a change orphans every stored result.
        let golden = "31b642609411e0e7cb7e222aa51c56e1807ecdc7acbc5f4efbb25688b559808a";
        assert_eq!(preimage.key().as_str(), golden);
        assert_eq!(preimage.key().short(), &golden[..12]);
    }

    #[test]
    fn trees_become_dotted_fields() {
        let mut preimage = Preimage::new("d");
        preimage.put_tree("p", &serde_json::json!({"a": {"b": 0.5, "c": [1, 2]}, "d": "x"}));
        let fields: Vec<(&str, &str)> =
            preimage.fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(fields, [("p.a.b", "0.5"), ("p.a.c", "[1,2]"), ("p.d", "x")]);
    }

    fn fields() -> impl Strategy<Value = BTreeMap<String, String>> {
        proptest::collection::btree_map("[a-c]{0,3}", "[a-c]{0,3}", 0..4)
    }

    proptest! {
        #![proptest_config(draws(256))]

        #[test]
        fn different_pre_images_have_different_keys(a in fields(), b in fields(), d in "[a-c]{0,2}", e in "[a-c]{0,2}") {
            let left = Preimage { domain: d.clone(), fields: a.clone() };
            let right = Preimage { domain: e.clone(), fields: b.clone() };
            prop_assert_eq!(left == right, left.key() == right.key());
        }
    }
}
