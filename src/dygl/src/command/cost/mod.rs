//! `dygl cost`: what networks cost, by the paper's convention and truly, and
//! measured on this machine.

mod measured;
mod memory;

use dygl_base::exit::{AtPath, Exit, Failure, OrExit};
use dygl_exec::cost;
use dygl_exec::local::Local;
use dygl_spec::ledger::{Ledger, Size};
use dygl_spec::name::Named;
use dygl_spec::network::{self, NETWORKS};

use crate::cli::{Cost, Format};

/// Images at once of a measured training step unless `--batch` says otherwise.
const MEASURED_BATCH: usize = 2;

pub fn cost(arguments: &Cost) -> Result<Exit, Failure> {
    let models = models(&arguments.models, arguments.size)?;
    let batch = arguments.batch.unwrap_or(if arguments.measure { MEASURED_BATCH } else { 1 });
    let local = Local::beside_this_program()?;
    let store = &arguments.common.store;
    std::fs::create_dir_all(store).at("make the folder", store)?;
    // A device that is not there is told before minutes have passed.
    let device = if arguments.measure { Some(measured::choose(&local, arguments)?) } else { None };
    let ledgers =
        cost::ledgers_of_batch(&local, store, &models, arguments.size, batch).or_exit(Exit::Environment)?;
    let measured = device.map(|device| measured::measure(&local, &models, arguments, batch, &device));
    let (found, failed) = measured.map_or((None, 0), |(found, failed)| (Some(found), failed));
    let exit = if failed > 0 { Exit::Failed } else { Exit::Ok };
    if arguments.common.format == Format::Json {
        let mut listed = serde_json::json!(ledgers);
        if !arguments.layers {
            for ledger in listed.as_array_mut().into_iter().flatten() {
                ledger.as_object_mut().map(|ledger| ledger.remove("layers"));
            }
        }
        let mut answer = serde_json::json!({ "ledgers": listed });
        if let (Some(found), Some(answer)) = (&found, answer.as_object_mut()) {
            answer.insert("measured".into(), serde_json::json!(found));
        }
        super::answer_json(&answer)?;
        return Ok(exit);
    }
    super::answer(&overview(&ledgers));
    // A few networks are told of one by one.
    if arguments.layers || !arguments.models.is_empty() {
        for ledger in &ledgers {
            super::answer(&format!("\n{}", account(ledger, arguments.layers)));
        }
    }
    if let Some(found) = &found {
        super::answer(&format!("\n{}", measured::text(found, &ledgers)));
    }
    Ok(exit)
}

/// The networks asked for, all mistakes at once; without any, every network that takes
/// images of that size.
fn models(asked: &[String], size: Size) -> Result<Vec<Named>, Failure> {
    if asked.is_empty() {
        return every(size);
    }
    let mut mistakes = Vec::new();
    let mut models = Vec::new();
    for text in asked {
        let named = match Named::parse(text) {
            Ok(named) => named,
            Err(error) => {
                mistakes.push(format!("`{text}`: {error}"));
                continue;
            }
        };
        match network::resolve(&named) {
            Ok((network, named)) => match network.check_sides(size.sides()) {
                Ok(()) => models.push(named),
                Err(error) => mistakes.push(error.to_string()),
            },
            Err(error) => mistakes.push(format!("{error}; there is: {}", error.candidates().join(", "))),
        }
    }
    if mistakes.is_empty() { Ok(models) } else { Err(Failure::new(Exit::Usage, mistakes.join("\n"))) }
}

/// Every network, but for those that cannot take such images: they are named.
fn every(size: Size) -> Result<Vec<Named>, Failure> {
    let mut models = Vec::new();
    let mut refused = Vec::new();
    for network in NETWORKS {
        match network.check_sides(size.sides()) {
            Ok(()) => models.push(Named::plain(network.name)),
            Err(error) => refused.push(error.to_string()),
        }
    }
    if models.is_empty() {
        return Err(Failure::new(Exit::Usage, refused.join("\n")));
    }
    refused.iter().for_each(|why| super::note(&format!("note: left out: {why}")));
    Ok(models)
}

