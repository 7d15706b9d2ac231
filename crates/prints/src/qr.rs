//! QR codes as squares.

use qrcode::{Color, EcLevel, QrCode};

/// Modules of a code, line by line.
#[derive(Clone, Debug)]
pub(crate) struct Qr {
    /// Modules of a line.
    pub width: usize,
    dark: Vec<bool>,
}

/// White modules that must stand around (ISO/IEC 18004).
pub(crate) const QUIET: usize = 4;

impl Qr {
    /// The code of a text; none when it is longer than any code carries.
    pub fn new(text: &str) -> Option<Self> {
        let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
        Some(Self {
            width: code.width(),
            dark: code
                .to_colors()
                .into_iter()
                .map(|color| color == Color::Dark)
                .collect(),
        })
    }

    /// Whether the module is dark.
    pub fn is_dark(&self, x: usize, y: usize) -> bool {
        x < self.width
            && self
                .dark
                .get(y * self.width + x)
                .copied()
                .unwrap_or_default()
    }

    /// Dark runs: column, line, length.
    pub fn runs(&self) -> Vec<(usize, usize, usize)> {
        let mut runs = Vec::new();
        for y in 0..self.width {
            let mut x = 0;
            while x < self.width {
                let from = x;
                while self.is_dark(x, y) {
                    x += 1;
                }
                if x > from {
                    runs.push((from, y, x - from));
                }
                x += 1;
            }
        }
        runs
    }
}

/// The QR code of a text as an SVG image, one unit a module; none when the text is longer than any code carries.
pub fn svg(text: &str) -> Option<String> {
    let code = Qr::new(text)?;
    let side = code.width + 2 * QUIET;
    let mut path = String::new();
    for (x, y, length) in code.runs() {
        path.push_str(&format!(
            "M{} {}h{length}v1h-{length}z",
            x + QUIET,
            y + QUIET
        ));
    }
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>"
    ))
}
