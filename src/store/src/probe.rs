//! Whether a folder can hold a store: everything that the store asks of a file
//! system, asked once in a store of its own.

use std::fs;
use std::path::Path;

use dygl_base::atomic;

use super::{Lookup, Store, StoreError, lock};
use crate::key::Preimage;

/// What a file system has that the store can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Habits {
    /// Else claims are made exclusively and then written.
    pub hard_links: bool,
    /// Else a claim from another container is respected until it is taken away.
    pub locks: bool,
    /// Else other machines may have it mounted, too.
    pub is_local: bool,
}

/// Claims, publishes and finds a result in a folder that is gone afterwards.
///
/// # Errors
/// The first step that does not work there.
pub fn probe(folder: &Path) -> Result<Habits, StoreError> {
    let scratch =
        tempfile::Builder::new().prefix(".probe-").tempdir_in(folder).map_err(StoreError::io(folder))?;
    let store = Store::at(scratch.path());
    let mut preimage = Preimage::new("probe");
    preimage.put("folder", &folder.to_string_lossy());
    let wrong = |message: &str| StoreError::Invalid { path: folder.to_owned(), message: message.to_owned() };

    let claim = store.claim(&preimage)?;
    if !matches!(store.claim(&preimage), Err(StoreError::Held { .. })) {
        return Err(wrong("gives one name to two files; two runs would work on one cell"));
    }
    let record = claim.work().join("record.json");
    let text = r#"{"outcome":{"kind":"done"},"provenance":{"finished":0}}"#;
    fs::write(&record, text).map_err(StoreError::io(&record))?;
    claim.publish(false)?;
    let key = claim.key().clone();
    drop(claim);
    if !matches!(store.lookup(&key)?, Lookup::Hit(_)) {
        return Err(wrong("does not give back what was written"));
    }

    let file = atomic::temporary(scratch.path()).map_err(StoreError::io(scratch.path()))?;
    Ok(Habits {
        hard_links: fs::hard_link(file.path(), scratch.path().join("link")).is_ok(),
        locks: lock::take(file.as_file()),
        is_local: lock::is_local(file.as_file()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_folder_can_hold_a_store_and_is_left_as_it_was() {
        let folder = tempfile::tempdir().expect("folder");
        probe(folder.path()).expect("it can");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);
        let error = probe(&folder.path().join("absent")).expect_err("no folder").to_string();
        assert!(error.contains("absent"), "{error}");
    }
}
