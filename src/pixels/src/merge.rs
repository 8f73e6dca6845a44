//! One mask of several: where any of them marks foreground, so does the whole.

use image::GrayImage;

/// The masks laid over each other: of each pixel the greatest value. Foreground
/// is what lies above a value, so the whole marks what any of them marks. `None`
/// where there is no mask, or where their sizes differ.
pub fn union(masks: Vec<GrayImage>) -> Option<GrayImage> {
    let mut masks = masks.into_iter();
    let mut whole = masks.next()?;
    for mask in masks {
        if mask.dimensions() != whole.dimensions() {
            return None;
        }
        whole.iter_mut().zip(mask.iter()).for_each(|(into, value)| *into = (*into).max(*value));
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_any_marks_is_marked() {
        let mask = |values: [u8; 4]| GrayImage::from_raw(2, 2, values.to_vec()).expect("a mask");
        assert_eq!(union(vec![mask([0, 255, 0, 9])]), Some(mask([0, 255, 0, 9])));
        assert_eq!(union(vec![mask([0, 255, 0, 9]), mask([1, 0, 0, 200])]), Some(mask([1, 255, 0, 200])));
        assert_eq!(union(vec![]), None);
        assert_eq!(union(vec![mask([0; 4]), GrayImage::new(4, 1)]), None);
    }
}
