//! Folds the events of a pass into a ledger, by the rules of each convention.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::ParamId;
use dygl_nn::network::reference_name;
use dygl_nn::trace::{Event, Kind, Standing};
use dygl_spec::ledger::{Counted, Difference, DifferenceKind, KindCost, LayerCost, Ledger, Memory, Size};

use super::graph::Pass;
use crate::learn::weights::Site;

/// The ledger of a pass of one image.
pub(super) fn ledger(pass: &Pass, model: String, size: Size, activations: u64, memory: Memory) -> Ledger {
    let layers = pass.events.iter().map(|event| Layer::new(event, &pass.sites, pass.aliases)).collect();
    Fold { sites: &pass.sites, layers }.ledger(model, size, activations, memory)
}

/// Multiply-accumulates of what was done.
#[cfg(test)]
pub(super) fn operations(event: &Event) -> u64 {
    Layer::new(event, &BTreeMap::new(), &[]).operations()
}

/// An event with the layer it came from.
struct Layer<'a> {
    event: &'a Event,
    name: String,
    /// Names under which the reference registers it.
    names: u64,
}

impl<'a> Layer<'a> {
    fn new(event: &'a Event, sites: &BTreeMap<ParamId, Site>, aliases: &[(&str, &str)]) -> Self {
        let site = event.parameters.first().and_then(|(id, _)| sites.get(id));
        let name = site.and_then(|site| site.name.rsplit_once('.')).map_or("", |(layer, _)| layer);
        let path: Vec<&str> = name.split('.').collect();
        let back: Vec<(&str, &str)> = aliases.iter().map(|(other, here)| (*here, *other)).collect();
        let is_alias = !name.is_empty() && reference_name(&path, &back) != name;
        let names = if is_alias || event.registered_twice { 2 } else { 1 };
        Self { event, name: name.to_owned(), names }
    }

    /// The part of the network that it belongs to, else its kind.
    fn what(&self) -> String {
        if self.name.is_empty() { name(self.event.kind).to_owned() } else { top(&self.name) }
    }

    /// Multiply-accumulates that it takes.
    fn operations(&self) -> u64 {
        let event = self.event;
        let terms = event.terms as u64;
        match event.kind {
            Kind::Convolution | Kind::Convolution1d | Kind::Linear | Kind::Product | Kind::AveragePool => {
                event.outputs() * terms
            }
            Kind::ConvolutionTransposed => {
                event.inputs() * terms / event.input[1] as u64 * event.output[1] as u64
            }
            Kind::BatchNorm | Kind::GlobalAverage | Kind::Mean => event.inputs(),
            Kind::DynamicTanh | Kind::Softmax => 2 * event.inputs(),
            Kind::LayerNorm | Kind::GroupNorm => 3 * event.inputs(),
            Kind::ResizeBilinear | Kind::Sample => 4 * event.outputs(),
            Kind::ResizeNearest | Kind::MaxPool | Kind::Gelu => 0,
        }
    }

    /// What one hook of thop counts.
    fn hooked(&self) -> u64 {
        let event = self.event;
        let terms = event.terms as u64;
        if event.functional {
            return 0;
        }
        match event.kind {
            Kind::Convolution | Kind::ConvolutionTransposed | Kind::Convolution1d | Kind::Linear => {
                event.outputs() * terms
            }
            Kind::BatchNorm | Kind::LayerNorm => 4 * event.inputs(),
            Kind::Softmax => event.inputs() / terms * (3 * terms - 1),
            Kind::AveragePool | Kind::ResizeNearest => event.outputs(),
            Kind::GlobalAverage => event.outputs() * (terms + 1),
            Kind::ResizeBilinear => 11 * event.outputs(),
            Kind::Product
            | Kind::GroupNorm
            | Kind::DynamicTanh
            | Kind::Mean
            | Kind::MaxPool
            | Kind::Sample
            | Kind::Gelu => 0,
        }
    }

    fn published(&self) -> u64 {
        self.hooked() * self.names * self.names
    }

