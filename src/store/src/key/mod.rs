//! What identifies a result.
//!
//! A key is the blake3 digest of a *pre-image*: a domain and a sorted list of
//! (field, value) pairs, each length-prefixed, so that two different inputs
//! never share one. The pre-image is stored beside the result; `explain`
//! compares it field by field with today's.
//!
//! Everything that can change a number is in it; what cannot is left out
//! where one can see it:
//!
//! | input | training key | evaluation key |
//! |---|---|---|
//! | schema version of the key | in | in |
//! | network and its options (defaults written as nothing) | in | through the training key |
//! | SHA-256 of the weights to start from, if there are such | in | through the training key |
//! | their path | out: it says where the file lies | out |
//! | dataset: id, content digest | in | through the training key |
//! | split: digest of the ids of all parts | in | through the training key |
//! | `protocol.split.file`: the path of a split file | out: its lists are in, through the digest | out |
//! | seed | in | through the training key |
//! | `protocol.*` but for `protocol.evaluate.*` | in | through the training key |
//! | `protocol.evaluate.*`: reported part, threshold, epsilon, empty-mask rule | out: it touches no weight | in |
//! | numerics class (`flex`, `libtorch-cpu-avx2-2t`, ...; see [`numerics`]) | in | in |
//! | vector instructions and number of threads | in, through the class, where numbers depend on them (libtorch on a CPU); out for `flex` | likewise |
//! | revision `network.<name>` of this cell's network alone | in | through the training key |
//! | revisions `pixels`, `train` | in | through the training key |
//! | revision `metric` | out | in |
//! | versions of the computing crates (`library.*`) | in | in |
//! | version of libtorch and of the crates that bind it | in, for classes of libtorch | likewise |
//! | digest of the weights | - | in |
//! | `[ops]`: paths, jobs, log level, time limits | out: they choose how, not what | out |
//! | row labels, titles, table layout, the profile's name | out: words | out |
//! | the id of a substituted dataset | out: the dataset in use is in | out |
//!
//! Thread count and vector instructions are recorded with every result. What
//! depends on neither is the same on every machine, to the bit.

mod explain;
pub mod numerics;
mod preimage;
pub mod revision;

use std::sync::Arc;

use dygl_spec::plan::Cell;
use dygl_spec::protocol::Protocol;
use revision::Revisions;

pub use explain::{Change, compare};
pub use preimage::{Fields, Key, Preimage};

/// Moves when the meaning of a field changes.
const SCHEMA: &str = "2";

/// The dataset as the key sees it.
#[derive(Debug, Clone, Copy)]
pub struct DatasetDigests<'a> {
    /// Digest of the content, hex.
    pub content: &'a str,
    /// Digest of the ids of all parts, hex.
    pub split: &'a str,
}

/// The settings of a protocol that training depends on, as fields of its key.
pub fn settings(protocol: &Protocol) -> Fields {
    let mut fields = preimage::leaves("protocol", protocol);
    fields.retain(|field, _| !field.starts_with("protocol.evaluate.") && field != "protocol.split.file");
    fields
}

/// Identifies trained weights; `settings` are [those](settings) of the cell's protocol.
pub fn train(
    cell: &Cell,
    settings: &Arc<Fields>,
    dataset: DatasetDigests<'_>,
    numerics: &str,
    revisions: &Revisions,
) -> Preimage {
    let mut preimage = Preimage::with("train", Arc::clone(settings));
    preimage.put("schema", SCHEMA);
    preimage.put("model", &cell.model.to_string());
    preimage.put("dataset.id", &cell.dataset.to_string());
    preimage.put("dataset.digest", dataset.content);
    preimage.put("split.digest", dataset.split);
    preimage.put("seed", &cell.seed.to_string());
    preimage.put("numerics", numerics);
    if let Some(pretrained) = &cell.pretrained {
        preimage.put("pretrained.sha256", &pretrained.sha256);
    }
    preimage.put("revision.network", revisions.network(&cell.model.name));
    for (field, name) in [("revision.pixels", "pixels"), ("revision.train", "train")] {
        preimage.put(field, revisions.get(name));
    }
    put_libraries(&mut preimage, numerics, revisions);
    preimage
}

/// Identifies the per-image scores of some weights.
pub fn evaluation(
    train: &Key,
    weights: &str,
    cell: &Cell,
    numerics: &str,
    revisions: &Revisions,
) -> Preimage {
    let mut preimage = Preimage::new("evaluation");
    preimage.put("schema", SCHEMA);
    preimage.put("train", train.as_str());
    preimage.put("weights", weights);
    preimage.put("numerics", numerics);
    preimage.put_tree("protocol.evaluate", &cell.protocol.evaluate);
    preimage.put("revision.metric", revisions.get("metric"));
    put_libraries(&mut preimage, numerics, revisions);
    preimage
}

fn put_libraries(preimage: &mut Preimage, numerics: &str, revisions: &Revisions) {
    preimage.put("revision.library.image", revisions.get("library.image"));
    preimage.put("revision.library.tensor", revisions.get("library.tensor"));
    if numerics.starts_with("libtorch") {
        preimage.put("revision.library.libtorch", revisions.get(Revisions::LIBTORCH));
    }
}

#[cfg(test)]
mod tests {
    use dygl_spec::name::Named;
    use dygl_spec::pretrained::Pretrained;
    use dygl_spec::testing::protocol;

    use super::*;

    fn cell() -> Cell {
        Cell {
            model: Named::parse("dyglnet,norm=group").expect("a name"),
            dataset: Named::plain("kvasir-seg"),
            asked: Named::plain("kvasir-seg"),
            seed: 42,
            protocol: Arc::new(protocol()),
            pretrained: None,
        }
    }

    /// Golden: literal keys of a whole cell, with revisions that stand still. They move
    /// when a field of the protocol comes, goes or has another value, and then every
    /// stored result is orphaned: that must be meant, and said in the changelog.
    #[test]
    fn the_keys_of_a_cell_are_those_that_they_were() {
        let names = ["network.dyglnet", "pixels", "train", "metric", "library.image", "library.tensor"];
        let still = |revisions: Revisions, name: &&str| revisions.with(name, &format!("{name} of the test"));
        let revisions = names.iter().fold(Revisions::of_this_build(), still);
        let digests = DatasetDigests { content: "content", split: "split" };
        let settings = Arc::new(settings(&protocol()));
        let training = train(&cell(), &settings, digests, "flex", &revisions);
        let scored = evaluation(training.key(), "weights", &cell(), "flex", &revisions);
        let start = Pretrained { sha256: "5".repeat(64), file: "w.safetensors".to_owned() };
        let started =
            train(&Cell { pretrained: Some(start), ..cell() }, &settings, digests, "flex", &revisions);
        let all = [training, scored, started];
        assert_eq!(
            all.each_ref().map(|preimage| preimage.key().as_str().to_owned()),
            [
                "890a548c3eeb4c4cce49c47e8d7a2017b9b428b57889ccf78bcf636ca28628e7",
                "ba3d66366e7c0d91293916c834b71a1db2cbacea2293a97d75529bb8324df9bd",
                "79d84c27f576f04cb1ad1194bae667e73f0f2c18daf835015cf7241d528863fd",
            ],
            "{all:#?}"
        );
    }
}
