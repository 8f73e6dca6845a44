//! Scaled dot-product attention (Vaswani et al. 2017).

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

use crate::trace::{self, Kind};

/// softmax(q k^T scale + bias) v: q [B, h, N, d], k and v [B, h, M, d], bias
/// broadcast to [B, h, N, M]; gives [B, h, N, d]. Scores and softmax are f32
/// in mixed precision, too.
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, scale: f64, bias: Option<Tensor<4>>) -> Tensor<4> {
    let [batch, heads, queries, features] = q.dims();
    let keys = k.dims()[2];
    let matrix = [batch, heads, queries, keys];
    trace::tell(Kind::Product, q.dims(), matrix, features, &[]);
    trace::tell(Kind::Softmax, matrix, matrix, keys, &[]);
    trace::tell(Kind::Product, matrix, q.dims(), keys, &[]);
    let scores = (q * scale).matmul(k.swap_dims(2, 3));
    let scores = match bias {
        Some(bias) => scores + bias,
        None => scores,
    };
    softmax(scores, 3).matmul(v)
}
