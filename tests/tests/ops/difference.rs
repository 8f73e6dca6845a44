//! The oracle against finite differences: central ones, in f64.

use dygl_tests::arrays::unit;

use super::harness::{Case, Values, objective, oracle};

/// Half the distance of the two points. Second differences vanish in the
/// difference; third ones come to STEP^2 / 6, rounding to 1e-16 / STEP.
const STEP: f64 = 1e-5;
/// Up to so many elements each is moved by itself.
const EACH: usize = 48;
/// Else all of them along so many random directions.
const DIRECTIONS: usize = 6;
/// Relative to the gradient: its largest element, or its norm for a direction.
const BOUND: f64 = 1e-6;

/// The oracle's gradient of every input is that of its values. Inputs must
/// stay further than [`STEP`] from kinks.
#[track_caller]
pub fn derives(case: &Case) {
    let exact = oracle(case);
    let inputs: Vec<Values> = case.inputs.iter().map(|input| Values::from(&input.array)).collect();
    let mut most = 0.0f64;
    for (place, input) in case.inputs.iter().enumerate().filter(|(_, input)| !input.is_constant) {
        let gradient = &exact[&format!("d {}", input.name)];
        let count = gradient.values.len();
        let directions: Vec<Vec<f64>> = if count <= EACH {
            (0..count).map(|at| (0..count).map(|index| f64::from(u8::from(index == at))).collect()).collect()
        } else {
            let sign = |index: usize| if unit(&case.name, index, 2) < 0.0 { -1.0 } else { 1.0 };
            (0..DIRECTIONS).map(|d| (0..count).map(|index| sign(d * count + index)).collect()).collect()
        };
        let norm = gradient.values.iter().map(|value| value * value).sum::<f64>().sqrt();
        let scale = if count <= EACH { gradient.largest() } else { norm };
        for direction in directions {
            let moved = |step: f64| {
                let mut inputs = inputs.clone();
                let values = inputs[place].values.iter_mut().zip(&direction);
                values.for_each(|(value, along)| *value += step * along);
                objective(case, &inputs)
            };
            let difference = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            let along: f64 = gradient.values.iter().zip(&direction).map(|(slope, along)| slope * along).sum();
            let apart = (difference - along).abs();
            let error = if apart == 0.0 { 0.0 } else { apart / scale };
            most = most.max(error);
            assert!(error <= BOUND, "{}, {}: {difference:e} and {along:e}, {error:e}", case.name, input.name);
        }
    }
    println!("ops oracle   against differences {most:.1e} / {BOUND:.0e}  {}", case.name);
}
