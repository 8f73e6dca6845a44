//! What is timed: the list that both sides read, and the shapes of operations.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The list; `bench/torch/ops.py` reads the same file.
const LIST: &str = include_str!("../../../../bench/ops.toml");

#[derive(Debug, Deserialize)]
struct List {
    operation: Vec<Listed>,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Listed {
    pub name: String,
    /// The network that has it.
    pub network: String,
    #[serde(flatten)]
    pub what: Operation,
}

/// An operation with its shapes; `bench/ops.toml` says what the fields are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Operation {
    Convolution {
        input: [usize; 4],
        output: usize,
        kernel: usize,
        #[serde(default = "one")]
        stride: usize,
        #[serde(default)]
        padding: usize,
        #[serde(default = "one")]
        dilation: usize,
        #[serde(default = "one")]
        groups: usize,
        #[serde(default)]
        bias: bool,
        #[serde(default)]
        transposed: bool,
    },
    BatchNorm {
        input: [usize; 4],
    },
    Gelu {
        input: Vec<usize>,
    },
    Sample {
        input: [usize; 4],
        groups: usize,
    },
    Resize {
        input: [usize; 4],
        output: usize,
        aligned: bool,
    },
    Attention {
        input: [usize; 4],
        keys: usize,
        #[serde(default)]
        bias: bool,
    },
    LayerNorm {
        input: Vec<usize>,
    },
    Softmax {
        input: Vec<usize>,
    },
    Adamw {
        input: [usize; 1],
    },
    Loss {
        input: [usize; 4],
    },
}

fn one() -> usize {
    1
}

/// The whole list.
///
/// # Errors
/// The file is of another form, which a test excludes.
pub fn listed() -> Result<Vec<Listed>> {
    let list: List = toml::from_str(LIST).context("failed to read bench/ops.toml")?;
    Ok(list.operation)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_list_has_every_operation_once() {
        let listed = listed().expect("of the form");
        let names: BTreeSet<&str> = listed.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names.len(), listed.len(), "two have one name");
        let kinds: BTreeSet<String> = listed
            .iter()
            .map(|one| serde_json::to_value(&one.what).expect("plain")["kind"].to_string())
            .collect();
        assert_eq!(kinds.len(), 10, "{kinds:?}");
        for one in &listed {
            assert!(dygl_train::net::NAMES.contains(&one.network.as_str()), "{}", one.network);
            if let Operation::Convolution { input, output, groups, .. } = one.what {
                assert_eq!((input[1] % groups, output % groups), (0, 0), "{}", one.name);
            }
        }
    }
}
