//! A category, and what may lie below what.

use bahi_types::CategoryId;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, schema::category};

/// Most levels of the tree.
pub const LEVELS: usize = 8;
/// Most categories of a tree that is read at once.
pub const MOST: usize = 5000;

/// A category.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Serialize,
    Deserialize,
    Queryable,
    QueryableByName,
    Selectable,
    AsChangeset,
)]
#[diesel(table_name = category, treat_none_as_null = true)]
pub struct Category {
    /// Id.
    pub id: CategoryId,
    /// Version.
    pub version: i64,
    /// The one above.
    pub parent_id: Option<CategoryId>,
    /// Name.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Category {
    /// A new category.
    pub fn new(name: String, parent_id: Option<CategoryId>, now: DateTime<Utc>) -> Self {
        Self {
            id: CategoryId::new(),
            version: 1,
            parent_id,
            name,
            created_at: now,
            updated_at: now,
        }
    }

    /// The category under another name or another parent.
    pub fn amended(&self, name: String, parent_id: Option<CategoryId>, now: DateTime<Utc>) -> Self {
        if self.name == name && self.parent_id == parent_id {
            return self.clone();
        }
        Self {
            name,
            parent_id,
            version: self.version + 1,
            updated_at: now,
            ..self.clone()
        }
    }
}

/// Whether `category`, with `height` levels from itself down, may lie below `line`: its new parent and all above it,
/// the nearest first. A `line` that is empty means the top.
///
/// # Errors
/// [`Error::Cycle`], [`Error::TooDeep`].
pub fn may_lie_below(
    category: CategoryId,
    height: usize,
    line: &[CategoryId],
) -> Result<(), Error> {
    if line.contains(&category) {
        return Err(Error::Cycle);
    }
    if line.len() + height > LEVELS {
        return Err(Error::TooDeep(LEVELS));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_lies_neither_below_itself_nor_too_deep() {
        let ids: Vec<CategoryId> = (0..LEVELS).map(|_| CategoryId::new()).collect();
        assert!(may_lie_below(ids[0], 1, &[]).is_ok());
        assert!(may_lie_below(ids[0], 1, &ids[1..]).is_ok());
        assert!(matches!(
            may_lie_below(ids[0], 2, &ids[1..]),
            Err(Error::TooDeep(LEVELS))
        ));
        assert!(matches!(
            may_lie_below(ids[0], 1, &ids[..1]),
            Err(Error::Cycle)
        ));
        assert!(matches!(
            may_lie_below(ids[2], 1, &ids[..3]),
            Err(Error::Cycle)
        ));
    }
}
