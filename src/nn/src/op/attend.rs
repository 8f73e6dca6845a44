//! Attention on flex: a task takes a share of the queries of one head, some
//! rows of scores at a time, which stay in the cache.

use burn::backend::{Flex, TensorMetadata};
use rayon::prelude::*;

use super::attention::{Attended, AttentionBackward, AttentionOps};
use super::host::{Host, contiguous, tensor, values, vectorised};
use super::product::{Block, Panel};
use super::softmax::flex::{soft, through_softmax};

/// Queries whose scores are computed at a time.
const ROWS: usize = 64;
/// Pieces of work that an operation should have.
const TASKS: usize = 16;

/// What the shapes say.
#[derive(Clone, Copy)]
struct Sizes {
    /// Images times heads.
    sets: usize,
    queries: usize,
    keys: usize,
    /// Of queries and keys; of values.
    features: usize,
    width: usize,
    /// Queries of a task, a multiple of [`ROWS`] unless there are fewer.
    share: usize,
}

impl Sizes {
    fn of(q: &Host, v: &Host) -> Self {
        let (q, v) = (q.shape(), v.shape());
        let (sets, queries) = (q[0] * q[1], q[2]);
        // By the shapes alone, so that the number of threads changes no sum.
        let shares = TASKS.div_ceil(sets.max(1)).min(queries.div_ceil(ROWS)).max(1);
        let share = queries.div_ceil(shares).next_multiple_of(ROWS).min(queries.max(1));
        Self { sets, queries, keys: v[2], features: q[3], width: v[3], share }
    }

    fn shares(&self) -> usize {
        self.queries.div_ceil(self.share)
    }
}

/// The operands of one set, contiguous.
struct Operands<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    bias: Option<&'a [f32]>,
    scale: f32,
    sizes: Sizes,
}

impl<'a> Operands<'a> {
    fn of(of: &'a Attended<Host>, sizes: Sizes, set: usize) -> Self {
        let Sizes { queries, keys, features, width, .. } = sizes;
        Self {
            q: &values(&of.q)[set * queries * features..][..queries * features],
            k: &values(&of.k)[set * keys * features..][..keys * features],
            v: &values(&of.v)[set * keys * width..][..keys * width],
            bias: of.bias.as_ref().map(|bias| &values(bias)[set * queries * keys..][..queries * keys]),
            scale: of.scale as f32,
            sizes,
        }
    }

    /// Keys as columns [features, keys].
    fn keys_across(&self) -> Block {
        let Sizes { keys, features, .. } = self.sizes;
        let mut block = Block::default();
        block.fill(features, keys, |feature, key| self.k[key * features + feature]);
        block
    }

    /// The weights of `rows` queries from `first` on, [rows, keys].
    fn weights(&self, first: usize, rows: usize, across: &Block, panel: &mut Panel, weights: &mut Block) {
        let Sizes { keys, features, .. } = self.sizes;
        panel.fill(rows, features, |row, term| self.q[(first + row) * features + term] * self.scale);
        panel.times(across, weights, false);
        for row in 0..rows {
            let weights = weights.row_mut(row);
            if let Some(bias) = self.bias {
                let bias = &bias[(first + row) * keys..][..keys];
                weights.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
            }
            vectorised(
                #[inline(always)]
                || soft(weights),
            );
        }
    }
}

/// A contiguous copy of rows as a [`Block`].
fn rows_of(x: &[f32], rows: usize, columns: usize) -> Block {
    let mut block = Block::default();
    block.fill(rows, columns, |row, column| x[row * columns + column]);
    block
}

fn forward(of: &Attended<Host>) -> Vec<f32> {
    let sizes = Sizes::of(&of.q, &of.v);
    let Sizes { sets, queries, keys, width, share, .. } = sizes;
    let mut output = vec![0.0; sets * queries * width];
    let mut tasks: Vec<(usize, usize, &mut [f32])> = Vec::new();
    for (set, y) in output.chunks_exact_mut((queries * width).max(1)).enumerate() {
        tasks.extend(y.chunks_mut(share * width).enumerate().map(|(index, y)| (set, index * share, y)));
    }
    tasks.into_par_iter().for_each(|(set, start, y)| {
        let operands = Operands::of(of, sizes, set);
        let (across, down) = (operands.keys_across(), rows_of(operands.v, keys, width));
        let (mut panel, mut weights, mut sums) = (Panel::default(), Block::default(), Block::default());
        for (index, y) in y.chunks_mut(ROWS * width).enumerate() {
            let rows = y.len() / width;
            operands.weights(start + index * ROWS, rows, &across, &mut panel, &mut weights);
            panel.fill(rows, keys, |row, key| weights.row(row)[key]);
            panel.times(&down, &mut sums, false);
            for (row, y) in y.chunks_exact_mut(width).enumerate() {
                y.copy_from_slice(sums.row(row));
            }
        }
    });
    output
}

/// What a task of the backward pass finds: its part of the gradients of keys
/// and values of its set.
struct Part {
    keys: Block,
    values: Block,
}

