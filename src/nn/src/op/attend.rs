//! Attention on flex: a task takes a share of the queries of one head, some
//! rows of scores at a time, which stay in the cache.
//!
//! Operands are read where they lie. Results lie token by token, the heads of a
//! token side by side, as the layers around take and give them.

use burn::backend::{Flex, TensorMetadata};
use rayon::prelude::*;

use super::attention::{Attended, AttentionBackward, AttentionOps};
use super::attention_packed::{Packed, PackedAttentionBackward, PackedAttentionOps};
use super::host::{Host, contiguous, forwards, tensor, vectorised};
use super::matrix::Matrix;
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
    /// Features of values.
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
        Self { sets, queries, keys: v[2], width: v[3], share }
    }

    fn shares(&self) -> usize {
        self.queries.div_ceil(self.share)
    }
}

/// The matrix of one set of a tensor [images, heads, rows, columns], where it lies.
fn matrix_of(x: &Host, set: usize) -> Matrix<'_> {
    let (shape, layout) = (x.shape(), x.layout());
    let steps = [0, 1, 2, 3].map(|axis| layout.strides()[axis].unsigned_abs());
    let first = layout.start_offset() + set / shape[1] * steps[0] + set % shape[1] * steps[1];
    let values = &x.storage::<f32>()[first..];
    Matrix { values, rows: shape[2], columns: shape[3], steps: [steps[2], steps[3]] }
}

/// The operands of one set.
struct Operands<'a> {
    q: Matrix<'a>,
    k: Matrix<'a>,
    v: Matrix<'a>,
    bias: Option<Matrix<'a>>,
    scale: f32,
}

impl<'a> Operands<'a> {
    fn of(of: &'a Attended<Host>, set: usize) -> Self {
        Self {
            q: matrix_of(&of.q, set),
            k: matrix_of(&of.k, set),
            v: matrix_of(&of.v, set),
            bias: of.bias.as_ref().map(|bias| matrix_of(bias, set)),
            scale: of.scale as f32,
        }
    }

    /// The weights of `rows` queries from `first` on, [rows, keys], given the keys as
    /// columns.
    fn weights(&self, first: usize, rows: usize, across: &Block, panel: &mut Panel, weights: &mut Block) {
        panel.fill(self.q.some(first, rows), self.scale);
        panel.times(across, weights, false);
        for row in 0..rows {
            let weights = weights.row_mut(row);
            if let Some(bias) = self.bias {
                let bias = &bias.values[(first + row) * bias.steps[0]..];
                weights.iter_mut().zip(bias).for_each(|(score, bias)| *score += bias);
            }
            vectorised(
                #[inline(always)]
                || soft(weights),
            );
        }
    }
}

/// A copy of a matrix for products.
fn block_of(matrix: Matrix<'_>) -> Block {
    let mut block = Block::default();
    block.fill(matrix, 1.0);
    block
}

/// Of each set its rows, somewhere in memory.
type Rows<'a> = Vec<Vec<&'a mut [f32]>>;

/// The rows of each set [images, heads, rows, features] from `all`, where the heads of a
/// row lie side by side.
fn rows_of_sets(all: &mut [f32], [_, heads, rows, features]: [usize; 4]) -> Rows<'_> {
    let mut sets = Vec::new();
    for image in all.chunks_exact_mut((rows * heads * features).max(1)) {
        let first = sets.len();
        sets.resize_with(first + heads, || Vec::with_capacity(rows));
        for (at, row) in image.chunks_exact_mut(features.max(1)).enumerate() {
            sets[first + at % heads].push(row);
        }
    }
    sets
}

/// The same of queries, keys and values, each of this shape, that lie side by side.
fn rows_of_thirds(all: &mut [f32], [images, heads, rows, features]: [usize; 4]) -> [Rows<'_>; 3] {
    let mut thirds = [const { Vec::new() }; 3];
    let together = [images, 3 * heads, rows, features];
    for (set, rows) in rows_of_sets(all, together).into_iter().enumerate() {
        thirds[set / heads % 3].push(rows);
    }
    thirds
}

/// [images, rows, heads, features] as [images, heads, rows, features].
fn by_head(values: Vec<f32>, [images, heads, rows, features]: [usize; 4]) -> Host {
    tensor(values, [images, rows, heads, features]).transpose(1, 2)
}

