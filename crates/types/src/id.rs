//! Identifiers: UUIDv7 newtypes, one generic type so that the plumbing is written once.

use std::{fmt, marker::PhantomData, str::FromStr};

use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::{Pg, PgValue},
    serialize::{self, Output, ToSql},
    sql_types,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// An identifier of a `K`. Ids of different kinds do not mix; all are UUIDs, made as version 7
/// so that new rows land at the right end of their index.
#[derive(AsExpression, FromSqlRow)]
#[diesel(sql_type = sql_types::Uuid)]
pub struct Id<K: 'static>(Uuid, PhantomData<fn() -> K>);

impl<K> Id<K> {
    /// A fresh UUIDv7.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self::from_uuid(Uuid::now_v7())
    }

    /// Names an existing id.
    pub const fn from_uuid(id: Uuid) -> Self {
        Self(id, PhantomData)
    }

    /// A name-based id (UUIDv5, RFC 9562): the same namespace and name always give the same id.
    pub fn derived(namespace: Uuid, name: &str) -> Self {
        Self::from_uuid(Uuid::new_v5(&namespace, name.as_bytes()))
    }

    /// The bare UUID.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K> std::hash::Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl<K> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl<K> FromStr for Id<K> {
    type Err = uuid::Error;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(s).map(Self::from_uuid)
    }
}
impl<K> From<Uuid> for Id<K> {
    fn from(id: Uuid) -> Self {
        Self::from_uuid(id)
    }
}
impl<K> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
impl<'de, K> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Uuid::deserialize(deserializer).map(Self::from_uuid)
    }
}
impl<K> ToSql<sql_types::Uuid, Pg> for Id<K> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        <Uuid as ToSql<sql_types::Uuid, Pg>>::to_sql(&self.0, out)
    }
}
impl<K> FromSql<sql_types::Uuid, Pg> for Id<K> {
    fn from_sql(bytes: PgValue<'_>) -> deserialize::Result<Self> {
        <Uuid as FromSql<sql_types::Uuid, Pg>>::from_sql(bytes).map(Self::from_uuid)
    }
}
impl<K> schemars::JsonSchema for Id<K> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Uuid".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "uuid" })
    }
}
impl<K> utoipa::PartialSchema for Id<K> {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(
                utoipa::openapi::KnownFormat::Uuid,
            )))
            .into()
    }
}
impl<K> utoipa::ToSchema for Id<K> {
    fn name() -> std::borrow::Cow<'static, str> {
        "Uuid".into()
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $id:ident = $kind:ident;)*) => {$(
        /// Marker of the kind; it has no values.
        #[derive(Debug)]
        pub enum $kind {}
        $(#[$doc])*
        pub type $id = Id<$kind>;
    )*};
}

// The kinds that cross a service boundary. A service may mark kinds of its own with `Id<MyKind>`.
kinds! {
    /// A tenant: one business with its own data.
    TenantId = TenantKind;
    /// A person who signs in.
    UserId = UserKind;
    /// A signed-in session (a refresh-token family).
    SessionId = SessionKind;
    /// A role: a named set of permissions.
    RoleId = RoleKind;
    /// A GST registration (GSTIN) of the tenant.
    RegistrationId = RegistrationKind;
    /// A branch: a place of business under one registration.
    BranchId = BranchKind;
    /// A place where stock is kept.
    LocationId = LocationKind;
    /// A till (cash register) of a branch.
    TillId = TillKind;
    /// A product: something sold, with or without stock.
    ProductId = ProductKind;
    /// A product category.
    CategoryId = CategoryKind;
    /// A brand.
    BrandId = BrandKind;
    /// A unit of measure.
    UnitId = UnitKind;
    /// A tax profile (HSN or SAC with dated rates).
    TaxProfileId = TaxProfileKind;
    /// A price list.
    PriceListId = PriceListKind;
    /// A price of a price list.
    PriceEntryId = PriceEntryKind;
    /// A promotion.
    PromotionId = PromotionKind;
    /// A coupon of a promotion.
    CouponId = CouponKind;
    /// A batch (lot) of a product.
    BatchId = BatchKind;
    /// A stock movement.
    MovementId = MovementKind;
    /// A hold on stock.
    ReservationId = ReservationKind;
    /// An invoice, POS sale or credit note.
    InvoiceId = InvoiceKind;
    /// A receipt: money that came in after a sale, or ahead of one.
    ReceiptId = ReceiptKind;
    /// A POS session of a till.
    PosSessionId = PosSessionKind;
    /// A customer.
    CustomerId = CustomerKind;
    /// A group of customers that shares its prices.
    CustomerGroupId = CustomerGroupKind;
    /// An event.
    EventId = EventKind;
}
