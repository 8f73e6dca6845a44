//! The roofline as tables.

use super::{Kind, Network, Peaks, Results};
use crate::grid::{figure, markdown};

const HEADERS: [&str; 12] = [
    "kind",
    "calls",
    "ms",
    "of the step",
    "forward ms",
    "backward ms",
    "GFLOP",
    "GB",
    "GFLOP/s",
    "GB/s",
    "bound by",
    "of its roof",
];

/// What bounds a kind: whatever bounds the calls that take most of its time.
fn bounds(kind: &Kind) -> &'static str {
    let part = kind.both();
    match part.arithmetic_ms / part.ms {
        share if share > 0.5 => "arithmetic",
        _ => "memory",
    }
}

/// Every network's table with what it explains, and the peaks.
pub fn table(results: &Results) -> String {
    let mut text = peaks(&results.peaks);
    for network in &results.networks {
        text.push_str(&format!(
            "\n{}, batch {}, {} px, {}:\n\n",
            network.model, network.batch, network.size, results.device
        ));
        text.push_str(&markdown_of(network));
    }
    text
}

/// The peaks in a sentence.
pub fn peaks(peaks: &Peaks) -> String {
    format!(
        "Peaks: product of matrices 2048 x 2048 {} GFLOP/s (burn) and {} GFLOP/s (our tile); \
         256 MiB arrays: copy {} GB/s, triad {} GB/s. The roofs are {} GFLOP/s and {} GB/s.\n",
        figure(peaks.product_gflops),
        figure(peaks.tile_gflops),
        figure(peaks.copy_gbs),
        figure(peaks.triad_gbs),
        figure(peaks.gflops()),
        figure(peaks.gbs()),
    )
}

/// A network's table and the sentences below it.
pub fn markdown_of(network: &Network) -> String {
    let step: f64 = network.step.iter().map(|part| part.min).sum();
    let rows: Vec<Vec<String>> = network.kinds.iter().map(|kind| row(kind, step)).collect();
    let mut text = markdown(&HEADERS, 1, &rows);
    let sum = |part: fn(&Kind) -> f64| network.kinds.iter().map(part).sum::<f64>();
    let (forward, backward) = (sum(|kind| kind.forward.ms), sum(|kind| kind.backward.ms));
    let [of_forward, of_backward, of_update] = network.step.map(|part| part.min);
    let all = forward + backward;
    text.push_str(&format!(
        "\nDone alone, these take {} ms ({} forward, {} backward); the step as a whole was measured at {} ms \
         (forward and loss {}, backward {}, update {}): the sum is {:.0} % of it. At its roofs it would take {} ms. \
         {:.1} % of the ledger's multiply-accumulates are among them.\n",
        figure(all),
        figure(forward),
        figure(backward),
        figure(step),
        figure(of_forward),
        figure(of_backward),
        figure(of_update),
        100.0 * all / step,
        figure(sum(|kind| kind.forward.roof_ms + kind.backward.roof_ms)),
        100.0 * network.replayed / network.ledger,
    ));
    if !network.left_out.is_empty() {
        let named: Vec<String> =
            network.left_out.iter().map(|(what, count)| format!("{what} ({count})")).collect();
        text.push_str(&format!("Not done again: {}.\n", named.join(", ")));
    }
    text
}

fn row(kind: &Kind, step: f64) -> Vec<String> {
    let part = kind.both();
    let gflop = 2e-9 * part.operations;
    let or_dash = |value: f64| if value > 0.0 { figure(value) } else { "-".into() };
    vec![
        kind.kind.clone(),
        kind.calls.to_string(),
        figure(part.ms),
        format!("{:.1} %", 100.0 * part.ms / step),
        figure(kind.forward.ms),
        or_dash(kind.backward.ms),
        or_dash(gflop),
        figure(1e-9 * part.bytes),
        or_dash(1e3 * gflop / part.ms),
        figure(1e-6 * part.bytes / part.ms),
        bounds(kind).into(),
        format!("{:.0} %", 100.0 * part.roof_ms / part.ms),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Part;
    use super::*;
    use dygl_bench::spread::Spread;

    #[test]
    fn a_row_tells_rates_and_the_roof() {
        let part = |ms: f64| Part {
            operations: 1e9,
            bytes: 1e9,
            ms,
            median_ms: ms,
            arithmetic_ms: ms,
            roof_ms: 20.0,
        };
        let kind =
            Kind { kind: "linear".into(), distinct: 1, calls: 2, forward: part(40.0), backward: part(60.0) };
        let spread = Spread { min: 100.0, median: 110.0 };
        let network = Network {
            model: "unet".into(),
            size: 224,
            batch: 2,
            step: [spread; 3],
            kinds: vec![kind],
            left_out: BTreeMap::from([("casts".into(), 3)]),
            ledger: 2e9,
            replayed: 1e9,
        };
        let text = markdown_of(&network);
        let row: Vec<&str> =
            text.lines().nth(2).expect("a row").trim_matches('|').split('|').map(str::trim).collect();
        let expected = [
            "linear",
            "2",
            "100",
            "33.3 %",
            "40.0",
            "60.0",
            "4.00",
            "2.00",
            "40.0",
            "20.0",
            "arithmetic",
            "40 %",
        ];
        assert_eq!(row, expected);
        assert!(text.contains("the sum is 33 % of it") && text.contains("50.0 % of the ledger"), "{text}");
        assert!(text.contains("casts (3)"), "{text}");
    }
}
