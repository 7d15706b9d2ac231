//! Printing, and storing what is printed.

use std::time::Duration;

use bahi_db::{Ctx, Error as DbError, Tx};
use bahi_http::{Caller, Fault};
use bahi_objects::{Found, Objects};
use bahi_prints::{Copy, Document, Mark, invoice as a4, receipt};
use bahi_service::Failures;
use bahi_types::{BranchId, RegistrationId, TenantId, TillId};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    model::{Form, Format, Logged, Printer, Subject, copy_name, of_invoice, of_note},
    store::{self, File},
};
use crate::{
    State,
    error::{Error, Result},
    invoice,
    organisation::{self, Letterhead},
    returns,
};

/// How long a print may wait for its turn.
const TURN: Duration = Duration::from_secs(10);
/// A stored A4 is not longer; 500 lines make some hundred kilobytes.
const LONGEST: usize = 16 << 20;
/// How often it may happen that somebody else prints the same in this moment.
const RACES: u32 = 5;
/// Documents that the job takes at a time.
const TASKS: i32 = 20;

/// What was printed.
pub(super) struct Printed {
    pub bytes: Vec<u8>,
    /// The document's number.
    pub number: String,
}

/// What is read before it is drawn.
struct Known {
    document: Document,
    mark: Mark,
    file: Option<File>,
}

/// Prints a form of a document and logs it.
pub(super) async fn print(
    state: &State,
    caller: &Caller,
    subject: Subject,
    form: Form,
) -> Result<Printed> {
    let mut ctx = caller.ctx.clone();
    // Each request is a print of its own.
    ctx.idempotency = None;
    let by = caller.user().ok();
    for _ in 0..RACES {
        let known = look(state, &ctx, subject, form).await?;
        let (before, number) = (known.mark.before, known.document.number.clone());
        let bytes = made(&state.printer, &ctx, state, subject, form, known).await?;
        let logged = state.db.write(&ctx, async move |tx: &mut Tx| {
            let print = Logged {
                print_id: Uuid::now_v7(),
                form: form.name().to_owned(),
                copy: form.copy().to_owned(),
                print_no: i32::try_from(before + 1).unwrap_or(i32::MAX),
                format: form.format().to_owned(),
                width: form.width(),
                printed_by: by,
                printed_at: tx.now(),
            };
            store::log(tx, subject, form, &print).await?;
            if before > 0 {
                let details = json!({
                    "form": print.form, "copy": print.copy, "format": print.format, "print_no": print.print_no,
                });
                let object = (subject.name(), subject.id().uuid());
                tx.audit("sales.document.reprinted", object, None, details);
            }
            Ok::<_, Error>(())
        });
        match logged.await {
            Ok(_) => return Ok(Printed { bytes, number }),
            // Somebody else has printed it meanwhile: then this is a reprint, and must say so.
            Err(Error::Db(error)) if error.constraint() == Some("print_log_pkey") => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::PrintBusy)
}

async fn look(state: &State, ctx: &Ctx, subject: Subject, form: Form) -> Result<Known> {
    state
        .db
        .read(ctx, async |tx| {
            let tx: &Tx = tx;
            let (document, cancelled) = document(tx, subject).await?;
            let before = store::printed(tx, subject, form).await?;
            let file = match form {
                Form::A4(copy) => store::file(tx, subject, copy_name(copy)).await?,
                Form::Receipt(..) => None,
            };
            Ok(Known {
                document,
                mark: Mark { before, cancelled },
                file,
            })
        })
        .await
}

/// What stands on a document, and whether it is cancelled.
async fn document(tx: &Tx, subject: Subject) -> Result<(Document, bool)> {
    match subject {
        Subject::Invoice(id) => {
            let invoice = invoice::get(tx, id).await?.ok_or(Fault::NotFound)?;
            let h = &invoice.header;
            let letterhead = letterhead(tx, h.registration_id, h.branch_id, h.till_id).await?;
            Ok((of_invoice(&invoice, &letterhead)?, h.status == "cancelled"))
        }
        Subject::CreditNote(id) => {
            let note = returns::get(tx, id).await?.ok_or(Fault::NotFound)?;
            let h = &note.header;
            let letterhead = letterhead(tx, h.registration_id, h.branch_id, h.till_id).await?;
            let original = match h.original_invoice_id {
                Some(original) => invoice::get(tx, original).await?,
                None => None,
            };
            let original = original.as_ref().map(|o| &o.header);
            Ok((of_note(&note, original, &letterhead)?, false))
        }
    }
}

/// Refuses a document that is not there.
pub(super) async fn exists(tx: &Tx, subject: Subject) -> Result<()> {
    let there = match subject {
        Subject::Invoice(id) => invoice::get(tx, id).await?.is_some(),
        Subject::CreditNote(id) => returns::get(tx, id).await?.is_some(),
    };
    if there {
        Ok(())
    } else {
        Err(Fault::NotFound.into())
    }
}

async fn letterhead(
    tx: &Tx,
    registration: RegistrationId,
    branch: BranchId,
    till: Option<TillId>,
) -> Result<Letterhead> {
    organisation::letterhead(tx, registration, branch, till)
        .await?
        .ok_or_else(|| Fault::NotYetKnown("The registration".into()).into())
}

/// The bytes of a print: of a first A4 those that are stored, or that are stored now.
async fn made(
    printer: &Printer,
    ctx: &Ctx,
    state: &State,
    subject: Subject,
    form: Form,
    known: Known,
) -> Result<Vec<u8>> {
    let mark = known.mark;
    let Some((objects, copy)) = kept(printer, form, mark) else {
        return drawn(printer, known.document, form, mark).await;
    };
    if let Some(file) = &known.file {
        match fetched(objects, ctx.tenant, file).await {
            Some(bytes) => return Ok(bytes),
            None => {
                tracing::warn!(document = %subject.id(), "a stored print is not there; it is drawn again")
            }
        }
    }
    let bytes = drawn(printer, known.document, form, mark).await?;
    // A store that is away holds up no print.
    if let Err(error) = keep(state, ctx, subject, copy, objects, &bytes).await {
        tracing::warn!(?error, document = %subject.id(), "a print could not be stored");
    }
    Ok(bytes)
}

/// Where an unmarked A4 is kept, where there is a store.
fn kept(printer: &Printer, form: Form, mark: Mark) -> Option<(&Objects, Copy)> {
    match (form, &printer.store) {
        (Form::A4(copy), Some(objects)) if mark == Mark::default() => Some((objects, copy)),
        _ => None,
    }
}

fn key(tenant: TenantId, sha256: &str) -> String {
    format!("{tenant}/{sha256}.pdf")
}

fn hash(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A stored A4, if it is there and is what it was.
async fn fetched(objects: &Objects, tenant: TenantId, file: &File) -> Option<Vec<u8>> {
    match objects.get(&key(tenant, &file.sha256), LONGEST).await {
        Ok(Found::Object(bytes)) if hash(&bytes) == file.sha256 => Some(bytes.to_vec()),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(%error, "a stored print cannot be fetched");
            None
        }
    }
}

/// Stores an unmarked A4 and notes where.
async fn keep(
    state: &State,
    ctx: &Ctx,
    subject: Subject,
    copy: Copy,
    objects: &Objects,
    bytes: &[u8],
) -> Result<()> {
    let file = File {
        sha256: hash(bytes),
        bytes: i32::try_from(bytes.len()).unwrap_or(i32::MAX),
    };
    let place = key(ctx.tenant, &file.sha256);
    objects
        .put(&place, bytes.to_vec().into(), "application/pdf")
        .await?;
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            store::keep(tx, subject, copy_name(copy), &file).await?;
            Ok::<_, Error>(())
        })
        .await?;
    Ok(())
}

