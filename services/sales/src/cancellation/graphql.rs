//! Cancelling in the graph.

use async_graphql::{Context, Object};
use bahi_graphql::{Call, Result};
use bahi_http::valid;
use bahi_types::InvoiceId;

use super::{commands, http::Cancel};
use crate::invoice::InvoiceBody;

/// What can be done.
#[derive(Default)]
pub struct Mutation;

#[Object(name = "CancellationMutation")]
impl Mutation {
    /// Cancels an invoice; it keeps its number, and its goods come back.
    async fn cancel_invoice(
        &self,
        ctx: &Context<'_>,
        id: InvoiceId,
        input: Cancel,
    ) -> Result<InvoiceBody> {
        let caller = ctx.commander("sales.invoice.cancel")?;
        let wish = valid(input)?.wish()?;
        let done = commands::cancel(ctx.state()?, &caller, id, wish).await?;
        Ok(done.value.into())
    }
}
