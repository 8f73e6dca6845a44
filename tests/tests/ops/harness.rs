//! One way to hold an operation against what it should be.
//!
//! A [`Case`] is an operation with its inputs on the host. [`run`] computes its
//! values and the gradients of every input; the loss is the sum of all outputs
//! weighted by numbers of their own, so that no part of a gradient cancels. The
//! same case goes through a device's kernel in f32 and, in f64, through what
//! burn composes: the oracle. Both start from the same numbers, which f32 holds.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::OnceLock;

use burn::tensor::{DType, Device, Tensor, TensorData};
use dygl_tests::arrays::{Array, unit};
use proptest::test_runner::{Config, RngSeed};

use super::layout::Layout;

/// Relative error of f32 against f64: the largest difference of a tensor in
/// parts of its largest magnitude.
pub const BOUND: f64 = 1e-5;

/// A device in the f32 kernels' turn: name, and burn's without autodiff.
pub type Named = (String, Device);

/// The devices that are compiled in and here, or the one that
/// `DYGL_PARITY_DEVICE` names.
pub fn devices() -> &'static [Named] {
    static DEVICES: OnceLock<Vec<Named>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let names = match std::env::var("DYGL_PARITY_DEVICE") {
            Ok(name) if !name.is_empty() => vec![name],
            _ => {
                let offered = dygl_train::device::all().expect("devices").devices;
                offered.into_iter().map(|device| device.name).collect()
            }
        };
        let device = |name: String| {
            let device = dygl_train::device::parse(&name).expect("a device that is here").device;
            (name, device)
        };
        names.into_iter().map(device).collect()
    })
}

/// Draws that are the same in every run, and as many.
pub fn draws(cases: u32) -> Config {
    Config { cases, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::default() }
}

/// Numbers of a stream of their own: `shift` + `scale` u with u in [-1, 1) of the fill rule.
pub fn numbers(name: &str, shape: &[usize], scale: f32, shift: f32) -> Array {
    let count = shape.iter().product();
    let values = (0..count).map(|index| shift + scale * unit(name, index, 1)).collect();
    Array { shape: shape.to_vec(), values }
}

/// Values of a tensor in f64.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Values {
    /// The largest magnitude.
    pub fn largest(&self) -> f64 {
        self.values.iter().fold(0.0, |most, value| value.abs().max(most))
    }
}

impl From<&Array> for Values {
    fn from(array: &Array) -> Self {
        let values = array.values.iter().map(|value| f64::from(*value)).collect();
        Self { shape: array.shape.clone(), values }
    }
}

/// An input: name, values, and whether it has a gradient.
#[derive(Debug, Clone)]
pub struct Input {
    pub name: &'static str,
    pub array: Array,
    /// How its values follow from its stream.
    pub rule: Rule,
    pub is_constant: bool,
}

/// How values follow from the numbers u of a stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// `shift` + `scale` u.
    Spread { scale: f32, shift: f32 },
    /// Multiples of 1/4 in [-2, 2): offsets that put samples on pixels and borders.
    Quarters,
    /// An eighth from those, and up to a twentieth more or less: offsets whose
    /// samples stay away from where the gradient jumps.
    Between,
    /// None: values of the case's own.
    Own,
}

impl Rule {
    fn array(self, name: &str, shape: &[usize]) -> Array {
        let u = |scale, shift| numbers(name, shape, scale, shift);
        let mut array = match self {
            Self::Spread { scale, shift } => return u(scale, shift),
            Self::Quarters | Self::Between | Self::Own => u(8.0, 0.0),
        };
        for value in &mut array.values {
            let floor = value.floor();
            let away = if self == Self::Between { 0.125 + 0.1 * (*value - floor - 0.5) } else { 0.0 };
            *value = floor * 0.25 + away;
        }
        array
    }
}

type Operation = Rc<dyn Fn(&Inputs) -> Vec<Output>>;

/// An operation with its inputs.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub inputs: Vec<Input>,
    operation: Operation,
}

