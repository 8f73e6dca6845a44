//! Colours as three numbers in 0..1.

pub(super) type Colour = [f64; 3];

/// From `a` (t = 0) to `b` (t = 1).
pub(super) fn mix(a: Colour, b: Colour, t: f64) -> Colour {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * t)
}

/// Each channel times the same factor.
pub(super) fn scale(colour: Colour, by: f64) -> Colour {
    colour.map(|c| c * by)
}

/// Channel by channel.
pub(super) fn tint(colour: Colour, by: Colour) -> Colour {
    std::array::from_fn(|i| colour[i] * by[i])
}

/// To bytes, clamped and rounded.
pub(super) fn bytes(colour: Colour) -> [u8; 3] {
    colour.map(|c| (c.clamp(0.0, 1.0) * 255.0).round() as u8)
}
