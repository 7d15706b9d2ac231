//! Writing the company down.

use bahi_db::{Ctx, Done, Error as DbError, Tx};
use serde_json::json;

use super::{
    model::{Company, same_pan},
    store,
};
use crate::{Error, State, events};

/// What may change.
#[derive(Clone, Debug)]
pub struct Change {
    /// Name as on the PAN card.
    pub legal_name: String,
    /// Name over the door.
    pub trade_name: Option<String>,
    /// Permanent Account Number.
    pub pan: Option<String>,
    /// Currency of the books.
    pub currency: String,
    /// Whether everybody needs a second factor; as it is where nothing is said.
    pub require_mfa: Option<bool>,
}

/// The row of a new tenant.
pub async fn first(tx: &mut Tx, name: &str) -> Result<Company, Error> {
    let company = Company {
        tenant_id: tx.tenant(),
        legal_name: name.to_owned(),
        trade_name: None,
        pan: None,
        currency: "INR".into(),
        version: 1,
        created_at: tx.now(),
        updated_at: tx.now(),
        require_mfa: false,
    };
    store::insert(tx, &company).await?;
    Ok(company)
}

/// Changes the company's details.
pub async fn update(
    state: &State,
    ctx: &Ctx,
    version: i64,
    change: Change,
) -> Result<Done<Company>, Error> {
    ctx.everywhere()?;
    state
        .db
        .write(ctx, async move |tx: &mut Tx| {
            let mut company = store::lock(tx).await?;
            if company.version != version {
                return Err(DbError::Stale { current: company.version }.into());
            }
            for gstin in store::gstins(tx).await? {
                same_pan(change.pan.as_deref(), &gstin)?;
            }
            let before = json!({ "legal_name": company.legal_name, "pan": company.pan, "currency": company.currency, "require_mfa": company.require_mfa });
            let Change { legal_name, trade_name, pan, currency, require_mfa } = change;
            company = Company {
                legal_name,
                trade_name,
                pan,
                currency,
                require_mfa: require_mfa.unwrap_or(company.require_mfa),
                version: company.version + 1,
                updated_at: tx.now(),
                ..company
            };
            store::save(tx, &company).await?;
            tx.publish(events::company_updated(&company));
            let after = json!({ "legal_name": company.legal_name, "pan": company.pan, "currency": company.currency, "require_mfa": company.require_mfa });
            let details = json!({ "before": before, "after": after });
            tx.audit("identity.company.update", ("company", company.tenant_id.uuid()), None, details);
            Ok(company)
        })
        .await
}
