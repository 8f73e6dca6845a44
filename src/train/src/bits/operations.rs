//! The operations by themselves, on odd shapes and views, values and gradients:
//! where a network's bits differ, they say which kernel to look at.

use burn::tensor::{Device, Tensor, TensorData};
use dygl_base::random::Stream;
use dygl_nn::op::{self, Activation, Convolution, Corners, Edge, Pool, TokenWindows};

use super::BitsError;
use crate::learn::tensors::Tensors;

/// Runs each operation, and hands on its name with what it computed.
pub(super) fn each(
    tell: &mut impl FnMut(String, &Tensors) -> Result<(), BitsError>,
) -> Result<(), BitsError> {
    for (name, shapes, run) in operations() {
        let inputs: Vec<Tensor<4>> =
            shapes.iter().enumerate().map(|(index, shape)| numbers(&name, index, *shape)).collect();
        let y = run(inputs.clone());
        // A loss whose slope differs from value to value, of sums of ours alone.
        let all = y.dims();
        let square = y.clone() * y.clone();
        let grads =
            op::sum_axes(square * numbers(&name, 99, all).without_autodiff(), &[0, 1, 2, 3]).backward();
        let mut found = Tensors::from([("value".to_owned(), y.inner().into_data())]);
        for (index, input) in inputs.iter().enumerate() {
            if let Some(gradient) = input.grad(&grads) {
                found.insert(format!("gradient {index}"), gradient.into_data());
            }
        }
        tell(format!("{name} {shapes:?}"), &found)?;
    }
    Ok(())
}

/// Numbers around zero on the tape, the same ones on every machine.
fn numbers(name: &str, index: usize, shape: [usize; 4]) -> Tensor<4> {
    let mut stream = Stream::new(1, "bits", &[name, &index.to_string()]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.range(-2.0, 2.0) as f32).collect();
    Tensor::<4>::from_data(TensorData::new(values, shape), &Device::flex().autodiff()).require_grad()
}

type Run = Box<dyn Fn(Vec<Tensor<4>>) -> Tensor<4>>;

