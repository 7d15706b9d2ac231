//! Lists: what a client asks for and what it gets.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The query parameters every list takes. `limit` is at most 200, default 20; `page` starts at 1.
/// With `cursor`, `page` is ignored: the list continues after the row the cursor names.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Page number, from 1.
    pub page: Option<u32>,
    /// Rows a page, 1 to 200; 20 when absent.
    pub limit: Option<u32>,
    /// Where the walk continues: `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// `field:asc` or `field:desc`, a field of the list's allow-list.
    pub sort: Option<String>,
}

impl PageQuery {
    /// The page size within its bounds.
    pub fn limit(&self) -> i64 {
        i64::from(self.limit.unwrap_or(20).clamp(1, 200))
    }

    /// The page number, at least 1.
    pub fn page(&self) -> i64 {
        i64::from(self.page.unwrap_or(1).max(1))
    }

    /// Rows to skip for the page asked for.
    pub fn offset(&self) -> i64 {
        (self.page() - 1) * self.limit()
    }

    /// The order asked for, checked against `allowed` fields; the first is the default, ascending.
    ///
    /// # Errors
    /// The offending text, when the field is not allowed or the direction is neither asc nor desc.
    pub fn sort(&self, allowed: &[&'static str]) -> Result<Sort, String> {
        let Some(text) = self.sort.as_deref() else {
            return Ok(Sort {
                field: allowed.first().copied().unwrap_or("id"),
                descending: false,
            });
        };
        let (field, direction) = text.split_once(':').unwrap_or((text, "asc"));
        let field = allowed
            .iter()
            .find(|f| **f == field)
            .ok_or_else(|| text.to_owned())?;
        match direction {
            "asc" => Ok(Sort {
                field,
                descending: false,
            }),
            "desc" => Ok(Sort {
                field,
                descending: true,
            }),
            _ => Err(text.to_owned()),
        }
    }
}

/// An order a list is in; `field` is always one of the code's own names, never the client's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// The field.
    pub field: &'static str,
    /// Largest first.
    pub descending: bool,
}

/// One page of a list.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Page number, from 1.
    pub page: i64,
    /// Rows a page.
    pub limit: i64,
    /// Rows in the whole list.
    pub total: i64,
    /// Send as `cursor` to get the rows after these; absent at the end.
    pub next_cursor: Option<String>,
    /// The cursor of each row.
    #[serde(skip)]
    pub cursors: Vec<Cursor>,
}

impl<T> Page<T> {
    /// A page of `items`; the cursor after the last of them comes from `cursor_of`
    /// when the page is full.
    pub fn new(
        items: Vec<T>,
        query: &PageQuery,
        total: i64,
        cursor_of: impl Fn(&T) -> Cursor,
    ) -> Self {
        let full = items.len() as i64 == query.limit();
        let cursors: Vec<Cursor> = items.iter().map(cursor_of).collect();
        let next_cursor = cursors.last().filter(|_| full).map(Cursor::encode);
        Self {
            items,
            page: query.page(),
            limit: query.limit(),
            total,
            next_cursor,
            cursors,
        }
    }

    /// The same page with other rows.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(f).collect(),
            page: self.page,
            limit: self.limit,
            total: self.total,
            next_cursor: self.next_cursor,
            cursors: self.cursors,
        }
    }
}

impl<T, E> Page<Result<T, E>> {
    /// The page, when none of its rows is wrong.
    ///
    /// # Errors
    /// Of the first row that is.
    pub fn transpose(self) -> Result<Page<T>, E> {
        Ok(Page {
            items: self.items.into_iter().collect::<Result<_, E>>()?,
            page: self.page,
            limit: self.limit,
            total: self.total,
            next_cursor: self.next_cursor,
            cursors: self.cursors,
        })
    }
}

/// A place in an ordered list: the sort key of a row and, to break ties, its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The row's value of the sort field, as text.
    pub key: String,
    /// The row's id.
    pub id: Uuid,
}

/// A cursor that this service did not hand out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one of this list")]
pub struct CursorError;

impl Cursor {
    /// As the opaque text a client sees.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}{}", self.id.simple(), self.key))
    }

    /// Reads a client's cursor.
    ///
    /// # Errors
    /// [`CursorError`] for any text that [`Cursor::encode`] cannot have made.
    pub fn decode(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let plain = String::from_utf8(bytes).map_err(|_| CursorError)?;
        if plain.contains('\0') {
            return Err(CursorError);
        }
        let (id, key) = plain.split_at_checked(32).ok_or(CursorError)?;
        let id = Uuid::try_parse(id).map_err(|_| CursorError)?;
        Ok(Self {
            key: key.to_owned(),
            id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_there_and_back() {
        let cursor = Cursor {
            key: "Bread & butter".into(),
            id: Uuid::now_v7(),
        };
        assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor));
        assert_eq!(Cursor::decode("???"), Err(CursorError));
        assert_eq!(Cursor::decode(""), Err(CursorError));
    }

    #[test]
    fn sorts_only_by_allowed_fields() {
        let query = |s: &str| PageQuery {
            sort: Some(s.into()),
            ..Default::default()
        };
        assert_eq!(
            query("name:desc").sort(&["name"]),
            Ok(Sort {
                field: "name",
                descending: true
            })
        );
        assert!(query("name; drop table").sort(&["name"]).is_err());
        assert!(query("name:sideways").sort(&["name"]).is_err());
    }
}
