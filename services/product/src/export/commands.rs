//! Writing the catalogue: as CSV piece by piece, as XLSX to a temporary file first.

use actix_web::web::Bytes;
use bahi_db::{Ctx, Tx};
use bahi_types::ProductId;
use futures::{Stream, stream};
use rust_xlsxwriter::{Format, Workbook, XlsxError};
use tokio::{fs::File, sync::mpsc};

use crate::{
    Error, State,
    export::{
        model::{self, Cell, Names},
        store,
    },
    import_row::sheet::Column,
    product::{self, model::Product, store::Filter},
};

/// The type of a workbook.
pub const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
/// Products in memory at a time.
const CHUNK: i64 = 500;
/// Most rows of a sheet, its header taken off.
const LONGEST: i64 = 1_048_575;

type Chunk = (Vec<Product>, Names);

/// The products after one, with their names; none at the end.
async fn next(
    state: &State,
    ctx: &Ctx,
    filter: &Filter,
    after: Option<ProductId>,
) -> Result<Option<Chunk>, Error> {
    let read = async |tx: &mut Tx| -> Result<Chunk, Error> {
        let products = product::store::after(tx, filter, after, CHUNK).await?;
        let names = store::names(tx, &products).await?;
        Ok((products, names))
    };
    let chunk = state.db.read(ctx, read).await?;
    Ok((!chunk.0.is_empty()).then_some(chunk))
}

/// The rows of a CSV file, a page at a time.
pub fn csv(
    state: State,
    ctx: Ctx,
    filter: Filter,
) -> impl Stream<Item = Result<Bytes, Error>> + 'static {
    let from = (state, ctx, filter, None);
    stream::try_unfold(from, |(state, ctx, filter, after)| async move {
        let Some((products, names)) = next(&state, &ctx, &filter, after).await? else {
            return Ok(None);
        };
        let mut rows = String::new();
        for product in &products {
            model::push_csv(&mut rows, product, &names);
        }
        let last = products.last().map(|product| product.id);
        Ok(Some((Bytes::from(rows), (state, ctx, filter, last))))
    })
}

/// A workbook in a file without a name, which is gone when it is closed.
pub async fn xlsx(state: &State, ctx: &Ctx, filter: Filter) -> Result<File, Error> {
    let _turn = state.exports.try_acquire().map_err(|_| Error::Crowded)?;
    let count = async |tx: &mut Tx| product::store::count(tx, &filter).await;
    let count = state.db.read(ctx, count).await?;
    if count > LONGEST {
        return Err(Error::SheetTooLong(count));
    }
    let (send, receive) = mpsc::channel::<Chunk>(2);
    let writing = tokio::task::spawn_blocking(move || write(receive));
    let mut after = None;
    while let Some(chunk) = next(state, ctx, &filter, after).await? {
        after = chunk.0.last().map(|product| product.id);
        // A writer that has given up says why below.
        if send.send(chunk).await.is_err() {
            break;
        }
    }
    drop(send);
    let file = writing
        .await
        .map_err(|error| Error::Disk(error.to_string()))?
        .map_err(|error| Error::Disk(error.to_string()))?;
    Ok(File::from_std(file))
}

/// Writes rows as they come; each leaves the memory when the next begins.
fn write(mut chunks: mpsc::Receiver<Chunk>) -> Result<std::fs::File, XlsxError> {
    let mut workbook = Workbook::new();
    let (bold, text) = (Format::new().set_bold(), Format::new().set_num_format("@"));
    let sheet = workbook.add_worksheet_with_constant_memory()?;
    sheet.set_name("Products")?.set_freeze_panes(1, 0)?;
    for (column, at) in Column::ALL.iter().zip(0..) {
        sheet.write_string_with_format(0, at, column.word(), &bold)?;
    }
    let mut line = 0;
    while let Some((products, names)) = chunks.blocking_recv() {
        for product in &products {
            line += 1;
            // Products that are added while the file is written may be more than it holds.
            if i64::from(line) > LONGEST {
                break;
            }
            for (column, at) in Column::ALL.iter().zip(0..) {
                match model::cell(product, &names, *column) {
                    Cell::Empty => {}
                    Cell::Text(cell) => {
                        sheet.write_string_with_format(line, at, cell, &text)?;
                    }
                    Cell::Number(cell) => match model::number(&cell) {
                        Some(number) => sheet.write_number(line, at, number).map(|_| ())?,
                        None => sheet
                            .write_string_with_format(line, at, cell, &text)
                            .map(|_| ())?,
                    },
                }
            }
        }
    }
    let mut file = tempfile::tempfile()?;
    workbook.save_to_writer(&mut file)?;
    std::io::Seek::rewind(&mut file)?;
    Ok(file)
}
