//! Initial weights: a pure function of (seed, network, reference name, index),
//! the same on every backend, machine and thread count.
//!
//! The values of a tensor are drawn in row-major order from the stream
//! ("init", network, reference name), in f64, and rounded once to f32:
//! a uniform takes one number (the number at the value's index), a normal two
//! (Box-Muller). Networks with options share the streams of the plain network:
//! an ablation starts from the same weights wherever it has the same tensors.

use burn::tensor::TensorData;
use dygl_base::random::Stream;
use dygl_nn::network::{Initial, matches};
use dygl_spec::name::Named;
use dygl_spec::network::{INIT, PYTORCH};

use crate::learn::weights::{self, Site};
use crate::net::Net;

/// Gives every tensor its initial values: those that the network declares,
/// else the layer's default (see [`default`]). Running statistics become 0
/// and 1. What neither names keeps the values it was built with.
pub fn initialise(net: Net, seed: u64) -> Net {
    initialise_as(net, false, seed)
}

/// [`initialise`], as the options of a model say. With `init=pytorch`, layers
/// that have a default of PyTorch take it even where the network declares
/// another value; parameters of the network's own (a scale, a table of
/// positions) keep theirs.
pub fn initialise_for(model: &Named, net: Net, seed: u64) -> Net {
    initialise_as(net, model.option(INIT.name) == Some(PYTORCH), seed)
}

fn initialise_as(net: Net, plain: bool, seed: u64) -> Net {
    let (network, rules) = (net.name(), net.initial());
    let mut fans = Fans::default();
    weights::replace(net, |site| {
        fans.visit(site);
        let declared = rules.iter().find(|(pattern, _)| matches(pattern, &site.name));
        let declared = declared.map(|(_, initial)| *initial);
        let usual = default(site);
        let initial = if plain { usual.or(declared) } else { declared.or(usual) }?;
        let mut stream = Stream::new(seed, "init", &[network, &site.name]);
        let values: Vec<f32> =
            (0..site.elements()).map(|_| draw(initial, &fans, &mut stream) as f32).collect();
        Some(TensorData::new(values, site.shape.clone()))
    })
}

/// PyTorch's defaults: U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weights and
/// biases of (transposed) convolutions and linear layers, scale 1 and shift 0
/// for normalisations, running mean 0 and variance 1.
fn default(site: &Site) -> Option<Initial> {
    let tensor = site.name.rsplit('.').next().unwrap_or_default();
    match (site.layer.as_str(), tensor) {
        ("Conv1d" | "Conv2d" | "ConvTranspose2d" | "Linear" | "PixelDifferenceConv", "weight" | "bias") => {
            Some(Initial::FanIn)
        }
        (_, "weight" | "running_var") => Some(Initial::Constant(1.0)),
        (_, "bias" | "running_mean") => Some(Initial::Constant(0.0)),
        _ => None,
    }
}

/// Fans of the layer being visited. A layer's weight comes before its bias,
/// whose bound is the weight's.
#[derive(Default)]
struct Fans {
    fan_in: f64,
    fan_out: f64,
}

impl Fans {
    fn visit(&mut self, site: &Site) {
        if let [first, second, area @ ..] = site.shape.as_slice() {
            let area = area.iter().product::<usize>() as f64;
            self.fan_in = *second as f64 * area;
            self.fan_out = *first as f64 * area;
        }
    }
}

