//! PDF: pages with texts, rules and squares. Of each font only the glyphs in use are embedded.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use flate2::{Compression, write::ZlibEncoder};
use pdf_writer::{
    Content, Filter, Finish, Name, Pdf, Rect, Ref, Str, TextStr,
    types::{CidFontType, FontFlags, SystemInfo, UnicodeCmap},
};
use subsetter::GlyphRemapper;

use crate::font::{FaceId, Fonts, Glyph, Length, Run, Weight};

/// Identity mapping of glyphs, horizontal.
const ENCODING: Name<'static> = Name(b"Identity-H");
const ADOBE: SystemInfo<'static> = SystemInfo {
    registry: Str(b"Adobe"),
    ordering: Str(b"Identity"),
    supplement: 0,
};

/// Points. The one place where a length is no exact number, because PDF's are not.
#[expect(clippy::float_arithmetic, reason = "PDF's numbers")]
fn pt(length: Length) -> f32 {
    length as f32 / 1000.0
}

/// A document that is being drawn. Places are counted from the upper left corner of a page, downwards.
pub(crate) struct Canvas<'f> {
    fonts: &'f Fonts,
    pages: Vec<Page>,
    used: BTreeMap<FaceId, Used>,
}

struct Page {
    width: Length,
    height: Length,
    content: Content,
    faces: BTreeSet<FaceId>,
}

/// The part of a font that is used.
#[derive(Default)]
struct Used {
    glyphs: GlyphRemapper,
    /// What glyphs of the part say.
    text: BTreeMap<u16, String>,
}

impl Used {
    /// Notes what a glyph says; false when it says something else elsewhere.
    fn says(&mut self, glyph: u16, text: &str) -> bool {
        let known = self.text.entry(glyph).or_insert_with(|| text.to_owned());
        known == text
    }
}

impl<'f> Canvas<'f> {
    pub fn new(fonts: &'f Fonts) -> Self {
        Self {
            fonts,
            pages: Vec::new(),
            used: BTreeMap::new(),
        }
    }

    pub fn add_page(&mut self, width: Length, height: Length) {
        self.pages.push(Page {
            width,
            height,
            content: Content::new(),
            faces: BTreeSet::new(),
        });
    }

    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Draws shaped text with its line at `y`.
    pub fn text(&mut self, page: usize, x: Length, y: Length, runs: &[Run], size: Length) {
        let mut x = x;
        for run in runs {
            self.run(page, x, y, run, size);
            x += self.fonts.width(std::slice::from_ref(run), size);
        }
    }

    fn run(&mut self, page: usize, x: Length, y: Length, run: &Run, size: Length) {
        let (Some(face), Some(page)) = (self.fonts.face(run.face), self.pages.get_mut(page)) else {
            return;
        };
        page.faces.insert(run.face);
        let used = self.used.entry(run.face).or_default();
        let ids: Vec<u16> = run
            .glyphs
            .iter()
            .map(|glyph| used.glyphs.remap(glyph.id))
            .collect();
        // A reader copies what its glyphs say one after the other. Where that is not the text, it is told the text.
        let mut told = !run.is_plain();
        for (at, (glyph, id)) in run.glyphs.iter().zip(&ids).enumerate() {
            match cluster(run, at, glyph) {
                Some(text) => told |= !used.says(*id, text),
                None => told = true,
            }
        }
        let content = &mut page.content;
        if told {
            content
                .begin_marked_content_with_properties(Name(b"Span"))
                .properties()
                .actual_text(TextStr(&run.text));
        }
        content.begin_text();
        content.set_font(Name(font_name(run.face).as_bytes()), pt(size));
        let y = page.height - y;
        let mut at = x;
        let mut together: Vec<u8> = Vec::new();
        let mut from = x;
        let flush = |content: &mut Content, together: &mut Vec<u8>, from: Length| {
            if !together.is_empty() {
                content.set_text_matrix([1.0, 0.0, 0.0, 1.0, pt(from), pt(y)]);
                content.show(Str(together));
                together.clear();
            }
        };
        for (glyph, id) in run.glyphs.iter().zip(&ids) {
            let scaled = |units: i32| i64::from(units) * size / face.upem;
            if glyph.x == 0 && glyph.y == 0 {
                if together.is_empty() {
                    from = at;
                }
                together.extend(id.to_be_bytes());
                if glyph.advance != face.advance(glyph.id) {
                    flush(content, &mut together, from);
                }
            } else {
                flush(content, &mut together, from);
                let (x, y) = (at + scaled(glyph.x), y + scaled(glyph.y));
                content.set_text_matrix([1.0, 0.0, 0.0, 1.0, pt(x), pt(y)]);
                content.show(Str(&id.to_be_bytes()));
            }
            at += scaled(glyph.advance);
        }
        flush(content, &mut together, from);
        content.end_text();
        if told {
            content.end_marked_content();
        }
    }

    /// Draws a black rectangle.
    pub fn block(&mut self, page: usize, x: Length, y: Length, width: Length, height: Length) {
        if let Some(page) = self.pages.get_mut(page) {
            let bottom = page.height - y - height;
            page.content.rect(pt(x), pt(bottom), pt(width), pt(height));
            page.content.fill_nonzero();
        }
    }

