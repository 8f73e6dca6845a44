//! The room as a whole: folders written for the test, and the real ones.

mod names;
mod stored;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use dygl_pixels::{Counts, decode, mask};
use dygl_spec::name::Named;
use dygl_spec::protocol::{Part, Split, SplitSource};
use image::{GrayImage, Luma, Rgb, RgbImage};

use super::*;

/// A split of five folds, the first of them tested.
fn by(source: SplitSource, seed: u64) -> Split {
    Split { source, seed, folds: 5, fold: 0, file: String::new() }
}

const QUIET: Progress<'static> = &|_, _| {};

/// A store and a folder with `pairs` of the first layout of cvc-clinicdb.
struct Bench {
    folder: tempfile::TempDir,
    registry: Registry,
}

impl Bench {
    fn new(pairs: usize) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let registry = Registry::at(&folder.path().join("store"));
        let bench = Self { folder, registry };
        for sub in ["images", "masks"] {
            fs::create_dir_all(bench.root().join(sub)).expect("made");
        }
        for index in 0..pairs {
            let value = index as u8;
            RgbImage::from_fn(8, 6, |x, y| Rgb([x as u8, y as u8, value]))
                .save(bench.root().join(format!("images/{index}.png")))
                .expect("written");
            GrayImage::from_fn(8, 6, |x, _| Luma([if x > 3 { 255 } else { value }]))
                .save(bench.root().join(format!("masks/{index}.png")))
                .expect("written");
        }
        bench
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("set")
    }

    fn add(&self) -> Result<Registration, DataError> {
        self.registry.add(manifest("cvc-clinicdb"), &self.root(), true, QUIET)
    }
}

fn manifest(id: &str) -> &'static Manifest {
    Manifest::find(id).expect("valid").expect("listed")
}

/// Makes the registration look settled: as if hashed long after the last change.
fn settle(mut registration: Registration) -> Registration {
    for entry in &mut registration.entries {
        entry.image.hashed_ns += 10_000_000_000;
        entry.mask.hashed_ns += 10_000_000_000;
    }
    registration
}

#[test]
fn a_registered_folder_opens_loads_and_splits() {
    let bench = Bench::new(20);
    let named = Named::plain("cvc-clinicdb");
    let error = Dataset::open(&named, &bench.registry).expect_err("not yet");
    assert_eq!(
        error.to_string(),
        "dataset `cvc-clinicdb` is not registered: dygl dataset add cvc-clinicdb PATH"
    );
    let registration = bench.add().expect("registered");
    assert_eq!((registration.images, registration.expected), (20, 612));
    let dataset = Dataset::open(&named, &bench.registry).expect("opens");
    assert_eq!((dataset.images(), dataset.expected()), (20, 612));
    assert_eq!(dataset.ids()[..3], ["0", "1", "10"]);
    assert_eq!(dataset.digest(), registration.digest);
    let sample = dataset.load("7").expect("loads");
    assert_eq!((sample.image.get_pixel(2, 1).0, sample.mask.get_pixel(0, 0).0), ([2, 1, 7], [7]));
    assert!(matches!(dataset.load("99"), Err(DataError::UnknownImage { .. })));
    let split = |source, seed| dataset.split(&by(source, seed)).expect("enough images");
    let one = split(SplitSource::Manifest, 1);
    assert_eq!(one.counts(), Counts { train: 16, validation: 2, test: 2 });
    assert_eq!(one, split(SplitSource::Seeded, 1));
    assert_ne!(one.digest, split(SplitSource::Manifest, 2).digest);
}

#[test]
fn a_dataset_without_groups_or_authors_split_says_which_have_them() {
    let bench = Bench::new(20);
    bench.add().expect("registered");
    let dataset = Dataset::open(&Named::plain("cvc-clinicdb"), &bench.registry).expect("opens");
    let refused = |split: &Split| dataset.split(split).expect_err("refused").to_string();
    // Frame 0 is of none of the video sequences, which begin with frame 1.
    assert!(refused(&by(SplitSource::ByGroup, 1)).contains("of 1 of 20 images is not known"));
    assert!(refused(&by(SplitSource::GroupedKFold, 1)).contains("grouped-k-fold"));
    let phantom = Dataset::open(&Named::plain("phantom-skin"), &bench.registry).expect("opens");
    let refused_too = phantom.split(&by(SplitSource::ByGroup, 1)).expect_err("refused").to_string();
    assert!(refused_too.contains("these have groups: cvc-clinicdb"), "{refused_too}");
    assert!(refused(&by(SplitSource::Official, 1)).contains("kvasir-seg-352"));
    assert!(refused(&by(SplitSource::File, 1)).contains("needs split.file"));
    let missing = Split { file: "nowhere.csv".into(), ..by(SplitSource::File, 1) };
    assert!(refused(&missing).contains("nowhere.csv: the split file cannot be read"));
}

