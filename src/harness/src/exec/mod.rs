//! Runs cells: the executors, their events and their outcomes.
