//! Lists as connections (the Relay cursor connections specification), over the same pages as in REST.

use std::borrow::Cow;

use async_graphql::{OutputType, SimpleObject, TypeName};
use bahi_http::Fault;
use bahi_types::{Page, PageQuery};

/// Most rows of a connection at once.
const MOST: u32 = 100;

/// Which part of a list: the arguments `first`, `after` and `sort` of its field.
#[derive(Clone, Debug)]
pub struct Paging {
    first: u32,
    after: Option<String>,
    sort: Option<String>,
}

/// A row of a list.
#[derive(SimpleObject)]
#[graphql(name_type)]
pub struct Edge<T: OutputType> {
    /// The row.
    node: T,
    /// Where it stands in the list.
    cursor: String,
}

/// What there is besides a part of a list.
#[derive(SimpleObject)]
#[graphql(shareable)]
pub struct PageInfo {
    /// There are more rows after these.
    has_next_page: bool,
    /// There are rows before these.
    has_previous_page: bool,
    /// The cursor of the first of these.
    start_cursor: Option<String>,
    /// The cursor of the last of these: `after` of the next part.
    end_cursor: Option<String>,
}

/// A part of a list.
#[derive(SimpleObject)]
#[graphql(name_type)]
pub struct Connection<T: OutputType> {
    /// The rows, with their cursors.
    edges: Vec<Edge<T>>,
    /// What there is besides these.
    page_info: PageInfo,
    /// Rows of the whole list.
    total_count: i64,
}

impl<T: OutputType> TypeName for Edge<T> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", T::type_name()).into()
    }
}

impl<T: OutputType> TypeName for Connection<T> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", T::type_name()).into()
    }
}

impl Paging {
    /// The first so many rows after a cursor, in an order such as `name:desc`.
    ///
    /// # Errors
    /// When `first` is not 1 to 100.
    pub fn new(first: u32, after: Option<String>, sort: Option<String>) -> Result<Self, Fault> {
        if (1..=MOST).contains(&first) {
            Ok(Self { first, after, sort })
        } else {
            Err(Fault::field("first", "must be 1 to 100"))
        }
    }

    /// The page to ask a list for: one row more than is shown, which tells whether there are more.
    pub fn query(&self) -> PageQuery {
        PageQuery {
            page: None,
            limit: Some(self.first + 1),
            cursor: self.after.clone(),
            sort: self.sort.clone(),
        }
    }

    /// The page that was asked for, as a connection.
    pub fn connection<T: OutputType>(&self, page: Page<T>) -> Connection<T> {
        let shown = self.first as usize;
        let has_next_page = page.items.len() > shown;
        let rows = page.items.into_iter().zip(page.cursors).take(shown);
        let edges: Vec<Edge<T>> = rows
            .map(|(row, cursor)| Edge {
                node: row,
                cursor: cursor.encode(),
            })
            .collect();
        let cursor = |edge: Option<&Edge<T>>| edge.map(|edge| edge.cursor.clone());
        Connection {
            page_info: PageInfo {
                has_next_page,
                has_previous_page: self.after.is_some(),
                start_cursor: cursor(edges.first()),
                end_cursor: cursor(edges.last()),
            },
            total_count: page.total,
            edges,
        }
    }
}
