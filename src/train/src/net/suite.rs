//! What holds for every network, whatever it is made of. The registry runs
//! each of these functions as a test of each network.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use dygl_base::random::Stream;
use dygl_nn::network::matches;
use dygl_nn::op::noise;
use dygl_spec::name::Named;
use dygl_spec::network::{self, Network, Values};
use dygl_spec::protocol::{DecayExclude, Optimizer, OptimizerName};

use crate::forward;
use crate::learn::init::initialise;
use crate::learn::loss::{REFERENCE, mean_loss};
use crate::learn::optim::{AdamW, GradientSet};
use crate::learn::tensors::{self, Tensors};
use crate::learn::weights;
use crate::net::Net;

/// AdamW steps within which a network must have learnt one batch.
const STEPS: usize = 60;
/// Their learning rate.
const RATE: f64 = 1e-3;
/// Part of its first value to which the loss must have come.
const LEARNT: f64 = 0.5;

/// Batches of images, also rectangular ones where the network takes them, give
/// one finite map each that follows the image and not its neighbours.
pub(super) fn gives_one_map_per_image(name: &str) {
    let network = listed(name);
    let [small, other] = sizes(network);
    let mut shapes = vec![[3, small, small], [1, other, other]];
    if !network.square {
        shapes.push([1, small, other]);
    }
    for [batch, height, width] in shapes {
        let net = built(name, [height, width], 1);
        let images = images(batch, [height, width]);
        let logits = net.forward(images.clone());
        assert_eq!(logits.dims(), [batch, 1, height, width], "{name}");
        let last = values(logits.narrow(0, batch - 1, 1));
        let largest = last.iter().fold(0f32, |most, value| most.max(value.abs()));
        assert!(largest.is_finite(), "{name}: a logit at {height} x {width} is not finite");
        assert!(last.iter().any(|value| *value != last[0]), "{name}: the map is constant");
        let alone = values(net.forward(images.narrow(0, batch - 1, 1)));
        let apart = last.iter().zip(&alone).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(apart <= 1e-4 * largest, "{name}: an image's logits depend on the batch ({apart:e})");
    }
}

/// Any other size is refused with the nearest valid one, by the registry and
/// by the worker.
pub(super) fn refuses_other_sizes(name: &str) {
    let network = listed(name);
    assert!(network.size_min.is_multiple_of(network.size_multiple), "{name}");
    let [small, other] = sizes(network);
    let most = other + network.size_multiple;
    let (valid, others): (Vec<usize>, Vec<usize>) =
        (1..=most).partition(|size| network.check_size(*size).is_ok());
    for size in others.into_iter().filter(|size| *size < other) {
        let nearest = network.check_size(size).expect_err("no valid size");
        assert!(valid.contains(&nearest), "{name}: {nearest} instead of {size} is none either");
        let distance = |valid: &usize| valid.abs_diff(size);
        let least = valid.iter().map(distance).min().expect("valid sizes");
        assert_eq!(distance(&nearest), least, "{name}: {nearest} is not nearest to {size}");
    }

    let folder = tempfile::tempdir().expect("folder");
    let refusal = |height: usize, width: usize| {
        let input = TensorData::new(vec![0f32; 3 * height * width], [1, 3, height, width]);
        let path = folder.path().join("input");
        tensors::write(&path, &Tensors::from([("input".to_owned(), input)])).expect("written");
        let arguments = forward::Arguments {
            model: name.to_owned(),
            weights: folder.path().join("weights"),
            input: path,
            output: folder.path().join("output"),
            train: false,
            target: None,
            gradients: None,
            device: "flex".to_owned(),
        };
        forward::run(&arguments).expect_err("refused").to_string()
    };
    let nearest = network.check_size(small - 1).expect_err("below the smallest");
    let told = refusal(small - 1, small - 1);
    assert!(told.contains(&format!("take {nearest}")), "{name}: {told}");
    if network.square {
        let told = refusal(small, other);
        assert!(told.contains("square images"), "{name}: {told}");
    }
}

/// In training every parameter has a finite gradient, but for those that are
/// declared to take no part, which have none or zeros.
pub(super) fn trains_every_live_parameter(name: &str) {
    let [small, other] = sizes(listed(name));
    // A batch of one image has no variance where a norm sees one value of each.
    for (batch, size) in [(2, small), (1, other)] {
        let (net, gradients) = gradients(name, batch, size);
        let sites = weights::sites(&net);
        for pattern in net.dead() {
            assert!(sites.iter().any(|site| matches(pattern, &site.name)), "{name} has no {pattern}");
        }
        let mut live = 0;
        for site in sites.iter().filter(|site| !site.is_buffer()) {
            let gradient = gradients.get(&site.name).map(|data| data.try_to_vec::<f32>().expect("f32"));
            if net.dead().iter().any(|pattern| matches(pattern, &site.name)) {
                let zero = gradient.is_none_or(|values| values.iter().all(|value| *value == 0.0));
                assert!(zero, "{name}: {} is declared dead and has a gradient", site.name);
                continue;
            }
            let values = gradient.unwrap_or_else(|| panic!("{name}: {} has no gradient", site.name));
            assert_eq!(values.len(), site.elements(), "{name}: {}", site.name);
            assert!(values.iter().all(|value| value.is_finite()), "{name}: {} is not finite", site.name);
            live += usize::from(values.iter().any(|value| *value != 0.0));
        }
        assert!(live > 0, "{name}: every gradient is zero");
    }
}

