//! `/api/v1/products/{id}/images`.

use actix_web::{HttpResponse, delete, get, post, web};
use bahi_db::{Done, Tx};
use bahi_http::{
    Amend, Caller, Empty, Post, Problem, Versioned, Walk, created, no_content, ok, page, paging,
};
use bahi_objects::Objects;
use bahi_types::{Cursor, Page, ProductId, TenantId};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use uuid::Uuid;

use crate::{
    Error, State,
    image::{
        commands,
        model::{ContentType, Image, Keys, LONGEST, Status},
        store,
    },
};

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    cfg.service(announce)
        .service(list)
        .service(reorder)
        .service(complete)
        .service(remove);
}

/// A picture that a client is about to send.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ImageInput {
    /// Type.
    content_type: ContentType,
    /// Length in bytes, at most 10 MiB.
    #[garde(range(min = 1, max = LONGEST))]
    size: i64,
}

/// An order of pictures.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ImageOrder {
    /// Every ready picture of the product, once.
    image_ids: Vec<Uuid>,
}

/// How a picture is sent: these headers and the file, nothing else; the signature covers them.
#[derive(Serialize, ToSchema)]
pub struct UploadBody {
    /// Method.
    method: &'static str,
    /// URL, signed.
    url: String,
    /// Headers to send.
    headers: UploadHeaders,
    /// Until then it is good.
    expires_at: DateTime<Utc>,
}

/// Headers that the signature covers.
#[derive(Serialize, ToSchema)]
pub struct UploadHeaders {
    /// Type.
    #[serde(rename = "content-type")]
    content_type: ContentType,
    /// Length in bytes.
    #[serde(rename = "content-length")]
    content_length: String,
}

/// A thumbnail.
#[derive(Serialize, ToSchema)]
pub struct ThumbnailBody {
    /// Longest side in pixels, at most.
    size: u32,
    /// URL, signed. JPEG.
    url: String,
}

/// A picture of a product.
#[derive(Serialize, ToSchema)]
pub struct ImageBody {
    /// Id.
    id: Uuid,
    /// Version, for `If-Match`.
    version: i64,
    /// Where it stands.
    status: Status,
    /// Place among the ready ones, from 1.
    position: Option<i32>,
    /// Type.
    content_type: ContentType,
    /// Length in bytes.
    size: i64,
    /// Width in pixels, once it is ready.
    width: Option<i32>,
    /// Height in pixels, once it is ready.
    height: Option<i32>,
    /// Where to send it, while it is awaited.
    upload: Option<UploadBody>,
    /// Where to fetch it, once it is ready; signed.
    url: Option<String>,
    /// The picture made small, once it is ready.
    thumbnails: Vec<ThumbnailBody>,
    /// Until then the URLs for fetching are good.
    urls_expire_at: Option<DateTime<Utc>>,
    /// When it was announced.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl ImageBody {
    /// The picture with its URLs. They are made here and need no answer of the store.
    async fn of(
        image: Image,
        objects: &Objects,
        tenant: TenantId,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let keys = Keys::of(tenant, image.id);
        let (mut upload, mut url, mut thumbnails) = (None, None, Vec::new());
        let left = (image.upload_until - now).to_std().unwrap_or_default();
        if image.status == Status::Pending && left.as_secs() > 0 {
            let signed = objects
                .put_url(&keys.upload(), image.content_type.word(), image.bytes, left)
                .await?;
            upload = Some(UploadBody {
                method: "PUT",
                url: signed,
                headers: UploadHeaders {
                    content_type: image.content_type,
                    content_length: image.bytes.to_string(),
                },
                expires_at: image.upload_until,
            });
        }
        let ready = image.status == Status::Ready;
        if ready {
            url = Some(objects.get_url(&keys.original()).await?);
            for size in Keys::SIZES {
                let url = objects.get_url(&keys.thumbnail(size)).await?;
                thumbnails.push(ThumbnailBody { size, url });
            }
        }
        Ok(Self {
            id: image.id,
            version: image.version,
            status: image.status,
            position: image.position,
            content_type: image.content_type,
            size: image.bytes,
            width: image.width,
            height: image.height,
            upload,
            url,
            thumbnails,
            urls_expire_at: ready.then(|| now + Objects::VALID),
            created_at: image.created_at,
            updated_at: image.updated_at,
        })
    }
}

impl Versioned for ImageBody {
    fn version(&self) -> Option<i64> {
        Some(self.version)
    }
}

/// Which pictures, in their order.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListImages {
    page: Option<u32>,
    limit: Option<u32>,
    cursor: Option<String>,
    sort: Option<String>,
}
paging!(ListImages);