#[test]
fn a_split_file_is_known_by_its_content_and_not_by_its_path() {
    let bench = Bench::new(20);
    bench.add().expect("registered");
    let dataset = Dataset::open(&Named::plain("cvc-clinicdb"), &bench.registry).expect("opens");
    let seeded = dataset.split(&by(SplitSource::Seeded, 7)).expect("enough");
    for name in ["a.toml", "b.csv", "c.txt"] {
        let path = bench.folder.path().join(name);
        split_file::write(&path, "cvc-clinicdb", dataset.ids(), &seeded, "a test").expect("written");
        let file = path.to_str().expect("UTF-8").to_owned();
        assert_eq!(dataset.split(&Split { file, ..by(SplitSource::File, 1) }).expect("valid"), seeded);
    }
}

#[test]
fn the_digest_is_of_the_content_and_not_of_the_place() {
    let (one, two) = (Bench::new(4), Bench::new(4));
    let (a, b) = (one.add().expect("registered"), two.add().expect("registered"));
    assert_eq!(a.digest, b.digest);
    assert_ne!(a.root, b.root);
    fs::rename(two.root().join("images/3.png"), two.root().join("images/33.png")).expect("renamed");
    fs::rename(two.root().join("masks/3.png"), two.root().join("masks/33.png")).expect("renamed");
    assert_ne!(a.digest, two.add().expect("registered").digest);
}

#[test]
fn all_problems_of_a_folder_are_told_at_once() {
    let bench = Bench::new(4);
    let root = bench.root();
    fs::remove_file(root.join("masks/0.png")).expect("removed");
    fs::remove_file(root.join("images/1.png")).expect("removed");
    fs::write(root.join("images/2.png"), "no image").expect("written");
    GrayImage::new(3, 3).save(root.join("masks/3.png")).expect("written");
    let error = bench.registry.add(manifest("cvc-clinicdb"), &root, false, QUIET).expect_err("refused");
    let DataError::Problems { problems, .. } = &error else { panic!("{error}") };
    let kinds: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        kinds,
        [
            "images/0.png: has no mask (expected masks/0.png)",
            "masks/1.png: is a mask without image (expected images/1.png)",
            "images/2.png: does not decode: it is no picture of a format that is read (PNG, JPEG, BMP, TIFF, GIF, WebP); \
             convert it to PNG",
            "masks/3.png: is 3x3, but images/3.png is 8x6",
            "2 pairs found, the dataset has 612 (--partial registers what is there)",
        ]
    );
    assert!(bench.registry.get("cvc-clinicdb").expect("readable").is_none());
}

#[test]
fn altered_missing_and_extra_files_are_named() {
    let bench = Bench::new(5);
    let registration = settle(bench.add().expect("registered"));
    assert_eq!(bench.registry.check(&registration).expect("readable"), []);
    let root = bench.root();
    fs::remove_file(root.join("masks/1.png")).expect("removed");
    fs::copy(root.join("images/3.png"), root.join("images/2.png")).expect("copied");
    fs::copy(root.join("images/3.png"), root.join("images/new.png")).expect("copied");
    let expected = [
        Problem::Missing { file: "masks/1.png".into() },
        Problem::Altered { file: "images/2.png".into() },
        Problem::Extra { file: "images/new.png".into() },
    ];
    assert_eq!(bench.registry.check(&registration).expect("readable"), expected);
    assert_eq!(bench.registry.verify("cvc-clinicdb", QUIET).expect("readable"), expected);
    let dataset = Dataset::open(&Named::plain("cvc-clinicdb"), &bench.registry).expect("opens");
    assert!(matches!(dataset.load("2"), Err(DataError::Altered { .. })));
    fs::remove_dir_all(&root).expect("removed");
    assert!(matches!(bench.registry.check(&registration).expect("answers")[..], [Problem::NoFolder { .. }]));
}

#[test]
fn an_edit_with_restored_mtime_is_noticed() {
    let bench = Bench::new(3);
    for registration in [bench.add().expect("registered"), settle(bench.add().expect("registered"))] {
        let path = bench.root().join("masks/1.png");
        let (before, modified) =
            (fs::read(&path).expect("read"), fs::metadata(&path).and_then(|m| m.modified()).expect("mtime"));
        std::thread::sleep(std::time::Duration::from_millis(20));
        let mut after = before.clone();
        after[20] ^= 1;
        let put = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("written");
            fs::File::options().write(true).open(&path).and_then(|f| f.set_modified(modified)).expect("set");
        };
        put(&after);
        let problems = bench.registry.check(&registration).expect("readable");
        assert_eq!(problems, [Problem::Altered { file: "masks/1.png".into() }]);
        put(&before);
        assert_eq!(bench.registry.check(&registration).expect("readable"), []);
    }
}

