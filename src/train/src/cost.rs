//! The verb `cost`: folds the cost ledger of networks from forward passes.
//!
//! | kind | true operations (multiply-accumulates) | thop 0.1.1 | fvcore |
//! |---|---|---|---|
//! | convolution | outputs x taps | the same | the same |
//! | transposed convolution | inputs x taps | outputs x taps of the input side | as true |
//! | linear, 1-D convolution | outputs x terms | the same | the same |
//! | product of activations | outputs x terms | - | as true |
//! | batch norm | 1 per value | 4 | 2 |
//! | layer norm | 3 per value (sum, squares, scale and shift) | 4 | 5 |
//! | group norm | 3 per value | - | 5 |
//! | dynamic tanh | 2 per value | - | - |
//! | softmax | 2 per value (sum, division) | 3 n - 1 per row of n | - |
//! | average pool | outputs x area | outputs | - |
//! | adaptive average pool | 1 per input | area + 1 per output | 1 per input |
//! | mean | 1 per input | - | - |
//! | bilinear resize, samples | 4 per output | 11 per output, - | 4 per output |
//! | nearest resize | 0 | 1 per output | 1 per output |
//! | max pool, GELU | 0 | - | - |
//!
//! thop sees modules only: what the reference does by a function counts
//! nothing. It counts a parameter if the module that holds it was called, and
//! is of one of these kinds. A module that is registered under two names is
//! hooked twice, and its two hooks' sums are added up twice: operations x 4,
//! parameters x 2.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::ParamId;
use burn::tensor::{Device, Tensor};
use dygl::ledger::{Counted, Difference, DifferenceKind, KindCost, LayerCost, Ledger};
use dygl::spec::name::{NameError, Named};
use dygl::spec::network::{self, NetworkError};
use dygl_nn::network::reference_name;
use dygl_nn::trace::{self, Event, Kind, Standing};

use crate::net::Net;
use crate::weights::{self, Site};

/// Why there is no ledger; completes "failed to".
#[derive(Debug, thiserror::Error)]
pub enum CostError {
    #[error("read the model `{model}`: {source}")]
    Name { model: String, source: NameError },
    #[error("find the model: {0}")]
    Network(#[from] NetworkError),
    #[error("build `{model}` for {size} px: the nearest valid size is {nearest}")]
    Size { model: String, size: usize, nearest: usize },
    #[error("write the ledgers: {0}")]
    Json(#[from] serde_json::Error),
}

/// Runs the verb: a JSON list of ledgers, in the order of the models.
///
/// # Errors
/// A model is unknown or takes no such images.
pub fn run(models: &[String], size: usize) -> Result<String, CostError> {
    let device = Device::flex();
    let mut ledgers = Vec::with_capacity(models.len());
    for model in models {
        let named = Named::parse(model).map_err(|source| CostError::Name { model: model.clone(), source })?;
        let (network, named) = network::resolve(&named)?;
        if let Err(nearest) = network.check_size(size) {
            return Err(CostError::Size { model: model.clone(), size, nearest });
        }
        ledgers.push(ledger(&named, size, &device)?);
    }
    Ok(serde_json::to_string(&ledgers)?)
}

/// The ledger of a network for one square image.
///
/// # Errors
/// The name or an option is unknown.
pub fn ledger(named: &Named, size: usize, device: &Device) -> Result<Ledger, NetworkError> {
    let net = Net::build(named, [size; 2], device)?;
    let image = Tensor::<4>::zeros([1, 3, size, size], device);
    let (_, events) = trace::record(|| net.forward(image));
    let sites = weights::sites_with_ids(&net).into_iter().collect();
    let layers = events.iter().map(|event| Layer::new(event, &sites, net.aliases())).collect();
    Ok(Fold { sites: &sites, layers }.ledger(named.to_string(), size))
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
    fn ledger(&self, model: String, size: usize) -> Ledger {
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
            activations: live().map(|layer| layer.event.outputs()).sum(),
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
                        format!("{kind}: counted by another rule"),
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
                    let why = if called.contains(id) { "no rule" } else { "bare, or never called" };
                    add(
                        DifferenceKind::NotCounted,
                        format!("parameters of {}: {why}", site.layer),
                        0,
                        -values,
                    );
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

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(model: &str) -> Ledger {
        ledger(&Named::parse(model).expect("valid"), 224, &Device::flex()).expect("known")
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
}
