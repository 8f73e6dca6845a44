//! The double-level fusion of HiFormer (Heidari et al., WACV 2023), which
//! BEFUnet (Manzari et al. 2024) took over: the finest and the coarsest map of
//! an encoder exchange class tokens.
//!
//! | step | on each level, X = the class token before the patch tokens, plus a position embedding |
//! |---|---|
//! | project | p = Linear(GELU(LN(class))), to the other level's features |
//! | cross | c = p + attention of p to (p, the other level's patches) |
//! | return | r = Linear(GELU(LN(c))), back to its own features |
//! | blocks | 1 (fine) or 2 (coarse) transformer blocks on (r, its own patches) |
//! | norm | LN |
//!
//! In the published code the results of the blocks are thrown away, and the
//! class tokens are cut off behind the norm. What remains is LN(patches +
//! positions): nothing that this module computes reaches the decoder, and none
//! of it is computed here either, although the parameters are there.
//!
//! The repaired form differs in one point: the norm is given what the blocks
//! give, so that a class token passes on to its own patches what it has seen in
//! the other level's, which is what the paper describes the module for. It is
//! assumed: no reference implementation has it.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::{
    LayerNorm, LayerNormConfig, Linear, LinearConfig, TransformerBlock, TransformerBlockConfig, join_heads,
    split_heads, zeros,
};
use crate::network::Initial;
use crate::op;
use crate::trace::{self, Kind, Standing};

/// Heads of the attentions over the fine and the coarse level's features.
const HEADS: [usize; 2] = [6, 12];

/// Transformer blocks of the fine and the coarse level.
const DEPTHS: [usize; 2] = [1, 2];

/// Configuration of a [`DoubleLevelFusion`].
#[derive(Debug, Clone, Copy)]
pub struct DoubleLevelFusionConfig {
    tokens: [usize; 2],
    features: [usize; 2],
    repaired: bool,
}

impl DoubleLevelFusionConfig {
    /// A fine and a coarse level of that many patch tokens with that many
    /// features each; as published.
    pub fn new(tokens: [usize; 2], features: [usize; 2]) -> Self {
        Self { tokens, features, repaired: false }
    }

    /// Whether the results of the blocks are used.
    pub fn repaired(self, repaired: bool) -> Self {
        Self { repaired, ..self }
    }

    /// The module; its products are zeros.
    pub fn init(&self, device: &Device) -> DoubleLevelFusion {
        let levels = || (0..2).map(|level| (self.features[level], self.features[1 - level]));
        let norms = || levels().map(|(own, _)| LayerNormConfig::new(own).init(device)).collect();
        let positions = |level: usize| zeros([1, self.tokens[level] + 1, self.features[level]], device);
        let blocks = |level: usize| {
            let features = self.features[level];
            let block = TransformerBlockConfig::new(features, HEADS[level], 2 * features);
            (0..DEPTHS[level]).map(|_| block.init(device)).collect()
        };
        DoubleLevelFusion {
            class_norms: norms(),
            positions: (0..2).map(positions).collect(),
            projections: levels().map(|(own, other)| Projection::new(own, other, device)).collect(),
            crossings: (0..2)
                .map(|level| Crossing::new(self.features[1 - level], HEADS[1 - level], device))
                .collect(),
            returns: levels().map(|(own, other)| Projection::new(other, own, device)).collect(),
            blocks: (0..2).map(blocks).collect(),
            norms: norms(),
            repaired: self.repaired,
        }
    }
}

/// The module. Each list holds the fine level's and the coarse level's part.
/// A network names its field `fusion`.
#[derive(Module, Debug)]
pub struct DoubleLevelFusion {
    /// Over the patches whose mean is the class token.
    pub class_norms: Vec<LayerNorm>,
    /// [1, 1 + N, features], the class token's first.
    pub positions: Vec<Param<Tensor<3>>>,
    /// Of the class token to the other level.
    pub projections: Vec<Projection>,
    /// Of the projected class token with the other level's patches.
    pub crossings: Vec<Crossing>,
    /// Of the class token back to its own level.
    pub returns: Vec<Projection>,
    /// Of all tokens of a level.
    pub blocks: Vec<Vec<TransformerBlock>>,
    /// Behind all.
    pub norms: Vec<LayerNorm>,
    repaired: bool,
}

