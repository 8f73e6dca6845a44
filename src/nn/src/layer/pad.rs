//! Zeros around a map.

use burn::tensor::Tensor;

/// Zeros around x [B, C, h, w] up to the height and width of another, at least
/// as large map [B, D, H, W]: the smaller half above and to the left.
pub fn pad_to(x: Tensor<4>, other: &Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let [_, _, rows, columns] = other.dims();
    let (rows, columns) = (rows - height, columns - width);
    if rows == 0 && columns == 0 {
        return x;
    }
    let (top, left) = (rows / 2, columns / 2);
    x.pad((left, columns - left, top, rows - top), 0.0)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn an_odd_zero_goes_below_and_to_the_right() {
        let device = Device::flex();
        let x = Tensor::<4>::ones([1, 1, 2, 1], &device);
        let padded = pad_to(x, &Tensor::zeros([1, 3, 3, 4], &device));
        assert_eq!(padded.dims(), [1, 1, 3, 4]);
        let values: Vec<f32> = padded.into_data().try_to_vec().expect("f32");
        assert_eq!(values, [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
