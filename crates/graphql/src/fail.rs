//! A refusal in the graph: the same problem document as in REST, as the extensions of the error.

use async_graphql::{Error, ErrorExtensionValues, Value};
use bahi_http::{Problem, Refusal};

/// What a resolver returns.
pub type Result<T> = std::result::Result<T, Fail>;

/// Why a field could not be answered. It is made from whatever REST would answer with a problem, and from nothing else,
/// so that no error reaches a client without its code.
pub struct Fail(Problem);

impl<E: Refusal> From<E> for Fail {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl From<Fail> for Error {
    fn from(Fail(problem): Fail) -> Self {
        let mut error = Self::new(problem.detail());
        let mut extensions = ErrorExtensionValues::default();
        if let serde_json::Value::Object(document) = problem.document() {
            for (name, value) in document {
                // The title says what the status says, and the detail is the message.
                if !matches!(name.as_str(), "type" | "title" | "detail") {
                    extensions.set(name, Value::from_json(value).unwrap_or_default());
                }
            }
        }
        error.extensions = Some(extensions);
        error
    }
}
