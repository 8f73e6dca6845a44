//! What `dygl dataset add` ends with: the facts of the dataset, for people and
//! as JSON.

use dygl_datasets::{Concern, Extreme, Facts, LeftOver, MaskFacts, Registration, Sizes};
use dygl_pixels::ImageRule;
use dygl_pixels::decode::Held;
use serde_json::{Value, json};

use crate::command;

/// Ids that a line names.
const NAMED: usize = 3;

/// The facts as lines.
pub(super) fn text(found: &Registration) -> String {
    let left_out = match found.left_out.len() {
        0 => String::new(),
        count => format!(" ({count} more have masks without foreground and are left out)"),
    };
    let mut text = format!(
        "{}: {} of {} images{left_out}, digest {}",
        found.dataset,
        found.images,
        found.expected,
        &found.digest[..12]
    );
    let rows: Vec<Vec<String>> =
        rows(found).into_iter().map(|(name, told)| vec![format!("  {name}"), told]).collect();
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&command::columns(&rows));
    }
    text
}

fn rows(found: &Registration) -> Vec<(&'static str, String)> {
    let Some(facts) = &found.facts else { return Vec::new() };
    let masks = &facts.masks;
    let mut rows = vec![
        ("files", found.root.display().to_string().trim_end_matches('/').to_owned()),
        ("images", format!("{}; {}", sizes(&facts.sizes), files(&found.image_files))),
        ("masks", format!("{}; {}; foreground by `{}`", files(&found.mask_files), values(masks), masks.rule)),
        ("orientation", orientation(found)),
        (
            "foreground",
            format!(
                "{} of an image on average, from {} to {}",
                percent(masks.mean),
                extreme(&masks.least),
                extreme(&masks.greatest)
            ),
        ),
        (
            "odd masks",
            format!(
                "{}, {}",
                counted(masks.empty, "empty", &masks.empty_ids),
                counted(masks.full, "full", &masks.full_ids)
            ),
        ),
    ];
    rows.push(("groups", groups(found, facts)));
    rows.push(("in no pair", left_over(found)));
    rows
}

fn sizes(sizes: &Sizes) -> String {
    let side = |(least, greatest): (u32, u32)| match least == greatest {
        true => least.to_string(),
        false => format!("{least}..{greatest}"),
    };
    let all = format!("{} x {} px", side(sizes.width), side(sizes.height));
    if sizes.distinct == 1 { all } else { format!("{all}, {} sizes", sizes.distinct) }
}

/// `12 PNG, 8-bit`
fn files(held: &Held) -> String {
    let formats: Vec<String> =
        held.formats.iter().map(|(format, count)| format!("{count} {}", format.name())).collect();
    let depths: Vec<String> = match held.depths.as_slice() {
        [only] => vec![only.depth.to_string()],
        several => several.iter().map(|held| format!("{} {}", held.files, held.depth)).collect(),
    };
    format!("{}, {}", formats.join(", "), depths.join(", "))
}

/// How many files were turned.
fn orientation(found: &Registration) -> String {
    let turned = |held: &Held| held.turned.values().sum::<usize>();
    match (turned(&found.image_files), turned(&found.mask_files)) {
        (0, 0) => "as stored".to_owned(),
        (images, masks) => format!("{images} images and {masks} masks turned as their tags say"),
    }
}

/// `values 0 and 255`, `values from 0 to 255 (up to 213 in a mask)`
fn values(masks: &MaskFacts) -> String {
    match masks.values.as_deref() {
        Some([only]) => format!("value {only} alone"),
        Some([rest @ .., last]) if rest.len() < 8 => {
            let rest: Vec<String> = rest.iter().map(u32::to_string).collect();
            format!("values {} and {last}", rest.join(", "))
        }
        _ => {
            format!(
                "values from {} to {} (up to {} in a mask)",
                masks.range.0, masks.range.1, masks.most_values
            )
        }
    }
}

fn groups(found: &Registration, facts: &Facts) -> String {
    match facts.grouped {
        0 => "none known".to_owned(),
        known => {
            format!("{} (patients, slides or videos) of {known} of {} images", facts.groups, found.images)
        }
    }
}

/// What of its pictures are in no pair for a reason.
fn in_no_pair(found: &Registration, left: &LeftOver) -> String {
    // The manifest of a built-in dataset is nobody's to change.
    if found.manifest.is_some() { left.to_string() } else { left.words() }
}

