//! Every finished training of a store, each file of it verified:
//! `cargo run -p dygl-store --example results -- .dygl`.

use dygl_store::record::TrainRecord;
use dygl_store::{Lookup, Store};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::env::args().nth(1).unwrap_or_else(|| ".dygl".to_owned());
    let store = Store::at(&root);
    if !store.is_there()? {
        return Err(format!("{root}: there is no such folder; `dygl run` makes a store").into());
    }
    for key in store.keys()? {
        match store.lookup(&key)? {
            // Keys of evaluations hold records of another form.
            Lookup::Hit(attempt) => {
                if let Ok(record) = attempt.read_json::<TrainRecord>("record.json") {
                    println!("{}  {}  weights {:.12}", key.short(), record.cell.describe(), record.weights);
                }
            }
            Lookup::Altered(_, problem) => println!("{}  altered: {}", key.short(), problem.path().display()),
            Lookup::Conflict(all) => println!("{}  {} results contradict each other", key.short(), all.len()),
            Lookup::Failed(_, outcome) => println!("{}  {}", key.short(), outcome.word()),
            Lookup::Miss => {}
        }
    }
    Ok(())
}
