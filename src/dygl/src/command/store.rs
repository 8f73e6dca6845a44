//! `dygl store list`, `dygl store verify` and `dygl store unlock`.

use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_store::key::Key;
use dygl_store::{Attempt, Lookup, Store, StoreError};
use serde_json::{Value, json};

use super::progress::human;
use super::show;
use crate::cli::{Common, Format, KeyArgs, StoreVerb};

pub fn store(verb: &StoreVerb) -> Result<Exit, Failure> {
    match verb {
        StoreVerb::List(common) => list(common),
        StoreVerb::Verify(common) => verify(common),
        StoreVerb::Unlock(arguments) => unlock(arguments),
    }
}

fn list(common: &Common) -> Result<Exit, Failure> {
    let store = Store::at(&common.store);
    let mut listed = Vec::new();
    let mut rows =
        vec![["key", "kind", "outcome", "model", "dataset", "seed", "attempts"].map(str::to_owned).to_vec()];
    for key in store.keys().or_exit(Exit::Environment)? {
        let attempts = store.attempts(&key).or_exit(Exit::Environment)?;
        let running = store.holder(&key).or_exit(Exit::Environment)?;
        let shown = shown(&store, &key)?;
        if attempts.is_empty() && running.is_none() {
            continue;
        }
        let record = shown.as_ref().and_then(|(attempt, _)| attempt.read_json::<Value>("record.json").ok());
        let outcome = match (&record, &shown, &running) {
            (_, Some((_, "altered")), _) => "altered".to_owned(),
            (_, Some((_, "conflict")), _) => "conflict".to_owned(),
            (Some(record), ..) => word(&record["outcome"]["kind"]),
            (None, Some(_), _) => "altered".to_owned(),
            (None, None, _) => "running".to_owned(),
        };
        // An altered record says nothing that could be believed.
        let record = record.filter(|_| outcome != "altered").unwrap_or_default();
        let kind = match (record.is_null(), record.get("train_key")) {
            (true, _) => "?",
            (false, Some(_)) => "evaluation",
            (false, None) => "training",
        };
        let cell = &record["cell"];
        let field = |value: &Value| if value.is_null() { "-".to_owned() } else { word(value) };
        rows.push(vec![
            key.short().to_owned(),
            kind.to_owned(),
            outcome.clone(),
            field(&cell["model"]),
            field(&cell["dataset"]),
            field(&cell["seed"]),
            attempts.len().to_string(),
        ]);
        listed.push(json!({
            "key": key, "kind": (kind != "?").then_some(kind), "outcome": outcome, "model": cell["model"],
            "dataset": cell["dataset"], "seed": cell["seed"], "attempts": attempts.len(),
            "running": running.map(|held| held.to_string()),
        }));
    }
    if common.format == Format::Json {
        super::answer_json(&json!({ "results": listed }))?;
    } else {
        super::answer(&super::columns(&rows));
    }
    Ok(Exit::Ok)
}

/// The attempt that `dygl status` would show of a key, and how it stands; none
/// if there is none.
fn shown(store: &Store, key: &Key) -> Result<Option<(Attempt, &'static str)>, Failure> {
    Ok(match store.lookup(key).or_exit(Exit::Environment)? {
        Lookup::Hit(attempt) => Some((attempt, "done")),
        Lookup::Conflict(attempts) => attempts.into_iter().next().map(|attempt| (attempt, "conflict")),
        Lookup::Failed(attempt, _) => Some((attempt, "failed")),
        Lookup::Altered(attempt, _) => Some((attempt, "altered")),
        Lookup::Miss => None,
    })
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Hashes every byte. What was altered is put aside, so that it is missing from
/// then on, and `dygl run` makes it again.
fn verify(common: &Common) -> Result<Exit, Failure> {
    let store = Store::at(&common.store);
    let (mut count, mut lines, mut listed) = (0, Vec::new(), Vec::new());
    let mut exit = Exit::Ok;
    for key in store.keys().or_exit(Exit::Environment)? {
        for attempt in store.attempts(&key).or_exit(Exit::Environment)? {
            count += 1;
            let problems = attempt.verify();
            if problems.is_empty() {
                continue;
            }
            let is_damage = problems.iter().any(dygl_store::Problem::is_damage);
            let (moved, told) = if !is_damage {
                (None, "it cannot be verified; nothing was moved".to_owned())
            } else {
                match store.quarantine(&key, &attempt) {
                    Ok(moved) => {
                        let told = format!("put aside as {}; `dygl run` runs it again", moved.display());
                        (Some(moved), told)
                    }
                    Err(error) => (None, format!("it cannot be put aside: {error}")),
                }
            };
            if exit != Exit::Altered {
                exit = if is_damage { Exit::Altered } else { Exit::Environment };
            }
            for problem in &problems {
                lines.push(format!("{}  {problem}", key.short()));
                listed
                    .push(json!({ "key": key.short(), "problem": problem.to_string(), "put_aside": moved }));
            }
            lines.push(format!("{}  {told}", key.short()));
        }
    }
    if common.format == Format::Json {
        super::answer_json(&json!({ "attempts": count, "problems": listed }))?;
    } else {
        lines.push(format!("{count} attempts, {} problems", listed.len()));
        super::answer(&lines.join("\n"));
    }
    Ok(exit)
}

fn unlock(arguments: &KeyArgs) -> Result<Exit, Failure> {
    let store = Store::at(&arguments.common.store);
    let key = show::find(&store, &arguments.key)?;
    let held = match store.unlock(&key) {
        Err(StoreError::Held { held, .. }) => {
            let text = format!(
                "{held} is at work on {} ({}): stop it first; its claim ends with it",
                key.short(),
                held.file.display()
            );
            return Err(Failure::new(Exit::Usage, text));
        }
        other => other.or_exit(Exit::Environment)?,
    };
    if arguments.common.format == Format::Json {
        let taken = held
            .as_ref()
            .map(|held| json!({ "claim": held.file, "holder": held.holder, "seconds": held.age.as_secs() }));
        super::answer_json(&json!({ "key": key, "taken": taken }))?;
    } else {
        super::answer(&match held {
            None => format!("{}: nobody holds it", key.short()),
            Some(held) => {
                let resumes = match store.epochs_kept(&key) {
                    0 => "`dygl run` begins it anew".to_owned(),
                    epochs => format!("`dygl run` goes on behind epoch {epochs}"),
                };
                format!(
                    "{}: taken from {held}, which held it for {}; {resumes}. If that process is alive after \
                     all, it publishes nothing.",
                    key.short(),
                    human(held.age)
                )
            }
        });
    }
    Ok(Exit::Ok)
}
