//! The baseline networks: one network, one file, written from the paper and
//! checked against fixtures of the reference implementation.

pub mod attention_unet;
pub mod bef_unet;
pub mod cmunext_l;
pub mod dcsau_net;
pub mod fat_net;
pub mod h2former;
pub mod hiformer_b;
pub mod m2snet;
pub mod missformer;
pub mod swin_unet;
pub mod unet;
pub mod unetpp;

/// What the tests of parts that start from a classifier share.
#[cfg(test)]
mod testing {
    use burn::module::{ModuleMapper, Param};
    use burn::tensor::{Device, Tensor, TensorData};
    use dygl_nn::layer::{BasicBlock, Mlp, SwinBlock, SwinPyramid, to_image};
    use dygl_nn::network::{Network, reference_name};
    use dygl_tests::arrays::{self, Array, Arrays};
    use dygl_tests::{classifier, parity};

    /// A network with the tensors of a file; the others stay what they are.
    pub(crate) fn laid<N: Network>(net: N, tensors: &Arrays) -> N {
        let mut mapper = Lay { names: N::NAMES, path: Vec::new(), tensors, laid: 0 };
        let net = net.map(&mut mapper);
        assert_eq!(mapper.laid, tensors.len(), "a tensor of the file is none of the network");
        net
    }

    struct Lay<'a> {
        names: &'static [(&'static str, &'static str)],
        path: Vec<String>,
        tensors: &'a Arrays,
        laid: usize,
    }

    impl ModuleMapper for Lay<'_> {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }

        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }

        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Some(array) = self.tensors.get(&reference_name(&self.path, self.names)) else {
                return param;
            };
            self.laid += 1;
            param.map(|old| {
                assert_eq!(old.dims().as_slice(), array.shape, "{:?}", self.path);
                tensor(array.clone())
            })
        }
    }

    fn tensor<const D: usize>(array: Array) -> Tensor<D> {
        Tensor::from_data(TensorData::new(array.values, array.shape), &Device::flex())
    }

    /// Numbers in [-1, 1) of the fill rule, of a stream of their own.
    pub(crate) fn numbers<const D: usize>(name: &str, shape: [usize; D]) -> Tensor<D> {
        let count = shape.iter().product();
        let values = (0..count).map(|index| arrays::unit(name, index, parity::SEED)).collect();
        tensor(Array { shape: shape.to_vec(), values })
    }

    /// The image of the golden maps, [1, 3, 224, 224].
    pub(crate) fn image() -> Tensor<4> {
        tensor(classifier::image())
    }

    /// A map on the host.
    pub(crate) fn map(x: &Tensor<4>) -> Array {
        let values = x.clone().into_data().try_to_vec().expect("f32");
        Array { shape: x.dims().into(), values }
    }

    /// Tokens [1, N, C] of a square as a map [1, C, H, W].
    pub(crate) fn square(x: &Tensor<3>) -> Array {
        let side = x.dims()[1].isqrt();
        map(&to_image(x.clone(), [side, side]))
    }

    /// The maps of the stages of a ResNet-34 behind its stem's activation and
    /// behind what follows it, which is the first stage's input.
    pub(crate) fn resnet34(stem: Tensor<4>, pooled: Tensor<4>, stages: [&[BasicBlock]; 4]) -> Arrays {
        let mut found = Arrays::from([("stem".to_owned(), map(&stem))]);
        let mut x = pooled;
        for (index, stage) in stages.into_iter().enumerate() {
            x = stage.iter().fold(x, |x, block| block.forward(x));
            found.insert(format!("layer{}", index + 1), map(&x));
        }
        found
    }

    /// What the tables of relative positions do by themselves: each block of a
    /// pyramid, its values and projection the identity and all else zero,
    /// averages its windows by its table.
    pub(crate) fn tables(pyramid: &SwinPyramid) -> Arrays {
        let mut found = Arrays::new();
        for (index, stage) in pyramid.stages.iter().enumerate() {
            let (features, side) = (96 << index, 56 >> index);
            let tokens: Tensor<3> = tensor(arrays::tokens(side * side, features, parity::SEED));
            for (place, block) in stage.iter().enumerate() {
                let block = averaging(block.clone(), features);
                let x = block.forward(tokens.clone(), [side, side]);
                found.insert(format!("layers.{index}.blocks.{place}"), square(&x));
            }
        }
        found
    }

    fn averaging(mut block: SwinBlock<Mlp>, features: usize) -> SwinBlock<Mlp> {
        let device = Device::flex();
        let identity = Tensor::<2>::eye(features, &device);
        let nothing = Tensor::zeros([2 * features, features], &device);
        block.attn.qkv.weight = Param::from_tensor(Tensor::cat(vec![nothing, identity.clone()], 0));
        block.attn.proj.weight = Param::from_tensor(identity);
        block
    }
}