#[test]
fn equal_content_refreshes_the_registration() {
    let bench = Bench::new(2);
    let first = bench.add().expect("registered");
    let path = bench.root().join("images/0.png");
    let bytes = fs::read(&path).expect("read");
    fs::remove_file(&path).expect("removed");
    std::thread::sleep(std::time::Duration::from_millis(20));
    fs::write(&path, bytes).expect("written");
    assert_eq!(bench.registry.check(&first).expect("readable"), []);
    let second = bench.registry.require("cvc-clinicdb").expect("there");
    assert_ne!(first.entries[0].image.ctime_ns, second.entries[0].image.ctime_ns);
    assert_eq!(first.digest, second.digest);
}

#[test]
fn a_damaged_registration_is_refused() {
    let bench = Bench::new(2);
    let registration = bench.add().expect("registered");
    let path = bench.folder.path().join("store/datasets/cvc-clinicdb.json");
    let text = fs::read_to_string(&path).expect("read");
    let other = blake3::hash(b"other").to_hex().to_string();
    for damaged in [text.replace(&registration.entries[0].mask.blake3, &other), text[..90].to_owned()] {
        fs::write(&path, damaged).expect("written");
        let error = bench.registry.get("cvc-clinicdb").expect_err("refused");
        assert!(error.to_string().contains("register anew"), "{error}");
    }
}

#[test]
fn names_are_resolved() {
    let resolve = |text: &str| Dataset::resolve(&Named::parse(text).expect("a name"));
    assert_eq!(
        resolve("phantom-skin,size=64").expect("valid").to_string(),
        "phantom-skin,count=60,seed=1,size=64"
    );
    assert_eq!(resolve("tnbc").expect("valid"), Named::plain("tnbc"));
    let error = resolve("kvasir-sge").expect_err("unknown");
    assert_eq!(error.candidates()[0], "kvasir-seg");
    let error = resolve("tnbc,size=3").expect_err("no options");
    assert_eq!(error.to_string(), "dataset `tnbc` has no option `size`; it takes none");
    for entry in catalogue() {
        assert!(resolve(&entry.id).is_ok() && !entry.terms.is_empty());
    }
}

#[test]
fn phantoms_open_without_registration() {
    let registry = Registry::at(Path::new("/nonexistent"));
    let named = Named::parse("phantom-polyp,count=30,size=32").expect("a name");
    let dataset = Dataset::open(&named, &registry).expect("opens");
    let split = dataset.split(&by(SplitSource::Manifest, 1)).expect("enough");
    assert_eq!(split.counts(), Counts { train: 24, validation: 3, test: 3 });
    assert_eq!(dataset.load("00029").expect("drawn").image.dimensions(), (32, 32));
    assert!(matches!(dataset.load("29"), Err(DataError::UnknownImage { .. })));
    assert!(dataset.check(&registry).expect("phantoms never change").is_empty());
}

/// The real folders: counts, loads and times (`--nocapture` prints them).
#[test]
fn the_real_datasets_register() {
    let Some(shared) = dygl_testing::shared_data() else { return };
    let store = tempfile::tempdir().expect("folder");
    let registry = Registry::at(store.path());
    for (id, images, partial, counts) in [
        ("kvasir-seg-352", 1000, false, (800, 100, 100)),
        ("cvc-clinicdb", 62, true, (50, 6, 6)),
        ("tnbc", 50, false, (40, 0, 10)),
        ("kvasir-seg", 5, true, (3, 1, 1)),
    ] {
        let start = Instant::now();
        let registration = registry.add(manifest(id), &shared.join(id), partial, QUIET).expect("registered");
        let added = start.elapsed();
        assert_eq!(registration.images, images);
        let start = Instant::now();
        let registration = registry.require(id).expect("there");
        let read = start.elapsed();
        let start = Instant::now();
        assert_eq!(registry.check(&registration).expect("readable"), []);
        let checked = start.elapsed();
        let start = Instant::now();
        assert_eq!(registry.verify(id, QUIET).expect("readable"), []);
        println!(
            "{id}: {} of {}; add {added:.1?}, read registration {read:.1?}, check {checked:.1?}, verify {:.1?}",
            registration.images,
            registration.expected,
            start.elapsed()
        );
        let dataset = Dataset::open(&Named::plain(id), &registry).expect("opens");
        let split = dataset.split(&by(SplitSource::Manifest, 42)).expect("enough");
        let (train, validation, test) = counts;
        assert_eq!(split.counts(), Counts { train, validation, test });
        let sample = dataset.load(&split.part(Part::Test)[0]).expect("loads");
        let share = sample.mask.pixels().filter(|p| mask::is_foreground(p.0[0])).count() as f64
            / f64::from(sample.mask.width() * sample.mask.height());
        assert!((0.001..0.95).contains(&share), "{id}: {share}");
    }
}
