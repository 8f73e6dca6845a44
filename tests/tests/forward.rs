//! `dygl model forward` beyond the fixtures: other seeds of the rule, other
//! batches, other sizes. What the networks give there in PyTorch is kept in
//! `golden/forward` (`make.py`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use dygl_spec::network::{NETWORKS, Network, find};
use dygl_tests::arrays::{Array, Arrays, images, write_arrays};
use dygl_tests::kept::Kept;
use dygl_tests::lab::Lab;
use dygl_tests::parity::{self, evaluate, weights, worker};
use serde::Deserialize;

/// Part of the largest logit by which one may differ, from PyTorch's or with
/// the batch. Rounding alone comes to a fifth of it.
const BOUND: f64 = 1e-5;

/// A pass of a network in PyTorch.
#[derive(Debug, Deserialize)]
struct Case {
    /// Of weights and images.
    seed: u64,
    logits: Kept,
}

/// Declares a test of each network, and their list.
macro_rules! networks {
    ($($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        $(
            #[test]
            fn $name() -> Result<()> {
                gives_what_pytorch_gives(stringify!($name))
            }
        )*
    };
}

networks! {
    unet attention_unet unetpp dcsau_net m2snet cmunext_l missformer swin_unet hiformer_b h2former
    fat_net bef_unet dyglnet
}

#[test]
fn every_network_is_listed() {
    assert!(NETWORKS.iter().map(|network| network.name).eq(NAMES.iter().copied()));
}

/// The logits of each case are PyTorch's, and those of an image are the same
/// alone.
fn gives_what_pytorch_gives(name: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/forward/logits.json");
    let mut cases: BTreeMap<String, Vec<Case>> = serde_json::from_str(&fs::read_to_string(path)?)?;
    let cases = cases.remove(name).with_context(|| format!("make.py runs no {name}"))?;
    let network = find(name).expect("listed");
    let (worker, lab) = (worker()?, Lab::default());
    let (mut smallest, mut other, mut together) = (false, false, 0);
    for Case { seed, logits: kept } in cases {
        let &[batch, 1, height, width] = kept.shape.as_slice() else {
            anyhow::bail!("{name}: {:?} is no shape of logits", kept.shape);
        };
        assert_ne!(seed, parity::SEED);
        smallest |= [height, width] == [network.size_min; 2];
        other |= [height, width] != [network.size_min; 2];
        let file = lab.path().join("weights");
        write_arrays(&file, &weights(&worker, name, name, seed, height)?)?;
        let input = images(batch, [height, width], seed);
        let logits = evaluate(&worker, name, &file, input.clone())?;
        let case = || format!("{name}, seed {seed}, {batch} images of {height} x {width}");
        let mut apart = kept.difference(&logits).with_context(case)?;
        if batch > 1 {
            together = batch;
            let last = |array: &Array| {
                let shape = [&[1], &array.shape[1..]].concat();
                let values = array.values[array.values.len() / batch * (batch - 1)..].to_vec();
                Array { shape, values }
            };
            let (alone, of) = (evaluate(&worker, name, &file, last(&input))?, last(&logits));
            ensure!(alone.shape == of.shape, "{}: {:?}", case(), alone.shape);
            let largest = of.values.iter().fold(0f32, |most, value| most.max(value.abs()));
            let differences = of.values.iter().zip(&alone.values).map(|(a, b)| (a - b).abs());
            apart = apart.max(f64::from(differences.fold(0.0, f32::max) / largest));
        }
        println!("{}: {apart:.1e} / {BOUND:.0e}", case());
        ensure!(apart <= BOUND, "{}: {apart:e} of the largest logit is beyond {BOUND:e}", case());
    }
    assert!(smallest && other && together > 2, "make.py leaves a case of {name} out");
    Ok(())
}

#[test]
fn other_sizes_are_refused_with_the_nearest_that_will_do() -> Result<()> {
    let lab = Lab::default();
    let refused = |network: &Network, [height, width]: [usize; 2], remedy: &str| -> Result<()> {
        let input = Arrays::from([("input".to_owned(), images(1, [height, width], parity::SEED))]);
        write_arrays(&lab.path().join("input"), &input)?;
        let model = ["model", "forward", "--device", "flex", "--model", network.name];
        let files = ["--weights", "weights", "--input", "input", "--output", "output"];
        let told = lab.dygl(&[&model[..], &files].concat()).exits(2).stderr;
        ensure!(told.contains(remedy), "{}, {height} x {width}: {told}", network.name);
        ensure!(!lab.path().join("output").exists(), "{} wrote something", network.name);
        Ok(())
    };
    for network in NETWORKS {
        let (least, step) = (network.size_min, network.size_multiple);
        refused(network, [least - 1; 2], &format!("take {least}"))?;
        if step > 1 {
            let size = least + step;
            refused(network, [size + 1; 2], &format!("take {size}"))?;
            refused(network, [size - 1; 2], &format!("take {size}"))?;
        }
        if network.square {
            refused(network, [least, least + step], "takes square images")?;
        }
    }
    Ok(())
}