/// The pictures that are in no pair, by reason.
fn left_over(found: &Registration) -> String {
    if found.left_over.is_empty() {
        return "no picture".to_owned();
    }
    found.left_over.iter().map(|left| in_no_pair(found, left)).collect::<Vec<_>>().join("; ")
}

fn extreme(of: &Extreme) -> String {
    format!("{} (`{}`)", percent(of.share), of.id)
}

fn counted(count: usize, what: &str, ids: &[String]) -> String {
    if count == 0 {
        return format!("0 {what}");
    }
    let mut named: Vec<String> = ids.iter().take(NAMED).map(|id| format!("`{id}`")).collect();
    if count > named.len() {
        named.push("...".to_owned());
    }
    format!("{count} {what} ({})", named.join(", "))
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// Everything that the lines tell, and the concerns.
pub(super) fn json(found: &Registration) -> Value {
    let doubt =
        found.concerns().iter().find(|concern| concern.key == "group").map(|concern| &concern.message);
    json!({
        "id": found.dataset, "images": found.images, "expected": found.expected,
        "left_out": found.left_out.len(),
        "left_out_ids": found.left_out.iter().map(|entry| &entry.id).collect::<Vec<_>>(),
        "grouped": found.facts.as_ref().map_or(0, |facts| facts.grouped),
        "image_files": found.image_files, "mask_files": found.mask_files,
        "left_over": found.left_over, "recomposed": found.recomposed, "groups_doubt": doubt,
        "digest": found.digest, "root": found.root, "archives": found.archives, "facts": found.facts,
    })
}

/// What speaks against the dataset, and what was done to its files, a line each;
/// `image` is the rule of its manifest.
pub(super) fn concerns(found: &Registration, image: ImageRule) -> Vec<String> {
    let told = |concern: &Concern| {
        let how = if concern.accepted { " (accepted)" } else { "" };
        format!("warning: {}: {}{how}", found.dataset, concern.message)
    };
    let mut lines: Vec<String> = found.concerns().iter().map(told).collect();
    let mut notes = found.image_files.notes("images");
    notes.extend(found.image_files.scaling(image));
    notes.extend(found.mask_files.notes("masks"));
    notes.extend(found.left_over.iter().map(|left| in_no_pair(found, left)));
    lines.extend(notes.into_iter().map(|told| format!("note: {}: {told}", found.dataset)));
    if found.recomposed > 0 {
        lines.push(format!(
            "note: {}: the names of {} files hold accents as macOS writes them; names are compared, and ids kept, in \
             the composed form (Unicode NFC)",
            found.dataset, found.recomposed
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use dygl_pixels::mask::Scale;

    use super::*;

    fn masks(values: Option<Vec<u32>>) -> MaskFacts {
        let at = |id: &str, share| Extreme { id: id.to_owned(), share };
        MaskFacts {
            rule: "grey > 127".to_owned(),
            scale: Scale::WHOLE,
            values,
            range: (0, 255),
            most_values: 213,
            mean: 0.25,
            least: at("3", 0.0),
            greatest: at("7", 0.75),
            empty: 1,
            empty_ids: vec!["3".to_owned()],
            full: 5,
            full_ids: ["4", "5", "6", "7", "8"].map(str::to_owned).to_vec(),
        }
    }

    #[test]
    fn values_are_listed_or_bounded() {
        assert_eq!(values(&masks(Some(vec![0]))), "value 0 alone");
        assert_eq!(values(&masks(Some(vec![0, 1, 255]))), "values 0, 1 and 255");
        assert_eq!(values(&masks(None)), "values from 0 to 255 (up to 213 in a mask)");
    }

    #[test]
    fn sizes_are_one_or_a_range() {
        let of = |distinct, width, height| sizes(&Sizes { distinct, width, height });
        assert_eq!(of(1, (64, 64), (48, 48)), "64 x 48 px");
        assert_eq!(of(3, (64, 80), (48, 48)), "64..80 x 48 px, 3 sizes");
    }

    #[test]
    fn odd_masks_are_named() {
        assert_eq!(counted(0, "empty", &[]), "0 empty");
        let masks = masks(None);
        assert_eq!(counted(masks.full, "full", &masks.full_ids), "5 full (`4`, `5`, `6`, ...)");
    }
}
