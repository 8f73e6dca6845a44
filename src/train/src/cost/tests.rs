//! Published figures, to the digit.

use super::*;

mod capture;
mod memory;

fn costs(model: &str) -> Ledger {
    ledger(&Named::parse(model).expect("valid"), 224, 1).expect("known")
}

/// Parameters, thop's parameters and operations, fvcore's total.
fn holds(model: &str, parameters: u64, published: [u64; 2], fvcore: u64) {
    let found = costs(model);
    assert_eq!(found.parameters, parameters, "{model}");
    assert_eq!([found.published.parameters, found.published.operations], published, "{model}");
    let off = found.fvcore.abs_diff(fvcore) as f64 / fvcore as f64;
    assert!(off < 1e-3, "{model}: fvcore {} and {fvcore}", found.fvcore);
    let way: i64 = found.differences.iter().map(|difference| difference.operations).sum();
    assert_eq!(found.operations as i64 + way, found.published.operations as i64, "{model}: operations");
    let way: i64 = found.differences.iter().map(|difference| difference.parameters).sum();
    assert_eq!(found.parameters as i64 + way, found.published.parameters as i64, "{model}: parameters");
}

#[test]
fn convolutional_networks() {
    holds("unet,variant=table-exact", 31_037_633, [31_037_633, 41_479_340_032], 36_927_127_552);
    holds("unet", 31_037_633, [31_037_633, 41_908_600_832], 36_927_127_552);
    holds("attention_unet", 34_878_573, [34_878_573, 51_015_008_576], 50_941_819_040);
    holds("unetpp", 9_163_329, [9_163_329, 26_722_934_784], 26_533_470_208);
    holds("dcsau_net", 2_598_785, [2_598_785, 5_294_790_656], 5_147_949_312);
    holds("m2snet", 29_741_585, [27_692_585, 6_910_570_352], 13_479_194_400);
    holds("cmunext_l", 8_286_721, [8_286_721, 13_155_896_320], 13_020_621_824);
}

#[test]
fn transformers_and_hybrids() {
    holds("missformer", 42_462_017, [35_452_225, 7_250_833_408], 9_860_336_640);
    holds("swin_unet", 27_168_132, [27_145_824, 5_910_806_496], 6_125_624_064);
    holds("hiformer_b", 25_510_955, [34_136_545, 17_754_722_720], 7_955_838_272);
    holds("h2former", 33_678_656, [33_634_916, 24_671_281_024], 24_824_383_936);
    holds("fat_net", 28_758_657, [29_615_073, 42_799_557_632], 22_957_708_288);
    holds("bef_unet", 41_692_449, [42_607_129, 7_953_323_392], 5_926_526_272);
}

#[test]
fn dyglnet_and_its_ablations() {
    holds("dyglnet", 9_980_098, [9_979_025, 11_162_572_368], 11_233_609_040);
    holds("dyglnet,upsample=bilinear", 9_956_418, [9_955_345, 11_116_410_448], 11_187_447_120);
    holds("dyglnet,upsample=transposed", 10_216_002, [10_214_929, 12_089_423_440], 11_164_366_160);
    holds("dyglnet,norm=group", 9_980_089, [9_979_025, 11_162_572_368], 11_234_694_880);
    holds("dyglnet,local=none", 9_915_286, [9_914_213, 11_131_415_424], 11_207_245_472);
    holds("dyglnet,global=none", 9_928_025, [9_928_025, 11_142_470_608], 11_040_718_384);
    holds("dyglnet,split=local", 10_521_562, [10_521_021, 11_340_773_368], 11_344_969_336);
    holds("dyglnet,split=global", 9_139_562, [9_137_425, 10_894_346_784], 11_099_064_864);
}

#[test]
fn other_readings_of_the_ablations() {
    // Published and fvcore's operations, G; where the page states them.
    for (model, published, fvcore) in [
        ("dyglnet,upsample=transposed-wide", 13.711, Some(11.813)),
        ("dyglnet,norm=layer", 11.1634, None),
        ("dyglnet,norm=batch", 11.1634, None),
        ("dyglnet,local=nowhere", 10.899, Some(11.010)),
        ("dyglnet,local=single", 11.142, Some(11.216)),
        ("dyglnet,local=identity", 10.481, Some(10.563)),
        ("dyglnet,split=half", 10.830, Some(11.079)),
    ] {
        let found = costs(model);
        let close = |found: u64, stated: f64| (found as f64 / 1e9 - stated).abs() < 6e-4;
        assert!(close(found.published.operations, published), "{model}: {}", found.published.operations);
        if let Some(fvcore) = fvcore {
            assert!((found.fvcore as f64 / 1e9 / fvcore - 1.0).abs() < 1e-3, "{model}: {}", found.fvcore);
        }
    }
}
