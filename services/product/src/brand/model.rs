//! A brand.

use bahi_types::BrandId;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::schema::brand;

/// A brand.
#[derive(
    Clone, Debug, PartialEq, Serialize, Deserialize, Queryable, Selectable, Insertable, AsChangeset,
)]
#[diesel(table_name = brand)]
pub struct Brand {
    /// Id.
    pub id: BrandId,
    /// Version.
    pub version: i64,
    /// Name.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Brand {
    /// A new brand.
    pub fn new(name: String, now: DateTime<Utc>) -> Self {
        Self {
            id: BrandId::new(),
            version: 1,
            name,
            created_at: now,
            updated_at: now,
        }
    }

    /// The brand under another name.
    pub fn renamed(&self, name: String, now: DateTime<Utc>) -> Self {
        if self.name == name {
            return self.clone();
        }
        Self {
            name,
            version: self.version + 1,
            updated_at: now,
            ..self.clone()
        }
    }
}
