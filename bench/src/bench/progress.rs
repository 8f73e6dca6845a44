//! Tells how far a benchmark is and how long it will still take.

use std::collections::BTreeMap;
use std::time::Duration;

/// The pieces of work that are to do, each with the kind of process that does
/// it and its weight: how much it computes. The time of a kind is taken to be
/// in proportion to the weight.
#[derive(Debug, Default)]
pub struct Progress {
    /// Seconds and weight of what is done, by kind.
    done: BTreeMap<String, [f64; 2]>,
    left: Vec<(String, f64)>,
    all: usize,
}

impl Progress {
    pub fn new(work: Vec<(String, f64)>) -> Self {
        Self { all: work.len(), left: work, done: BTreeMap::new() }
    }

    /// The next piece took so long; none: it was left out.
    pub fn did(&mut self, took: Option<Duration>) {
        if self.left.is_empty() {
            return;
        }
        let (kind, weight) = self.left.remove(0);
        if let Some(took) = took {
            let sums = self.done.entry(kind).or_default();
            sums[0] += took.as_secs_f64();
            sums[1] += weight;
        }
    }

    /// What is done and what is left: `[ 3/12], about 4 min left`.
    pub fn head(&self) -> String {
        let width = self.all.to_string().len();
        format!("[{:>width$}/{}] {}", self.all - self.left.len(), self.all, self.tail())
    }

    fn tail(&self) -> String {
        match self.seconds_left() {
            _ if self.left.is_empty() => "the last".into(),
            None => "time unknown".into(),
            Some(seconds) => format!("about {} left", human(seconds)),
        }
    }

    /// None before anything is done. A kind of which nothing is done takes the
    /// mean rate.
    fn seconds_left(&self) -> Option<f64> {
        let rate = |[seconds, weight]: [f64; 2]| seconds / weight;
        let total = self.done.values().fold([0.0; 2], |sum, part| [sum[0] + part[0], sum[1] + part[1]]);
        let mean = (total[1] > 0.0).then(|| rate(total))?;
        let each =
            |(kind, weight): &(String, f64)| weight * self.done.get(kind).map_or(mean, |sums| rate(*sums));
        Some(self.left.iter().map(each).sum())
    }
}

fn human(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 90.0 * 60.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_from_what_each_kind_took() {
        let work = [("a", 1.0), ("b", 1.0), ("a", 3.0), ("b", 2.0), ("c", 4.0)];
        let mut progress = Progress::new(work.map(|(kind, weight)| (kind.to_owned(), weight)).into());
        assert_eq!(progress.head(), "[0/5] time unknown");
        progress.did(Some(Duration::from_secs(2)));
        // Everything at the rate of a: 2 s for each unit.
        assert_eq!(progress.head(), "[1/5] about 20 s left");
        progress.did(Some(Duration::from_secs(10)));
        // a: 3 x 2, b: 2 x 10, c at the mean of 12 s for 2: 4 x 6.
        assert_eq!(progress.head(), "[2/5] about 50 s left");
        progress.did(None);
        assert_eq!(progress.head(), "[3/5] about 44 s left");
        progress.did(Some(Duration::from_secs(1)));
        progress.did(Some(Duration::from_secs(1)));
        assert_eq!(progress.head(), "[5/5] the last");
        progress.did(None);
    }

    #[test]
    fn times_read_well() {
        assert_eq!([5.4, 89.0, 600.0, 7200.0].map(human), ["5 s", "89 s", "10 min", "2.0 h"]);
    }
}
