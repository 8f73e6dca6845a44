//! What a forward pass does: inside [`record`] every layer and operation tells
//! its kind, its shapes and its parameters. Costs are folded from that, so
//! they are those of the network that computes, at any size.
//!
//! Scopes say how the reference computes: [`functional`] marks what it does
//! without a module (tools that hook modules do not see it),
//! [`registered_twice`] what it does in a module with two names (they see it
//! twice), and [`besides`] tells what it computes in vain, which networks here
//! leave out.

use std::cell::{Cell, RefCell};

use burn::module::{Param, ParamId};
use burn::tensor::Tensor;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Convolution in two dimensions.
    Convolution,
    /// Its adjoint, which enlarges.
    ConvolutionTransposed,
    /// Convolution in one dimension.
    Convolution1d,
    /// Product of each token with a weight matrix.
    Linear,
    /// Product of two activations, as in attention.
    Product,
    /// Normalisation of each channel.
    BatchNorm,
    /// Normalisation of each token over its features.
    LayerNorm,
    /// Normalisation of groups of channels.
    GroupNorm,
    /// Dynamic tanh in place of a normalisation.
    DynamicTanh,
    /// Softmax along one axis.
    Softmax,
    /// Largest value of each window.
    MaxPool,
    /// Mean of each window.
    AveragePool,
    /// Adaptive average pooling to one value per channel or feature.
    GlobalAverage,
    /// The same written as a mean.
    Mean,
    /// Bilinear change of a map's size.
    ResizeBilinear,
    /// Enlargement of a map by a whole factor, each pixel repeated.
    ResizeNearest,
    /// Bilinear samples at computed positions.
    Sample,
    /// x Phi(x) of each value.
    Gelu,
}

/// Why something was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// The logits depend on it.
    Live,
    /// Computed a second time by the reference, with the same result.
    Repeated,
    /// Changes nothing: a pool of one pixel.
    Identity,
    /// Computed and handed on, but cut away before the logits.
    Ineffective,
    /// Computed and read by nobody.
    Unread,
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What was done.
    pub kind: Kind,
    /// Shape of the input; of a product's first factor.
    pub input: Vec<usize>,
    /// Shape of the output.
    pub output: Vec<usize>,
    /// Multiply-accumulates that an output value takes: for a product the
    /// length of its sum, for a pool its area, else 1.
    pub terms: usize,
    /// The parameters of the layer, and how many values each holds.
    pub parameters: Vec<(ParamId, usize)>,
    /// Whether the reference has no module for it.
    pub functional: bool,
    /// Why it was done.
    pub standing: Standing,
    /// Whether the reference registers the module under two names, where no
    /// parameter of its own tells.
    pub registered_twice: bool,
}

impl Event {
    /// Values of the output.
    pub fn outputs(&self) -> u64 {
        count(&self.output)
    }

    /// Values of the input.
    pub fn inputs(&self) -> u64 {
        count(&self.input)
    }
}

fn count(shape: &[usize]) -> u64 {
    shape.iter().map(|side| *side as u64).product()
}

thread_local! {
    static EVENTS: RefCell<Option<Vec<Event>>> = const { RefCell::new(None) };
    static FUNCTIONAL: Cell<bool> = const { Cell::new(false) };
    static TWICE: Cell<bool> = const { Cell::new(false) };
    static STANDING: Cell<Standing> = const { Cell::new(Standing::Live) };
}

/// Runs a forward pass and gives what it did on this thread, in order.
pub fn record<T>(run: impl FnOnce() -> T) -> (T, Vec<Event>) {
    let before = EVENTS.replace(Some(Vec::new()));
    let result = run();
    let events = EVENTS.replace(before).unwrap_or_default();
    (result, events)
}

/// Whether a pass is being recorded.
pub fn is_on() -> bool {
    EVENTS.with_borrow(Option::is_some)
}

/// Does what the reference does by functions, not by modules.
pub fn functional<T>(run: impl FnOnce() -> T) -> T {
    let before = FUNCTIONAL.replace(true);
    let result = run();
    FUNCTIONAL.set(before);
    result
}

/// Does what a module does that the reference registers under two names.
pub fn registered_twice<T>(run: impl FnOnce() -> T) -> T {
    let before = TWICE.replace(true);
    let result = run();
    TWICE.set(before);
    result
}

/// Does what only the reference does, with what standing; only while recording.
pub fn besides<T>(standing: Standing, run: impl FnOnce() -> T) {
    if is_on() {
        let before = STANDING.replace(standing);
        run();
        STANDING.set(before);
    }
}

/// Tells of an operation. `terms` as in [`Event::terms`].
pub fn tell<const I: usize, const O: usize>(
    kind: Kind,
    input: [usize; I],
    output: [usize; O],
    terms: usize,
    parameters: &[(ParamId, usize)],
) {
    EVENTS.with_borrow_mut(|events| {
        if let Some(events) = events {
            events.push(Event {
                kind,
                input: input.into(),
                output: output.into(),
                terms,
                parameters: parameters.to_vec(),
                functional: FUNCTIONAL.get(),
                standing: STANDING.get(),
                registered_twice: TWICE.get(),
            });
        }
    });
}

/// A parameter as [`tell`] wants it.
pub(crate) fn of<const D: usize>(param: &Param<Tensor<D>>) -> (ParamId, usize) {
    (param.id, param.lazy_shape().num_elements())
}

/// The parameters of a layer with a weight and perhaps a bias.
pub(crate) fn layer<const D: usize>(
    weight: &Param<Tensor<D>>,
    bias: &Option<Param<Tensor<1>>>,
) -> Vec<(ParamId, usize)> {
    std::iter::once(of(weight)).chain(bias.as_ref().map(of)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_recorded_pass_is_told_of() {
        tell(Kind::Gelu, [1], [1], 1, &[]);
        let (answer, events) = record(|| {
            tell(Kind::Gelu, [2, 3], [2, 3], 1, &[]);
            functional(|| tell(Kind::Softmax, [4], [4], 4, &[]));
            besides(Standing::Unread, || tell(Kind::Linear, [5], [6], 5, &[]));
            7
        });
        assert_eq!((answer, is_on()), (7, false));
        let marks: Vec<_> =
            events.iter().map(|event| (event.kind, event.functional, event.standing)).collect();
        assert_eq!(
            marks,
            [
                (Kind::Gelu, false, Standing::Live),
                (Kind::Softmax, true, Standing::Live),
                (Kind::Linear, false, Standing::Unread),
            ]
        );
        assert_eq!((events[0].inputs(), events[2].outputs()), (6, 6));
        besides(Standing::Unread, || unreachable!("nothing is recorded"));
    }
}
