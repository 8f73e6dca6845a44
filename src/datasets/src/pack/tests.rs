//! Packs through every accident.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use dygl_pixels::prepare::{self, Resized};
use dygl_spec::name::Named;
use dygl_spec::protocol::Filter;
use image::{GrayImage, Luma, Rgb, RgbImage};
use tempfile::TempDir;

use super::*;
use crate::{Manifest, Registry};

const QUIET: Progress<'static> = &|_, _| {};
const FORM: Form = Form::Resized { size: 12, filter: Filter::Bilinear };

fn phantoms(count: usize) -> Dataset {
    let name = format!("phantom-polyp,count={count},size=20,seed=3");
    Dataset::open(&Named::parse(&name).expect("a name"), &Registry::at(Path::new("none"))).expect("drawn")
}

fn cache() -> (TempDir, Cache) {
    let folder = tempfile::tempdir().expect("folder");
    let cache = Cache::at(folder.path());
    (folder, cache)
}

fn attach(cache: &Cache, dataset: &Dataset, form: Form) -> Dataset {
    let attached = cache.attach(dataset, form, "code", QUIET).expect("attached");
    assert_eq!(attached.warning, None);
    assert!(attached.dataset.pack().is_some());
    attached.dataset
}

/// Everything that a dataset shows in a form.
fn all(dataset: &Dataset, form: Form) -> Vec<(u32, u32, Vec<u8>, Vec<u8>)> {
    let see = |p: prepare::Picture<'_>| (p.width, p.height, p.rgb.to_vec(), p.mask.to_vec());
    dataset.ids().iter().map(|id| dataset.look(id, form, see).expect("seen")).collect()
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    fs::set_permissions(path, Permissions::from_mode(0o644)).expect("writable");
    let mut bytes = fs::read(path).expect("read");
    change(&mut bytes);
    fs::write(path, bytes).expect("written");
}

/// 40 pairs (two parts) of cvc-clinicdb's layout, registered.
fn folder() -> (TempDir, Dataset) {
    let folder = tempfile::tempdir().expect("folder");
    for sub in ["images", "masks"] {
        fs::create_dir_all(folder.path().join("set").join(sub)).expect("made");
    }
    for index in 0..40_u8 {
        let name = |sub: &str| folder.path().join(format!("set/{sub}/{index}.png"));
        let image = RgbImage::from_fn(17, 13, |x, y| Rgb([x as u8 * 9, y as u8 * 11, index]));
        image.save(name("images")).expect("written");
        let mask = GrayImage::from_fn(17, 13, |x, y| Luma([if x + y > 14 { 255 } else { 0 }]));
        mask.save(name("masks")).expect("written");
    }
    let registry = Registry::at(&folder.path().join("store"));
    let manifest = Manifest::find("cvc-clinicdb").expect("valid").expect("listed");
    registry.add(manifest, &folder.path().join("set"), true, QUIET).expect("registered");
    let dataset = Dataset::open(&Named::plain("cvc-clinicdb"), &registry).expect("opened");
    (folder, dataset)
}

#[test]
fn what_comes_out_is_what_loading_gives() {
    let ((_folder, files), (_keep, cache)) = (folder(), cache());
    for dataset in [phantoms(40), files] {
        for form in [Form::Stored, FORM] {
            let packed = attach(&cache, &dataset, form);
            assert_eq!(all(&packed, form), all(&dataset, form), "{form}");
        }
        // A pack of stored images serves any size.
        let packed = attach(&cache, &dataset, Form::Stored);
        assert_eq!(all(&packed, FORM), all(&dataset, FORM));
        // And one of another form serves none.
        let packed = attach(&cache, &dataset, FORM);
        assert_eq!(all(&packed, Form::Stored), all(&dataset, Form::Stored));
    }
}

