//! Which dictionary of a file, under which prefix of names, is the network.
//!
//! A file may hold the weights under the key of a trainer, beside a tensor or two, a
//! second time as a running average, and under names that wrappers put something
//! before (`module.`, `model.`, `_orig_mod.`). All of that is tried, and what fits the
//! network counts: every dictionary, with every run of components that all its names
//! begin with, and every run that stands before a whole set of the network's names.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use dygl_nn::network::Backbone;
use dygl_weight_file::{Contents, Dictionary, WRAPPERS, behind, common_prefix};

use super::assign::{self, Assigned, Misfit, Offer};
use crate::learn::weights::Site;

/// Prefixes that are tried for one dictionary.
const MOST: usize = 64;
/// Names of modules that torch.compile, FSDP and activation checkpointing put
/// anywhere into a name; no network calls a part of it so.
const INNER: [&str; 3] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// What is looked for.
pub(super) struct Wanted<'a> {
    pub(super) sites: Vec<Site>,
    pub(super) aliases: &'a [(&'a str, &'a str)],
    pub(super) backbone: Option<&'a Backbone>,
}

/// What is taken of a file.
pub(super) struct Choice {
    /// Of the dictionary.
    pub(super) number: usize,
    pub(super) prefix: String,
    /// Names of the file are those behind the prefix.
    pub(super) assigned: Assigned,
    /// What would have fitted as well, as arguments.
    pub(super) also: Vec<String>,
    /// Whether wrappers were taken out of the middle of names.
    pub(super) inner: bool,
}

/// Why nothing is taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// There is nothing under the key; what there is.
    Key(String),
    /// No name begins with the prefix; what names begin with.
    Prefix(String),
    /// These fit equally well, as arguments.
    Ambiguous(Vec<String>),
    /// Nothing of a part is there; some names of the file.
    Foreign(Vec<String>),
    /// The nearest, and why it does not fit.
    Misfit(Box<Misfit>, Nearest),
}

/// What came nearest, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nearest {
    place: String,
    tensors: usize,
    common: String,
    network: usize,
    network_common: String,
    elsewhere: Vec<String>,
}

impl std::fmt::Display for Nearest {
    /// Lines, each with a line break before it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { place, tensors, common, network, network_common, elsewhere } = self;
        write!(f, "\nthe file: {} {place}, {}", count(*tensors), begins(common))?;
        write!(f, "\nthe network: {network} tensors, {}", begins(network_common))?;
        if !elsewhere.is_empty() {
            write!(f, "\nalso in the file, and fitting less: {}", ten(elsewhere, ", "))?;
        }
        Ok(())
    }
}

fn count(tensors: usize) -> String {
    format!("{tensors} tensor{}", if tensors == 1 { "" } else { "s" })
}

fn begins(common: &str) -> String {
    if common.is_empty() {
        "whose names have no common beginning".to_owned()
    } else {
        format!("whose names all begin with `{common}`")
    }
}

/// At most ten names, and how many more there are.
pub(super) fn ten(names: &[String], between: &str) -> String {
    let more = names.len().saturating_sub(10);
    let shown = names[..names.len() - more].join(between);
    if more == 0 { shown } else { format!("{shown}{between}and {more} more") }
}

/// Where a dictionary lies.
fn place(found: Dictionary<'_>) -> String {
    if found.within().is_empty() { "at the top".to_owned() } else { format!("under `{}`", key(found)) }
}

fn key(found: Dictionary<'_>) -> String {
    found.within().join(".")
}

/// One dictionary under one prefix.
struct Tried<'a> {
    number: usize,
    found: Dictionary<'a>,
    prefix: String,
    outcome: Result<Assigned, Misfit>,
    inner: bool,
}

impl Tried<'_> {
    fn filled(&self) -> usize {
        self.outcome.as_ref().map_or_else(|misfit| misfit.filled, |assigned| assigned.sources.len())
    }

    /// How far from the usual: the class of its strangest word, the number of
    /// words, their places in the list of the usual ones.
    fn rank(&self) -> (u8, usize, usize) {
        let words = self.found.within().iter().map(String::as_str);
        let words: Vec<&str> = words.chain(self.prefix.split_terminator('.')).collect();
        let places = words.iter().map(|word| WRAPPERS.iter().position(|known| known == word));
        let class = words.iter().zip(places.clone()).map(|(word, place)| match place {
            Some(_) => 0,
            None if is_average(word) => 2,
            None => 1,
        });
        (class.max().unwrap_or(0), words.len(), places.map(|place| place.unwrap_or(WRAPPERS.len())).sum())
    }

    /// The arguments that choose it.
    fn arguments(&self) -> String {
        let mut words = Vec::new();
        if !self.found.within().is_empty() {
            words.push(format!("--key {}", key(self.found)));
        }
        if !self.prefix.is_empty() {
            words.push(format!("--prefix {}", self.prefix));
        }
        if words.is_empty() { "--key \"\"".to_owned() } else { words.join(" ") }
    }
}

