//! Labels as PDF. Each label is drawn once and placed as often as it is wanted.

use std::collections::BTreeSet;

use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str};
use rust_decimal::{Decimal, prelude::ToPrimitive};

use crate::label::model::{LINE, Label, PADDING, Sheet};

const TEXT: Name<'static> = Name(b"F1");
/// A fifth of a line is white.
const POINTS: i64 = LINE * 4 / 5;

/// Points from micrometres. The one place where a length is no exact number, because PDF's are not.
fn pt(micrometres: i64) -> f32 {
    let points = Decimal::from(micrometres) * Decimal::from(72) / Decimal::from(25_400);
    points.round_dp(3).to_f32().unwrap_or_default()
}

/// Whether the fonts can set a text: Windows-1252 without the signs between 80 and 9F.
pub fn sets(text: &str) -> bool {
    text.chars()
        .all(|c| matches!(c, ' '..='~' | '\u{a0}'..='\u{ff}'))
}

fn encoded(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
        .collect()
}

/// The sheets with all labels in their order.
pub fn document(labels: &[Label], sheet: &Sheet) -> Vec<u8> {
    let mut ids = (1..).map(Ref::new);
    let mut next = || ids.next().unwrap_or(Ref::new(i32::MAX));
    let (catalog, pages, font) = (next(), next(), next());
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(pages);
    pdf.type1_font(font)
        .base_font(Name(b"Helvetica"))
        .encoding_predefined(Name(b"WinAnsiEncoding"));
    let (width, height) = sheet.label();
    let forms: Vec<Ref> = labels.iter().map(|_| next()).collect();
    for (label, form) in labels.iter().zip(&forms) {
        let content = drawn(label, width, height);
        let mut form = pdf.form_xobject(*form, &content);
        form.bbox(Rect::new(0.0, 0.0, pt(width), pt(height)));
        form.resources().fonts().pair(TEXT, font);
    }
    let all: Vec<usize> = labels
        .iter()
        .enumerate()
        .flat_map(|(at, label)| (0..label.count).map(move |_| at))
        .collect();
    let mut kids = Vec::new();
    for on_page in all.chunks((sheet.columns * sheet.rows).max(1)) {
        let (page_id, content_id) = (next(), next());
        kids.push(page_id);
        let mut content = Content::new();
        for (place, label) in on_page.iter().enumerate() {
            let (x, y) = sheet.place(place);
            content.save_state();
            content.transform([1.0, 0.0, 0.0, 1.0, pt(x), pt(y)]);
            content.x_object(Name(name(*label).as_bytes()));
            content.restore_state();
        }
        pdf.stream(content_id, &content.finish());
        let mut page = pdf.page(page_id);
        page.media_box(Rect::new(0.0, 0.0, pt(sheet.width), pt(sheet.height)));
        page.parent(pages).contents(content_id);
        let mut resources = page.resources();
        let mut objects = resources.x_objects();
        for label in on_page.iter().collect::<BTreeSet<_>>() {
            objects.pair(Name(name(*label).as_bytes()), forms[*label]);
        }
        objects.finish();
        resources.finish();
        page.finish();
    }
    let count = i32::try_from(kids.len()).unwrap_or(i32::MAX);
    pdf.pages(pages).kids(kids).count(count);
    pdf.finish()
}

fn name(label: usize) -> String {
    format!("L{label}")
}

fn drawn(label: &Label, width: i64, height: i64) -> Vec<u8> {
    let mut content = Content::new();
    let mut top = height - PADDING;
    for line in &label.lines {
        top -= LINE;
        write(&mut content, line, PADDING, top + LINE / 4);
    }
    if let Some((_, row)) = &label.code {
        let modules = i64::try_from(row.width()).unwrap_or(i64::MAX).max(1);
        // The nominal width of an EAN's module, or what there is room for.
        let module = (width / modules).min(330);
        let left = (width - module * modules) / 2;
        let (base, bars) = label.bars(height);
        for (x, wide) in row.bars() {
            let along = |modules: usize| i64::try_from(modules).unwrap_or_default() * module;
            content.rect(pt(left + along(x)), pt(base), pt(along(wide)), pt(bars));
        }
        content.fill_nonzero();
        // Digits of Helvetica are 0.556 of its size wide.
        let text =
            i64::try_from(row.text.chars().count()).unwrap_or_default() * POINTS * 556 / 1000;
        write(
            &mut content,
            &row.text,
            ((width - text) / 2).max(PADDING),
            PADDING + LINE / 4,
        );
    }
    content.finish().to_vec()
}

fn write(content: &mut Content, text: &str, x: i64, y: i64) {
    content.begin_text();
    content.set_font(TEXT, pt(POINTS));
    content.next_line(pt(x), pt(y));
    content.show(Str(&encoded(text)));
    content.end_text();
}
