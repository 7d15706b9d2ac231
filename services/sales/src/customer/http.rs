//! Customers and their accounts over HTTP, read only: CRM keeps them.

use actix_web::{HttpResponse, get, web};
use async_graphql::{InputObject, SimpleObject};
use bahi_db::Done;
use bahi_http::{
    Caller, Fault, Problem, Versioned, ok, page,
    search::{Hit, Hits, Search, text},
};
use bahi_types::{Cursor, CustomerGroupId, CustomerId, Money, Page, PageQuery};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::{
    model::{Account, Customer, asked, fits},
    store,
};
use crate::{State, error::Error};

/// Most customers that a list with a text goes through.
const BEST: i64 = 1000;

/// The routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(list)
        .service(by_phone)
        .service(hits)
        .service(account)
        .service(get_one);
}

/// An address of a customer.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "CustomerAddress")]
pub(super) struct AddressBody {
    /// `billing` or `delivery`.
    kind: String,
    text: String,
    state_code: String,
}

/// A customer, as CRM last told.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "Customer", complex)]
pub(crate) struct CustomerBody {
    #[graphql(name = "id")]
    pub(super) customer_id: CustomerId,
    name: String,
    phone: Option<String>,
    email: Option<String>,
    gstin: Option<String>,
    addresses: Vec<AddressBody>,
    customer_group_id: Option<CustomerGroupId>,
    /// None: no credit is given.
    credit_limit: Option<Money>,
    /// Days from an invoice's date to the day on which it is due.
    credit_days: i32,
    /// `lead`, `active`, `credit_hold`, `inactive`, `merged` or `deleted`.
    status: String,
}
impl Versioned for CustomerBody {
    fn version(&self) -> Option<i64> {
        None
    }
}

impl From<Customer> for CustomerBody {
    fn from(c: Customer) -> Self {
        let addresses = c.addresses().into_iter().map(|a| AddressBody {
            kind: a.kind,
            text: a.text,
            state_code: a.state_code,
        });
        Self {
            addresses: addresses.collect(),
            customer_id: c.customer_id,
            name: c.name,
            phone: c.phone,
            email: c.email,
            gstin: c.gstin,
            customer_group_id: c.customer_group_id,
            credit_limit: c.credit_limit,
            credit_days: c.credit_days,
            status: c.status,
        }
    }
}

#[derive(Debug, Default, Deserialize, IntoParams, InputObject)]
#[into_params(parameter_in = Query)]
pub(super) struct CustomerFilter {
    /// Exactly this number, in E.164.
    phone: Option<String>,
    /// What the name begins with, in any case.
    name: Option<String>,
    /// Beginnings of words of the name, of a telephone number, GSTIN or address of mail; all of them. At most the 1,000 best.
    #[graphql(skip)]
    q: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Phone {
    /// In E.164, with the `+` or without it.
    phone: String,
}

/// A customer as a till needs to know him.
#[derive(Debug, Serialize, ToSchema)]
struct CallerBody {
    customer_id: CustomerId,
    name: String,
    phone: Option<String>,
    gstin: Option<String>,
    customer_group_id: Option<CustomerGroupId>,
    status: String,
}

/// Customers who have a number.
#[derive(Debug, Serialize, ToSchema)]
struct Callers {
    items: Vec<CallerBody>,
}
impl Versioned for Callers {
    fn version(&self) -> Option<i64> {
        None
    }
}

/// The customers who have a telephone number, at most 20: for a till, which needs no other permission.
#[utoipa::path(tag = "customers", security(("bearer" = ["sales.pos.use"])), params(Phone), responses((status = 200, body = Callers)))]
#[get("/api/v1/pos/customers")]
async fn by_phone(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<Phone>,
) -> Result<HttpResponse, Problem> {
    // A `+` of a query that was not encoded has become a space.
    let digits = query.phone.trim().trim_start_matches('+');
    if !(4..=15).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::field("phone", "must be a number in E.164").into());
    }
    let wanted = store::Filter {
        phone: Some(format!("+{digits}")),
        limit: 20,
        ..store::Filter::default()
    };
    let found = state.db.read(&caller.ctx, async |tx| {
        store::list(tx, &wanted).await.map_err(Error::from)
    });
    let (found, _) = found.await?;
    let found = found.into_iter().map(|c| CallerBody {
        customer_id: c.customer_id,
        name: c.name,
        phone: c.phone,
        gstin: c.gstin,
        customer_group_id: c.customer_group_id,
        status: c.status,
    });
    Ok(ok(&Done::first(Callers {
        items: found.collect(),
    })))
}

/// Customers by name, as CRM last told.
#[utoipa::path(tag = "customers", security(("bearer" = ["sales.customer.read"])), params(PageQuery, CustomerFilter), responses((status = 200, body = Page<CustomerBody>)))]
#[get("/api/v1/sales/customers")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<PageQuery>,
    filter: web::Query<CustomerFilter>,
) -> Result<HttpResponse, Problem> {
    Ok(page(&listed(&state, &caller, &filter, &query).await?))
}

