//! Every network against its reference implementation. How the fixtures were
//! made and what counts as equal: [`dygl_tests::parity`].
//!
//! The complete fixtures are read from the folder that `DYGL_SHARED` names
//! (skipped if unset); the compact ones are checked in and always hold. Both
//! are held on each device that the worker offers, or on the one that
//! `DYGL_PARITY_DEVICE` names (`make parity`).
//! `DYGL_BLESS=1` with `DYGL_SHARED` rewrites the compact ones.

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use dygl_tests::lab;
use dygl_tests::parity::{self, Deviation, Fixture};

/// Fixture and the worker's `--model`.
const FIXTURES: &[(&str, &str)] = &[
    ("unet_p0", "unet"),
    ("unet", "unet,variant=table-exact"),
    ("missformer", "missformer"),
    ("h2former", "h2former"),
    ("dyglnet", "dyglnet"),
    ("dyglnet_bi", "dyglnet,upsample=bilinear"),
    ("dyglnet_tconv", "dyglnet,upsample=transposed"),
    ("dyglnet_wo_dyt", "dyglnet,norm=group"),
    ("dyglnet_wo_dc", "dyglnet,local=none"),
    ("dyglnet_wo_sa", "dyglnet,global=none"),
    ("dyglnet_split_dc", "dyglnet,split=local"),
    ("dyglnet_split_sa", "dyglnet,split=global"),
];

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/parity").join(format!("{name}.json"))
}

/// Runs of the worker on each device, held against both forms of the fixture.
fn check(name: &str) -> Result<()> {
    let model = FIXTURES.iter().find(|(fixture, _)| *fixture == name).map_or(name, |(_, model)| model);
    let compact = Fixture::from_json(&serde_json::from_str(&fs::read_to_string(golden(name))?)?)?;
    let complete = match env::var_os("DYGL_SHARED") {
        Some(shared) => Some(Fixture::read(&PathBuf::from(shared), name)?),
        None => {
            println!("{name}, complete: skipped: DYGL_SHARED is not set");
            None
        }
    };
    let devices = match env::var("DYGL_PARITY_DEVICE") {
        Ok(device) if !device.is_empty() => vec![device],
        _ => lab::devices(),
    };
    for device in devices {
        let outcome = parity::run(&parity::worker()?, name, model, &device)?;
        let deviation = parity::compare(&compact, &outcome)?;
        println!("{}", line(name, &device, "compact", &deviation, &compact));
        if let Some(complete) = &complete {
            let deviation = parity::compare(complete, &outcome)?;
            println!("{}", line(name, &device, "complete", &deviation, complete));
        }
    }
    Ok(())
}

/// One row of the table of differences; each stands before its bound.
fn line(name: &str, device: &str, form: &str, found: &Deviation, fixture: &Fixture) -> String {
    let bounds = fixture.bounds;
    format!(
        "parity {name:17} {device:8} {form:9} eval {:.1e} / {:.1e}  train {:.1e} / {:.1e}  loss {:.1e} / {:.0e}  \
         gradients {:.1e} / {:.1e}, {} of {} beyond {:.1e}",
        found.eval,
        bounds.eval,
        found.train,
        bounds.train,
        found.loss,
        bounds.loss,
        found.gradient,
        bounds.all,
        found.beyond,
        fixture.norms.len(),
        bounds.most,
    )
}

#[test]
fn unet_published() -> Result<()> {
    check("unet_p0")
}

#[test]
fn unet_table_exact() -> Result<()> {
    check("unet")
}

#[test]
fn missformer() -> Result<()> {
    check("missformer")
}

#[test]
fn h2former() -> Result<()> {
    check("h2former")
}

#[test]
fn dyglnet() -> Result<()> {
    check("dyglnet")
}

#[test]
fn dyglnet_bilinear() -> Result<()> {
    check("dyglnet_bi")
}

#[test]
fn dyglnet_transposed() -> Result<()> {
    check("dyglnet_tconv")
}

#[test]
fn dyglnet_without_dyt() -> Result<()> {
    check("dyglnet_wo_dyt")
}

#[test]
fn dyglnet_without_dilated_convolutions() -> Result<()> {
    check("dyglnet_wo_dc")
}

#[test]
fn dyglnet_without_attention() -> Result<()> {
    check("dyglnet_wo_sa")
}

#[test]
fn dyglnet_split_local() -> Result<()> {
    check("dyglnet_split_dc")
}

#[test]
fn dyglnet_split_global() -> Result<()> {
    check("dyglnet_split_sa")
}

#[test]
fn compact_fixtures_are_facts_of_the_complete_ones() -> Result<()> {
    let Some(shared) = env::var_os("DYGL_SHARED") else {
        println!("skipped: DYGL_SHARED is not set");
        return Ok(());
    };
    for (name, _) in FIXTURES {
        let compact = Fixture::read(&PathBuf::from(&shared), name)?.thin().to_json();
        let text = serde_json::to_string_pretty(&compact)? + "\n";
        if env::var_os("DYGL_BLESS").is_some() {
            fs::create_dir_all(golden(name).with_file_name(""))?;
            fs::write(golden(name), text)?;
        } else {
            assert_eq!(fs::read_to_string(golden(name))?, text, "{name}");
        }
    }
    Ok(())
}

#[test]
fn the_fill_rule_gives_the_published_values() {
    assert_eq!(parity::fnv1a64("input"), 0x1ebb_ae8f_5810_b65b);
    let first: Vec<f32> = (0..4).map(|index| parity::unit("input", index, 1)).collect();
    assert_eq!(first, [0.038_080_93, 0.712_630_5, 0.035_764_456, -0.584_881_9]);
}

#[test]
fn the_fill_rule_tells_kinds_by_the_last_component() {
    let value = |name: &str, shape: &[usize]| parity::fill(name, shape, 1).values[0];
    let unit = |name: &str| parity::unit(name, 0, 1);
    assert_eq!(value("a.running_mean", &[4]), 0.1 * unit("a.running_mean"));
    assert_eq!(value("a.running_var", &[4]), 1.0 + 0.5 * unit("a.running_var"));
    assert_eq!(value("relative_position_bias_table", &[4, 4]), 0.1 * unit("relative_position_bias_table"));
    assert_eq!(value("bias.weight", &[4]), 1.0 + 0.2 * unit("bias.weight"));
    assert_eq!(value("c.weight", &[2, 3, 5, 5]), (0.04f64.sqrt() as f32) * unit("c.weight"));
}

#[test]
fn arrays_round_trip() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("x");
    let arrays = parity::Arrays::from([("a".into(), parity::fill("a", &[2, 3], 1))]);
    parity::write_arrays(&path, &arrays)?;
    assert_eq!(parity::read_arrays(&path)?, arrays);
    Ok(())
}
