//! `dygl show` and `dygl logs`: what the store knows of a key.

use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_report::table::results::{PAGES, short};
use dygl_store::key::{Key, numerics};
use dygl_store::{Problem, Store};
use serde_json::{Value, json};

use crate::cli::{Format, KeyArgs};

/// The one key that starts with the given digits.
pub fn find(store: &Store, digits: &str) -> Result<Key, Failure> {
    if digits.len() < 4 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Failure::new(Exit::Usage, format!("`{digits}` is no key: give 4 hex digits or more")));
    }
    let mut keys = store.keys_with_prefix(&digits.to_lowercase()).or_exit(Exit::Environment)?;
    match keys.len() {
        0 => Err(Failure::new(
            Exit::Missing,
            format!("no result {digits} in {}; `dygl store list` shows all", store.root().display()),
        )),
        1 => Ok(keys.remove(0)),
        count => {
            Err(Failure::new(Exit::Usage, format!("{count} keys start with {digits}; give more digits")))
        }
    }
}

pub fn show(arguments: &KeyArgs) -> Result<Exit, Failure> {
    let store = Store::at(&arguments.common.store);
    let key = find(&store, &arguments.key)?;
    let mut altered = false;
    let holder = store.holder(&key).or_exit(Exit::Environment)?;
    let mut attempts = Vec::new();
    for attempt in store.attempts(&key).or_exit(Exit::Environment)? {
        let problems: Vec<String> = attempt.verify().iter().map(ToString::to_string).collect();
        altered |= !problems.is_empty();
        let record = if problems.is_empty() { attempt.read_json::<Value>("record.json").ok() } else { None };
        let preimage = if problems.is_empty() { attempt.read_json::<Value>("key.json").ok() } else { None };
        let class = record.as_ref().and_then(|record| record["provenance"]["numerics"].as_str());
        attempts.push(json!({
            "attempt": attempt.digest(), "folder": attempt.folder(), "verified": problems.is_empty(),
            "problems": problems, "arithmetic": class.map(numerics::words), "record": record, "key": preimage,
        }));
    }
    let page = attempts.iter().find_map(|attempt| page(&key, &attempt["record"]));
    let claim = holder.as_ref().map(|held| {
        json!({
            "file": held.file, "holder": held.holder, "seconds": held.age.as_secs(),
            "lives_here": held.lives_here,
        })
    });
    let all = json!({ "key": key, "attempts": attempts, "page": page, "claim": claim });
    if arguments.common.format == Format::Json {
        super::answer_json(&all)?;
    } else {
        let mut text = describe(&key, page.as_deref(), &attempts);
        if let Some(held) = &holder {
            let since = super::progress::human(held.age);
            let file = held.file.display();
            text.push_str(&format!("under way: {held} has been at work on it for {since} ({file})\n"));
        }
        super::answer(&text);
    }
    Ok(if altered {
        Exit::Altered
    } else if attempts.is_empty() {
        Exit::Missing
    } else {
        Exit::Ok
    })
}

/// Where reports tell of a result: an evaluation, or a run that ended without one.
fn page(key: &Key, record: &Value) -> Option<String> {
    let told =
        record["train_key"].is_string() || record["outcome"]["kind"].as_str().is_some_and(|k| k != "done");
    told.then(|| format!("{PAGES}/{}.html", short(key.as_str())))
}

fn describe(key: &Key, page: Option<&str>, attempts: &[Value]) -> String {
    let mut text = format!("key {key}\n");
    if let Some(page) = page {
        text.push_str(&format!("page {page} in the report of each experiment that shows it\n"));
    }
    for attempt in attempts {
        let verified = if attempt["verified"] == true { "verified" } else { "ALTERED" };
        text.push_str(&format!("attempt {} ({verified})\n", plain(&attempt["attempt"])));
        text.push_str(&format!("  folder {}\n", plain(&attempt["folder"])));
        for problem in attempt["problems"].as_array().into_iter().flatten() {
            text.push_str(&format!("  {}\n", plain(problem)));
        }
        for part in ["arithmetic", "record", "key"] {
            leaves(part, &attempt[part], &mut text);
        }
    }
    text
}

/// One line for each leaf: `record.provenance.commit  1234`.
fn leaves(name: &str, value: &Value, text: &mut String) {
    match value {
        Value::Null => {}
        Value::Object(entries) => {
            for (key, entry) in entries {
                leaves(&format!("{name}.{key}"), entry, text);
            }
        }
        other => text.push_str(&format!("  {name}  {}\n", plain(other))),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub fn logs(arguments: &KeyArgs) -> Result<Exit, Failure> {
    let store = Store::at(&arguments.common.store);
    let key = find(&store, &arguments.key)?;
    let mut text = String::new();
    let mut exit = Exit::Ok;
    for attempt in store.attempts(&key).or_exit(Exit::Environment)? {
        text.push_str(&format!("== attempt {}\n", attempt.short()));
        for name in ["log.txt", "events.jsonl"] {
            match attempt.read(name) {
                Ok(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
                // Not every stage leaves both.
                Err(Problem::Unlisted(_)) => {}
                Err(problem) => {
                    super::note(&problem.to_string());
                    exit = if problem.is_damage() { Exit::Altered } else { Exit::Environment };
                }
            }
        }
    }
    for work in store.work_folders(&key) {
        for name in ["log.txt", "events.jsonl"] {
            if let Ok(log) = std::fs::read(work.join(name)) {
                let log = String::from_utf8_lossy(&log);
                text.push_str(&format!("== under way: {}\n{log}", work.join(name).display()));
            }
        }
    }
    super::answer(&text);
    Ok(exit)
}
