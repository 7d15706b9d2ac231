//! A file on its way in: parsed as it arrives where it is CSV, spooled to a file without a name where it is a workbook;
//! staged in chunks either way.

use std::sync::Arc;

use bahi_db::{Ctx, Done, Idempotency, Tx};
use bahi_http::Fault;
use chrono::TimeDelta;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::{
    fs::File,
    io::AsyncWriteExt,
    sync::{Semaphore, mpsc},
};

use crate::{
    Error, State,
    import_job::{
        commands::{LEASE, start},
        model::{Format, ImportJob, Status},
        store::{self, StagedRow},
    },
    import_row::{
        sheet::{Line, Sheet},
        workbook::{self, Directory, Unreadable},
    },
};

/// Longest file in bytes.
pub const LONGEST: i64 = 50 * 1024 * 1024;
/// Rows staged in one transaction, unless there are enough bytes before.
const STAGED: usize = 1000;
/// Bytes of the file held before they are staged.
const HELD: usize = 1024 * 1024;
/// How long an upload may take.
const UPLOAD: TimeDelta = TimeDelta::hours(1);

/// What is done with the bytes.
enum Intake {
    Csv {
        sheet: Box<Sheet>,
        lines: Vec<Line>,
        held: usize,
    },
    Xlsx {
        file: File,
        directory: Directory,
    },
}

/// A file on its way in.
pub struct Upload {
    state: State,
    ctx: Ctx,
    key: Option<Idempotency>,
    job: ImportJob,
    /// The job is in the database; nobody sees it before its file is whole.
    begun: bool,
    hash: Sha256,
    intake: Intake,
}

impl From<Unreadable> for Error {
    fn from(unreadable: Unreadable) -> Self {
        Self::Unreadable {
            field: unreadable.field,
            rule: unreadable.rule,
        }
    }
}

fn disk(error: impl std::fmt::Display) -> Error {
    Error::Disk(error.to_string())
}

impl Upload {
    /// Nothing is written before there is a row that can be read.
    pub fn begin(state: &State, ctx: &Ctx, format: Format, dry_run: bool) -> Result<Self, Error> {
        // The key is claimed at the end, when the hash of the body is known.
        let mut ctx = ctx.clone();
        let key = ctx.idempotency.take();
        let now = state.db.clock().now();
        let job = ImportJob::new(&ctx, format, dry_run, now + UPLOAD, now)?;
        let intake = match format {
            Format::Csv => Intake::Csv {
                sheet: Box::default(),
                lines: Vec::new(),
                held: 0,
            },
            Format::Xlsx => Intake::Xlsx {
                file: File::from_std(tempfile::tempfile().map_err(disk)?),
                directory: Directory::default(),
            },
        };
        Ok(Self {
            state: state.clone(),
            ctx,
            key,
            job,
            begun: false,
            hash: Sha256::new_with_prefix([u8::from(dry_run)]),
            intake,
        })
    }