/// Announces a picture. The answer holds the URL to send it to; `:complete` follows.
#[utoipa::path(
    tag = "images",
    security(("bearer" = ["product.product.write"])), operation_id = "announce_image",
    params(("id" = ProductId, Path)),
    request_body = ImageInput,
    responses(
        (status = 201, body = ImageBody),
        (status = 422, description = "TOO_MANY_IMAGES"),
        (status = 503, description = "STORE_UNAVAILABLE")
    )
)]
#[post("/api/v1/products/{id}/images")]
async fn announce(
    state: web::Data<State>,
    id: web::Path<ProductId>,
    req: Post<ImageInput>,
) -> Result<HttpResponse, Problem> {
    let objects = state.objects()?;
    let (content_type, size) = (req.body.content_type, req.body.size);
    let done = commands::announce(&state, &req.caller.ctx, *id, content_type, size).await?;
    Ok(created(&shown(&state, objects, &req.caller, done).await?))
}

/// The pictures of a product, with URLs to fetch them.
#[utoipa::path(
    tag = "images",
    security(("bearer" = ["product.product.read"])), operation_id = "list_images",
    params(("id" = ProductId, Path), ListImages),
    responses((status = 200, body = Page<ImageBody>))
)]
#[get("/api/v1/products/{id}/images")]
async fn list(
    state: web::Data<State>,
    caller: Caller,
    id: web::Path<ProductId>,
    query: web::Query<ListImages>,
) -> Result<HttpResponse, Problem> {
    let objects = state.objects()?;
    let paging = query.paging();
    let walk = Walk::read(&paging, &["position"])?;
    let listed = async |tx: &mut Tx| -> Result<(Vec<Image>, i64), Error> {
        store::check_product(tx, *id).await?;
        store::list(tx, *id, &walk).await
    };
    let (images, total) = state.db.read(&caller.ctx, listed).await?;
    let cursor = |image: &Image| Cursor {
        key: image.position.unwrap_or_default().to_string(),
        id: image.id,
    };
    let listed = Page::new(images, &paging, total, cursor);
    let now = state.db.clock().now();
    let mut bodies = Vec::with_capacity(listed.items.len());
    for image in listed.items {
        bodies.push(ImageBody::of(image, objects, caller.tenant(), now).await?);
    }
    let answer = Page {
        items: bodies,
        page: listed.page,
        limit: listed.limit,
        total: listed.total,
        next_cursor: listed.next_cursor,
        cursors: listed.cursors,
    };
    Ok(page(&answer))
}

/// Puts the pictures into another order: the first is the product's face.
#[utoipa::path(
    tag = "images",
    security(("bearer" = ["product.product.write"])), operation_id = "reorder_images",
    params(("id" = ProductId, Path)),
    request_body = ImageOrder,
    responses(
        (status = 204),
        (status = 422, description = "IMAGE_ORDER")
    )
)]
#[post("/api/v1/products/{id}/images:reorder")]
async fn reorder(
    state: web::Data<State>,
    id: web::Path<ProductId>,
    req: Post<ImageOrder>,
) -> Result<HttpResponse, Problem> {
    let done = commands::reorder(&state, &req.caller.ctx, *id, req.body.image_ids).await?;
    Ok(no_content(&done))
}

/// Says that a picture was sent. What has arrived is looked at: it becomes ready, or is refused and removed.
#[utoipa::path(
    tag = "images",
    security(("bearer" = ["product.product.write"])), operation_id = "complete_image",
    params(("id" = ProductId, Path), ("image_id" = Uuid, Path)),
    request_body = Empty,
    responses(
        (status = 200, body = ImageBody),
        (status = 409, description = "IMAGE_NOT_SENT, IMAGE_BUSY"),
        (status = 422, description = "IMAGE_NO_PICTURE, IMAGE_TYPE_MISMATCH, IMAGE_SIZE_MISMATCH, IMAGE_TOO_MANY_PIXELS, IMAGE_BROKEN"),
        (status = 503, description = "STORE_UNAVAILABLE")
    )
)]
#[post("/api/v1/products/{id}/images/{image_id}:complete")]
async fn complete(
    state: web::Data<State>,
    path: web::Path<(ProductId, Uuid)>,
    req: Post<Empty>,
) -> Result<HttpResponse, Problem> {
    let (product, id) = path.into_inner();
    let objects = state.objects()?;
    let done = commands::complete(&state, &req.caller.ctx, product, id).await?;
    Ok(ok(&shown(&state, objects, &req.caller, done).await?))
}

#[utoipa::path(
    tag = "images",
    security(("bearer" = ["product.product.write"])), operation_id = "delete_image",
    params(("id" = ProductId, Path), ("image_id" = Uuid, Path)),
    responses(
        (status = 204),
        (status = 412, description = "STALE_VERSION")
    )
)]
#[delete("/api/v1/products/{id}/images/{image_id}")]
async fn remove(
    state: web::Data<State>,
    path: web::Path<(ProductId, Uuid)>,
    req: Amend<Empty>,
) -> Result<HttpResponse, Problem> {
    let (product, id) = path.into_inner();
    let done = commands::delete(&state, &req.caller.ctx, product, id, req.version).await?;
    Ok(no_content(&done))
}

async fn shown(
    state: &State,
    objects: &Objects,
    caller: &Caller,
    done: Done<Image>,
) -> Result<Done<ImageBody>, Error> {
    let now = state.db.clock().now();
    Ok(Done {
        value: ImageBody::of(done.value, objects, caller.tenant(), now).await?,
        replayed: done.replayed,
    })
}