#[test]
fn a_second_run_builds_nothing_and_other_content_or_code_is_another_file() {
    let (_keep, cache) = cache();
    let told = AtomicUsize::new(0);
    let count = |done: usize, total: usize| {
        assert!(done <= total && total == 40);
        told.fetch_add(1, Ordering::SeqCst);
    };
    for expected in [40, 40] {
        cache.attach(&phantoms(40), FORM, "code", &count).expect("attached");
        assert_eq!(told.load(Ordering::SeqCst), expected);
    }
    let path = |count, form, code| cache.path(&phantoms(count), form, code);
    let paths = [
        path(40, FORM, "code"),
        path(41, FORM, "code"),
        path(40, Form::Stored, "code"),
        path(40, Form::Resized { size: 12, filter: Filter::Nearest }, "code"),
        path(40, FORM, "other"),
    ];
    for (place, one) in paths.iter().enumerate() {
        assert!(!paths[place + 1..].contains(one));
    }
}

#[test]
fn the_prediction_bounds_the_file() {
    let ((_folder, files), (_keep, cache)) = (folder(), cache());
    for dataset in [phantoms(40), files] {
        for form in [Form::Stored, FORM] {
            let packed = attach(&cache, &dataset, form);
            let size = fs::metadata(packed.pack().expect("packed").path()).expect("there").len();
            let predicted = pack_bytes(&dataset, form).expect("predicted");
            assert!(size <= predicted && predicted < size + 40 * 200 + 256, "{size} {predicted}");
        }
    }
}

#[test]
fn a_cut_or_altered_file_is_built_anew() {
    let (_keep, cache) = cache();
    let (dataset, expected) = (phantoms(5), all(&phantoms(5), FORM));
    let path = cache.path(&dataset, FORM, "code");
    attach(&cache, &dataset, FORM);
    let whole = fs::read(&path).expect("read");
    for cut in [0, 7, 16, 100, whole.len() / 2, whole.len() - 49, whole.len() - 1] {
        edit(&path, |bytes| bytes.truncate(cut));
        assert_eq!(all(&attach(&cache, &dataset, FORM), FORM), expected);
        assert_eq!(fs::read(&path).expect("read"), whole, "cut at {cut}");
    }
    // Head, index, its length, its digest, tail.
    for place in [3, whole.len() - 200, whole.len() - 48, whole.len() - 20, whole.len() - 1] {
        edit(&path, |bytes| bytes[place] ^= 1);
        assert_eq!(all(&attach(&cache, &dataset, FORM), FORM), expected);
        assert_eq!(fs::read(&path).expect("read"), whole, "altered at {place}");
    }
}

#[test]
fn an_altered_image_is_never_served() {
    let (_keep, cache) = cache();
    let (dataset, expected) = (phantoms(5), all(&phantoms(5), FORM));
    let path = cache.path(&dataset, FORM, "code");
    attach(&cache, &dataset, FORM);
    edit(&path, |bytes| bytes[16 + 700] ^= 1);
    let packed = attach(&cache, &dataset, FORM);
    assert_eq!(all(&packed, FORM), expected);
    assert_eq!(all(&packed, FORM), expected);
    assert!(packed.pack().expect("packed").is_damaged());
    assert!(!path.exists());
    let packed = attach(&cache, &dataset, FORM);
    assert_eq!(all(&packed, FORM), expected);
    assert!(!packed.pack().expect("packed").is_damaged());
}

#[test]
fn a_file_may_be_deleted_while_it_is_read() {
    let (_keep, cache) = cache();
    let packed = attach(&cache, &phantoms(5), FORM);
    let pack = packed.pack().expect("packed");
    fs::remove_file(pack.path()).expect("removed");
    assert!(phantoms(5).ids().iter().all(|id| pack.get(id).is_some()) && !pack.is_damaged());
}

