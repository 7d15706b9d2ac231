//! The walk through a list: order, and where it goes on. The same for every list of this service.

use bahi_http::Fault;
use bahi_types::{Cursor, Page, PageQuery, Sort};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// What a client asked for, checked.
#[derive(Clone, Debug)]
pub struct Walk {
    /// The order.
    pub sort: Sort,
    /// The row after which it continues.
    pub after: Option<Cursor>,
    /// Rows to skip where there is no cursor.
    pub offset: i64,
    /// Rows a page.
    pub limit: i64,
}

impl Walk {
    /// Checks `query` against the fields that a list may be sorted by.
    ///
    /// # Errors
    /// [`Fault::Invalid`] with the parameter that is wrong.
    pub fn read(query: &PageQuery, fields: &[&'static str]) -> Result<Self, Fault> {
        let sort = query.sort(fields).map_err(|_| {
            Fault::field(
                "sort",
                format!("must be one of {}, with :asc or :desc", fields.join(", ")),
            )
        })?;
        let after = query.cursor.as_deref().map(Cursor::decode).transpose();
        let after = after.map_err(|error| Fault::field("cursor", error.to_string()))?;
        let walk = Self {
            sort,
            after,
            offset: query.offset(),
            limit: query.limit(),
        };
        if sort.field.ends_with("at") {
            walk.time()?;
        }
        Ok(walk)
    }

    /// The cursor of a list in order of text.
    pub fn text(&self) -> Option<(String, Uuid)> {
        self.after.clone().map(|cursor| (cursor.key, cursor.id))
    }

    /// The cursor of a list in order of time.
    ///
    /// # Errors
    /// When it is the cursor of another order.
    pub fn time(&self) -> Result<Option<(DateTime<Utc>, Uuid)>, Fault> {
        let Some(cursor) = &self.after else {
            return Ok(None);
        };
        let time = cursor
            .key
            .parse()
            .ok()
            .and_then(DateTime::from_timestamp_micros);
        let time = time.ok_or_else(|| Fault::field("cursor", "is not one of this order"))?;
        Ok(Some((time, cursor.id)))
    }
}

/// A page of rows whose cursors hold the time or text they are sorted by.
pub fn paged<T>(
    rows: Vec<T>,
    query: &PageQuery,
    total: i64,
    key: impl Fn(&T) -> (String, Uuid),
) -> Page<T> {
    Page::new(rows, query, total, |row| {
        let (key, id) = key(row);
        Cursor { key, id }
    })
}

/// A time as the key of a cursor.
pub fn time_key(at: DateTime<Utc>) -> String {
    at.timestamp_micros().to_string()
}

/// Orders a boxed query by a column and the id, and lets it continue after a cursor.
macro_rules! walk {
    ($query:expr, $walk:expr, $column:expr, $id:expr, $after:expr) => {{
        use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl};
        let mut query = $query.limit($walk.limit);
        match $after {
            None => query = query.offset($walk.offset),
            Some((key, id)) if $walk.sort.descending => {
                query = query.filter($column.lt(key.clone()).or($column.eq(key).and($id.lt(id))));
            }
            Some((key, id)) => {
                query = query.filter($column.gt(key.clone()).or($column.eq(key).and($id.gt(id))));
            }
        }
        if $walk.sort.descending {
            query.order(($column.desc(), $id.desc()))
        } else {
            query.order(($column.asc(), $id.asc()))
        }
    }};
}
pub(crate) use walk;
