//! Damaged image files by the thousand, made from good ones: cut, with flipped
//! bits, with header fields at their extremes, and bombs. The same ones each
//! time.

mod bombs;
mod fields;
mod good;

use dygl_base::random::Stream;

pub use good::{Good, crafted, real};

/// What was done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Nothing.
    None,
    /// Cut to at most half: never a picture.
    Halved,
    /// Cut somewhere else.
    Cut,
    /// Bits flipped in one to three places; a PNG's checksums are right again.
    Flipped,
    /// One header field at an extreme; a PNG's checksums are right again.
    Field,
    /// Small, but claims or unpacks to a lot.
    Bomb,
}

/// One file to decode.
pub struct Case<'a> {
    /// What it was and what was done, for messages.
    pub name: &'a str,
    /// What was done to it.
    pub damage: Damage,
    /// The damaged file as a whole.
    pub bytes: &'a [u8],
}

/// How many cases to make of each file and kind of damage.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    /// Lengths to cut to, evenly spread, beside those at the boundaries of fields.
    pub cuts: usize,
    /// Copies with flipped bits.
    pub flips: usize,
    /// Each field gets every extreme, or every so many-th.
    pub every: usize,
}

/// Calls `each` with the file itself and all that is made of it.
pub fn damaged(good: &Good, amount: Amount, each: &mut dyn FnMut(&Case)) {
    let bytes = &good.bytes;
    let mut tell = |what: String, damage: Damage, bytes: &[u8]| {
        each(&Case { name: &format!("{}: {what}", good.name), damage, bytes });
    };
    tell("as it is".into(), Damage::None, bytes);
    let fields = fields::of(bytes);
    // At every boundary, and evenly in between.
    let boundaries = fields.iter().flat_map(|field| [field.at, field.at + field.width]);
    let evenly = (0..amount.cuts).map(|i| i * bytes.len() / amount.cuts.max(1));
    let near = [1, 2, 3].into_iter().filter_map(|left| bytes.len().checked_sub(left));
    let mut lengths: Vec<usize> = boundaries.chain(evenly).chain(near).filter(|n| *n < bytes.len()).collect();
    lengths.sort_unstable();
    lengths.dedup();
    for length in lengths {
        let damage = if length <= bytes.len() / 2 { Damage::Halved } else { Damage::Cut };
        tell(format!("cut to {length} bytes"), damage, &bytes[..length]);
    }
    let mut stream = Stream::new(1, "malformed", &[good.name.as_str()]);
    for round in 0..amount.flips {
        let mut changed = bytes.clone();
        // Half of them in the first kilobyte, where the structure is.
        let within = if round % 2 == 0 { bytes.len().min(1024) } else { bytes.len() };
        let mut places = Vec::new();
        for _ in 0..=stream.below(3) {
            let (place, bit) = (stream.below(within as u64) as usize, stream.below(8));
            changed[place] ^= 1 << bit;
            places.push(place);
        }
        fields::mend(&mut changed);
        tell(format!("bits flipped at {places:?}"), Damage::Flipped, &changed);
    }
    for (count, (field, value)) in
        fields.iter().flat_map(|f| f.extremes(bytes.len()).into_iter().map(move |v| (f, v))).enumerate()
    {
        if count % amount.every == 0 {
            let mut changed = bytes.clone();
            field.put(&mut changed, value);
            fields::mend(&mut changed);
            tell(format!("{} = {value}", field.name), Damage::Field, &changed);
        }
    }
}

/// Calls `each` with files that claim or unpack to far more than they are.
pub fn bombs(each: &mut dyn FnMut(&Case)) {
    for (name, make) in bombs::ALL {
        each(&Case { name, damage: Damage::Bomb, bytes: &make() });
    }
}
