//! Lookups of sound and of damaged attempts.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::time::Duration;

use super::*;

struct Bench {
    _folder: tempfile::TempDir,
    store: Store,
    preimage: Preimage,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mut preimage = Preimage::new("test");
        preimage.put("a", "1");
        Self { store: Store::at(folder.path()), _folder: folder, preimage }
    }

    fn key(&self) -> Key {
        self.preimage.key().clone()
    }

    /// Publishes an attempt with a file that is too large to be read each time.
    fn publish(&self, kind: &str, finished: u64) -> Attempt {
        let claim = self.store.claim(&self.preimage).expect("free");
        let outcome =
            if kind == "done" { r#"{"kind":"done"}"# } else { r#"{"kind":"failed","message":"m"}"# };
        let record = format!(r#"{{"outcome":{outcome},"provenance":{{"finished":{finished}}}}}"#);
        fs::write(claim.work().join("record.json"), record).expect("written");
        fs::write(claim.work().join("model.safetensors"), vec![finished as u8; 5 << 20]).expect("written");
        claim.publish(false).expect("published")
    }

    /// Lets the large files have rested, and looks once so that they are stamped.
    fn settle(&self) {
        std::thread::sleep(Duration::from_millis(2050));
        assert!(matches!(self.lookup(), Lookup::Hit(_)));
        assert_eq!(fs::read_dir(self.store.folder(&self.key()).join("stamps")).expect("stamps").count(), 1);
    }

    fn lookup(&self) -> Lookup {
        self.store.lookup(&self.key()).expect("looked up")
    }
}

#[test]
fn every_damage_to_a_stamped_file_is_seen() {
    let bench = Bench::new();
    let attempt = bench.publish("done", 1);
    bench.settle();
    let path = attempt.folder().join("model.safetensors");
    let sound = fs::read(&path).expect("read");
    let written = fs::metadata(&path).and_then(|found| found.modified()).expect("a time");
    let mut flipped = sound.clone();
    flipped[2 << 20] ^= 1;
    let in_place = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("written");
        File::options().write(true).open(&path).and_then(|f| f.set_modified(written)).expect("time set");
    };
    let damages: [(&str, &dyn Fn()); 7] = [
        ("flipped, with the old time brought back", &|| in_place(&flipped)),
        ("cut", &|| in_place(&sound[1..])),
        ("grown", &|| in_place(&[&sound[..], b"x"].concat())),
        ("replaced", &|| {
            let other = path.with_extension("other");
            fs::write(&other, &flipped).expect("written");
            File::options().write(true).open(&other).and_then(|f| f.set_modified(written)).expect("time set");
            fs::rename(&other, &path).expect("replaced");
        }),
        ("a folder", &|| fs::create_dir(&path).expect("made")),
        ("a link to nothing", &|| symlink("nowhere", &path).expect("linked")),
        ("removed", &|| {}),
    ];
    for (name, damage) in damages {
        if !name.contains("time") && !["cut", "grown", "replaced"].contains(&name) {
            fs::remove_file(&path).expect("removed");
        }
        damage();
        assert!(matches!(bench.lookup(), Lookup::Altered(..)), "{name}");
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        fs::write(&path, &sound).expect("written");
        assert!(matches!(bench.lookup(), Lookup::Hit(_)), "the same bytes are sound, whatever the times say");
    }
}

#[test]
fn a_sound_attempt_is_preferred_and_damage_is_put_aside_once() {
    let bench = Bench::new();
    let (first, second) = (bench.publish("done", 1), bench.publish("done", 2));
    let Lookup::Hit(found) = bench.lookup() else { panic!("no hit") };
    assert_eq!(found, first);
    fs::write(first.folder().join("model.safetensors"), "altered").expect("written");
    let Lookup::Hit(found) = bench.lookup() else { panic!("no hit") };
    assert_eq!(found, second);
    let moved = bench.store.quarantine(&bench.key(), &first).expect("moved");
    // Somebody else may have been faster.
    assert_eq!(bench.store.quarantine(&bench.key(), &first).expect("moved before"), moved);
    assert!(moved.is_dir() && !first.folder().exists());
}

#[test]
fn any_file_of_a_failed_attempt_counts_too() {
    let bench = Bench::new();
    let attempt = bench.publish("failed", 1);
    assert!(matches!(bench.lookup(), Lookup::Failed(..)));
    fs::write(attempt.folder().join("key.json"), "{}").expect("written");
    assert!(matches!(bench.lookup(), Lookup::Altered(..)));
}

#[test]
fn the_root_of_a_store_is_a_folder() {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| Store::at(folder.path().join(name)).is_there();
    assert!(!at("absent").expect("nothing there"));
    fs::write(folder.path().join("file"), "").expect("written");
    symlink("nowhere", folder.path().join("link")).expect("linked");
    for (name, told) in [("file", "this is a file"), ("file/below", "Not a directory"), ("link", "nowhere")] {
        let text = at(name).expect_err("no folder").to_string();
        assert!(text.contains(told) && text.contains(name), "{text}");
    }
}

#[test]
fn the_command_that_takes_a_claim_away_can_be_copied() {
    let key = Bench::new().key();
    let of = |root: &str| Store::at(root).unlock_command(&key);
    assert_eq!(of(".dygl"), format!("dygl store unlock {} --store .dygl", key.short()));
    assert!(of("my results").ends_with("--store 'my results'"));
}