/// Name, shapes of the inputs, and what is done with them.
fn operations() -> Vec<(String, Vec<[usize; 4]>, Run)> {
    let mut all: Vec<(String, Vec<[usize; 4]>, Run)> = Vec::new();
    let mut add =
        |name: &str, shapes: &[[usize; 4]], run: Run| all.push((name.to_owned(), shapes.to_vec(), run));
    let plain = Convolution::PLAIN;
    let forms = [
        ("1 x 1", plain, [2, 19, 13, 11], [23, 19, 1, 1]),
        ("3 x 3", Convolution { padding: 1, ..plain }, [2, 5, 17, 23], [9, 5, 3, 3]),
        ("strided", Convolution { padding: 3, stride: 2, ..plain }, [1, 3, 30, 31], [12, 3, 7, 7]),
        (
            "dilated",
            Convolution { padding: 4, dilation: 4, groups: 6, ..plain },
            [2, 6, 29, 21],
            [6, 1, 3, 3],
        ),
        ("grouped", Convolution { padding: 1, groups: 2, ..plain }, [2, 8, 9, 10], [10, 4, 3, 3]),
        ("transposed", Convolution { stride: 2, transposed: true, ..plain }, [2, 7, 9, 8], [7, 5, 2, 2]),
    ];
    for (name, form, x, weight) in forms {
        let run = move |inputs: Vec<Tensor<4>>| {
            op::convolution(inputs[0].clone().swap_dims(2, 3), inputs[1].clone(), None, form)
        };
        add(&format!("convolution {name}"), &[[x[0], x[1], x[3], x[2]], weight], Box::new(run));
    }
    add(
        "linear",
        &[[1, 1, 77, 50], [1, 1, 33, 50], [1, 1, 1, 33]],
        Box::new(|inputs| {
            let flat = |index: usize, shape: [usize; 2]| inputs[index].clone().reshape(shape);
            let bias = inputs[2].clone().reshape([33]);
            op::linear(flat(0, [77, 50]), flat(1, [33, 50]), Some(bias)).reshape([1, 1, 77, 33])
        }),
    );
    add(
        "matmul",
        &[[1, 2, 300, 49], [1, 2, 300, 33]],
        Box::new(|inputs| {
            let [a, b] = [0, 1].map(|index| inputs[index].clone().reshape([2, 300, -1]));
            op::matmul(a.swap_dims(1, 2), b).reshape([1, 2, 49, 33])
        }),
    );
    add(
        "attention",
        &[[2, 3, 130, 9], [2, 3, 21, 9], [2, 3, 21, 14], [1, 3, 130, 21]],
        Box::new(|inputs| {
            let [q, k, v, bias] = [0, 1, 2, 3].map(|index| inputs[index].clone());
            op::attention(q, k, v, 0.3, Some(bias))
        }),
    );
    add(
        "attention, packed",
        &[[2, 1, 70, 54], [2, 3, 70, 70]],
        Box::new(|inputs| {
            let packed = inputs[0].clone().reshape([2, 70, 54]);
            op::attention_packed(packed, 3, 0.3, Some(inputs[1].clone()))
        }),
    );
    let windows = TokenWindows { size: [14, 21], side: 7, shift: 3 };
    add(
        "windows",
        &[[2, 14, 21, 5]],
        Box::new(move |inputs| op::window_partition(inputs[0].clone(), windows).unsqueeze()),
    );
    add("softmax", &[[2, 3, 7, 50]], Box::new(|inputs| op::softmax(inputs[0].clone().swap_dims(1, 2))));
    add(
        "layer norm",
        &[[2, 3, 20, 37], [1, 1, 1, 37], [1, 1, 1, 37]],
        Box::new(|inputs| {
            let [weight, bias] = [1, 2].map(|index| inputs[index].clone().reshape([37]));
            op::layer_norm(inputs[0].clone(), weight, bias, 1e-5)
        }),
    );
    for (name, activation) in
        [("none", Activation::Identity), ("ReLU", Activation::Relu), ("GELU", Activation::Gelu)]
    {
        let run = move |inputs: Vec<Tensor<4>>| {
            let [weight, bias] = [1, 2].map(|index| inputs[index].clone().reshape([5]));
            op::batch_norm_train_then(inputs[0].clone(), weight, bias, 1e-5, activation).0
        };
        add(&format!("batch norm, {name}"), &[[2, 5, 33, 21], [1, 5, 1, 1], [1, 5, 1, 1]], Box::new(run));
    }
    add("gelu", &[[2, 3, 11, 17]], Box::new(|inputs| op::gelu(inputs[0].clone())));
    add("sigmoid", &[[2, 3, 11, 17]], Box::new(|inputs| op::sigmoid(inputs[0].clone())));
    add("tanh", &[[2, 3, 11, 17]], Box::new(|inputs| op::tanh(inputs[0].clone())));
    add(
        "mean",
        &[[2, 5, 33, 21], [1, 5, 1, 1]],
        Box::new(|inputs| {
            let shape = inputs[0].dims();
            op::spread(op::mean_axes(inputs[0].clone(), &[2, 3]), shape)
                * op::spread(inputs[1].clone(), shape)
        }),
    );
    for (name, corners) in [("centred", Corners::Centred), ("aligned", Corners::Aligned)] {
        let run = move |inputs: Vec<Tensor<4>>| op::resize_bilinear(inputs[0].clone(), [21, 30], corners);
        add(&format!("resize, {name}"), &[[2, 3, 9, 14]], Box::new(run));
    }
    add("nearest", &[[2, 3, 9, 14]], Box::new(|inputs| op::upsample_nearest(inputs[0].clone(), 2)));
    add(
        "mean pool",
        &[[2, 3, 9, 14]],
        Box::new(|inputs| {
            op::mean_pool(inputs[0].clone(), Pool { side: 3, stride: 2, padding: 1 }, Edge::Zeros)
        }),
    );
    add(
        "max pool",
        &[[2, 3, 9, 14]],
        Box::new(|inputs| op::max_pool(inputs[0].clone(), Pool { side: 3, stride: 2, padding: 1 })),
    );
    add(
        "sample",
        &[[2, 8, 7, 9], [2, 16, 7, 9]],
        Box::new(|inputs| op::dynamic_upsample(inputs[0].clone(), inputs[1].clone(), 2)),
    );
    add(
        "overlap",
        &[[1, 1, 3, 501]],
        Box::new(|inputs| {
            let x = inputs[0].clone().reshape([3, 501]);
            let sums = op::overlap_sums(x.clone(), op::sigmoid(x));
            Tensor::cat(sums.map(|sum| sum.reshape([1, 1, 1, 3])).into(), 2)
        }),
    );
    all
}