    fn fvcore(&self) -> u64 {
        let event = self.event;
        match event.kind {
            _ if event.standing == Standing::Unread => 0,
            Kind::Convolution
            | Kind::ConvolutionTransposed
            | Kind::Convolution1d
            | Kind::Linear
            | Kind::Product
            | Kind::Sample
            | Kind::ResizeBilinear => self.operations(),
            Kind::BatchNorm => 2 * event.inputs(),
            Kind::LayerNorm | Kind::GroupNorm => 5 * event.inputs(),
            Kind::GlobalAverage => event.inputs(),
            Kind::ResizeNearest => event.outputs(),
            Kind::DynamicTanh
            | Kind::Softmax
            | Kind::Mean
            | Kind::AveragePool
            | Kind::MaxPool
            | Kind::Gelu => 0,
        }
    }

    /// Whether thop has a rule for modules of the kind that hold parameters.
    fn holds_counted(&self) -> bool {
        let is_known = matches!(
            self.event.kind,
            Kind::Convolution
                | Kind::ConvolutionTransposed
                | Kind::Convolution1d
                | Kind::Linear
                | Kind::BatchNorm
                | Kind::LayerNorm
        );
        is_known && !self.event.functional
    }
}

struct Fold<'a> {
    sites: &'a BTreeMap<ParamId, Site>,
    layers: Vec<Layer<'a>>,
}

impl Fold<'_> {
    fn ledger(&self, model: String, size: Size, activations: u64, memory: Memory) -> Ledger {
        let parameters = self.sites.values().filter(|site| !site.is_buffer());
        let live = || self.layers.iter().filter(|layer| layer.event.standing == Standing::Live);
        Ledger {
            model,
            size,
            parameters: parameters.map(|site| site.elements() as u64).sum(),
            published: Counted {
                parameters: self.counted().values().sum(),
                operations: self.layers.iter().map(Layer::published).sum(),
            },
            fvcore: self.layers.iter().map(Layer::fvcore).sum(),
            operations: live().map(Layer::operations).sum(),
            by_kind: self.by_kind(),
            differences: self.differences(),
            activations,
            memory,
            layers: self.layers.iter().map(cost).collect(),
        }
    }

    /// Values of the parameters that thop counts, as often as it does.
    fn counted(&self) -> BTreeMap<ParamId, u64> {
        let counted = self.layers.iter().filter(|layer| layer.holds_counted());
        counted
            .flat_map(|layer| {
                layer.event.parameters.iter().map(|(id, values)| (*id, *values as u64 * layer.names))
            })
            .collect()
    }

    fn by_kind(&self) -> Vec<KindCost> {
        let mut kinds: BTreeMap<Kind, KindCost> = BTreeMap::new();
        for layer in &self.layers {
            let of = kinds.entry(layer.event.kind).or_insert_with(|| KindCost {
                kind: name(layer.event.kind).into(),
                calls: 0,
                operations: 0,
                published: 0,
            });
            if layer.event.standing == Standing::Live {
                of.calls += 1;
                of.operations += layer.operations();
            }
            of.published += layer.published();
        }
        let mut kinds: Vec<KindCost> = kinds.into_values().collect();
        kinds.sort_by(|a, b| b.operations.cmp(&a.operations).then_with(|| a.kind.cmp(&b.kind)));
        kinds
    }

    /// Every part of the way from the true figures to the published ones.
    fn differences(&self) -> Vec<Difference> {
        let mut found: BTreeMap<(DifferenceKind, String), [i64; 2]> = BTreeMap::new();
        let mut add = |kind, what: String, operations: i64, parameters: i64| {
            if operations != 0 || parameters != 0 {
                let sums = found.entry((kind, what)).or_default();
                sums[0] += operations;
                sums[1] += parameters;
            }
        };
        for layer in &self.layers {
            let kind = name(layer.event.kind);
            let (hooked, published) = (layer.hooked() as i64, layer.published() as i64);
            let operations = layer.operations() as i64;
            if layer.names > 1 {
                add(
                    DifferenceKind::RegisteredTwice,
                    format!("{} is registered under two names", layer.what()),
                    published - hooked,
                    0,
                );
            }
            match layer.event.standing {
                Standing::Live if hooked == 0 && operations > 0 => {
                    let why = if layer.event.functional { "computed by a function" } else { "no rule" };
                    add(DifferenceKind::NotCounted, format!("{kind}: {why}"), -operations, 0);
                }
                Standing::Live => {
                    add(
                        DifferenceKind::OtherRule,
                        format!("{kind}: {}", other_rule(layer.event.kind)),
                        hooked - operations,
                        0,
                    );
                }
                standing => {
                    let how = match standing {
                        Standing::Repeated => "computed twice",
                        Standing::Identity => "changes nothing",
                        Standing::Ineffective => "cut away before the logits",
                        _ => "read by nobody",
                    };
                    add(DifferenceKind::InVain, format!("{}: {how}", layer.what()), hooked, 0);
                }
            }
        }
        self.parameter_differences(&mut add);
        let mut found: Vec<Difference> = found
            .into_iter()
            .map(|((kind, what), [operations, parameters])| Difference { kind, what, operations, parameters })
            .collect();
        found.sort_by_key(|difference| {
            std::cmp::Reverse((difference.operations.abs(), difference.parameters.abs()))
        });
        found
    }

    fn parameter_differences(&self, add: &mut impl FnMut(DifferenceKind, String, i64, i64)) {
        let counted = self.counted();
        let called: BTreeSet<ParamId> =
            self.layers.iter().flat_map(|layer| layer.event.parameters.iter().map(|(id, _)| *id)).collect();
        for (id, site) in self.sites.iter().filter(|(_, site)| !site.is_buffer()) {
            let values = site.elements() as i64;
            match counted.get(id) {
                Some(times) => {
                    let what = format!("{} is registered under two names", top(&site.name));
                    add(DifferenceKind::RegisteredTwice, what, 0, *times as i64 - values);
                }
                None => {
                    // One that lies bare in the network has no layer: its name says whose it is.
                    let of = if site.layer.is_empty() { top(&site.name) } else { site.layer.clone() };
                    let why = if called.contains(id) { "no rule" } else { "bare, or never called" };
                    add(DifferenceKind::NotCounted, format!("parameters of {of}: {why}"), 0, -values);
                }
            }
        }
    }
}

