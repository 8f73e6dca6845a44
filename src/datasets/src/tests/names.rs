//! Registration where names are not as a layout writes them: several masks, groups
//! by folder, files that nobody took, from folders and from archives.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use dygl_archive::Watch;
use dygl_spec::Origin;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, RgbImage};

use super::*;

fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, ImageFormat::Png).expect("encodes");
    bytes.into_inner()
}

fn photo(shade: u8) -> Vec<u8> {
    png(RgbImage::from_pixel(8, 6, image::Rgb([shade, 1, 2])))
}

/// Foreground in the columns from one to below the other.
fn truth(from: u32, to: u32) -> Vec<u8> {
    png(GrayImage::from_fn(8, 6, |x, _| Luma([if (from..to).contains(&x) { 255 } else { 0 }])))
}

struct Own {
    folder: tempfile::TempDir,
    manifest: Manifest,
}

impl Own {
    fn new(lines: &str, image: &str, mask: &str) -> Self {
        let text = format!(
            "title = \"x\"\nmask = {{ kind = \"grey\", above = 127 }}\n{lines}\n\
             [[layout]]\nimage = \"{image}\"\nmask = {mask}\n"
        );
        let manifest = Manifest::read_user("mine", Origin::Argument("test"), &text);
        let manifest = manifest.unwrap_or_else(|all| panic!("{all}"));
        Self { folder: tempfile::tempdir().expect("folder"), manifest }
    }

    fn put(&self, path: &str, bytes: Vec<u8>) {
        let path = self.folder.path().join("set").join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, bytes).expect("written");
    }

    fn registry(&self) -> Registry {
        Registry::at(&self.folder.path().join("store"))
    }

    fn add(&self, partial: bool) -> Result<Registration, DataError> {
        self.add_from(&[self.folder.path().join("set")], partial)
    }

    fn add_from(&self, sources: &[PathBuf], partial: bool) -> Result<Registration, DataError> {
        let text = "title = \"x\"\nmask = { kind = \"grey\", above = 127 }\n[[layout]]\n\
                    image = \"images/{id}.png\"\nmask = \"masks/{id}*.png\"\n";
        self.registry().add_from(&Addition {
            manifest: &self.manifest,
            own: Some(text),
            sources,
            terms: Terms { partial, ..Terms::default() },
            progress: QUIET,
            watch: Watch { told: &|_| {}, stop: &AtomicBool::new(false) },
        })
    }

    /// The files of the set as a zip archive, below a folder.
    fn zip(&self, below: &str) -> PathBuf {
        let root = self.folder.path().join("set");
        let mut writer = zip::write::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("readable").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path.strip_prefix(&root).expect("below").to_str().expect("UTF-8").to_owned();
                writer.start_file(format!("{below}{name}"), options).expect("started");
                writer.write_all(&fs::read(path).expect("read")).expect("written");
            }
        }
        let path = self.folder.path().join("set.zip");
        fs::write(&path, writer.finish().expect("finished").into_inner()).expect("written");
        path
    }
}

#[test]
fn several_masks_are_read_as_one_and_each_is_watched() {
    let own = Own::new("", "images/{id}.png", "\"masks/{id}*.png\"");
    for id in 0..4 {
        own.put(&format!("images/{id}.png"), photo(id));
        own.put(&format!("masks/{id}.png"), truth(0, 2));
    }
    own.put("masks/1_1.png", truth(6, 8));
    let registration = own.add(false).expect("registered");
    assert_eq!(registration.entries[1].masks().count(), 2);
    let dataset = Dataset::open(&Named::plain("mine"), &own.registry()).expect("opens");
    let row: Vec<u8> = dataset.load("1").expect("loads").mask.iter().take(8).copied().collect();
    assert_eq!(row, [255, 255, 0, 0, 0, 0, 255, 255]);
    assert_eq!(own.registry().verify("mine", QUIET).expect("readable"), []);
    // The second mask is content like the first.
    own.put("masks/1_1.png", truth(5, 8));
    let altered = [Problem::Altered { file: "masks/1_1.png".into() }];
    assert_eq!(own.registry().verify("mine", QUIET).expect("readable"), altered);
    assert!(matches!(dataset.load("1"), Err(DataError::Altered { .. })));
    assert_ne!(own.add(false).expect("registered").digest, registration.digest);
    // Of another size, it is named.
    own.put("masks/1_1.png", png(GrayImage::new(3, 3)));
    let error = own.add(false).expect_err("refused").to_string();
    assert!(error.contains("masks/1_1.png: is 3x3, but images/1.png is 8x6"), "{error}");
    // A mask that came later belongs to the layout.
    own.put("masks/1_1.png", truth(6, 8));
    own.add(false).expect("registered");
    own.put("masks/2_b.png", truth(6, 8));
    let extra = [Problem::Extra { file: "masks/2_b.png".into() }];
    assert_eq!(own.registry().verify("mine", QUIET).expect("readable"), extra);
}

