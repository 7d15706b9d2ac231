//! What can go wrong with a database, in classes that a caller can act on.

use diesel::result::{DatabaseErrorKind as Kind, Error as Diesel};

/// The result of a statement.
pub type Result<T> = std::result::Result<T, Error>;

/// A database error by class. The text of PostgreSQL stays inside (`Debug`), never in `Display`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such row, or it is another tenant's.
    #[error("not found")]
    NotFound,
    /// The row has another version than the caller saw.
    #[error("changed meanwhile; the current version is {current}")]
    Stale {
        /// Its version now.
        current: i64,
    },
    /// A unique or exclusion constraint, by name.
    #[error("a value that must be unique is taken already ({0})")]
    Unique(String),
    /// A foreign key, by name.
    #[error("refers to something that is not there, or is still referred to ({0})")]
    ForeignKey(String),
    /// A check constraint, by name.
    #[error("a rule of the data is broken ({0})")]
    Check(String),
    /// An event that Kafka would not take: the whole transaction is refused with it.
    #[error(
        "the event {event_type} has a payload of {bytes} bytes; {} are the most",
        crate::outbox::MOST
    )]
    EventTooLarge {
        /// What it says.
        event_type: &'static str,
        /// Size of its payload.
        bytes: usize,
    },
    /// A document of a branch that the caller does not work for.
    #[error("belongs to another branch")]
    OtherBranch,
    /// A value PostgreSQL cannot take (class 22: NUL in a text, number or date out of range).
    #[error("a value cannot be stored")]
    Malformed,
    /// Serialization failure or deadlock: run again.
    #[error("lost a race with another transaction")]
    Contention,
    /// A lock was not to be had in time.
    #[error("another transaction holds what this one needs")]
    Locked,
    /// A statement ran into its time limit.
    #[error("the database took too long")]
    Timeout,
    /// No connection.
    #[error("the database cannot be reached")]
    Unavailable,
    /// The connection broke during COMMIT: it may or may not have happened.
    #[error("the outcome of the commit is unknown")]
    CommitUnknown,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The first request with this idempotency key is still running.
    #[error("the first request with this idempotency key is still running")]
    KeyBusy,
    /// Something stored cannot be read, or something to be stored cannot be written, as JSON.
    #[error("a document cannot be read or written")]
    Document(#[from] serde_json::Error),
    /// Anything else: a defect.
    #[error("an unexpected database error")]
    Other(#[source] Diesel),
}

impl Error {
    /// The constraint that was violated.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Unique(name) | Self::ForeignKey(name) | Self::Check(name) => Some(name),
            _ => None,
        }
    }

    /// Running the whole transaction again may help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Contention)
    }
}

impl From<Diesel> for Error {
    fn from(error: Diesel) -> Self {
        let Diesel::DatabaseError(kind, info) = &error else {
            return match error {
                Diesel::NotFound => Self::NotFound,
                Diesel::BrokenTransactionManager => Self::Unavailable,
                other => Self::Other(other),
            };
        };
        let name = || info.constraint_name().unwrap_or_default().to_owned();
        match kind {
            Kind::UniqueViolation | Kind::ExclusionViolation => Self::Unique(name()),
            Kind::ForeignKeyViolation | Kind::RestrictViolation => Self::ForeignKey(name()),
            Kind::CheckViolation | Kind::NotNullViolation => Self::Check(name()),
            Kind::SerializationFailure => Self::Contention,
            Kind::UnableToSendCommand | Kind::ClosedConnection => Self::Unavailable,
            _ => Self::by_message(info.message()).unwrap_or(Self::Other(error)),
        }
    }
}

impl Error {
    /// Diesel keeps no SQLSTATE. The cluster speaks English (`lc_messages = C`), and these texts are
    /// PostgreSQL's own, unchanged since 9.3.
    fn by_message(message: &str) -> Option<Self> {
        type Make = fn() -> Error;
        const BY_START: [(&str, Make); 16] = [
            ("deadlock detected", || Error::Contention),
            (
                "new row violates row-level security policy \"branch\"",
                || Error::OtherBranch,
            ),
            ("canceling statement due to lock timeout", || Error::Locked),
            ("canceling statement due to statement timeout", || {
                Error::Timeout
            }),
            ("canceling statement due to user request", || Error::Timeout),
            ("terminating connection", || Error::Unavailable),
            ("the database system is", || Error::Unavailable),
            ("sorry, too many clients", || Error::Unavailable),
            ("remaining connection slots", || Error::Unavailable),
            ("invalid byte sequence", || Error::Malformed),
            ("numeric field overflow", || Error::Malformed),
            ("value too long", || Error::Malformed),
            ("date/time field value out of range", || Error::Malformed),
            // What a bound value says, where a text says the line before.
            ("timestamp out of range", || Error::Malformed),
            ("date out of range", || Error::Malformed),
            ("unsupported Unicode escape sequence", || Error::Malformed),
        ];
        BY_START
            .iter()
            .find(|(start, _)| message.starts_with(start))
            .map(|(_, make)| make())
    }
}

/// An error of a service that may stem from the database.
pub trait Failure: From<Error> + Send + 'static {
    /// The database error inside, where it is one.
    fn database(&self) -> Option<&Error>;
}

impl Failure for Error {
    fn database(&self) -> Option<&Error> {
        Some(self)
    }
}
