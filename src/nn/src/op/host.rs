//! Kernels on the host: slices in, vectors out, rayon over planes.
//!
//! Results do not depend on the number of threads: work is divided by fixed
//! sizes and every sum has one fixed order.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::TensorData;

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
