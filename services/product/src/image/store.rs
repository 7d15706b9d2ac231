//! Every statement about pictures of products.

use bahi_db::{Error as Db, Tx, sql};
use bahi_http::{Walk, walk};
use bahi_types::{ProductId, TenantId};
use diesel::{
    prelude::*,
    sql_types::{Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::{
    Error,
    image::model::{Image, Status},
    schema::{
        product,
        product_image::{self, dsl},
    },
};

/// A picture of some tenant.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub struct Task {
    /// Tenant.
    #[diesel(sql_type = SqlUuid)]
    pub tenant_id: TenantId,
    /// Picture.
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
}

/// Locks a product, whose pictures are about to change; before any of them is locked.
pub async fn lock_product(tx: &mut Tx, id: ProductId) -> Result<(), Error> {
    let row = product::table
        .filter(product::tenant_id.eq(tx.tenant()))
        .filter(product::id.eq(id))
        .select(product::id)
        .for_no_key_update();
    let _: ProductId = row.first(tx.conn()).await?;
    Ok(())
}

/// Refuses a product that is not there.
pub async fn check_product(tx: &mut Tx, id: ProductId) -> Result<(), Error> {
    let row = product::table
        .filter(product::tenant_id.eq(tx.tenant()))
        .filter(product::id.eq(id))
        .select(product::id);
    let _: ProductId = row.first(tx.conn()).await?;
    Ok(())
}

/// One picture that is not deleted, locked.
pub async fn lock(tx: &mut Tx, product: ProductId, id: Uuid) -> Result<Image, Error> {
    let row = dsl::product_image
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id))
        .filter(dsl::product_id.eq(product))
        .filter(dsl::status.ne(Status::Deleted));
    Ok(row
        .select(Image::as_select())
        .for_update()
        .first(tx.conn())
        .await?)
}

/// One picture, whatever has become of it and of its product, locked.
pub async fn lock_any(tx: &mut Tx, id: Uuid) -> Result<Option<Image>, Error> {
    let row = dsl::product_image
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    Ok(row
        .select(Image::as_select())
        .for_update()
        .first(tx.conn())
        .await
        .optional()?)
}

/// Pictures of a product, those on their way included.
pub async fn count(tx: &mut Tx, product: ProductId) -> Result<i64, Error> {
    let rows = dsl::product_image
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::product_id.eq(product))
        .filter(dsl::status.ne(Status::Deleted));
    Ok(rows.count().get_result(tx.conn()).await?)
}

/// The last place that is taken; the product is locked.
pub async fn last_position(tx: &mut Tx, product: ProductId) -> Result<i32, Error> {
    let rows = dsl::product_image
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::product_id.eq(product));
    let last: Option<i32> = rows
        .select(diesel::dsl::max(dsl::position))
        .first(tx.conn())
        .await?;
    Ok(last.unwrap_or_default())
}

/// The ready pictures of a product, locked in the order of their ids.
pub async fn lock_ready(tx: &mut Tx, product: ProductId) -> Result<Vec<Image>, Error> {
    let rows = dsl::product_image
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::product_id.eq(product))
        .filter(dsl::status.eq(Status::Ready));
    Ok(rows
        .order(dsl::id)
        .select(Image::as_select())
        .for_update()
        .load(tx.conn())
        .await?)
}

/// A page of the ready pictures of a product, and how many there are.
pub async fn list(tx: &mut Tx, product: ProductId, at: &Walk) -> Result<(Vec<Image>, i64), Error> {
    let tenant = tx.tenant();
    let ready = || {
        dsl::product_image
            .filter(dsl::tenant_id.eq(tenant))
            .filter(dsl::product_id.eq(product))
            .filter(dsl::status.eq(Status::Ready))
            .into_boxed()
    };
    let total = ready().count().get_result(tx.conn()).await?;
    let rows = ready().select(Image::as_select());
    let page = walk!(rows, at, dsl::position, i32, dsl::id)
        .load(tx.conn())
        .await?;
    Ok((page, total))
}

/// Adds a picture.
pub async fn insert(tx: &mut Tx, image: &Image) -> Result<(), Error> {
    let row = (dsl::tenant_id.eq(tx.tenant()), image);
    diesel::insert_into(product_image::table)
        .values(row)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Stores a picture that is locked.
pub async fn save(tx: &mut Tx, image: &Image) -> Result<(), Error> {
    let row = dsl::product_image
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(image.id));
    diesel::update(row).set(image).execute(tx.conn()).await?;
    Ok(())
}

/// Pictures of every tenant whose objects can go.
pub async fn to_clear(tx: &mut Tx) -> Result<Vec<Task>, Error> {
    let now = tx.now();
    Ok(sql("select tenant_id, id from product_images_to_clear($1)")
        .bind::<Timestamptz, _>(now)
        .load(tx.conn())
        .await?)
}

/// Deletes the row of a picture whose objects are gone.
pub async fn delete(tx: &mut Tx, id: Uuid) -> Result<(), Db> {
    let row = dsl::product_image
        .filter(dsl::tenant_id.eq(tx.tenant()))
        .filter(dsl::id.eq(id));
    diesel::delete(row).execute(tx.conn()).await?;
    Ok(())
}
