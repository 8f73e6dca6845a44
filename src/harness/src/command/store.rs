//! `dygl store list` and `dygl store verify`.

use serde_json::{Value, json};

use crate::cli::{Common, Format, StoreVerb};
use crate::exit::{Exit, Failure, OrExit};
use crate::store::{Lookup, Store};

pub fn store(verb: &StoreVerb) -> Result<Exit, Failure> {
    match verb {
        StoreVerb::List(common) => list(common),
        StoreVerb::Verify(common) => verify(common),
    }
}

fn list(common: &Common) -> Result<Exit, Failure> {
    let store = Store::at(&common.store);
    let mut listed = Vec::new();
    let mut rows =
        vec![["key", "kind", "outcome", "model", "dataset", "seed", "attempts"].map(str::to_owned).to_vec()];
    for key in store.keys().or_exit(Exit::Environment)? {
        let attempts = store.attempts(&key).or_exit(Exit::Environment)?;
        // The attempt that every other verb would take.
        let (shown, is_conflict) = match store.lookup(&key).or_exit(Exit::Environment)? {
            Lookup::Hit(attempt) | Lookup::Failed(attempt, _) => {
                (attempt.read_json::<Value>("record.json"), false)
            }
            Lookup::Conflict(all) => {
                let Some(first) = all.first() else { continue };
                (first.read_json("record.json"), true)
            }
            Lookup::Altered(_, problem) => (Err(problem), false),
            Lookup::Miss => continue,
        };
        let Ok(mut record) = shown else {
            rows.push(vec![key.short().to_owned(), "?".into(), "altered".into()]);
            listed.push(json!({ "key": key, "outcome": "altered" }));
            continue;
        };
        if is_conflict {
            record["outcome"]["kind"] = "conflict".into();
        }
        let kind = if record.get("train_key").is_some() { "evaluation" } else { "training" };
        let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let cell = &record["cell"];
        rows.push(vec![
            key.short().to_owned(),
            kind.to_owned(),
            word(&record["outcome"]["kind"]),
            word(&cell["model"]),
            word(&cell["dataset"]),
            word(&cell["seed"]),
            attempts.len().to_string(),
        ]);
        listed.push(json!({
            "key": key, "kind": kind, "outcome": record["outcome"]["kind"], "model": cell["model"],
            "dataset": cell["dataset"], "seed": cell["seed"], "attempts": attempts.len(),
        }));
    }
    if common.format == Format::Json {
        super::answer_json(&json!({ "results": listed }))?;
    } else {
        super::answer(&super::columns(&rows));
    }
    Ok(Exit::Ok)
}

fn verify(common: &Common) -> Result<Exit, Failure> {
    let store = Store::at(&common.store);
    let mut problems = Vec::new();
    let mut count = 0;
    for key in store.keys().or_exit(Exit::Environment)? {
        for attempt in store.attempts(&key).or_exit(Exit::Environment)? {
            count += 1;
            problems.extend(attempt.verify().iter().map(|p| (key.short().to_owned(), p.to_string())));
        }
    }
    if common.format == Format::Json {
        let listed: Vec<_> = problems.iter().map(|(key, p)| json!({ "key": key, "problem": p })).collect();
        super::answer_json(&json!({ "attempts": count, "problems": listed }))?;
    } else {
        for (key, problem) in &problems {
            super::answer(&format!("{key}  {problem}"));
        }
        super::answer(&format!("{count} attempts, {} problems", problems.len()));
    }
    Ok(if problems.is_empty() { Exit::Ok } else { Exit::Altered })
}
