//! Returns in the graph.

use std::collections::HashMap;

use async_graphql::{ComplexObject, Context, Object};
use bahi_db::Tx;
use bahi_graphql::{Batch, Call, Connection, Paging, Result, by};
use bahi_http::valid;
use bahi_types::InvoiceId;

use super::{
    http::{NewReturn, ReturnBody, ReturnFilter, ReturnLineBody, listed, taken_back},
    model::{CreditNote, NoteHeader},
    store,
};
use crate::{
    error::Error,
    invoice::{self, InvoiceBody, TenderBody},
    stubs::{Branch, Location, Product, Till, User},
};

struct ById;

impl Batch for ById {
    type Key = InvoiceId;
    type Value = ReturnBody;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        ids: &[InvoiceId],
    ) -> std::result::Result<HashMap<InvoiceId, ReturnBody>, Error> {
        let found = store::by_ids(tx, ids).await?.into_iter();
        let found = found.map(ReturnBody::from).collect();
        Ok(by(found, |note: &ReturnBody| note.summary.credit_note_id))
    }
}

/// What came back of an invoice.
struct OfInvoice;

impl Batch for OfInvoice {
    type Key = InvoiceId;
    type Value = Vec<ReturnBody>;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        invoices: &[InvoiceId],
    ) -> std::result::Result<HashMap<InvoiceId, Vec<ReturnBody>>, Error> {
        let mut found: HashMap<InvoiceId, Vec<ReturnBody>> = HashMap::new();
        for header in store::of_invoices(tx, invoices).await? {
            if let Some(invoice) = header.original_invoice_id {
                found.entry(invoice).or_default().push(listed_one(header));
            }
        }
        Ok(found)
    }
}

/// What came back of an invoice, the oldest first.
pub(crate) async fn of_invoice(ctx: &Context<'_>, invoice: InvoiceId) -> Result<Vec<ReturnBody>> {
    ctx.reader("sales.return.read")?;
    Ok(ctx.load::<OfInvoice>(invoice).await?.unwrap_or_default())
}

async fn one(ctx: &Context<'_>, id: InvoiceId) -> Result<Option<ReturnBody>> {
    ctx.reader("sales.return.read")?;
    ctx.load::<ById>(id).await
}

/// As a list gives it: lines and refunds are read when they are asked for.
fn listed_one(header: NoteHeader) -> ReturnBody {
    let (lines, tenders) = (Vec::new(), Vec::new());
    ReturnBody::from(CreditNote {
        header,
        lines,
        tenders,
    })
}

impl ReturnBody {
    /// What stands beside its header. There is no return without lines: what has none was not read yet.
    async fn beside<T: Clone>(
        &self,
        ctx: &Context<'_>,
        part: fn(&Self) -> &Vec<T>,
    ) -> Result<Vec<T>> {
        if !self.lines.is_empty() {
            return Ok(part(self).clone());
        }
        let whole = one(ctx, self.summary.credit_note_id).await?;
        Ok(whole.as_ref().map(part).cloned().unwrap_or_default())
    }
}

#[ComplexObject]
impl ReturnBody {
    /// Lines.
    async fn lines(&self, ctx: &Context<'_>) -> Result<Vec<ReturnLineBody>> {
        self.beside(ctx, |note| &note.lines).await
    }

    /// How it was refunded.
    async fn refunds(&self, ctx: &Context<'_>) -> Result<Vec<TenderBody>> {
        self.beside(ctx, |note| &note.refund_tenders).await
    }

    /// The invoice whose goods came back; null without a bill.
    async fn original_invoice(&self, ctx: &Context<'_>) -> Result<Option<InvoiceBody>> {
        match self.summary.original_invoice_id {
            Some(id) => invoice::graphql::one(ctx, id).await,
            None => Ok(None),
        }
    }

    /// The branch that took the goods back.
    async fn branch(&self) -> Branch {
        Branch {
            id: self.summary.branch_id,
        }
    }

    /// Where the goods went.
    async fn location(&self) -> Location {
        Location {
            id: self.summary.location_id,
        }
    }

    /// The till, where they were taken back at one.
    async fn till(&self) -> Option<Till> {
        self.summary.till_id.map(|id| Till { id })
    }

    /// Who took them back.
    async fn cashier(&self) -> Option<User> {
        self.summary.cashier_id.map(|id| User { id })
    }
}

#[ComplexObject]
impl ReturnLineBody {
    /// The product.
    async fn product(&self) -> Product {
        Product {
            id: self.product_id,
        }
    }
}

/// What can be asked.
#[derive(Default)]
pub struct Query;

#[Object(name = "ReturnQuery")]
impl Query {
    #[graphql(entity)]
    async fn find_return(&self, ctx: &Context<'_>, id: InvoiceId) -> Result<Option<ReturnBody>> {
        one(ctx, id).await
    }

    /// A return, as its credit note.
    #[graphql(name = "return")]
    async fn one_return(&self, ctx: &Context<'_>, id: InvoiceId) -> Result<Option<ReturnBody>> {
        one(ctx, id).await
    }

    /// Returns, newest first unless sorted by `issued_at:asc`.
    async fn returns(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        sort: Option<String>,
        filter: Option<ReturnFilter>,
    ) -> Result<Connection<ReturnBody>> {
        let paging = Paging::new(first, after, sort)?;
        let filter = filter.unwrap_or_default();
        let page = listed(ctx.state()?, ctx.caller()?, &filter, &paging.query()).await?;
        Ok(paging.connection(page.map(listed_one)))
    }
}

/// What can be done.
#[derive(Default)]
pub struct Mutation;

#[Object(name = "ReturnMutation")]
impl Mutation {
    /// Takes goods back and issues the credit note.
    async fn create_return(&self, ctx: &Context<'_>, input: NewReturn) -> Result<ReturnBody> {
        let caller = ctx.commander("sales.return.write")?;
        let done = taken_back(ctx.state()?, &caller, valid(input)?).await?;
        Ok(done.value.into())
    }
}
