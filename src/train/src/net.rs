//! The registry: one enum over all networks, so that there is one trainer.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl::spec::name::Named;
use dygl::spec::network::{self, NetworkError};
use dygl_baselines::fat_net::{FatNet, FatNetConfig};
use dygl_baselines::m2snet::{M2SNet, M2SNetConfig};
use dygl_baselines::unet::{UNet, UNetConfig};
use dygl_nn::network::{Backbone, Initial, Network, Options};

use crate::dyglnet::{DyGLNet, DyGLNetConfig};
use crate::weights;

/// Declares [`Net`] and its registry. Each line: name, variant and type, and
/// the configuration, which knows what the options stand for.
macro_rules! networks {
    ($($name:literal => $variant:ident($type:ident), $config:ident;)*) => {
        /// Any of the networks.
        #[derive(Module, Debug)]
        #[allow(clippy::large_enum_variant, reason = "a process holds one or two networks")]
        pub enum Net {
            $($variant($type),)*
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
    };
}

networks! {
    "unet" => UNet(UNet), UNetConfig;
    "m2snet" => M2SNet(M2SNet), M2SNetConfig;
    "fat_net" => FatNet(FatNet), FatNetConfig;
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
    use burn::tensor::Distribution;

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
    fn every_network_trains_at_its_smallest_sizes() {
        let device = Device::flex();
        for network in network::NETWORKS {
            let (small, step) = (network.size_min, network.size_multiple);
            let wide = if network.square { small } else { small + step };
            for (batch, size) in [(1, [small, wide]), (3, [small + step; 2])] {
                let net = Net::build(&Named::plain(network.name), size, &device).expect("known");
                let net = crate::init::initialise(net, 1).train();
                let shape = [batch, 3, size[0], size[1]];
                let images = Tensor::random(shape, Distribution::Default, &device.clone().autodiff());
                let logits = net.forward(images);
                assert_eq!(logits.dims(), [batch, 1, size[0], size[1]], "{}", network.name);
                let gradients = weights::gradients(&net, &logits.powi_scalar(2).mean().backward());
                assert!(!gradients.is_empty());
                for (name, gradient) in gradients {
                    let values = gradient.try_to_vec::<f32>().expect("f32");
                    assert!(values.iter().all(|v| v.is_finite()), "{}, {size:?}: {name}", network.name);
                }
            }
        }
    }

    #[test]
    fn parameter_counts_are_the_reference_counts() {
        for (named, count) in [
            ("dyglnet", 9_980_098),
            ("dyglnet,upsample=bilinear", 9_956_418),
            ("dyglnet,upsample=transposed", 10_216_002),
            ("dyglnet,norm=group", 9_980_089),
            ("dyglnet,local=none", 9_915_286),
            ("dyglnet,global=none", 9_928_025),
            ("dyglnet,split=local", 10_521_562),
            ("dyglnet,split=global", 9_139_562),
            ("unet", 31_037_633),
            ("unet,variant=table-exact", 31_037_633),
            ("m2snet", 29_741_585),
            ("fat_net", 28_758_657),
        ] {
            assert_eq!(build(named).parameters(), count, "{named}");
        }
    }
}