fn overview(ledgers: &[Ledger]) -> String {
    let heading = [
        "model",
        "parameters",
        "as published",
        "operations",
        "as published",
        "fvcore",
        "inference",
        "training step",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(ledgers.iter().map(|ledger| {
        vec![
            ledger.model.clone(),
            millions(ledger.parameters),
            millions(ledger.published.parameters),
            billions(ledger.operations),
            billions(ledger.published.operations),
            billions(ledger.fvcore),
            memory::mebibytes(ledger.memory.weights + ledger.memory.inference),
            memory::mebibytes(ledger.memory.training()),
        ]
    }));
    let (size, batch) =
        ledgers.first().map_or((Size::default(), 1), |ledger| (ledger.size, ledger.memory.batch));
    format!(
        "{}Multiply-accumulates of one image of {} px. \"As published\" is the counter behind the\n\
         paper's Table 7 (thop 0.1.1), with its errors; `dygl cost MODEL` says where the two part. The last two\n\
         columns are the memory that a pass of {} must hold, weights included, without the workspace of kernels.\n",
        super::columns(&rows),
        size.words(),
        memory::images(batch)
    )
}

/// What one network costs, by kind and, if asked for, by layer.
fn account(ledger: &Ledger, layers: bool) -> String {
    let mut text = format!("{} at {} px\n", ledger.model, ledger.size);
    let heading = ["kind", "calls", "operations", "as published"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(ledger.by_kind.iter().map(|kind| {
        vec![
            kind.kind.clone(),
            kind.calls.to_string(),
            grouped(kind.operations as i64),
            grouped(kind.published as i64),
        ]
    }));
    let (operations, published) = (ledger.operations as i64, ledger.published.operations as i64);
    rows.push(vec!["all".into(), String::new(), grouped(operations), grouped(published)]);
    text.push_str(&super::columns(&rows));
    let heading = ["from true to published", "operations", "parameters"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.push(vec!["true".into(), grouped(operations), grouped(ledger.parameters as i64)]);
    rows.extend(ledger.differences.iter().map(|difference| {
        let what = format!("{}: {}", difference.kind.words(), difference.what);
        vec![what, signed(difference.operations), signed(difference.parameters)]
    }));
    rows.push(vec!["published".into(), grouped(published), grouped(ledger.published.parameters as i64)]);
    text.push('\n');
    text.push_str(&super::columns(&rows));
    text.push('\n');
    text.push_str(&memory::text(&ledger.memory));
    if layers {
        let heading = ["layer", "kind", "input", "output", "parameters", "operations", "as published", ""];
        let mut rows = vec![heading.map(str::to_owned).to_vec()];
        rows.extend(ledger.layers.iter().map(|layer| {
            vec![
                layer.name.clone(),
                layer.kind.clone(),
                shape(&layer.input),
                shape(&layer.output),
                grouped(layer.parameters as i64),
                grouped(layer.operations as i64),
                grouped(layer.published as i64),
                if layer.standing == "live" { String::new() } else { layer.standing.clone() },
            ]
        }));
        text.push('\n');
        text.push_str(&super::columns(&rows));
    }
    text
}

fn shape(sides: &[usize]) -> String {
    sides.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

fn millions(count: u64) -> String {
    format!("{:.2} M", count as f64 / 1e6)
}

fn billions(count: u64) -> String {
    format!("{:.2} G", count as f64 / 1e9)
}

/// 1234567 as 1,234,567.
fn grouped(count: i64) -> String {
    let digits = count.unsigned_abs().to_string();
    let mut text = String::from(if count < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn signed(count: i64) -> String {
    match count {
        0 => String::new(),
        _ if count > 0 => format!("+{}", grouped(count)),
        _ => grouped(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_in_thousands() {
        assert_eq!(
            ["0", "999", "1,000", "-12,345,678"],
            [0, 999, 1000, -12_345_678].map(grouped).each_ref().map(String::as_str)
        );
        assert_eq!([signed(0), signed(5), signed(-5)], ["", "+5", "-5"]);
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let asked = ["unett", "dyglnet,norm=x", "dyglnet"].map(str::to_owned);
        let failure = models(&asked, 100.into()).expect_err("three mistakes");
        assert_eq!(failure.message.lines().count(), 3, "{}", failure.message);
        assert!(failure.message.contains("the nearest valid size is 96"), "{}", failure.message);
        let wide = Size { width: 320, height: 224 };
        let asked = ["swin_unet", "unet"].map(str::to_owned);
        let failure = models(&asked, wide).expect_err("no square");
        assert_eq!(failure.message, "`swin_unet` takes square images alone, not 320 x 224 px");
        let others: Vec<String> = every(wide).expect("most").iter().map(Named::to_string).collect();
        assert!(
            others.contains(&"unet".to_owned()) && !others.contains(&"swin_unet".to_owned()),
            "{others:?}"
        );
    }
}
