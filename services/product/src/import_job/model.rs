//! An import job and its state machine.

use bahi_db::Ctx;
use bahi_types::TenantId;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, import_row::model::Outcome, schema::import_job, text::words};

words! {
    /// Where a job stands.
    #[schema(as = ImportStatus)]
    pub enum Status {
        /// Its file is on the way; nobody sees it yet.
        Uploading = "uploading",
        /// Its file is here.
        Uploaded = "uploaded",
        /// Its rows are being checked.
        Validating = "validating",
        /// Nothing in the file can be applied.
        Invalid = "invalid",
        /// Checked; a dry run rests here.
        Ready = "ready",
        /// Its rows are going in.
        Applying = "applying",
        /// Every row went in.
        Completed = "completed",
        /// Rows were refused; all others went in.
        CompletedWithErrors = "completed_with_errors",
        /// Given up because of a defect; what went in stays in.
        Failed = "failed",
        /// Stopped by a person; what went in stays in.
        Cancelled = "cancelled",
    }
}

words! {
    /// What kind of file.
    #[schema(as = ImportFormat)]
    pub enum Format {
        /// Comma, semicolon or tab separated text.
        Csv = "csv",
        /// Office Open XML workbook.
        Xlsx = "xlsx",
    }
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = ImportProgress)]
pub struct Progress {
    /// Hundredths of the work that are done, all phases together.
    pub percent: i64,
    /// Rows a second of the running phase; absent when none runs, or before the first rows are done.
    pub rows_per_second: Option<i64>,
    /// Seconds until the end at this speed.
    pub seconds_left: Option<i64>,
}

/// What applying a row costs, if checking it costs one, as measured: the locks, the writes and the events.
const APPLYING: i64 = 2;

impl Status {
    /// Nothing more happens.
    pub fn is_final(self) -> bool {
        use Status::{Cancelled, Completed, CompletedWithErrors, Failed, Invalid};
        matches!(
            self,
            Invalid | Completed | CompletedWithErrors | Failed | Cancelled
        )
    }

    fn may_become(self, to: Self) -> bool {
        use Status::{
            Applying, Cancelled, Completed, CompletedWithErrors, Failed, Invalid, Ready, Uploaded,
            Uploading, Validating,
        };
        match self {
            Uploading => to == Uploaded,
            Uploaded => matches!(to, Validating | Failed),
            Validating => matches!(to, Invalid | Ready | Failed),
            Ready => matches!(to, Applying | Cancelled | Failed),
            Applying => matches!(to, Completed | CompletedWithErrors | Failed | Cancelled),
            Invalid | Completed | CompletedWithErrors | Failed | Cancelled => false,
        }
    }
}

/// A job.
#[derive(
    Clone, Debug, PartialEq, Serialize, Deserialize, Queryable, Selectable, Insertable, AsChangeset,
)]
#[diesel(table_name = import_job, treat_none_as_null = true)]
pub struct ImportJob {
    /// Id.
    pub id: Uuid,
    /// Grows with each change of the status.
    pub version: i64,
    /// Where it stands.
    pub status: Status,
    /// Rests when it is ready.
    pub dry_run: bool,
    /// Length of the file.
    pub bytes: i64,
    /// Rows of the file.
    pub rows: i64,
    /// Rows checked, of which some were refused.
    pub checked: i64,
    /// Rows applied, or refused.
    pub applied: i64,
    /// Products made, or that would be.
    pub created: i64,
    /// Products changed, or that would be.
    pub updated: i64,
    /// Products that are as their row says.
    pub unchanged: i64,
    /// Rows refused.
    pub refused: i64,
    /// The last line that the running phase has dealt with.
    pub cursor: i64,
    /// Headers that mean nothing here.
    pub ignored_columns: serde_json::Value,
    /// Why it is invalid or has failed.
    pub reason: Option<String>,
    /// Who uploaded it.
    pub actor: serde_json::Value,
    /// The flow it belongs to.
    pub correlation_id: Uuid,
    /// Until then some process works on it.
    pub lease_until: DateTime<Utc>,
    /// Its rows are still there.
    pub staged: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its status last changed.
    pub updated_at: DateTime<Utc>,
    /// When it came to its end.
    pub finished_at: Option<DateTime<Utc>>,
    /// What kind of file it was.
    pub format: Format,
    /// Rows that were dealt with before the running phase began.
    pub phase_base: i64,
}

impl ImportJob {
    /// A job whose file is on the way.
    ///
    /// # Errors
    /// When the actor cannot be written.
    pub fn new(
        ctx: &Ctx,
        format: Format,
        dry_run: bool,
        lease_until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        Ok(Self {
            id: Uuid::now_v7(),
            version: 1,
            status: Status::Uploading,
            dry_run,
            bytes: 0,
            rows: 0,
            checked: 0,
            applied: 0,
            created: 0,
            updated: 0,
            unchanged: 0,
            refused: 0,
            cursor: 0,
            ignored_columns: serde_json::json!([]),
            reason: None,
            actor: serde_json::to_value(&ctx.actor).map_err(bahi_db::Error::from)?,
            correlation_id: ctx.correlation_id,
            lease_until,
            staged: true,
            created_at: now,
            updated_at: now,
            finished_at: None,
            format,
            phase_base: 0,
        })
    }