fn draw(initial: Initial, fans: &Fans, stream: &mut Stream) -> f64 {
    match initial {
        Initial::Constant(value) => value,
        Initial::FanIn => {
            let bound = fans.fan_in.max(1.0).sqrt().recip();
            stream.range(-bound, bound)
        }
        Initial::Normal { std } => std * stream.normal(),
        Initial::TruncatedNormal { std } => loop {
            let value = std * stream.normal();
            if value.abs() <= 2.0 {
                return value;
            }
        },
        Initial::KaimingNormal { gain } => gain / fans.fan_in.max(1.0).sqrt() * stream.normal(),
        Initial::KaimingNormalFanOut => (2.0 / fans.fan_out.max(1.0)).sqrt() * stream.normal(),
        Initial::XavierUniform => {
            let bound = (6.0 / (fans.fan_in + fans.fan_out).max(1.0)).sqrt();
            stream.range(-bound, bound)
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use dygl_spec::network::NETWORKS;

    use super::*;
    use crate::learn::tensors::Tensors;

    fn initial(name: &str, seed: u64) -> Tensors {
        let named = Named::parse(name).expect("valid");
        let net = Net::build(&named, [224; 2], &Device::flex()).expect("known");
        weights::snapshot(&initialise_for(&named, net, seed))
    }

    fn values(tensors: &Tensors, name: &str) -> Vec<f32> {
        tensors[name].try_to_vec().expect("f32")
    }

    #[test]
    fn dyglnet_starts_as_its_page_says() {
        let tensors = initial("dyglnet", 1);
        let stem = values(&tensors, "patch_embed.0.c.weight");
        let bound = 27f32.sqrt().recip();
        assert!(stem.iter().all(|value| value.abs() <= bound));
        let spread = (stem.iter().map(|value| value * value).sum::<f32>() / stem.len() as f32).sqrt();
        assert!((spread / (bound / 3f32.sqrt()) - 1.0).abs() < 0.1);
        let last = "upsample1.cnn_block.channel_mixer.m.2.bn.weight";
        assert!(values(&tensors, last).iter().all(|value| *value == 0.0));
        assert!(values(&tensors, "patch_embed.0.bn.weight").iter().all(|value| *value == 1.0));
        assert!(values(&tensors, "upsample1.dy_sample.offset.bias").iter().all(|value| *value == 0.0));
        let offset = values(&tensors, "upsample1.dy_sample.offset.weight");
        let spread = (offset.iter().map(|value| value * value).sum::<f32>() / offset.len() as f32).sqrt();
        assert!((spread / 0.001 - 1.0).abs() < 0.05);
        assert_eq!(values(&tensors, "blocks2.1.mixer.m.pre_norm.alpha"), [0.5]);
    }

    #[test]
    fn every_product_starts_with_values_that_differ() {
        for name in crate::net::NAMES.iter().copied() {
            let net = Net::build(&Named::plain(name), [64; 2], &Device::flex()).expect("known");
            let net = initialise(net, 1);
            let tensors = weights::snapshot(&net);
            for site in weights::sites(&net).iter().filter(|site| site.shape.len() > 1) {
                let values = values(&tensors, &site.name);
                assert!(values.len() == 1 || values.iter().any(|v| *v != values[0]), "{name}: {}", site.name);
            }
        }
    }

    #[test]
    fn plain_layers_of_pytorch_can_be_chosen() {
        let (official, plain) = (initial("dyglnet", 1), initial("dyglnet,init=pytorch", 1));
        let last = "upsample1.cnn_block.channel_mixer.m.2.bn.weight";
        assert!(values(&plain, last).iter().all(|value| *value == 1.0));
        let offset = values(&plain, "upsample1.dy_sample.offset.weight");
        let bound =
            (offset.len() as f32 / plain["upsample1.dy_sample.offset.weight"].shape()[0] as f32).sqrt();
        let largest = offset.iter().fold(0f32, |most, value| most.max(value.abs()));
        assert!(largest <= bound.recip() && largest > 0.9 * bound.recip());
        assert!(values(&plain, "upsample1.dy_sample.offset.bias").iter().any(|value| *value != 0.0));
        // What is no layer of PyTorch, and what the network does not declare, stays.
        assert_eq!(values(&plain, "blocks2.1.mixer.m.pre_norm.alpha"), [0.5]);
        let stem = "patch_embed.0.c.weight";
        assert_eq!(values(&plain, stem), values(&official, stem));
    }

    #[test]
    fn who_declares_initial_values_offers_the_choice() {
        for network in NETWORKS {
            let net = Net::build(&Named::plain(network.name), [224; 2], &Device::flex()).expect("known");
            let offers = network.options.iter().any(|option| option.name == INIT.name);
            assert_eq!(offers, !net.initial().is_empty(), "{}", network.name);
        }
    }

    #[test]
    fn swin_unet_starts_as_its_page_says() {
        let tensors = initial("swin_unet", 1);
        for name in [
            "layers.2.blocks.1.attn.qkv.weight",
            "layers_up.1.blocks.0.attn.relative_position_bias_table",
            "layers.0.downsample.reduction.weight",
            "layers_up.0.expand.weight",
            "concat_back_dim.3.weight",
        ] {
            let values = values(&tensors, &format!("swin_unet.{name}"));
            let spread = (values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32).sqrt();
            assert!((spread / 0.02 - 1.0).abs() < 0.05, "{name}: {spread}");
        }
        let bias = values(&tensors, "swin_unet.concat_back_dim.1.bias");
        assert!(bias.iter().all(|value| *value == 0.0));
        // A convolution keeps PyTorch's default.
        let patches = values(&tensors, "swin_unet.patch_embed.proj.weight");
        let largest = patches.iter().fold(0f32, |most, value| most.max(value.abs()));
        assert!(largest <= 48f32.sqrt().recip() && largest > 0.99 * 48f32.sqrt().recip());
    }

    #[test]
    fn a_transposed_convolution_counts_its_outputs() {
        let tensors = initial("unet", 1);
        let bound = (512f32 * 4.0).sqrt().recip();
        let weight = values(&tensors, "up1.up.weight");
        let bias = values(&tensors, "up1.up.bias");
        let largest = weight.iter().chain(&bias).fold(0f32, |most, value| most.max(value.abs()));
        assert!(largest <= bound && largest > 0.99 * bound);
    }

    #[test]
    fn missformers_decoder_alone_is_glorots() {
        let tensors = initial("missformer", 1);
        let glorot = |fans: f32| (6.0 / fans).sqrt();
        for (name, bound) in [
            ("backbone.block1.0.attn.kv.weight", 0.125),
            ("bridge.bridge_layer4.mixffn1.fc1.bias", 0.125),
            ("decoder_1.layer_former_2.attn.kv.weight", glorot(128.0 + 256.0)),
            ("decoder_1.layer_former_1.attn.sr.weight", glorot(16.0 * 256.0)),
            ("decoder_0.layer_former_1.mlp.dwconv.dwconv.weight", glorot(9.0 * 257.0)),
            ("decoder_2.concat_linear.weight", glorot(576.0 + 320.0)),
            ("decoder_0.layer_up.expand.weight", glorot(64.0 + 1024.0)),
            ("decoder_0.last_layer.weight", glorot(65.0)),
        ] {
            let largest = values(&tensors, name).iter().fold(0f32, |most, value| most.max(value.abs()));
            assert!(largest <= bound && largest > 0.9 * bound, "{name}: {largest}, {bound}");
        }
        for (name, constant) in [
            ("decoder_1.layer_former_1.norm1.weight", 1.0),
            ("decoder_1.layer_former_1.attn.norm.weight", 1.0),
            ("decoder_1.layer_former_2.mlp.norm1.weight", 1.0),
            ("decoder_1.layer_up.norm.weight", 1.0),
            ("decoder_1.layer_former_2.attn.kv.bias", 0.0),
            ("decoder_1.layer_former_2.mlp.dwconv.dwconv.bias", 0.0),
            ("decoder_1.concat_linear.bias", 0.0),
            ("decoder_0.last_layer.bias", 0.0),
        ] {
            assert!(values(&tensors, name).iter().all(|value| *value == constant), "{name}");
        }
    }

    #[test]
    fn h2formers_score_tables_are_normal() {
        let table =
            values(&initial("h2former", 1), "swin_layers.3.blocks.1.attn.relative_position_bias_table");
        let spread = (table.iter().map(|value| value * value).sum::<f32>() / table.len() as f32).sqrt();
        assert!((spread / 0.02 - 1.0).abs() < 0.05, "{spread}");
    }

    #[test]
    fn seeds_and_names_tell_streams_apart() {
        let (first, second) = (initial("unet", 1), initial("unet", 2));
        let name = "inc.double_conv.3.weight";
        assert_ne!(values(&first, name), values(&second, name));
        assert_eq!(values(&first, name), values(&initial("unet", 1), name));
        let stream = Stream::new(1, "init", &["unet", name]);
        let unit = (stream.at(5) >> 11) as f64 / (1u64 << 53) as f64;
        let bound = 1.0 / (64.0f64 * 9.0).sqrt();
        assert_eq!(values(&first, name)[5], (-bound + 2.0 * bound * unit) as f32);
    }
}
