//! The receipt as HTML: one file that needs nothing else, and prints on paper of its width.

use std::fmt::Write as _;

use super::{Row, Style, Width, rows};
use crate::{
    document::{Document, Mark},
    qr::{QUIET, Qr},
};

/// The receipt. A browser has fonts of its own.
pub fn html(document: &Document, mark: Mark, width: Width) -> String {
    let (paper, printed) = (width.millimetres(), width.printed());
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en-IN\"><head><meta charset=\"utf-8\"><title>{}</title><style>\
         @page{{size:{paper}mm auto;margin:0}}\
         body{{width:{printed}mm;margin:2mm auto;font:9pt/1.3 'Noto Sans',sans-serif}}\
         .b{{font-weight:bold}}.l{{font-size:13pt}}.c{{text-align:center}}\
         .p{{display:flex;justify-content:space-between;gap:1em}}.p>:last-child{{white-space:nowrap}}\
         .t{{display:flex}}.t>*{{flex:1;text-align:right}}.t>:first-child{{text-align:left}}\
         svg{{display:block;margin:auto;width:66%}}hr{{border:0;border-top:1px solid}}\
         </style></head><body>\n",
        escaped(&document.number)
    );
    for row in rows(document, mark) {
        match row {
            Row::Text(text, style) => {
                let _ = writeln!(
                    page,
                    "<div class=\"{}\">{}</div>",
                    class(style),
                    escaped(&text)
                );
            }
            Row::Pair(left, right, style) => {
                let _ = writeln!(
                    page,
                    "<div class=\"p{}\"><span>{}</span><span>{}</span></div>",
                    class(style),
                    escaped(&left),
                    escaped(&right)
                );
            }
            Row::Cells(cells, style) => {
                let _ = write!(page, "<div class=\"t{}\">", class(style));
                for cell in cells {
                    let _ = write!(page, "<span>{}</span>", escaped(&cell));
                }
                page.push_str("</div>\n");
            }
            Row::Rule => page.push_str("<hr>\n"),
            Row::Qr(text) => {
                if let Some(code) = Qr::new(&text) {
                    picture(&mut page, &code);
                }
            }
        }
    }
    page.push_str("</body></html>\n");
    page
}

fn class(style: Style) -> String {
    let names = [
        (style.bold, " b"),
        (style.large, " l"),
        (style.centred, " c"),
    ];
    let names = names.into_iter().filter(|(is, _)| *is);
    names.map(|(_, name)| name).collect()
}

fn picture(page: &mut String, code: &Qr) {
    let side = code.width + 2 * QUIET;
    let _ = write!(
        page,
        "<svg viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\"><path d=\""
    );
    for (x, y, run) in code.runs() {
        let _ = write!(page, "M{} {}h{run}v1h-{run}z", x + QUIET, y + QUIET);
    }
    page.push_str("\"/></svg>\n");
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
