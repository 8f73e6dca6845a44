//! Split files of the three forms: mistakes with their lines, and the way there and back.

use dygl_testing::draws;
use proptest::prelude::*;

use super::*;

fn ids() -> Vec<String> {
    ["1", "2", "3", "train/4", "quo\"ted, 5"].map(str::to_owned).to_vec()
}

fn messages(form: Form, text: &str) -> Vec<String> {
    let mut mistakes = divide(form, text, "tnbc", &ids()).expect_err("mistakes");
    mistakes.sort();
    mistakes.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_written_is_read_again_in_every_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let partition = Partition::new(vec!["1".into(), "train/4".into()], vec![], vec!["quo\"ted, 5".into()]);
    for name in ["split.toml", "new/split.csv", "split.txt"] {
        let path = folder.path().join(name);
        write(&path, "tnbc", &ids(), &partition, "made for a test").expect("written");
        assert_eq!(read(&path, "tnbc", &ids()).expect("read"), partition, "{name}");
    }
    let error =
        write(&folder.path().join("split.json"), "tnbc", &ids(), &partition, "").expect_err("refused");
    assert!(error.to_string().contains(".toml, .csv or .txt"));
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 3);
}

#[test]
fn every_mistake_is_told_with_its_line() {
    let toml = "train = [\"1\",\n \"9\", 7]\ntset = [\"2\"]\ntest = [\"1\"]\ndataset = \"ph2\"\nx = 3\n";
    assert_eq!(
        messages(Form::Toml, toml),
        [
            " `3` is missing; list it under a part or under `unused`",
            " `quo\"ted, 5` is missing; list it under a part or under `unused`",
            " `train/4` is missing; list it under a part or under `unused`",
            " the part test holds no image of `tnbc`",
            "2: `tnbc` has no image `9`",
            "2: each entry of `train` must be an id in quotes",
            "3: there is no part `tset`; parts are train, validation, test and unused",
            "4: `1` is named twice: first in line 1, as train",
            "5: the file is for dataset `ph2`",
            "6: `x` is no list of ids; write train = [\"ID\", ...]",
        ]
    );
    let csv = "part,note,id\ntrain,a,1\ntest,b,1\nvalid,c,2\ntrain\n";
    let found = messages(Form::Csv, csv);
    for expected in ["3: `1` is named twice", "4: there is no part `valid`", "5: lacks a column"] {
        assert!(found.iter().any(|message| message.starts_with(expected)), "{expected}: {found:#?}");
    }
    let text = "1\n[train]\n# why\n2\n[test]\n2\n";
    let found = messages(Form::Text, text);
    for expected in ["1: an id before the first part", "6: `2` is named twice: first in line 4, as train"] {
        assert!(found.iter().any(|message| message.starts_with(expected)), "{expected}: {found:#?}");
    }
}

#[test]
fn ids_spelt_as_files_are_told_once() {
    let csv =
        "id,part\r\n1.png,train\r\n2.PNG,test\r\n3,test\r\ntrain/4.jpg,unused\r\n\"quo\"\"ted, 5\",train\r\n";
    let told = "2: `1.png` and 2 more are spelt with the endings of their files; ids have none: write `1`";
    assert_eq!(messages(Form::Csv, csv), [told]);
}

#[test]
fn lines_are_those_of_an_editor_whatever_ends_them() {
    for end in ["\n", "\r\n", "\r"] {
        let csv = ["id,part", "1,train", "2,tset", "", "3,test", "9,test"].join(end);
        let found = messages(Form::Csv, &csv);
        for expected in ["3: there is no part `tset`", "6: `tnbc` has no image `9`"] {
            assert!(found.iter().any(|message| message.starts_with(expected)), "{end:?}: {found:#?}");
        }
        let text = ["[train]", "1", "9", "[test]", "8"].join(end);
        let found = messages(Form::Text, &text);
        for expected in ["3: `tnbc` has no image `9`", "5: `tnbc` has no image `8`"] {
            assert!(found.iter().any(|message| message.starts_with(expected)), "{end:?}: {found:#?}");
        }
    }
}

#[test]
fn accents_of_either_form_and_blanks_around_do_not_matter() {
    let ids = ["Köln 0", " a", "a"].map(str::to_owned);
    let text = "id, part\nKo\u{308}ln 0 , train\n a,test\na, test\n";
    let found = divide(Form::Csv, text, "x", &ids).expect("valid");
    assert_eq!(found, Partition::new(vec!["Köln 0".into()], vec![], vec![" a".into(), "a".into()]));
}

/// Words of every kind that has a meaning in one of the three forms.
fn id() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(" "),
        Just("\n"),
        Just("\r"),
        Just("\""),
        Just("'"),
        Just(","),
        Just("#"),
        Just("["),
        Just("]"),
        Just("\\"),
        Just("\u{feff}"),
        Just("\t"),
        Just("train"),
        Just("é"),
        Just("a"),
        Just("/"),
        Just("\u{2028}"),
        Just("="),
        Just("\0"),
    ];
    proptest::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(draws(512))]

    #[test]
    fn every_id_is_read_as_it_was_written(
        ids in proptest::collection::btree_set(id(), 3..8),
        origin in ".*",
    ) {
        let ids: Vec<String> = ids.into_iter().collect();
        let partition =
            Partition::new(ids[..1].to_vec(), ids[1..2].to_vec(), ids[2..ids.len() - 1].to_vec());
        prop_assume!(!partition.part(Part::Test).is_empty());
        for form in [Form::Toml, Form::Csv, Form::Text] {
            let written = text(form, "x", &ids, &partition, &origin).expect("written");
            let read = divide(form, &written, "x", &ids);
            prop_assert_eq!(read.as_ref(), Ok(&partition), "{:?}: {}", form, written);
        }
    }
}

#[test]
fn broken_files_say_where_and_nothing_else() {
    assert!(messages(Form::Toml, "train = [\n\"1\n").iter().all(|m| m.contains("no TOML")));
    assert_eq!(
        messages(Form::Csv, "name,part\n1,train\n"),
        ["1: the header must name the columns `id` and `part`"]
    );
    assert_eq!(messages(Form::Csv, "id,part,ID\n1,train,2\n"), ["1: the header names the column `id` twice"]);
    assert!(messages(Form::Text, "")[0].contains("is missing"));
}

#[test]
fn endings_of_lines_and_byte_order_marks_do_not_matter() {
    let all =
        "id,part\r\n1,train\r\n2,test\r\n3,unused\r\ntrain/4,unused\r\n\"quo\"\"ted, 5\",validation\r\n";
    let plain = divide(Form::Csv, &all.replace("\r\n", "\n"), "tnbc", &ids()).expect("valid");
    assert_eq!(divide(Form::Csv, &format!("\u{feff}{all}"), "tnbc", &ids()).expect("valid"), plain);
    assert_eq!(plain.part_of("3"), None);
}
