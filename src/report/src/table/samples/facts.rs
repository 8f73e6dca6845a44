//! Tables of facts: the datasets, the costs.

use dygl_spec::TableKind;
use dygl_spec::ledger::{Counted, Difference, DifferenceKind};
use dygl_spec::network::Group;
use dygl_spec::reported::Printed;

use super::{digest, results};
use crate::table::costs::{CostCard, MeanDice, PaperCost};
use crate::table::datasets::{DatasetCard, Here, Numbers, Parts};
use crate::table::results::Results;

/// Four datasets: registered, partial, and two that are not there.
pub(crate) fn datasets() -> Results {
    let numbers = |images, train, validation, test, modality: &str| Numbers {
        images,
        parts: Parts { train, validation, test },
        resize: Some([224, 224]),
        modality: modality.to_owned(),
    };
    let found = |images, expected, (train, validation, test), sizes: &str| Here::Found {
        images,
        expected,
        parts: Some(Parts { train, validation, test }),
        trouble: String::new(),
        sizes: sizes.to_owned(),
        digest: digest("content"),
        split_digest: digest("split"),
        built_in: false,
    };
    let card =
        |id: &str, title: &str, paper: Numbers, taken: Option<Numbers>, here: Option<Here>| DatasetCard {
            asked: id.into(),
            used: id.into(),
            title: title.into(),
            defined: Some(Numbers { resize: None, ..taken.unwrap_or_else(|| paper.clone()) }),
            paper: Some(paper),
            variant: String::new(),
            size: 224,
            here: here.unwrap_or_else(|| Here::Missing {
                command: format!("dygl dataset add {id} PATH"),
                page: format!("https://example.org/{id}"),
            }),
        };
    let mut results = results(Vec::new());
    results.name = "table1".into();
    results.title = "Characteristics of the datasets".into();
    results.question = "Which images do the other tables rest on, here and in the paper?".into();
    results.paper_table = Some(1);
    results.kind = TableKind::Datasets;
    let polyps = "Colon polyp images";
    results.datasets = vec![
        card(
            "kvasir-seg",
            "Kvasir-SEG",
            numbers(1000, 800, 100, 100, polyps),
            None,
            Some(found(1000, 1000, (800, 100, 100), "332 to 1920 x 352 to 1072")),
        ),
        card(
            "cvc-clinicdb",
            "CVC-ClinicDB",
            numbers(612, 489, 61, 62, polyps),
            None,
            Some(found(62, 612, (50, 6, 6), "384 x 288")),
        ),
        card(
            "brain-mri",
            "Brain-MRI",
            numbers(1373, 1089, 137, 138, "MR Images"),
            Some(numbers(1373, 1098, 137, 138, "MR Images")),
            None,
        ),
        card("isic2016", "ISIC2016", numbers(1279, 900, 0, 379, "Dermoscopy Images"), None, None),
    ];
    results
}

/// Three networks: one whose print the counter does not give, one with all in
/// order, one that is registered twice.
pub(crate) fn costs() -> Results {
    let printed = |text: &str| Printed::parse(text).expect("a number");
    let card = |model: &str, label: &str, group, counts: [u64; 4], paper: [&str; 3], differences| CostCard {
        model: model.into(),
        label: label.into(),
        group,
        size: 224,
        parameters: counts[0],
        operations: counts[1],
        published: Counted { parameters: counts[2], operations: counts[3] },
        differences,
        paper: Some(PaperCost {
            parameters: printed(paper[0]),
            operations: printed(paper[1]),
            dice: printed(paper[2]),
        }),
        dice: MeanDice { of: 7, ..MeanDice::default() },
    };
    let difference = |kind, what: &str, operations, parameters| Difference {
        kind,
        what: what.into(),
        operations,
        parameters,
    };
    let mut results = results(Vec::new());
    results.name = "table7".into();
    results.title = "Comparisons of the computational costs".into();
    results.question = "What does each network cost, truly and by the paper's way of counting?".into();
    results.paper_table = Some(7);
    results.kind = TableKind::Cost;
    results.costs = vec![
        card(
            "unet",
            "Unet",
            Group::Cnn,
            [31_037_633, 36_966_000_000, 31_037_633, 41_908_600_832],
            ["31.04", "41.48", "86.20"],
            vec![
                difference(
                    DifferenceKind::OtherRule,
                    "transposed convolution: counted by another rule",
                    4_945_000_000,
                    0,
                ),
                difference(DifferenceKind::OtherRule, "batch norm: counted by another rule", -2_399_168, 0),
            ],
        ),
        card(
            "hiformer_b",
            "HiFormer-B",
            Group::Hybrid,
            [25_510_955, 8_550_000_000, 34_136_545, 17_754_722_720],
            ["34.14", "17.75", "88.21"],
            vec![
                difference(
                    DifferenceKind::RegisteredTwice,
                    "resnet.layer1 is registered under two names",
                    9_700_000_000,
                    8_625_590,
                ),
                difference(DifferenceKind::NotCounted, "product of activations: no rule", -495_277_280, 0),
            ],
        ),
        card(
            "dyglnet",
            "DyGLNet",
            Group::Ours,
            [9_980_098, 11_230_000_000, 9_979_025, 11_162_572_368],
            ["9.98", "11.16", "90.72"],
            Vec::new(),
        ),
    ];
    results
}
