//! Tensors on the host: made by rule from their names, and kept in files of
//! safetensors.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

/// Images per batch of a fixture.
const BATCH: usize = 2;
/// Side of its images, pixels.
const SIDE: usize = 224;

/// A tensor on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Sizes of the dimensions, outermost first.
    pub shape: Vec<usize>,
    /// All values, the last dimension running fastest.
    pub values: Vec<f32>,
}

/// Tensors by name.
pub type Arrays = BTreeMap<String, Array>;

/// FNV-1a, 64 bit.
pub fn fnv1a64(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Number `index` of the stream of a name: uniform in [-1, 1), exact in f32.
pub fn unit(name: &str, index: usize, seed: u64) -> f32 {
    at(start(name, seed), index)
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Where the stream of a name begins.
fn start(name: &str, seed: u64) -> u64 {
    fnv1a64(name) ^ seed.wrapping_mul(GOLDEN)
}

fn at(start: u64, index: usize) -> f32 {
    let mut z = start.wrapping_add((index as u64).wrapping_mul(GOLDEN)).wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    ((z >> 40) as f64 / f64::from(1u32 << 23) - 1.0) as f32
}

/// The value of a weight or running statistic by its name and shape: one f32
/// product with a constant rounded once, then at most one f32 sum.
pub fn fill(name: &str, shape: &[usize], seed: u64) -> Array {
    let last = name.rsplit('.').next().unwrap_or(name);
    let (base, factor) = match last {
        "running_mean" => (0.0, 0.1),
        "running_var" => (1.0, 0.5),
        _ if last.contains("bias") => (0.0, 0.1),
        _ if shape.len() >= 2 => {
            let fan_in: usize = shape[1..].iter().product();
            (0.0, (3.0 / fan_in as f64).sqrt())
        }
        _ => (1.0, 0.2),
    };
    generate(name, shape, seed, |u| base + factor as f32 * u)
}

/// The input [2, 3, 224, 224]: 2u.
pub fn input(seed: u64) -> Array {
    images(BATCH, [SIDE; 2], seed)
}

/// Input of that many images of a height and width, by the same rule.
pub fn images(batch: usize, [height, width]: [usize; 2], seed: u64) -> Array {
    generate("input", &[batch, 3, height, width], seed, |u| 2.0 * u)
}

/// Tokens [1, N, C] of a map: 2u.
pub fn tokens(count: usize, features: usize, seed: u64) -> Array {
    generate("tokens", &[1, count, features], seed, |u| 2.0 * u)
}

/// The target [2, 1, 224, 224]: 1 where u > 0.3.
pub fn target(seed: u64) -> Array {
    masks(BATCH, [SIDE; 2], seed)
}

/// Target of that many images of a height and width, by the same rule.
pub fn masks(batch: usize, [height, width]: [usize; 2], seed: u64) -> Array {
    generate("target", &[batch, 1, height, width], seed, |u| if u > 0.3 { 1.0 } else { 0.0 })
}

fn generate(name: &str, shape: &[usize], seed: u64, value: impl Fn(f32) -> f32) -> Array {
    let start = start(name, seed);
    let values = (0..shape.iter().product()).map(|index| value(at(start, index))).collect();
    Array { shape: shape.to_vec(), values }
}

/// Reads a safetensors file of f32. Written here a second time, so that a
/// mistake in the worker's own reader cannot hide.
pub fn read_arrays(path: &Path) -> Result<Arrays> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    let (length, rest) = bytes.split_first_chunk::<8>().context("too short")?;
    let length = usize::try_from(u64::from_le_bytes(*length))?;
    let header: Map<String, Value> = serde_json::from_slice(rest.get(..length).context("too short")?)?;
    let data = &rest[length..];
    let mut arrays = Arrays::new();
    for (name, entry) in header.iter().filter(|(name, _)| *name != "__metadata__") {
        ensure!(entry["dtype"] == "F32", "{name} is {}", entry["dtype"]);
        let shape: Vec<usize> = serde_json::from_value(entry["shape"].clone())?;
        let [from, to]: [usize; 2] = serde_json::from_value(entry["data_offsets"].clone())?;
        let (chunks, _) = data.get(from..to).context("too short")?.as_chunks::<4>();
        let values = chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
        arrays.insert(name.clone(), Array { shape, values });
    }
    Ok(arrays)
}

/// Writes a safetensors file of f32.
pub fn write_arrays(path: &Path, arrays: &Arrays) -> Result<()> {
    let mut header = Map::new();
    let mut data = Vec::new();
    for (name, array) in arrays {
        let from = data.len();
        data.extend(array.values.iter().flat_map(|value| value.to_le_bytes()));
        header.insert(
            name.clone(),
            json!({ "dtype": "F32", "shape": array.shape, "data_offsets": [from, data.len()] }),
        );
    }
    let header = serde_json::to_vec(&header)?;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    fs::write(path, bytes).with_context(|| path.display().to_string())
}