impl Case {
    /// Without inputs yet.
    pub fn new(name: impl Into<String>, operation: impl Fn(&Inputs) -> Vec<Output> + 'static) -> Self {
        Self { name: name.into(), inputs: Vec::new(), operation: Rc::new(operation) }
    }

    /// With an input in [-2, 2).
    #[must_use]
    pub fn input(self, name: &'static str, shape: &[usize]) -> Self {
        self.spread(name, shape, 2.0, 0.0)
    }

    /// With an input of `shift` + `scale` u.
    #[must_use]
    pub fn spread(self, name: &'static str, shape: &[usize], scale: f32, shift: f32) -> Self {
        self.ruled(name, shape, Rule::Spread { scale, shift })
    }

    /// With an input by a rule.
    #[must_use]
    pub fn ruled(mut self, name: &'static str, shape: &[usize], rule: Rule) -> Self {
        let array = rule.array(&format!("{}/{name}", self.name), shape);
        self.inputs.push(Input { name, array, rule, is_constant: false });
        self
    }

    /// With an input of these values.
    #[must_use]
    pub fn given(mut self, name: &'static str, array: Array) -> Self {
        self.inputs.push(Input { name, array, rule: Rule::Own, is_constant: false });
        self
    }

    /// The same operation under another name: on numbers of other streams.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        for Input { name, array, rule, .. } in self.inputs.iter_mut().filter(|input| input.rule != Rule::Own)
        {
            *array = rule.array(&format!("{}/{name}", self.name), &array.shape);
        }
        self
    }

    /// The last input has no gradient.
    #[must_use]
    pub fn constant(mut self) -> Self {
        self.inputs.last_mut().expect("an input").is_constant = true;
        self
    }

    fn values(&self) -> Vec<Values> {
        self.inputs.iter().map(|input| Values::from(&input.array)).collect()
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Flat tensors by name, each with the shape of its input.
type Leaves = BTreeMap<&'static str, (Vec<usize>, Tensor<1>)>;

/// What an operation is given: tensors on one device and of one kind.
pub struct Inputs {
    leaves: Leaves,
    layout: Layout,
    /// With autodiff.
    pub device: Device,
}

impl Inputs {
    /// The input of that name.
    pub fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let (shape, flat) = self.leaves.get(name).unwrap_or_else(|| panic!("no input {name}"));
        let shape: [usize; D] = shape.as_slice().try_into().expect("an input of that rank");
        self.layout.view(flat.clone(), shape)
    }

    /// Whether there is one of that name.
    pub fn has(&self, name: &str) -> bool {
        self.leaves.contains_key(name)
    }

    /// A result, whose gradient will arrive in the layout of the inputs.
    pub fn output<const D: usize>(&self, name: &'static str, y: Tensor<D>) -> Output {
        Output { name, shape: y.dims().to_vec(), flat: self.layout.flatten(y) }
    }
}

/// A result of an operation; with a gradient if it is on an autodiff device.
pub struct Output {
    name: &'static str,
    shape: Vec<usize>,
    flat: Tensor<1>,
}

/// Values and gradients by name, `y` and `d x`.
pub type Outcome = BTreeMap<String, Values>;

fn read(flat: Tensor<1>) -> Vec<f64> {
    flat.into_data_dtype(DType::F64).try_to_vec().expect("f64")
}

fn on(device: &Device, kind: DType, values: &[f64]) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), (device, kind))
}

/// Outputs, and the sum of them all times their weights (`None`: all are constants).
fn forward(
    case: &Case,
    inputs: &[Values],
    device: &Device,
    kind: DType,
    layout: Layout,
) -> (Vec<Output>, Option<Tensor<1>>, Leaves) {
    let leaves = case.inputs.iter().zip(inputs).map(|(input, values)| {
        let flat = on(device, kind, &layout.lay(values));
        let leaf = Tensor::from_inner(flat);
        let leaf = if input.is_constant { leaf } else { leaf.require_grad() };
        (input.name, (values.shape.clone(), leaf))
    });
    let inputs = Inputs { leaves: leaves.collect(), layout, device: device.clone().autodiff() };
    let outputs = (case.operation)(&inputs);
    let mut total: Option<Tensor<1>> = None;
    for output in outputs.iter().filter(|output| output.flat.device().is_autodiff()) {
        let name = format!("{}/{} slope", case.name, output.name);
        let slope = Values::from(&numbers(&name, &output.shape, 1.0, 0.0));
        let slope = Tensor::from_inner(on(device, kind, &layout.order(&slope)));
        let sum = (output.flat.clone() * slope).sum();
        total = Some(match total {
            Some(total) => total + sum,
            None => sum,
        });
    }
    (outputs, total, inputs.leaves)
}