impl DoubleLevelFusion {
    /// What turns field names into reference names.
    pub const NAMES: [(&'static str, &'static str); 10] = [
        ("fusion.class_norms.0", "All2Cross.pyramid.norm_1"),
        ("fusion.class_norms.1", "All2Cross.pyramid.norm_2"),
        ("fusion.positions", "All2Cross.pos_embed"),
        ("fusion.projections", "All2Cross.blocks.0.projs"),
        ("fusion.crossings", "All2Cross.blocks.0.fusion"),
        ("fusion.returns", "All2Cross.blocks.0.revert_projs"),
        ("fusion.blocks", "All2Cross.blocks.0.blocks"),
        ("fusion.norms", "All2Cross.norm"),
        ("layer_norm", "0"),
        ("linear", "2"),
    ];

    /// Initial values of its products and positions.
    pub const INITIAL: [(&'static str, Initial); 17] = [
        ("pos_embed.*", Initial::Normal { std: 0.02 }),
        ("projs.*.2.weight", Initial::Normal { std: 0.02 }),
        ("projs.*.2.bias", Initial::Constant(0.0)),
        ("revert_projs.*.2.weight", Initial::Normal { std: 0.02 }),
        ("revert_projs.*.2.bias", Initial::Constant(0.0)),
        ("attn.wq.weight", Initial::Normal { std: 0.02 }),
        ("attn.wq.bias", Initial::Constant(0.0)),
        ("attn.wk.weight", Initial::Normal { std: 0.02 }),
        ("attn.wk.bias", Initial::Constant(0.0)),
        ("attn.wv.weight", Initial::Normal { std: 0.02 }),
        ("attn.wv.bias", Initial::Constant(0.0)),
        ("attn.qkv.weight", Initial::Normal { std: 0.02 }),
        ("attn.qkv.bias", Initial::Constant(0.0)),
        ("attn.proj.weight", Initial::Normal { std: 0.02 }),
        ("attn.proj.bias", Initial::Constant(0.0)),
        ("mlp.*.weight", Initial::Normal { std: 0.02 }),
        ("mlp.*.bias", Initial::Constant(0.0)),
    ];

    /// Its parameters without influence on the patches, as published.
    pub const DEAD: [&'static str; 12] = [
        "All2Cross.pyramid.norm_1.*",
        "All2Cross.pyramid.norm_2.*",
        "All2Cross.blocks.0.projs.*.*.*",
        "All2Cross.blocks.0.fusion.*.norm1.*",
        "All2Cross.blocks.0.fusion.*.attn.*.*",
        "All2Cross.blocks.0.revert_projs.*.*.*",
        "All2Cross.blocks.0.blocks.*.*.norm1.*",
        "All2Cross.blocks.0.blocks.*.*.norm2.*",
        "All2Cross.blocks.0.blocks.*.*.attn.qkv.*",
        "All2Cross.blocks.0.blocks.*.*.attn.proj.*",
        "All2Cross.blocks.0.blocks.*.*.mlp.fc1.*",
        "All2Cross.blocks.0.blocks.*.*.mlp.fc2.*",
    ];

    /// The patches of the fine and the coarse level, [B, N, features] each, to
    /// the same shapes.
    pub fn forward(&self, levels: [Tensor<3>; 2]) -> [Tensor<3>; 2] {
        let [fine, coarse] = levels;
        if !self.repaired {
            trace::besides(Standing::Ineffective, || self.in_vain(&fine, &coarse));
            return [self.placed(0, fine), self.placed(1, coarse)];
        }
        let (fine, coarse) = (self.with_class(0, fine), self.with_class(1, coarse));
        let outputs = [self.fused(0, &fine, &coarse), self.fused(1, &coarse, &fine)];
        outputs.map(patches)
    }

    /// What the published code computes besides.
    fn in_vain(&self, fine: &Tensor<3>, coarse: &Tensor<3>) {
        let (fine, coarse) = (self.with_class(0, fine.clone()), self.with_class(1, coarse.clone()));
        for (level, own, other) in [(0, &fine, &coarse), (1, &coarse, &fine)] {
            let x = self.crossed(level, own, other);
            trace::besides(Standing::Unread, || {
                self.blocks[level].iter().fold(x, |x, block| block.forward(x))
            });
            // The norm runs over the class token, too.
            self.norms[level].forward(class_token(own));
        }
    }

    /// LN(patches + positions): what the published code comes to.
    fn placed(&self, level: usize, x: Tensor<3>) -> Tensor<3> {
        let shape = x.dims();
        self.norms[level].forward(x + op::spread(patches(self.positions[level].val()), shape))
    }

    /// The class token, the normalised patches' mean, before the patches;
    /// plus positions: [B, 1 + N, C].
    fn with_class(&self, level: usize, x: Tensor<3>) -> Tensor<3> {
        let [batch, tokens, features] = x.dims();
        let normal = self.class_norms[level].forward(x.clone());
        trace::tell(Kind::GlobalAverage, normal.dims(), [batch, features], tokens, &[]);
        let class = op::mean_axes(normal, &[1]);
        let x = Tensor::cat(vec![class, x], 1);
        let shape = x.dims();
        x + op::spread(self.positions[level].val(), shape)
    }

    /// [`Self::crossed`] through the blocks and the norm: [B, 1 + N, C].
    fn fused(&self, level: usize, own: &Tensor<3>, other: &Tensor<3>) -> Tensor<3> {
        let x = self.crossed(level, own, other);
        let x = self.blocks[level].iter().fold(x, |x, block| block.forward(x));
        self.norms[level].forward(x)
    }

    /// The level `own` with a class token that has seen the patches of `other`.
    fn crossed(&self, level: usize, own: &Tensor<3>, other: &Tensor<3>) -> Tensor<3> {
        let class = self.projections[level].forward(class_token(own));
        let class = self.crossings[level].forward(class, patches(other.clone()));
        let class = self.returns[level].forward(class);
        Tensor::cat(vec![class, patches(own.clone())], 1)
    }
}

/// The first token.
fn class_token(x: &Tensor<3>) -> Tensor<3> {
    x.clone().narrow(1, 0, 1)
}

/// All tokens but the first.
fn patches(x: Tensor<3>) -> Tensor<3> {
    let [_, tokens, _] = x.dims();
    x.narrow(1, 1, tokens - 1)
}

/// Linear(GELU(LN(x))).
#[derive(Module, Debug)]
pub struct Projection {
    /// Item 0 of the reference's list.
    pub layer_norm: LayerNorm,
    /// Item 2.
    pub linear: Linear,
}

impl Projection {
    fn new(input: usize, output: usize, device: &Device) -> Self {
        Self {
            layer_norm: LayerNormConfig::new(input).init(device),
            linear: LinearConfig::new(input, output).init(device),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.linear.forward(op::gelu(self.layer_norm.forward(x)))
    }
}

/// A class token plus its attention to itself and patches, normalised.
#[derive(Module, Debug)]
pub struct Crossing {
    /// Over the class token and the patches.
    pub norm1: LayerNorm,
    /// Its parts.
    pub attn: ClassAttention,
}

impl Crossing {
    fn new(features: usize, heads: usize, device: &Device) -> Self {
        let linear = || LinearConfig::new(features, features).init(device);
        Self {
            norm1: LayerNormConfig::new(features).init(device),
            attn: ClassAttention { wq: linear(), wk: linear(), wv: linear(), proj: linear(), heads },
        }
    }

