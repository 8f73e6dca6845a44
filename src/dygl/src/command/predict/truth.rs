//! The true masks of a prediction, held against their rule before anything is
//! predicted.

use std::path::Path;

use dygl_base::exit::{Exit, Failure};
use dygl_exec::predict::Picture;
use dygl_pixels::mask::{self, Case, Found, MaskRule};
use rayon::prelude::*;

use super::super::note;

/// Looks at every true mask. One that cannot be read fails with its image, later.
///
/// # Errors
/// Exit 2 where the rule does not fit the masks; the text names their values and a
/// rule that does.
pub(super) fn check(pictures: &[Picture], rule: MaskRule) -> Result<(), Failure> {
    let look = |path: &Path| -> Option<(String, Found)> {
        let bytes = std::fs::read(path).ok()?;
        let look = mask::look(&bytes, path, rule).ok()?;
        Some((path.display().to_string(), look.found))
    };
    let looked: Vec<(String, Found)> =
        pictures.par_iter().filter_map(|picture| look(picture.truth.as_deref()?)).collect();
    let cases: Vec<Case<'_>> =
        looked.iter().map(|(file, found)| Case { file, found, left_out: false }).collect();
    let mut refused = Vec::new();
    // How much is marked is nobody's business here.
    for sign in mask::signs(rule, &cases, true) {
        let message = sign.on_command_line();
        if sign.is_certain && !sign.is_uniform {
            refused.push(message);
        } else {
            note(&format!("warning: {message}"));
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(Failure::new(Exit::Usage, refused.join("\n"))) }
}
