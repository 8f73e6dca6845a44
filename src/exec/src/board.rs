//! Which cells are left, which trainings are under way, and who waits for whom.
//!
//! Several cells may need one training (evaluations under several thresholds).
//! It is one dependency: a slot takes no cell whose training another slot of
//! the same run is at work on, and nobody is told of that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dygl_store::key::Key;

/// How soon a cell is looked at again that another process holds.
const AGAIN: Duration = Duration::from_millis(500);

/// How often it is said that a run waits for another process.
const TELL: Duration = Duration::from_secs(600);

/// The cells of a run, shared by its slots.
pub(super) struct Board {
    /// Training key of each cell that may share it with another of the run.
    trainings: Vec<Option<Key>>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: VecDeque<usize>,
    /// Not to be taken before.
    held: BTreeMap<usize, Instant>,
    /// When somebody was last told of a claim that is waited for.
    told: BTreeMap<Key, Instant>,
    training: BTreeSet<Key>,
    /// What this run has run itself, well or not.
    ran: BTreeSet<Key>,
    has_failed: bool,
}

/// A cell that a slot has taken. Its training is nobody else's until it is let
/// go, or the cell is.
pub(super) struct Taken<'a> {
    pub(super) index: usize,
    board: &'a Board,
    training: Option<Key>,
}

impl Board {
    pub(super) fn new(trainings: Vec<Option<Key>>) -> Self {
        let state = State {
            waiting: (0..trainings.len()).collect(),
            held: BTreeMap::new(),
            told: BTreeMap::new(),
            training: BTreeSet::new(),
            ran: BTreeSet::new(),
            has_failed: false,
        };
        Self { trainings, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next cell that can be worked on, waiting for one if need be; none
    /// when none is left, or `is_over` says so of a run in which a cell has
    /// failed or not.
    pub(super) fn take(&self, is_over: impl Fn(bool) -> bool) -> Option<Taken<'_>> {
        let mut state = self.state();
        loop {
            if is_over(state.has_failed) || state.waiting.is_empty() {
                return None;
            }
            let now = Instant::now();
            let is_free = |index: &usize| {
                let training = self.trainings[*index].as_ref();
                let is_due = state.held.get(index).is_none_or(|due| *due <= now);
                is_due && training.is_none_or(|key| !state.training.contains(key))
            };
            if let Some(place) = state.waiting.iter().position(is_free) {
                let index = state.waiting.remove(place)?;
                let training = self.trainings[index].clone();
                state.training.extend(training.clone());
                return Some(Taken { index, board: self, training });
            }
            let waited = self.changed.wait_timeout(state, AGAIN / 5);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Puts a cell back that another process holds.
    pub(super) fn put_back(&self, index: usize) {
        let mut state = self.state();
        state.held.insert(index, Instant::now() + AGAIN);
        state.waiting.push_back(index);
    }

    /// Puts a cell back that is to be begun anew.
    pub(super) fn again(&self, index: usize) {
        self.state().waiting.push_front(index);
    }

    /// Whether it is time to say (again) that this claim is waited for.
    pub(super) fn is_to_be_told(&self, key: &Key) -> bool {
        let mut state = self.state();
        let is_due = state.told.get(key).is_none_or(|last| last.elapsed() >= TELL);
        if is_due {
            state.told.insert(key.clone(), Instant::now());
        }
        is_due
    }

    pub(super) fn failed(&self) {
        self.state().has_failed = true;
    }

    /// Notes that this run has worked on a key.
    pub(super) fn note(&self, key: &Key) {
        self.state().ran.insert(key.clone());
    }

    /// Whether this run has worked on a key: once is enough, whatever is forced.
    pub(super) fn has_run(&self, key: &Key) -> bool {
        self.state().ran.contains(key)
    }
}

impl Taken<'_> {
    /// Lets the training go: it is done, others may use it.
    pub(super) fn trained(&mut self) {
        if let Some(key) = self.training.take() {
            self.board.state().training.remove(&key);
            self.board.changed.notify_all();
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.trained();
    }
}

#[cfg(test)]
mod tests {
    use dygl_store::key::Preimage;

    use super::*;

    fn key(name: &str) -> Option<Key> {
        let mut preimage = Preimage::new("test");
        preimage.put("name", name);
        Some(preimage.key().clone())
    }

    #[test]
    fn cells_of_one_training_are_taken_one_after_the_other() {
        let board = Board::new(vec![key("a"), key("a"), key("b"), None]);
        let take = || board.take(|_| false).expect("a cell");
        let mut first = take();
        let (second, third) = (take(), take());
        assert_eq!([first.index, second.index, third.index], [0, 2, 3]);
        let waited = Instant::now();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| take().index);
            std::thread::sleep(Duration::from_millis(50));
            first.trained();
            assert_eq!(other.join().expect("no panic"), 1);
        });
        assert!(waited.elapsed() >= Duration::from_millis(50));
        assert!(board.take(|_| false).is_none(), "none is left");
    }

    #[test]
    fn a_held_cell_waits_and_is_told_once() {
        let board = Board::new(vec![key("a"), key("b")]);
        let taken = board.take(|_| false).expect("a cell");
        let training = key("a").expect("a key");
        board.put_back(taken.index);
        assert!(board.is_to_be_told(&training) && !board.is_to_be_told(&training));
        drop(taken);
        assert_eq!(board.take(|_| false).expect("a cell").index, 1, "others come first");
        let begun = Instant::now();
        assert_eq!(board.take(|_| false).expect("a cell").index, 0);
        assert!(begun.elapsed() >= AGAIN / 2);
    }

    #[test]
    fn nothing_begins_when_it_is_over() {
        let board = Board::new(vec![key("a")]);
        board.failed();
        assert!(board.take(|has_failed| has_failed).is_none());
        board.note(&key("a").expect("a key"));
        assert!(board.has_run(&key("a").expect("a key")) && !board.has_run(&key("b").expect("a key")));
    }
}
