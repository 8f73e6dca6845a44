//! `dygl model`: what networks there are; forward passes and imports by the worker.

use std::process::Command;

use dygl_base::exit::{AtPath, Exit, Failure};
use dygl_exec::ENVIRONMENT;
use dygl_exec::local::Local;
use dygl_spec::network::{NETWORKS, Values};
use serde_json::json;

use crate::cli::{Format, Model};

pub fn model(verb: &Model) -> Result<Exit, Failure> {
    match verb {
        Model::List(common) if common.format == Format::Json => {
            let listed: Vec<_> = NETWORKS
                .iter()
                .map(|network| {
                    let options: Vec<_> = network
                        .options
                        .iter()
                        .map(|option| match option.values {
                            Values::Words(words) => json!({ "name": option.name, "values": words }),
                            Values::Rate(default) => json!({ "name": option.name, "rate": default }),
                        })
                        .collect();
                    json!({
                        "name": network.name, "label": network.label, "group": network.group, "options": options,
                        "size_multiple": network.size_multiple, "size_min": network.size_min,
                        "square": network.square,
                    })
                })
                .collect();
            super::answer_json(&json!({ "networks": listed }))?;
            Ok(Exit::Ok)
        }
        Model::List(_) => {
            let mut rows =
                vec![["name", "group", "sizes", "options (default first)"].map(str::to_owned).to_vec()];
            for network in NETWORKS {
                let options: Vec<String> = network
                    .options
                    .iter()
                    .map(|option| match option.values {
                        Values::Words(words) => format!("{}={}", option.name, words.join("|")),
                        Values::Rate(default) => format!("{}={default}|0..1", option.name),
                    })
                    .collect();
                let sizes = match network.size_multiple {
                    1 => format!("from {}", network.size_min),
                    n => format!("multiples of {n} from {}", network.size_min),
                };
                rows.push(vec![network.name.into(), network.group.label().into(), sizes, options.join(" ")]);
            }
            super::answer(&super::columns(&rows));
            Ok(Exit::Ok)
        }
        Model::Forward { arguments } => hand_over("forward", arguments),
        Model::Import { arguments } => hand_over("import", arguments),
    }
}

/// Hands over to the worker: same arguments, same output, same exit code.
fn hand_over(verb: &str, arguments: &[String]) -> Result<Exit, Failure> {
    let local = Local::beside_this_program()?;
    let status = Command::new(local.worker())
        .arg(verb)
        .args(arguments)
        .envs(ENVIRONMENT)
        .status()
        .at("start", local.worker())?;
    Ok(match status.code() {
        Some(0) => Exit::Ok,
        Some(2) => Exit::Usage,
        // 127: the loader did not find libtorch, and said so.
        Some(3 | 127) => Exit::Environment,
        Some(5) => Exit::Altered,
        Some(130) => Exit::Interrupted,
        _ => Exit::Failed,
    })
}
