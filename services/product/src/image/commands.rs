//! What can be done with pictures: announce, complete, reorder, delete, clear.

use std::time::Duration;

use bahi_db::{Ctx, Db, Done, Error as DbError, Tx};
use bahi_objects::{Found, Objects};
use bahi_service::Failures;
use bahi_types::{ProductId, TenantId};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    Error, State,
    image::{
        model::{self, ContentType, Image, Keys, LONGEST, MOST, Status},
        picture::{Picture, Refused},
        store,
    },
};

/// How long a completion may wait for its turn.
const TURN: Duration = Duration::from_secs(10);
/// How long one may take, so that it ends before its lease does.
const WORK: Duration = Duration::from_secs(90);

/// Announces a picture.
pub async fn announce(
    state: &State,
    ctx: &Ctx,
    product: ProductId,
    content_type: ContentType,
    bytes: i64,
) -> Result<Done<Image>, Error> {
    let announce = async move |tx: &mut Tx| -> Result<Image, Error> {
        store::lock_product(tx, product).await?;
        if store::count(tx, product).await? >= MOST {
            return Err(Error::TooManyImages(MOST));
        }
        let image = Image::new(product, content_type, bytes, tx.now());
        store::insert(tx, &image).await?;
        Ok(image)
    };
    state.db.write(ctx, announce).await
}

/// Looks at what was sent; it becomes ready, or is refused and removed. It goes on when the client hangs up.
pub async fn complete(
    state: &State,
    ctx: &Ctx,
    product: ProductId,
    id: Uuid,
) -> Result<Done<Image>, Error> {
    let (state, ctx) = (state.clone(), ctx.clone());
    let work = async move { settle(&state, &ctx, product, id).await };
    tokio::spawn(work.in_current_span())
        .await
        .unwrap_or_else(|panic| {
            tracing::error!(%panic, "a completion panicked");
            Err(Error::ImageBusy)
        })
}

async fn settle(
    state: &State,
    ctx: &Ctx,
    product: ProductId,
    id: Uuid,
) -> Result<Done<Image>, Error> {
    let objects = state.objects()?;
    // Memory is taken from here on: a picture's worth for each turn.
    let turn = tokio::time::timeout(TURN, state.pictures.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return Err(Error::ImageBusy);
    };
    let claim = async move |tx: &mut Tx| -> Result<Image, Error> {
        let mut image = store::lock(tx, product, id).await?;
        if image.status == Status::Pending {
            image.claim(tx.now())?;
            store::save(tx, &image).await?;
        }
        Ok(image)
    };
    // The key is claimed with the effect, at the end.
    let mut own = ctx.clone();
    own.idempotency = None;
    let image = state.db.write(&own, claim).await?.value;
    if image.status == Status::Ready {
        let ready = async move |tx: &mut Tx| store::lock(tx, product, id).await;
        return state.db.write(ctx, ready).await;
    }
    bahi_service::pause_point("product.image_claimed").await;
    let keys = Keys::of(ctx.tenant, id);
    let work = tokio::time::timeout(WORK, take(objects, keys, &image)).await;
    let size = match work.unwrap_or_else(|_| Err(Error::StoreAway("it takes too long".into()))) {
        Ok(size) => size,
        Err(error) => {
            let refused = matches!(error, Error::ImageRefused(_));
            give_back(&state.db, &own, id, refused).await?;
            return Err(error);
        }
    };
    let accept = async move |tx: &mut Tx| -> Result<Image, Error> {
        store::lock_product(tx, product).await?;
        let mut image = store::lock(tx, product, id).await?;
        let last = store::last_position(tx, product).await?;
        image.accept(size, last + 1, tx.now());
        store::save(tx, &image).await?;
        Ok(image)
    };
    let done = match state.db.write(ctx, accept).await {
        Ok(done) => done,
        Err(error) => {
            // Deleted on the way, or the database is away; then the lease runs out.
            give_back(&state.db, &own, id, false).await.ok();
            return Err(error);
        }
    };
    // What a URL can still write to is not needed any more; should it stay, it goes with the picture.
    if let Err(error) = objects.delete(&keys.upload()).await {
        tracing::debug!(?error, "what was uploaded stays for now");
    }
    Ok(done)
}

