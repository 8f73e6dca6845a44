//! Times a prepared pass. `bench/torch/ops.py` repeats by the same rule.

use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::Device;
use dygl_bench::spread::Spread;

use super::pass::Pass;

/// How often something is repeated, behind a run that is not timed: as long as
/// `enough` seconds are not over, within limits.
#[derive(Debug, Clone, Copy)]
pub struct Repeats {
    pub fewest: usize,
    pub most: usize,
    pub enough: f64,
}

/// As the list's operations are repeated.
pub const LISTED: Repeats = Repeats { fewest: 3, most: 30, enough: 1.0 };

/// Forward and, where there are gradients, backward, ms.
///
/// # Errors
/// The device fails.
pub fn timed(mut pass: Pass, device: &Device, repeats: Repeats) -> Result<(Spread, Option<Spread>)> {
    let (mut forward, mut backward) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    let goes_on = |done: usize| {
        let over = begun.elapsed().as_secs_f64() >= repeats.enough;
        done <= repeats.fewest || (done <= repeats.most && !over)
    };
    while goes_on(forward.len()) {
        device.sync()?;
        let start = Instant::now();
        let y = pass();
        device.sync()?;
        forward.push(1e3 * start.elapsed().as_secs_f64());
        let Some(y) = y else { continue };
        let start = Instant::now();
        let gradients = y.backward();
        device.sync()?;
        backward.push(1e3 * start.elapsed().as_secs_f64());
        drop(gradients);
    }
    let behind_the_first = |times: &[f64]| times.get(1..).and_then(Spread::of);
    let forward = behind_the_first(&forward).context("nothing was timed")?;
    Ok((forward, behind_the_first(&backward)))
}
