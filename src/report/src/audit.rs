//! The page of a dataset's audit: one self-contained file, and everything
//! found as JSON beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dygl_datasets::audit::{Audit, Duplicates, Foreground, Kind, METHOD, Pair, Picture, Turn};
use serde::Serialize;

use super::{Options, ReportError, STYLE, format, write};
use crate::plot;

const TEMPLATE: &str = include_str!("../../../reports/templates/audit.html");
const OWN_STYLE: &str = include_str!("../../../reports/assets/audit.css");
/// The ending makes tera escape every value that is not marked safe.
const PAGE: &str = "index.html";

/// Pairs of each kind that are shown with pictures.
const PAIRS: usize = 18;
/// Pairs beyond the threshold that are shown.
const BEYOND: usize = 4;
/// Groups, empty masks and the like that are shown.
const ROWS: usize = 40;

#[derive(Debug, Serialize)]
struct Page<'a> {
    title: String,
    question: &'a str,
    facts: Vec<(&'static str, Vec<String>)>,
    checks: Vec<Check>,
    withheld: bool,
    sections: Vec<PairSection<'a>>,
    groups: Option<Groups<'a>>,
    figure: Option<String>,
    foreground: Vec<Row>,
    soft: Soft<'a>,
    empty: Vec<&'a str>,
    empty_more: usize,
    sizes: Vec<(String, usize, String)>,
    sizes_more: usize,
    unreadable: Vec<(&'a str, &'a str)>,
    method: &'static [(&'static str, &'static str)],
    generated_by: &'a str,
}

/// One line of the overview.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    found: String,
    note: String,
    /// `bad`, `odd` or `fine`; a class of the style sheet.
    class: &'static str,
    word: &'static str,
    anchor: &'static str,
}

#[derive(Debug, Serialize)]
struct PairSection<'a> {
    title: &'static str,
    lead: String,
    pairs: Vec<PairView<'a>>,
    more: usize,
}

#[derive(Debug, Serialize)]
struct PairView<'a> {
    a: Shown<'a>,
    b: Shown<'a>,
    across: bool,
    words: String,
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    id: &'a str,
    part: &'static str,
    uri: Option<String>,
    width: u32,
    height: u32,
}

#[derive(Debug, Serialize)]
struct Groups<'a> {
    lead: String,
    torn: Vec<Torn<'a>>,
    more: usize,
}

/// A group with its images by part; the shares are percent of its images.
#[derive(Debug, Serialize)]
struct Torn<'a> {
    name: &'a str,
    counts: [usize; 3],
    shares: [String; 3],
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    images: usize,
    values: [String; 6],
}

#[derive(Debug, Serialize)]
struct Soft<'a> {
    lead: String,
    most: Vec<(Shown<'a>, String)>,
}

/// Ids of the images that the page shows.
pub fn shown(audit: &Audit) -> BTreeSet<&str> {
    let mut ids = BTreeSet::new();
    for duplicates in [&audit.duplicates, &audit.mask_duplicates] {
        let (across, within) = halves(duplicates);
        let beyond = duplicates.not_counted.iter().take(BEYOND);
        for pair in across.into_iter().chain(within).chain(beyond) {
            ids.extend([pair.a.as_str(), pair.b.as_str()]);
        }
    }
    ids.extend(audit.masks.soft.most.iter().map(|(id, _)| id.as_str()));
    ids
}

/// The pairs across parts and within one that are shown.
fn halves(duplicates: &Duplicates) -> (Vec<&Pair>, Vec<&Pair>) {
    let of = |across: bool| duplicates.pairs.iter().filter(move |pair| pair.across == across).take(PAIRS);
    (of(true).collect(), of(false).collect())
}

