//! The cells of a built-in experiment, and the settings that tell them apart:
//! `cargo run -p dygl --example cells -- table2 loss.lambda=0.3,0.5`.

use std::path::Path;

use dygl_datasets::KnownDatasets;
use dygl_spec::plan::{Plan, names};
use dygl_spec::{Request, load};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let experiment = arguments.next().unwrap_or_else(|| "table2".to_owned());
    let set: Vec<String> = arguments.collect();
    let request = Request { experiment: &experiment, profile: None, set: &set, root: Path::new(".") };
    // All mistakes at once, each with its place and a remedy.
    let experiment = load(&request, &KnownDatasets).map_err(|mistakes| mistakes.to_string())?;
    let plan = Plan::expand(&experiment);
    for (planned, name) in plan.cells.iter().zip(names(&plan.cells)) {
        println!("{}  ({} epochs)", name.full, planned.cell.protocol.train.epochs);
    }
    Ok(())
}
