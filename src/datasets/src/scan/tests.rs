//! Pairs, problems and what is left over, in folders and in lists of names.

use std::path::Path;

use dygl_testing::folder;

use super::*;

fn manifest(id: &str) -> &'static Manifest {
    Manifest::find(id).expect("valid").expect("listed")
}

#[test]
fn ids_are_in_byte_order_and_every_problem_is_listed() {
    let root = folder(&[
        "images/10.png",
        "images/9.png",
        "images/2.png",
        "masks/10.png",
        "masks/9.png",
        "masks/7.png",
    ]);
    let scan = scan(manifest("cvc-clinicdb"), Tree::Folder(root.path())).expect("a layout fits");
    assert_eq!(scan.pairs.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["10", "9"]);
    assert_eq!(
        scan.problems,
        [
            Problem::MissingMask { image: "images/2.png".into(), expected: "masks/2.png".into() },
            Problem::MissingImage { mask: "masks/7.png".into(), expected: "images/7.png".into() },
        ]
    );
}

fn names_of(files: &[&str]) -> Vec<String> {
    files.iter().map(|file| (*file).to_owned()).collect()
}

/// The scan of a folder, which must equal that of a list of the same names.
fn both(id: &str, files: &[&str]) -> Scan {
    let root = folder(files);
    let found = scan(manifest(id), Tree::Folder(root.path())).expect("fits");
    let names = names_of(files);
    let listed = Tree::Names { archive: Path::new("a.zip"), names: &names };
    assert_eq!(found, scan(manifest(id), listed).expect("fits"));
    found
}

#[test]
fn later_layouts_are_found_and_parts_come_from_folders() {
    let found = both("cvc-clinicdb", &["Original/1.tif", "Ground Truth/1.tif"]);
    assert_eq!((found.layout, found.base.as_str()), (3, ""));
    assert_eq!(both("tnbc", &["Slide_01/01_1.png", "GT_01/01_1.png"]).pairs[0].id, "01_1");
    let found = both("kvasir-seg-352", &["test/images/3.jpg", "test/masks/3.jpg", "other/images/3.jpg"]);
    assert_eq!((found.pairs[0].id.as_str(), found.pairs[0].part), ("test/3", Some(Part::Test)));
    assert!(found.problems.is_empty());
}

#[test]
fn isic_and_glas_carry_official_parts() {
    let found = both(
        "isic2016",
        &[
            "ISBI2016_ISIC_Part1_Test_Data/ISIC_0000003.jpg",
            "ISBI2016_ISIC_Part1_Test_GroundTruth/ISIC_0000003_Segmentation.png",
            "ISBI2016_ISIC_Part1_Training_Data/ISIC_0000000.jpg",
            "ISBI2016_ISIC_Part1_Training_GroundTruth/ISIC_0000000_Segmentation.png",
        ],
    );
    let told: Vec<_> = found.pairs.iter().map(|p| (p.id.as_str(), p.part)).collect();
    assert_eq!(told, [("ISIC_0000000", Some(Part::Train)), ("ISIC_0000003", Some(Part::Test))]);
    let folder = "Warwick QU Dataset (Released 2016_07_08)";
    let files =
        ["Grade.csv", "testB_2.bmp", "testB_2_anno.bmp", "notes.bmp"].map(|file| format!("{folder}/{file}"));
    let found = both("glas", &files.each_ref().map(String::as_str));
    assert_eq!(found.base, format!("{folder}/"));
    assert_eq!((found.pairs[0].id.as_str(), found.pairs[0].part), ("testB_2", Some(Part::Test)));
    assert_eq!((found.pairs.len(), found.problems.len()), (1, 0));
}

#[test]
fn a_tree_that_stands_twice_is_taken_once() {
    let slice = "kaggle_3m/TCGA_A/TCGA_A_1";
    let files: Vec<String> = ["", "lgg-mri-segmentation/"]
        .iter()
        .flat_map(|top| [".tif", "_mask.tif"].map(|end| format!("{top}{slice}{end}")))
        .collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let found = both("brain-mri", &files);
    assert_eq!((found.pairs.len(), found.problems.len()), (1, 0));
    assert_eq!(found.pairs[0].image, "kaggle_3m/TCGA_A/TCGA_A_1.tif");
}

