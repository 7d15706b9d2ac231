//! Copies of what product and identity say: which products are kept in stock and how they are followed, which
//! locations there are, and under which registration they do business.
//!
//! * A change counts only when its (epoch, version) is greater than what is here, so a replay resets nothing.
//! * A product or location that is not here yet: 409 `NOT_YET_KNOWN`; the client tries again.

pub(crate) mod store;

use std::collections::{BTreeSet, HashMap};

use bahi_db::Tx;
use bahi_events::Premises;
use bahi_http::Fault;
use bahi_types::{LocationId, ProductId, RegistrationId};

use crate::Error;
pub(crate) use store::ProductRow;

/// The products, all of which must be known.
///
/// # Errors
/// [`Fault::NotYetKnown`] with the first that is not.
pub(crate) async fn products(
    tx: &mut Tx,
    ids: &BTreeSet<ProductId>,
) -> Result<HashMap<ProductId, ProductRow>, Error> {
    let known = store::products(tx, ids).await?;
    match ids.iter().find(|id| !known.contains_key(id)) {
        Some(missing) => Err(Fault::NotYetKnown(format!("Product {missing}")).into()),
        None => Ok(known),
    }
}

/// Those of the products whose stock is followed by batch. One that is not known, or deleted, is none of them.
///
/// # Errors
/// The database's.
pub(crate) async fn batch_tracked(
    tx: &mut Tx,
    ids: &BTreeSet<ProductId>,
) -> Result<BTreeSet<ProductId>, Error> {
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let known = store::products(tx, ids).await?.into_values();
    Ok(known
        .filter(|p| p.batch_tracked)
        .map(|p| p.product_id)
        .collect())
}

/// The registration under which a location does business, and its GSTIN where it has one.
///
/// # Errors
/// [`Fault::NotYetKnown`].
pub(crate) async fn registration(
    tx: &mut Tx,
    id: LocationId,
) -> Result<(RegistrationId, Option<String>), Error> {
    let found = store::registration(tx, id).await?;
    found.ok_or_else(|| Fault::NotYetKnown(format!("The registration of location {id}")).into())
}

/// As [`products`], locked against each other's change of value.
///
/// # Errors
/// [`Fault::NotYetKnown`] with the first that is not.
pub(crate) async fn lock_products(
    tx: &mut Tx,
    ids: &BTreeSet<ProductId>,
) -> Result<HashMap<ProductId, ProductRow>, Error> {
    let known = store::lock_products(tx, ids, false).await?;
    match ids.iter().find(|id| !known.contains_key(id)) {
        Some(missing) => Err(Fault::NotYetKnown(format!("Product {missing}")).into()),
        None => Ok(known),
    }
}

/// Locks products, those that are deleted too, against each other's change of value.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn lock_known(tx: &mut Tx, ids: &BTreeSet<ProductId>) -> Result<(), Error> {
    Ok(store::lock_products(tx, ids, true).await.map(drop)?)
}

/// What events say of products and locations beside their ids.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    units: HashMap<ProductId, String>,
    premises: HashMap<LocationId, Premises>,
}

impl Facts {
    /// Unit quantity code of a product.
    pub(crate) fn uom(&self, product: ProductId) -> Option<String> {
        self.units.get(&product).cloned()
    }

    /// Branch and registration of a location.
    pub(crate) fn premises(&self, location: LocationId) -> Premises {
        self.premises.get(&location).cloned().unwrap_or_default()
    }
}

/// What is known of the products and locations of places.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn facts(
    tx: &mut Tx,
    places: impl IntoIterator<Item = (LocationId, ProductId)>,
) -> Result<Facts, Error> {
    let places: BTreeSet<_> = places.into_iter().collect();
    let found = store::facts(tx.shared(), tx.tenant().uuid(), &places).await;
    Ok(found.map_err(bahi_db::Error::from)?)
}

/// Refuses a location that is not known, or closed.
///
/// # Errors
/// [`Fault::NotYetKnown`], [`Error::LocationClosed`].
pub(crate) async fn open_location(tx: &mut Tx, id: LocationId) -> Result<(), Error> {
    match store::location_active(tx, id).await? {
        None => Err(Fault::NotYetKnown(format!("Location {id}")).into()),
        Some(false) => Err(Error::LocationClosed),
        Some(true) => Ok(()),
    }
}

/// Refuses a location of a branch that the caller does not work for.
///
/// # Errors
/// [`bahi_db::Error::OtherBranch`].
pub(crate) async fn own_location(tx: &mut Tx, id: LocationId) -> Result<(), Error> {
    let scope = tx.ctx().scope.clone();
    if scope.is_whole() {
        return Ok(());
    }
    match store::branch_of(tx, id).await? {
        Some(branch) if scope.has(branch) => Ok(()),
        _ => Err(bahi_db::Error::OtherBranch.into()),
    }
}

/// Those of places that lie in branches which the caller works for.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn own_places(
    tx: &mut Tx,
    places: &BTreeSet<(LocationId, ProductId)>,
) -> Result<BTreeSet<(LocationId, ProductId)>, Error> {
    let scope = tx.ctx().scope.clone();
    let Some(branches) = scope.branches() else {
        return Ok(places.clone());
    };
    let own = store::locations_of(tx, branches).await?;
    let here = places.iter().filter(|place| own.contains(&place.0));
    Ok(here.copied().collect())
}

/// Refuses a location that is not known; one that is closed will do.
///
/// # Errors
/// [`Fault::NotYetKnown`].
pub(crate) async fn known_location(tx: &mut Tx, id: LocationId) -> Result<(), Error> {
    match store::location_active(tx, id).await? {
        None => Err(Fault::NotYetKnown(format!("Location {id}")).into()),
        Some(_) => Ok(()),
    }
}
