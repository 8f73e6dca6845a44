//! Signs that a rule does not fit the masks it is used on: the truth becomes
//! nothing, everything, or something else than a mask.
//!
//! A certain sign ends a registration or a prediction, unless it is accepted; the
//! others are told.

use super::FULL;
use super::found::{Alpha, Found};
use super::rule::MaskRule;

/// Files that a sentence names.
const NAMED: usize = 3;
/// Values that a sentence lists.
const LISTED: usize = 6;
/// Labels from which on a mask is asked whether they look like noise.
const MANY_LABELS: usize = 8;
/// Share of pixels between black and white from which on a mask looks like a picture.
const PICTURE: f64 = 0.3;
/// So many greys make no classes of objects but a picture.
const MANY_GREYS: usize = 64;
/// Share of what stands out that the rule leaves, from which on that is told.
const LEFT: f64 = 0.1;
/// Mean foreground above which a rule may be the wrong way round.
const HALF_OF_ALL: f64 = 0.5;

/// A mask and what was found in it.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// As messages name it.
    pub file: &'a str,
    /// What it holds under the rule.
    pub found: &'a Found,
    /// Whether the dataset's `keep` leaves it out.
    pub left_out: bool,
}

/// Something that speaks against a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign {
    /// Whether no sound mask looks like this.
    pub is_certain: bool,
    /// Whether the masks are merely empty or full, one value each, as the truth of a few
    /// images may be.
    pub is_uniform: bool,
    /// The key of a manifest that it is about.
    pub key: &'static str,
    /// The files, what was found and why it is wrong; a sentence without its end.
    pub message: String,
    /// A rule that fits.
    pub fitting: Option<MaskRule>,
    /// What to do where no rule is known to fit.
    pub remedy: &'static str,
}

/// Everything that speaks against a rule. `is_known` says that the rule is that of
/// a dataset whose masks are known: what is only odd is no sign then.
pub fn signs(rule: MaskRule, cases: &[Case<'_>], is_known: bool) -> Vec<Sign> {
    if cases.is_empty() {
        return Vec::new();
    }
    let masks = Masks { rule, cases };
    let certain = [
        masks.alpha_alone(),
        masks.torn_colours(),
        masks.overlooked(),
        masks.dropped(),
        masks.nothing(),
        masks.everything(),
        masks.noisy_labels(),
    ];
    let mut all: Vec<Sign> = certain.into_iter().flatten().collect();
    if all.is_empty() {
        all.extend([masks.alpha_beside(), masks.picture(), masks.classes()].into_iter().flatten());
        all.extend(masks.large().filter(|_| !is_known));
    }
    all
}

struct Masks<'a> {
    rule: MaskRule,
    cases: &'a [Case<'a>],
}

