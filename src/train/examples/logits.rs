//! A network with its initial weights of a seed, on one phantom:
//! `cargo run -p dygl-train --example logits -- dyglnet 42`.

use burn::tensor::{Device, Tensor, TensorData};
use dygl_pixels::phantom::Phantom;
use dygl_spec::name::Named;
use dygl_spec::network;
use dygl_train::learn::init;
use dygl_train::net::Net;

/// Side of the image, pixels.
const SIZE: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "unet".to_owned());
    let seed = arguments.next().map_or(Ok(42), |seed| seed.parse())?;
    let (_, model) = network::resolve(&Named::parse(&name)?)?;
    let device = Device::flex();
    let net = init::initialise_for(&model, Net::build(&model, [SIZE, SIZE], &device)?, seed);

    let phantom = Named::parse(&format!("phantom-polyp,size={SIZE}"))?;
    let phantom = Phantom::parse(&phantom).ok_or("no phantom")??;
    let image = phantom.draw(0).image;
    // [1, 3, SIZE, SIZE], values in 0..1: rows of the picture hold RGB interleaved.
    let pixels: Vec<f32> = image.as_raw().iter().map(|value| f32::from(*value) / 255.0).collect();
    let pixels = Tensor::<4>::from_data(TensorData::new(pixels, [1, SIZE, SIZE, 3]), &device);
    let logits = net.forward(pixels.permute([0, 3, 1, 2]));

    let values = logits.into_data().try_to_vec::<f32>().map_err(|error| format!("{error:?}"))?;
    let foreground = values.iter().filter(|logit| **logit > 0.0).count();
    println!("{name}, seed {seed}: {foreground} of {} pixels above 0", values.len());
    Ok(())
}