/// A part of the list.
pub(super) async fn listed(
    state: &State,
    caller: &Caller,
    filter: &CustomerFilter,
    query: &PageQuery,
) -> Result<Page<CustomerBody>, Error> {
    caller.require("sales.customer.read")?;
    let after = query.cursor.as_deref().map(Cursor::decode).transpose();
    let after = after.map_err(|e| Fault::field("cursor", e.to_string()))?;
    let q = filter.q.as_deref().map(text).transpose()?;
    let mut wanted = store::Filter {
        phone: filter.phone.clone(),
        name: filter.name.clone(),
        ids: None,
        offset: if after.is_some() { 0 } else { query.offset() },
        after: after.map(|c| (c.key, c.id)),
        limit: query.limit(),
    };
    let (rows, total) = state
        .db
        .read(&caller.ctx, async |tx| {
            if let Some(q) = &q {
                let asked = asked(q);
                let found = store::matching(tx, &asked, &q.to_lowercase(), BEST, 0).await?;
                wanted.ids = Some(found.into_iter().map(|c| c.customer_id).collect());
            }
            store::list(tx, &wanted).await.map_err(Error::from)
        })
        .await?;
    let customers = Page::new(rows, query, total, |c| Cursor {
        key: c.name.clone(),
        id: c.customer_id.uuid(),
    });
    Ok(customers.map(CustomerBody::from))
}

/// Customers, for a search through everything.
#[utoipa::path(tag = "search", security(("bearer" = ["sales.customer.read"])), params(Search), responses((status = 200, body = Hits)))]
#[get("/internal/v1/search/customers")]
async fn hits(
    state: web::Data<State>,
    caller: Caller,
    query: web::Query<Search>,
) -> Result<HttpResponse, Problem> {
    let wanted = query.wanted()?;
    let (words, name) = (asked(&wanted.q), wanted.q.to_lowercase());
    let found = state.db.read(&caller.ctx, async |tx| {
        let found = store::matching(tx, &words, &name, wanted.read, wanted.offset);
        found.await.map_err(Error::from)
    });
    let hits = found.await?.into_iter().map(|c| Hit {
        kind: "customer".to_owned(),
        id: c.customer_id.uuid(),
        score: fits(&c, &name, &words),
        url: format!("/api/v1/sales/customers/{}", c.customer_id),
        subtitle: c.phone.or(c.gstin).or(c.email),
        title: c.name,
    });
    let mut hits: Vec<Hit> = hits.collect();
    hits.sort_by_key(|hit| std::cmp::Reverse(hit.score));
    Ok(HttpResponse::Ok().json(wanted.hits(hits)))
}

/// One customer.
#[utoipa::path(tag = "customers", security(("bearer" = ["sales.customer.read"])), responses((status = 200, body = CustomerBody), (status = 404)))]
#[get("/api/v1/sales/customers/{id:[^:/]+}")]
async fn get_one(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<CustomerId>,
) -> Result<HttpResponse, Problem> {
    let found = state
        .db
        .read(&caller.ctx, async |tx| {
            store::find(tx, *id)
                .await?
                .ok_or_else(|| Error::from(Fault::NotFound))
        })
        .await?;
    Ok(ok(&Done::first(CustomerBody::from(found))))
}

/// What a customer owes.
#[derive(Clone, Debug, Serialize, ToSchema, SimpleObject)]
#[graphql(name = "CustomerAccount")]
pub(super) struct AccountBody {
    #[graphql(skip)]
    customer_id: CustomerId,
    status: String,
    /// None: no credit is given.
    credit_limit: Option<Money>,
    credit_days: i32,
    /// Posted and unpaid.
    dues: Money,
    /// Confirmed orders that are not invoiced.
    orders: Money,
    /// Received and not allocated.
    advances: Money,
    /// dues + orders - advances.
    exposure: Money,
    /// What the exposure may still be raised by without an override.
    available: Money,
}
impl Versioned for AccountBody {
    fn version(&self) -> Option<i64> {
        None
    }
}

impl From<Account> for AccountBody {
    fn from(a: Account) -> Self {
        Self {
            exposure: a.exposure(),
            available: a.available(),
            customer_id: a.customer_id,
            status: a.status.unwrap_or_default(),
            credit_limit: a.credit_limit,
            credit_days: a.credit_days.unwrap_or_default(),
            dues: a.dues,
            orders: a.orders,
            advances: a.advances,
        }
    }
}

/// What a customer owes and may owe.
#[utoipa::path(tag = "customers", security(("bearer" = ["sales.customer.read"])), responses((status = 200, body = AccountBody), (status = 404)))]
#[get("/api/v1/sales/customers/{id:[^:/]+}/account")]
async fn account(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<CustomerId>,
) -> Result<HttpResponse, Problem> {
    let found = state
        .db
        .read(&caller.ctx, async |tx| {
            store::account(tx, *id)
                .await?
                .ok_or_else(|| Error::from(Fault::NotFound))
        })
        .await?;
    Ok(ok(&Done::first(AccountBody::from(found))))
}
