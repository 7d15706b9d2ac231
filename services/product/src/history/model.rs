//! An entry of the history.

use bahi_types::ProductId;
use serde_json::{Map, Value, json};

use crate::{
    Error,
    product::model::{Change, Product},
    text::words,
};

words! {
    /// What was done.
    pub enum Action {
        /// It was made.
        Created = "created",
        /// It was changed.
        Updated = "updated",
        /// It was deleted.
        Deleted = "deleted",
    }
}

/// What happened to a product with one version.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The product.
    pub product: ProductId,
    /// Its version after that.
    pub version: i64,
    /// What was done.
    pub action: Action,
    /// `{field: {old, new}}`.
    pub fields: Value,
}

/// Fields that are no matter of the product itself: they follow from others, or from the change as such.
const FOLLOW: [&str; 7] = [
    "id",
    "version",
    "uqc",
    "hsn",
    "transacted",
    "created_at",
    "updated_at",
];

impl Entry {
    /// Of a product that is made or changed.
    ///
    /// # Errors
    /// When a product cannot be written as JSON.
    pub fn of(change: &Change) -> Result<Self, Error> {
        let action = if change.before.is_some() {
            Action::Updated
        } else {
            Action::Created
        };
        Ok(Self {
            product: change.after.id,
            version: change.after.version,
            action,
            fields: differences(change.before.as_ref(), Some(&change.after))?,
        })
    }

    /// Of a product that is deleted.
    ///
    /// # Errors
    /// When a product cannot be written as JSON.
    pub fn gone(product: &Product) -> Result<Self, Error> {
        Ok(Self {
            product: product.id,
            version: product.version + 1,
            action: Action::Deleted,
            fields: differences(Some(product), None)?,
        })
    }
}

/// What differs. Every field of the product counts, so that one that is added later is not forgotten here.
fn differences(before: Option<&Product>, after: Option<&Product>) -> Result<Value, Error> {
    let members = |product: Option<&Product>| -> Result<Map<String, Value>, Error> {
        match serde_json::to_value(product).map_err(bahi_db::Error::from)? {
            Value::Object(members) => Ok(members),
            _ => Ok(Map::new()),
        }
    };
    let (before, mut after) = (members(before)?, members(after)?);
    let mut fields = Map::new();
    let mut differ = |field: String, old: Value, new: Value| {
        let said = !(empty(&old) && empty(&new));
        if said && old != new && !FOLLOW.contains(&field.as_str()) {
            fields.insert(field, json!({ "old": old, "new": new }));
        }
    };
    for (field, old) in before {
        let new = after.remove(&field).unwrap_or_default();
        differ(field, old, new);
    }
    for (field, new) in after {
        differ(field, Value::Null, new);
    }
    Ok(Value::Object(fields))
}

/// Nothing is said by it.
fn empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
