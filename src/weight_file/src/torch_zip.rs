//! The zip format of `torch.save`: `NAME/data.pkl` beside `NAME/data/KEY`, one
//! member a storage.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use dygl_archive::{Archive, Limits, Watch};

use super::error::{Fault, WeightFileError};
use super::layout::{Place, Storage};
use super::pickle::Machine;
use super::{Index, limits, state};

static NEVER: AtomicBool = AtomicBool::new(false);

pub(super) fn read(path: &Path) -> Result<(Archive, Index), WeightFileError> {
    let bounds = Limits { members: limits::TENSORS, file: limits::STORAGE, ..Limits::with_total(u64::MAX) };
    let watch = Watch { told: &|_| {}, stop: &NEVER };
    // A zip is not unpacked to be looked at, so no scratch folder is touched.
    let archive = Archive::open(path, Path::new(""), bounds, watch)?;
    let refused = |fault: Fault| fault.of(path);
    let pickles: Vec<&str> = archive
        .members()
        .iter()
        .map(|member| member.name.as_str())
        .filter(|name| *name == "data.pkl" || name.ends_with("/data.pkl"))
        .collect();
    let pickle = match pickles.as_slice() {
        [one] => (*one).to_owned(),
        [] => {
            let what = "is a zip archive without data.pkl, so torch.save did not write it".to_owned();
            return Err(refused(Fault::Foreign(what)));
        }
        _ => return Err(refused(Fault::Foreign("is a zip archive with several data.pkl".to_owned()))),
    };
    let folder = &pickle[..pickle.len() - "data.pkl".len()];
    let sizes: BTreeMap<&str, u64> = archive
        .members()
        .iter()
        .filter_map(|member| Some((member.name.strip_prefix(folder)?, member.size)))
        .collect();
    if sizes.contains_key("constants.pkl") || sizes.keys().any(|name| name.starts_with("code/")) {
        let what = "is a TorchScript program, which holds code".to_owned();
        return Err(refused(Fault::Unsupported(what)));
    }
    let small = |name: &str, limit: u64| -> Result<Option<Vec<u8>>, WeightFileError> {
        match sizes.get(name) {
            None => Ok(None),
            Some(size) if *size > limit => {
                Err(refused(Fault::TooLarge { what: format!("{name} of {size} bytes"), limit }))
            }
            Some(_) => Ok(Some(archive.read(&format!("{folder}{name}"))?)),
        }
    };
    if small("byteorder", 64)?.is_some_and(|order| order != b"little") {
        return Err(refused(Fault::Unsupported("its values are stored big-endian".to_owned())));
    }
    let bytes = small("data.pkl", limits::PICKLE)?.unwrap_or_default();
    let index = index(&bytes, &sizes, folder).map_err(refused)?;
    Ok((archive, index))
}

fn index(pickle: &[u8], sizes: &BTreeMap<&str, u64>, folder: &str) -> Result<Index, Fault> {
    let mut machine = Machine::new(pickle);
    let root = machine.run()?;
    let dictionaries = state::find(machine.arena(), root)?;
    let storages = sizes.iter().filter_map(|(name, bytes)| {
        let key = name.strip_prefix("data/")?;
        let place = Place::Member(format!("{folder}{name}"));
        Some((key.to_owned(), Storage { place, bytes: *bytes }))
    });
    Ok(Index { dictionaries, places: storages.collect() })
}
