//! The networks as an experiment sees them: names, options, valid sizes.
//! The tensors live in other crates; a test of `dygl-train` holds its registry
//! against this list.

use super::name::Named;

/// Family of a network, in the order in which the paper's tables group them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Networks of convolutions.
    Cnn,
    /// Networks of transformer blocks.
    Transformer,
    /// Networks of both.
    Hybrid,
    /// The network of the paper.
    Ours,
}

impl Group {
    /// As the paper's tables print it.
    pub fn label(self) -> &'static str {
        match self {
            Group::Cnn => "CNN-based",
            Group::Transformer => "Trans-based",
            Group::Hybrid => "Hybrid",
            Group::Ours => "Ours",
        }
    }
}

/// One option of a network.
#[derive(Debug, Clone, Copy)]
pub struct NetworkOption {
    /// What stands before the `=`.
    pub name: &'static str,
    /// What may stand behind the `=`.
    pub values: Values,
}

/// What an option may be.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// One of these words, the first being the default.
    Words(&'static [&'static str]),
    /// A probability in 0..1 (1 excluded), this being the default.
    Rate(&'static str),
}

impl NetworkOption {
    const fn words(name: &'static str, values: &'static [&'static str]) -> Self {
        Self { name, values: Values::Words(values) }
    }

    const fn rate(name: &'static str, default: &'static str) -> Self {
        Self { name, values: Values::Rate(default) }
    }

    /// The value where none is given.
    pub fn default(&self) -> &'static str {
        match self.values {
            Values::Words(words) => words[0],
            Values::Rate(default) => default,
        }
    }

    /// A value in its one spelling, if the option may have it.
    fn canonical(&self, value: &str) -> Option<String> {
        match self.values {
            Values::Words(words) => words.contains(&value).then(|| value.to_owned()),
            Values::Rate(_) => {
                let rate = value.parse::<f64>().ok().filter(|rate| (0.0..1.0).contains(rate))?;
                Some(rate.abs().to_string())
            }
        }
    }

    /// What it may be, where there is no list to choose from.
    fn expected(&self) -> &'static str {
        match self.values {
            Values::Words(_) => "",
            Values::Rate(_) => ": it is a number from 0 to below 1",
        }
    }
}

/// How weights start: as the network's authors do it, or as PyTorch's layers
/// do on their own. For every network that declares initial values.
pub const INIT: NetworkOption = NetworkOption::words("init", &["official", PYTORCH]);
/// The value of [`INIT`] that is not the default.
pub const PYTORCH: &str = "pytorch";

/// One network.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// As experiments and the command line spell it.
    pub name: &'static str,
    /// As the paper's tables print it.
    pub label: &'static str,
    /// The family that tables list it under.
    pub group: Group,
    /// Empty where there is nothing to choose.
    pub options: &'static [NetworkOption],
    /// Height and width must be multiples of this.
    pub size_multiple: usize,
    /// Least height and width, pixels.
    pub size_min: usize,
    /// Whether height and width must be equal: its windows or positions are
    /// laid out for the size of the images.
    pub square: bool,
}