/// The part of a network that a layer belongs to: the first two components of
/// its name.
fn top(name: &str) -> String {
    name.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// What thop counts of a kind in place of its operations.
fn other_rule(kind: Kind) -> &'static str {
    match kind {
        Kind::ConvolutionTransposed => "by the values of its output, not of its input",
        Kind::BatchNorm => "4 per value, not 1",
        Kind::LayerNorm => "4 per value, not 3",
        Kind::Softmax => "3 n - 1 per row of n, not 2 n",
        Kind::AveragePool => "1 per output, whatever its area",
        Kind::GlobalAverage => "1 more per output",
        Kind::ResizeBilinear => "11 per output, not 4",
        Kind::ResizeNearest => "1 per output, not 0",
        _ => "another figure per value",
    }
}

fn cost(layer: &Layer<'_>) -> LayerCost {
    LayerCost {
        name: layer.name.clone(),
        kind: name(layer.event.kind).into(),
        input: layer.event.input.clone(),
        output: layer.event.output.clone(),
        parameters: layer.event.parameters.iter().map(|(_, values)| *values as u64).sum(),
        operations: layer.operations(),
        published: layer.published(),
        standing: match layer.event.standing {
            Standing::Live => "live",
            Standing::Repeated => "repeated",
            Standing::Identity => "identity",
            Standing::Ineffective => "ineffective",
            Standing::Unread => "unread",
        }
        .into(),
    }
}

/// As a ledger calls a kind.
fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Convolution => "convolution",
        Kind::ConvolutionTransposed => "transposed convolution",
        Kind::Convolution1d => "1-D convolution",
        Kind::Linear => "linear",
        Kind::Product => "product of activations",
        Kind::BatchNorm => "batch norm",
        Kind::LayerNorm => "layer norm",
        Kind::GroupNorm => "group norm",
        Kind::DynamicTanh => "dynamic tanh",
        Kind::Softmax => "softmax",
        Kind::MaxPool => "max pool",
        Kind::AveragePool => "average pool",
        Kind::GlobalAverage => "adaptive average pool",
        Kind::Mean => "mean",
        Kind::ResizeBilinear => "bilinear resize",
        Kind::ResizeNearest => "nearest resize",
        Kind::Sample => "sampling",
        Kind::Gelu => "GELU",
    }
}
