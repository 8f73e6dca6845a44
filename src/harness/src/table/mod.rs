//! Tables as data, and their markups.