    /// Takes the next bytes of the file.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.job.bytes += i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        if self.job.bytes > LONGEST {
            return Err(Fault::TooLarge(usize::try_from(LONGEST).unwrap_or(usize::MAX)).into());
        }
        self.hash.update(bytes);
        match &mut self.intake {
            Intake::Csv { sheet, lines, held } => {
                sheet.feed(bytes, lines);
                readable(sheet)?;
                *held += bytes.len();
                if lines.len() >= STAGED || *held >= HELD {
                    *held = 0;
                    let lines = std::mem::take(lines);
                    self.stage(lines).await?;
                }
            }
            Intake::Xlsx { file, directory } => {
                directory.feed(bytes)?;
                file.write_all(bytes).await.map_err(disk)?;
            }
        }
        Ok(())
    }

    /// Ends the file: the job can be seen and worked on. Under an idempotency key that was used for the same file
    /// before, the answer is the first job, and this one comes to nothing.
    pub async fn finish(&mut self) -> Result<Done<ImportJob>, Error> {
        if self.job.bytes == 0 {
            return Err(Fault::Malformed("the body is empty".into()).into());
        }
        let spare = Intake::Csv {
            sheet: Box::default(),
            lines: Vec::new(),
            held: 0,
        };
        let ignored = match std::mem::replace(&mut self.intake, spare) {
            Intake::Csv {
                mut sheet,
                mut lines,
                ..
            } => {
                sheet.finish(&mut lines);
                readable(&sheet)?;
                self.stage(lines).await?;
                sheet.ignored().to_vec()
            }
            Intake::Xlsx { file, .. } => self.read_workbook(file).await?,
        };
        self.begin_job().await?;
        let now = self.state.db.clock().now();
        let mut job = self.job.clone();
        job.step(Status::Uploaded, now)?;
        job.ignored_columns = json!(ignored);
        job.lease_until = now + LEASE;
        let mut ctx = self.ctx.clone();
        let hash = self.hash.clone().finalize().to_vec();
        ctx.idempotency = self.key.clone().map(|key| Idempotency { hash, ..key });
        let finish = async move |tx: &mut Tx| -> Result<ImportJob, Error> {
            store::save(tx, &job).await?;
            Ok(job)
        };
        let done = self.state.db.write(&ctx, finish).await?;
        if done.replayed {
            self.abandon().await;
        } else {
            start(&self.state, ctx.tenant, done.value.id);
        }
        Ok(done)
    }

    /// Gives up what was staged; it is cleared away soon.
    pub async fn abandon(&mut self) {
        if !std::mem::take(&mut self.begun) {
            return;
        }
        self.job.lease_until = self.state.db.clock().now();
        let job = self.job.clone();
        let abandon = async move |tx: &mut Tx| store::save(tx, &job).await;
        if let Err(error) = self.state.db.write(&self.ctx, abandon).await {
            // Its lease runs out.
            tracing::debug!(?error, "an upload that came to nothing stays for now");
        }
    }

    /// Reads a workbook that is here, and stages its rows as they come.
    async fn read_workbook(&mut self, mut file: File) -> Result<Vec<String>, Error> {
        file.flush().await.map_err(disk)?;
        let file = file.into_std().await;
        // The texts of a workbook are held in memory while it is read: one at a time.
        let turn = Arc::clone(&self.state.workbooks);
        let _turn = patient(turn).await?;
        let (send, mut receive) = mpsc::channel(2);
        let reading = tokio::task::spawn_blocking(move || {
            workbook::read(file, |lines| send.blocking_send(lines).is_ok())
        });
        let mut staged = Ok(());
        while let Some(lines) = receive.recv().await {
            staged = self.stage(lines).await;
            if staged.is_err() {
                receive.close();
                break;
            }
        }
        drop(receive);
        // A reader that panics has met a workbook that is broken in a new way.
        let read = reading
            .await
            .unwrap_or_else(|_| Err(Unreadable::file("is not an XLSX workbook")));
        staged?;
        Ok(read?)
    }

    async fn begin_job(&mut self) -> Result<(), Error> {
        if self.begun {
            return Ok(());
        }
        let job = self.job.clone();
        let insert = async move |tx: &mut Tx| store::insert(tx, &job).await;
        self.state.db.write(&self.ctx, insert).await?;
        self.begun = true;
        Ok(())
    }

    async fn stage(&mut self, lines: Vec<Line>) -> Result<(), Error> {
        let mut lines = lines.into_iter().peekable();
        while lines.peek().is_some() {
            let chunk = lines.by_ref().take(STAGED).collect();
            self.stage_some(chunk).await?;
        }
        Ok(())
    }

    async fn stage_some(&mut self, lines: Vec<Line>) -> Result<(), Error> {
        self.begin_job().await?;
        let (mut rows, mut flaws) = (Vec::new(), Vec::new());
        for line in lines {
            match line {
                Line::Row { line, cells } => rows.push((line, cells)),
                Line::Flawed(flaw) => flaws.push(flaw),
            }
        }
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.job.rows += count(rows.len() + flaws.len());
        self.job.refused += count(flaws.len());
        let id = self.job.id;
        let stage = async move |tx: &mut Tx| -> Result<(), Error> {
            let rows = rows
                .into_iter()
                .map(|(line, cells)| StagedRow { line, cells });
            store::stage(tx, id, &rows.collect::<Vec<_>>()).await?;
            store::refuse(tx, id, &flaws).await
        };
        self.state.db.write(&self.ctx, stage).await?;
        Ok(())
    }
}

/// Waits for a turn, but not for ever.
async fn patient(turns: Arc<Semaphore>) -> Result<tokio::sync::OwnedSemaphorePermit, Error> {
    let patience = std::time::Duration::from_secs(60);
    match tokio::time::timeout(patience, turns.acquire_owned()).await {
        Ok(Ok(turn)) => Ok(turn),
        _ => Err(Error::Crowded),
    }
}

fn readable(sheet: &Sheet) -> Result<(), Error> {
    match sheet.problem() {
        None => Ok(()),
        Some(rule) => Err(Error::Unreadable {
            field: "header".into(),
            rule: rule.to_owned(),
        }),
    }
}