    /// The file. The same pages give the same bytes: no time and no chance is in it.
    pub fn finish(self, title: &str) -> Vec<u8> {
        let mut next = (1..).map(Ref::new);
        let mut next = || next.next().unwrap_or(Ref::new(i32::MAX));
        let (catalog, tree, info) = (next(), next(), next());
        let mut pdf = Pdf::new();
        pdf.catalog(catalog).pages(tree).lang(TextStr("en-IN"));
        pdf.document_info(info)
            .title(TextStr(title))
            .producer(TextStr("Bahi"));
        let mut fonts: BTreeMap<FaceId, Ref> = BTreeMap::new();
        for (id, used) in &self.used {
            let font = next();
            let ids = [font, next(), next(), next(), next()];
            if embed(&mut pdf, self.fonts, *id, used, ids) {
                fonts.insert(*id, font);
            }
        }
        let mut kids = Vec::with_capacity(self.pages.len());
        for page in self.pages {
            let (id, content) = (next(), next());
            kids.push(id);
            let drawn = packed(&page.content.finish());
            pdf.stream(content, &drawn).filter(Filter::FlateDecode);
            let mut object = pdf.page(id);
            object.media_box(Rect::new(0.0, 0.0, pt(page.width), pt(page.height)));
            object.parent(tree).contents(content);
            let mut resources = object.resources();
            let mut named = resources.fonts();
            for face in &page.faces {
                if let Some(font) = fonts.get(face) {
                    named.pair(Name(font_name(*face).as_bytes()), *font);
                }
            }
            named.finish();
            resources.finish();
            object.finish();
        }
        let count = i32::try_from(kids.len()).unwrap_or(i32::MAX);
        pdf.pages(tree).kids(kids).count(count);
        pdf.finish()
    }
}

fn font_name(face: FaceId) -> String {
    let weight = match face.1 {
        Weight::Regular => 'R',
        Weight::Bold => 'B',
    };
    format!("{weight}{}", face.0)
}

/// What a glyph that is its whole cluster stands for; none where a cluster has several glyphs.
fn cluster<'r>(run: &'r Run, at: usize, glyph: &Glyph) -> Option<&'r str> {
    let same = |other: Option<&Glyph>| other.is_some_and(|other| other.cluster == glyph.cluster);
    if same(run.glyphs.get(at + 1)) || at > 0 && same(run.glyphs.get(at - 1)) {
        return None;
    }
    let end = run
        .glyphs
        .get(at + 1)
        .map_or(run.text.len(), |next| next.cluster);
    run.text.get(glyph.cluster..end)
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing into memory does not fail.
    if packer.write_all(bytes).is_err() {
        return Vec::new();
    }
    packer.finish().unwrap_or_default()
}

/// Writes the used part of a font; false where it cannot be cut out, and its text stays away.
fn embed(pdf: &mut Pdf, fonts: &Fonts, id: FaceId, used: &Used, ids: [Ref; 5]) -> bool {
    let [font, cid, descriptor, file, cmap] = ids;
    let Some(face) = fonts.face(id) else {
        return false;
    };
    let Ok(part) = subsetter::subset(&face.bytes, 0, &used.glyphs) else {
        return false;
    };
    // Six letters tell parts of one font apart.
    let name = format!(
        "BAHI{}{}+{}",
        letter(id.0),
        letter(used.text.len()),
        face.name
    );
    let name = Name(name.as_bytes());
    pdf.type0_font(font)
        .base_font(name)
        .encoding_predefined(ENCODING)
        .descendant_font(cid)
        .to_unicode(cmap);
    let thousandth = |units: i64| pt(units * 1_000_000 / face.upem);
    let mut widths = pdf.cid_font(cid);
    widths
        .subtype(CidFontType::Type2)
        .base_font(name)
        .system_info(ADOBE)
        .font_descriptor(descriptor)
        .default_width(0.0)
        .cid_to_gid_map_predefined(Name(b"Identity"));
    let all = used.glyphs.remapped_gids();
    let all = all.map(|glyph| thousandth(i64::from(face.advance(glyph))));
    widths.widths().consecutive(0, all);
    widths.finish();
    pdf.font_descriptor(descriptor)
        .name(name)
        .flags(FontFlags::SYMBOLIC)
        .bbox(Rect::new(
            thousandth(0),
            thousandth(face.descent),
            thousandth(face.upem),
            thousandth(face.ascent),
        ))
        .italic_angle(0.0)
        .ascent(thousandth(face.ascent))
        .descent(thousandth(face.descent))
        .cap_height(thousandth(face.ascent))
        .stem_v(80.0)
        .font_file2(file);
    let length = i32::try_from(part.len()).unwrap_or(i32::MAX);
    let part = packed(&part);
    pdf.stream(file, &part)
        .filter(Filter::FlateDecode)
        .pair(Name(b"Length1"), length);
    let mut says = UnicodeCmap::<u16>::new(Name(b"Text"), ADOBE);
    for (glyph, text) in &used.text {
        says.pair_with_multiple(*glyph, text.chars());
    }
    let says = packed(&says.finish());
    pdf.cmap(cmap, &says).filter(Filter::FlateDecode);
    true
}

fn letter(n: usize) -> char {
    let n = u8::try_from(n % 26).unwrap_or_default();
    char::from(b'A' + n)
}
