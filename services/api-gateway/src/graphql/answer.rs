//! The answer a client gets: the fields that were asked for, in their order, null where something is missing, and
//! whatever holds a missing thing that is never null is missing with it (GraphQL, section 6.4.4).

use std::sync::Arc;

use serde_json::Map;

use super::{
    error::{Error, Refused, Step},
    introspect::Teller,
    schema::{Named, Schema, Type},
    select::{Field, Kind, Selection},
    value::{Object, Value},
};

/// Something is null that is never null: whatever holds it is null too.
struct Missing;

/// Whether what was written is something.
type Written = Result<bool, Missing>;

/// How an answer begins.
const HEAD: &[u8] = b"{\"data\":";

/// Writes an answer.
pub struct Writer<'a> {
    schema: &'a Schema,
    variables: &'a Map<String, serde_json::Value>,
    out: Vec<u8>,
    path: Vec<Place<'a>>,
    errors: Vec<Error>,
    /// A service has said why something is missing: a client need not be told twice.
    explained: bool,
    /// Who tells of the schema, once it is asked for.
    teller: Option<Teller<'a>>,
    refused: Option<Refused>,
}

enum Place<'a> {
    Key(&'a Arc<str>),
    At(usize),
}

impl<'a> Writer<'a> {
    /// For a query with these variables; `explained` where services have said what is wrong.
    pub fn new(
        schema: &'a Schema,
        variables: &'a Map<String, serde_json::Value>,
        explained: bool,
    ) -> Self {
        let mut out = Vec::with_capacity(4096);
        out.extend_from_slice(HEAD);
        Self {
            schema,
            variables,
            out,
            path: Vec::new(),
            errors: Vec::new(),
            explained,
            teller: None,
            refused: None,
        }
    }

    /// The beginning of an answer, which ends behind its member `data`, and the errors found on the way.
    ///
    /// # Errors
    /// [`Refused::Limit`], when too much is asked of the schema.
    pub fn data(
        mut self,
        root: &'a Selection,
        data: &'a Value<'_>,
    ) -> Result<(Vec<u8>, Vec<Error>), Refused> {
        let empty = Object::default();
        let object = match data {
            Value::Object(object) => object,
            _ => &empty,
        };
        let written = match root.of(None) {
            Some((name, fields)) => self.object(name, fields, object),
            None => Err(Missing),
        };
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        if written.is_err() {
            self.out.truncate(HEAD.len());
            self.out.extend_from_slice(b"null");
        }
        Ok((self.out, self.errors))
    }

    fn object(&mut self, type_name: &str, fields: &'a [Field], object: &Object) -> Written {
        self.out.push(b'{');
        for (at, field) in fields.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            self.name(&field.called);
            self.out.push(b':');
            self.path.push(Place::Key(&field.called));
            let written = match &field.kind {
                Kind::TypeName => {
                    self.json(object.type_name().unwrap_or(type_name));
                    Ok(true)
                }
                Kind::Schema(..) => {
                    let (schema, variables) = (self.schema, self.variables);
                    let teller = self
                        .teller
                        .get_or_insert_with(|| Teller::new(schema, variables));
                    match teller.answer(field) {
                        Ok(told) => {
                            self.json(&told);
                            Ok(true)
                        }
                        Err(refused) => {
                            self.refused = Some(refused);
                            Err(Missing)
                        }
                    }
                }
                _ => self.value(&field.of, field, object.get(&field.key)),
            };
            written?;
            self.path.pop();
        }
        self.out.push(b'}');
        Ok(true)
    }

    fn value(&mut self, of: &Type, field: &'a Field, value: Option<&Value>) -> Written {
        match (of, value) {
            (Type::NonNull(inner), value) => {
                if self.value(inner, field, value)? {
                    return Ok(true);
                }
                self.note(|| {
                    let message = format!("Cannot return null for the field {}.", field.name);
                    Error::new(message, "NULL_FOR_NON_NULL", 502)
                });
                Err(Missing)
            }
            (_, None | Some(Value::Null)) => Ok(self.null()),
            (Type::List(inner), Some(Value::List(items))) => {
                let (start, depth) = (self.out.len(), self.path.len());
                self.out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        self.out.push(b',');
                    }
                    self.path.push(Place::At(at));
                    if self.value(inner, field, Some(item)).is_err() {
                        return Ok(self.null_at(start, depth));
                    }
                    self.path.pop();
                }
                self.out.push(b']');
                Ok(true)
            }
            (Type::List(_), Some(_)) => Ok(self.malformed(field)),
            (Type::Named(name), Some(value)) => self.named(name, field, value),
        }
    }

    fn named(&mut self, name: &str, field: &'a Field, value: &Value) -> Written {
        match (&field.kind, value) {
            (Kind::Composite(selection), Value::Object(object)) => {
                let Some((type_name, fields)) = selection.of(object.type_name()) else {
                    return Ok(self.malformed(field));
                };
                let (start, depth) = (self.out.len(), self.path.len());
                match self.object(type_name, fields, object) {
                    Ok(written) => Ok(written),
                    Err(Missing) => Ok(self.null_at(start, depth)),
                }
            }
            (Kind::Enum, Value::Text(word)) => match self.schema.named(name) {
                // A word that clients do not know is none to them.
                Some(Named::Enum(words)) if !words.contains(&**word) => Ok(self.malformed(field)),
                _ => {
                    self.json(word);
                    Ok(true)
                }
            },
            (Kind::Scalar, value) => {
                self.json(value);
                Ok(true)
            }
            _ => Ok(self.malformed(field)),
        }
    }

    /// A name of GraphQL, in which nothing needs to be escaped (section 2.1.9).
    fn name(&mut self, name: &str) {
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'"');
    }

    fn json(&mut self, value: &(impl serde::Serialize + ?Sized)) {
        // Writing to memory does not fail, and every key is a text.
        let _ = serde_json::to_writer(&mut self.out, value);
    }

    fn null(&mut self) -> bool {
        self.out.extend_from_slice(b"null");
        false
    }

    fn null_at(&mut self, start: usize, depth: usize) -> bool {
        self.out.truncate(start);
        self.path.truncate(depth);
        self.null()
    }

    /// A service answered what the schema does not say.
    fn malformed(&mut self, field: &Field) -> bool {
        let error = Error::new(
            format!("The field {} is not what the schema says.", field.name),
            "MALFORMED_ANSWER",
            502,
        );
        let path = self.steps();
        self.errors.push(Error {
            path: Some(path),
            ..error
        });
        self.null()
    }

    fn note(&mut self, error: impl FnOnce() -> Error) {
        if self.explained || !self.errors.is_empty() {
            return;
        }
        let path = self.steps();
        self.errors.push(Error {
            path: Some(path),
            ..error()
        });
    }

    fn steps(&self) -> Vec<Step> {
        let steps = self.path.iter().map(|place| match place {
            Place::Key(key) => Step::Key(key.to_string()),
            Place::At(at) => Step::At(*at),
        });
        steps.collect()
    }
}
