//! Invoices in the graph.

use std::collections::HashMap;

use async_graphql::{ComplexObject, Context, ID, Object};
use bahi_db::Tx;
use bahi_graphql::{Batch as Batched, Call, Connection, Paging, Result, by};
use bahi_types::InvoiceId;

use super::{
    http::{BatchBody, InvoiceBody, InvoiceFilter, LineBody, TenderBody, WarningBody, listed},
    model::{Header, Invoice},
    store,
};
use crate::{
    customer::{self, CustomerBody},
    error::Error,
    order::{self, OrderBody, OrderId},
    returns::{self, ReturnBody},
    stubs::{Batch, Branch, Location, Product, Till, User},
};

struct ById;

impl Batched for ById {
    type Key = InvoiceId;
    type Value = InvoiceBody;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        ids: &[InvoiceId],
    ) -> std::result::Result<HashMap<InvoiceId, InvoiceBody>, Error> {
        let found = store::by_ids(tx, ids).await?.into_iter();
        let found = found.map(InvoiceBody::from).collect();
        Ok(by(found, |invoice: &InvoiceBody| invoice.invoice_id))
    }
}

/// An invoice by its id.
pub(crate) async fn one(ctx: &Context<'_>, id: InvoiceId) -> Result<Option<InvoiceBody>> {
    ctx.reader("sales.invoice.read")?;
    ctx.load::<ById>(id).await
}

/// As a list gives it: lines and payments are read when they are asked for.
fn listed_one(header: Header) -> InvoiceBody {
    let (lines, tenders) = (Vec::new(), Vec::new());
    InvoiceBody::from(Invoice {
        header,
        lines,
        tenders,
    })
}

impl InvoiceBody {
    /// What stands beside its header. There is no invoice without lines: what has none was not read yet.
    async fn beside<T: Clone>(
        &self,
        ctx: &Context<'_>,
        part: fn(&Self) -> &Vec<T>,
    ) -> Result<Vec<T>> {
        if !self.lines.is_empty() {
            return Ok(part(self).clone());
        }
        let whole = one(ctx, self.invoice_id).await?;
        Ok(whole.as_ref().map(part).cloned().unwrap_or_default())
    }
}

#[ComplexObject]
impl InvoiceBody {
    /// Lines.
    async fn lines(&self, ctx: &Context<'_>) -> Result<Vec<LineBody>> {
        self.beside(ctx, |invoice| &invoice.lines).await
    }

    /// How it was paid when it was issued; what was left on credit too.
    async fn payments(&self, ctx: &Context<'_>) -> Result<Vec<TenderBody>> {
        self.beside(ctx, |invoice| &invoice.tenders).await
    }

    /// What was sold although it gave cause to ask.
    async fn warnings(&self, ctx: &Context<'_>) -> Result<Vec<WarningBody>> {
        self.beside(ctx, |invoice| &invoice.warnings).await
    }

    /// What came back of it, the oldest first.
    async fn returns(&self, ctx: &Context<'_>) -> Result<Vec<ReturnBody>> {
        returns::graphql::of_invoice(ctx, self.invoice_id).await
    }

    /// The branch that has sold.
    async fn branch(&self) -> Branch {
        Branch { id: self.branch_id }
    }

    /// Where the goods came from.
    async fn location(&self) -> Location {
        Location {
            id: self.location_id,
        }
    }

    /// The till, where it was sold at one.
    async fn till(&self) -> Option<Till> {
        self.till_id.map(|id| Till { id })
    }

    /// The customer, where he is known.
    async fn customer(&self, ctx: &Context<'_>) -> Result<Option<CustomerBody>> {
        customer::graphql::some(ctx, self.customer_id).await
    }

    /// Who took the money, or wrote it in the office.
    async fn cashier(&self) -> Option<User> {
        self.cashier_id.map(|id| User { id })
    }

    /// Who has sold.
    async fn salesperson(&self) -> Option<User> {
        self.salesperson_id.map(|id| User { id })
    }
}

#[ComplexObject]
impl LineBody {
    /// The product.
    async fn product(&self) -> Product {
        Product {
            id: self.product_id,
        }
    }

    /// The order that it bills.
    #[graphql(name = "orderId")]
    async fn id_of_order(&self) -> Option<OrderId> {
        self.order_id.map(OrderId::from_uuid)
    }

    /// The order that it bills.
    async fn order(&self, ctx: &Context<'_>) -> Result<Option<OrderBody>> {
        match self.order_id {
            Some(id) => order::graphql::one(ctx, OrderId::from_uuid(id)).await,
            None => Ok(None),
        }
    }

    /// The delivery with which the goods left, where they have.
    #[graphql(name = "fulfilmentId")]
    async fn id_of_fulfilment(&self) -> Option<ID> {
        self.fulfilment_id.map(ID::from)
    }
}

#[ComplexObject]
impl BatchBody {
    /// The batch; null for goods without batches.
    async fn batch(&self) -> Option<Batch> {
        self.batch_id.map(|id| Batch { id })
    }
}

/// What can be asked.
#[derive(Default)]
pub struct Query;

#[Object(name = "InvoiceQuery")]
impl Query {
    #[graphql(entity)]
    async fn find_invoice(&self, ctx: &Context<'_>, id: InvoiceId) -> Result<Option<InvoiceBody>> {
        one(ctx, id).await
    }

    /// An invoice.
    async fn invoice(&self, ctx: &Context<'_>, id: InvoiceId) -> Result<Option<InvoiceBody>> {
        one(ctx, id).await
    }

    /// Invoices, newest first unless sorted by `issued_at:asc`.
    async fn invoices(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        sort: Option<String>,
        filter: Option<InvoiceFilter>,
    ) -> Result<Connection<InvoiceBody>> {
        let paging = Paging::new(first, after, sort)?;
        let filter = filter.unwrap_or_default();
        let page = listed(ctx.state()?, ctx.caller()?, &filter, &paging.query()).await?;
        Ok(paging.connection(page.map(listed_one)))
    }
}
