//! Why a request to the graph is not carried out, or a part of its answer is missing.

use graphql_tools::validation::utils::ValidationError;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A step on the way to a place in the answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Step {
    /// A member.
    Key(String),
    /// An item of a list.
    At(usize),
}

/// An error as a client sees it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Error {
    /// For a person.
    pub message: String,
    /// Where in the query.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<Value>,
    /// Where in the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Vec<Step>>,
    /// Code, status and whatever a problem document has.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extensions: Map<String, Value>,
}

impl Error {
    /// With a code and the status that REST would have.
    pub fn new(message: impl Into<String>, code: &str, status: u16) -> Self {
        let mut extensions = Map::new();
        extensions.insert("code".into(), code.into());
        extensions.insert("status".into(), status.into());
        extensions.insert("request_id".into(), bahi_http::request_id().into());
        Self {
            message: message.into(),
            extensions,
            ..Self::default()
        }
    }
}

/// Whether a client is told what a service says of an error of this status. A refusal is for it, and that there was no
/// time; whatever else went wrong is not.
pub fn is_told(status: u64) -> bool {
    status < 500 || matches!(status, 503 | 504)
}

/// Why nothing of a request is carried out.
#[derive(Clone, Debug)]
pub enum Refused {
    /// The text is no document.
    Syntax(String),
    /// The document does not fit the schema.
    Invalid(Vec<ValidationError>),
    /// The query is beyond a limit.
    Limit {
        /// What is limited.
        what: &'static str,
        /// The limit.
        most: usize,
        /// What the query has, or has at least.
        found: usize,
    },
    /// A variable is not what it must be.
    Variable(String),
    /// There is no such operation in the document.
    UnknownOperation(String),
    /// There are several operations, and none is named.
    OperationNameNeeded,
    /// Mutations are sent by POST.
    MutationByGet,
    /// Subscriptions are not served.
    Subscription,
    /// Asking for the schema is not allowed here.
    Introspection,
    /// Only documents that are known beforehand are taken.
    PersistedOnly,
    /// The document is not one of those.
    PersistedUnknown,
    /// The text that was sent beside a hash has another.
    PersistedMismatch,
    /// The operation cannot be planned.
    Unplannable,
    /// Planning took too long.
    TooHard,
    /// There was no turn to plan it in the time that a query has.
    Late,
}

impl Refused {
    /// The errors, as a client sees them.
    pub fn errors(&self) -> Vec<Error> {
        let one = |message: String, code| vec![Error::new(message, code, 400)];
        match self {
            Self::Syntax(why) => one(format!("Syntax error: {why}"), "GRAPHQL_PARSE_FAILED"),
            Self::Invalid(errors) => errors
                .iter()
                .map(|error| {
                    let mut shown =
                        Error::new(&error.message, "GRAPHQL_VALIDATION_FAILED", 400);
                    let at = |p: &graphql_tools::parser::Pos| json!({ "line": p.line, "column": p.column });
                    shown.locations = error.locations.iter().map(at).collect();
                    shown
                })
                .collect(),
            Self::Limit { what, most, found } => {
                let message = format!("The query has {found} {what}; at most {most} are allowed.");
                let mut error = Error::new(message, "QUERY_LIMIT_EXCEEDED", 400);
                error.extensions.insert("limit".into(), (*what).into());
                error.extensions.insert("most".into(), (*most).into());
                vec![error]
            }
            Self::Variable(why) => one(why.clone(), "BAD_USER_INPUT"),
            Self::UnknownOperation(name) => one(
                format!("The document has no operation \"{name}\"."),
                "OPERATION_RESOLUTION_FAILURE",
            ),
            Self::OperationNameNeeded => one(
                "The document has several operations: name one.".into(),
                "OPERATION_RESOLUTION_FAILURE",
            ),
            Self::MutationByGet => vec![Error::new(
                "Mutations are sent by POST.",
                "METHOD_NOT_ALLOWED",
                405,
            )],
            Self::Subscription => one(
                "Subscriptions are not served here.".into(),
                "SUBSCRIPTION_NOT_SUPPORTED",
            ),
            Self::Introspection => one(
                "The schema is not told here.".into(),
                "INTROSPECTION_DISABLED",
            ),
            Self::PersistedOnly => one(
                "Only persisted documents are taken here: send documentId.".into(),
                "PERSISTED_QUERY_REQUIRED",
            ),
            Self::PersistedUnknown => one(
                "PersistedQueryNotFound".into(),
                "PERSISTED_QUERY_NOT_FOUND",
            ),
            Self::PersistedMismatch => one(
                "The hash is not that of the query.".into(),
                "PERSISTED_QUERY_HASH_MISMATCH",
            ),
            Self::Unplannable => vec![Error::new(
                "The query cannot be planned; it has been logged under the request id.",
                "QUERY_PLANNING_FAILED",
                500,
            )],
            Self::TooHard => one(
                "The query takes too long to plan.".into(),
                "QUERY_TOO_COMPLEX",
            ),
            Self::Late => vec![Error::new(
                "The query was not planned in time.",
                "TIMEOUT",
                504,
            )],
        }
    }

    /// The status where the answer is said to be of a GraphQL type of its own.
    pub fn status(&self) -> u16 {
        match self {
            Self::MutationByGet => 405,
            Self::Unplannable => 500,
            Self::Late => 504,
            _ => 400,
        }
    }
}
