//! Figures as SVG texts, to be put into a page; charts that stand alone as PNG
//! too. One figure is one file.
//!
//! The figures take text colour and font from the page around them
//! (`currentColor`, inherited family), so that they fit a light and a dark
//! page; data colours are Okabe and Ito's, which colour-blind readers tell
//! apart.

mod bubble;
mod canvas;
mod curves;
mod distribution;
mod font;
mod labels;
mod ratios;
mod roofline;

pub use bubble::{Bubble, Drawing, View, bubbles};
pub use curves::{gradient_norm, learning_rate, loss, selection};
pub use distribution::{distribution, foreground_distribution};
pub use ratios::{Ratio, ratios};
pub use roofline::{Roof, Work, roofline};

/// Why a figure could not be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to draw the figure `{figure}`: {message}")]
pub struct PlotError {
    /// What was to be drawn: `bubbles`, `roofline`, ...
    pub figure: &'static str,
    /// What plotters, the PNG encoder or the font said.
    pub message: String,
}
