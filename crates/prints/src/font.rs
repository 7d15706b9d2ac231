//! Fonts and shaping: which glyphs show a text, and where they stand.
//!
//! Noto Sans for what is Latin, Greek or Cyrillic, and one Noto Sans for each of nine Indian scripts, in two weights. A
//! text falls into runs of one font; each is shaped by the font's own tables. Letters that no font has come as the font's
//! sign of a missing glyph.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use harfrust::{Buffer, ShapeOptions, ShaperFont};
use skrifa::{
    GlyphId, MetadataProvider,
    instance::{LocationRef, Size},
};

/// Thousandths of a point.
pub type Length = i64;

/// Fonts by name; the first is for everything that is of none of the others' scripts. The others in the order of their
/// blocks, of 128 code points each, which begin at U+0900.
const NAMES: [(&str, u32); 10] = [
    ("NotoSans", 0),
    ("NotoSansDevanagari", 0x0900),
    ("NotoSansBengali", 0x0980),
    ("NotoSansGurmukhi", 0x0a00),
    ("NotoSansGujarati", 0x0a80),
    ("NotoSansOriya", 0x0b00),
    ("NotoSansTamil", 0x0b80),
    ("NotoSansTelugu", 0x0c00),
    ("NotoSansKannada", 0x0c80),
    ("NotoSansMalayalam", 0x0d00),
];
const LATIN: usize = 0;

/// The fonts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FontError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no font.
    #[error("{} is no font that can be used", path.display())]
    NoFont {
        /// Which.
        path: PathBuf,
    },
}

/// A weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// For reading.
    #[default]
    Regular,
    /// For finding.
    Bold,
}

pub(crate) struct Face {
    pub name: String,
    pub bytes: Vec<u8>,
    pub upem: i64,
    /// In units of the font.
    pub ascent: i64,
    /// Below the line, so negative.
    pub descent: i64,
    shaping: harfrust::Font,
    advances: Vec<i32>,
    latin: bool,
}

impl fmt::Debug for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// All fonts, read once.
#[derive(Debug)]
pub struct Fonts {
    /// Regular and bold; none where a script's font is not installed.
    faces: Vec<[Option<Face>; 2]>,
}

/// A glyph. Numbers are units of its font.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glyph {
    /// Its number in the font.
    pub id: u16,
    /// How far the next one stands.
    pub advance: i32,
    /// Drawn so far to the right.
    pub x: i32,
    /// Drawn so far above.
    pub y: i32,
    /// The byte of the run's text where its cluster begins.
    pub cluster: usize,
}

/// Which font a run is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FaceId(pub usize, pub Weight);

/// A piece of text in one font.
#[derive(Clone, Debug)]
pub struct Run {
    pub(crate) face: FaceId,
    /// What it says.
    pub text: String,
    /// How it is shown.
    pub glyphs: Vec<Glyph>,
}

impl Run {
    /// One letter after the other, each its own glyph: what a reader copies needs no help.
    pub(crate) fn is_plain(&self) -> bool {
        self.face.0 == LATIN
    }
}

impl Fonts {
    /// Reads the fonts of a folder: `NotoSans-Regular.ttf` and `NotoSans-Bold.ttf` must be there, those of Indian scripts
    /// (`NotoSansDevanagari-Regular.ttf`, ...) may be; where a bold one is missing, the regular one stands in.
    ///
    /// # Errors
    /// When a file cannot be read or is no font.
    pub fn load(folder: &Path) -> Result<Self, FontError> {
        let mut faces = Vec::with_capacity(NAMES.len());
        for (at, (name, _)) in NAMES.into_iter().enumerate() {
            let regular = Face::load(folder, name, "Regular", at == LATIN)?;
            let bold = Face::load(folder, name, "Bold", at == LATIN)?;
            faces.push([regular, bold]);
        }
        Ok(Self { faces })
    }

    pub(crate) fn face(&self, id: FaceId) -> Option<&Face> {
        let [regular, bold] = self.faces.get(id.0)?;
        match id.1 {
            Weight::Bold => bold.as_ref().or(regular.as_ref()),
            Weight::Regular => regular.as_ref(),
        }
    }

    /// Shapes a line of text. Control characters become spaces.
    pub fn shape(&self, text: &str, weight: Weight) -> Vec<Run> {
        let mut pieces: Vec<(FaceId, String)> = Vec::new();
        for c in text.chars() {
            let c = if c.is_control() { ' ' } else { c };
            let last = pieces.last().map(|(face, _)| *face);
            let face = FaceId(self.choose(c, last.map(|face| face.0)), weight);
            match pieces.last_mut() {
                Some((same, piece)) if *same == face => piece.push(c),
                _ => pieces.push((face, c.to_string())),
            }
        }
        let shaped = pieces.into_iter().map(|(face, text)| Run {
            glyphs: self.face(face).map(|f| f.shape(&text)).unwrap_or_default(),
            face,
            text,
        });
        shaped.collect()
    }

    fn choose(&self, c: char, before: Option<usize>) -> usize {
        let code = u32::from(c);
        // Joiners, the dotted circle, and the dandas, which all scripts share, belong to what stands before.
        let joins = matches!(code, 0x200c | 0x200d | 0x25cc | 0x0964 | 0x0965);
        if let Some(before) = before.filter(|before| joins && *before != LATIN) {
            return before;
        }
        let block = code & !0x7f;
        let found = NAMES
            .iter()
            .position(|(_, from)| *from == block && block != 0);
        found
            .filter(|at| self.face(FaceId(*at, Weight::Regular)).is_some())
            .unwrap_or(LATIN)
    }