/// Writes `index.html` and `audit.json` into `options.out`, the page last.
/// `options.embed_images` says whether the pictures show the images
/// themselves. Returns the path of the page.
///
/// # Errors
/// A file cannot be written, or a figure not be drawn.
pub fn render(
    audit: &Audit,
    pictures: &BTreeMap<String, Picture>,
    options: &Options,
) -> Result<PathBuf, ReportError> {
    let page = page(audit, pictures, options)?;
    let mut tera = tera::Tera::default();
    tera.add_raw_templates([super::HEAD, (PAGE, TEMPLATE)])?;
    let mut context = tera::Context::from_serialize(&page)?;
    context.insert("style", &format!("{STYLE}{OWN_STYLE}"));
    let html = tera.render(PAGE, &context)?;
    let json = serde_json::to_string_pretty(audit).map_err(tera::Error::json)?;
    write::folder(&options.out)?;
    write::file(&options.out, "audit.json", &json)?;
    write::file(&options.out, PAGE, &html)
}

fn page<'a>(
    audit: &'a Audit,
    pictures: &BTreeMap<String, Picture>,
    options: &'a Options,
) -> Result<Page<'a>, ReportError> {
    let show = |id: &'a str, part: &'static str| {
        let picture = pictures.get(id);
        let encode = |p: &Picture| format!("data:image/jpeg;base64,{}", STANDARD.encode(&p.jpeg));
        let (width, height) = picture.map_or((0, 0), |p| (p.width, p.height));
        Shown { id, part, uri: picture.map(encode), width, height }
    };
    let view = |pair: &'a Pair| PairView {
        a: show(&pair.a, pair.a_part),
        b: show(&pair.b, pair.b_part),
        across: pair.across,
        words: words(pair),
    };
    let views = |pairs: Vec<&'a Pair>| pairs.into_iter().map(view).collect::<Vec<_>>();
    let mut sections = Vec::new();
    let mut add = |title, lead: String, pairs: Vec<&'a Pair>, all: usize| {
        if !pairs.is_empty() {
            let more = all.saturating_sub(pairs.len());
            sections.push(PairSection { title, lead, pairs: views(pairs), more });
        }
    };
    for (duplicates, across_title, within_title, what) in [
        (&audit.duplicates, "Images in several parts", "Images twice in one part", "images"),
        (&audit.mask_duplicates, "Masks in several parts", "Masks twice in one part", "masks"),
    ] {
        let (across, within) = halves(duplicates);
        let leads = [
            format!("Equal or nearly equal {what} on both sides of the split: what trains is also scored."),
            format!(
                "Equal or nearly equal {what} on one side: they count twice, and leak under other splits."
            ),
        ];
        let [lead_across, lead_within] = leads;
        add(across_title, lead_across, across, duplicates.across);
        add(within_title, lead_within, within, duplicates.count() - duplicates.across);
    }
    let beyond: Vec<&Pair> = audit.duplicates.not_counted.iter().take(BEYOND).collect();
    let lead = "The nearest pairs that the threshold leaves out, to judge it by.".to_owned();
    let count = beyond.len();
    add("Not counted", lead, beyond, count);

    // What does not count is no leak.
    if let Some(section) = sections.last_mut().filter(|_| count > 0) {
        section.pairs.iter_mut().for_each(|pair| pair.across = false);
    }

    let masks = &audit.masks;
    let figure = match &masks.foreground {
        Some(all) => Some(plot::foreground_distribution(&masks.histogram, all.mean, all.median)?),
        None => None,
    };
    let mut foreground: Vec<Row> = masks.foreground.iter().map(|all| row("all", all)).collect();
    foreground.extend(masks.by_part.iter().map(|(part, of)| row(part, of)));
    Ok(Page {
        title: format!("Audit of {}", audit.dataset),
        question: &audit.title,
        facts: facts(audit),
        checks: checks(audit),
        withheld: !options.embed_images,
        sections,
        groups: groups(audit),
        figure,
        foreground,
        soft: Soft {
            lead: soft(audit),
            most: masks
                .soft
                .most
                .iter()
                .map(|(id, growth)| (show(id, ""), format!("+{:.1} %", growth * 100.0)))
                .collect(),
        },
        empty: masks.empty_ids.iter().take(ROWS).map(String::as_str).collect(),
        empty_more: masks.empty.saturating_sub(ROWS),
        sizes: audit
            .sizes
            .most
            .iter()
            .map(|size| {
                let aspect = f64::from(size.width) / f64::from(size.height.max(1));
                (format!("{} x {}", size.width, size.height), size.images, format!("{aspect:.2}"))
            })
            .collect(),
        sizes_more: audit.sizes.distinct.saturating_sub(audit.sizes.most.len()),
        unreadable: audit.unreadable.iter().map(|u| (u.id.as_str(), u.message.as_str())).collect(),
        method: METHOD,
        generated_by: &options.generated_by,
    })
}