    /// The circumstances of its uploader: what it does is his doing.
    ///
    /// # Errors
    /// When the actor cannot be read.
    pub fn ctx(&self, service: &str, tenant: TenantId) -> Result<Ctx, Error> {
        let actor = serde_json::from_value(self.actor.clone()).map_err(bahi_db::Error::from)?;
        Ok(Ctx {
            actor,
            correlation_id: self.correlation_id,
            ..Ctx::service(service, tenant)
        })
    }

    /// Takes a step of the state machine. A new phase begins at the first row.
    ///
    /// # Errors
    /// [`Error::Transition`].
    pub fn step(&mut self, to: Status, now: DateTime<Utc>) -> Result<(), Error> {
        if !self.status.may_become(to) {
            return Err(Error::Transition {
                from: self.status.word(),
                to: to.word(),
            });
        }
        self.status = to;
        self.version += 1;
        self.updated_at = now;
        self.cursor = 0;
        match to {
            // Rows that are refused already are dealt with.
            Status::Validating => {
                self.checked = self.refused;
                self.phase_base = self.refused;
            }
            Status::Applying => {
                (self.created, self.updated, self.unchanged) = (0, 0, 0);
                self.applied = self.refused;
                self.phase_base = self.refused;
            }
            _ => {}
        }
        if to.is_final() {
            self.finished_at = Some(now);
        }
        Ok(())
    }

    /// Where checking has led, now that every row is checked.
    pub fn checked_out(&mut self) -> Status {
        if self.reason.is_none() {
            self.reason = match (self.rows, self.refused) {
                (0, _) => Some("The file has no rows.".into()),
                (rows, refused) if rows == refused => Some("Every row has an error.".into()),
                _ => None,
            };
        }
        if self.reason.is_some() {
            Status::Invalid
        } else {
            Status::Ready
        }
    }

    /// Where applying has led, now that every row is applied.
    pub fn applied_out(&self) -> Status {
        if self.refused > 0 {
            Status::CompletedWithErrors
        } else {
            Status::Completed
        }
    }

    /// Nothing moves until somebody asks for it.
    pub fn rests(&self) -> bool {
        self.status.is_final() || self.status == Status::Ready && self.dry_run
    }

    /// How far it is. A dry run is done when it is checked.
    pub fn progress(&self, now: DateTime<Utc>) -> Progress {
        let applies = !self.dry_run || self.status == Status::Applying || self.applied > 0;
        let cost = if applies { APPLYING } else { 0 };
        let all = self.rows * (1 + cost);
        let done = self.checked + self.applied * cost;
        let percent = match (self.rests(), all) {
            (true, _) => 100,
            (false, 0) => 0,
            (false, all) => (done * 100 / all).min(99),
        };
        let (phase, price) = match self.status {
            Status::Validating => (self.checked, 1),
            Status::Applying => (self.applied, cost),
            _ => (0, 0),
        };
        let rows = phase - self.phase_base;
        let elapsed = (now - self.updated_at).num_milliseconds().max(1);
        let running = price > 0 && rows > 0;
        Progress {
            percent,
            rows_per_second: running.then(|| rows * 1000 / elapsed),
            seconds_left: running.then(|| (all - done).max(0) * elapsed / (rows * price * 1000)),
        }
    }

    /// Counts what a row has come to.
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Unchanged => self.unchanged += 1,
            Outcome::Change(change) if change.before.is_none() => self.created += 1,
            Outcome::Change(_) => self.updated += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_goes_its_way_and_no_other() {
        let ctx = Ctx::service("product", TenantId::new());
        let now = Utc::now();
        let mut job = ImportJob::new(&ctx, Format::Csv, false, now, now).unwrap();
        assert!(job.step(Status::Applying, now).is_err());
        for to in [
            Status::Uploaded,
            Status::Validating,
            Status::Ready,
            Status::Applying,
            Status::Completed,
        ] {
            job.step(to, now).unwrap();
        }
        assert_eq!(job.version, 6);
        assert!(job.step(Status::Cancelled, now).is_err());
        assert_eq!(job.finished_at, Some(now));
    }

    #[test]
    fn progress_covers_checking_and_applying() {
        let ctx = Ctx::service("product", TenantId::new());
        let start = Utc::now();
        let after = |seconds| start + chrono::TimeDelta::seconds(seconds);
        let mut job = ImportJob::new(&ctx, Format::Csv, false, start, start).unwrap();
        job.rows = 1000;
        job.refused = 100;
        job.step(Status::Uploaded, start).unwrap();
        assert_eq!(
            (
                job.progress(start).percent,
                job.progress(start).seconds_left
            ),
            (0, None)
        );
        job.step(Status::Validating, start).unwrap();
        job.checked += 400;
        // 400 rows in four seconds; 500 are still to check, and 1,000 to apply, each at the price of two.
        let progress = job.progress(after(4));
        assert_eq!(
            (
                progress.percent,
                progress.rows_per_second,
                progress.seconds_left
            ),
            (16, Some(100), Some(25))
        );
        job.checked = 1000;
        job.step(Status::Ready, after(9)).unwrap();
        job.step(Status::Applying, after(9)).unwrap();
        job.applied += 450;
        let progress = job.progress(after(9 + 15));
        assert_eq!(
            (
                progress.percent,
                progress.rows_per_second,
                progress.seconds_left
            ),
            (70, Some(30), Some(15))
        );
        job.step(Status::Completed, after(40)).unwrap();
        assert_eq!(
            job.progress(after(50)),
            Progress {
                percent: 100,
                rows_per_second: None,
                seconds_left: None
            }
        );
        job.status = Status::Ready;
        job.dry_run = true;
        assert_eq!(job.progress(after(50)).percent, 100);
    }
}
