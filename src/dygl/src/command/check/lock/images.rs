//! The scores of every image: as a digest that knows the last bit, and as CSV with
//! five decimals in which a review sees the images that moved.

use std::collections::{BTreeMap, BTreeSet};

use dygl_base::exit::{Exit, Failure};
use dygl_spec::metric::Metric;
use dygl_spec::plan::apart;
use dygl_store::record::ImageScores;

use super::{Lock, LockedCell};

/// Up to so many rows are kept unasked.
pub const FEW_ROWS: u64 = 5_000;

/// What stands in front of the scores of a row.
const NAMES: [&str; 4] = ["model", "dataset", "seed", "image"];
/// Behind the seed, where several cells share the other names.
const VARIANT: &str = "variant";

/// blake3 over the scores of all images, to the last bit: ids in byte order, of each
/// the given metrics by name. Column order and spelling of the file are of no account,
/// nor are metrics that were not asked for. Numbers are little endian, texts have their
/// length before them.
pub fn scores_digest(images: &[ImageScores], metrics: &BTreeSet<Metric>) -> String {
    let mut images: Vec<&ImageScores> = images.iter().collect();
    images.sort_by(|a, b| a.id.cmp(&b.id));
    let mut metrics: Vec<Metric> = metrics.iter().copied().collect();
    metrics.sort_by_key(|metric| metric.name());
    let mut hasher = blake3::Hasher::new();
    let text = |hasher: &mut blake3::Hasher, text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    text(&mut hasher, "dygl scores");
    hasher.update(&(images.len() as u64).to_le_bytes());
    for image in images {
        text(&mut hasher, &image.id);
        // An image that the empty-mask rule left out has no scores.
        let scores: Vec<(Metric, f64)> =
            metrics.iter().filter_map(|metric| Some((*metric, *image.scores.get(metric)?))).collect();
        hasher.update(&(scores.len() as u64).to_le_bytes());
        for (metric, score) in scores {
            text(&mut hasher, metric.name());
            hasher.update(&score.to_bits().to_le_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// A score as the table holds it.
pub fn rounded(score: f64) -> f64 {
    printed(score).parse().unwrap_or(score)
}

fn printed(score: f64) -> String {
    format!("{score:.5}")
}

/// The table of a lock: sorted, LF, a row for each image.
pub(super) fn write(lock: &Lock) -> Result<String, Failure> {
    let apart = apart(lock.cells.iter().map(|cell| &cell.identity));
    let has_variants = has_namesakes(lock);
    let mut rows: Vec<(&LockedCell, String, &ImageScores)> = Vec::new();
    for cell in &lock.cells {
        let variant = cell.identity.variant(&apart);
        rows.extend(cell.per_image.iter().map(|image| (cell, variant.clone(), image)));
    }
    rows.sort_by(|a, b| {
        let key = |(cell, variant, image): &(&LockedCell, String, &ImageScores)| {
            let identity = &cell.identity;
            (
                identity.model.clone(),
                identity.dataset.clone(),
                identity.seed,
                variant.clone(),
                image.id.clone(),
            )
        };
        key(a).cmp(&key(b))
    });
    let metrics: BTreeSet<Metric> = lock.cells.iter().flat_map(|cell| cell.scores.keys().copied()).collect();
    let mut header = NAMES.to_vec();
    if has_variants {
        header.insert(3, VARIANT);
    }
    header.extend(metrics.iter().map(|metric| metric.name()));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, format!("per-image scores: {error}"));
    writer.write_record(&header).map_err(|error| failed(&error))?;
    for (cell, variant, image) in rows {
        let identity = &cell.identity;
        let mut row = vec![identity.model.clone(), identity.dataset.clone(), identity.seed.to_string()];
        row.extend(has_variants.then_some(variant));
        row.push(image.id.clone());
        let score = |metric| image.scores.get(metric).map_or_else(String::new, |score| printed(*score));
        row.extend(metrics.iter().map(score));
        writer.write_record(&row).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

/// Whether model, dataset and seed do not tell all cells apart.
fn has_namesakes(lock: &Lock) -> bool {
    let mut seen = BTreeSet::new();
    !lock.cells.iter().all(|cell| {
        let identity = &cell.identity;
        seen.insert((&identity.model, &identity.dataset, identity.seed))
    })
}

/// Gives the cells of a lock their images. Rows of cells that the lock does not hold
/// (any more) are of no account.
pub(super) fn read(lock: &mut Lock, text: &str, shown: &str) -> Result<(), Failure> {
    let refuse = |line: u64, what: String| {
        let remedy =
            format!("restore the file, or `dygl check {} --accept` writes it again", lock.experiment);
        Failure::new(Exit::Usage, format!("{shown}:{line}: {what}; {remedy}"))
    };
    let apart = apart(lock.cells.iter().map(|cell| &cell.identity));
    let mut places: BTreeMap<(String, String, String, String), usize> = BTreeMap::new();
    let has_variants = has_namesakes(lock);
    for (place, cell) in lock.cells.iter().enumerate() {
        let identity = &cell.identity;
        let variant = if has_variants { identity.variant(&apart) } else { String::new() };
        places.insert(
            (identity.model.clone(), identity.dataset.clone(), identity.seed.to_string(), variant),
            place,
        );
    }
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| refuse(1, error.to_string()))?.clone();
    let column = |name: &str| header.iter().position(|title| title == name);
    let mut names = Vec::new();
    for name in NAMES {
        names.push(column(name).ok_or_else(|| refuse(1, format!("there is no column `{name}`")))?);
    }
    let variant = column(VARIANT);
    let metrics: Vec<(Metric, usize)> =
        Metric::ALL.iter().filter_map(|metric| Some((*metric, column(metric.name())?))).collect();
    let mut seen = BTreeSet::new();
    for record in reader.records() {
        let record = record.map_err(|error| {
            refuse(error.position().map_or(0, csv::Position::line), "the row is not like the others".into())
        })?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |column: usize| record.get(column).unwrap_or_default().to_owned();
        let variant = match variant {
            Some(column) if has_variants => field(column),
            _ => String::new(),
        };
        let Some(place) = places.get(&(field(names[0]), field(names[1]), field(names[2]), variant)) else {
            continue;
        };
        let id = field(names[3]);
        if !seen.insert((*place, id.clone())) {
            return Err(refuse(line, format!("the image `{id}` is given twice for its cell")));
        }
        let mut scores = BTreeMap::new();
        for (metric, column) in &metrics {
            let text = field(*column);
            if text.is_empty() {
                continue;
            }
            let score = text.parse::<f64>().ok().filter(|score| score.is_finite());
            let score =
                score.ok_or_else(|| refuse(line, format!("{} `{text}` is no number", metric.name())))?;
            scores.insert(*metric, score);
        }
        lock.cells[*place].per_image.push(ImageScores { id, scores });
    }
    Ok(())
}

impl LockedCell {
    /// What the images say of a mean that the lock does not; none where both agree, or
    /// where no images were kept.
    pub fn contradiction(&self) -> Option<String> {
        if self.per_image.is_empty() {
            return None;
        }
        if let Some(images) = self.images
            && images != self.per_image.len() as u64
        {
            return Some(format!("{images} images were accepted, {} are listed", self.per_image.len()));
        }
        self.scores.iter().find_map(|(metric, accepted)| {
            let listed: Vec<f64> =
                self.per_image.iter().filter_map(|image| image.scores.get(metric).copied()).collect();
            let mean = dygl_base::stats::mean(&listed)?;
            // Twice what five decimals leave open.
            let agrees = (mean - accepted).abs() <= 1e-5;
            (!agrees).then(|| {
                let (label, mean, accepted) = (metric.label(), 100.0 * mean, 100.0 * accepted);
                format!("the mean {label} of the listed images is {mean:.2}, the accepted one {accepted:.2}")
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use dygl_spec::plan::Identity;
    use serde_json::json;

    use super::super::Lines;
    use super::*;

    fn image(id: &str, dice: f64, iou: Option<f64>) -> ImageScores {
        let iou = iou.map(|iou| (Metric::Iou, iou));
        ImageScores { id: id.into(), scores: [(Metric::Dice, dice)].into_iter().chain(iou).collect() }
    }

    fn cell(model: &str, lambda: Option<f64>, images: Vec<ImageScores>) -> LockedCell {
        let settings = lambda.map(|lambda| ("loss.lambda".to_owned(), json!(lambda)));
        LockedCell {
            identity: Identity {
                model: model.into(),
                dataset: "phantom-polyp,count=8".into(),
                seed: 42,
                pretrained: None,
                settings: Some(settings.into_iter().collect()),
            },
            own: BTreeMap::new(),
            asked: None,
            numerics: "flex".into(),
            simd: None,
            threads: None,
            commit: None,
            date: None,
            images: Some(images.len() as u64),
            groups: None,
            scores_digest: None,
            keys: None,
            tolerance: BTreeMap::new(),
            scores: [(Metric::Dice, 0.5), (Metric::Iou, 0.4)].into(),
            per_image: images,
            lines: Lines::default(),
        }
    }

    fn lock(cells: Vec<LockedCell>) -> Lock {
        Lock { cells, ..Lock::empty("a", "paper") }
    }

    /// The table, read into the same lock without images.
    fn read_back(lock: &Lock, text: &str) -> Result<Vec<Vec<ImageScores>>, String> {
        let mut bare = lock.clone();
        bare.cells.iter_mut().for_each(|cell| cell.per_image.clear());
        read(&mut bare, text, "a.lock.csv").map_err(|failure| failure.message)?;
        Ok(bare.cells.into_iter().map(|cell| cell.per_image).collect())
    }

    #[test]
    fn the_digest_knows_the_last_bit_and_no_order() {
        let both: BTreeSet<Metric> = [Metric::Dice, Metric::Iou].into();
        let images = [image("a", 0.5, Some(0.25)), image("b", 0.6, None)];
        let digest = scores_digest(&images, &both);
        let turned = [images[1].clone(), images[0].clone()];
        assert_eq!(scores_digest(&turned, &both), digest);
        let moved = [image("a", 0.5_f64.next_up(), Some(0.25)), images[1].clone()];
        assert_ne!(scores_digest(&moved, &both), digest);
        assert_ne!(scores_digest(&images[..1], &both), digest);
        // Scores that are not asked for may come and go.
        let dice: BTreeSet<Metric> = [Metric::Dice].into();
        let bare = [image("a", 0.5, None), image("b", 0.6, None)];
        assert_eq!(scores_digest(&images, &dice), scores_digest(&bare, &dice));
    }

    #[test]
    fn the_digest_is_what_its_description_says() {
        let mut bytes = Vec::new();
        let text = |bytes: &mut Vec<u8>, text: &str| {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        };
        text(&mut bytes, "dygl scores");
        bytes.extend(1_u64.to_le_bytes());
        text(&mut bytes, "a");
        bytes.extend(2_u64.to_le_bytes());
        for (name, value) in [("dice", 0.5_f64), ("iou", 0.25)] {
            text(&mut bytes, name);
            bytes.extend(value.to_bits().to_le_bytes());
        }
        let digest = scores_digest(&[image("a", 0.5, Some(0.25))], &[Metric::Iou, Metric::Dice].into());
        assert_eq!(digest, blake3::hash(&bytes).to_hex().as_str());
    }

    #[test]
    fn the_table_is_sorted_and_reads_back() {
        let images = vec![image("b,2", 0.123_456_7, Some(0.5)), image("a", 0.9, None)];
        let lock =
            lock(vec![cell("unet", None, images), cell("dyglnet", None, vec![image("z", 1.0, Some(1.0))])]);
        let text = write(&lock).expect("written");
        let expected = "model,dataset,seed,image,dice,iou\n\
                        dyglnet,\"phantom-polyp,count=8\",42,z,1.00000,1.00000\n\
                        unet,\"phantom-polyp,count=8\",42,a,0.90000,\n\
                        unet,\"phantom-polyp,count=8\",42,\"b,2\",0.12346,0.50000\n";
        assert_eq!(text, expected);
        let read = read_back(&lock, &text).expect("read");
        assert_eq!(read[0], [image("a", 0.9, None), image("b,2", 0.12346, Some(0.5))]);
        assert_eq!(rounded(0.123_456_7), 0.12346);
    }

    #[test]
    fn cells_of_a_sweep_have_their_own_rows() {
        let images = |dice| vec![image("a", dice, Some(0.1))];
        let lock = lock(vec![cell("unet", Some(0.3), images(0.1)), cell("unet", None, images(0.9))]);
        let text = write(&lock).expect("written");
        assert!(text.starts_with("model,dataset,seed,variant,image,"), "{text}");
        let read = read_back(&lock, &text).expect("read");
        assert_eq!((read[0][0].scores[&Metric::Dice], read[1][0].scores[&Metric::Dice]), (0.1, 0.9));
    }

    #[test]
    fn a_damaged_table_names_its_line() {
        let lock =
            lock(vec![cell("unet", None, vec![image("a", 0.5, Some(0.4)), image("b", 0.5, Some(0.4))])]);
        let text = write(&lock).expect("written");
        for (old, new, told) in [
            ("model,", "network,", "a.lock.csv:1: there is no column `model`"),
            (",b,0.50000", ",a,0.50000", "a.lock.csv:3: the image `a` is given twice"),
            ("a,0.50000", "a,half", "a.lock.csv:2: dice `half` is no number"),
            (",b,", ",b,0.1,", "a.lock.csv:3: the row is not like the others"),
        ] {
            let message = read_back(&lock, &text.replace(old, new)).expect_err("refused");
            assert!(message.contains(told) && message.contains("--accept"), "{message}");
        }
        // Rows of a cell that left the lock.
        assert_eq!(read_back(&lock, &text.replace("unet", "other")).expect("read"), [vec![]]);
    }

    #[test]
    fn a_mean_that_its_images_do_not_have_is_noticed() {
        let mut cell = cell("unet", None, vec![image("a", 0.4, Some(0.4)), image("b", 0.6, Some(0.4))]);
        assert_eq!(cell.contradiction(), None);
        cell.scores.insert(Metric::Dice, 0.51);
        assert!(cell.contradiction().expect("told").contains("is 50.00, the accepted one 51.00"));
        cell.images = Some(3);
        assert!(cell.contradiction().expect("told").contains("3 images were accepted, 2 are listed"));
        cell.per_image.clear();
        assert_eq!(cell.contradiction(), None);
    }
}
