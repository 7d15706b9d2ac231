//! How a handler fails: three classes, each with its own consequence.

use bahi_db::Error;

/// Why a slice of events was not handled, and what is to be done about it.
#[derive(Debug)]
pub enum Failed {
    /// It may work later: roll back, pause the partition, try the same events again. Order is kept.
    Retry(anyhow::Error),
    /// It can never work: the event goes to quarantine and to the dead-letter topic, and the later events
    /// of its key wait behind it.
    Reject {
        /// A stable code, for the quarantine row and the header `dlq-reason`.
        reason: &'static str,
        /// The cause.
        error: anyhow::Error,
    },
    /// Nothing more may be handled: the consumer ends with this error, and with it the process.
    Halt(anyhow::Error),
}

impl Failed {
    /// It may work later.
    pub fn retry(error: impl Into<anyhow::Error>) -> Self {
        Self::Retry(error.into())
    }

    /// It can never work, for `reason`.
    pub fn reject(reason: &'static str, error: impl Into<anyhow::Error>) -> Self {
        Self::Reject {
            reason,
            error: error.into(),
        }
    }

    /// Nothing more may be handled.
    pub fn halt(error: impl Into<anyhow::Error>) -> Self {
        Self::Halt(error.into())
    }
}

/// The state of the database is a reason to retry, a value it refuses a reason to reject.
impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        let reason = match &error {
            Error::Contention
            | Error::Locked
            | Error::Timeout
            | Error::Unavailable
            | Error::CommitUnknown
            | Error::KeyBusy => return Self::retry(error),
            Error::Other(cause) if is_condition(&cause.to_string()) => return Self::retry(error),
            Error::NotFound => "not_found",
            Error::Stale { .. } => "stale",
            Error::Unique(_) => "unique",
            Error::ForeignKey(_) => "foreign_key",
            Error::Check(_) => "check",
            Error::EventTooLarge { .. } => "event_too_large",
            Error::OtherBranch => "other_branch",
            Error::Malformed => "malformed",
            Error::KeyReused => "key_reused",
            Error::Document(_) => "document",
            Error::Other(_) => "database",
        };
        let error = anyhow::Error::new(error);
        Self::Reject { reason, error }
    }
}

/// Conditions of the server or of a deployment, which no event is to blame for. PostgreSQL's own texts.
fn is_condition(message: &str) -> bool {
    const STARTS: [&str; 9] = [
        "could not extend file",
        "could not write",
        "could not open file",
        "out of memory",
        "out of shared memory",
        "could not resize shared memory",
        "cannot execute", // .. in a read-only transaction: a standby
        "permission denied",
        "current transaction is aborted",
    ];
    const ENDS: [&str; 1] = ["does not exist"]; // a relation or column: this binary came before its migration
    STARTS.iter().any(|start| message.starts_with(start))
        || ENDS.iter().any(|end| message.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_retried_and_what_is_wrong_with_the_event_is_rejected() {
        for error in [
            Error::Contention,
            Error::Locked,
            Error::Timeout,
            Error::Unavailable,
            Error::CommitUnknown,
        ] {
            assert!(matches!(Failed::from(error), Failed::Retry(_)));
        }
        for (error, code) in [
            (Error::Unique("u".into()), "unique"),
            (Error::Check("c".into()), "check"),
            (Error::Malformed, "malformed"),
            (Error::NotFound, "not_found"),
        ] {
            assert!(matches!(Failed::from(error), Failed::Reject { reason, .. } if reason == code));
        }
    }

    #[test]
    fn a_full_disk_or_a_missing_column_is_no_fault_of_the_event() {
        assert!(is_condition(
            "could not extend file \"base/5/16397\": No space left on device"
        ));
        assert!(is_condition("column \"colour\" does not exist"));
        assert!(!is_condition("division by zero"));
    }
}
