//! `dygl model forward` beyond the fixtures: other seeds of the rule, other
//! batches, other sizes.

use anyhow::{Result, ensure};
use dygl::spec::network::{NETWORKS, Network, find};
use dygl_tests::lab::Lab;
use dygl_tests::parity::{self, Array, Arrays, evaluate, images, weights, worker, write_arrays};

/// Part of the largest logit by which an image's may differ with its batch.
const BOUND: f32 = 1e-5;

/// Declares a test of each network, and their list.
macro_rules! networks {
    ($($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        $(
            #[test]
            fn $name() -> Result<()> {
                follows_each_image_alone(stringify!($name))
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

/// The smallest size, and another one: rectangular where the network takes it,
/// and odd.
fn sizes(network: &Network) -> [[usize; 2]; 2] {
    let (least, step) = (network.size_min, network.size_multiple);
    let other = match (network.square, step) {
        (true, _) => [least + step; 2],
        (false, 1) => [least + 13, least + 6],
        (false, _) => [least, least + step],
    };
    [[least; 2], other]
}

/// Three images at once give what each gives alone.
fn follows_each_image_alone(name: &str) -> Result<()> {
    let worker = worker()?;
    let lab = Lab::default();
    let network = find(name).expect("listed");
    for ([height, width], seed) in sizes(network).into_iter().zip([parity::SEED + 1, parity::SEED + 2]) {
        let file = lab.path().join("weights");
        write_arrays(&file, &weights(&worker, name, name, seed, height)?)?;
        let batch = images(3, [height, width], seed);
        let logits = evaluate(&worker, name, &file, batch.clone())?;
        ensure!(logits.shape == [3, 1, height, width], "{name}: {:?}", logits.shape);
        let largest = logits.values.iter().fold(0f32, |most, value| most.max(value.abs()));
        ensure!(largest.is_finite() && largest > 1e-3, "{name}: the largest logit is {largest}");
        for (image, together) in logits.values.chunks_exact(height * width).enumerate() {
            let pixels = 3 * height * width;
            let values = batch.values[image * pixels..][..pixels].to_vec();
            let alone = evaluate(&worker, name, &file, Array { shape: vec![1, 3, height, width], values })?;
            ensure!(alone.shape == [1, 1, height, width], "{name}: {:?}", alone.shape);
            let apart = together.iter().zip(&alone.values).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
            ensure!(
                apart <= BOUND * largest,
                "{name}: image {image} of 3 at {height} x {width} differs by {apart:e} of {largest:e}"
            );
        }
    }
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