#[test]
fn one_mask_written_in_two_ways_is_one_digest() {
    let plain = Own::new("", "images/{id}.png", "\"masks/{id}.png\"");
    let merged = Own::new("", "images/{id}.png", "\"masks/{id}*.png\"");
    for own in [&plain, &merged] {
        own.put("images/0.png", photo(1));
        own.put("masks/0.png", truth(0, 4));
    }
    assert_eq!(plain.add(false).expect("registered").digest, merged.add(false).expect("registered").digest);
}

#[test]
fn groups_come_from_folders_and_unknown_ones_are_none() {
    let own = Own::new(
        "group = { kind = \"folder\", in_id = true }",
        "{group}/images/{id}.png",
        "\"{group}/masks/{id}.png\"",
    );
    for (folder, id) in [("a", 1), ("a", 2), ("b", 1)] {
        own.put(&format!("{folder}/images/{id}.png"), photo(id));
        own.put(&format!("{folder}/masks/{id}.png"), truth(0, 3));
    }
    let found = own.add(false).expect("registered");
    let groups: BTreeMap<&str, Option<&str>> =
        found.entries.iter().map(|entry| (entry.id.as_str(), entry.group.as_deref())).collect();
    assert_eq!(groups, BTreeMap::from([("a/1", Some("a")), ("a/2", Some("a")), ("b/1", Some("b"))]));
    // A rule by ids takes no group from the folder.
    let own =
        Own::new("group = { kind = \"start\", before = \"_\" }", "{group}/{id}.png", "\"{group}/{id}.bmp\"");
    own.put("p/a_1.png", photo(0));
    own.put("p/a_1.bmp", truth(0, 3));
    own.put("p/b.png", photo(1));
    own.put("p/b.bmp", truth(0, 3));
    let groups: Vec<Option<String>> =
        own.add(false).expect("registered").entries.into_iter().map(|entry| entry.group).collect();
    assert_eq!(groups, [Some("a".to_owned()), None]);
}

#[test]
fn what_nobody_took_ends_it_from_folder_and_archive_alike() {
    let own = Own::new("", "images/{id}.png", "\"masks/{id}.png\"");
    for id in 0..3 {
        own.put(&format!("images/{id}.PNG"), photo(id));
        own.put(&format!("masks/{id}.png"), truth(0, 2));
    }
    own.put("images/more/9.png", photo(9));
    own.put("images/Thumbs.db", b"x".to_vec());
    let zip = own.zip("data/");
    for sources in [own.folder.path().join("set"), zip.clone()] {
        let error = own.add_from(&[sources], false).expect_err("refused");
        assert!(error.is_of_the_manifest(), "{error}");
        let text = error.in_full();
        assert!(text.contains("1 picture matches no layout: images/more/9.png"), "{text}");
        assert!(text.contains("images = 3") && !text.contains("Thumbs"), "{text}");
    }
    let folder = own.add(true).expect("registered");
    let archive = own.add_from(&[zip], true).expect("registered");
    assert_eq!((&folder.left_over, &folder.digest), (&archive.left_over, &archive.digest));
    assert_eq!(folder.left_over.len(), 1);
    // It is kept with the registration.
    assert_eq!(own.registry().require("mine").expect("there").left_over, folder.left_over);
}

#[test]
fn names_of_archives_are_compared_composed_too() {
    let own = Own::new("", "images/{id}.png", "\"masks/{id}.png\"");
    own.put("images/Köln.png", photo(1));
    own.put("masks/Ko\u{308}ln.png", truth(0, 2));
    let folder = own.add(false).expect("registered");
    assert_eq!((folder.entries[0].id.as_str(), folder.recomposed), ("Köln", 1));
    let archive = own.add_from(&[own.zip("")], false).expect("registered");
    assert_eq!((archive.digest, archive.recomposed), (folder.digest, 1));
}
