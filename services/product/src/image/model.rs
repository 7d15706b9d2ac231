//! A picture of a product, and what may become of it.

use bahi_types::{ProductId, TenantId};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, schema::product_image, text::words};

/// Most pictures of one product, those on their way included.
pub const MOST: i64 = 20;
/// Longest picture in bytes.
pub const LONGEST: i64 = 10 * 1024 * 1024;
/// How long the URL for sending a picture is good.
pub const UPLOAD: TimeDelta = TimeDelta::minutes(15);
/// How long a completion has its picture to itself.
pub const LEASE: TimeDelta = TimeDelta::seconds(120);

words! {
    /// Where a picture stands.
    #[schema(as = ImageStatus)]
    pub enum Status {
        /// Announced; not here, or not looked at yet.
        Pending = "pending",
        /// Checked; it has its place among the others.
        Ready = "ready",
        /// Its objects are about to go, and its row after them.
        Deleted = "deleted",
    }
}

words! {
    /// What kind of picture.
    pub enum ContentType {
        /// JPEG.
        Jpeg = "image/jpeg",
        /// PNG.
        Png = "image/png",
        /// WebP.
        Webp = "image/webp",
    }
}

/// A picture.
#[derive(
    Clone, Debug, PartialEq, Serialize, Deserialize, Queryable, Selectable, Insertable, AsChangeset,
)]
#[diesel(table_name = product_image, treat_none_as_null = true)]
pub struct Image {
    /// Id.
    pub id: Uuid,
    /// Version.
    pub version: i64,
    /// Product; none once it is gone.
    pub product_id: Option<ProductId>,
    /// Where it stands.
    pub status: Status,
    /// Place among the ready ones, from 1.
    pub position: Option<i32>,
    /// Type.
    pub content_type: ContentType,
    /// Length in bytes.
    pub bytes: i64,
    /// Width in pixels, as it is shown.
    pub width: Option<i32>,
    /// Height in pixels, as it is shown.
    pub height: Option<i32>,
    /// Until then it may be sent.
    pub upload_until: DateTime<Utc>,
    /// Until then a process works on it.
    pub lease_until: Option<DateTime<Utc>>,
    /// When it was announced.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Image {
    /// A picture that is announced.
    pub fn new(
        product: ProductId,
        content_type: ContentType,
        bytes: i64,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            id: Uuid::now_v7(),
            version: 1,
            product_id: Some(product),
            status: Status::Pending,
            position: None,
            content_type,
            bytes,
            width: None,
            height: None,
            upload_until: now + UPLOAD,
            lease_until: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// Takes a pending picture to work on what was sent.
    ///
    /// # Errors
    /// [`Error::ImageBusy`] while somebody else does.
    pub fn claim(&mut self, now: DateTime<Utc>) -> Result<(), Error> {
        if self.lease_until.is_some_and(|until| until > now) {
            return Err(Error::ImageBusy);
        }
        self.lease_until = Some(now + LEASE);
        Ok(())
    }

    /// What was sent is a picture of this size, shown at this place.
    pub fn accept(&mut self, (width, height): (u32, u32), position: i32, now: DateTime<Utc>) {
        self.status = Status::Ready;
        self.position = Some(position);
        self.width = i32::try_from(width).ok();
        self.height = i32::try_from(height).ok();
        self.lease_until = None;
        self.version += 1;
        self.updated_at = now;
    }

    /// Nobody sees it any more. A lease stays: who has it may still be writing objects.
    pub fn discard(&mut self, now: DateTime<Utc>) {
        self.status = Status::Deleted;
        self.position = None;
        self.version += 1;
        self.updated_at = now;
    }
}

/// Where the objects of a picture lie.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    tenant: TenantId,
    image: Uuid,
}

impl Keys {
    /// Longest sides of the thumbnails in pixels.
    pub const SIZES: [u32; 2] = [256, 1024];

    /// Those of a tenant's picture.
    pub fn of(tenant: TenantId, image: Uuid) -> Self {
        Self { tenant, image }
    }

    /// Where the client sends it.
    pub fn upload(self) -> String {
        format!("{}/{}/upload", self.tenant, self.image)
    }

    /// The checked picture.
    pub fn original(self) -> String {
        format!("{}/{}/original", self.tenant, self.image)
    }

    /// A thumbnail, as JPEG.
    pub fn thumbnail(self, size: u32) -> String {
        format!("{}/{}/{size}.jpg", self.tenant, self.image)
    }

    /// All of them.
    pub fn all(self) -> Vec<String> {
        let thumbnails = Self::SIZES.map(|size| self.thumbnail(size));
        [self.upload(), self.original()]
            .into_iter()
            .chain(thumbnails)
            .collect()
    }
}

/// The pictures of a product in the order that a client wants.
///
/// # Errors
/// [`Error::ImageOrder`] when it does not name each of them once.
pub fn ordered(mut images: Vec<Image>, wanted: &[Uuid]) -> Result<Vec<Image>, Error> {
    if wanted.len() != images.len() {
        return Err(Error::ImageOrder);
    }
    let mut all = Vec::with_capacity(wanted.len());
    for id in wanted {
        let at = images.iter().position(|image| image.id == *id);
        all.push(images.swap_remove(at.ok_or(Error::ImageOrder)?));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image::new(ProductId::new(), ContentType::Png, 10, Utc::now())
    }

    #[test]
    fn one_at_a_time_works_on_a_picture_until_its_lease_is_over() {
        let (mut image, now) = (image(), Utc::now());
        image.claim(now).unwrap();
        assert!(matches!(image.claim(now), Err(Error::ImageBusy)));
        assert!(image.claim(now + LEASE + TimeDelta::seconds(1)).is_ok());
        image.accept((3, 4), 1, now);
        assert_eq!((image.lease_until, image.width), (None, Some(3)));
    }

    #[test]
    fn an_order_names_each_picture_once() {
        let images = vec![image(), image(), image()];
        let ids: Vec<Uuid> = images.iter().map(|image| image.id).collect();
        let turned = ordered(images.clone(), &[ids[2], ids[0], ids[1]]).unwrap();
        assert_eq!(turned[0].id, ids[2]);
        for wrong in [
            vec![ids[0], ids[1]],
            vec![ids[0], ids[1], ids[1]],
            vec![ids[0], ids[1], Uuid::now_v7()],
            vec![ids[0], ids[1], ids[2], ids[2]],
        ] {
            assert!(ordered(images.clone(), &wrong).is_err());
        }
    }
}
