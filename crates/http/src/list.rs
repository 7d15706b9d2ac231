//! The walk through a list: order, and where it goes on.

use std::str::FromStr;

use bahi_types::{Cursor, Page, PageQuery, Sort};
use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

use crate::Fault;

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
        Ok(Self {
            sort,
            after,
            offset: query.offset(),
            limit: query.limit(),
        })
    }

    /// The cursor, its key read as the type of the column.
    ///
    /// # Errors
    /// When it is the cursor of another order.
    pub fn after<K: FromStr>(&self) -> Result<Option<(K, Uuid)>, Fault> {
        let Some(cursor) = &self.after else {
            return Ok(None);
        };
        let key = cursor
            .key
            .parse()
            .map_err(|_| Fault::field("cursor", "is not one of this order"))?;
        Ok(Some((key, cursor.id)))
    }
}

/// A walk through a list that is ordered by a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timed {
    /// The row after which it continues.
    pub after: Option<(DateTime<Utc>, Uuid)>,
    /// Rows a page.
    pub limit: i64,
    /// Rows to skip; zero with a cursor.
    pub offset: i64,
    /// The latest first.
    pub descending: bool,
}

impl Timed {
    /// Checks `query` against the one `field` that a list may be sorted by; the latest first, if nothing is said.
    ///
    /// # Errors
    /// [`Fault::Invalid`] with the parameter that is wrong.
    pub fn read(query: &PageQuery, field: &'static str) -> Result<Self, Fault> {
        let walk = Walk::read(query, &[field])?;
        let after = walk.after()?;
        Ok(Self {
            after,
            limit: walk.limit,
            offset: if after.is_some() { 0 } else { walk.offset },
            descending: walk.sort.descending || query.sort.is_none(),
        })
    }

    /// Checks `query` for a list that has one order only, the oldest first.
    ///
    /// # Errors
    /// As [`Timed::read`], and for any `sort`.
    pub fn oldest_first(query: &PageQuery) -> Result<Self, Fault> {
        if query.sort.is_some() {
            return Err(Fault::field("sort", "is not taken: the oldest comes first"));
        }
        let walk = Self::read(query, "")?;
        Ok(Self {
            descending: false,
            ..walk
        })
    }
}

/// A page of rows that are ordered by a time and, within it, by an id.
pub fn paged_by_time<T>(
    rows: Vec<T>,
    query: &PageQuery,
    total: i64,
    key: impl Fn(&T) -> (DateTime<Utc>, Uuid),
) -> Page<T> {
    paged(rows, query, total, |row| {
        let (at, id) = key(row);
        (at.to_rfc3339_opts(SecondsFormat::Micros, true), id)
    })
}

/// A page of rows whose cursors hold what they are sorted by, as text.
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

/// The query parameters of paging, for a list's own struct of parameters.
#[macro_export]
macro_rules! paging {
    ($list:ty) => {
        impl $list {
            fn paging(&self) -> bahi_types::PageQuery {
                bahi_types::PageQuery {
                    page: self.page,
                    limit: self.limit,
                    cursor: self.cursor.clone(),
                    sort: self.sort.clone(),
                }
            }
        }
    };
}

/// Orders a boxed query by a column, whose values read as `$key`, and by the id, and lets it continue after a cursor.
#[macro_export]
macro_rules! walk {
    ($query:expr, $walk:expr, $column:expr, $key:ty, $id:expr) => {{
        use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl};
        let mut query = $query.limit($walk.limit);
        match $walk.after::<$key>()? {
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
