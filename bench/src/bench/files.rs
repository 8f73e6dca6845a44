//! Results on disk: whole or not at all.

use std::path::Path;

use anyhow::{Context, Result};
use dygl_base::atomic;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes a text, making its folder.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let attempt = || -> std::io::Result<()> {
        std::fs::create_dir_all(atomic::folder_of(path))?;
        atomic::write(path, text.as_bytes())
    };
    attempt().with_context(|| format!("failed to write {}", path.display()))
}

/// Writes a value as JSON, indented.
///
/// # Errors
/// The file cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    write(path, &(serde_json::to_string_pretty(value)? + "\n"))
}

/// Reads what [`write_json`] wrote; `command` makes it.
///
/// # Errors
/// There is no such file, or it is of another form.
pub fn read_json<T: DeserializeOwned>(path: &Path, command: &str) -> Result<T> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("failed to read {}; `{command}` writes it", path.display()))?;
    serde_json::from_str(&text).with_context(|| {
        format!("failed to read {}: of another form; `{command}` writes it anew", path.display())
    })
}