/// Whether a key names a running average of the weights.
fn is_average(word: &str) -> bool {
    let mut parts = word.split(|c: char| !c.is_ascii_alphanumeric());
    parts.any(|part| ["ema", "swa", "avg", "average", "averaged", "teacher"].contains(&part))
}

/// Finds the network in a file. `key` and `prefix` are what the user says.
pub(super) fn choose(
    wanted: &Wanted<'_>,
    contents: &Contents,
    key_given: Option<&str>,
    prefix_given: Option<&str>,
) -> Result<Choice, Refusal> {
    let lies_there = |found: Dictionary<'_>| {
        let (here, Some(asked)) = (key(found), key_given) else { return true };
        here == asked || (!asked.is_empty() && here.starts_with(&format!("{asked}.")))
    };
    let there: Vec<(usize, Dictionary<'_>)> =
        contents.dictionaries().enumerate().filter(|(_, found)| lies_there(*found)).collect();
    if there.is_empty() {
        let known: Vec<String> = contents
            .dictionaries()
            .map(|found| format!("{} ({})", place(found), count(found.tensors().count())))
            .collect();
        return Err(Refusal::Key(ten(&known, ", ")));
    }
    let mut tried = Vec::new();
    for (number, found) in &there {
        for prefix in prefixes(wanted, *found, prefix_given) {
            let (outcome, inner) = attempt(wanted, *found, &prefix);
            tried.push(Tried { number: *number, found: *found, prefix, outcome, inner });
        }
    }
    if tried.is_empty() {
        let names: Vec<&str> = there.iter().flat_map(|(_, found)| found.tensors()).map(|t| t.0).collect();
        let common = common_prefix(names.iter().copied());
        let some: Vec<String> = names.iter().take(5).map(|name| (*name).to_owned()).collect();
        return Err(Refusal::Prefix(match common.is_empty() {
            true => format!("it has names such as {}", some.join(", ")),
            false => format!("all names begin with `{common}`"),
        }));
    }
    let most = tried.iter().filter(|one| one.outcome.is_ok()).map(Tried::filled).max().unwrap_or(0);
    let mut fits: Vec<&Tried<'_>> =
        tried.iter().filter(|one| most > 0 && one.outcome.is_ok() && one.filled() == most).collect();
    // A stable sort: of equals, the one that was found first.
    fits.sort_by_key(|one| one.rank());
    let Some((best, rest)) = fits.split_first() else { return Err(refusal(wanted, &tried)) };
    let differs = |one: &&&Tried<'_>| one.prefix != best.prefix || !one.found.equals(best.found);
    let equals: Vec<&&Tried<'_>> = rest
        .iter()
        .filter(|one| one.rank().0 == best.rank().0 && best.rank().0 > 0)
        .filter(differs)
        .collect();
    if !equals.is_empty() {
        let all = std::iter::once(best).chain(equals).map(|one| one.arguments());
        return Err(Refusal::Ambiguous(all.collect()));
    }
    let assigned = best.outcome.clone().unwrap_or_default();
    Ok(Choice {
        number: best.number,
        prefix: best.prefix.clone(),
        assigned,
        also: rest.iter().map(|one| one.arguments()).collect(),
        inner: best.inner,
    })
}

/// Why nothing fits.
fn refusal(wanted: &Wanted<'_>, tried: &[Tried<'_>]) -> Refusal {
    // The one most of which fits; of equals the larger, and that which was found first.
    let nearest = tried.iter().enumerate().filter_map(|(index, one)| {
        let misfit = one.outcome.as_ref().err()?;
        let tensors = one.found.tensors().count();
        let rank = (Reverse(misfit.filled), Reverse(tensors), misfit.mismatch.unexpected.len(), index);
        Some((rank, one, misfit))
    });
    let Some((_, one, misfit)) = nearest.min_by_key(|(rank, ..)| *rank) else {
        let names = tried.iter().flat_map(|one| one.found.tensors()).map(|tensor| tensor.0.to_owned());
        return Refusal::Foreign(names.take(5).collect());
    };
    let numbers: BTreeSet<usize> = tried.iter().map(|one| one.number).collect();
    let elsewhere = tried.iter().filter(|other| other.number != one.number && other.prefix.is_empty());
    let elsewhere =
        elsewhere.map(|other| format!("{} {}", count(other.found.tensors().count()), place(other.found)));
    let nearest = Nearest {
        place: place(one.found),
        tensors: one.found.tensors().count(),
        common: common_prefix(one.found.tensors().map(|tensor| tensor.0)),
        network: wanted.sites.len(),
        network_common: common_prefix(wanted.sites.iter().map(|site| site.name.as_str())),
        elsewhere: if numbers.len() > 1 { elsewhere.collect() } else { Vec::new() },
    };
    Refusal::Misfit(Box::new(misfit.clone()), nearest)
}