fn forward(of: &Attended<Host>) -> Host {
    let sizes = Sizes::of(&of.q, &of.v);
    let Sizes { sets, queries, width, share, .. } = sizes;
    let heads = of.q.shape()[1];
    let shape = [sets / heads.max(1), heads, queries, width];
    let mut output = vec![0.0; shape.iter().product()];
    let mut tasks: Vec<(usize, usize, Vec<&mut [f32]>)> = Vec::new();
    for (set, mut rows) in rows_of_sets(&mut output, shape).into_iter().enumerate() {
        for start in (0..queries).step_by(share) {
            let rest = rows.split_off(share.min(rows.len()));
            tasks.push((set, start, std::mem::replace(&mut rows, rest)));
        }
    }
    tasks.into_par_iter().for_each(|(set, start, mut y)| {
        let operands = Operands::of(of, set);
        let (across, down) = (block_of(operands.k.transposed()), block_of(operands.v));
        let (mut panel, mut weights, mut sums) = (Panel::default(), Block::default(), Block::default());
        for (index, y) in y.chunks_mut(ROWS).enumerate() {
            operands.weights(start + index * ROWS, y.len(), &across, &mut panel, &mut weights);
            panel.fill(weights.matrix(y.len()), 1.0);
            panel.times(&down, &mut sums, false);
            for (row, y) in y.iter_mut().enumerate() {
                y.copy_from_slice(sums.row(row));
            }
        }
    });
    by_head(output, shape)
}

/// What a task of the backward pass finds: its part of the gradients of keys
/// and values of its set.
struct Part {
    keys: Block,
    values: Block,
}

/// What a task of the backward pass writes.
struct Share<'a> {
    set: usize,
    /// The first of its queries.
    start: usize,
    of_q: Vec<&'a mut [f32]>,
    of_bias: &'a mut [f32],
}

/// Adds the gradients of queries, keys and values to rows of zeros, and writes that of
/// the bias where there is room for one.
fn backward(of: &Attended<Host>, grad: &Host, [of_q, of_k, of_v]: [Rows<'_>; 3], of_bias: &mut [f32]) {
    let sizes = Sizes::of(&of.q, &of.v);
    let Sizes { keys, share, .. } = sizes;
    let needs = !of_bias.is_empty();
    let mut tasks: Vec<Share<'_>> = Vec::new();
    let mut bias_left = of_bias;
    for (set, mut rows) in of_q.into_iter().enumerate() {
        for start in (0..rows.len()).step_by(share) {
            let rest = rows.split_off(share.min(rows.len()));
            let of_q = std::mem::replace(&mut rows, rest);
            let (of_bias, left) = bias_left.split_at_mut(if needs { of_q.len() * keys } else { 0 });
            bias_left = left;
            tasks.push(Share { set, start, of_q, of_bias });
        }
    }
    let task = |Share { set, start, mut of_q, of_bias }: Share<'_>| {
        let operands = Operands::of(of, set);
        let slopes_of = matrix_of(grad, set);
        let (across, key_rows) = (block_of(operands.k.transposed()), block_of(operands.k));
        let values_across = block_of(operands.v.transposed());
        let mut part = Part { keys: Block::default(), values: Block::default() };
        let (mut panel, mut block) = (Panel::default(), Block::default());
        let (mut weights, mut slopes, mut sums) = (Block::default(), Block::default(), Block::default());
        for (index, of_q) in of_q.chunks_mut(ROWS).enumerate() {
            let rows = of_q.len();
            let first = start + index * ROWS;
            operands.weights(first, rows, &across, &mut panel, &mut weights);
            let slope = slopes_of.some(first, rows);
            // Values: weights^T grad.
            panel.fill(weights.matrix(rows).transposed(), 1.0);
            block.fill(slope, 1.0);
            panel.times(&block, &mut part.values, index > 0);
            // Weights: grad values^T; then through the softmax.
            panel.fill(slope, 1.0);
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
            panel.fill(slopes.matrix(rows), operands.scale);
            panel.times(&key_rows, &mut sums, false);
            for (row, of_q) in of_q.iter_mut().enumerate() {
                of_q.copy_from_slice(sums.row(row));
            }
            // Keys: scores^T queries.
            panel.fill(slopes.matrix(rows).transposed(), 1.0);
            block.fill(operands.q.some(first, rows), operands.scale);
            panel.times(&block, &mut part.keys, index > 0);
        }
        part
    };
    let parts: Vec<Part> = tasks.into_par_iter().map(task).collect();
    let join = |rows: fn(&Part) -> &Block, sets: Rows<'_>| {
        sets.into_par_iter().zip(parts.par_chunks(sizes.shares().max(1))).for_each(|(mut set, parts)| {
            for part in parts {
                for (key, sum) in set.iter_mut().enumerate() {
                    sum.iter_mut().zip(rows(part).row(key)).for_each(|(sum, part)| *sum += part);
                }
            }
        });
    };
    join(|part| &part.keys, of_k);
    join(|part| &part.values, of_v);
}

