//! An attribute and its values.

use std::collections::HashSet;

use bahi_types::Id;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, schema::attribute, text::fold};

/// Most values of one attribute.
pub const MOST: usize = 200;

/// Marker of the kind; it has no values.
#[derive(Debug)]
pub enum AttributeKind {}
/// An attribute.
pub type AttributeId = Id<AttributeKind>;
/// Marker of the kind; it has no values.
#[derive(Debug)]
pub enum ValueKind {}
/// A value of an attribute.
pub type ValueId = Id<ValueKind>;

/// The attribute without its values.
#[derive(
    Clone, Debug, PartialEq, Serialize, Deserialize, Queryable, Selectable, Insertable, AsChangeset,
)]
#[diesel(table_name = attribute)]
pub struct Head {
    /// Id.
    pub id: AttributeId,
    /// Version.
    pub version: i64,
    /// Name.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// Id.
    pub id: ValueId,
    /// Name.
    pub name: String,
    /// What stands for it in SKUs.
    pub code: String,
}

/// An attribute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    /// All but the values.
    pub head: Head,
    /// The values, in order.
    pub values: Vec<Value>,
}

/// What can be said of a value.
#[derive(Clone, Debug)]
pub struct ValueDraft {
    /// The value that it is; a new one when absent.
    pub id: Option<ValueId>,
    /// Name.
    pub name: String,
    /// Code; made from the name when absent.
    pub code: Option<String>,
}

/// What can be said of an attribute.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Name.
    pub name: String,
    /// Values, in order.
    pub values: Vec<ValueDraft>,
}

impl Attribute {
    /// A new attribute.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn new(draft: Draft, now: DateTime<Utc>) -> Result<Self, Error> {
        let head = Head {
            id: AttributeId::new(),
            version: 1,
            name: draft.name,
            created_at: now,
            updated_at: now,
        };
        Ok(Self {
            head,
            values: values(draft.values, &[])?,
        })
    }

    /// The attribute as `draft` wants it; itself when that is no change.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn amended(&self, draft: Draft, now: DateTime<Utc>) -> Result<Self, Error> {
        let values = values(draft.values, &self.values)?;
        if self.head.name == draft.name && self.values == values {
            return Ok(self.clone());
        }
        let head = Head {
            name: draft.name,
            version: self.head.version + 1,
            updated_at: now,
            ..self.head.clone()
        };
        Ok(Self { head, values })
    }
}

/// The values as they are said, given those that there are.
fn values(drafts: Vec<ValueDraft>, known: &[Value]) -> Result<Vec<Value>, Error> {
    let (mut ids, mut names, mut codes) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut values = Vec::with_capacity(drafts.len());
    for (n, draft) in drafts.into_iter().enumerate() {
        let before = draft.id.map(|id| known.iter().find(|value| value.id == id));
        let before = match before {
            Some(None) => {
                return Err(Error::Value {
                    index: n,
                    what: "id",
                    wrong: "is no value of this attribute",
                });
            }
            Some(found) => found,
            None => None,
        };
        let code = match (draft.code, before) {
            (Some(code), _) => code.to_uppercase(),
            // Another name does not change the SKUs to come.
            (None, Some(before)) => before.code.clone(),
            (None, None) => code_of(&draft.name),
        };
        if !is_code(&code) {
            let wrong =
                "must have 1 to 20 Latin letters and digits; say one where the name makes none";
            return Err(Error::Value {
                index: n,
                what: "code",
                wrong,
            });
        }
        let id = before.map_or_else(ValueId::new, |before| before.id);
        if !ids.insert(id) {
            return Err(Error::Value {
                index: n,
                what: "id",
                wrong: "stands there twice",
            });
        }
        if !names.insert(fold(&draft.name)) {
            return Err(Error::Value {
                index: n,
                what: "name",
                wrong: "stands there twice",
            });
        }
        if !codes.insert(code.clone()) {
            return Err(Error::Value {
                index: n,
                what: "code",
                wrong: "is that of another value",
            });
        }
        values.push(Value {
            id,
            name: draft.name,
            code,
        });
    }
    Ok(values)
}

fn code_of(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.take(20).collect::<String>().to_uppercase()
}

fn is_code(code: &str) -> bool {
    (1..=20).contains(&code.len())
        && code
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(values: &[(&str, Option<&str>)]) -> Draft {
        let value = |(name, code): &(&str, Option<&str>)| ValueDraft {
            id: None,
            name: (*name).into(),
            code: code.map(str::to_owned),
        };
        Draft {
            name: "Size".into(),
            values: values.iter().map(value).collect(),
        }
    }

    #[test]
    fn codes_come_from_names_and_stay_when_these_change() {
        let size = Attribute::new(
            draft(&[("Extra large", Some("xl")), ("42 ½", None)]),
            Utc::now(),
        )
        .unwrap();
        let codes: Vec<&str> = size.values.iter().map(|v| v.code.as_str()).collect();
        assert_eq!(codes, ["XL", "42"]);
        let mut renamed = draft(&[("Very large", None), ("42 ½", None)]);
        for (draft, value) in renamed.values.iter_mut().zip(&size.values) {
            draft.id = Some(value.id);
        }
        let after = size.amended(renamed.clone(), Utc::now()).unwrap();
        assert_eq!(
            (after.values[0].code.as_str(), after.head.version),
            ("XL", 2)
        );
        assert_eq!(after.amended(renamed, Utc::now()).unwrap(), after);
    }

    #[test]
    fn names_and_codes_stand_once_and_codes_are_plain() {
        for (values, what) in [
            (vec![("Red", None), ("RED", Some("R2"))], "name"),
            (vec![("Red", None), ("Rot", Some("red"))], "code"),
            (vec![("लाल", None)], "code"),
            (vec![("Red", Some("R-1"))], "code"),
        ] {
            let refused = Attribute::new(draft(&values), Utc::now()).unwrap_err();
            assert!(
                matches!(refused, Error::Value { what: w, .. } if w == what),
                "{values:?}: {refused}"
            );
        }
        let mut strange = draft(&[("Red", None)]);
        strange.values[0].id = Some(ValueId::new());
        assert!(
            Attribute::new(strange, Utc::now()).is_err(),
            "a value of another attribute"
        );
    }
}