#[test]
fn regions_and_other_copies_are_passed_over() {
    let lesion = "PH2Dataset/PH2 Dataset images/IMD002";
    let files = [
        "IMD002_Dermoscopic_Image/IMD002.bmp",
        "IMD002_lesion/IMD002_lesion.bmp",
        "IMD002_lesion/IMD002_lesion.jpg",
        "IMD002_roi/IMD002_R1_Label4.bmp",
    ]
    .map(|file| format!("{lesion}/{file}"));
    let found = both("ph2", &files.each_ref().map(String::as_str));
    assert_eq!((found.pairs.len(), found.problems.len()), (1, 0));
    assert_eq!(found.pairs[0].id, "IMD002");
}

#[test]
fn a_foreign_folder_is_refused_with_what_was_looked_for() {
    let root = folder(&["a.txt"]);
    let error = scan(manifest("cvc-clinicdb"), Tree::Folder(root.path())).expect_err("refused");
    assert!(error.to_string().contains("Original/{id}.tif"), "{error}");
}

/// A manifest of a user's own with the given lines before its layouts.
fn own(lines: &str, layouts: &[(&str, &str)]) -> Manifest {
    let mut text = format!("title = \"x\"\nmask = {{ kind = \"grey\", above = 127 }}\n{lines}\n");
    for (image, mask) in layouts {
        let mask = if mask.starts_with('[') { (*mask).to_owned() } else { format!("\"{mask}\"") };
        text.push_str(&format!("[[layout]]\nimage = \"{image}\"\nmask = {mask}\n"));
    }
    Manifest::read_user("mine", dygl_spec::Origin::Argument("test"), &text)
        .unwrap_or_else(|all| panic!("{all}"))
}

/// The scan of a folder, which must equal that of a list of the same names.
fn of(manifest: &Manifest, files: &[&str]) -> Scan {
    let root = folder(files);
    let found = scan(manifest, Tree::Folder(root.path())).expect("fits");
    let names = names_of(files);
    let listed = Tree::Names { archive: Path::new("a.zip"), names: &names };
    assert_eq!(found, scan(manifest, listed).expect("fits"));
    found
}

fn ids(scan: &Scan) -> Vec<&str> {
    scan.pairs.iter().map(|pair| pair.id.as_str()).collect()
}

fn told<T: ToString>(of: &[T]) -> Vec<String> {
    of.iter().map(ToString::to_string).collect()
}

const PLAIN: (&str, &str) = ("images/{id}.png", "masks/{id}.png");

#[test]
fn endings_are_compared_without_case() {
    let files = ["images/0.PNG", "masks/0.png", "images/1.png", "masks/1.Png", "images/2.png", "masks/2.png"];
    let found = of(&own("", &[PLAIN]), &files);
    assert_eq!(ids(&found), ["0", "1", "2"]);
    assert_eq!(found.pairs[0].image, "images/0.PNG");
    assert!(found.problems.is_empty() && found.left_over.is_empty());
    // Two files of one name but for the case of the ending are two claims.
    let found = of(&own("", &[PLAIN]), &["images/0.png", "images/0.PNG", "masks/0.png"]);
    assert_eq!(
        told(&found.problems),
        ["images/0.png: the id `0` is images/0.PNG's too (rename or remove one)"]
    );
}

#[test]
fn every_picture_is_accounted_for_with_its_reason() {
    let manifest = own(
        "parts = { from = \"folder\", names = { train = \"train\" } }",
        &[("{part}/images/{id}.png", "{part}/masks/{id}.png")],
    );
    let files = [
        "train/images/0.png",
        "train/masks/0.png",
        "train/Images/1.png",
        "train/images/2.jpg",
        "train/images/deeper/3.png",
        "train/images/.4.png",
        "train/images/._5.png",
        "train/images/Thumbs.db",
        "train/images/6.heic",
        "val/images/7.png",
        "val/masks/7.png",
        "val\\images\\8.png",
        "out/0.mask.png",
        "out/predictions.csv",
        "out/provenance.json",
        "__MACOSX/train/images/0.png",
        "desktop.ini",
        "readme.txt",
    ];
    let found = of(&manifest, &files);
    assert_eq!(ids(&found), ["0"]);
    assert_eq!(told(&found.problems), [""; 0]);
    let reasons: Vec<(&Reason, usize)> = found.left_over.iter().map(|l| (&l.reason, l.count)).collect();
    let pattern = "{part}/images/{id}.png".to_owned();
    assert_eq!(
        reasons,
        [
            (&Reason::LetterCase { pattern: pattern.clone() }, 1),
            (&Reason::Ending { pattern }, 1),
            (&Reason::Format { ending: "heic".into() }, 1),
            (&Reason::Part { word: "val".into() }, 2),
            (&Reason::Hidden, 1),
            (&Reason::Backslash, 1),
            (&Reason::NoLayout, 1),
            (&Reason::Written, 1),
        ]
    );
    // All but the program's own outputs need a word.
    assert_eq!(found.objections(&manifest, false).len(), 7);
    assert!(found.objections(&manifest, true).is_empty());
    assert!(found.objections(&Manifest { images: 1, ..manifest.clone() }, false).is_empty());
    assert_eq!(found.objections(&Manifest { images: 9, ..manifest }, false).len(), 7);
}

