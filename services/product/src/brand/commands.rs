//! What can be done with brands.

use bahi_db::{Ctx, Done, Tx};
use bahi_types::BrandId;
use serde_json::json;

use crate::{
    Error, State,
    brand::{model::Brand, store},
};

/// Adds a brand.
pub async fn create(state: &State, ctx: &Ctx, name: String) -> Result<Done<Brand>, Error> {
    let create = async move |tx: &mut Tx| -> Result<Brand, Error> {
        let brand = Brand::new(name, tx.now());
        store::insert(tx, std::slice::from_ref(&brand)).await?;
        Ok(brand)
    };
    state.db.write(ctx, create).await
}

/// Gives a brand another name.
pub async fn rename(
    state: &State,
    ctx: &Ctx,
    id: BrandId,
    seen: i64,
    name: String,
) -> Result<Done<Brand>, Error> {
    let rename = async move |tx: &mut Tx| -> Result<Brand, Error> {
        let before = store::lock(tx, id, seen).await?;
        let after = before.renamed(name, tx.now());
        if after != before {
            store::save(tx, &after).await?;
        }
        Ok(after)
    };
    state.db.write(ctx, rename).await
}

/// Deletes a brand that no product carries.
pub async fn delete(state: &State, ctx: &Ctx, id: BrandId, seen: i64) -> Result<Done<()>, Error> {
    let delete = async move |tx: &mut Tx| -> Result<(), Error> {
        let brand = store::lock(tx, id, seen).await?;
        store::delete(tx, id).await?;
        tx.audit(
            "product.brand.delete",
            ("brand", id.uuid()),
            None,
            json!({ "name": brand.name }),
        );
        Ok(())
    };
    state.db.write(ctx, delete).await
}
