//! Claims, living and dead.

use super::*;

fn preimage() -> Preimage {
    let mut preimage = Preimage::new("test");
    preimage.put("a", "1");
    preimage
}

struct Bench {
    _folder: tempfile::TempDir,
    store: Store,
    path: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::at(folder.path());
        let key = store.folder(preimage().key());
        fs::create_dir_all(&key).expect("made");
        Self { path: key.join(FILE), store, _folder: folder }
    }

    /// A claim's file that nobody has open.
    fn with(holder: &Holder) -> Self {
        let bench = Self::new();
        fs::write(&bench.path, serde_json::to_vec(holder).expect("json")).expect("written");
        bench
    }

    fn claim(&self) -> Result<Claim, StoreError> {
        self.store.claim(&preimage())
    }

    fn is_held(&self) -> bool {
        matches!(self.claim(), Err(StoreError::Held { .. }))
    }
}

#[test]
fn one_holder_at_a_time() {
    let bench = Bench::new();
    let claim = bench.claim().expect("free");
    assert!(bench.is_held());
    drop(claim);
    bench.claim().expect("free again");
}

#[test]
fn a_void_claim_is_taken_over() {
    // The process id was given to another process.
    let reused = Holder { start: 1, ..Holder::me() };
    let earlier_boot = Holder { boot: "another".into(), ..Holder::me() };
    // Its lock would still be held, whatever its container calls it.
    let contained = Holder { namespace: "pid:[1]".into(), locked: true, ..Holder::me() };
    for dead in [reused, earlier_boot, contained] {
        let bench = Bench::with(&dead);
        let claim = bench.claim().unwrap_or_else(|error| panic!("{dead:?}: {error}"));
        assert!(bench.is_held());
        drop(claim);
        assert!(!bench.path.exists());
    }
}

#[test]
fn a_claim_that_may_live_is_respected() {
    let far = Holder { host: "elsewhere".into(), ..Holder::me() };
    let contained = Holder { namespace: "pid:[1]".into(), start: 1, ..Holder::me() };
    for holder in [far, contained] {
        let bench = Bench::with(&holder);
        let Err(StoreError::Held { held, .. }) = bench.claim() else { panic!("{holder:?} was judged dead") };
        assert_eq!(held.holder.as_ref(), Some(&holder));
        assert!(held.file == bench.path && !held.lives_here);
        // Where somebody has the lock, there is no doubt.
        let file = File::open(&bench.path).expect("opened");
        assert!(lock::take(&file));
        assert!(bench.is_held());
    }
    // Locked, and everything that it says of its process is false.
    let bench = Bench::with(&Holder { pid: 1, start: 1, boot: "x".into(), ..Holder::me() });
    let file = File::open(&bench.path).expect("opened");
    assert!(lock::take(&file));
    assert!(bench.is_held());
}

#[test]
fn an_unfinished_claim_is_held() {
    for text in ["", "{\"host\":", "no claim at all"] {
        let bench = Bench::new();
        fs::write(&bench.path, text).expect("written");
        let Err(StoreError::Held { held, .. }) = bench.claim() else { panic!("taken over: {text}") };
        assert!(held.to_string().contains("unfinished"), "{held}");
        assert!(bench.store.unlock(preimage().key()).expect("taken away").is_some());
        bench.claim().expect("free");
    }
}

#[test]
fn a_file_system_without_hard_links_has_claims() {
    let bench = Bench::new();
    let mut me = Holder::me();
    let file = exclusive(&bench.path, &mut me).expect("made").expect("free");
    assert!(exclusive(&bench.path, &mut Holder::me()).expect("looked at").is_none());
    assert!(bench.is_held());
    drop(file);
    fs::write(&bench.path, serde_json::to_vec(&Holder { start: 1, ..me }).expect("json")).expect("written");
    bench.claim().expect("taken over");
}

#[test]
fn without_locks_a_living_claim_that_was_caught_gets_its_name_back() {
    let dead = Holder { start: 1, ..Holder::me() };
    let bench = Bench::with(&dead);
    let stale = || Found { lock: Lock::Unknown, ..Found::at(&bench.path).expect("read").expect("there") };
    let (first, second) = (stale(), stale());
    first.take_away(&bench.path).expect("taken away");
    assert!(!bench.path.exists());
    let claim = bench.claim().expect("free");
    second.take_away(&bench.path).expect("given back");
    claim.still_ours().expect("it is");
    let names = fs::read_dir(claim.folder()).expect("listed").flatten().map(|entry| entry.file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().starts_with(".claim")));
}

#[test]
fn only_one_of_many_comers_gets_a_void_claim() {
    for _ in 0..20 {
        let bench = Bench::with(&Holder { start: 1, ..Holder::me() });
        let won: Vec<Claim> = std::thread::scope(|scope| {
            let comers: Vec<_> = (0..8).map(|_| scope.spawn(|| bench.claim().ok())).collect();
            comers.into_iter().filter_map(|comer| comer.join().expect("no panic")).collect()
        });
        assert_eq!(won.len(), 1);
        won[0].still_ours().expect("it is");
    }
}

#[test]
fn a_claim_is_taken_away_from_whoever_is_not_at_work_here() {
    let key = preimage().key().clone();
    let bench = Bench::new();
    assert!(bench.store.unlock(&key).expect("nothing there").is_none());
    let claim = bench.claim().expect("free");
    fs::create_dir_all(claim.work().join("checkpoint/000004")).expect("made");
    assert!(bench.store.holder(&key).expect("read").is_some_and(|held| held.lives_here));
    assert!(matches!(bench.store.unlock(&key), Err(StoreError::Held { .. })));
    drop(claim);
    assert!(bench.store.holder(&key).expect("read").is_none());

    let far = Holder { host: "elsewhere".into(), ..Holder::me() };
    fs::write(&bench.path, serde_json::to_vec(&far).expect("json")).expect("written");
    let held = bench.store.unlock(&key).expect("taken away").expect("held");
    assert_eq!(held.holder, Some(far));
    let claim = bench.claim().expect("free");
    assert!(claim.work().join("checkpoint/000004").is_dir(), "its work is taken over");
}

#[test]
fn each_claim_has_a_folder_of_its_own() {
    let bench = Bench::new();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let claim = bench.claim().expect("free");
        assert!(claim.work().join("key.json").is_file());
        assert!(!seen.contains(&claim.work()));
        seen.push(claim.work());
        assert_eq!(bench.store.work_folders(claim.key()), [claim.work()]);
    }
}