impl Masks<'_> {
    fn kept(&self) -> impl Iterator<Item = &Case<'_>> {
        self.cases.iter().filter(|case| !case.left_out)
    }

    fn with<'b>(&'b self, is: impl Fn(&Case<'_>) -> bool) -> Vec<&'b Case<'b>> {
        self.cases.iter().filter(|case| is(case)).collect()
    }

    /// The greatest value that is the background of all masks.
    fn least(&self) -> u32 {
        self.cases.iter().map(|case| case.found.least()).min().unwrap_or_default()
    }

    /// `masks/1.png, masks/2.png and 10 more (12 of 12 masks)`
    fn names(&self, of: &[&Case<'_>]) -> String {
        let named: Vec<&str> = of.iter().take(NAMED).map(|case| case.file).collect();
        let more = match of.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}{more} ({} of {} masks)", named.join(", "), of.len(), self.cases.len())
    }

    fn sign(&self, of: &[&Case<'_>], message: &str) -> Option<Sign> {
        (!of.is_empty()).then(|| Sign {
            is_certain: true,
            is_uniform: false,
            key: "mask",
            message: format!("{}: {message}", self.names(of)),
            fitting: None,
            remedy: "",
        })
    }

    fn alpha_alone(&self) -> Option<Sign> {
        let of = self.with(|case| case.found.alpha == Alpha::Alone);
        let message = format!(
            "the colour is the same everywhere and only the alpha channel varies, which `{}` does not look at",
            self.rule
        );
        let fitting = Some(MaskRule::Alpha { above: super::HALF });
        self.sign(&of, &message).map(|sign| Sign { fitting, ..sign })
    }

    fn torn_colours(&self) -> Option<Sign> {
        let torn = |case: &Case<'_>| case.found.colours.as_ref().and_then(|colours| colours.torn);
        let of = self.with(|case| torn(case).is_some());
        let (taken, left) = of.first().and_then(|case| torn(case))?;
        let message = format!(
            "they are coloured, and the brightness of a colour says nothing: {} is foreground under `{}`, {} is not",
            colour(taken),
            self.rule,
            colour(left)
        );
        let black = self.cases.iter().all(|case| case.found.least() == 0);
        self.sign(&of, &message).map(|sign| Sign {
            fitting: black.then_some(MaskRule::Instances),
            remedy: "save the masks as black and white",
            ..sign
        })
    }

    /// Masks that hold values, none of which the rule takes.
    fn overlooked(&self) -> Option<Sign> {
        let least = self.least();
        let of = self.with(|case| !case.left_out && case.found.is_overlooked(least));
        let message = format!("hold {}, and none is foreground under `{}`", self.values(&of), self.rule);
        self.sign(&of, &message).map(|sign| self.fit(sign, &of))
    }

    /// The same among those that `keep = "foreground"` leaves out as empty.
    fn dropped(&self) -> Option<Sign> {
        let least = self.least();
        let of = self.with(|case| case.left_out && case.found.is_overlooked(least));
        let message = format!(
            "keep = \"foreground\" would leave them out as empty, but they hold {}, and none is foreground under `{}`",
            self.values(&of),
            self.rule
        );
        self.sign(&of, &message).map(|sign| Sign { key: "keep", ..self.fit(sign, &of) })
    }

    /// Every mask is empty. Where they hold values, that was said.
    fn nothing(&self) -> Option<Sign> {
        let least = self.least();
        let is_told = |case: &&Case<'_>| case.found.is_overlooked(least) || case.found.alpha == Alpha::Alone;
        let of = self.with(|case| case.found.is_empty());
        if of.len() < self.cases.len() || of.iter().any(is_told) {
            return None;
        }
        self.of_all(&of, "empty", "none")
    }

    /// Every mask is full.
    fn everything(&self) -> Option<Sign> {
        let of = self.with(|case| case.found.is_full());
        if of.len() < self.cases.len() || of.iter().any(|case| case.found.alpha == Alpha::Alone) {
            return None;
        }
        self.of_all(&of, "full", "all")
    }

    /// Every mask is `state`: of its values `part` is foreground.
    fn of_all(&self, of: &[&Case<'_>], state: &str, part: &str) -> Option<Sign> {
        let (values, rule) = (self.values(of), self.rule);
        let message = format!("all are {state}: they hold {values}, and {part} is foreground under `{rule}`");
        let sign = self.sign(of, &message)?;
        let is_uniform = of.iter().all(|case| case.found.distinct == 1);
        let remedy = "check that the layout's `mask` names the masks";
        Some(Sign { is_uniform, remedy, ..self.fit(sign, of) })
    }

    /// Labels of objects that are none: what lossy compression leaves.
    fn noisy_labels(&self) -> Option<Sign> {
        if self.rule != MaskRule::Instances {
            return None;
        }
        let noisy = |found: &Found| {
            let labels = found.areas + found.ragged;
            found.lossy || (labels >= MANY_LABELS && 2 * found.ragged > labels)
        };
        let of = self.with(|case| noisy(case.found));
        let first = &of.first()?.found;
        let message = if first.lossy {
            "JPEG changes values, so these are no labels of objects: what was 0 may be foreground".to_owned()
        } else {
            format!(
                "hold {} labels, most of them in scattered pixels: no objects, but what lossy compression or \
                 smoothing leaves",
                first.areas + first.ragged
            )
        };
        self.sign(&of, &message).map(|sign| Sign { fitting: Some(MaskRule::OF_LEVELS), ..sign })
    }

    fn alpha_beside(&self) -> Option<Sign> {
        let of = self.with(|case| case.found.alpha == Alpha::Beside { agrees: false });
        let message = format!(
            "the alpha channel marks other pixels than `{}` does on the colours, and is not looked at",
            self.rule
        );
        self.sign(&of, &message).map(|sign| Sign {
            is_certain: false,
            remedy: "look at some with `dygl dataset preview`",
            ..sign
        })
    }

    /// Masks that look like photographs.
    fn picture(&self) -> Option<Sign> {
        let looks = |found: &Found| {
            let is_coloured = found.colours.as_ref().is_some_and(|colours| {
                colours.distinct > MANY_GREYS * 4 && colours.coloured as f64 > PICTURE * found.pixels as f64
            });
            let is_grey =
                found.distinct > MANY_GREYS && found.middling as f64 > PICTURE * found.pixels as f64;
            is_coloured || (is_grey && self.rule != MaskRule::Instances)
        };
        let of = self.with(|case| looks(case.found));
        self.sign(&of, "look like pictures, not like masks").map(|sign| Sign {
            is_certain: false,
            key: "layout",
            remedy: "check that the layout's `mask` names the masks",
            ..sign
        })
    }

    /// Greys that stand out from the background and are left by the rule.
    fn classes(&self) -> Option<Sign> {
        if self.rule == MaskRule::Instances {
            return None;
        }
        let is_seen = |case: &&Case<'_>| !case.found.is_empty() && case.found.distinct > 2;
        let sum = |of: fn(&Found) -> u64| self.kept().filter(is_seen).map(|case| of(case.found)).sum::<u64>();
        let (left, taken) = (sum(|found| found.doubtful), sum(|found| found.foreground));
        if left as f64 <= LEFT * (left + taken) as f64 {
            return None;
        }
        let of = self.with(|case| !case.left_out && is_seen(&case) && case.found.doubtful > 0);
        let flat = are_flat(&of);
        let message = format!(
            "hold {}, and much of what stands out is background under `{}`",
            self.values(&of),
            self.rule
        );
        self.sign(&of, &message).map(|sign| Sign {
            is_certain: false,
            fitting: (flat && self.least() == 0).then_some(MaskRule::Instances),
            remedy: "look at some with `dygl dataset preview`",
            ..sign
        })
    }

    fn large(&self) -> Option<Sign> {
        let shares: Vec<f64> = self.kept().map(|case| case.found.share()).collect();
        let mean = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
        let of = self.with(|case| case.found.share() > HALF_OF_ALL);
        let message = format!(
            "{:.1} % of the mean mask are foreground under `{}`: if what is looked for is small, foreground and \
             background are the wrong way round",
            100.0 * mean,
            self.rule
        );
        self.sign(&of, &message).filter(|_| mean > HALF_OF_ALL).map(|sign| Sign {
            is_certain: false,
            remedy: "look at some with `dygl dataset preview`",
            ..sign
        })
    }

    /// `the values 0 and 1`, `37 values from 0 to 212`; of deep files with their depth.
    fn values(&self, of: &[&Case<'_>]) -> String {
        let told = self.values_alone(of);
        match of.iter().find_map(|case| case.found.depth.as_ref()) {
            Some(depth) if self.rule != MaskRule::Instances => {
                format!("{told} on the scale 0..255 ({depth})")
            }
            _ => told,
        }
    }

    fn values_alone(&self, of: &[&Case<'_>]) -> String {
        let each: Option<Vec<&Vec<u32>>> = of.iter().map(|case| case.found.values.as_ref()).collect();
        let all = each.map(|lists| {
            let mut all: Vec<u32> = lists.into_iter().flatten().copied().collect();
            all.sort_unstable();
            all.dedup();
            all
        });
        match all.as_deref() {
            Some([only]) => format!("the value {only} alone"),
            Some(all) if all.len() <= LISTED && self.has_plain_labels() => {
                let (last, rest) = all.split_last().unwrap_or((&0, &[]));
                let rest: Vec<String> = rest.iter().map(u32::to_string).collect();
                format!("the values {} and {last}", rest.join(", "))
            }
            _ => {
                let most = of.iter().map(|case| case.found.distinct).max().unwrap_or_default();
                let (low, high) = (
                    of.iter().map(|case| case.found.least()).min().unwrap_or_default(),
                    of.iter().map(|case| case.found.greatest()).max().unwrap_or_default(),
                );
                if self.has_plain_labels() {
                    format!("up to {most} values from {low} to {high}")
                } else {
                    format!("up to {most} labels")
                }
            }
        }
    }

    /// Labels of coloured masks have numbers that nobody knows.
    fn has_plain_labels(&self) -> bool {
        self.rule != MaskRule::Instances
            || self.cases.iter().all(|case| case.found.greatest() <= u32::from(u16::MAX))
    }

    /// Adds the rule that would part the values, if there is one.
    fn fit(&self, sign: Sign, of: &[&Case<'_>]) -> Sign {
        let low = of.iter().map(|case| case.found.least()).min().unwrap_or_default();
        let high = of.iter().map(|case| case.found.greatest()).max().unwrap_or_default();
        let lists: Option<Vec<&Vec<u32>>> = of.iter().map(|case| case.found.values.as_ref()).collect();
        let mut values: Vec<u32> = lists.unwrap_or_default().into_iter().flatten().copied().collect();
        values.sort_unstable();
        values.dedup();
        let flat = are_flat(of);
        let grey = |above: u32| u8::try_from(above).ok().map(|above| MaskRule::Grey { above });
        let fitting = match values.as_slice() {
            // Some rule takes the greater of two values, and only that.
            [low, _] if high <= u32::from(FULL) => grey(*low),
            // Masks that are all 0, or all one value, say nothing.
            [_] if low == high => None,
            _ if low == high || high > u32::from(FULL) => None,
            _ if low == 0 && flat && self.rule != MaskRule::Instances => Some(MaskRule::Instances),
            _ => grey(low + (high - low) / 2),
        };
        let fitting = fitting.filter(|fitting| *fitting != self.rule && fitting.contradiction().is_none());
        Sign { fitting, remedy: "save the masks with two values, 0 and 255", ..sign }
    }
}

/// Whether most values fill areas, as labels of objects and classes do.
fn are_flat(of: &[&Case<'_>]) -> bool {
    let sum = |count: fn(&Found) -> usize| of.iter().map(|case| count(case.found)).sum::<usize>();
    sum(|found| found.areas) > sum(|found| found.ragged)
}

/// A colour as people write it.
fn colour([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

impl Sign {
    /// The key of a manifest that is to be changed.
    pub fn place(&self) -> &'static str {
        if self.fitting.is_some() { "mask" } else { self.key }
    }

    /// The message with the line that a manifest needs; `place` is where
    /// [`Sign::place`] stands in the manifest, if that is known.
    pub fn in_manifest(&self, place: Option<&str>) -> String {
        let at = place.map_or_else(|| "in the manifest".to_owned(), |place| format!("at {place}"));
        match self.fitting {
            Some(rule) => format!("{}; write {} {at}", self.message, rule.line()),
            None if self.remedy.is_empty() => format!("{} (see `{}` {at})", self.message, self.key),
            None => format!("{}; {} (`{}` {at})", self.message, self.remedy, self.key),
        }
    }

    /// The message with the flag that a command line needs.
    pub fn on_command_line(&self) -> String {
        match self.fitting {
            Some(rule) => format!("{}; give --truth-rule '{rule}'", self.message),
            None if self.remedy.is_empty() => self.message.clone(),
            None => format!("{}; {}", self.message, self.remedy),
        }
    }
}
