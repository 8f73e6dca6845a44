//! Parts of networks that start from published classifiers: imported from
//! checkpoints, and held against what the classifiers' own modules compute.
//!
//! A checkpoint is written here, under the names of torchvision and timm and
//! with values by rule; where `DYGL_CLASSIFIERS` names a folder, those that
//! torch.save wrote there (`make.py full DIR`) are taken, too. The golden maps
//! are torchvision's and timm's (`make.py outputs`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::arrays::{Array, Arrays, fill, images, read_arrays, write_arrays};
use crate::kept::Kept;
use crate::lab::Lab;
use crate::parity::SEED;

/// Part of a map's largest value by which a value may differ, and of its norm.
/// Rounding alone comes to a fifth of it.
const BOUND: f64 = 4e-6;

type Layouts = BTreeMap<String, BTreeMap<String, Vec<usize>>>;

fn golden<T: for<'a> Deserialize<'a>>(name: &str) -> Result<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/import").join(name);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}

/// The image [1, 3, 224, 224] of the golden maps.
pub fn image() -> Array {
    images(1, [224; 2], SEED)
}

/// Imports the part of `network` for `backbone` from each of its checkpoints
/// and holds the maps that `compute` gives for the imported tensors against
/// the golden ones, all of them.
///
/// # Errors
/// A map is missing, superfluous, or differs; the message names file and map.
pub fn check(network: &str, backbone: &str, compute: impl Fn(&Arrays) -> Arrays) -> Result<()> {
    let case = format!("{network}/{backbone}");
    let kept = golden::<BTreeMap<String, BTreeMap<String, Kept>>>("outputs.json")?;
    let kept = kept.get(&case).with_context(|| format!("make.py computes no {case}"))?;
    let lab = Lab::default();
    for file in checkpoints(&lab, backbone)? {
        let (path, part) = (file.display().to_string(), lab.path().join("part"));
        let arguments = ["--model", network, "--backbone", backbone, "--force", "--output", "part"];
        lab.dygl(&[&["model", "import", &path][..], &arguments].concat()).exits(0);
        let found = compute(&read_arrays(&part)?);
        ensure!(found.keys().eq(kept.keys()), "{case}: {:?} instead of {:?}", found.keys(), kept.keys());
        let mut most = 0.0f64;
        for (name, map) in &found {
            most = most.max(kept[name].difference(map).with_context(|| format!("{case}: {name}"))?);
        }
        ensure!(most <= BOUND, "{case} from {path}: {most:e} of a map's largest value is beyond {BOUND:e}");
        println!("{case} from {}: {most:.1e} / {BOUND:.0e}", file.file_name().unwrap_or_default().display());
    }
    Ok(())
}

/// The files of a classifier: one written here, and those that torch wrote.
fn checkpoints(lab: &Lab, backbone: &str) -> Result<Vec<PathBuf>> {
    let layouts: Layouts = golden("layouts.json")?;
    // timm's own names, where Swin's authors have others.
    let timm = format!("{backbone}.timm");
    let layout = if layouts.contains_key(&timm) { &timm } else { backbone };
    let shapes = layouts.get(layout).with_context(|| format!("make.py knows no {backbone}"))?;
    let written = lab.path().join(format!("{layout}.safetensors"));
    let tensors = shapes.iter().map(|(name, shape)| (name.clone(), fill(name, shape, SEED))).collect();
    write_arrays(&written, &tensors)?;
    let mut files = vec![written];
    match std::env::var_os("DYGL_CLASSIFIERS") {
        Some(folder) => {
            let forms = ["zip", "legacy"].map(|form| format!("{layout}.{form}.pth"));
            files.extend(forms.map(|name| Path::new(&folder).join(name)));
        }
        None => println!("{backbone} as torch.save writes it: skipped: DYGL_CLASSIFIERS is not set"),
    }
    Ok(files)
}