#[test]
fn files_beside_a_wrapped_dataset_are_seen() {
    let found = of(&own("", &[PLAIN]), &["data/images/0.png", "data/masks/0.png", "cover.png", "notes.txt"]);
    assert_eq!((found.base.as_str(), ids(&found)), ("data/", vec!["0"]));
    assert_eq!(
        told(&found.left_over),
        ["1 picture matches no layout: ../cover.png (add a [[layout]] for them)"]
    );
}

#[test]
fn layouts_of_ones_own_are_joined_and_clash_by_name() {
    let two = [PLAIN, ("more/images/{id}.jpg", "more/masks/{id}.png")];
    let files = ["images/0.png", "masks/0.png", "more/images/1.jpg", "more/masks/1.png"];
    assert_eq!(ids(&of(&own("", &two), &files)), ["0", "1"]);
    let first = of(&own("layouts = \"first\"", &two), &files);
    assert_eq!((ids(&first), first.left_over[0].count), (vec!["0"], 2));
    assert!(!first.left_over[0].is_mistake());

    let clash = ["images/0.png", "masks/0.png", "more/images/0.jpg", "more/masks/0.png"];
    let problems = told(&of(&own("", &two), &clash).problems);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("more/images/0.jpg: the id `0` is images/0.png's too"), "{problems:?}");
    assert!(problems[0].contains("layouts = \"first\""), "{problems:?}");

    // One image, its mask as the one layout has it or as the other.
    let either = [("i/{id}.png", "m/{id}.png"), ("i/{id}.png", "m/{id}_gt.png")];
    let found = of(&own("", &either), &["i/0.png", "m/0.png", "i/1.png", "m/1_gt.png", "i/2.png"]);
    assert_eq!(ids(&found), ["0", "1"]);
    assert_eq!(
        told(&found.problems),
        [
            "i/2.png: has no mask (expected m/2.png or m/2_gt.png)",
            "m/1_gt.png: is a mask without image (expected i/1_gt.png)",
        ][..1]
    );
    // The same file as image of one pair and mask of another.
    let crossed = [("a/{id}.png", "b/{id}.png"), ("b/{id}.png", "c/{id}_x.png")];
    let found = of(&own("", &crossed), &["a/0.png", "b/0.png", "c/0_x.png"]);
    assert!(!found.problems.is_empty());
}

#[test]
fn repeated_names_ask_for_in_id() {
    let files = ["p1/images/1.png", "p1/masks/1.png", "p2/images/1.png", "p2/masks/1.png"];
    let layout = [("{group}/images/{id}.png", "{group}/masks/{id}.png")];
    let problems = told(&of(&own("", &layout), &files).problems);
    assert!(problems[0].contains("group = { kind = \"folder\", in_id = true }"), "{problems:?}");
    let found = of(&own("group = { kind = \"folder\", in_id = true }", &layout), &files);
    assert_eq!(ids(&found), ["p1/1", "p2/1"]);
    assert_eq!(found.pairs[1].group.as_deref(), Some("p2"));
    let parts = "parts = { from = \"folder\", names = { p1 = \"train\", p2 = \"test\" } }";
    let layout = [("{part}/images/{id}.png", "{part}/masks/{id}.png")];
    let problems = told(&of(&own(parts, &layout), &files).problems);
    assert!(problems[0].contains("in_id = true into `parts`"), "{problems:?}");
}

#[test]
fn accents_are_no_reason_to_part_image_and_mask() {
    let found = of(&own("", &[PLAIN]), &["images/Köln 0.png", "masks/Ko\u{308}ln 0.png"]);
    assert_eq!((ids(&found), found.recomposed), (vec!["Köln 0"], 1));
    assert_eq!(found.pairs[0].masks, ["masks/Ko\u{308}ln 0.png"]);
    let twins = ["images/Köln.png", "images/Ko\u{308}ln.png", "masks/Köln.png"];
    let problems = told(&of(&own("", &[PLAIN]), &twins).problems);
    assert!(problems[0].contains("coded in two ways"), "{problems:?}");
}

