//! The receipt as PDF: one page as long as the receipt is.

use super::{Row, Width, layout::lay, rows};
use crate::{
    document::{Document, Mark},
    font::{Fonts, Length},
    pdf::Canvas,
    qr::{QUIET, Qr},
};

/// A PDF page may be 200 inches long; a longer receipt goes on, on another.
const LONGEST: Length = 14_000_000;
const SIZE: Length = 8_000;
/// White above and below.
const MARGIN: Length = 10_000;

fn millimetres(n: u16) -> Length {
    i64::from(n) * 720_000 / 254
}

enum Piece {
    Line(super::layout::Laid),
    Rule,
    Qr(Qr),
}

/// The receipt. The same document and mark give the same bytes.
pub fn pdf(document: &Document, mark: Mark, width: Width, fonts: &Fonts) -> Vec<u8> {
    let (paper, printed) = (
        millimetres(width.millimetres()),
        millimetres(width.printed()),
    );
    let left = (paper - printed) / 2;
    let mut pieces = Vec::new();
    for row in rows(document, mark) {
        match &row {
            Row::Rule => pieces.push(Piece::Rule),
            Row::Qr(text) => pieces.extend(Qr::new(text).map(Piece::Qr)),
            row => pieces.extend(lay(fonts, row, printed, SIZE).into_iter().map(Piece::Line)),
        }
    }
    let module = |code: &Qr| printed * 2 / 3 / modules(code);
    let high = |piece: &Piece| match piece {
        Piece::Line(line) => line.height(),
        Piece::Rule => SIZE,
        Piece::Qr(code) => module(code) * modules(code),
    };
    let mut canvas = Canvas::new(fonts);
    let mut rest = &pieces[..];
    while !rest.is_empty() {
        let (mut count, mut height) = (0, 2 * MARGIN);
        for piece in rest {
            if count > 0 && height + high(piece) > LONGEST {
                break;
            }
            height += high(piece);
            count += 1;
        }
        let (on_page, after) = rest.split_at(count);
        rest = after;
        canvas.add_page(paper, height);
        let page = canvas.pages() - 1;
        let mut y = MARGIN;
        for piece in on_page {
            match piece {
                Piece::Line(line) => {
                    for (x, runs) in &line.parts {
                        canvas.text(page, left + x, y + line.up, runs, line.size);
                    }
                }
                Piece::Rule => canvas.block(page, left, y + SIZE / 2, printed, 500),
                Piece::Qr(code) => {
                    let module = module(code);
                    let side = module * modules(code);
                    let from = left + (printed - side) / 2;
                    let place = |n: usize| module * count_of(n + QUIET);
                    for (column, row, run) in code.runs() {
                        let (x, y) = (from + place(column), y + place(row));
                        canvas.block(page, x, y, module * count_of(run), module);
                    }
                }
            }
            y += high(piece);
        }
    }
    canvas.finish(&document.number)
}

fn modules(code: &Qr) -> Length {
    count_of(code.width + 2 * QUIET)
}

fn count_of(n: usize) -> Length {
    i64::try_from(n).unwrap_or(i64::MAX).max(1)
}
