//! The same bits everywhere: what the worker computes on flex, held against
//! digests that are checked in, with every level of vectors that this processor
//! has and any number of threads. `make portability` does the same on emulated
//! processors.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use dygl_nn::vector::{Level, VARIABLE};
use dygl_tests::lab::program;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/bits.txt")
}

/// The worker's verb, on a level and with a number of threads.
fn bits(level: Level, threads: usize, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("dygl-worker"));
    command.arg("bits").args(arguments).env(VARIABLE, level.name());
    command.env("RAYON_NUM_THREADS", threads.to_string());
    command
}

/// Runs it; gives what it told.
fn told(mut command: Command) -> Result<String> {
    let output = command.output().context("the worker does not start")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Holds it against the digests that are checked in.
fn hold(level: Level, threads: usize, arguments: &[&str]) -> Result<()> {
    let golden = golden();
    let golden = golden.to_str().context("path")?;
    let told = told(bits(level, threads, &[arguments, &["--against", golden]].concat()))?;
    println!("{}, {threads} threads: {} digests", level.name(), told.lines().count());
    Ok(())
}

/// The networks whose place in the list has this remainder by two.
fn half(remainder: usize) -> Vec<String> {
    let each = dygl_train::bits::variants().into_iter().enumerate();
    each.filter(|(index, _)| index % 2 == remainder).map(|(_, model)| model).collect()
}

/// With `DYGL_BLESS=1` the digests are written anew.
#[test]
fn every_network_with_every_option_computes_the_golden_bits() -> Result<()> {
    if std::env::var_os("DYGL_BLESS").is_some() {
        std::fs::write(golden(), told(bits(Level::widest(), 2, &[]))?)?;
        return Ok(());
    }
    let run = |remainder: usize| {
        let models = half(remainder);
        let mut arguments: Vec<&str> = models.iter().flat_map(|model| ["--model", model.as_str()]).collect();
        if remainder > 0 {
            arguments.push("--no-operations");
        }
        hold(Level::widest(), 1, &arguments)
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| run(1));
        run(0)?;
        other.join().expect("no panic")
    })
}

#[test]
fn the_golden_file_names_every_network_and_nothing_else() -> Result<()> {
    let text = std::fs::read_to_string(golden())?;
    let mut named: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("net ")?.split(' ').next()).collect();
    named.dedup();
    assert_eq!(named, dygl_train::bits::variants());
    Ok(())
}

#[test]
fn every_level_of_vectors_computes_the_golden_bits() -> Result<()> {
    for level in Level::available() {
        let models = ["--model", "unet", "--model", "dyglnet", "--model", "swin_unet", "--precision", "f32"];
        hold(level, 2, if level == Level::Scalar { &models[2..4] } else { &models })?;
    }
    Ok(())
}

#[test]
fn any_number_of_threads_computes_the_golden_bits() -> Result<()> {
    let models = ["--model", "dyglnet", "--model", "missformer", "--precision", "f32"];
    [1, 2, 3, 8].into_iter().try_for_each(|threads| hold(Level::widest(), threads, &models))
}

#[test]
fn the_first_value_that_differs_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let other = folder.path().join("bits.txt");
    let text = std::fs::read_to_string(golden())?;
    let (before, after) = text.split_once("net unet f32 loss ").context("a line of U-Net")?;
    std::fs::write(&other, format!("{before}net unet f32 loss 0{}", &after[1..]))?;
    let path = other.to_str().context("path")?;
    let arguments = ["--model", "unet", "--precision", "f32", "--no-operations", "--against", path];
    let output = bits(Level::widest(), 2, &arguments).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{error}");
    assert!(error.contains("`net unet f32 loss`") && error.contains(Level::widest().name()), "{error}");
    Ok(())
}

#[test]
fn a_level_that_is_not_there_is_refused() -> Result<()> {
    let output = Command::new(program("dygl-worker")).arg("bits").env(VARIABLE, "avx1024").output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(error.contains("DYGL_SIMD=avx1024") && error.contains("scalar"), "{error}");
    Ok(())
}
