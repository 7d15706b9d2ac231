//! Static SQL with binds, prepared once per connection.
//!
//! Diesel's `sql_query` is prepared anew on every call because its text might be built at run time. The text
//! here is `&'static str`, so it can be cached; rows are read by column name (`QueryableByName`).

use std::marker::PhantomData;

use diesel::{
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
    serialize::ToSql,
    sql_types::{HasSqlType, Untyped},
};

/// A statement without binds yet.
#[derive(Clone, Copy, Debug)]
pub struct Sql(&'static str);

/// A statement with one more bind.
#[derive(Clone, Copy, Debug)]
pub struct Bound<Q, ST, U> {
    query: Q,
    value: U,
    sql_type: PhantomData<ST>,
}

/// A statement whose text is known at compile time. Placeholders are `$1`, `$2`, ... in the order of
/// the binds; one placeholder may be used several times.
pub const fn sql(text: &'static str) -> Sql {
    Sql(text)
}

impl Sql {
    /// Binds `$1`.
    pub fn bind<ST, U>(self, value: U) -> Bound<Self, ST, U> {
        Bound {
            query: self,
            value,
            sql_type: PhantomData,
        }
    }
}

impl<Q, ST, U> Bound<Q, ST, U> {
    /// Binds the next placeholder.
    pub fn bind<ST2, U2>(self, value: U2) -> Bound<Self, ST2, U2> {
        Bound {
            query: self,
            value,
            sql_type: PhantomData,
        }
    }
}

impl QueryFragment<Pg> for Sql {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.0);
        Ok(())
    }
}

impl<Q, ST, U> QueryFragment<Pg> for Bound<Q, ST, U>
where
    Q: QueryFragment<Pg>,
    Pg: HasSqlType<ST>,
    U: ToSql<ST, Pg>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.query.walk_ast(out.reborrow())?;
        out.push_bind_param_value_only(&self.value)
    }
}

impl QueryId for Sql {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
impl<Q, ST, U> QueryId for Bound<Q, ST, U> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
impl Query for Sql {
    type SqlType = Untyped;
}
impl<Q, ST, U> Query for Bound<Q, ST, U> {
    type SqlType = Untyped;
}