#[test]
fn several_masks_of_one_image_are_merged_where_that_is_meant() {
    let files = [
        "i/x.png",
        "m/x_mask.png",
        "m/x_mask_1.png",
        "i/y.png",
        "m/y_mask.png",
        "i/x_1.png",
        "m/x_1_mask.png",
    ];
    let found = of(&own("", &[("i/{id}.png", "m/{id}_mask*.png")]), &files);
    let masks: Vec<(&str, Vec<&str>)> =
        found.pairs.iter().map(|p| (p.id.as_str(), p.masks.iter().map(String::as_str).collect())).collect();
    assert_eq!(
        masks,
        [
            ("x", vec!["m/x_mask.png", "m/x_mask_1.png"]),
            ("x_1", vec!["m/x_1_mask.png"]),
            ("y", vec!["m/y_mask.png"]),
        ]
    );
    assert!(found.problems.is_empty() && found.left_over.is_empty(), "{found:?}");
    // A list of folders, of which an image need not be in all.
    let listed = own("", &[("i/{id}.png", "[\"m/0/{id}.png\", \"m/1/{id}.png\"]")]);
    let found = of(&listed, &["i/a.png", "m/0/a.png", "m/1/a.png", "i/b.png", "m/1/b.png"]);
    let counts: Vec<usize> = found.pairs.iter().map(|pair| pair.masks.len()).collect();
    assert_eq!(counts, [2, 1]);
    // In one folder with the images, the star does not take these.
    let found =
        of(&own("", &[("{id}.png", "{id}_*.png")]), &["a.png", "a_m.png", "a_b.png", "b.png", "b_m.png"]);
    assert_eq!((ids(&found), found.pairs[0].masks.len()), (vec!["a", "b"], 2));
}

#[test]
fn several_masks_without_a_word_are_a_mistake() {
    let found = of(&own("", &[("i/{id}.png", "m/{id}.{png,bmp}")]), &["i/x.png", "m/x.png", "m/x.bmp"]);
    let problems = told(&found.problems);
    assert!(problems[0].starts_with("i/x.png: has 2 masks: m/x.bmp, m/x.png"), "{problems:?}");
    // Nor does a star merge two formats of one mask.
    let found = of(&own("", &[("i/{id}.png", "m/{id}_*.*")]), &["i/x.png", "m/x_1.png", "m/x_1.bmp"]);
    assert!(told(&found.problems)[0].contains("no more than the ending"), "{:?}", found.problems);
}

#[test]
fn any_ending_pairs_exactly() {
    let any = own("", &[("images/{id}.*", "masks/{id}.*")]);
    let found = of(&any, &["images/0.jpg", "masks/0.PNG", "images/1.tif", "masks/1.bmp", "images/notes.txt"]);
    assert_eq!(ids(&found), ["0", "1"]);
    assert!(found.problems.is_empty());
    let found = of(&any, &["images/0.jpg", "images/0.png", "masks/0.png"]);
    assert_eq!(
        told(&found.problems),
        ["images/0.png: the id `0` is images/0.jpg's too (rename or remove one)"]
    );
}

#[test]
fn predictions_are_pairs_only_where_a_layout_says_so() {
    let files = ["images/0.png", "out/0.mask.png", "out/predictions.csv", "out/provenance.json"];
    let found = of(&own("", &[("images/{id}.png", "out/{id}.mask.png")]), &files);
    assert_eq!(ids(&found), ["0"]);
    let names = names_of(&files);
    let listed = Tree::Names { archive: Path::new("a.zip"), names: &names };
    let other = own("", &[("images/{id}.png", "out/{id}.png")]);
    let found = scan(&other, listed).expect("an image");
    assert_eq!(told(&found.problems), ["images/0.png: has no mask (expected out/0.png)"]);
}

#[test]
fn a_folder_of_another_make_is_refused_with_what_is_there() {
    let root = folder(&["Images/0.png", "Images/1.png", "Masks/0.png", "Masks/1.png"]);
    let error = scan(&own("", &[PLAIN]), Tree::Folder(root.path())).expect_err("refused").to_string();
    assert!(
        error.contains("2 pictures match `images/{id}.png` but for capital and small letters"),
        "{error}"
    );
    let root = folder(&["a.txt"]);
    let error = scan(&own("", &[PLAIN]), Tree::Folder(root.path())).expect_err("refused").to_string();
    assert!(error.ends_with("it holds no pictures at all"), "{error}");
}
