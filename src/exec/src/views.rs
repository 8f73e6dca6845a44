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
    /// Dataset of the images, `NAME,option=value`.
    pub dataset: Named,
    /// The store, absolute, where the dataset is registered.
    pub root: PathBuf,
    /// Whose image size and augmentation are drawn.
    pub protocol: Protocol,
    /// The run's seed.
    pub seed: u64,
    /// Image id and epoch (from 0) of each view.
    pub views: Vec<(String, usize)>,
}

/// Name of the file of a view's image: `0.png`.
pub fn image_name(view: usize) -> String {
    format!("{view}.png")
}

/// Name of the file of a view's mask: `0.mask.png`.
pub fn mask_name(view: usize) -> String {
    format!("{view}.mask.png")
}
