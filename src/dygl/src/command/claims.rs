//! `dygl audit`: whether the paper agrees with itself.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_exec::local::Local;
use dygl_paper::{Claims, Severity, text};
use dygl_report::table::PAPER_SIZE;
use dygl_spec::embedded;
use dygl_spec::ledger::Ledger;
use dygl_spec::name::Named;
use dygl_spec::project;
use dygl_spec::reported::Reported;
use dygl_spec::source::Origin;

use crate::cli::{Format, PaperAudit};
use crate::command::{self, mistakes};

pub fn audit(arguments: &PaperAudit) -> Result<Exit, Failure> {
    let (origin, numbers) =
        read(arguments.reported.as_deref(), "experiments/reported.toml", embedded::REPORTED)?;
    let reported =
        Reported::parse(&numbers).map_err(|error| Failure::new(Exit::Usage, format!("{origin}: {error}")))?;
    let (origin, sentences) = read(arguments.claims.as_deref(), "experiments/claims.toml", embedded::CLAIMS)?;
    let claims = Claims::parse(origin, &sentences, &reported).map_err(|found| mistakes::refused(&found))?;
    let costs = costs(arguments, &dygl_paper::networks_to_count(&claims, &reported));
    let found =
        dygl_paper::audit(&claims, &reported, costs.as_deref()).map_err(|found| mistakes::refused(&found))?;
    let page = match &arguments.out {
        Some(out) => {
            let generated_by = format!("dygl {}", env!("CARGO_PKG_VERSION"));
            Some(dygl_report::claims::render(&found, out, &generated_by).or_exit(Exit::Environment)?)
        }
        None => None,
    };
    if arguments.common.format == Format::Json {
        command::answer_json(&found)?;
    } else {
        command::answer(&text::text(&found, arguments.all));
        if let Some(page) = page {
            command::answer(&format!("\n{}", page.display()));
        }
    }
    let refuted = found.count(Severity::Contradiction);
    Ok(if arguments.strict && refuted > 0 { Exit::Regressed } else { Exit::Ok })
}

/// The ledgers of the networks that are asked for; without them (no worker) what needs
/// them is told as not checked, and why is said.
fn costs(arguments: &PaperAudit, models: &[Named]) -> Option<Vec<Ledger>> {
    if models.is_empty() {
        return Some(Vec::new());
    }
    let warn =
        |error: &dyn std::fmt::Display| command::note(&format!("warning: no ledger of costs: {error}"));
    let local = Local::beside_this_program().map_err(|failure| warn(&failure.message)).ok()?;
    let found = dygl_exec::cost::ledgers(&local, &arguments.common.store, models, PAPER_SIZE);
    found.map_err(|error| warn(&error)).ok()
}

/// The file that was asked for, else the one at `place` of the project, else the
/// built-in text.
fn read(asked: Option<&Path>, place: &'static str, built_in: &str) -> Result<(Origin, String), Failure> {
    let path = asked.map_or_else(|| project::reach(place), Path::to_owned);
    match fs::read_to_string(&path) {
        Ok(text) => Ok((Origin::File(path), text)),
        Err(error) if asked.is_none() && error.kind() == ErrorKind::NotFound => {
            Ok((Origin::Embedded(place), built_in.to_owned()))
        }
        Err(error) => {
            Err(Failure::new(Exit::Environment, format!("failed to read {}: {error}", path.display())))
        }
    }
}