fn words(pair: &Pair) -> String {
    let kind = match pair.kind {
        Kind::File => "equal files".to_owned(),
        Kind::Pixels => "equal pixels".to_owned(),
        Kind::Near => format!("distance {:.3}", pair.distance),
        Kind::Turned => {
            format!("{}, distance {:.3}", pair.turn.map_or("turned", Turn::words), pair.distance)
        }
    };
    let group = match pair.same_group {
        Some(true) => ", one group",
        Some(false) => ", two groups",
        None => "",
    };
    format!("{kind}{group}")
}

fn facts(audit: &Audit) -> Vec<(&'static str, Vec<String>)> {
    let split = &audit.split;
    let images = if audit.images < audit.expected {
        format!("{} of {} (partial)", audit.images, audit.expected)
    } else {
        audit.images.to_string()
    };
    let mut parts = vec![
        format!("{} train", split.train),
        format!("{} validation", split.validation),
        format!("{} test", split.test),
    ];
    if split.unused > 0 {
        parts.push(format!("{} unused", split.unused));
    }
    vec![
        ("Images", vec![images]),
        ("Parts", parts),
        ("Divided by", vec![split.words()]),
        ("Split", vec![split.digest[..12].to_owned()]),
        ("Content", vec![audit.digest[..12].to_owned()]),
    ]
}

/// The overview: leaks first, then what is odd, each also when nothing was found.
fn checks(audit: &Audit) -> Vec<Check> {
    let check = |name, count: usize, found: String, note: String, when_found, anchor| Check {
        name,
        found,
        note,
        class: if count > 0 { when_found } else { "fine" },
        word: match (count, when_found) {
            (0, _) => "none",
            (_, "bad") => "leak",
            _ => "look",
        },
        anchor,
    };
    let (duplicates, groups, masks) = (&audit.duplicates, &audit.groups, &audit.masks);
    let torn = groups.straddling.len();
    let soft = &masks.soft;
    let mut all = vec![
        check(
            "Images across parts",
            duplicates.across,
            format!("{} pairs", duplicates.across),
            "equal or nearly equal images in different parts".to_owned(),
            "bad",
            "pairs",
        ),
        check(
            "Groups across parts",
            torn,
            if groups.known { format!("{torn} of {}", groups.count) } else { "not known".to_owned() },
            if groups.known {
                let unknown = match groups.unknown {
                    0 => String::new(),
                    images => format!("; of {images} images not known"),
                };
                format!(
                    "patients, slides or videos in several parts, with {} images{unknown}",
                    groups.images_straddling
                )
            } else {
                "nothing says which images belong together".to_owned()
            },
            "bad",
            "groups",
        ),
        check(
            "Duplicate images",
            duplicates.count(),
            format!("{} pairs", duplicates.count()),
            format!(
                "{} equal files, {} equal pixels, {} nearly equal, {} mirrored or turned; {} images in {} clusters",
                duplicates.file,
                duplicates.pixels,
                duplicates.near,
                duplicates.turned.unwrap_or(0),
                duplicates.images,
                duplicates.clusters
            ),
            "odd",
            "pairs",
        ),
        check(
            "Duplicate masks",
            audit.mask_duplicates.count(),
            format!("{} pairs", audit.mask_duplicates.count()),
            format!("{} of them across parts; empty masks are not compared", audit.mask_duplicates.across),
            "odd",
            "pairs",
        ),
        check(
            "Empty or full masks",
            masks.empty + masks.full,
            format!("{} empty, {} full", masks.empty, masks.full),
            "their Dice depends on the empty-mask rule".to_owned(),
            "odd",
            "masks",
        ),
        check(
            "Masks with greys",
            soft.masks,
            format!("{} masks", soft.masks),
            format!("{:.2} % of all pixels are neither black nor white", soft.pixels * 100.0),
            "odd",
            "greys",
        ),
        check(
            "Equal channels",
            audit.channels.two_equal + audit.channels.all_equal,
            format!("{} images", audit.channels.two_equal + audit.channels.all_equal),
            format!(
                "{} grey, {} with two equal channels",
                audit.channels.all_equal, audit.channels.two_equal
            ),
            "odd",
            "images",
        ),
        check(
            "Blank images",
            audit.channels.blank,
            format!("{} images", audit.channels.blank),
            "all pixels the same".to_owned(),
            "odd",
            "images",
        ),
        check(
            "Unreadable",
            audit.unreadable.len(),
            format!("{} images", audit.unreadable.len()),
            "do not decode, or the mask has another size".to_owned(),
            "odd",
            "images",
        ),
    ];
    if !groups.known {
        // Not to know is not to have found nothing.
        (all[1].class, all[1].word) = ("odd", "unknown");
    }
    all
}