/// Values and gradients in a layout.
pub fn run(case: &Case, device: &Device, kind: DType, layout: Layout) -> Outcome {
    let inputs = case.values();
    let (outputs, total, leaves) = forward(case, &inputs, device, kind, layout);
    let mut outcome = Outcome::new();
    for Output { name, shape, flat } in outputs {
        let flat = if flat.device().is_autodiff() { flat.inner() } else { flat };
        let values = layout.disorder(read(flat), &shape);
        outcome.insert(name.to_owned(), Values { shape, values });
    }
    let Some(total) = total else { return outcome };
    let grads = total.backward();
    for input in case.inputs.iter().filter(|input| !input.is_constant) {
        let (shape, leaf) = &leaves[input.name];
        let gradient =
            leaf.grad(&grads).unwrap_or_else(|| panic!("{}: no gradient of {}", case.name, input.name));
        let (shape, values) = layout.lift(read(gradient), shape);
        outcome.insert(format!("d {}", input.name), Values { shape, values });
    }
    outcome
}

/// The weighted sum of the outputs for other inputs, in f64.
pub fn objective(case: &Case, inputs: &[Values]) -> f64 {
    let (_, total, _) = forward(case, inputs, &Device::flex(), DType::F64, Layout::Plain);
    read(total.expect("a result with a gradient").inner())[0]
}

/// What burn composes in f64.
pub fn oracle(case: &Case) -> Outcome {
    run(case, &Device::flex(), DType::F64, Layout::Plain)
}

/// The largest difference of a tensor in parts of its largest magnitude, over
/// all of an outcome, and the name of that tensor.
///
/// # Panics
/// The outcomes hold other tensors, or a value is not finite.
#[track_caller]
pub fn apart(case: &Case, found: &Outcome, wanted: &Outcome) -> (f64, String) {
    let names = |outcome: &Outcome| outcome.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(wanted), "{}", case.name);
    let mut most = (0.0, String::new());
    for (name, wanted) in wanted {
        let found = &found[name];
        assert_eq!(found.shape, wanted.shape, "{}: shape of {name}", case.name);
        let largest = wanted.largest();
        for (index, (found, wanted)) in found.values.iter().zip(&wanted.values).enumerate() {
            assert!(found.is_finite() && wanted.is_finite(), "{}: {name}[{index}] is {found}", case.name);
            let difference = (found - wanted).abs();
            // Of a tensor of zeros nothing may differ.
            let relative = if difference == 0.0 { 0.0 } else { difference / largest };
            if relative > most.0 {
                most = (relative, format!("{name}[{index}]: {found:e} instead of {wanted:e}"));
            }
        }
    }
    most
}

/// The kernels of every device give, in f32, what the oracle gives in f64; and
/// twice the same bits.
#[track_caller]
pub fn agrees(case: &Case) {
    agrees_within(case, BOUND);
}

/// [`agrees`] with a bound of the operation's own on flex.
#[track_caller]
pub fn agrees_within(case: &Case, on_flex: f64) {
    let exact = oracle(case);
    for (name, device) in devices() {
        let bound = if name == "flex" { on_flex } else { BOUND };
        let found = run(case, device, DType::F32, Layout::Plain);
        let (error, at) = apart(case, &found, &exact);
        println!("ops {name:8} f32 against f64 {error:.1e} / {bound:.0e}  {}", case.name);
        assert!(error <= bound, "{} on {name}: {error:e}, {at}", case.name);
        let again = run(case, device, DType::F32, Layout::Plain);
        assert!(found == again, "{} on {name}: repeats differ", case.name);
    }
}
