//! The registry: one enum over all networks, so that there is one trainer.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_baselines::attention_unet::{AttentionUNet, AttentionUNetConfig};
use dygl_baselines::bef_unet::{BefUnet, BefUnetConfig};
use dygl_baselines::cmunext_l::{CmuNext, CmuNextConfig};
use dygl_baselines::dcsau_net::{DcsauNet, DcsauNetConfig};
use dygl_baselines::fat_net::{FatNet, FatNetConfig};
use dygl_baselines::h2former::{H2Former, H2FormerConfig};
use dygl_baselines::hiformer_b::{HiFormer, HiFormerConfig};
use dygl_baselines::m2snet::{M2SNet, M2SNetConfig};
use dygl_baselines::missformer::{MissFormer, MissFormerConfig};
use dygl_baselines::swin_unet::{SwinUnet, SwinUnetConfig};
use dygl_baselines::unet::{UNet, UNetConfig};
use dygl_baselines::unetpp::{UNetPlusPlus, UNetPlusPlusConfig};
use dygl_nn::network::{Backbone, Initial, Network, Options};
use dygl_spec::name::Named;
use dygl_spec::network::{self, NetworkError};

use crate::dyglnet::{DyGLNet, DyGLNetConfig};
use crate::learn::weights;

#[cfg(test)]
mod guard;
#[cfg(test)]
mod suite;

/// Declares [`Net`] and its registry. Each line: name, variant and type, and
/// the configuration, which knows what the options stand for.
macro_rules! networks {
    ($($name:literal => $variant:ident($type:ident), $config:ident;)*) => {
        /// Any of the networks.
        #[derive(Module, Debug)]
        #[allow(clippy::large_enum_variant, reason = "a process holds one or two networks")]
        pub enum Net {
            $(
                /// The network of the same place in [`NAMES`].
                $variant($type),
            )*
        }

        /// Names of the networks, in the order of the paper's tables.
        pub const NAMES: &[&str] = &[$($name),*];

        impl Net {
            /// The network of that name and options for images of that height
            /// and width on a plain device, with convolutions of zeros:
            /// initialise or load it, and call `train` on it before training.
            ///
            /// # Errors
            /// The name or an option is unknown.
            pub fn build(named: &Named, size: [usize; 2], device: &Device) -> Result<Self, NetworkError> {
                let (network, named) = network::resolve(named)?;
                let option = |option: &str| network.value(&named, option);
                let options = Options { option: &option, size };
                match network.name {
                    $($name => {
                        Ok(Net::$variant($config::of_options(&options).init(device)))
                    })*
                    other => Err(NetworkError::Unknown(other.to_owned())),
                }
            }

            /// The name without options.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Net::$variant(_) => $name,)*
                }
            }

            /// [B, 3, H, W] to logits [B, 1, H, W]. Uses and updates batch
            /// statistics if the images are on an autodiff device.
            pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
                match self {
                    $(Net::$variant(net) => net.forward(images),)*
                }
            }

            /// Every map of logits that training supervises, the one that is
            /// used last; else as [`Net::forward`].
            pub fn outputs(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
                match self {
                    $(Net::$variant(net) => net.outputs(images),)*
                }
            }

            /// How paths of fields become reference names.
            pub(crate) fn names(&self) -> &'static [(&'static str, &'static str)] {
                match self {
                    $(Net::$variant(_) => $type::NAMES,)*
                }
            }

            /// Patterns of parameters that take no part in the logits.
            pub fn dead(&self) -> &'static [&'static str] {
                match self {
                    $(Net::$variant(_) => $type::DEAD,)*
                }
            }

            /// Whether gradients are only comparable in f64.
            pub(crate) fn is_ill_conditioned(&self) -> bool {
                match self {
                    $(Net::$variant(_) => $type::ILL_CONDITIONED,)*
                }
            }

            /// Second names of tensors in the reference's files.
            pub(crate) fn aliases(&self) -> &'static [(&'static str, &'static str)] {
                match self {
                    $(Net::$variant(_) => $type::ALIASES,)*
                }
            }

            /// Published weights from which a part may start.
            pub(crate) fn backbones(&self) -> &'static [Backbone] {
                match self {
                    $(Net::$variant(_) => $type::BACKBONES,)*
                }
            }

            /// Initial values that depart from the default.
            pub(crate) fn initial(&self) -> &'static [(&'static str, Initial)] {
                match self {
                    $(Net::$variant(_) => $type::INITIAL,)*
                }
            }
        }

        #[cfg(test)]
        mod each {
            $(
                #[allow(non_snake_case, reason = "the network's name in the report")]
                mod $variant {
                    use crate::net::suite;

                    #[test]
                    fn gives_one_map_per_image() {
                        suite::gives_one_map_per_image($name);
                    }

                    #[test]
                    fn refuses_other_sizes() {
                        suite::refuses_other_sizes($name);
                    }

                    #[test]
                    fn trains_every_live_parameter() {
                        suite::trains_every_live_parameter($name);
                    }

                    #[test]
                    fn trains_with_every_option() {
                        suite::trains_with_every_option($name);
                    }

                    #[test]
                    fn saves_and_loads() {
                        suite::saves_and_loads($name);
                    }

                    #[test]
                    fn learns_one_batch() {
                        suite::learns_one_batch($name);
                    }
                }
            )*
        }
    };
}

