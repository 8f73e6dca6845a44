//! The weights that a training starts from, each value moved by one unit in its
//! last place, up or down as drawn: `nudge MODEL SIZE SEED DRAW FILE`.
//!
//! A training from them, with FILE as `pretrained`, tells how far rounding alone
//! moves a score (`make rounding`). DRAW 0 moves nothing.

use std::path::PathBuf;

use anyhow::{Context, Result};
use burn::tensor::{Device, TensorData};
use clap::Parser;
use dygl_base::random::Stream;
use dygl_spec::name::Named;
use dygl_spec::network;
use dygl_train::learn::{init, tensors, weights};
use dygl_train::net::Net;

#[derive(Parser)]
#[command(about)]
struct Arguments {
    /// NAME or NAME,option=value,...
    model: String,
    /// Side of the images, pixels.
    size: usize,
    /// Of the initial weights.
    seed: u64,
    /// Which of all directions: each is another draw.
    draw: u64,
    file: PathBuf,
}

fn main() -> Result<()> {
    let of = Arguments::parse();
    let (_, model) = network::resolve(&Named::parse(&of.model)?)?;
    let net = Net::build(&model, [of.size, of.size], &Device::flex())?;
    let net = init::initialise_for(&model, net, of.seed);
    let mut all = weights::snapshot(&net);
    for (name, data) in &mut all {
        let mut stream = Stream::new(of.draw, "nudge", &[name]);
        let values = data.as_slice::<f32>().with_context(|| format!("{name} is not f32"))?;
        let moved: Vec<f32> = values.iter().map(|value| nudged(*value, of.draw, &mut stream)).collect();
        *data = TensorData::new(moved, data.shape().clone());
    }
    tensors::write(&of.file, &all)?;
    Ok(())
}

/// Zeros, which are meant, stay.
fn nudged(value: f32, draw: u64, stream: &mut Stream) -> f32 {
    match (draw, value) {
        (0, _) | (_, 0.0) => value,
        _ if stream.unit() < 0.5 => value.next_down(),
        _ => value.next_up(),
    }
}
