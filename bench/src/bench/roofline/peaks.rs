//! What this machine can do at best, measured where the figures are.

use std::time::Instant;

use anyhow::Result;
use burn::tensor::Device;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::operations::list::Operation;
use crate::operations::{Kernel, pass};

/// The two roofs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Peaks {
    /// burn's product of two matrices of 2048 x 2048, thousand million
    /// operations a second, a multiplication and an addition being two.
    pub product_gflops: f64,
    /// The same product by our convolutions' tile, as a 1 x 1 convolution.
    pub tile_gflops: f64,
    /// a = b + s c over arrays of 256 MiB, GB/s of the three.
    pub triad_gbs: f64,
    /// a = b, GB/s of the two.
    pub copy_gbs: f64,
}

/// Side of the matrices.
const SIDE: usize = 2048;
/// Values of an array: 256 MiB.
const VALUES: usize = 1 << 26;
/// Values that a thread takes at once.
const CHUNK: usize = 1 << 16;

impl Peaks {
    /// The higher of both products.
    pub fn gflops(&self) -> f64 {
        self.product_gflops.max(self.tile_gflops)
    }

    /// The higher of copy and triad.
    pub fn gbs(&self) -> f64 {
        self.triad_gbs.max(self.copy_gbs)
    }

    /// The better of two measurements.
    pub fn or(self, other: Self) -> Self {
        Self {
            product_gflops: self.product_gflops.max(other.product_gflops),
            tile_gflops: self.tile_gflops.max(other.tile_gflops),
            triad_gbs: self.triad_gbs.max(other.triad_gbs),
            copy_gbs: self.copy_gbs.max(other.copy_gbs),
        }
    }

    /// Measures all of them, the best of `repeats`.
    ///
    /// # Errors
    /// The device fails.
    pub fn measure(device: &Device, repeats: usize) -> Result<Self> {
        let operations = 2.0 * (SIDE * SIDE * SIDE) as f64;
        let [left, right] = [0, 1].map(|number| pass::draw(number, [SIDE; 2], device));
        let product = best(device, repeats, || drop(left.clone().matmul(right.clone())))?;
        let convolution = Operation::Convolution {
            input: [1, SIDE, 32, SIDE / 32],
            output: SIDE,
            kernel: 1,
            stride: 1,
            padding: 0,
            dilation: 1,
            groups: 1,
            bias: false,
            transposed: false,
        };
        let mut pass = pass::prepare(&convolution, Kernel::Ours, device, false);
        let tile = best(device, repeats, || drop(pass()))?;
        let mut a = vec![0f32; VALUES];
        let (b, c) = (vec![1f32; VALUES], vec![2f32; VALUES]);
        let triad = best(device, repeats, || {
            each(&mut a, &b, &c, |a, b, c| {
                a.iter_mut().zip(b.iter().zip(c)).for_each(|(a, (b, c))| *a = b + 3.0 * c);
            });
        })?;
        let copy = best(device, repeats, || each(&mut a, &b, &c, |a, b, _| a.copy_from_slice(b)))?;
        let bytes = |arrays: usize| (arrays * VALUES * size_of::<f32>()) as f64;
        Ok(Self {
            product_gflops: operations / product / 1e9,
            tile_gflops: operations / tile / 1e9,
            triad_gbs: bytes(3) / triad / 1e9,
            copy_gbs: bytes(2) / copy / 1e9,
        })
    }
}

/// Runs f on chunks of the arrays, on all threads.
fn each(a: &mut [f32], b: &[f32], c: &[f32], f: impl Fn(&mut [f32], &[f32], &[f32]) + Sync) {
    let others = b.par_chunks(CHUNK).zip(c.par_chunks(CHUNK));
    a.par_chunks_mut(CHUNK).zip(others).for_each(|(a, (b, c))| f(a, b, c));
}

/// Seconds of the fastest of some runs, behind one that is not timed.
fn best(device: &Device, repeats: usize, mut run: impl FnMut()) -> Result<f64> {
    let mut least = f64::INFINITY;
    for repeat in 0..=repeats {
        let start = Instant::now();
        run();
        device.sync()?;
        if repeat > 0 {
            least = least.min(start.elapsed().as_secs_f64());
        }
    }
    Ok(least)
}
