//! Orders in the graph.

use std::collections::HashMap;

use async_graphql::{ComplexObject, Context, ID, Object};
use bahi_db::{Done, Tx};
use bahi_graphql::{Batch, Call, Connection, Paging, Result, by};
use bahi_http::valid;

use super::{
    commands::{self, End},
    http::{Confirmation, Ending, OrderBody, OrderFilter, OrderInput, OrderLineBody, listed},
    model::{Order, OrderId},
    store,
};
use crate::{
    customer::{self, CustomerBody},
    error::Error,
    stubs::{Branch, Location, Product, User},
};

struct ById;

impl Batch for ById {
    type Key = OrderId;
    type Value = OrderBody;
    type Error = Error;

    async fn load(
        tx: &mut Tx,
        ids: &[OrderId],
    ) -> std::result::Result<HashMap<OrderId, OrderBody>, Error> {
        let found = store::by_ids(tx, ids).await?.into_iter();
        let found = found
            .map(OrderBody::try_from)
            .collect::<std::result::Result<_, _>>()?;
        Ok(by(found, |order: &OrderBody| order.order_id))
    }
}

/// An order by its id.
pub(crate) async fn one(ctx: &Context<'_>, id: OrderId) -> Result<Option<OrderBody>> {
    ctx.reader("sales.order.read")?;
    ctx.load::<ById>(id).await
}

#[ComplexObject]
impl OrderBody {
    /// Lines.
    async fn lines(&self, ctx: &Context<'_>) -> Result<Vec<OrderLineBody>> {
        // There is no order without lines: what has none comes of a list.
        if !self.lines.is_empty() {
            return Ok(self.lines.clone());
        }
        let whole = one(ctx, self.order_id).await?;
        Ok(whole.map_or(Vec::new(), |order| order.lines))
    }

    /// The branch that sells.
    async fn branch(&self) -> Branch {
        Branch { id: self.branch_id }
    }

    /// Where the goods come from.
    async fn location(&self) -> Location {
        Location {
            id: self.location_id,
        }
    }

    /// The customer, where he is known.
    async fn customer(&self, ctx: &Context<'_>) -> Result<Option<CustomerBody>> {
        customer::graphql::some(ctx, self.customer_id).await
    }

    /// Who sells.
    async fn salesperson(&self) -> Option<User> {
        self.offer.salesperson_id.map(|id| User { id })
    }

    /// Who took it down.
    async fn creator(&self) -> Option<User> {
        self.created_by.map(|id| User { id })
    }

    /// The quotation that it accepts.
    #[graphql(name = "quotationId")]
    async fn id_of_quotation(&self) -> Option<ID> {
        self.quotation_id.map(ID::from)
    }
}

#[ComplexObject]
impl OrderLineBody {
    /// The product.
    async fn product(&self) -> Product {
        Product {
            id: self.offer.product_id,
        }
    }
}

/// What can be asked.
#[derive(Default)]
pub struct Query;

#[Object(name = "OrderQuery")]
impl Query {
    #[graphql(entity)]
    async fn find_order(&self, ctx: &Context<'_>, id: OrderId) -> Result<Option<OrderBody>> {
        one(ctx, id).await
    }

    /// An order.
    async fn order(&self, ctx: &Context<'_>, id: OrderId) -> Result<Option<OrderBody>> {
        one(ctx, id).await
    }

    /// Orders, newest first unless sorted by `created_at:asc`.
    async fn orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        sort: Option<String>,
        filter: Option<OrderFilter>,
    ) -> Result<Connection<OrderBody>> {
        let paging = Paging::new(first, after, sort)?;
        let filter = filter.unwrap_or_default();
        let page = listed(ctx.state()?, ctx.caller()?, &filter, &paging.query()).await?;
        let order = |head| {
            let lines = Vec::new();
            OrderBody::try_from(Order { head, lines })
        };
        Ok(paging.connection(page.map(order).transpose()?))
    }
}

/// What can be done.
#[derive(Default)]
pub struct Mutation;

#[Object(name = "OrderMutation")]
impl Mutation {
    /// Takes an order down. It is a draft: nothing is promised yet.
    async fn create_order(&self, ctx: &Context<'_>, input: OrderInput) -> Result<OrderBody> {
        let caller = ctx.commander("sales.order.write")?;
        let terms = valid(input)?.into();
        shown(commands::create(ctx.state()?, &caller, terms).await?)
    }

    /// Says a draft, which the caller has seen at a version, anew. It is priced anew, and keeps its number.
    async fn update_order(
        &self,
        ctx: &Context<'_>,
        id: OrderId,
        version: i64,
        input: OrderInput,
    ) -> Result<OrderBody> {
        let caller = ctx.commander("sales.order.write")?;
        let terms = valid(input)?.into();
        shown(commands::amend(ctx.state()?, &caller, id, version, terms).await?)
    }

    /// Confirms an order: claims the customer's credit and holds the stock. Confirmed again, it is the same.
    async fn confirm_order(
        &self,
        ctx: &Context<'_>,
        id: OrderId,
        #[graphql(
            desc = "Why it may go beyond the customer's credit limit; needs the permission `sales.credit.override`."
        )]
        credit_override: Option<String>,
    ) -> Result<OrderBody> {
        let caller = ctx.commander("sales.order.write")?;
        let Confirmation { credit_override } = valid(Confirmation { credit_override })?;
        if credit_override.is_some() {
            caller.require("sales.credit.override")?;
        }
        shown(commands::confirm(ctx.state()?, &caller, id, credit_override).await?)
    }

    /// Cancels an order of which nothing was delivered or billed, and gives back what is held for it.
    async fn cancel_order(
        &self,
        ctx: &Context<'_>,
        id: OrderId,
        #[graphql(desc = "Why.")] reason: Option<String>,
    ) -> Result<OrderBody> {
        end(ctx, id, End::Cancelled, reason).await
    }

    /// Closes an order of which something was delivered, and gives back the rest. What was delivered must be billed, and
    /// what was billed delivered.
    async fn close_order(
        &self,
        ctx: &Context<'_>,
        id: OrderId,
        #[graphql(desc = "Why.")] reason: Option<String>,
    ) -> Result<OrderBody> {
        end(ctx, id, End::Closed, reason).await
    }

    /// Looks at once for stock for what is back ordered.
    async fn allocate_order(&self, ctx: &Context<'_>, id: OrderId) -> Result<OrderBody> {
        let caller = ctx.commander("sales.order.write")?;
        shown(commands::allocate(ctx.state()?, &caller, id).await?)
    }
}

async fn end(
    ctx: &Context<'_>,
    id: OrderId,
    end: End,
    reason: Option<String>,
) -> Result<OrderBody> {
    let caller = ctx.commander("sales.order.write")?;
    let Ending { reason } = valid(Ending { reason })?;
    shown(commands::end(ctx.state()?, &caller, id, end, reason).await?)
}

fn shown(done: Done<Order>) -> Result<OrderBody> {
    Ok(done.value.try_into()?)
}
