//! Runs one measuring process and reads its lines of JSON.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};

use serde_json::Value;

/// What it told, or why it did not, in one line.
pub fn run(mut command: Command) -> Result<Vec<Value>, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |error: &dyn std::fmt::Display| format!("{program} could not be run: {error}");
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| failed(&error))?;
    // Should memory run out, the measured process is to end and not this one.
    // Where the system does not let one say so, nothing is lost.
    let _ = std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), "1000");
    let mut errors = child.stderr.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(pipe) = &mut errors {
            let mut bytes = Vec::new();
            // What was read before an error is told all the same.
            let _ = pipe.read_to_end(&mut bytes);
            text = String::from_utf8_lossy(&bytes).into_owned();
        }
        text
    });
    let output = child.wait_with_output().map_err(|error| failed(&error))?;
    let complaint = reader.join().unwrap_or_default();
    if !output.status.success() {
        return Err(reason(output.status, &complaint));
    }
    let lines = lines(&String::from_utf8_lossy(&output.stdout));
    if lines.is_empty() { Err("it told no figures".into()) } else { Ok(lines) }
}

/// The lines that are objects of JSON; libraries may print others.
fn lines(text: &str) -> Vec<Value> {
    let objects = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    objects.filter(Value::is_object).collect()
}

/// The line of what it complained that says why, or how it ended: that under a
/// panic, that of an error, else the last one, where Python tells.
fn reason(status: ExitStatus, complaint: &str) -> String {
    let line = complaint.lines().rev().map(str::trim).find(|line| !line.is_empty());
    let panic = complaint.lines().skip_while(|line| !line.contains(" panicked at ")).nth(1).map(str::trim);
    let error = complaint.lines().find_map(|line| line.strip_prefix("error: "));
    match (signal(status), panic.or(error).or(line)) {
        (Some(9), _) => "killed (signal 9): the memory of the machine was probably used up".into(),
        (Some(number), None) => format!("ended by signal {number}"),
        (Some(number), Some(line)) => format!("ended by signal {number}: {line}"),
        (None, Some(line)) => line.to_owned(),
        (None, None) => format!("{status}"),
    }
}

fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Vec<Value>, String> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command)
    }

    #[test]
    fn lines_of_json_are_read_among_others() {
        let told = shell("echo hello; echo 7; echo '{\"a\": 1}'; echo '{\"a\": 2}'").expect("told");
        let values: Vec<_> = told.iter().map(|line| line["a"].as_i64()).collect();
        assert_eq!(values, [Some(1), Some(2)]);
    }

    #[test]
    fn a_failure_is_one_line() {
        assert_eq!(shell("echo nothing"), Err("it told no figures".into()));
        assert_eq!(
            shell("echo 'error: no such batch' >&2; echo trace >&2; exit 3"),
            Err("no such batch".into())
        );
        let panic = "echo \"thread 'main' panicked at a.rs:1:1:\" >&2; echo 'index out of bounds' >&2; \
                     echo 'note: run with RUST_BACKTRACE=1' >&2; exit 101";
        assert_eq!(shell(panic), Err("index out of bounds".into()));
        let python = "echo Traceback >&2; echo 'RuntimeError: no memory' >&2; exit 1";
        assert_eq!(shell(python), Err("RuntimeError: no memory".into()));
        assert_eq!(shell("exit 4"), Err("exit status: 4".into()));
        assert!(shell("kill -9 $$").expect_err("killed").contains("memory"));
        assert_eq!(shell("kill -6 $$"), Err("ended by signal 6".into()));
        let absent = run(Command::new("./no-such-program")).expect_err("absent");
        assert!(absent.contains("./no-such-program could not be run"), "{absent}");
    }
}
