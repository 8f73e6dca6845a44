//! The verb `cost`: folds the cost ledger of networks from forward passes.
//!
//! | kind | true operations (multiply-accumulates) | thop 0.1.1 | fvcore |
//! |---|---|---|---|
//! | convolution | outputs x taps | the same | the same |
//! | transposed convolution | inputs x taps | outputs x taps of the input side | as true |
//! | linear, 1-D convolution | outputs x terms | the same | the same |
//! | product of activations | outputs x terms | - | as true |
//! | batch norm | 1 per value | 4 | 2 |
//! | layer norm | 3 per value (sum, squares, scale and shift) | 4 | 5 |
//! | group norm | 3 per value | - | 5 |
//! | dynamic tanh | 2 per value | - | - |
//! | softmax | 2 per value (sum, division) | 3 n - 1 per row of n | - |
//! | average pool | outputs x area | outputs | - |
//! | adaptive average pool | 1 per input | area + 1 per output | 1 per input |
//! | mean | 1 per input | - | - |
//! | bilinear resize, samples | 4 per output | 11 per output, - | 4 per output |
//! | nearest resize | 0 | 1 per output | 1 per output |
//! | max pool, GELU | 0 | - | - |
//!
//! thop sees modules only: what the reference does by a function counts
//! nothing. It counts a parameter if the module that holds it was called, and
//! is of one of these kinds. A module that is registered under two names is
//! hooked twice, and its two hooks' sums are added up twice: operations x 4,
//! parameters x 2.
//!
//! True operations are those of the network as its authors wrote it. Where one
//! here comes to the same by less (sums in M2SNet, the head of H2Former), the
//! events tell of the former; `tests/capture.rs` names each such place, and holds
//! everything else against the graph that burn captures. Nothing is computed for
//! a ledger: the pass runs on the device that captures.

use dygl_spec::ledger::{Ledger, Size};
use dygl_spec::name::{NameError, Named};
use dygl_spec::network::{self, NetworkError, SizeError};
use graph::{Mode, capture};

mod fold;
pub mod graph;
pub mod measure;
mod memory;

/// Why there is no ledger; completes "failed to".
#[derive(Debug, thiserror::Error)]
pub enum CostError {
    /// The name of a model does not parse.
    #[error("read the model `{model}`: {source}")]
    Name {
        /// The text as it was given.
        model: String,
        /// What is wrong in it.
        source: NameError,
    },
    /// The network is unknown, or an option of it.
    #[error("find the model: {0}")]
    Network(#[from] NetworkError),
    /// The network takes no images of that size.
    #[error("build the network: {0}")]
    Size(#[from] SizeError),
    /// The batch is empty or huge.
    #[error("hold {batch} images: a batch has 1 to {MOST_IMAGES}; `--batch` says how many")]
    Batch {
        /// Images that were asked for.
        batch: usize,
    },
    /// burn refuses the graph of a pass, or holds no pass in it.
    #[error("record a pass of `{model}`: {message}")]
    Capture {
        /// Name with options.
        model: String,
        /// What burn says, or what is missing.
        message: String,
    },
    /// A tensor of the pass is not on the device that records, so that the graph lacks it.
    #[error("record a pass: one of its tensors is not on the device that records")]
    Elsewhere,
    /// A recorded operation has no rule for what a training step keeps of it.
    #[error("say what a training step keeps: there is no rule for `{operation}`; add it to cost/memory.rs")]
    Unknown {
        /// As burn prints it, at most 60 characters.
        operation: String,
    },
    /// The ledgers cannot be written as JSON.
    #[error("write the ledgers: {0}")]
    Json(#[from] serde_json::Error),
}

/// A batch is not larger.
const MOST_IMAGES: usize = 4096;

/// Runs the verb: a JSON list of ledgers, in the order of the models; their
/// memory is that of `batch` images.
///
/// # Errors
/// A model is unknown or takes no such images, or the batch is empty or huge.
pub fn run(models: &[String], size: Size, batch: usize) -> Result<String, CostError> {
    let ledgers = models
        .iter()
        .map(|model| ledger(&read(model, size, batch)?, size, batch))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(serde_json::to_string(&ledgers)?)
}

/// The network of that name, which takes such a batch.
fn read(model: &str, size: Size, batch: usize) -> Result<Named, CostError> {
    let named = Named::parse(model).map_err(|source| CostError::Name { model: model.to_owned(), source })?;
    let (network, named) = network::resolve(&named)?;
    network.check_sides(size.sides())?;
    if batch == 0 || batch > MOST_IMAGES {
        return Err(CostError::Batch { batch });
    }
    Ok(named)
}

/// The ledger of a network for one image, with the memory of a batch.
///
/// # Errors
/// The name or an option is unknown.
pub fn ledger(named: &Named, size: impl Into<Size>, batch: usize) -> Result<Ledger, CostError> {
    let size = size.into();
    let one = capture(named, size, 1, Mode::Inference)?;
    let one_trained = capture(named, size, 1, Mode::Training)?;
    let of_one = memory::memory(&one, &one_trained, 1)?;
    let held = if batch == 1 {
        of_one
    } else {
        let inference = capture(named, size, batch, Mode::Inference)?;
        memory::memory(&inference, &capture(named, size, batch, Mode::Training)?, batch)?
    };
    Ok(fold::ledger(&one, named.to_string(), size, of_one.kept / 4, held))
}

#[cfg(test)]
mod tests;