    /// class [B, 1, C], patches [B, N, C] to [B, 1, C].
    fn forward(&self, class: Tensor<3>, patches: Tensor<3>) -> Tensor<3> {
        let x = self.norm1.forward(Tensor::cat(vec![class.clone(), patches], 1));
        class + self.attn.forward(x)
    }
}

/// Attention whose only query is the first token.
#[derive(Module, Debug)]
pub struct ClassAttention {
    /// Of the query.
    pub wq: Linear,
    /// Of the keys.
    pub wk: Linear,
    /// Of the values.
    pub wv: Linear,
    /// Of the joined heads.
    pub proj: Linear,
    heads: usize,
}

impl ClassAttention {
    /// [B, 1 + N, C] to [B, 1, C].
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [_, _, features] = x.dims();
        let heads = |x| split_heads(x, self.heads);
        let q = heads(self.wq.forward(class_token(&x)));
        let (k, v) = (heads(self.wk.forward(x.clone())), heads(self.wv.forward(x)));
        let scale = ((features / self.heads) as f64).sqrt().recip();
        let x = trace::functional(|| op::attention(q, k, v, scale, None));
        self.proj.forward(join_heads(x))
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::module::ModuleMapper;

    use super::*;
    use crate::op::testing::between;

    /// Draws every parameter; holds how many it has drawn, which seeds the next.
    struct Randomise(u64);

