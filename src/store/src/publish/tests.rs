//! Publication, and file systems of other habits.

use std::cell::Cell as Once;

use super::*;
use crate::Store;
use crate::key::Preimage;

struct Bench {
    _folder: tempfile::TempDir,
    store: Store,
    claim: Claim,
}

impl Bench {
    /// A claim with finished work.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::at(folder.path());
        let mut preimage = Preimage::new("test");
        preimage.put("a", "1");
        let claim = store.claim(&preimage).expect("free");
        let bench = Self { _folder: folder, store, claim };
        bench.finish();
        bench
    }

    /// Does the work (again): always the same bytes.
    fn finish(&self) {
        let work = self.claim.work();
        fs::create_dir_all(work.join("checkpoint/000001")).expect("made");
        fs::create_dir_all(work.join("samples")).expect("made");
        for (name, text) in [
            ("key.json", "{}"),
            ("job.json", "{}"),
            ("record.json", r#"{"outcome":{"kind":"done"},"provenance":{"finished":0}}"#),
            ("samples/a.png", "a"),
            ("checkpoint/000001/state.json", "{}"),
        ] {
            fs::write(work.join(name), text).expect("written");
        }
    }

    fn attempts(&self) -> usize {
        self.store.attempts(self.claim.key()).expect("listed").len()
    }
}

fn listed(attempt: &Attempt) -> Vec<String> {
    attempt.manifest().expect("sound").into_keys().collect()
}

#[test]
fn the_result_is_published_and_the_rest_is_not() {
    let bench = Bench::new();
    // As a file that was removed while it is open, on a network file system.
    fs::write(bench.claim.work().join(".nfs000000001"), "gone soon").expect("written");
    fs::write(bench.claim.work().join("samples/.nfs000000002"), "gone soon").expect("written");
    let attempt = bench.claim.publish(false).expect("published");
    assert_eq!(listed(&attempt), ["key.json", "record.json", "samples/a.png"]);
    fs::remove_file(attempt.folder().join(".nfs000000001")).expect("vanished");
    assert!(attempt.verify().is_empty());
    assert!(!attempt.folder().join("job.json").exists() && !attempt.folder().join(CHECKPOINT).exists());
    assert_eq!(bench.store.epochs_kept(bench.claim.key()), 0);
}

#[test]
fn a_checkpoint_is_kept_for_a_later_try() {
    let bench = Bench::new();
    bench.claim.publish(true).expect("published");
    assert_eq!(bench.store.epochs_kept(bench.claim.key()), 1);
    assert!(bench.claim.work().join("checkpoint/000001/state.json").is_file());
}

#[test]
fn the_same_result_is_published_once_whatever_the_file_system_answers() {
    let plain = |from: &Path, to: &Path| fs::rename(from, to);
    let exists = |_: &Path, _: &Path| Err(io::Error::from_raw_os_error(17));
    let not_empty = |_: &Path, _: &Path| Err(io::Error::from_raw_os_error(39));
    let again: [Rename<'_>; 4] = [&rename_new, &plain, &exists, &not_empty];
    for rename in again {
        let bench = Bench::new();
        let first = bench.claim.publish(false).expect("published");
        bench.finish();
        let second = bench.claim.publish_by(false, rename).expect("published before");
        assert_eq!((first, bench.attempts()), (second, 1));
        assert!(!bench.claim.work().exists());
    }
}

#[test]
fn what_lies_under_the_name_and_is_not_the_result_is_put_aside() {
    let plain = |from: &Path, to: &Path| fs::rename(from, to);
    let both: [Rename<'_>; 2] = [&rename_new, &plain];
    for rename in both {
        for damage in ["altered", "empty", "file"] {
            let bench = Bench::new();
            let folder = bench.claim.publish(false).expect("published").folder().to_owned();
            fs::remove_dir_all(folder.join("samples")).expect("removed");
            if damage != "altered" {
                fs::remove_dir_all(&folder).expect("removed");
            }
            match damage {
                "empty" => fs::create_dir(&folder).expect("made"),
                "file" => fs::write(&folder, "").expect("written"),
                _ => {}
            }
            bench.finish();
            let attempt = bench.claim.publish_by(false, rename).expect("published");
            assert!(attempt.verify().is_empty(), "{damage}");
            assert_eq!(bench.attempts(), 1);
        }
    }
}

#[test]
fn a_step_that_fails_names_its_path_and_can_be_taken_again() {
    let bench = Bench::new();
    let attempts = bench.claim.folder().join("attempts");
    fs::write(&attempts, "in the way").expect("written");
    let error = bench.claim.publish(false).expect_err("no folder").to_string();
    assert!(error.contains("attempts"), "{error}");
    fs::remove_file(&attempts).expect("removed");

    let failures = Once::new(1);
    let full = |from: &Path, to: &Path| match failures.replace(0) {
        0 => fs::rename(from, to),
        _ => Err(io::Error::from_raw_os_error(28)),
    };
    let error = bench.claim.publish_by(true, &full).expect_err("no space").to_string();
    assert!(error.contains("attempts") && error.contains("make room"), "{error}");
    assert_eq!(bench.store.epochs_kept(bench.claim.key()), 1, "nothing was lost");
    assert!(bench.claim.work().join("checkpoint/000001").is_dir());
    bench.claim.publish_by(true, &full).expect("published");
    assert_eq!((bench.attempts(), bench.store.epochs_kept(bench.claim.key())), (1, 1));
}

#[test]
fn who_has_lost_the_claim_publishes_nothing() {
    let bench = Bench::new();
    fs::remove_file(bench.claim.folder().join("claim")).expect("taken away");
    let mut preimage = Preimage::new("test");
    preimage.put("a", "1");
    let next = bench.store.claim(&preimage).expect("taken over");
    assert_ne!(next.work(), bench.claim.work());
    // Whoever still lives writes into a folder of its own.
    bench.finish();
    let error = bench.claim.publish(false).expect_err("lost").to_string();
    assert!(error.contains("taken over") && error.contains("work."), "{error}");
    assert_eq!(bench.attempts(), 0);
    assert!(!next.work().join("record.json").exists());
    // The dropped claim does not take the new one along.
    drop(bench.claim);
    assert!(bench.store.holder(next.key()).expect("looked at").is_some());
}