/// With each other value of each option, and with what that drops in training.
pub(super) fn trains_with_every_option(name: &str) {
    let network = listed(name);
    let [small, _] = sizes(network);
    for option in network.options {
        let values: &[&str] = match &option.values {
            Values::Words(words) => &words[1..],
            Values::Rate(_) => &["0.5"],
        };
        for value in values {
            let model = format!("{name},{}={value}", option.name);
            let mut stream = Stream::new(1, "drop", &[&model]);
            let _drops = noise(move || stream.unit());
            let (_, gradients) = gradients(&model, 2, small);
            let values: Vec<f32> =
                gradients.values().flat_map(|data| data.try_to_vec::<f32>().expect("f32")).collect();
            assert!(values.iter().all(|value| value.is_finite()), "{model}: a gradient is not finite");
            assert!(values.iter().any(|value| *value != 0.0), "{model}: every gradient is zero");
        }
    }
}

/// Weights that were saved in the middle of a training and loaded into another
/// network give the same tensors and the same logits.
pub(super) fn saves_and_loads(name: &str) {
    let [small, _] = sizes(listed(name));
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("weights");
    let net = built(name, [small; 2], 1).train();
    let images = images(2, [small; 2]);
    // Moves the running statistics away from where they start.
    let _ = net.forward(Tensor::from_data(images.to_data(), &Device::flex().autodiff()));
    weights::save(&net, &path).expect("saved");
    let other = built(name, [small; 2], 2);
    let before = values(other.forward(images.clone()));
    let again = weights::load(other, &path).expect("loaded");
    assert!(weights::snapshot(&net) == weights::snapshot(&again), "{name}");
    let logits = values(again.forward(images.clone()));
    assert!(logits == values(net.valid().forward(images)), "{name}");
    assert!(logits != before, "{name}: other weights give the same logits");
}

/// One small batch is learnt by heart.
pub(super) fn learns_one_batch(name: &str) {
    let [size, _] = sizes(listed(name));
    let device = Device::flex().autodiff();
    let (images, targets) = discs(size);
    let mut net = built(name, [size; 2], 1).train();
    let mut optimizer = AdamW::new(&Optimizer {
        name: OptimizerName::Adamw,
        learning_rate: RATE,
        betas: [0.9, 0.999],
        epsilon: 1e-8,
        weight_decay: 0.0,
        decay_exclude: DecayExclude::Nothing,
        clip_norm: 0.0,
    });
    let mut losses = Vec::with_capacity(STEPS);
    for _ in 0..STEPS {
        let outputs = net.outputs(Tensor::from_data(images.clone(), &device));
        let total = mean_loss(outputs, Tensor::from_data(targets.clone(), &device), &REFERENCE).total;
        losses.push(f64::from(total.clone().into_scalar::<f32>()));
        if losses[losses.len() - 1] < LEARNT * losses[0] {
            return;
        }
        let gradients = GradientSet::collect(&net, &total.backward()).expect("finite");
        net = optimizer.step(net, gradients, RATE);
    }
    panic!("{name} has not learnt its batch in {STEPS} steps: {losses:.3?}");
}

fn listed(name: &str) -> &'static Network {
    network::find(name).expect("listed")
}

/// The smallest valid size and another one, as odd as the network takes it.
fn sizes(network: &Network) -> [usize; 2] {
    let from = |least: usize| (least..).find(|size| network.check_size(*size).is_ok()).expect("a valid size");
    let small = from(1);
    [small, from(small + 15)]
}

fn built(model: &str, size: [usize; 2], seed: u64) -> Net {
    let named = Named::parse(model).expect("valid");
    initialise(Net::build(&named, size, &Device::flex()).expect("known"), seed)
}

/// Noise in -2..2, the same at each call.
fn images(batch: usize, [height, width]: [usize; 2]) -> Tensor<4> {
    let mut stream = Stream::new(1, "suite", &["images"]);
    let values: Vec<f32> = (0..batch * 3 * height * width).map(|_| stream.range(-2.0, 2.0) as f32).collect();
    Tensor::from_data(TensorData::new(values, [batch, 3, height, width]), &Device::flex())
}

/// Two images [2, 3, S, S] of a bright disc each in noise, and the discs
/// [2, 1, S, S].
fn discs(size: usize) -> (TensorData, TensorData) {
    let mut stream = Stream::new(1, "suite", &["discs"]);
    let side = size as f64;
    let (mut images, mut targets) = (Vec::new(), Vec::new());
    for (row, column, radius) in [(0.4, 0.35, 0.25), (0.6, 0.65, 0.2)] {
        let inside = |at: usize| {
            let (y, x) = ((at / size) as f64 / side - row, (at % size) as f64 / side - column);
            f64::from(u8::from(y * y + x * x < radius * radius))
        };
        targets.extend((0..size * size).map(|at| inside(at) as f32));
        for _ in 0..3 {
            images
                .extend((0..size * size).map(|at| (2.0 * inside(at) - 1.0 + stream.range(-0.5, 0.5)) as f32));
        }
    }
    (TensorData::new(images, [2, 3, size, size]), TensorData::new(targets, [2, 1, size, size]))
}

/// A network in training with its first weights, and the gradients of one batch.
fn gradients(model: &str, batch: usize, size: usize) -> (Net, Tensors) {
    let net = built(model, [size; 2], 1).train();
    let device = Device::flex().autodiff();
    let images = Tensor::from_data(images(batch, [size; 2]).into_data(), &device);
    let (_, discs) = discs(size);
    let targets = Tensor::<4>::from_data(discs, &device).narrow(0, 0, batch);
    let outputs = net.outputs(images);
    for logits in &outputs {
        assert_eq!(logits.dims(), [batch, 1, size, size], "{model}");
    }
    let grads = mean_loss(outputs, targets, &REFERENCE).total.backward();
    let gradients = weights::gradients(&net, &grads);
    (net, gradients)
}

fn values(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_to_vec().expect("f32")
}
