//! Kernels on the host: slices in, vectors out, rayon over planes.
//!
//! Results do not depend on the number of threads: work is divided by fixed
//! sizes and every sum has one fixed order.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::TensorData;
use rayon::prelude::*;

use super::matrix::Matrix;
pub(crate) use crate::vector::vectorised;

/// A tensor of the flex backend, f32.
pub(crate) type Host = FloatTensor<Flex>;

/// Elements that one task of an elementwise kernel handles.
pub(crate) const CHUNK: usize = 1 << 14;
/// Partial sums of a reduction.
const LANES: usize = 32;

/// The values in row-major order. The tensor must be contiguous
/// (`to_contiguous`).
pub(crate) fn values(x: &Host) -> &[f32] {
    x.as_slice::<f32>().unwrap_or_default()
}

/// The matrices of a tensor [S, rows, columns], where they lie.
pub(crate) fn matrices(x: &Host) -> Vec<Matrix<'_>> {
    let (shape, layout) = (x.shape(), x.layout());
    let steps: Vec<usize> = layout.strides().iter().map(|step| step.unsigned_abs()).collect();
    let all = &x.storage::<f32>()[layout.start_offset()..];
    let [sets, rows, columns] = [0, 1, 2].map(|axis| shape[axis]);
    let of =
        |set: usize| Matrix { values: &all[set * steps[0]..], rows, columns, steps: [steps[1], steps[2]] };
    (0..sets).map(of).collect()
}

/// The matrix of a tensor [rows, columns], where it lies.
pub(crate) fn matrix(x: &Host) -> Matrix<'_> {
    let (shape, layout) = (x.shape(), x.layout());
    let steps = [0, 1].map(|axis| layout.strides()[axis].unsigned_abs());
    let values = &x.storage::<f32>()[layout.start_offset()..];
    Matrix { values, rows: shape[0], columns: shape[1], steps }
}

/// The tensor with its axes in steps forwards alone, as [`matrices`] reads them.
pub(crate) fn forwards(x: Host) -> Host {
    if x.layout().strides().iter().any(|step| *step < 0) { contiguous(x) } else { x }
}

/// A tensor of these values.
pub(crate) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Host {
    Host::from_data(TensorData::new(values, shape))
}

/// Sum of f(a, b) over two slices: f32 lanes over blocks, f64 over the blocks.
#[inline(always)]
pub(crate) fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f64 {
    let mut total = 0.0;
    for (a, b) in a.chunks(1 << 12).zip(b.chunks(1 << 12)) {
        let mut lanes = [0.0f32; LANES];
        let (a, a_rest) = a.as_chunks::<LANES>();
        let (b, b_rest) = b.as_chunks::<LANES>();
        for (a, b) in a.iter().zip(b) {
            for lane in 0..LANES {
                lanes[lane] += f(a[lane], b[lane]);
            }
        }
        for (lane, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
            lanes[lane] += f(*a, *b);
        }
        total += lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>();
    }
    total
}

/// The sums of both parts of f(a, b) over two slices, each as [`sum2`]; `f`
/// may write to a.
#[inline(always)]
pub(crate) fn pair_sums(a: &mut [f32], b: &[f32], f: impl Fn(&mut f32, f32) -> (f32, f32)) -> (f64, f64) {
    const HALF: usize = LANES / 2;
    let mut total = (0.0, 0.0);
    for (a, b) in a.chunks_mut(1 << 12).zip(b.chunks(1 << 12)) {
        let mut lanes = [[0.0f32; HALF]; 2];
        let (a, a_rest) = a.as_chunks_mut::<HALF>();
        let (b, b_rest) = b.as_chunks::<HALF>();
        for (a, b) in a.iter_mut().zip(b) {
            for lane in 0..HALF {
                let (first, second) = f(&mut a[lane], b[lane]);
                lanes[0][lane] += first;
                lanes[1][lane] += second;
            }
        }
        for (lane, (a, b)) in a_rest.iter_mut().zip(b_rest).enumerate() {
            let (first, second) = f(a, *b);
            lanes[0][lane] += first;
            lanes[1][lane] += second;
        }
        let [first, second] = lanes.map(|lanes| lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>());
        total = (total.0 + first, total.1 + second);
    }
    total
}

/// `n` values, of which `fill` computes those from an index on, block by block
/// on all threads.
pub(crate) fn filled(n: usize, fill: impl Fn(usize, &mut [f32]) + Send + Sync) -> Vec<f32> {
    let mut values = vec![0.0; n];
    values.par_chunks_mut(CHUNK).enumerate().for_each(|(index, block)| {
        vectorised(
            #[inline(always)]
            || fill(index * CHUNK, block),
        );
    });
    values
}

/// Each value of a tensor changed. `change` gets blocks of it, with the index
/// of their first value, and writes over them; in place if nobody else holds
/// the tensor.
pub(crate) fn altered(x: Host, change: impl Fn(usize, &mut [f32]) + Send + Sync) -> Host {
    let mut x = contiguous(x);
    if x.layout().start_offset() == 0
        && x.storage::<f32>().len() == x.shape().num_elements()
        && let Some(values) = x.try_storage_mut::<f32>()
    {
        values.par_chunks_mut(CHUNK).enumerate().for_each(|(index, block)| {
            vectorised(
                #[inline(always)]
                || change(index * CHUNK, block),
            );
        });
        return x;
    }
    let input = values(&x);
    let output = filled(
        input.len(),
        #[inline(always)]
        |at, y| {
            y.copy_from_slice(&input[at..][..y.len()]);
            change(at, y);
        },
    );
    Host::from_data(TensorData::new(output, x.shape()))
}

/// In row-major order and held by nobody else, so that it can be written to.
pub(crate) fn owned(x: Host) -> Host {
    altered(x, |_, _| ())
}

/// In row-major order; the same memory if it is so already.
pub(crate) fn contiguous(x: Host) -> Host {
    x.to_contiguous()
}

/// The parts of `len` values from index `at` on that lie in one plane of
/// `pixels` values each: (index of the plane, where in the `len` values).
#[inline(always)]
pub(crate) fn pieces(
    at: usize,
    len: usize,
    pixels: usize,
) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
    let planes = if len == 0 { 0..0 } else { at / pixels..(at + len).div_ceil(pixels) };
    planes.map(move |plane| {
        let (start, end) = ((plane * pixels).max(at), ((plane + 1) * pixels).min(at + len));
        (plane, start - at..end - at)
    })
}