/// Queries, keys and values [images, heads, rows, features] of [images, rows, 3 heads
/// features], where they lie.
fn thirds(packed: Host, heads: usize) -> [Host; 3] {
    let [images, rows, features] = [0, 1, 2].map(|axis| packed.shape()[axis]);
    let split = contiguous(packed).reshape([images, rows, 3 * heads, features / (3 * heads)].into());
    [0, 1, 2].map(|third| split.narrow(2, third * heads, heads).transpose(1, 2))
}

fn shape_of(x: &Host) -> [usize; 4] {
    [0, 1, 2, 3].map(|axis| x.shape()[axis])
}

/// Room for the gradient of a bias, if it needs one.
fn room_for_bias(of: &Attended<Host>, needs: bool) -> Vec<f32> {
    let len = of.bias.as_ref().map_or(0, |bias| bias.shape().num_elements());
    vec![0.0; if needs { len } else { 0 }]
}

fn bias_of(of: &Attended<Host>, values: Vec<f32>) -> Option<Host> {
    let bias = of.bias.as_ref().filter(|_| !values.is_empty())?;
    Some(tensor(values, shape_of(bias)))
}

/// As they are read: axes in steps forwards, a bias row by row.
fn readable(of: Attended<Host>) -> Attended<Host> {
    let in_rows = |x: Host| if x.layout().strides()[3] == 1 { forwards(x) } else { contiguous(x) };
    Attended { q: forwards(of.q), k: forwards(of.k), v: forwards(of.v), bias: of.bias.map(in_rows), ..of }
}

impl AttentionOps for Flex {
    fn attend(q: Host, k: Host, v: Host, scale: f64) -> Host {
        forward(&readable(Attended { q, k, v, bias: None, scale }))
    }

    fn attend_with(q: Host, k: Host, v: Host, bias: Host, scale: f64) -> Host {
        forward(&readable(Attended { q, k, v, bias: Some(bias), scale }))
    }
}

impl AttentionBackward for Flex {
    fn attend_backward(of: Attended<Host>, grad: Host, needs: bool) -> ([Host; 3], Option<Host>) {
        let (of, grad) = (readable(of), forwards(grad));
        let shapes = [&of.q, &of.k, &of.v].map(shape_of);
        let mut found = shapes.map(|shape| vec![0.0; shape.iter().product()]);
        let mut of_bias = room_for_bias(&of, needs);
        let [q, k, v] = &mut found;
        let rows = [rows_of_sets(q, shapes[0]), rows_of_sets(k, shapes[1]), rows_of_sets(v, shapes[2])];
        backward(&of, &grad, rows, &mut of_bias);
        let [q, k, v] = found;
        let found = [by_head(q, shapes[0]), by_head(k, shapes[1]), by_head(v, shapes[2])];
        let of_bias = bias_of(&of, of_bias);
        (found, of_bias)
    }
}

impl PackedAttentionOps for Flex {
    fn attend_packed(packed: Host, heads: usize, scale: f64) -> Host {
        let [q, k, v] = thirds(packed, heads);
        Self::attend(q, k, v, scale)
    }

    fn attend_packed_with(packed: Host, bias: Host, heads: usize, scale: f64) -> Host {
        let [q, k, v] = thirds(packed, heads);
        Self::attend_with(q, k, v, bias, scale)
    }
}

impl PackedAttentionBackward for Flex {
    fn attend_packed_backward(of: Packed<Host>, grad: Host, needs: bool) -> (Host, Option<Host>) {
        let Packed { packed, bias, heads, scale } = of;
        let [images, tokens, features] = [0, 1, 2].map(|axis| packed.shape()[axis]);
        let [q, k, v] = thirds(packed, heads);
        let of = readable(Attended { q, k, v, bias, scale });
        let mut found = vec![0.0; images * tokens * features];
        let mut of_bias = room_for_bias(&of, needs);
        let rows = rows_of_thirds(&mut found, [images, heads, tokens, features / (3 * heads)]);
        backward(&of, &forwards(grad), rows, &mut of_bias);
        (tensor(found, [images, tokens, features]), bias_of(&of, of_bias))
    }
}
