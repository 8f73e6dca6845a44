//! What is derived from the built-in sentences and numbers. A reader found the
//! thirteen points of the list that these tests follow; twelve are about numbers.

use dygl_spec::ledger::{Difference, DifferenceKind, Ledger};
use dygl_spec::reported;

use super::super::text::text;
use super::super::{Severity, Topic};
use super::*;

fn built_in() -> Audit {
    let reported = reported::embedded().expect("readable");
    let claims = Claims::embedded(reported).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    audit(&claims, reported, None).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[test]
fn one_the_parts_of_brain_mri_do_not_add_up() {
    let audit = built_in();
    let found = finding(&audit, "split-sum/brain-mri").is(Severity::Contradiction);
    found
        .has("sum", 1364.0)
        .has("images", 1373.0)
        .has("exchanged train", 1098.0)
        .rests_on(&[cell(1, "brain-mri", "", "train", "1089"), cell(1, "brain-mri", "", "images", "1373")]);
    let sums = audit.findings.iter().filter(|f| f.id.starts_with("split-sum/"));
    assert_eq!(sums.count(), 1, "the other six add up");
    finding(&audit, "brain-split/ratio").has("expected train", 1098.4);
}

#[test]
fn two_percentages_have_two_meanings() {
    let audit = built_in();
    let found = finding(&audit, "mixed-percentages");
    found.has("in points", 2.0).has("relative", 4.0).rests_on(&[
        cell(2, "kvasir-seg", "cmunext_l", "dice", "89.54"),
        cell(2, "kvasir-seg", "swin_unet", "iou", "83.21"),
        cell(6, "ph2", "dyglnet,norm=group", "dice", "95.00"),
    ]);
    // Each sentence is right in its own meaning.
    assert!(audit.findings.iter().all(|f| !f.id.ends_with("/gain") && !f.id.ends_with("/drop")));
}

#[test]
fn three_another_network_has_the_higher_recall() {
    let audit = built_in();
    let found = finding(&audit, "brain-recall/only-above").is(Severity::Contradiction);
    found.has("rank brain-mri recall", 4.0);
    assert_eq!(
        found.cells,
        [
            cell(3, "brain-mri", "dyglnet", "recall", "89.76"),
            cell(3, "brain-mri", "hiformer_b", "recall", "89.79")
        ]
    );
}

#[test]
fn four_hybrids_are_not_above_all_others() {
    let audit = built_in();
    let found = finding(&audit, "brain-hybrids/groups").is(Severity::Contradiction);
    // Dice: 1 of HiFormer-B, 4 of FATNet, 6 of BEFUnet; IoU: 2, 3 and 6.
    found.has("pairs", 22.0).has("of", 64.0);
    let dice = [
        ("fat_net", "86.60"),
        ("attention_unet", "86.99"),
        ("unetpp", "86.82"),
        ("dcsau_net", "87.53"),
        ("cmunext_l", "86.66"),
        ("bef_unet", "85.94"),
        ("unet", "86.40"),
        ("missformer", "86.57"),
    ];
    found.rests_on(&dice.map(|(model, printed)| cell(3, "brain-mri", model, "dice", printed)));
    assert!(!found.cells.iter().any(|cell| cell.model == "h2former"), "H2Former is above all");
}

#[test]
fn five_two_first_places_are_shared() {
    let audit = built_in();
    let specificity = finding(&audit, "brain-highest/best/tie").is(Severity::Overstatement);
    specificity.rests_on(&[cell(3, "brain-mri", "h2former", "specificity", "99.76")]);
    let accuracy = finding(&audit, "brain-recall/best/tie").is(Severity::Overstatement);
    accuracy.rests_on(&[cell(3, "brain-mri", "h2former", "accuracy", "99.56")]);
    assert_eq!((specificity.cells.len(), accuracy.cells.len()), (2, 2));
}

#[test]
fn six_and_seven_the_falls_are_largest_elsewhere() {
    let audit = built_in();
    let norm = finding(&audit, "without-dyt-most/most").is(Severity::Contradiction);
    norm.has("rank kvasir-seg", 1.0).has("rank ph2", 6.0);
    norm.has("drop ph2", 0.40).has("drop glas", 0.30).has("drop tnbc", 2.17).has("drop brain-mri", 1.24);
    let local = finding(&audit, "without-dilations-most/most").is(Severity::Contradiction);
    local.has("rank brain-mri", 3.0);
    local.has("drop brain-mri", 1.94).has("drop kvasir-seg", 4.89).has("drop tnbc", 2.61);
}

#[test]
fn eight_not_all_scores_are_outperformed() {
    let audit = built_in();
    finding(&audit, "cvc-outperforms/best/beyond").has("rank cvc-clinicdb precision", 2.0).rests_on(&[cell(
        2,
        "cvc-clinicdb",
        "hiformer_b",
        "precision",
        "93.98",
    )]);
    finding(&audit, "abstract-outperforms/best/beyond")
        .has("rank isic2016 precision", 6.0)
        .rests_on(&[cell(4, "isic2016", "dyglnet", "precision", "91.51")]);
    finding(&audit, "ph2-almost/best")
        .is(Severity::Overstatement)
        .has("rank ph2 accuracy", 2.0)
        .rests_on(&[cell(4, "ph2", "swin_unet", "accuracy", "98.18")]);
    assert!(audit.findings.iter().all(|f| f.id != "cvc-outperforms/best"), "Dice and IoU are the best");
}

#[test]
fn nine_others_are_smaller_and_cheaper() {
    let audit = built_in();
    let found = finding(&audit, "efficiency/cheaper").is(Severity::Ambiguity);
    found.has("rank params_m", 4.0).has("rank flops_g", 6.0).has("of", 13.0).has("next in mDice", 4.0);
    let smaller = [("dcsau_net", "2.60"), ("cmunext_l", "8.29"), ("unetpp", "9.16")];
    found.rests_on(&smaller.map(|(model, printed)| cell(7, "all", model, "params_m", printed)));
    let cheaper = [
        ("dcsau_net", "5.29"),
        ("swin_unet", "5.91"),
        ("m2snet", "6.91"),
        ("missformer", "7.25"),
        ("bef_unet", "7.95"),
    ];
    found.rests_on(&cheaper.map(|(model, printed)| cell(7, "all", model, "flops_g", printed)));
    assert_eq!(found.cells.len(), 2 + smaller.len() + cheaper.len());
}

/// Four ledgers: what thop counts is exact, the true operations are those of
/// convolutions and matrix products.
fn ledgers() -> Vec<Ledger> {
    let differing = |model: &str, parameters, published: [u64; 2], truth: u64, kind, what: &str| Ledger {
        differences: vec![Difference {
            kind,
            what: what.to_owned(),
            parameters: published[0] as i64 - parameters as i64,
            operations: published[1] as i64 - truth as i64,
        }],
        ..ledger(model, parameters, published, truth)
    };
    let (other, left_out) = (DifferenceKind::OtherRule, DifferenceKind::NotCounted);
    vec![
        differing(
            "unet,variant=table-exact",
            31_037_633,
            [31_037_633, 41_479_340_032],
            36_880_000_000,
            other,
            "transposed convolution",
        ),
        differing(
            "m2snet",
            29_741_585,
            [27_692_585, 6_910_570_352],
            13_479_194_400,
            left_out,
            "convolutions with ones",
        ),
        differing(
            "missformer",
            42_462_017,
            [35_452_225, 7_250_833_408],
            9_860_336_640,
            left_out,
            "products of the attention",
        ),
        differing(
            "dyglnet",
            9_980_098,
            [9_979_025, 11_162_572_368],
            11_233_609_040,
            left_out,
            "products of the attention",
        ),
    ]
}

#[test]
fn ten_the_counter_of_table_7_errs() {
    let without = built_in();
    assert!(without.unchecked.iter().any(|one| one.id == "ledger" && one.why.contains("no ledger")));
    assert!(without.findings.iter().all(|f| f.id != "counter"));

    let reported = reported::embedded().expect("readable");
    let claims = Claims::embedded(reported).expect("readable");
    let with = audit(&claims, reported, Some(&ledgers())).expect("complete");
    let found = finding(&with, "counter").is(Severity::Contradiction);
    found.has("true operations m2snet", 13_479_194_400.0).has("parameters m2snet", 29_741_585.0);
    found.has("printed over true unet", 41_479_340_032.0 / 36_880_000_000.0);
    // As printed: M2SNet, MISSFormer, DyGLNet, U-Net; truly: MISSFormer, DyGLNet, M2SNet, U-Net.
    found.has("ranks that change", 3.0);
    assert!(found.details.iter().any(|line| line.starts_with("M2SNet: 6.91 G printed, 13.48 G")));
    assert!(found.details.iter().any(|line| line.contains("counted by another rule: transposed")));
    assert!(with.findings.iter().all(|f| !f.id.starts_with("counted/")), "all four are as printed");
}

#[test]
fn a_ledger_that_does_not_meet_the_table_is_told() {
    let reported = reported::embedded().expect("readable");
    let claims = Claims::embedded(reported).expect("readable");
    let mut costs = ledgers();
    costs[0].model = "unet".to_owned();
    costs[0].published.operations = 41_908_600_832;
    let found = audit(&claims, reported, Some(&costs)).expect("complete");
    let told = finding(&found, "counted/unet").is(Severity::Contradiction);
    told.rests_on(&[cell(7, "all", "unet", "flops_g", "41.48")]);
    assert!(told.says.contains("41.91 G"), "{}", told.says);
}

#[test]
fn sentences_about_costs_are_held_against_the_ledger() {
    let reported = reported::embedded().expect("readable");
    let claims = Claims::embedded(reported).expect("readable");
    let mut costs = ledgers();
    let mut h2former = costs[3].clone();
    h2former.model = "h2former".to_owned();
    h2former.operations = 11_000_000_000;
    costs.push(h2former);
    let found = audit(&claims, reported, Some(&costs)).expect("complete");
    let told = finding(&found, "h2former/cheaper/true-costs").is(Severity::Contradiction);
    told.has("operations", 11_233_609_040.0).has("true rank operations", 2.0);
    // The ablations are not in this ledger.
    let open = found.unchecked.iter().find(|one| one.id == "advantage/costs-less").expect("open");
    assert!(open.why.contains("dyglnet,upsample=bilinear"), "{}", open.why);
}

/// A ledger for every network that the audit asks for leaves nothing about costs open.
#[test]
fn every_network_that_a_sentence_is_about_is_counted() {
    let reported = reported::embedded().expect("readable");
    let claims = Claims::embedded(reported).expect("readable");
    let asked: Vec<String> = networks_to_count(&claims, reported).iter().map(ToString::to_string).collect();
    assert_eq!(asked.len(), 13 + 1 + 3, "table 7, U-Net as it was counted, the ablations: {asked:?}");
    for variant in [
        "unet,variant=table-exact",
        "dyglnet,upsample=transposed",
        "dyglnet,upsample=bilinear",
        "dyglnet,global=none",
    ] {
        assert!(asked.iter().any(|model| model == variant), "{variant}: {asked:?}");
    }
    let costs: Vec<Ledger> = asked
        .iter()
        .map(|model| ledger(model, 9_980_098, [9_979_025, 11_162_572_368], 11_233_609_040))
        .collect();
    let found = audit(&claims, reported, Some(&costs)).expect("complete");
    assert_eq!(found.unchecked, []);
    finding(&found, "advantage/costs-less/true-costs").is(Severity::Contradiction);
}

#[test]
fn every_number_of_the_answer_adds_up() {
    let reported = reported::embedded().expect("readable");
    let claims = Claims::embedded(reported).expect("readable");
    for audit in [built_in(), audit(&claims, reported, Some(&ledgers())).expect("complete")] {
        assert_eq!(audit.checks, audit.held.len() + audit.findings.len() + audit.unchecked.len());
        let by_severity: usize = Severity::ALL.iter().map(|severity| audit.count(*severity)).sum();
        let by_topic: usize = Topic::ALL.iter().map(|topic| audit.of(*topic).count()).sum();
        assert_eq!([by_severity, by_topic], [audit.findings.len(); 2]);
        let without: usize = audit.general.iter().map(|general| general.found).sum();
        assert_eq!(audit.of_sentences() + without, audit.findings.len());
    }
}

#[test]
fn eleven_values_repeat_in_table_6() {
    let audit = built_in();
    let found = finding(&audit, "repeats/table-6").is(Severity::Coincidence);
    found.has("pairs", 6.0);
    let (bilinear, transposed) = ("dyglnet,upsample=bilinear", "dyglnet,upsample=transposed");
    let local = "dyglnet,split=local";
    let pairs = [
        ("glas", "dice", "93.60", bilinear, transposed),
        ("glas", "iou", "88.09", bilinear, transposed),
        ("cvc-clinicdb", "dice", "92.61", transposed, local),
        ("brain-mri", "dice", "87.60", bilinear, local),
        ("ph2", "dice", "95.13", "dyglnet,local=none", local),
        ("isic2016", "dice", "91.30", bilinear, "dyglnet,global=none"),
    ];
    for (dataset, metric, printed, a, b) in pairs {
        found.rests_on(&[a, b].map(|model| cell(6, dataset, model, metric, printed)));
    }
    assert_eq!(found.cells.len(), 2 * pairs.len());
    assert_eq!(audit.of(Topic::Repeats).count(), 1, "the other tables have no more than chance gives");
}

#[test]
fn twelve_no_rule_for_two_datasets_and_names_that_vary() {
    let audit = built_in();
    let found = finding(&audit, "no-validation").is(Severity::Ambiguity);
    found
        .has("without validation", 2.0)
        .rests_on(&[cell(1, "isic2016", "", "validation", "0"), cell(1, "tnbc", "", "validation", "0")]);
    for id in ["spelling/dataset/glas", "spelling/metric/iou", "spelling/network/unet"] {
        finding(&audit, id).is(Severity::Spelling).has("spellings", 2.0);
    }
}

#[test]
fn sums_means_and_bounds_hold_elsewhere() {
    let audit = built_in();
    assert_eq!(audit.of(Topic::Relations).count(), 0);
    let examined = |name: &str| audit.general.iter().find(|g| g.name == name).map(|g| g.examined);
    assert_eq!(examined("mean Dice of table 7"), Some(13));
    assert_eq!(examined("numbers in two tables"), Some(14));
    // 13 networks: 7 bounds on three datasets, 4 on four; 8 rows of table 6: 2 on seven.
    assert_eq!(examined("bounds between scores"), Some(13 * (3 * 7 + 4 * 4) + 8 * 2 * 7));
}

#[test]
fn every_finding_can_be_told_apart() {
    let audit = built_in();
    let mut ids: Vec<&str> = audit.findings.iter().map(|finding| finding.id.as_str()).collect();
    ids.extend(audit.held.iter().map(|held| held.id.as_str()));
    ids.sort_unstable();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count);
    assert!(audit.findings.iter().all(|f| !f.place.is_empty() && !f.says.is_empty()));
    assert!(audit.findings.iter().all(|f| f.claim.is_none() == f.quote.is_empty()));
}

#[test]
fn the_answer_as_text() {
    insta::assert_snapshot!("text", text(&built_in(), true));
}
