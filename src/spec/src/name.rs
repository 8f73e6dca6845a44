//! `NAME,option=value,...`: how a network or dataset with options is written
//! on the command line and in TOML alike.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name with options, in canonical form: options sorted, defaults left out
/// by whoever resolves it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Named {
    /// What stands before the first comma.
    pub name: String,
    /// Value by option; empty where none is given.
    pub options: BTreeMap<String, String>,
}

/// Why a text is no [`Named`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing stands before the first comma.
    #[error("the name is empty")]
    Empty,
    /// A part without `=`, or with nothing on one side of it.
    #[error("`{0}` is not of the form option=value")]
    NotAnOption(String),
    /// An option is given more than once.
    #[error("option `{0}` is given twice")]
    Twice(String),
}

impl Named {
    /// A name without options.
    pub fn plain(name: impl Into<String>) -> Self {
        Self { name: name.into(), options: BTreeMap::new() }
    }

    /// Reads `NAME` or `NAME,option=value,...`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mut parts = text.split(',').map(str::trim);
        let name = parts.next().unwrap_or_default();
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        let mut options = BTreeMap::new();
        for part in parts {
            let Some((key, value)) = part.split_once('=') else {
                return Err(NameError::NotAnOption(part.to_owned()));
            };
            let (key, value) = (key.trim(), value.trim());
            if key.is_empty() || value.is_empty() {
                return Err(NameError::NotAnOption(part.to_owned()));
            }
            if options.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(NameError::Twice(key.to_owned()));
            }
        }
        Ok(Self { name: name.to_owned(), options })
    }

    /// The value of an option, if given.
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (key, value) in &self.options {
            write!(f, ",{key}={value}")?;
        }
        Ok(())
    }
}

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sorted_and_round_trip() {
        let named = Named::parse("dyglnet, split=local,norm=group").expect("valid");
        assert_eq!(named.to_string(), "dyglnet,norm=group,split=local");
        assert_eq!(Named::parse(&named.to_string()).expect("valid"), named);
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(Named::parse(""), Err(NameError::Empty));
        assert_eq!(Named::parse("a,b"), Err(NameError::NotAnOption("b".into())));
        assert_eq!(Named::parse("a,b=1,b=2"), Err(NameError::Twice("b".into())));
    }
}
