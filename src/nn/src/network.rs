//! What every network declares: its forward pass, the names that its tensors
//! carry in the reference implementation's weight files, and the initial
//! values that differ from the usual ones.

use burn::module::Module;
use burn::tensor::Tensor;

/// A segmentation network.
pub trait Network: Module {
    /// Turns paths of fields into reference names: each pair replaces a dotted
    /// run of path components. See [`reference_name`].
    const NAMES: &'static [(&'static str, &'static str)];

    /// Initial values that depart from the default of their layer, as
    /// (pattern, value). See [`matches()`]; the first match wins.
    const INITIAL: &'static [(&'static str, Initial)];

    /// Patterns of parameters that take no part in the logits, although the
    /// reference carries them. See [`matches()`].
    const DEAD: &'static [&'static str] = &[];

    /// Tensors that the reference registers twice, as (other name, name here):
    /// runs of components, replaced as in [`reference_name`]. A file may hold
    /// them under both names.
    const ALIASES: &'static [(&'static str, &'static str)] = &[];

    /// Published weights of classification networks that fit into a part.
    const BACKBONES: &'static [Backbone] = &[];

    /// Whether a training pass in f32 depends on the last bits of its input so
    /// much that its gradients cannot be compared with others. `model forward
    /// --train` then computes in f64; training computes in f32 as for all.
    const ILL_CONDITIONED: bool = false;

    /// [B, 3, H, W] to logits [B, 1, H, W].
    fn forward(&self, images: Tensor<4>) -> Tensor<4>;

    /// Every map of logits [B, 1, H, W] that training supervises; the last one
    /// is the one that is used, [`Network::forward`]'s.
    fn outputs(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        vec![self.forward(images)]
    }
}

/// Weights of another network from which a part of this one starts.
#[derive(Debug, Clone, Copy)]
pub struct Backbone {
    /// As its publisher calls it: `resnet34` (torchvision).
    pub name: &'static str,
    /// Where its tensors go, as (leading components there, leading components
    /// here); an empty left side is every name. All pairs that match apply, so
    /// a tensor may start several parts. What matches none is left over.
    pub parts: &'static [(&'static str, &'static str)],
}

/// What a configuration is made of: the options of an experiment, and the size
/// of its images where tensors depend on it.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Gives the value of an option, its default if it is not set.
    pub option: &'a dyn Fn(&str) -> &'a str,
    /// Height and width of the images, pixels.
    pub size: [usize; 2],
}

impl<'a> Options<'a> {
    /// The value of an option.
    pub fn word(&self, option: &str) -> &'a str {
        (self.option)(option)
    }

    /// Whether an option is `true`.
    pub fn flag(&self, option: &str) -> bool {
        self.word(option) == "true"
    }

    /// The value of an option that is a probability or another number; 0 if
    /// it is none (a specification that was resolved has a number).
    pub fn number(&self, option: &str) -> f64 {
        self.word(option).parse().unwrap_or(0.0)
    }
}

/// Distribution of a parameter's initial values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initial {
    /// Every element has this value.
    Constant(f64),
    /// U(-bound, bound) with bound = 1 / sqrt(fan_in): what PyTorch gives the
    /// weights and biases of convolutions and linear layers.
    FanIn,
    /// N(0, std^2).
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// N(0, std^2), values beyond two (absolute) units drawn again, as timm's
    /// `trunc_normal_` does by default.
    TruncatedNormal {
        /// Standard deviation before values are drawn again.
        std: f64,
    },
    /// N(0, gain^2 / fan_in) (He et al. 2015, fan-in mode; gain sqrt(2) for ReLU).
    KaimingNormal {
        /// Factor on 1 / sqrt(fan_in).
        gain: f64,
    },
    /// N(0, 2 / fan_out) with fan_out = out channels x kernel area: all
    /// channels, also those of other groups (He et al. 2015, fan-out mode).
    KaimingNormalFanOut,
    /// U(-b, b), b = sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010).
    XavierUniform,
}

/// The reference name of the tensor at a path of fields.
///
/// Reads the path from left to right. At each component the first pair whose
/// left side matches the components that start there is replaced by its right
/// side, and reading goes on behind it, so replacements never chain. An empty
/// right side drops the run.
pub fn reference_name<S: AsRef<str>>(path: &[S], names: &[(&str, &str)]) -> String {
    let mut parts: Vec<&str> = Vec::with_capacity(path.len() + 4);
    let mut at = 0;
    while at < path.len() {
        let rule = names.iter().find(|(from, _)| starts_with(&path[at..], from));
        match rule {
            Some((from, to)) => {
                parts.extend(to.split('.').filter(|part| !part.is_empty()));
                at += from.split('.').count();
            }
            None => {
                parts.push(path[at].as_ref());
                at += 1;
            }
        }
    }
    parts.join(".")
}

fn starts_with<S: AsRef<str>>(path: &[S], run: &str) -> bool {
    let mut components = path.iter();
    run.split('.').all(|part| components.next().is_some_and(|component| component.as_ref() == part))
}

/// Several lists as one: what a network declares itself, and what the layers
/// that it shares with others declare for it. `N` is the sum of the lengths;
/// another one does not compile.
pub const fn joined<T: Copy, const N: usize>(lists: &[&[T]]) -> [T; N] {
    let mut all = [lists[0][0]; N];
    let (mut length, mut list) = (0, 0);
    while list < lists.len() {
        let mut item = 0;
        while item < lists[list].len() {
            all[length] = lists[list][item];
            (length, item) = (length + 1, item + 1);
        }
        list += 1;
    }
    assert!(length == N, "N is the sum of the lengths");
    all
}

/// Whether the last components of a reference name are those of the pattern,
/// where `*` stands for any one component.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut components = name.rsplit('.');
    pattern.rsplit('.').all(|part| components.next().is_some_and(|c| part == "*" || part == c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_replaced_left_to_right_without_chaining() {
        let names = [("a.b", "x.0"), ("b", "y"), ("x", "never"), ("drop", "")];
        let named = |path: &str| reference_name(&path.split('.').collect::<Vec<_>>(), &names);
        assert_eq!(named("a.b.weight"), "x.0.weight");
        assert_eq!(named("b.drop.a.weight"), "y.a.weight");
    }

    #[test]
    fn lists_are_joined_in_order() {
        const ALL: [u8; 3] = joined(&[&[1, 2], &[], &[3]]);
        assert_eq!(ALL, [1, 2, 3]);
    }

    #[test]
    fn patterns_match_whole_trailing_components() {
        assert!(matches("m.*.weight", "a.m.2.weight"));
        assert!(!matches("m.*.weight", "a.mm.2.weight"));
        assert!(!matches("a.b.c", "b.c"));
    }
}
