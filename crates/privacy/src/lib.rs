//! What every service answers alike when it is asked about somebody's data: an archive of all it holds of a tenant, and
//! the erasure of a person.
//!
//! Identity asks by an event. Each service notes the question in `privacy.task`, in the transaction that takes the event,
//! and works on it in a job: under a lease, so that a crash loses nothing, and answering once, by the transaction that ends
//! the task. What differs from one service to the next is data: [`Holdings`].

mod archive;
mod erase;
mod export;
mod pipe;
mod task;

use std::{sync::Arc, time::Duration};

use bahi_db::{Ctx, Db};
use bahi_events::{PERSON_ERASURE_REQUESTED, SubjectKind, TENANT_EXPORT_REQUESTED};
use bahi_kafka::Consumer;
use bahi_objects::{Away, Objects, S3};
use bahi_service::{Env, Job};
use bahi_types::TenantId;
use tokio::sync::Semaphore;
use uuid::Uuid;

pub use archive::left_out;
pub use erase::{erased, kept};

/// Archives that a process writes at the same time.
const ARCHIVES: usize = 1;

/// What a service holds, where that is not for the catalogue of its database to say.
#[derive(Clone, Copy, Debug)]
pub struct Holdings {
    /// Tables and columns with a tenant that are in no archive. Every other one is.
    pub left_out: &'static [LeftOut],
    /// How a person is erased, in this order.
    pub erases: &'static [Erase],
    /// What of a person stays.
    pub keeps: &'static [Keep],
}

/// Erases what one table holds of a person.
#[derive(Clone, Copy, Debug)]
pub struct Erase {
    /// Whom it is about.
    pub subject: SubjectKind,
    /// The table.
    pub table: &'static str,
    /// The statement: `$1` is the tenant, `$2` the person, `$3` the day. It touches only rows from which there is something
    /// to erase, because it is run again and again: what the law keeps today may go on another day.
    pub by: &'static str,
}

/// Counts what one table keeps of a person.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Whom it is about.
    pub subject: SubjectKind,
    /// The table.
    pub table: &'static str,
    /// A query for `rows`, a bigint, and `until`, the day on which the last of them may go, or null: `$1` is the tenant, `$2`
    /// the person, `$3` the day.
    pub count: &'static str,
    /// The law or the reason.
    pub why: &'static str,
}

/// Something that is in no archive.
#[derive(Clone, Copy, Debug)]
pub struct LeftOut {
    /// `<schema>.<table>`, `<schema>.<table>.<column>`, or `<schema>.*`.
    pub what: &'static str,
    /// Why.
    pub why: &'static str,
}

impl LeftOut {
    /// What is left out, and why.
    pub const fn new(what: &'static str, why: &'static str) -> Self {
        Self { what, why }
    }
}

/// Why a question cannot be answered now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Db(#[from] bahi_db::Error),
    /// The object store.
    #[error(transparent)]
    Away(#[from] Away),
    /// There is no object store.
    #[error("no object store is set")]
    NoStore,
    /// The archive cannot be written.
    #[error("the archive cannot be written: {0}")]
    Archive(String),
}

impl bahi_db::Failure for Error {
    fn database(&self) -> Option<&bahi_db::Error> {
        match self {
            Self::Db(error) => Some(error),
            _ => None,
        }
    }
}

/// A service's part in the privacy of those whose data it holds.
#[derive(Clone)]
pub struct Privacy {
    db: Db,
    exports: Option<Objects>,
    own: Option<Objects>,
    holdings: &'static Holdings,
    turns: Arc<Semaphore>,
}

impl Privacy {
    /// Of the service whose database this is. `own` is its bucket, where it has one: the tenant's objects in it lie under
    /// the tenant's id and go into the archive.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub fn new(
        db: Db,
        env: &Env,
        own: Option<Objects>,
        holdings: &'static Holdings,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            db,
            exports: S3::exports(env)?.as_ref().map(Objects::new),
            own,
            holdings,
            turns: Arc::new(Semaphore::new(ARCHIVES)),
        })
    }

    /// What hears the questions.
    pub fn consumer(&self) -> Consumer {
        Consumer::new(&format!("{}-privacy", self.db.service()))
            .on(TENANT_EXPORT_REQUESTED, export::asked)
            .on(PERSON_ERASURE_REQUESTED, erase::asked)
    }

    /// What answers them.
    pub fn jobs(&self) -> Vec<Job> {
        let (archives, erasing, again) = (self.clone(), self.clone(), self.clone());
        let (soon, daily) = (Duration::from_secs(2), Duration::from_secs(24 * 3600));
        vec![
            Job::every("write_tenant_exports", soon, move || {
                let privacy = archives.clone();
                async move { Ok(export::work(&privacy).await?) }
            }),
            Job::every("erase_people", soon, move || {
                let privacy = erasing.clone();
                async move { Ok(erase::work(&privacy).await?) }
            }),
            Job::every("erase_what_may_go", daily, move || {
                let privacy = again.clone();
                async move { Ok(erase::again(&privacy).await?) }
            }),
        ]
    }

    /// The bucket of exports, where there is a store.
    pub fn exports(&self) -> Option<&Objects> {
        self.exports.as_ref()
    }

    fn ctx(&self, tenant: TenantId) -> Ctx {
        Ctx::service(self.db.service(), tenant)
    }

    /// For what concerns every tenant; it sees no tenant's rows but through the functions made for it.
    fn nobody(&self) -> Ctx {
        self.ctx(TenantId::from_uuid(Uuid::nil()))
    }
}

/// Where the archives of an export lie, all below this.
pub fn folder(tenant: TenantId, export: Uuid) -> String {
    format!("{tenant}/{export}/")
}