networks! {
    "unet" => UNet(UNet), UNetConfig;
    "attention_unet" => AttentionUNet(AttentionUNet), AttentionUNetConfig;
    "unetpp" => UNetPlusPlus(UNetPlusPlus), UNetPlusPlusConfig;
    "dcsau_net" => DcsauNet(DcsauNet), DcsauNetConfig;
    "m2snet" => M2SNet(M2SNet), M2SNetConfig;
    "cmunext_l" => CmuNext(CmuNext), CmuNextConfig;
    "missformer" => MissFormer(MissFormer), MissFormerConfig;
    "swin_unet" => SwinUnet(SwinUnet), SwinUnetConfig;
    "hiformer_b" => HiFormerB(HiFormer), HiFormerConfig;
    "h2former" => H2Former(H2Former), H2FormerConfig;
    "fat_net" => FatNet(FatNet), FatNetConfig;
    "bef_unet" => BefUnet(BefUnet), BefUnetConfig;
    "dyglnet" => DyGLNet(DyGLNet), DyGLNetConfig;
}

impl Net {
    /// Number of trainable values (running statistics are none).
    pub fn parameters(&self) -> usize {
        weights::sites(self).iter().filter(|site| !site.is_buffer()).map(|site| site.elements()).sum()
    }
}

#[cfg(test)]
mod tests {
    use dygl_nn::network::matches;

    use super::*;

    fn build(text: &str) -> Net {
        Net::build(&Named::parse(text).expect("valid"), [224; 2], &Device::flex()).expect("known")
    }

    #[test]
    fn the_registry_is_the_harness_list() {
        let listed: Vec<_> = network::NETWORKS.iter().map(|network| network.name).collect();
        assert_eq!(NAMES, listed);
        for name in NAMES {
            assert_eq!(build(name).name(), *name);
        }
    }

    #[test]
    fn every_file_of_baselines_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../baselines/src");
        for entry in std::fs::read_dir(folder).expect("baselines") {
            let path = entry.expect("entry").path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("name").to_owned();
            assert!(stem == "lib" || NAMES.contains(&stem.as_str()), "{stem} is in no registry");
        }
    }

    #[test]
    fn the_repaired_fusion_brings_its_parameters_to_life() {
        let unused = ["pidinet_layers.16.*.conv.*"].as_slice();
        for (text, dead) in
            [("hiformer_b,faithful=false", [].as_slice()), ("bef_unet,faithful=false", unused)]
        {
            let named = Named::parse(text).expect("valid");
            let net = Net::build(&named, [64; 2], &Device::flex()).expect("known").train();
            let logits = net.forward(Tensor::ones([1, 3, 64, 64], &Device::flex().autodiff()));
            let gradients = weights::gradients(&net, &logits.sum().backward());
            for site in weights::sites(&net).iter().filter(|site| !site.is_buffer()) {
                let is_dead = dead.iter().any(|pattern| matches(pattern, &site.name));
                assert_eq!(gradients.contains_key(&site.name), !is_dead, "{text}: {}", site.name);
            }
        }
    }

    #[test]
    fn what_a_network_declares_is_about_tensors_that_it_has() {
        for name in NAMES {
            let net = build(name);
            let sites = weights::sites(&net);
            let patterns = net.initial().iter().map(|(pattern, _)| pattern).chain(net.dead());
            for pattern in patterns {
                assert!(sites.iter().any(|site| matches(pattern, &site.name)), "{name}: {pattern}");
            }
            let parts = net.backbones().iter().flat_map(|backbone| backbone.parts);
            for (_, part) in parts {
                let holds = |site: &weights::Site| {
                    site.name.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                };
                assert!(sites.iter().any(holds), "{name}: {part}");
            }
            for (_, run) in net.aliases() {
                let holds = |site: &weights::Site| format!(".{}.", site.name).contains(&format!(".{run}."));
                assert!(sites.iter().any(holds), "{name}: {run}");
            }
        }
    }

    #[test]
    fn parameter_counts_are_the_reference_counts() {
        for (named, count) in [
            ("unet", 31_037_633),
            ("unet,variant=table-exact", 31_037_633),
            ("attention_unet", 34_878_573),
            ("unetpp", 9_163_329),
            ("unetpp,deep_supervision=true", 9_163_428),
            ("dcsau_net", 2_598_785),
            ("m2snet", 29_741_585),
            ("cmunext_l", 8_286_721),
            ("missformer", 42_462_017),
            ("missformer,faithful=false", 42_462_017),
            ("swin_unet", 27_168_132),
            ("hiformer_b", 25_510_955),
            ("hiformer_b,faithful=false", 25_510_955),
            ("h2former", 33_678_656),
            ("h2former,faithful=false", 33_678_656),
            ("fat_net", 28_758_657),
            ("bef_unet", 41_692_449),
            ("dyglnet", 9_980_098),
            ("dyglnet,upsample=bilinear", 9_956_418),
            ("dyglnet,upsample=transposed", 10_216_002),
            ("dyglnet,norm=group", 9_980_089),
            ("dyglnet,local=none", 9_915_286),
            ("dyglnet,global=none", 9_928_025),
            ("dyglnet,split=local", 10_521_562),
            ("dyglnet,split=global", 9_139_562),
            // Other readings of the ablations.
            ("dyglnet,upsample=transposed-wide", 10_649_378),
            ("dyglnet,norm=layer", 9_980_089),
            ("dyglnet,norm=batch", 9_980_089),
            ("dyglnet,local=nowhere", 9_885_718),
            ("dyglnet,local=single", 9_936_890),
            ("dyglnet,local=identity", 7_902_538),
            ("dyglnet,split=half", 8_932_274),
        ] {
            assert_eq!(build(named).parameters(), count, "{named}");
        }
    }
}