#[test]
fn what_a_killed_builder_finished_is_not_made_again() {
    let ((folder, dataset), (_keep, cache)) = (folder(), cache());
    let expected = all(&dataset, FORM);
    attach(&cache, &dataset, FORM);
    let path = cache.path(&dataset, FORM, "code");
    let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
    // As it was left: the first part whole, the second cut off, a third begun.
    let parts = path.with_extension("parts");
    fs::create_dir_all(&parts).expect("made");
    let mut writer = file::Writer::begin(Vec::new(), &name).expect("begun");
    for id in &dataset.ids()[..32] {
        dataset.look(id, FORM, |picture| writer.add(id, picture).expect("added")).expect("seen");
    }
    let part = writer.finish().expect("finished");
    fs::write(parts.join("00000.pack"), &part).expect("written");
    fs::write(parts.join("00001.pack"), &part[..part.len() / 2]).expect("written");
    fs::write(parts.join(".tmpabc"), &part[..99]).expect("written");
    fs::remove_file(&path).expect("removed");
    // Nobody can decode the first image any more: only its part has it.
    fs::remove_file(folder.path().join("set/images/0.png")).expect("removed");
    let packed = attach(&cache, &dataset, FORM);
    assert_eq!(all(&packed, FORM), expected);
    assert!(!parts.exists());
}

#[test]
fn a_damaged_part_is_made_again() {
    let (_keep, cache) = cache();
    let (dataset, expected) = (phantoms(40), all(&phantoms(40), FORM));
    let path = cache.path(&dataset, FORM, "code");
    let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
    let parts = path.with_extension("parts");
    fs::create_dir_all(&parts).expect("made");
    let mut writer = file::Writer::begin(Vec::new(), &name).expect("begun");
    for id in &dataset.ids()[32..] {
        dataset.look(id, FORM, |picture| writer.add(id, picture).expect("added")).expect("seen");
    }
    let mut part = writer.finish().expect("finished");
    part[50] ^= 1;
    fs::write(parts.join("00001.pack"), &part).expect("written");
    assert_eq!(all(&attach(&cache, &dataset, FORM), FORM), expected);
    assert!(!parts.exists());
}

#[test]
fn builders_at_the_same_time_do_not_disturb_each_other() {
    for _ in 0..5 {
        let (keep, cache) = cache();
        let (dataset, expected) = (phantoms(70), all(&phantoms(70), FORM));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(all(&attach(&cache, &dataset, FORM), FORM), expected));
            }
        });
        let left: Vec<_> = fs::read_dir(keep.path().join("cache/images"))
            .expect("folder")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_a_warning() {
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("cache"), "in the way").expect("written");
    let attached = Cache::at(folder.path()).attach(&phantoms(3), FORM, "code", QUIET).expect("attached");
    assert!(attached.warning.is_some_and(|text| text.contains("cache/images") && text.contains("writable")));
    assert!(attached.dataset.pack().is_none());
    assert_eq!(all(&attached.dataset, FORM), all(&phantoms(3), FORM));
}

#[test]
fn an_altered_source_is_refused_when_the_pack_is_built() {
    let ((folder, dataset), (_keep, cache)) = (folder(), cache());
    let image = folder.path().join("set/images/3.png");
    let mut bytes = fs::read(&image).expect("read");
    bytes.push(0);
    fs::write(&image, bytes).expect("written");
    let error = cache.attach(&dataset, FORM, "code", QUIET).expect_err("refused");
    assert!(matches!(&error, DataError::Altered { path, .. } if *path == image), "{error}");
    assert!(!cache.path(&dataset, FORM, "code").exists());
}

#[test]
fn the_resized_of_a_packed_dataset_is_that_of_a_sample() {
    let (_keep, cache) = cache();
    let dataset = phantoms(4);
    let mut protocol = dygl_spec::testing::protocol();
    protocol.image.size = 12;
    let packed = attach(&cache, &dataset, Form::of(&protocol));
    for id in dataset.ids() {
        let expected: Resized = prepare::resized(&dataset.load(id).expect("drawn"), &protocol.image);
        assert_eq!(packed.resized(id, &protocol.image).expect("served"), expected);
    }
    // Nobody is meant to write into it.
    let mode = fs::metadata(packed.pack().expect("packed").path()).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o444);
}