fn backward(
    of: &Attended<Host>,
    grad: &[f32],
    needs: bool,
) -> (Vec<f32>, Vec<f32>, Vec<f32>, Option<Vec<f32>>) {
    let sizes = Sizes::of(&of.q, &of.v);
    let Sizes { sets, queries, keys, features, width, share } = sizes;
    let mut of_q = vec![0.0; sets * queries * features];
    let mut of_bias = vec![0.0; if needs { sets * queries * keys } else { 0 }];
    let mut tasks: Vec<(usize, usize, &mut [f32], &mut [f32])> = Vec::new();
    let mut bias_left = &mut of_bias[..];
    for (set, q) in of_q.chunks_exact_mut((queries * features).max(1)).enumerate() {
        for (index, q) in q.chunks_mut(share * features).enumerate() {
            let count = if needs { q.len() / features * keys } else { 0 };
            let (bias, left) = bias_left.split_at_mut(count);
            bias_left = left;
            tasks.push((set, index * share, q, bias));
        }
    }
    let task = |(set, start, of_q, of_bias): (usize, usize, &mut [f32], &mut [f32])| {
        let operands = Operands::of(of, sizes, set);
        let slope = &grad[set * queries * width..][..queries * width];
        let across = operands.keys_across();
        let key_rows = rows_of(operands.k, keys, features);
        let mut values_across = Block::default();
        values_across.fill(width, keys, |feature, key| operands.v[key * width + feature]);
        let mut part = Part { keys: Block::default(), values: Block::default() };
        let (mut panel, mut block) = (Panel::default(), Block::default());
        let (mut weights, mut slopes, mut sums) = (Block::default(), Block::default(), Block::default());
        for (index, of_q) in of_q.chunks_mut(ROWS * features).enumerate() {
            let rows = of_q.len() / features;
            let first = start + index * ROWS;
            operands.weights(first, rows, &across, &mut panel, &mut weights);
            let slope = &slope[first * width..][..rows * width];
            // Values: weights^T grad.
            panel.fill(keys, rows, |key, row| weights.row(row)[key]);
            block.fill(rows, width, |row, feature| slope[row * width + feature]);
            panel.times(&block, &mut part.values, index > 0);
            // Weights: grad values^T; then through the softmax.
            panel.fill(rows, width, |row, feature| slope[row * width + feature]);
            panel.times(&values_across, &mut slopes, false);
            for row in 0..rows {
                vectorised(
                    #[inline(always)]
                    || through_softmax(weights.row(row), slopes.row_mut(row)),
                );
                if needs {
                    of_bias[(index * ROWS + row) * keys..][..keys].copy_from_slice(slopes.row(row));
                }
            }
            panel.fill(rows, keys, |row, key| slopes.row(row)[key] * operands.scale);
            panel.times(&key_rows, &mut sums, false);
            for (row, of_q) in of_q.chunks_exact_mut(features).enumerate() {
                of_q.copy_from_slice(sums.row(row));
            }
            // Keys: scores^T queries.
            panel.fill(keys, rows, |key, row| slopes.row(row)[key]);
            let scaled =
                |row: usize, feature: usize| operands.q[(first + row) * features + feature] * operands.scale;
            block.fill(rows, features, scaled);
            panel.times(&block, &mut part.keys, index > 0);
        }
        part
    };
    let parts: Vec<Part> = tasks.into_par_iter().map(task).collect();
    let join = |rows: fn(&Part) -> &Block, width: usize| {
        let mut all = vec![0.0; sets * keys * width];
        let sets = all.chunks_exact_mut((keys * width).max(1)).zip(parts.chunks(sizes.shares().max(1)));
        for (set, parts) in sets {
            for part in parts {
                for (key, sum) in set.chunks_exact_mut(width).enumerate() {
                    sum.iter_mut().zip(rows(part).row(key)).for_each(|(sum, part)| *sum += part);
                }
            }
        }
        all
    };
    let (of_k, of_v) = (join(|part| &part.keys, features), join(|part| &part.values, width));
    (of_q, of_k, of_v, needs.then_some(of_bias))
}

fn in_order(of: Attended<Host>) -> Attended<Host> {
    Attended {
        q: contiguous(of.q),
        k: contiguous(of.k),
        v: contiguous(of.v),
        bias: of.bias.map(contiguous),
        scale: of.scale,
    }
}

fn output(of: Attended<Host>) -> Host {
    let of = in_order(of);
    let (q, v) = (of.q.shape(), of.v.shape());
    tensor(forward(&of), [q[0], q[1], q[2], v[3]])
}

impl AttentionOps for Flex {
    fn attend(q: Host, k: Host, v: Host, scale: f64) -> Host {
        output(Attended { q, k, v, bias: None, scale })
    }

    fn attend_with(q: Host, k: Host, v: Host, bias: Host, scale: f64) -> Host {
        output(Attended { q, k, v, bias: Some(bias), scale })
    }
}

impl AttentionBackward for Flex {
    fn attend_backward(of: Attended<Host>, grad: Host, needs: bool) -> ([Host; 3], Option<Host>) {
        let (of, grad) = (in_order(of), contiguous(grad));
        let (q, k, v, bias) = backward(&of, values(&grad), needs);
        let shaped = |values: Vec<f32>, like: &Host| {
            let shape = like.shape();
            tensor(values, [shape[0], shape[1], shape[2], shape[3]])
        };
        let found = [shaped(q, &of.q), shaped(k, &of.k), shaped(v, &of.v)];
        (found, bias.and_then(|bias| of.bias.as_ref().map(|like| shaped(bias, like))))
    }
}