/// Fetches what was sent, checks it and stores what is kept. Nothing of it is in the database.
async fn take(objects: &Objects, keys: Keys, image: &Image) -> Result<(u32, u32), Error> {
    let (content_type, bytes) = (image.content_type, image.bytes);
    let most = usize::try_from(LONGEST).unwrap_or_default();
    let file = match objects.get(&keys.upload(), most).await? {
        Found::Nothing => return Err(Error::ImageNotSent),
        Found::TooLong(found) => {
            let announced = bytes;
            return Err(Error::ImageRefused(Refused::OtherSize { found, announced }));
        }
        Found::Object(file) => file,
    };
    let looked_at = file.clone();
    let picture =
        tokio::task::spawn_blocking(move || Picture::read(&looked_at, content_type, bytes)).await;
    // A decoder that panics has met a file that is broken in a new way.
    let picture = picture
        .unwrap_or(Err(Refused::Broken))
        .map_err(Error::ImageRefused)?;
    objects
        .put(&keys.original(), file, content_type.word())
        .await?;
    for (side, thumbnail) in Keys::SIZES.into_iter().zip(picture.thumbnails) {
        objects
            .put(&keys.thumbnail(side), thumbnail, ContentType::Jpeg.word())
            .await?;
    }
    Ok(picture.size)
}

/// Ends a claim that has not come to its end; a picture that was refused is deleted.
async fn give_back(db: &Db, ctx: &Ctx, id: Uuid, refused: bool) -> Result<(), Error> {
    let give_back = async move |tx: &mut Tx| -> Result<(), Error> {
        let Some(mut image) = store::lock_any(tx, id).await? else {
            return Ok(());
        };
        image.lease_until = None;
        if refused {
            image.discard(tx.now());
        }
        store::save(tx, &image).await
    };
    db.write(ctx, give_back).await?;
    Ok(())
}

/// Puts the pictures of a product into another order.
pub async fn reorder(
    state: &State,
    ctx: &Ctx,
    product: ProductId,
    wanted: Vec<Uuid>,
) -> Result<Done<Vec<Image>>, Error> {
    let reorder = async move |tx: &mut Tx| -> Result<Vec<Image>, Error> {
        store::lock_product(tx, product).await?;
        let now = tx.now();
        let mut images = model::ordered(store::lock_ready(tx, product).await?, &wanted)?;
        for (image, position) in images.iter_mut().zip(1..) {
            if image.position != Some(position) {
                image.position = Some(position);
                image.version += 1;
                image.updated_at = now;
                store::save(tx, image).await?;
            }
        }
        Ok(images)
    };
    state.db.write(ctx, reorder).await
}

/// Deletes a picture; its objects go soon after.
pub async fn delete(
    state: &State,
    ctx: &Ctx,
    product: ProductId,
    id: Uuid,
    seen: i64,
) -> Result<Done<()>, Error> {
    let delete = async move |tx: &mut Tx| -> Result<(), Error> {
        let mut image = store::lock(tx, product, id).await?;
        if image.version != seen {
            let current = image.version;
            return Err(DbError::Stale { current }.into());
        }
        image.discard(tx.now());
        store::save(tx, &image).await
    };
    state.db.write(ctx, delete).await
}

/// Clears away pictures that were never sent, were deleted, or have lost their product: their objects first, then the
/// row that knows of them.
pub async fn clear(state: &State) -> Result<(), Error> {
    let Ok(objects) = state.objects() else {
        return Ok(());
    };
    let nobody = Ctx::service(state.db.service(), TenantId::from_uuid(Uuid::nil()));
    let tasks = state
        .db
        .read(&nobody, async |tx: &mut Tx| store::to_clear(tx).await)
        .await?;
    let mut failures = Failures::none();
    for task in tasks {
        failures.pass(clear_one(state, objects, task.tenant_id, task.id).await);
    }
    failures.end()
}

async fn clear_one(
    state: &State,
    objects: &Objects,
    tenant: TenantId,
    id: Uuid,
) -> Result<(), Error> {
    let ctx = Ctx::service(state.db.service(), tenant);
    // From here on nobody can complete it; somebody may have begun to since it was listed.
    let close = async move |tx: &mut Tx| -> Result<bool, Error> {
        let Some(mut image) = store::lock_any(tx, id).await? else {
            return Ok(false);
        };
        let worked_on = image.lease_until.is_some_and(|until| until > tx.now());
        if worked_on || image.status == Status::Ready && image.product_id.is_some() {
            return Ok(false);
        }
        image.discard(tx.now());
        store::save(tx, &image).await?;
        Ok(true)
    };
    if !state.db.write(&ctx, close).await?.value {
        return Ok(());
    }
    for key in Keys::of(tenant, id).all() {
        objects.delete(&key).await?;
    }
    let gone = async move |tx: &mut Tx| -> Result<(), Error> { Ok(store::delete(tx, id).await?) };
    state.db.write(&ctx, gone).await?;
    Ok(())
}
