//! The one source of randomness: a counter-based generator.
//!
//! A stream is named by (seed, purpose, name, ...) and gives the same numbers
//! on every machine, backend, thread count and worker: nothing is drawn from
//! shared state. Purpose and name are hashed with blake3 into a 64-bit key;
//! the counter goes through SplitMix64 (Steele, Lea & Flood, OOPSLA 2014).
//! Logarithm and cosine are `libm`'s: those of the standard library belong to the
//! C library, and differ from one to the next.

/// Weyl increment of SplitMix64.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// One stream of random numbers.
#[derive(Debug, Clone)]
pub struct Stream {
    key: u64,
    counter: u64,
}

impl Stream {
    /// The stream of `seed` for a purpose ("augment", "init", ...) and the
    /// words that tell its use apart (an image id, a parameter's name, ...).
    pub fn new(seed: u64, purpose: &str, words: &[&str]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"dygl stream 1\0");
        hasher.update(&seed.to_le_bytes());
        for word in std::iter::once(&purpose).chain(words) {
            hasher.update(&(word.len() as u64).to_le_bytes());
            hasher.update(word.as_bytes());
        }
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Self { key: u64::from_le_bytes(first), counter: 0 }
    }

    /// The number at `index`, whatever was drawn before.
    #[inline]
    pub fn at(&self, index: u64) -> u64 {
        let mut z = self.key.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The next 64 bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let value = self.at(self.counter);
        self.counter += 1;
        value
    }

    /// Uniform in [0, 1), 53 bits.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        unit(self.next_u64())
    }

    /// Uniform in [low, high).
    #[inline]
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Fills with the next numbers, as [`Stream::range`] would one by one.
    #[inline(always)]
    pub fn fill(&mut self, low: f64, high: f64, into: &mut [f32]) {
        let first = self.counter;
        self.counter += into.len() as u64;
        for (index, value) in into.iter_mut().enumerate() {
            *value = (low + (high - low) * unit(self.at(first.wrapping_add(index as u64)))) as f32;
        }
    }

    /// True with probability p. One number is drawn whatever p is.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Uniform in 0..n (n > 0), without modulo bias (Lemire's method).
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "an empty range has no number");
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            let low = product as u64;
            if low >= n || low >= n.wrapping_neg() % n {
                return (product >> 64) as u64;
            }
        }
    }

    /// Standard normal (Box-Muller; two numbers are drawn).
    pub fn normal(&mut self) -> f64 {
        let u = 1.0 - self.unit();
        let v = self.unit();
        (-2.0 * libm::log(u)).sqrt() * libm::cos(std::f64::consts::TAU * v)
    }

    /// Fisher-Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let chosen = self.below(last as u64 + 1) as usize;
            items.swap(last, chosen);
        }
    }
}

/// Of 64 bits the upper 53, in [0, 1).
#[inline]
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_frozen() {
        // Golden values: a change here moves every result.
        let mut stream = Stream::new(42, "test", &["a"]);
        let drawn: Vec<u64> = (0..3).map(|_| stream.next_u64()).collect();
        assert_eq!(drawn, [0xa007_f816_951c_5350, 0x4272_5df9_c434_13a1, 0xad5e_e849_0a99_d551]);
        assert_eq!(drawn, (0..3).map(|i| Stream::new(42, "test", &["a"]).at(i)).collect::<Vec<_>>());
        // To the last bit: no C library has a part in them.
        let mut stream = Stream::new(42, "test", &["a"]);
        let normal: Vec<u64> = (0..3).map(|_| stream.normal().to_bits()).collect();
        assert_eq!(normal, [0xbfb5_85bd_d98f_2970, 0xbfc2_8d67_e3c6_021f, 0xbfc1_3499_0724_5f5f]);
        assert_ne!(Stream::new(42, "ab", &["c"]).at(0), Stream::new(42, "a", &["bc"]).at(0));
    }

    #[test]
    fn numbers_drawn_at_once_are_those_drawn_one_by_one() {
        let mut one = Stream::new(42, "test", &["a"]);
        let mut all = one.clone();
        let mut filled = [0.0; 37];
        assert_eq!(one.chance(0.5), all.chance(0.5));
        all.fill(-1.0, 3.0, &mut filled);
        assert_eq!(filled, std::array::from_fn(|_| one.range(-1.0, 3.0) as f32));
        assert_eq!(one.next_u64(), all.next_u64());
    }

    #[test]
    fn draws_have_the_stated_moments() {
        let mut stream = Stream::new(1, "moments", &[]);
        let n = 100_000;
        let normal: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
        let mean = normal.iter().sum::<f64>() / n as f64;
        let variance = normal.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02);
        let mut counts = [0; 7];
        for _ in 0..n {
            counts[stream.below(7) as usize] += 1;
        }
        assert!(counts.iter().all(|c| (*c as f64 / (n as f64 / 7.0) - 1.0).abs() < 0.05));
    }

    #[test]
    fn a_shuffle_is_a_permutation() {
        let mut items: Vec<u32> = (0..100).collect();
        Stream::new(3, "shuffle", &[]).shuffle(&mut items);
        let mut sorted = items.clone();
        sorted.sort_unstable();
        assert_ne!(items, sorted);
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }
}