    /// How wide shaped text is at a size.
    pub fn width(&self, runs: &[Run], size: Length) -> Length {
        let width = |run: &Run| {
            let upem = self.face(run.face).map_or(1000, |face| face.upem);
            let advance: i64 = run.glyphs.iter().map(|g| i64::from(g.advance)).sum();
            advance * size / upem
        };
        runs.iter().map(width).sum()
    }

    /// How wide a text is at a size.
    pub fn measure(&self, text: &str, weight: Weight, size: Length) -> Length {
        self.width(&self.shape(text, weight), size)
    }

    /// Breaks a text into lines of at most `width`: at spaces, and within a word only where it alone is too long; never
    /// within a cluster. Line breaks stay.
    pub fn wrap(&self, text: &str, weight: Weight, size: Length, width: Length) -> Vec<String> {
        let space = self.measure(" ", weight, size);
        let mut lines = Vec::new();
        for paragraph in text.lines() {
            let (mut line, mut used) = (String::new(), 0);
            for word in paragraph.split_whitespace() {
                let wide = self.measure(word, weight, size);
                if !line.is_empty() && used + space + wide <= width {
                    line.push(' ');
                    line.push_str(word);
                    used += space + wide;
                    continue;
                }
                if !line.is_empty() {
                    lines.push(std::mem::take(&mut line));
                }
                let mut pieces = if wide <= width {
                    vec![word.to_owned()]
                } else {
                    self.broken(word, weight, size, width)
                };
                line = pieces.pop().unwrap_or_default();
                lines.append(&mut pieces);
                used = self.measure(&line, weight, size);
            }
            if !line.is_empty() {
                lines.push(line);
            }
        }
        if lines.is_empty() {
            lines.push(String::new());
        }
        lines
    }

    fn broken(&self, word: &str, weight: Weight, size: Length, width: Length) -> Vec<String> {
        let mut pieces = vec![String::new()];
        let mut used = 0;
        for run in self.shape(word, weight) {
            let upem = self.face(run.face).map_or(1000, |face| face.upem);
            let mut starts: Vec<usize> = run.glyphs.iter().map(|g| g.cluster).collect();
            starts.sort_unstable();
            starts.dedup();
            for (at, start) in starts.iter().enumerate() {
                let end = starts.get(at + 1).copied().unwrap_or(run.text.len());
                let glyphs = run.glyphs.iter().filter(|g| g.cluster == *start);
                let wide = glyphs.map(|g| i64::from(g.advance)).sum::<i64>() * size / upem;
                if used > 0 && used + wide > width {
                    pieces.push(String::new());
                    used = 0;
                }
                used += wide;
                if let (Some(piece), Some(text)) = (pieces.last_mut(), run.text.get(*start..end)) {
                    piece.push_str(text);
                }
            }
        }
        pieces
    }

    /// How high the tallest of the fonts reaches above the line and how deep below at a size, for a text.
    pub(crate) fn extent(&self, runs: &[Run], size: Length) -> (Length, Length) {
        let faces = runs.iter().filter_map(|run| self.face(run.face));
        faces.fold((0, 0), |(up, down), face| {
            (
                up.max(face.ascent * size / face.upem),
                down.max(-face.descent * size / face.upem),
            )
        })
    }
}

impl Face {
    fn load(
        folder: &Path,
        name: &str,
        weight: &str,
        latin: bool,
    ) -> Result<Option<Self>, FontError> {
        let name = format!("{name}-{weight}");
        let path = folder.join(format!("{name}.ttf"));
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !latin => return Ok(None),
            Err(source) => return Err(FontError::Unreadable { path, source }),
        };
        let Some(shaping) = harfrust::Font::new(bytes.clone(), 0) else {
            return Err(FontError::NoFont { path });
        };
        let Ok(metrics) = skrifa::FontRef::new(&bytes)
            .map(|font| font.metrics(Size::unscaled(), LocationRef::default()))
        else {
            return Err(FontError::NoFont { path });
        };
        if metrics.units_per_em == 0 {
            return Err(FontError::NoFont { path });
        }
        let advances = skrifa::FontRef::new(&bytes).map(|font| {
            let glyphs = font.glyph_metrics(Size::unscaled(), LocationRef::default());
            let advance = |glyph: u32| glyphs.advance_width(GlyphId::new(glyph));
            (0..metrics.glyph_count)
                .map(|glyph| advance(glyph).map_or(0, |width| units(width) as i32))
                .collect()
        });
        Ok(Some(Self {
            name,
            advances: advances.unwrap_or_default(),
            upem: i64::from(metrics.units_per_em),
            ascent: units(metrics.ascent),
            descent: units(metrics.descent),
            shaping,
            bytes,
            latin,
        }))
    }

    /// How far the next glyph stands where nothing moves it.
    pub(crate) fn advance(&self, glyph: u16) -> i32 {
        self.advances
            .get(usize::from(glyph))
            .copied()
            .unwrap_or_default()
    }

    fn shape(&self, text: &str) -> Vec<Glyph> {
        let mut buffer = Buffer::new();
        buffer.push_str(text);
        buffer.guess_segment_properties();
        if self.latin {
            buffer.set_direction(harfrust::Direction::LeftToRight);
        }
        let font = ShaperFont::new(&self.shaping);
        if harfrust::shape(&font, &mut buffer, ShapeOptions::new()).is_err() {
            return Vec::new();
        }
        let infos = buffer.glyph_infos().iter();
        let glyphs = infos.zip(buffer.glyph_positions()).map(|(info, at)| Glyph {
            id: u16::try_from(info.glyph_id).unwrap_or_default(),
            advance: at.x_advance,
            x: at.x_offset,
            y: at.y_offset,
            cluster: usize::try_from(info.cluster).unwrap_or_default(),
        });
        glyphs.collect()
    }
}

/// Units of a font, which are whole numbers.
fn units(value: f32) -> i64 {
    value.round() as i64
}
