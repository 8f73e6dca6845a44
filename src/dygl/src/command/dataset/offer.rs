//! Registers what `--data` holds for tables of datasets.

use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_datasets::Manifest;

use super::{add, allows_partial};
use crate::command::context::Context;

/// Registers the datasets of tables without cells that are in the folder of
/// `--data` and not registered yet. What is not there is no mistake: the table
/// says so.
///
/// # Errors
/// A folder that does not hold what its name says.
pub fn offer(context: &Context) -> Result<(), Failure> {
    let registry = context.inputs.registry();
    let choices = context.chosen.iter().flat_map(|chosen| {
        let data = context.data_of(&chosen.experiment);
        chosen.datasets.iter().map(move |choice| (choice, data))
    });
    for (choice, data) in choices {
        let name = &choice.used.name;
        let Some(manifest) = Manifest::find(name).or_exit(Exit::Usage)? else { continue };
        let folder = Some(data.join(name)).filter(|folder| folder.is_dir());
        if let (Some(folder), None) = (folder, registry.get(name).map_err(super::split::failure)?) {
            add(registry, manifest, &folder, allows_partial(context))?;
        }
    }
    Ok(())
}
