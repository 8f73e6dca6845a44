//! The pre-image of a key: readable, ordered, and free of collisions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A digest of 256 bits as 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    /// All 64 digits.
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

/// Names and values, by name.
pub type Fields = BTreeMap<Cow<'static, str>, String>;

/// Domain and fields of a key.
#[derive(Debug, Clone)]
pub struct Preimage {
    /// What kind of thing is keyed: `train`, `evaluation`.
    pub domain: Cow<'static, str>,
    own: Fields,
    /// Fields that many pre-images have, such as the settings of a protocol.
    shared: Arc<Fields>,
    /// The key, once somebody asked for it.
    key: OnceLock<Key>,
}

impl Preimage {
    /// One without fields.
    pub fn new(domain: &'static str) -> Self {
        Self::with(domain, Arc::default())
    }

    /// One that begins with these fields; a field that is put later goes before one of
    /// that name.
    pub fn with(domain: &'static str, shared: Arc<Fields>) -> Self {
        Self { domain: domain.into(), own: Fields::new(), shared, key: OnceLock::new() }
    }

    /// Sets a field, in the place of an earlier value.
    pub fn put(&mut self, field: impl Into<Cow<'static, str>>, value: &str) {
        self.key.take();
        self.own.insert(field.into(), value.to_owned());
    }

    /// Puts every leaf of a value under dotted names: all that is in the value
    /// is in the key, without anybody having to remember it.
    pub fn put_tree(&mut self, prefix: &str, value: &impl Serialize) {
        self.key.take();
        self.own.extend(leaves(prefix, value));
    }

    /// The value of a field.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.own.get(field).or_else(|| self.shared.get(field)).map(String::as_str)
    }

    /// Every field with its value, by name.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let (mut own, mut shared) = (self.own.iter().peekable(), self.shared.iter().peekable());
        std::iter::from_fn(move || {
            let next = match (own.peek(), shared.peek()) {
                (Some((name, _)), Some((other, _))) if name > other => shared.next(),
                (Some((name, _)), Some((other, _))) => {
                    if name == other {
                        shared.next();
                    }
                    own.next()
                }
                (Some(_), None) => own.next(),
                (None, _) => shared.next(),
            };
            next.map(|(name, value)| (&**name, value.as_str()))
        })
    }

    /// blake3 over domain and fields, each prefixed with its length.
    pub fn key(&self) -> &Key {
        self.key.get_or_init(|| self.digest())
    }

    fn digest(&self) -> Key {
        // Many small parts: hashed as one.
        let mut bytes = Vec::with_capacity(4096);
        let mut put = |text: &str| {
            bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        };
        put("dygl key");
        put(&self.domain);
        put(&self.fields().count().to_string());
        for (field, value) in self.fields() {
            put(field);
            put(value);
        }
        Key(blake3::hash(&bytes).to_hex().to_string())
    }
}

impl PartialEq for Preimage {
    fn eq(&self, other: &Self) -> bool {
        self.domain == other.domain && self.fields().eq(other.fields())
    }
}

/// As it is stored beside a result.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Preimage")]
struct Written<'a> {
    domain: Cow<'static, str>,
    fields: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

impl Serialize for Preimage {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let fields = self.fields().map(|(name, value)| (name.into(), value.into())).collect();
        Written { domain: self.domain.clone(), fields }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Preimage {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(from)?;
        let owned =
            |(name, value): (Cow<'_, str>, Cow<'_, str>)| (Cow::Owned(name.into_owned()), value.into_owned());
        let own = written.fields.into_iter().map(owned).collect();
        Ok(Self { domain: written.domain, own, shared: Arc::default(), key: OnceLock::new() })
    }
}

/// Every leaf of a value under its dotted name.
pub fn leaves(prefix: &str, value: &impl Serialize) -> Fields {
    // Protocol types are plain structs of numbers, words and arrays, which always serialise.
    let tree =
        serde_json::to_value(value).unwrap_or_else(|error| Value::String(format!("unserialisable: {error}")));
    let mut found = Fields::new();
    collect(prefix, &tree, &mut found);
    found
}

fn collect(name: &str, value: &Value, found: &mut Fields) {
    let text = match value {
        Value::Object(entries) => {
            for (key, entry) in entries {
                collect(&format!("{name}.{key}"), entry, found);
            }
            return;
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    found.insert(Cow::Owned(name.to_owned()), text);
}

#[cfg(test)]
mod tests {
    use dygl_testing::draws;
    use proptest::prelude::*;

    use super::*;

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
        let fields: Vec<(&str, &str)> = preimage.fields().collect();
        assert_eq!(fields, [("p.a.b", "0.5"), ("p.a.c", "[1,2]"), ("p.d", "x")]);
    }

    fn fields() -> impl Strategy<Value = Fields> {
        proptest::collection::btree_map("[a-c]{0,3}".prop_map(Cow::Owned), "[a-c]{0,3}", 0..4)
    }

    proptest! {
        #![proptest_config(draws(256))]

        #[test]
        fn different_pre_images_have_different_keys(a in fields(), b in fields(), d in "[a-c]{0,2}", e in "[a-c]{0,2}") {
            let of = |domain: &str, own: &Fields, shared: &Fields| Preimage {
                domain: Cow::Owned(domain.to_owned()),
                own: own.clone(),
                shared: Arc::new(shared.clone()),
                key: OnceLock::new(),
            };
            let none = Fields::new();
            let (left, right) = (of(&d, &a, &none), of(&e, &b, &none));
            prop_assert_eq!(left == right, left.key() == right.key());
            // It does not matter which fields are shared.
            let (split, mut whole) = (of(&d, &a, &b), b.clone());
            whole.extend(a.clone());
            let whole = of(&d, &whole, &none);
            prop_assert_eq!(&split, &whole);
            prop_assert_eq!(split.key(), whole.key());
            let text = serde_json::to_string(&split).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<Preimage>(&text).expect("read"), whole);
            prop_assert!(split.fields().all(|(name, value)| split.get(name) == Some(value)));
        }
    }
}
