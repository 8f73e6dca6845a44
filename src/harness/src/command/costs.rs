//! What a table of costs is made of: the ledger of each network, the paper's
//! figures, and the mean Dice over the datasets as far as the store has it.

use super::context::{Chosen, Context};
use super::read::{Reading, State};
use super::report::not_the_papers;
use crate::exec::cost;
use crate::exec::local::Local;
use crate::exit::{AtPath, Exit, Failure, OrExit};
use crate::ledger::Ledger;
use crate::metric::Metric;
use crate::spec::name::Named;
use crate::spec::network::{self, Group};
use crate::spec::reported::Reported;
use crate::spec::{DatasetChoice, ModelChoice};
use crate::stats;
use crate::table::PAPER_SIZE;
use crate::table::costs::{CostCard, MeanDice, PaperCost};
use crate::table::results::short;

/// Where the paper prints costs.
const TABLE: u8 = 7;

/// The cards of the selected networks, in the order of the experiment; none
/// for a table of another kind.
pub fn cards(
    context: &Context,
    chosen: &Chosen,
    published: &Reported,
    readings: &[Reading],
) -> Result<Vec<CostCard>, Failure> {
    let experiment = &chosen.experiment;
    if !experiment.table.kind.is_of_costs() {
        return Ok(Vec::new());
    }
    let selected = |choice: &&ModelChoice| {
        readings.iter().any(|reading| {
            reading.planned.cell.model == choice.model && reading.planned.model_label == choice.label
        })
    };
    let models: Vec<&ModelChoice> = experiment.matrix.models().iter().filter(selected).collect();
    let names: Vec<Named> = models.iter().map(|choice| choice.model.clone()).collect();
    let size = experiment.protocol.image.size;
    let ledgers = ledgers(context, &names, size)?;
    let card = |(choice, ledger): (&ModelChoice, Ledger)| CostCard {
        model: choice.model.to_string(),
        label: choice.label.clone(),
        group: network::find(&choice.model.name).map_or(Group::Ours, |network| network.group),
        size,
        parameters: ledger.parameters,
        operations: ledger.operations,
        published: ledger.published,
        differences: ledger.differences,
        paper: if size == PAPER_SIZE { printed(published, &choice.model) } else { None },
        dice: mean_dice(chosen, choice, readings),
    };
    Ok(models.into_iter().zip(ledgers).map(card).collect())
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

/// The mean over the experiment's datasets of the means over its seeds.
fn mean_dice(chosen: &Chosen, model: &ModelChoice, readings: &[Reading]) -> MeanDice {
    let experiment = &chosen.experiment;
    let mut found = MeanDice { of: experiment.matrix.datasets().len(), ..MeanDice::default() };
    let mut values = Vec::new();
    for dataset in experiment.matrix.datasets() {
        let cells: Vec<&Reading> = readings.iter().filter(|reading| is_of(reading, model, dataset)).collect();
        let dice: Option<Vec<f64>> = cells.iter().map(|reading| dice(reading)).collect();
        let Some(mean) = dice.as_deref().and_then(stats::mean) else { continue };
        values.push(mean);
        found.done += 1;
        if let Some(why) = cells.iter().find_map(|reading| not_the_papers(experiment, reading))
            && found.departs.is_empty()
        {
            found.departs = why;
        }
        let keys = cells.iter().filter_map(|reading| reading.evaluation.as_ref());
        found.keys.extend(keys.map(|preimage| short(&preimage.key().to_string()).to_owned()));
    }
    if found.done == found.of {
        found.value = stats::mean(&values);
    }
    found
}

fn is_of(reading: &Reading, model: &ModelChoice, dataset: &DatasetChoice) -> bool {
    let planned = &reading.planned;
    planned.cell.model == model.model
        && planned.model_label == model.label
        && planned.cell.asked == dataset.asked
}

fn dice(reading: &Reading) -> Option<f64> {
    match &reading.state {
        State::Done(done) => done.eval.mean.get(&Metric::Dice).copied().filter(|dice| dice.is_finite()),
        _ => None,
    }
}
