//! What the worker is asked to draw for `dygl dataset preview --augment`: the
//! augmentation lives where the training does.

use std::path::PathBuf;

use dygl_spec::name::Named;
use dygl_spec::protocol::Protocol;
use serde::{Deserialize, Serialize};

/// Name of the file that holds a [`Views`].
pub const FILE: &str = "views.json";

/// Training views of some images. The worker writes view 0, 1, ... as
/// [`image_name`] and [`mask_name`] beside the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Views {
    pub dataset: Named,
    /// The store, absolute, where the dataset is registered.
    pub root: PathBuf,
    pub protocol: Protocol,
    /// The run's seed.
    pub seed: u64,
    /// Image id and epoch (from 0) of each view.
    pub views: Vec<(String, usize)>,
}

pub fn image_name(view: usize) -> String {
    format!("{view}.png")
}

pub fn mask_name(view: usize) -> String {
    format!("{view}.mask.png")
}
