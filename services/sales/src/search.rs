//! Documents by their numbers, alike for every kind, for a search through everything. A number is looked up by the key that
//! keeps it unique: in each registration, this fiscal year and seven before it.

use actix_web::{HttpResponse, get, web};
use bahi_db::{Tx, sql};
use bahi_http::{
    Caller, Fault, Problem,
    search::{Hit, Hits, Search, score},
};
use bahi_types::{FiscalYear, Money, business_date};
use chrono::NaiveDate;
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Date, Integer, Numeric, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::{State, error::Error};

/// The routes.
pub(crate) fn routes(cfg: &mut utoipa_actix_web::service_config::ServiceConfig) {
    cfg.service(hits);
}

/// Fiscal years that are looked through before this one.
const YEARS: i32 = 7;

/// A kind of document.
struct Kind {
    /// As the register calls it.
    name: &'static str,
    permission: &'static str,
    /// Where one is read.
    path: &'static str,
    statement: &'static str,
}

macro_rules! kind {
    ($name:literal, $permission:literal, $path:literal, $table:literal, $id:literal, $amount:literal) => {
        Kind {
            name: $name,
            permission: $permission,
            path: $path,
            statement: concat!(
                "select d.",
                $id,
                " as id, d.number, d.date, d.",
                $amount,
                " as amount from registration r cross join generate_series($3 - $4, $3 + 1) as y join ",
                $table,
                " d on d.tenant_id = $1 and d.registration_id = r.registration_id and d.fiscal_year = y
                   and d.number >= $2 and d.number < $2 || '~'
                 where r.tenant_id = $1
                 order by d.number = $2 desc, d.date desc, d.number desc, d.",
                $id,
                " limit $5 offset $6"
            ),
        }
    };
}

/// The kinds, by the last part of their paths.
fn kind(path: &str) -> Option<Kind> {
    Some(match path {
        "invoices" => kind!(
            "invoice",
            "sales.invoice.read",
            "/api/v1/sales/invoices",
            "invoice",
            "invoice_id",
            "total"
        ),
        "orders" => kind!(
            "order",
            "sales.order.read",
            "/api/v1/sales/orders",
            "sales_order",
            "order_id",
            "total"
        ),
        "quotations" => kind!(
            "quotation",
            "sales.quotation.read",
            "/api/v1/sales/quotations",
            "quotation",
            "quotation_id",
            "total"
        ),
        "returns" => kind!(
            "return",
            "sales.return.read",
            "/api/v1/sales/returns",
            "credit_note",
            "credit_note_id",
            "total"
        ),
        "receipts" => kind!(
            "receipt",
            "sales.receipt.read",
            "/api/v1/sales/receipts",
            "receipt",
            "receipt_id",
            "amount"
        ),
        _ => return None,
    })
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    number: String,
    #[diesel(sql_type = Date)]
    date: NaiveDate,
    #[diesel(sql_type = Numeric)]
    amount: Money,
}

/// A number as documents bear it; `None` for what can be none.
fn number(text: &str) -> Option<String> {
    let number = text.to_uppercase();
    let fits = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'/' || b == b'-';
    (number.len() <= 16 && number.bytes().all(fits)).then_some(number)
}

/// Documents whose numbers begin with the text: `invoices`, `orders`, `quotations`, `returns`, `receipts`.
#[utoipa::path(tag = "search", security(("bearer" = [])), params(Search), responses((status = 200, body = Hits), (status = 404)))]
#[get("/internal/v1/search/documents/{kind}")]
async fn hits(
    state: web::Data<State>,
    caller: Caller,
    path: web::Path<String>,
    query: web::Query<Search>,
) -> Result<HttpResponse, Problem> {
    let kind = kind(&path).ok_or(Fault::NotFound)?;
    caller.require(kind.permission)?;
    let wanted = query.wanted()?;
    let Some(number) = number(&wanted.q) else {
        return Ok(HttpResponse::Ok().json(Hits::default()));
    };
    let read = async |tx: &mut Tx| -> Result<Vec<Row>, Error> {
        let year = FiscalYear::of(business_date(tx.now())).start_year();
        let rows = sql(kind.statement)
            .bind::<SqlUuid, _>(tx.tenant())
            .bind::<Text, _>(&number)
            .bind::<Integer, _>(year)
            .bind::<Integer, _>(YEARS)
            .bind::<BigInt, _>(wanted.read)
            .bind::<BigInt, _>(wanted.offset)
            .load(tx.conn())
            .await;
        Ok(rows.map_err(bahi_db::Error::from)?)
    };
    let rows = state.db.read(&caller.ctx, read).await?;
    let hits = rows.into_iter().map(|row| Hit {
        kind: kind.name.to_owned(),
        id: row.id,
        score: match row.number == number {
            true => score::CODE,
            false => score::BEGINS,
        },
        url: format!("{}/{}", kind.path, row.id),
        title: row.number,
        subtitle: Some(format!("{} · {}", row.date, row.amount)),
    });
    Ok(HttpResponse::Ok().json(wanted.hits(hits.collect())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_number_is_not_looked_for() {
        assert_eq!(number("p1/26-27/0003").as_deref(), Some("P1/26-27/0003"));
        for none in ["basmati rice", "a%", "ä", "12345678901234567"] {
            assert_eq!(number(none), None, "{none}");
        }
    }
}
