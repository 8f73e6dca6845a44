//! `dygl dataset audit`: what is to be known of a dataset before its numbers
//! are believed.

use std::path::Path;

use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_datasets::audit::{self, Audit, Duplicates, Finding, Pair};

use super::split::{Divided, divide, failure, torn};
use crate::cli::{Common, Division, FailOn, Format};
use crate::command;

/// What else is wanted.
pub(super) struct How<'a> {
    pub out: Option<&'a Path>,
    pub embed_images: bool,
    pub fail_on: &'a [FailOn],
}

/// Pairs that the answer on a terminal lists.
const SHOWN: usize = 12;

pub(super) fn audit(
    name: &str,
    division: &Division,
    how: &How<'_>,
    common: &Common,
) -> Result<Exit, Failure> {
    let Divided { registry, dataset, split, partition } = divide(name, division, common)?;
    let problems = dataset.check(&registry).map_err(failure)?;
    if !problems.is_empty() {
        let listed: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
        let text = format!("{name}: files are not as they were registered\n{}", listed.join("\n"));
        return Err(Failure::new(Exit::Altered, text));
    }
    let found = super::with_bar(name, |progress| audit::audit(&dataset, &split, &partition, progress))
        .map_err(failure)?;
    for concern in dataset.concerns() {
        command::note(&format!("warning: {name}: {}", concern.message));
    }
    let page = match how.out {
        Some(out) => {
            let show = how.embed_images || dataset.redistributable();
            let ids = dygl_report::audit::shown(&found);
            let pictures = audit::pictures(&dataset, &ids, show).or_exit(Exit::Environment)?;
            let options = dygl_report::Options {
                embed_images: show,
                out: out.to_owned(),
                generated_by: format!("dygl {}", env!("CARGO_PKG_VERSION")),
                store: None,
            };
            Some(dygl_report::audit::render(&found, &pictures, &options).or_exit(Exit::Environment)?)
        }
        None => None,
    };
    if common.format == Format::Json {
        command::answer_json(&found)?;
    } else {
        command::answer(&text(&found));
        if let Some(page) = page {
            command::answer(&format!("\n{}", page.display()));
        }
    }
    let fails = |finding: &&FailOn| {
        found.has(match finding {
            FailOn::Leak => Finding::Leak,
            FailOn::Duplicates => Finding::Duplicates,
        })
    };
    Ok(if how.fail_on.iter().any(|finding| fails(&finding)) { Exit::Failed } else { Exit::Ok })
}

fn text(found: &Audit) -> String {
    let Audit { split, masks, sizes, channels, .. } = found;
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    let mut text = format!(
        "{}: {} of {} images, divided by {} (train {}, validation {}, test {}); split {}\n\n",
        found.dataset,
        found.images,
        found.expected,
        split.words(),
        split.train,
        split.validation,
        split.test,
        &split.digest[..12]
    );
    text.push_str(&duplicates("Images", &found.duplicates));
    text.push_str(&duplicates("Masks", &found.mask_duplicates));
    text.push_str("\nGroups\n  ");
    text.push_str(&torn(&found.groups, found.images));
    text.push_str(&format!("\nMasks\n  {} empty, {} full", masks.empty, masks.full));
    if let Some(all) = &masks.foreground {
        text.push_str(&format!(
            "\n  foreground of an image: median {}, from {} to {}; of all pixels {}",
            percent(all.median),
            percent(all.min),
            percent(all.max),
            percent(all.pixels)
        ));
    }
    let soft = &masks.soft;
    text.push_str(&format!(
        "\n  rule {}; {} hold values between the least and the greatest ({} of the pixels)",
        soft.rule,
        soft.masks,
        percent(soft.pixels)
    ));
    if let Some((id, most)) = soft.most.first() {
        text.push_str(&format!(
            "; were all above the least foreground, that of {} would grow, by {} on average and {} at most ({id})",
            soft.masks_that_grow,
            percent(soft.mean_growth),
            percent(*most)
        ));
    }
    text.push_str(&format!(
        "\n\nImages\n  {} size(s), sides from {} to {} px, width/height from {:.2} to {:.2}\n  \
         {} grey, {} with two equal channels, {} blank\n",
        sizes.distinct,
        sizes.shortest_side,
        sizes.longest_side,
        sizes.least_aspect,
        sizes.greatest_aspect,
        channels.all_equal,
        channels.two_equal,
        channels.blank
    ));
    if !found.unreadable.is_empty() {
        text.push_str(&format!("\n{} image(s) could not be looked at\n", found.unreadable.len()));
        found.unreadable.iter().for_each(|bad| text.push_str(&format!("  {}: {}\n", bad.id, bad.message)));
    }
    text
}

fn duplicates(what: &str, found: &Duplicates) -> String {
    let turned = found.turned.map_or(String::new(), |turned| format!(", {turned} mirrored or turned"));
    let mut text = format!(
        "{what}: {} pair(s) of equal files, {} of equal pixels, {} nearly equal{turned}; {} across parts\n",
        found.file, found.pixels, found.near, found.across
    );
    let rows: Vec<Vec<String>> = found.pairs.iter().take(SHOWN).map(row).collect();
    text.push_str(&command::columns(&rows));
    if found.count() > SHOWN {
        text.push_str(&format!("  and {} more (--format json lists them)\n", found.count() - SHOWN));
    }
    text
}

fn row(pair: &Pair) -> Vec<String> {
    let place =
        if pair.across { format!("{} | {}", pair.a_part, pair.b_part) } else { pair.a_part.to_owned() };
    let group = match pair.same_group {
        Some(true) => "same group",
        Some(false) => "other group",
        None => "",
    };
    let turned = pair.turn.map_or(String::new(), |turn| format!(", {}", turn.words()));
    let distance = format!("distance {:.3}{turned}", pair.distance);
    vec![format!("  {} = {}", pair.a, pair.b), place, distance, group.to_owned()]
}
