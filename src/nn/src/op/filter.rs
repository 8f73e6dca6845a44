//! Convolutions with one filter per channel on the host, and the gradient of the
//! filters: [`Correlation`] and [`OuterProduct`] where a group is one channel.
//!
//! A plane is copied into a thread's buffer with the zeros of its padding; there
//! every tap is a fixed distance, and some rows together are one long line. Each
//! value is read once for each tap, from the cache, and nothing else is done with
//! it: so the line is taken in vectors, and what they sum stays in registers.

use std::cell::Cell;

use rayon::prelude::*;

use super::correlate::{Correlation, Finish, Strip, grow};
use super::host::CHUNK;
use super::outer::OuterProduct;
use super::tile::{COLUMNS, SLACK, correlate_lines, sweep_line, whole_vectors};

/// Columns of a line, about: its sums stay in the first-level cache.
const LINE: usize = 2048;

thread_local! {
    /// A thread's buffers for a plane and for sums, kept from call to call.
    static BUFFERS: Cell<[Vec<f32>; 2]> = const { Cell::new([Vec::new(), Vec::new()]) };
}

fn offsets(strip: &Strip) -> Vec<u32> {
    strip.offsets.iter().map(|offset| *offset as u32).collect()
}

/// [`Correlation::run`] of groups of one channel; filters [groups, taps].
pub(super) fn correlate(form: &Correlation<'_>, x: &[f32], filters: &[f32], finish: &Finish<'_>) -> Vec<f32> {
    let (from, to, taps) = (form.from[0] * form.from[1], form.to[0] * form.to[1], form.taps.len());
    let strip = Strip::of_plane(form);
    let offsets = offsets(&strip);
    let mut y = vec![0.0; form.batch * form.groups * to];
    let share = (CHUNK / to).max(1);
    y.par_chunks_mut(share * to).zip(x.par_chunks(share * from)).enumerate().for_each(|(index, (y, x))| {
        let [mut plane, mut sums] = BUFFERS.take();
        grow(&mut plane, strip.values() + SLACK);
        for (at, (y, x)) in (index * share..).zip(y.chunks_exact_mut(to).zip(x.chunks_exact(from))) {
            let channel = at % form.groups;
            let filter = &filters[channel * taps..][..taps];
            for (index, y) in y.chunks_mut(strip.rows * form.to[1]).enumerate() {
                strip.fill(&mut plane, x, form, index * strip.rows, y.len() / form.to[1]);
                lines(&strip, form.to[1], filter, &plane, &offsets, &mut sums, y);
                finish(channel, y);
            }
        }
        BUFFERS.set([plane, sums]);
    });
    y
}

/// The rows y of a strip, `width` columns each, from its plane.
#[allow(clippy::too_many_arguments, reason = "a loop taken out of its one caller")]
fn lines(
    strip: &Strip,
    width: usize,
    filter: &[f32],
    plane: &[f32],
    offsets: &[u32],
    sums: &mut Vec<f32>,
    y: &mut [f32],
) {
    let rows = (LINE / strip.pitch).max(1);
    for (index, y) in y.chunks_mut(rows * width).enumerate() {
        let count = strip.columns(y.len() / width, width);
        grow(sums, whole_vectors(count));
        sweep_line(filter, &plane[index * rows * strip.pitch..], offsets, sums, count);
        for (y, sums) in y.chunks_exact_mut(width).zip(sums.chunks(strip.pitch)) {
            y.copy_from_slice(&sums[..width]);
        }
    }
}

/// [`OuterProduct::run`] of groups of one channel.
pub(super) fn outer(form: &OuterProduct<'_>, x: &[f32], z: &[f32]) -> Vec<f32> {
    let OuterProduct { batch, groups, inner, outer, stride, taps, .. } = *form;
    let gather = Correlation { batch, groups, input: 1, output: 1, from: outer, to: inner, stride, taps };
    let strip = Strip::of_plane(&gather);
    let offsets = offsets(&strip);
    let (small, large, width) = (inner[0] * inner[1], outer[0] * outer[1], inner[1]);
    let mut w = vec![0.0; groups * taps.len()];
    let share = (CHUNK / (batch * small)).max(1);
    w.par_chunks_mut(share * taps.len()).enumerate().for_each(|(index, w)| {
        let [mut plane, mut slope] = BUFFERS.take();
        let mut parts = vec![0.0f64; taps.len()];
        let mut sums = vec![0.0f64; taps.len()];
        grow(&mut plane, strip.values() + SLACK);
        for (group, w) in (index * share..).zip(w.chunks_exact_mut(taps.len())) {
            sums.fill(0.0);
            for image in 0..batch {
                let x = &x[(image * groups + group) * small..][..small];
                let z = &z[(image * groups + group) * large..][..large];
                for (index, x) in x.chunks(strip.rows * width).enumerate() {
                    let rows = x.len() / width;
                    strip.fill(&mut plane, z, &gather, index * strip.rows, rows);
                    // What a block meets beyond the strip is multiplied by 0,
                    // and must be a number for that.
                    strip.clear_behind(&mut plane, rows, COLUMNS);
                    // Zeros between the rows, and up to whole blocks.
                    let count = strip.columns(rows, width).next_multiple_of(COLUMNS);
                    grow(&mut slope, count.max(rows * strip.pitch));
                    for (line, x) in slope.chunks_mut(strip.pitch).zip(x.chunks_exact(width)) {
                        line[..width].copy_from_slice(x);
                        line[width..].fill(0.0);
                    }
                    slope[(rows - 1) * strip.pitch + width..].fill(0.0);
                    correlate_lines(&slope[..count], &plane, &offsets, &mut parts);
                    sums.iter_mut().zip(&parts).for_each(|(sum, part)| *sum += part);
                }
            }
            w.iter_mut().zip(&sums).for_each(|(w, sum)| *w = *sum as f32);
        }
        BUFFERS.set([plane, slope]);
    });
    w
}
