//! Texts as dots: what a thermal printer gets where it has no letters of its own.
#![expect(clippy::float_arithmetic, reason = "outlines are floating numbers")]

use ab_glyph_rasterizer::{Point, Rasterizer, point};
use skrifa::{
    GlyphId, MetadataProvider,
    instance::{LocationRef, Size},
    outline::{DrawSettings, OutlineGlyph, OutlinePen, pen::ControlBoundsPen},
};

use crate::font::{Fonts, Run};

/// Black and white dots, eight to a byte, the leftmost in the highest bit; a line begins a byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dots {
    /// Bytes of a line.
    pub stride: usize,
    pub height: usize,
    pub bytes: Vec<u8>,
}

impl Dots {
    pub fn new(width: usize, height: usize) -> Self {
        let stride = width.div_ceil(8);
        Self {
            stride,
            height,
            bytes: vec![0; stride * height],
        }
    }

    pub fn set(&mut self, x: usize, y: usize) {
        if x < self.stride * 8
            && let Some(byte) = self.bytes.get_mut(y * self.stride + x / 8)
        {
            *byte |= 0x80 >> (x % 8);
        }
    }

    #[cfg(test)]
    pub fn is_set(&self, x: usize, y: usize) -> bool {
        self.bytes[y * self.stride + x / 8] & (0x80 >> (x % 8)) != 0
    }
}

impl Dots {
    /// Draws shaped text from dot `x` with its line at dot `y`, at a size in thousandths of a dot; what lies outside stays
    /// away.
    pub fn text(&mut self, fonts: &Fonts, x: i64, y: i64, runs: &[Run], size: i64) {
        let mut x = x * 1000;
        for run in runs {
            let Some(face) = fonts.face(run.face) else {
                continue;
            };
            let Ok(font) = skrifa::FontRef::new(&face.bytes) else {
                continue;
            };
            let outlines = font.outline_glyphs();
            for glyph in &run.glyphs {
                let scaled = |units: i32| i64::from(units) * size / face.upem;
                if let Some(outline) = outlines.get(GlyphId::from(glyph.id)) {
                    let (x, y) = (dots(x + scaled(glyph.x)), dots(y * 1000 - scaled(glyph.y)));
                    // A glyph that is broken in the font stays away.
                    self.glyph(&outline, x, y, dots(size));
                }
                x += scaled(glyph.advance);
            }
        }
    }

    /// Draws a glyph on a canvas of its own size, because the rasterizer wants all of an outline inside: what passes an edge
    /// would come out on another line, or end in a panic.
    fn glyph(&mut self, outline: &OutlineGlyph, x: f32, y: f32, size: f32) -> Option<()> {
        let settings = || DrawSettings::unhinted(Size::new(size), LocationRef::default());
        let mut bounds = ControlBoundsPen::default();
        outline.draw(settings(), &mut bounds).ok()?;
        let bounds = bounds.bounding_box()?;
        // Whole dots, so that the outline meets the grid where it would on the canvas.
        let (left, top) = ((x + bounds.x_min).floor(), (y - bounds.y_max).floor());
        let width = ((x + bounds.x_max).ceil() - left) as usize + 1;
        let height = ((y - bounds.y_min).ceil() - top) as usize + 1;
        let mut raster = Rasterizer::new(width, height);
        let mut pen = Pen {
            raster: &mut raster,
            x: x - left,
            y: y - top,
            start: point(0.0, 0.0),
            last: point(0.0, 0.0),
        };
        outline.draw(settings(), &mut pen).ok()?;
        let (left, top) = (left as i64, top as i64);
        raster.for_each_pixel_2d(|column, row, covered| {
            let at = |from: i64, by: u32| usize::try_from(from + i64::from(by));
            // What is covered by half is black.
            if covered >= 0.5
                && let (Ok(x), Ok(y)) = (at(left, column), at(top, row))
            {
                self.set(x, y);
            }
        });
        Some(())
    }
}

fn dots(thousandths: i64) -> f32 {
    thousandths as f32 / 1000.0
}

struct Pen<'r> {
    raster: &'r mut Rasterizer,
    x: f32,
    y: f32,
    start: Point,
    last: Point,
}

impl Pen<'_> {
    fn at(&self, x: f32, y: f32) -> Point {
        point(self.x + x, self.y - y)
    }
}

impl OutlinePen for Pen<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        self.start = self.at(x, y);
        self.last = self.start;
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let to = self.at(x, y);
        self.raster.draw_line(self.last, to);
        self.last = to;
    }

    fn quad_to(&mut self, cx: f32, cy: f32, x: f32, y: f32) {
        let (control, to) = (self.at(cx, cy), self.at(x, y));
        self.raster.draw_quad(self.last, control, to);
        self.last = to;
    }

    fn curve_to(&mut self, ax: f32, ay: f32, bx: f32, by: f32, x: f32, y: f32) {
        let (a, b, to) = (self.at(ax, ay), self.at(bx, by), self.at(x, y));
        self.raster.draw_cubic(self.last, a, b, to);
        self.last = to;
    }

    fn close(&mut self) {
        self.raster.draw_line(self.last, self.start);
        self.last = self.start;
    }
}
