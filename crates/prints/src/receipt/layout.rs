//! Rows in proportional letters: where their shaped texts stand. Lengths are thousandths of whatever the caller counts in:
//! points of a PDF, dots of a printer.

use super::{Row, Style};
use crate::font::{Fonts, Length, Run, Weight};

/// A line of shaped texts.
pub(super) struct Laid {
    /// Where each begins.
    pub parts: Vec<(Length, Vec<Run>)>,
    pub size: Length,
    /// How high the line reaches above, and how deep below.
    pub up: Length,
    pub down: Length,
}

impl Laid {
    fn new(fonts: &Fonts, parts: Vec<(Length, Vec<Run>)>, size: Length) -> Self {
        let extents = parts.iter().map(|(_, runs)| fonts.extent(runs, size));
        let (up, down) = extents.fold((0, 0), |(up, down), (u, d)| (up.max(u), down.max(d)));
        Self {
            parts,
            size,
            up,
            down,
        }
    }

    pub fn height(&self) -> Length {
        self.up + self.down
    }
}

fn weight(style: Style) -> Weight {
    if style.bold {
        Weight::Bold
    } else {
        Weight::Regular
    }
}

/// The lines of a row; nothing of rules and codes, which are not text.
pub(super) fn lay(fonts: &Fonts, row: &Row, width: Length, size: Length) -> Vec<Laid> {
    let sized = |style: Style| if style.large { size * 3 / 2 } else { size };
    match row {
        Row::Text(text, style) => {
            let (weight, size) = (weight(*style), sized(*style));
            let lines = fonts.wrap(text, weight, size, width).into_iter();
            let lines = lines.map(|line| {
                let runs = fonts.shape(&line, weight);
                let x = if style.centred {
                    (width - fonts.width(&runs, size)) / 2
                } else {
                    0
                };
                Laid::new(fonts, vec![(x.max(0), runs)], size)
            });
            lines.collect()
        }
        Row::Pair(left, right, style) => {
            let (weight, size) = (weight(*style), sized(*style));
            let right = fonts.shape(right, weight);
            let wide = fonts.width(&right, size);
            let room = (width - wide - size).max(width / 3);
            let lines = fonts.wrap(left, weight, size, room);
            let last = lines.len().saturating_sub(1);
            let laid = lines.iter().enumerate().map(|(at, line)| {
                let mut parts = vec![(0, fonts.shape(line, weight))];
                if at == last {
                    parts.push(((width - wide).max(0), right.clone()));
                }
                Laid::new(fonts, parts, size)
            });
            laid.collect()
        }
        Row::Cells(cells, style) => {
            let weight = weight(*style);
            let count = i64::try_from(cells.len()).unwrap_or(i64::MAX).max(1);
            let mut parts = Vec::with_capacity(cells.len());
            for (at, cell) in (0..).zip(cells) {
                let runs = fonts.shape(cell, weight);
                let x = if at == 0 {
                    0
                } else {
                    width * (at + 1) / count - fonts.width(&runs, size)
                };
                parts.push((x.max(0), runs));
            }
            vec![Laid::new(fonts, parts, size)]
        }
        Row::Rule | Row::Qr(_) => Vec::new(),
    }
}