/// Draws a document, when it is its turn.
async fn drawn(printer: &Printer, document: Document, form: Form, mark: Mark) -> Result<Vec<u8>> {
    let turn = tokio::time::timeout(TURN, printer.turns.clone().acquire_owned()).await;
    let Ok(Ok(turn)) = turn else {
        return Err(Error::PrintBusy);
    };
    let fonts = printer.fonts.clone();
    let work = tokio::task::spawn_blocking(move || {
        // Also when nobody waits any more: threads are what there is little of.
        let _turn = turn;
        let need = || {
            let missing = receipt::FontsMissing {
                text: document.number.clone(),
            };
            fonts.as_deref().ok_or(missing)
        };
        Ok::<_, receipt::FontsMissing>(match form {
            Form::Receipt(Format::Escpos, width, options) => {
                receipt::escpos(&document, mark, width, options, fonts.as_deref())?
            }
            Form::Receipt(Format::Html, width, _) => {
                receipt::html(&document, mark, width).into_bytes()
            }
            Form::Receipt(Format::Pdf, width, _) => receipt::pdf(&document, mark, width, need()?),
            Form::A4(copy) => a4::pdf(&document, copy, mark, need()?),
        })
    });
    match work.await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(missing)) => Err(Error::FontsMissing(missing)),
        Err(panic) => {
            tracing::error!(%panic, "a print panicked");
            Err(Error::Db(DbError::Other(
                diesel::result::Error::RollbackTransaction,
            )))
        }
    }
}

/// Makes the originals that are due. What fails is tried again, later and later.
pub(crate) async fn render_due(state: &State) -> Result<()> {
    let mut failures = Failures::none();
    loop {
        let tasks = store::claim(&state.db, TASKS).await?;
        if tasks.is_empty() {
            return failures.end();
        }
        for task in tasks {
            let ctx = Ctx::service(state.db.service(), task.tenant_id);
            let subject = Subject::of(&task.document_type, task.document_id);
            failures.pass(render(state, &ctx, subject).await);
        }
    }
}

async fn render(state: &State, ctx: &Ctx, subject: Subject) -> Result<()> {
    let printer: &Printer = &state.printer;
    let (Some(objects), true) = (&printer.store, printer.fonts.is_some()) else {
        // Without a store or fonts nothing is made ahead.
        let done = async move |tx: &mut Tx| Ok::<_, Error>(store::done(tx, subject).await?);
        state.db.write(ctx, done).await?;
        return Ok(());
    };
    let form = Form::A4(Copy::Original);
    let known = look(state, ctx, subject, form).await?;
    if known.file.is_some() {
        let done = async move |tx: &mut Tx| Ok::<_, Error>(store::done(tx, subject).await?);
        state.db.write(ctx, done).await?;
        return Ok(());
    }
    let bytes = drawn(printer, known.document, form, Mark::default()).await?;
    keep(state, ctx, subject, Copy::Original, objects, &bytes).await
}
