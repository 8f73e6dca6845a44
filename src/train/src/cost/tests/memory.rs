//! Memory by hand, and for every network.

use std::collections::{BTreeMap, HashMap};

use burn::module::ParamId;
use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::max_pool;
use dygl_nn::op::{attention, relu};
use dygl_spec::ledger::Memory;
use dygl_spec::name::Named;
use dygl_spec::network::NETWORKS;

use crate::cost::graph::{Mode, Pass, capture, id};
use crate::cost::ledger;
use crate::cost::memory::memory;
use crate::learn::weights::Site;

/// Bytes of a map [1, 2, 8, 8] of f32.
const MAP: u64 = 4 * 2 * 8 * 8;

/// The memory of a pass over a map with one weight [2, 2, 3, 3].
fn held(pass: impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4>) -> Memory {
    let device = Device::capture();
    let site = Site { name: "conv.weight".into(), layer: "Conv2d".into(), shape: vec![2, 2, 3, 3] };
    let mut found = None;
    let graph = device.capture_scope(|scope| {
        let weight = Tensor::<4>::zeros([2, 2, 3, 3], &device);
        let images = Tensor::<4>::zeros([1, 2, 8, 8], &device);
        let ids = [id(&weight).expect("here"), id(&images).expect("here")];
        let logits = pass(images, weight);
        found = Some((ids, id(&logits).expect("here")));
        scope.complete([], [])
    });
    let ([weight, images], logits) = found.expect("run");
    let operations = graph.expect("captured").graph.operations;
    let recorded = Pass {
        events: Vec::new(),
        operations: operations.into_iter().skip(2).collect(),
        images,
        logits: vec![logits],
        weights: HashMap::from([(weight, site.clone())]),
        sites: BTreeMap::from([(ParamId::new(), site)]),
        aliases: &[],
    };
    memory(&recorded, &recorded, 1).expect("known operations")
}

fn conv(x: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
    conv2d(x, weight, None, ConvOptions::new([1; 2], [1; 2], [1; 2], 1))
}

fn attend(x: Tensor<4>) -> Tensor<4> {
    attention(x.clone(), x.clone(), x, 0.5, None)
}

#[test]
fn activations_live_until_their_last_reader() {
    // Images and first map; ReLU writes over the map, the sum over one of both.
    let residual = held(|x, w| relu(conv(x.clone(), w)) + x);
    assert_eq!(residual.inference, 2 * MAP);
    // The images go when the second convolution begins.
    assert_eq!(held(|x, w| conv(conv(x, w.clone()), w)).inference, 2 * MAP);
    // All three maps at once: the images wait for the end.
    assert_eq!(held(|x, w| conv(conv(x.clone(), w.clone()), w) + x).inference, 3 * MAP);
    assert_eq!((residual.weights, residual.gradients, residual.optimizer), (144, 144, 288));
}

#[test]
fn looks_take_no_memory_and_copies_do() {
    let looked = held(|x, w| conv(x, w).reshape([1, 1, 16, 8]));
    assert_eq!(looked.inference, 2 * MAP);
    let permuted = |x: Tensor<4>, w| conv(x, w).swap_dims(1, 3).reshape([1, 2, 8, 8]);
    // The images are gone when the permuted map is copied.
    assert_eq!(held(permuted).inference, 2 * MAP);
    assert_eq!(held(|x, w| permuted(x.clone(), w) + x).inference, 3 * MAP);
}

#[test]
fn the_backward_pass_keeps_what_it_reads_once() {
    // The convolution keeps the images, ReLU its output; the sum nothing.
    assert_eq!(held(|x, w| relu(conv(x.clone(), w)) + x).kept, 2 * MAP);
    // Both read the same map.
    let gated = held(|x, w| {
        let y = conv(x, w);
        sigmoid(y.clone()) * y
    });
    assert_eq!(gated.kept, 3 * MAP, "images, map, gate");
    // A factor without a gradient is kept, its partner is not.
    assert_eq!(held(|x, w| conv(x.clone(), w) * x).kept, MAP);
    // Choices for a quarter of the values; no gradient reaches the images.
    let pooled = |x| max_pool(x, 2);
    assert_eq!(held(|x, w| pooled(conv(x, w))).kept, MAP + MAP / 4);
    assert_eq!(held(|x, w| conv(pooled(x), w)).kept, MAP / 4);
    // Queries, keys and values are one map here; weights and scores are not kept.
    assert_eq!(held(|x, w| attend(conv(x, w))).kept, 2 * MAP);
    // Shifted input and exponential, and a sum per row of eight.
    assert_eq!(held(|x, w| softmax(conv(x, w), 3)).kept, MAP + 2 * MAP + MAP / 8);
}

#[test]
fn every_network_has_its_memory() {
    for network in NETWORKS {
        let named = Named::plain(network.name);
        let [one, three] = [1, 3].map(|batch| {
            let passes = [Mode::Inference, Mode::Training].map(|mode| capture(&named, 64, batch, mode));
            let [inference, training] = passes.map(|pass| pass.expect("recorded"));
            memory(&inference, &training, batch).expect("known operations")
        });
        assert_eq!((one.batch, three.batch), (1, 3));
        assert_eq!(one.weights, three.weights);
        // What is computed from weights alone is there once.
        for (name, one, three) in
            [("inference", one.inference, three.inference), ("kept", one.kept, three.kept)]
        {
            assert!(
                three <= 3 * one && three > 2 * one,
                "{}, {name}: {one} of one image, {three} of three",
                network.name
            );
        }
        assert!(one.inference < one.kept, "{}: {one:?}", network.name);
        assert!(one.gradients <= one.weights && one.optimizer == 2 * one.gradients);
    }
    let [one, three] = [1, 3].map(|batch| ledger(&Named::plain("unet"), 64, batch).expect("known"));
    assert_eq!((three.memory.batch, three.activations), (3, one.memory.kept / 4));
    assert_eq!(three.layers, one.layers);
}
