//! What a table of costs is made of: the ledger of each network, the paper's
//! figures, and the mean Dice over the datasets as far as the store has it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dygl_base::exit::{AtPath, Exit, Failure, OrExit};
use dygl_base::stats;
use dygl_exec::cost;
use dygl_exec::local::Local;
use dygl_report::table::costs::{CostCard, MeanDice, PaperCost};
use dygl_report::table::results::short;
use dygl_report::table::{PAPER_SIZE, not_the_papers};
use dygl_spec::ledger::Ledger;
use dygl_spec::metric::Metric;
use dygl_spec::name::Named;
use dygl_spec::network::{self, Group};
use dygl_spec::plan::{Plan, PlannedCell};
use dygl_spec::reported::Reported;

use super::context::{Chosen, Context};
use super::read::{Reading, State};

/// Where the paper prints costs.
const TABLE: u8 = 7;

/// The cards of the selected networks, one for each combination of a network's own
/// settings, in the order of the experiment; none for a table of another kind.
pub fn cards(
    context: &Context,
    chosen: &Chosen,
    published: &Reported,
    readings: &[Reading],
) -> Result<Vec<CostCard>, Failure> {
    if !chosen.experiment.table.kind.is_of_costs() {
        return Ok(Vec::new());
    }
    let mut rows: Vec<&PlannedCell> = Vec::new();
    for reading in readings {
        if !rows.iter().any(|row| is_of(&reading.planned, row)) {
            rows.push(&reading.planned);
        }
    }
    let mut counted: BTreeMap<(usize, &Named), Ledger> = BTreeMap::new();
    let sizes: BTreeSet<usize> = rows.iter().map(|row| row.cell.protocol.image.size).collect();
    for size in sizes {
        let of_size = rows.iter().filter(|row| row.cell.protocol.image.size == size);
        let mut models: Vec<&Named> = of_size.map(|row| &row.cell.model).collect();
        models.sort();
        models.dedup();
        let names: Vec<Named> = models.iter().map(|model| (*model).clone()).collect();
        let all = ledgers(context, &names, size)?;
        counted.extend(models.into_iter().map(|model| (size, model)).zip(all));
    }
    let plan = Plan::expand(&chosen.experiment).cells;
    let card = |row: &PlannedCell| {
        let cell = &row.cell;
        let size = cell.protocol.image.size;
        let ledger = counted.get(&(size, &cell.model))?;
        Some(CostCard {
            model: cell.model.to_string(),
            label: row.label.clone(),
            group: network::find(&cell.model.name).map_or(Group::Ours, |network| network.group),
            size,
            parameters: ledger.parameters,
            operations: ledger.operations,
            published: ledger.published,
            differences: ledger.differences.clone(),
            paper: if size == PAPER_SIZE { printed(published, &cell.model) } else { None },
            dice: mean_dice(chosen, row, &plan, readings),
        })
    };
    Ok(rows.into_iter().filter_map(card).collect())
}

/// They are kept beside the store, which is made for that if need be.
fn ledgers(context: &Context, models: &[Named], size: usize) -> Result<Vec<Ledger>, Failure> {
    let local = Local::beside_this_program()?;
    let root = context.store.root();
    std::fs::create_dir_all(root).at("make the folder", root)?;
    cost::ledgers(&local, root, models, size).or_exit(Exit::Environment)
}

fn printed(published: &Reported, model: &Named) -> Option<PaperCost> {
    let value = |metric| published.value(TABLE, "all", model, metric).cloned();
    Some(PaperCost { parameters: value("params_m")?, operations: value("flops_g")?, dice: value("mdice")? })
}

/// The mean over the datasets of a row of the means over its seeds.
fn mean_dice(
    chosen: &Chosen,
    row: &PlannedCell,
    plan: &[Arc<PlannedCell>],
    readings: &[Reading],
) -> MeanDice {
    let mut datasets: Vec<&Named> = Vec::new();
    for planned in plan.iter().filter(|planned| is_of(planned, row)) {
        if !datasets.contains(&&planned.cell.asked) {
            datasets.push(&planned.cell.asked);
        }
    }
    let mut found = MeanDice { of: datasets.len(), ..MeanDice::default() };
    let mut values = Vec::new();
    for dataset in datasets {
        let is_its =
            |reading: &&Reading| is_of(&reading.planned, row) && reading.planned.cell.asked == *dataset;
        let cells: Vec<&Reading> = readings.iter().filter(is_its).collect();
        let dice: Option<Vec<f64>> = cells.iter().map(|reading| dice(reading)).collect();
        let Some(mean) = dice.as_deref().and_then(stats::mean) else { continue };
        values.push(mean);
        found.done += 1;
        found.images += cells.iter().map(|reading| images(reading)).sum::<usize>();
        let departs = |reading: &&Reading| match &reading.state {
            State::Done(done) => {
                let departures = &chosen.experiment.departures;
                not_the_papers(departures, &reading.planned.cell, &done.train, &done.eval)
            }
            _ => None,
        };
        if let Some(why) = cells.iter().find_map(departs)
            && found.departs.is_empty()
        {
            found.departs = why.to_string();
        }
        let keys = cells.iter().filter_map(|reading| reading.evaluation.as_ref());
        found.keys.extend(keys.map(|preimage| short(&preimage.key().to_string()).to_owned()));
    }
    if found.done == found.of {
        found.value = stats::mean(&values);
    }
    found
}

/// Whether a cell belongs to the row of another: all but dataset and seed is the same.
fn is_of(planned: &PlannedCell, row: &PlannedCell) -> bool {
    planned.cell.model == row.cell.model
        && planned.label == row.label
        && planned.settings == row.settings
        && planned.cell.pretrained == row.cell.pretrained
}

fn images(reading: &Reading) -> usize {
    match &reading.state {
        State::Done(done) => done.eval.averaged(),
        _ => 0,
    }
}

fn dice(reading: &Reading) -> Option<f64> {
    match &reading.state {
        State::Done(done) => done.eval.mean.get(&Metric::Dice).copied().filter(|dice| dice.is_finite()),
        _ => None,
    }
}