/// The prefixes to try; none if the user's stands before no name.
fn prefixes(wanted: &Wanted<'_>, found: Dictionary<'_>, given: Option<&str>) -> Vec<String> {
    let all = || found.tensors().map(|tensor| tensor.0);
    if let Some(given) = given {
        if given.is_empty() {
            return vec![String::new()];
        }
        // `model` means the component, `model.`; else what stands there to the letter.
        let dotted = format!("{given}.");
        let meant =
            [dotted.as_str(), given].into_iter().find(|meant| all().any(|n| behind(n, meant).is_some()));
        return meant.map(str::to_owned).into_iter().collect();
    }
    let mut names: Vec<&str> =
        found.tensors().filter(|(_, _, dtype)| dtype.is_float()).map(|tensor| tensor.0).collect();
    if names.is_empty() {
        names = all().collect();
    }
    let mut prefixes = vec![String::new()];
    let mut add = |prefix: &str| {
        if prefixes.len() < MOST && !prefixes.iter().any(|known| known == prefix) {
            prefixes.push(prefix.to_owned());
        }
    };
    let common = common_prefix(names.iter().copied());
    for (end, _) in common.match_indices('.') {
        add(&common[..=end]);
    }
    // What stands before a name of the network, or of the part.
    let ends: Vec<String> = match wanted.backbone {
        None => {
            let site = |at: usize| wanted.sites.get(at).map(|site| format!(".{}", site.name));
            [0, wanted.sites.len() / 2, wanted.sites.len().saturating_sub(1)]
                .into_iter()
                .filter_map(site)
                .collect()
        }
        Some(backbone) => {
            let there =
                backbone.parts.iter().map(|(there, _)| there.strip_prefix("module.").unwrap_or(there));
            there.filter(|there| !there.is_empty()).map(|there| format!(".{there}.")).collect()
        }
    };
    for name in &names {
        for end in &ends {
            let at = if wanted.backbone.is_some() {
                name.find(end.as_str())
            } else {
                name.strip_suffix(end.as_str()).map(str::len)
            };
            if let Some(at) = at {
                add(&name[..=at]);
            }
        }
    }
    prefixes
}

/// Holds a dictionary under a prefix against the network, and whether wrappers
/// were taken out of the middle of names.
fn attempt(wanted: &Wanted<'_>, found: Dictionary<'_>, prefix: &str) -> (Result<Assigned, Misfit>, bool) {
    let mut short: Vec<(&str, Offer)> = Vec::new();
    let mut beside: Vec<String> = Vec::new();
    for (name, shape, dtype) in found.tensors() {
        let integers = (!dtype.is_float()).then(|| dtype.word());
        match behind(name, prefix) {
            Some(name) => short.push((name, Offer { shape: shape.to_vec(), integers })),
            None => beside.push(name.to_owned()),
        }
    }
    let names: BTreeSet<&str> = short.iter().map(|(name, _)| *name).collect();
    let plain: BTreeMap<&str, String> = short.iter().map(|(name, _)| (*name, without_inner(name))).collect();
    // Where two names would become one, they stay as they are.
    let is_one_to_one = plain.values().collect::<BTreeSet<_>>().len() == plain.len();
    let mut inner = false;
    let mut offers = BTreeMap::new();
    let mut renamed = BTreeMap::new();
    for (name, offer) in short {
        let mut target = name.to_owned();
        if let Some(plain) = plain.get(name).filter(|plain| is_one_to_one && *plain != name) {
            inner = true;
            target.clone_from(plain);
        }
        if let Some(older) = wanted.backbone.and_then(|_| assign::swin_name(&target, &names)) {
            target = older;
        }
        if target != name {
            renamed.insert(target.clone(), name.to_owned());
        }
        offers.insert(target, offer);
    }
    let mut outcome = match wanted.backbone {
        Some(backbone) => assign::part(&wanted.sites, backbone, &offers),
        None => assign::whole(&wanted.sites, wanted.aliases, &offers),
    };
    if let Ok(assigned) = &mut outcome {
        for source in assigned.sources.values_mut().flatten().chain(&mut assigned.left_over) {
            if let Some(name) = renamed.get(source) {
                source.clone_from(name);
            }
        }
        assigned.left_over.extend(beside);
    }
    (outcome, inner)
}

fn without_inner(name: &str) -> String {
    name.split('.').filter(|part| !INNER.contains(part)).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_known_by_a_word_of_their_key() {
        for word in ["state_dict_ema", "ema", "model-ema", "swa.model", "teacher"] {
            assert!(is_average(word), "{word}");
        }
        for word in ["schema", "model", "state_dict", "emanet"] {
            assert!(!is_average(word), "{word}");
        }
    }

    #[test]
    fn wrappers_inside_names_are_taken_out() {
        assert_eq!(without_inner("encoder._orig_mod.layer1.weight"), "encoder.layer1.weight");
        assert_eq!(without_inner("a._fsdp_wrapped_module.b._checkpoint_wrapped_module.c"), "a.b.c");
        assert_eq!(without_inner("plain.weight"), "plain.weight");
    }

    #[test]
    fn lists_end_after_ten() {
        let names: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        assert_eq!(ten(&names, ", "), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, and 2 more");
        assert_eq!(ten(&names[..10], ","), "0,1,2,3,4,5,6,7,8,9");
        assert_eq!(ten(&[], ","), "");
    }
}