    impl ModuleMapper for Randomise {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            self.0 += 1;
            param.map(|x| between(x.dims(), [-0.5, 0.5], self.0))
        }
    }

    fn inputs() -> [Tensor<3>; 2] {
        [between([2, 16, 12], [-1.0, 1.0], 101), between([2, 4, 24], [-1.0, 1.0], 102)]
    }

    fn module(repaired: bool) -> DoubleLevelFusion {
        DoubleLevelFusionConfig::new([16, 4], [12, 24]).repaired(repaired).init(&Device::flex())
    }

    fn distance(a: &Tensor<3>, b: &Tensor<3>) -> f32 {
        (a.clone() - b.clone()).abs().max().into_scalar()
    }

    #[test]
    fn both_forms_agree_where_the_blocks_do_nothing() {
        let [fine, coarse] = inputs();
        let published = module(false).forward([fine.clone(), coarse.clone()]);
        let repaired = module(true).forward([fine, coarse]);
        for (published, repaired) in published.iter().zip(&repaired) {
            assert!(distance(published, repaired) < 1e-6);
        }
    }

    #[test]
    fn only_the_repaired_form_lets_a_level_see_the_other() {
        let [fine, coarse] = inputs();
        for repaired in [false, true] {
            let module = module(repaired).map(&mut Randomise(0));
            let [before_fine, before_coarse] = module.forward([fine.clone(), coarse.clone()]);
            let [after, _] = module.forward([fine.clone(), coarse.clone() * 2.0]);
            assert_eq!(distance(&before_fine, &after) > 1e-6, repaired, "fine");
            let [_, after] = module.forward([fine.clone() * 2.0, coarse.clone()]);
            assert_eq!(distance(&before_coarse, &after) > 1e-6, repaired, "coarse");
        }
    }

    #[test]
    fn every_parameter_of_the_repaired_form_has_a_gradient() {
        use burn::module::ModuleVisitor;
        use burn::tensor::Gradients;

        struct Count<'a>(&'a Gradients, usize);
        impl ModuleVisitor for Count<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let gradient = param.val().grad(self.0).map(|gradient| gradient.abs().sum());
                let moved = gradient.is_some_and(|sum| sum.into_scalar::<f32>() > 0.0);
                self.1 += usize::from(!moved);
            }
        }
        let device = Device::flex().autodiff();
        let module = module(true).map(&mut Randomise(0)).train();
        let levels = inputs().map(|x| Tensor::from_data(x.into_data(), &device));
        let [fine, coarse] = module.forward(levels);
        let grads = (fine.powi_scalar(3).sum() + coarse.powi_scalar(3).sum()).backward();
        let mut count = Count(&grads, 0);
        module.visit(&mut count);
        assert_eq!(count.1, 0);
    }
}