/// Every network, in the order of the paper's tables.
pub const NETWORKS: &[Network] = &[
    Network {
        name: "unet",
        label: "Unet",
        group: Group::Cnn,
        options: &[NetworkOption::words("variant", &["published", "table-exact"])],
        size_multiple: 1,
        size_min: 32,
        square: false,
    },
    Network {
        name: "attention_unet",
        label: "AttentionUnet",
        group: Group::Cnn,
        options: &[],
        size_multiple: 16,
        size_min: 32,
        square: false,
    },
    Network {
        name: "unetpp",
        label: "Unet++",
        group: Group::Cnn,
        options: &[NetworkOption::words("deep_supervision", &["false", "true"])],
        size_multiple: 16,
        size_min: 32,
        square: false,
    },
    Network {
        name: "dcsau_net",
        label: "DCSAUnet",
        group: Group::Cnn,
        options: &[INIT],
        size_multiple: 1,
        size_min: 32,
        square: false,
    },
    Network {
        name: "m2snet",
        label: "M2SNet",
        group: Group::Cnn,
        options: &[INIT],
        size_multiple: 1,
        size_min: 32,
        square: false,
    },
    Network {
        name: "cmunext_l",
        label: "CMUNeXt-L",
        group: Group::Cnn,
        options: &[],
        size_multiple: 16,
        size_min: 32,
        square: false,
    },
    Network {
        name: "missformer",
        label: "MISSFormer",
        group: Group::Transformer,
        options: &[NetworkOption::words("faithful", &["true", "false"]), INIT],
        size_multiple: 32,
        size_min: 32,
        square: false,
    },
    Network {
        name: "swin_unet",
        label: "SwinUnet",
        group: Group::Transformer,
        options: &[NetworkOption::rate("drop_path", "0.2"), INIT],
        size_multiple: 32,
        size_min: 64,
        square: true,
    },
    Network {
        name: "hiformer_b",
        label: "HiFormer-B",
        group: Group::Hybrid,
        options: &[
            NetworkOption::words("faithful", &["true", "false"]),
            NetworkOption::rate("drop_path", "0.1"),
            INIT,
        ],
        size_multiple: 32,
        size_min: 64,
        square: true,
    },
    Network {
        name: "h2former",
        label: "H2Former",
        group: Group::Hybrid,
        options: &[
            NetworkOption::rate("drop_path", "0.1"),
            NetworkOption::words("faithful", &["true", "false"]),
            INIT,
        ],
        size_multiple: 16,
        size_min: 32,
        square: true,
    },
    Network {
        name: "fat_net",
        label: "FATNet",
        group: Group::Hybrid,
        options: &[INIT],
        size_multiple: 16,
        size_min: 32,
        square: false,
    },
    Network {
        name: "bef_unet",
        label: "BEFUnet",
        group: Group::Hybrid,
        options: &[
            NetworkOption::words("faithful", &["true", "false"]),
            NetworkOption::rate("drop_path", "0.1"),
            INIT,
        ],
        size_multiple: 32,
        size_min: 64,
        square: true,
    },
    Network {
        name: "dyglnet",
        label: "DyGLNet",
        group: Group::Ours,
        options: &[
            NetworkOption::words("upsample", &["dysample", "bilinear", "transposed", "transposed-wide"]),
            NetworkOption::words("norm", &["dyt", "group", "layer", "batch"]),
            NetworkOption::words("local", &["dilated", "none", "nowhere", "single", "identity"]),
            NetworkOption::words("global", &["attention", "none"]),
            NetworkOption::words("split", &["paper", "local", "global", "half"]),
            INIT,
        ],
        size_multiple: 16,
        size_min: 32,
        square: false,
    },
];

/// What is wrong with a network's name or options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// No network has that name.
    #[error("unknown network `{0}`")]
    Unknown(String),
    /// The network has no option of that name.
    #[error("network `{network}` has no option `{option}`")]
    UnknownOption {
        /// Name of the network.
        network: &'static str,
        /// As it was written.
        option: String,
    },
    /// The option may not have that value.
    #[error("option `{option}` of `{network}` has no value `{value}`{expected}")]
    UnknownValue {
        /// Name of the network.
        network: &'static str,
        /// Name of the option.
        option: &'static str,
        /// As it was written.
        value: String,
        /// What it may be, for the end of a message; empty where candidates can be listed.
        expected: &'static str,
    },
}

impl NetworkError {
    /// The words among which a did-you-mean may look.
    pub fn candidates(&self) -> Vec<&'static str> {
        match self {
            NetworkError::Unknown(_) => NETWORKS.iter().map(|n| n.name).collect(),
            NetworkError::UnknownOption { network, .. } => {
                find(network).map(|n| n.options.iter().map(|o| o.name).collect()).unwrap_or_default()
            }
            NetworkError::UnknownValue { network, option, .. } => find(network)
                .and_then(|n| n.options.iter().find(|o| o.name == *option))
                .map(|o| match o.values {
                    Values::Words(words) => words.to_vec(),
                    Values::Rate(_) => Vec::new(),
                })
                .unwrap_or_default(),
        }
    }
}

/// The network of that name.
pub fn find(name: &str) -> Option<&'static Network> {
    NETWORKS.iter().find(|network| network.name == name)
}