fn groups(audit: &Audit) -> Option<Groups<'_>> {
    let groups = &audit.groups;
    if !groups.known {
        return None;
    }
    let lead = groups.words(audit.images);
    let torn = groups.straddling.iter().take(ROWS).map(|torn| {
        let counts = [torn.train, torn.validation, torn.test];
        let all = counts.iter().sum::<usize>().max(1) as f64;
        Torn {
            name: &torn.group,
            counts,
            shares: counts.map(|count| format!("{:.2}", 100.0 * count as f64 / all)),
        }
    });
    Some(Groups { lead, torn: torn.collect(), more: groups.straddling.len().saturating_sub(ROWS) })
}

fn row(name: &str, of: &Foreground) -> Row {
    let values = [of.mean, of.min, of.quarter, of.median, of.three_quarters, of.max].map(format::percent);
    Row { name: name.to_owned(), images: of.images, values }
}

fn soft(audit: &Audit) -> String {
    let soft = &audit.masks.soft;
    if soft.masks == 0 {
        return format!("Every mask holds background and foreground alone under the rule `{}`.", soft.rule);
    }
    let mut text = format!(
        "{} masks hold values between the least and the greatest. The rule of this dataset is `{}`; were all above \
         the least foreground, that of {} masks would grow, by {:.2} % on average over all masks.",
        soft.masks,
        soft.rule,
        soft.masks_that_grow,
        soft.mean_growth * 100.0
    );
    if soft.masks_only_soft > 0 {
        text.push_str(&format!(" {} masks have foreground only then.", soft.masks_only_soft));
    }
    text
}

#[cfg(test)]
mod tests {
    use dygl_datasets::audit::testing::sample;

    use super::*;

    fn html(audit: &Audit) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options {
            embed_images: false,
            out: folder.path().join("new"),
            generated_by: "dygl <test>".into(),
            store: None,
        };
        let page = render(audit, &BTreeMap::new(), &options).expect("rendered");
        let json = std::fs::read_to_string(folder.path().join("new/audit.json")).expect("written");
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["dataset"], audit.dataset);
        std::fs::read_to_string(page).expect("written")
    }

    #[test]
    fn the_page_is_self_contained_and_its_links_lead_somewhere() {
        let text = html(&sample());
        let outside =
            regex::Regex::new(r#"(src|href)="(https?:|//|/)|url\(|<script|@import"#).expect("valid");
        assert!(!outside.is_match(&text));
        let links = regex::Regex::new(r##" href="#([^"]+)""##).expect("valid");
        for link in links.captures_iter(&text) {
            assert!(text.contains(&format!(" id=\"{}\"", &link[1])), "{} leads nowhere", &link[1]);
        }
    }

    #[test]
    fn everything_from_outside_is_escaped() {
        let evil = "<img src=x onerror=alert(1)>\"'&";
        let mut audit = sample();
        audit.dataset = evil.into();
        audit.title = evil.into();
        audit.duplicates.pairs.iter_mut().for_each(|pair| pair.a = evil.into());
        audit.groups.straddling.iter_mut().for_each(|torn| torn.group = evil.into());
        audit.masks.empty_ids.push(evil.into());
        audit.masks.soft.most.push((evil.into(), 0.5));
        assert!(!html(&audit).contains("<img src=x"));
    }
}
