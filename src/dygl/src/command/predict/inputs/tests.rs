//! Which pictures a call takes, and their names.

use super::*;

fn put(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
    fs::write(path, bytes).expect("written");
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";

fn found(root: &Path, arguments: &[&str]) -> Vec<(String, String)> {
    let arguments: Vec<PathBuf> = arguments.iter().map(|a| root.join(a)).collect();
    let inputs = collect(&arguments, &root.join("out"), None).expect("found");
    let short = |file: &Path| file.strip_prefix(root).expect("below").display().to_string();
    inputs.pictures.iter().map(|picture| (short(&picture.file), picture.name.clone())).collect()
}

#[test]
fn folders_files_and_patterns_are_searched_once() {
    let root = tempfile::tempdir().expect("folder");
    let root = fs::canonicalize(root.path()).expect("canonical");
    for file in ["in/a.png", "in/deep/b.JPG", "in/deep/scan", "in/.hidden.png", "in/x/c1.png", "in/x/c2.bmp"]
    {
        put(&root, file, PNG);
    }
    put(&root, "in/notes.txt", b"text");
    put(&root, "out/old.mask.png", PNG);
    std::os::unix::fs::symlink(root.join("in"), root.join("in/deep/back")).expect("link");
    let names = |found: Vec<(String, String)>| found.into_iter().map(|(_, n)| n).collect::<Vec<_>>();
    assert_eq!(names(found(&root, &["in"])), ["a", "deep/b", "deep/scan", "x/c1", "x/c2"]);
    assert_eq!(names(found(&root, &["in/a.png", "in", "in/a.png"])).len(), 5);
    assert_eq!(names(found(&root, &["in/*/*[12].*"])), ["x/c1", "x/c2"]);
    assert_eq!(names(found(&root, &["in/**/?.[!p]*"])), ["deep/b"]);
    let nothing = collect(&[root.join("in/notes")], &root.join("out"), None).expect_err("missing");
    assert_eq!(nothing.exit, Exit::Environment);
    put(&root, "empty/notes.txt", b"text");
    let nothing = collect(&[root.join("empty")], &root.join("out"), None).expect_err("empty");
    assert_eq!(nothing.exit, Exit::NothingSelected);
    let itself = collect(&[root.join("out")], &root.join("out"), None).expect_err("its own");
    assert!(itself.message.contains("--out is the folder of the images"), "{}", itself.message);
}

#[test]
fn equal_names_take_what_tells_them_apart() {
    let root = tempfile::tempdir().expect("folder");
    let root = fs::canonicalize(root.path()).expect("canonical");
    for file in ["a/1.png", "b/1.png", "a/2.png", "a/2.jpg", "c/d/3.png", "e/d/3.png"] {
        put(&root, file, PNG);
    }
    let pairs = found(&root, &["a/1.png", "b/1.png", "a/2.png", "a/2.jpg", "c/d/3.png", "e/d/3.png"]);
    let names: Vec<&str> = pairs.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["a/1", "b/1", "2.png", "2.jpg", "c/d/3", "e/d/3"]);
}

#[test]
fn what_an_earlier_call_wrote_is_no_photo() {
    let root = tempfile::tempdir().expect("folder");
    let root = fs::canonicalize(root.path()).expect("canonical");
    for file in [
        "in/1.png",
        "in/first/1.mask.png",
        "in/first/deep/2.overlay.png",
        "in/first/kept.png",
        "in/first/predictions.csv",
        "in/first/provenance.json",
        "in/second/1.probability.png",
        "in/second/.predicting.jsonl",
        "in/mine/1.mask.png",
        "in/store/store/v1/ab/abcd/attempts/1/samples/1.image.png",
    ] {
        put(&root, file, if file.ends_with(".png") { PNG } else { b"text" });
    }
    let names =
        |arguments: &[&str]| found(&root, arguments).into_iter().map(|(file, _)| file).collect::<Vec<_>>();
    let sheet = dygl_base::signature::signed([PNG, &[0; 40]].concat());
    put(&root, "in/sheet.png", &sheet);
    let photos = ["in/1.png", "in/first/kept.png", "in/mine/1.mask.png"];
    assert_eq!(names(&["in"]), photos);
    assert_eq!(names(&["in/**/*.png"]), photos);
    // Whoever names one means it.
    assert_eq!(names(&["in/first/1.mask.png"]), ["in/first/1.mask.png"]);
    assert_eq!(names(&["in/first/*.mask.png"]), ["in/first/1.mask.png"]);
    let nothing = collect(&[root.join("in/second")], &root.join("out"), None).expect_err("none");
    assert!(nothing.exit == Exit::NothingSelected, "{}", nothing.message);
    assert!(nothing.message.contains("1 that dygl wrote itself"), "{}", nothing.message);
}

#[test]
fn masks_beside_the_photos_are_no_photos() {
    let root = tempfile::tempdir().expect("folder");
    let root = fs::canonicalize(root.path()).expect("canonical");
    for file in ["in/a.png", "in/a_mask.png", "in/b_mask.png", "in/b_mask_mask.png", "in/deep/c.png"] {
        put(&root, file, PNG);
    }
    put(&root, "in/deep/c_mask.png", PNG);
    let truth = root.join("in/{id}_mask.png");
    let inputs = collect(&[root.join("in")], &root.join("out"), Some(&truth)).expect("pairs");
    let pairs: Vec<(String, String)> = inputs
        .pictures
        .iter()
        .map(|picture| {
            let mask = picture.truth.as_ref().expect("a mask");
            (picture.name.clone(), mask.strip_prefix(&root).expect("below").display().to_string())
        })
        .collect();
    let expected =
        [("a", "in/a_mask.png"), ("b_mask", "in/b_mask_mask.png"), ("deep/c", "in/deep/c_mask.png")];
    assert_eq!(pairs, expected.map(|(name, mask)| (name.to_owned(), mask.to_owned())));
    assert_eq!(inputs.masks, 3);
    // Masks that were not among the pictures are no news.
    let elsewhere = collect(&[root.join("in/a.png")], &root.join("out"), Some(&truth)).expect("a pair");
    assert_eq!((elsewhere.pictures.len(), elsewhere.masks), (1, 0));
}

#[test]
fn masks_are_found_by_name_and_mistakes_told_at_once() {
    let root = tempfile::tempdir().expect("folder");
    for file in ["in/a.jpg", "in/deep/b.jpg", "in/c.jpg", "masks/a.png", "masks/b.png"] {
        put(root.path(), file, PNG);
    }
    let collect = || collect(&[root.path().join("in")], Path::new("out"), Some(&root.path().join("masks")));
    let told = collect().expect_err("c has none").message;
    assert!(told.contains("c.jpg: no mask") && !told.contains("a.jpg"), "{told}");
    put(root.path(), "masks/c.png", PNG);
    let masks: Vec<_> = collect().expect("all").pictures.into_iter().filter_map(|p| p.truth).collect();
    assert_eq!(masks.len(), 3);
    assert!(masks[2].ends_with("masks/b.png"), "{masks:?}");
    put(root.path(), "masks/c.bmp", PNG);
    assert!(collect().expect_err("two").message.contains("2 masks of its name"));
}
