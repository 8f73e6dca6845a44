//! A phantom and its truth as pictures:
//! `cargo run -p dygl-pixels --example phantom -- phantom-gland,size=224,seed=7 FOLDER`.

use std::path::PathBuf;

use dygl_pixels::mask;
use dygl_pixels::phantom::Phantom;
use dygl_spec::name::Named;
use image::{GrayImage, Luma};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "phantom-polyp,size=224".to_owned());
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| ".".to_owned()));
    let phantom = Phantom::parse(&Named::parse(&name)?).ok_or(format!("{name} is no phantom"))??;
    let sample = phantom.draw(0);
    // Levels of the mask are read by one rule everywhere.
    let truth = GrayImage::from_fn(sample.mask.width(), sample.mask.height(), |x, y| {
        Luma([if mask::is_foreground(sample.mask.get_pixel(x, y).0[0]) { 255 } else { 0 }])
    });
    sample.image.save(folder.join("image.png"))?;
    truth.save(folder.join("truth.png"))?;
    println!("{} of {name} is in {}", phantom.ids()[0], folder.display());
    Ok(())
}