/// Checks name and options and returns the canonical form: options that
/// state the default are left out.
pub fn resolve(named: &Named) -> Result<(&'static Network, Named), NetworkError> {
    let network = find(&named.name).ok_or_else(|| NetworkError::Unknown(named.name.clone()))?;
    let mut canonical = Named::plain(network.name);
    for (key, value) in &named.options {
        let option = network
            .options
            .iter()
            .find(|o| o.name == key)
            .ok_or_else(|| NetworkError::UnknownOption { network: network.name, option: key.clone() })?;
        let Some(value) = option.canonical(value) else {
            return Err(NetworkError::UnknownValue {
                network: network.name,
                option: option.name,
                value: value.clone(),
                expected: option.expected(),
            });
        };
        if option.default() != value {
            canonical.options.insert(key.clone(), value);
        }
    }
    Ok((network, canonical))
}

impl Network {
    /// The value of an option: the one given, else the default.
    pub fn value<'a>(&'a self, named: &'a Named, option: &str) -> &'a str {
        let default = self.options.iter().find(|o| o.name == option).map_or("", NetworkOption::default);
        named.option(option).unwrap_or(default)
    }

    /// The nearest valid size, `Ok` if `size` is one.
    pub fn check_size(&self, size: usize) -> Result<(), usize> {
        let multiple = self.size_multiple;
        let nearest = ((size + multiple / 2) / multiple * multiple).max(self.size_min);
        if nearest == size { Ok(()) } else { Err(nearest) }
    }
}

/// Why a network cannot take images of some size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Height or width is too small, or no multiple of what the network needs.
    #[error("`{network}` cannot take images of {side} px; the nearest valid size is {nearest}")]
    Side {
        /// Name of the network.
        network: &'static str,
        /// The height or width in question, pixels.
        side: usize,
        /// The nearest valid one, pixels.
        nearest: usize,
    },
    /// Height and width differ where they must be equal.
    #[error("`{network}` takes square images alone, not {width} x {height} px")]
    NotSquare {
        /// Name of the network.
        network: &'static str,
        /// Of the images, pixels.
        width: usize,
        /// Of the images, pixels.
        height: usize,
    },
}

impl Network {
    /// Whether images of that height and width, pixels, can be taken.
    ///
    /// # Errors
    /// A side is none of its multiples, or sides that must be equal are not.
    pub fn check_sides(&self, [height, width]: [usize; 2]) -> Result<(), SizeError> {
        for side in [width, height] {
            self.check_size(side).map_err(|nearest| SizeError::Side { network: self.name, side, nearest })?;
        }
        match self.square && width != height {
            true => Err(SizeError::NotSquare { network: self.name, width, height }),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_vanish_from_the_canonical_form() {
        let named = Named::parse("unet,variant=published").expect("valid");
        assert_eq!(resolve(&named).expect("known").1.to_string(), "unet");
        let named = Named::parse("unet,variant=table-exact").expect("valid");
        assert_eq!(resolve(&named).expect("known").1.to_string(), "unet,variant=table-exact");
    }

    #[test]
    fn a_rate_has_one_spelling_and_bounds() {
        let resolved = |text: &str| resolve(&Named::parse(text).expect("valid")).map(|(_, n)| n.to_string());
        assert_eq!(resolved("swin_unet,drop_path=0.20").expect("a rate"), "swin_unet");
        assert_eq!(resolved("swin_unet,drop_path=.1").expect("a rate"), "swin_unet,drop_path=0.1");
        for text in ["swin_unet,drop_path=1", "swin_unet,drop_path=-0.1", "swin_unet,drop_path=nan"] {
            let told = resolved(text).expect_err("no rate").to_string();
            assert!(told.contains("a number from 0 to below 1"), "{told}");
        }
    }

    #[test]
    fn sizes_are_refused_with_the_nearest_valid_one() {
        let dyglnet = find("dyglnet").expect("listed");
        assert_eq!(dyglnet.check_size(224), Ok(()));
        assert_eq!(dyglnet.check_size(100), Err(96));
        assert_eq!(dyglnet.check_size(8), Err(32));
        assert_eq!(dyglnet.check_sides([224, 320]), Ok(()));
        let told = dyglnet.check_sides([224, 100]).expect_err("no multiple").to_string();
        assert_eq!(told, "`dyglnet` cannot take images of 100 px; the nearest valid size is 96");
        let told =
            find("h2former").expect("listed").check_sides([224, 320]).expect_err("no square").to_string();
        assert_eq!(told, "`h2former` takes square images alone, not 320 x 224 px");
    }
}
