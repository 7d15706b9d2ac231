//! Bulk imports of XLSX workbooks.

use std::io::{Cursor, Write};

use rust_xlsxwriter::{Workbook, Worksheet};
use serde_json::json;
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::support::*;

const HEAD: [&str; 7] = [
    "SKU",
    "Item Name",
    "UOM",
    "HSN Code",
    "Selling Price",
    "EAN",
    "Brand",
];

fn workbook(fill: impl FnOnce(&mut Worksheet)) -> Vec<u8> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    for (header, at) in HEAD.iter().zip(0..) {
        sheet.write(0, at, *header).unwrap();
    }
    fill(sheet);
    workbook.save_to_buffer().unwrap()
}

fn row(sheet: &mut Worksheet, line: u32, sku: &str) {
    sheet.write(line, 0, sku).unwrap();
    sheet.write(line, 1, format!("Product {sku}")).unwrap();
    sheet.write(line, 2, "pcs").unwrap();
    sheet.write(line, 3, 854_442).unwrap();
    sheet
        .write(line, 4, format!("{line}.1").parse::<f64>().unwrap())
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workbook_goes_in_like_a_text() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let file = workbook(|sheet| {
        row(sheet, 1, "A-1");
        sheet.write(1, 5, 4_006_381_333_931_i64).unwrap();
        row(sheet, 2, "A-2");
        // Text, so that its zero stays; and a number that has lost it.
        sheet.write(2, 5, "0416000336108").unwrap();
        row(sheet, 3, "A-3");
        sheet.write(3, 5, 1_234_567).unwrap();
        row(sheet, 5, "a-1");
        row(sheet, 6, "A-4");
        sheet.write(6, 4, "8.90E+12").unwrap();
    });
    let id = shop.upload_as(XLSX, "", file.clone()).await.expect(202);
    assert_eq!(id.text_at("format"), "xlsx");
    let job = shop.rests(&id.text_at("id")).await;
    assert_eq!(
        (&job["rows"], &job["created"], &job["refused"]),
        (&json!(5), &json!(2), &json!(3)),
        "{job}"
    );
    // Rows are numbered as the spreadsheet numbers them.
    assert_eq!(
        shop.errors(&job).await,
        [
            r#"4,"barcode","1234567","""1234567"" is not a barcode of 8, 12, 13 or 14 digits""#,
            r#"6,"sku","a-1","stands in line 2 already""#,
            r#"7,"price","8.90E+12","is not a plain decimal like 12.50""#,
        ]
    );
    assert_eq!(shop.by_sku("A-1").await["price"], "1.1");
    assert_eq!(shop.by_sku("A-1").await["barcodes"], json!([EAN]));
    assert_eq!(
        shop.by_sku("A-2").await["barcodes"],
        json!(["0416000336108"])
    );
    // The same again changes nothing.
    let id = shop
        .upload_as(XLSX, "", file)
        .await
        .expect(202)
        .text_at("id");
    let job = shop.rests(&id).await;
    assert_eq!(
        (&job["created"], &job["updated"], &job["unchanged"]),
        (&json!(0), &json!(0), &json!(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_workbook_is_refused_and_nothing_is_written() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let good = workbook(|sheet| row(sheet, 1, "A-1"));
    let archive = |parts: &[(&str, &[u8])]| -> Vec<u8> {
        let mut out = Cursor::new(Vec::new());
        let mut zip = ZipWriter::new(&mut out);
        for (name, bytes) in parts {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
        out.into_inner()
    };
    // Its directory says that each part is three gigabytes.
    let mut bomb = good.clone();
    let headers: Vec<usize> = (0..bomb.len() - 4)
        .filter(|at| bomb[*at..].starts_with(b"PK\x01\x02"))
        .collect();
    for at in headers {
        bomb[at + 24..at + 28].copy_from_slice(&3_000_000_000_u32.to_le_bytes());
    }
    let no_key = {
        let mut workbook = Workbook::new();
        workbook.add_worksheet().write(0, 0, "name").unwrap();
        workbook.save_to_buffer().unwrap()
    };
    let texts = archive(&[(
        "xl/sharedStrings.xml",
        b"<sst uniqueCount=\"99999999999999\"/>",
    )]);
    for (file, field, rule) in [
        (
            b"sku,name\nA,b\n".to_vec(),
            "file",
            "is not an XLSX workbook",
        ),
        (
            good[..good.len() / 2].to_vec(),
            "file",
            "is not an XLSX workbook",
        ),
        (
            archive(&[("a.txt", b"hello")]),
            "file",
            "is not an XLSX workbook",
        ),
        (bomb, "file", "expands to more"),
        (texts, "file", "has more than 1000000 texts"),
        (no_key, "header", "The first line names no column sku."),
    ] {
        let refused = shop.upload_as(XLSX, "", file).await.expect(422);
        assert_eq!(refused.code(), "UNREADABLE_FILE");
        assert_eq!(refused.body["field"], field);
        assert!(refused.text_at("detail").contains(rule), "{}", refused.text);
    }
    shop.upload_as("application/zip", "", good)
        .await
        .expect(415);
    let admin = app.admin().await;
    for table in ["import_job", "import_row", "product"] {
        let rows = admin
            .query(&format!("select 1 from {table}"), &[])
            .await
            .unwrap();
        assert!(rows.is_empty(), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workbook_that_breaks_off_in_the_middle_leaves_nothing_behind() {
    let app = start().await;
    let shop = Shop::open(&app).await;
    let good = workbook(|sheet| (1..=2500).for_each(|line| row(sheet, line, &format!("A{line}"))));
    // The same parts, with a row that goes back to the beginning.
    let mut parts = zip::ZipArchive::new(Cursor::new(&good)).unwrap();
    let mut out = Cursor::new(Vec::new());
    let mut zip = ZipWriter::new(&mut out);
    for at in 0..parts.len() {
        let mut part = parts.by_index(at).unwrap();
        let name = part.name().unwrap().into_owned();
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut part, &mut text).unwrap();
        if name == "xl/worksheets/sheet1.xml" {
            let back = String::from_utf8(text).unwrap();
            text = back.replace("r=\"A2400\"", "r=\"A2\"").into_bytes();
        }
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(&text).unwrap();
    }
    zip.finish().unwrap();
    let refused = shop.upload_as(XLSX, "", out.into_inner()).await.expect(422);
    assert_eq!(refused.body["field"], "row 2", "{}", refused.text);
    assert_eq!(
        shop.owner.get("/api/v1/import-jobs").await.expect(200).body["total"],
        0
    );
    run_job(&app.running.state, "clear_imports").await;
    let admin = app.admin().await;
    for table in ["import_job", "import_row"] {
        assert!(
            admin
                .query(&format!("select 1 from {table}"), &[])
                .await
                .unwrap()
                .is_empty(),
            "{table}"
        );
    }
}
