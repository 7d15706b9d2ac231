//! Everything this service says.

use bahi_events::{
    CATEGORY_CREATED, CATEGORY_DELETED, CATEGORY_UPDATED, EventType, Outgoing, PRICE_CHANGED,
    PRODUCT_CREATED, PRODUCT_DELETED, PRODUCT_IMPORT_COMPLETED, PRODUCT_UPDATED, PriceChanged,
    ProductDeleted, ProductImportCompleted, ProductKind, TAX_RATE_CHANGED, Tracking,
};

use crate::{
    category::model::Category,
    import_job::model::ImportJob,
    product::model::{Change, Kind, Product},
    product_unit::model::ProductUnit,
    tax_profile::model::TaxProfile,
};

/// What a change of a product has to be told: the product as it is now and, where it differs, the price.
/// The snapshot goes first: a copy that follows both applies one event per version.
pub fn product_changed(change: &Change) -> Vec<Outgoing> {
    let after = &change.after;
    let snapshot = product(after, change.changed_fields());
    let Some(before) = &change.before else {
        return vec![PRODUCT_CREATED.of(after.id.uuid(), after.version, &snapshot)];
    };
    let mut said = vec![PRODUCT_UPDATED.of(after.id.uuid(), after.version, &snapshot)];
    if change.reprices() {
        let price = PriceChanged {
            product_id: after.id,
            old: before.price,
            new: after.price,
            price_includes_tax: after.price_includes_tax,
        };
        said.push(PRICE_CHANGED.of(after.id.uuid(), after.version, &price));
    }
    said
}

fn product(product: &Product, changed_fields: Vec<&'static str>) -> bahi_events::Product {
    bahi_events::Product {
        product_id: product.id,
        sku: product.sku.clone(),
        name: product.name.clone(),
        variant_of: None,
        kind: match product.kind {
            Kind::Goods => ProductKind::Goods,
            Kind::Service => ProductKind::Service,
        },
        category_id: product.category_id,
        brand_id: product.brand_id,
        hsn: product.hsn.clone(),
        tax_profile_id: product.tax_profile_id,
        stock_unit_id: product.unit_id,
        uqc: product.uqc.clone(),
        units: product.units.iter().map(unit).collect(),
        tracking: Tracking {
            batch: product.track_batch,
            serial: product.track_serial,
            expiry: product.track_expiry,
        },
        barcodes: product.barcodes.to_strings(),
        price: product.price,
        price_includes_tax: product.price_includes_tax,
        mrp: product.mrp,
        status: product.status.word().to_owned(),
        changed_fields: changed_fields.into_iter().map(str::to_owned).collect(),
    }
}

fn unit(unit: &ProductUnit) -> bahi_events::ProductUnit {
    bahi_events::ProductUnit {
        unit_id: unit.unit_id,
        numerator: unit.numerator.into(),
        denominator: unit.denominator.into(),
        price: unit.price,
        barcodes: unit.barcodes.to_strings(),
    }
}

/// A product is gone.
pub fn product_deleted(product: &Product) -> Outgoing {
    let gone = ProductDeleted {
        product_id: product.id,
        sku: product.sku.clone(),
    };
    PRODUCT_DELETED.of(product.id.uuid(), product.version + 1, &gone)
}

/// A category is new.
pub fn category_created(category: &Category) -> Outgoing {
    self::category(CATEGORY_CREATED, category, category.version)
}

/// A category changed.
pub fn category_updated(category: &Category) -> Outgoing {
    self::category(CATEGORY_UPDATED, category, category.version)
}

/// A category is gone.
pub fn category_deleted(category: &Category) -> Outgoing {
    self::category(CATEGORY_DELETED, category, category.version + 1)
}

fn category(
    event: EventType<bahi_events::Category>,
    category: &Category,
    version: i64,
) -> Outgoing {
    let snapshot = bahi_events::Category {
        category_id: category.id,
        parent_id: category.parent_id,
        name: category.name.clone(),
    };
    event.of(category.id.uuid(), version, &snapshot)
}

/// A tax profile with its whole history of rates.
pub fn tax_rate_changed(profile: &TaxProfile) -> Outgoing {
    let snapshot = bahi_events::TaxProfile {
        tax_profile_id: profile.head.id,
        name: profile.head.name.clone(),
        hsn: profile.head.hsn.clone(),
        category: profile.head.category.word().to_owned(),
        rates: profile
            .rates
            .iter()
            .map(|rate| bahi_events::TaxRate {
                valid_from: rate.valid_from,
                valid_to: rate.valid_to,
                rate: rate.rate,
                cess: rate.cess,
            })
            .collect(),
    };
    TAX_RATE_CHANGED.of(profile.head.id.uuid(), profile.head.version, &snapshot)
}

/// A bulk import ended.
pub fn import_completed(job: &ImportJob) -> Outgoing {
    let result = ProductImportCompleted {
        job_id: job.id,
        rows: job.rows,
        created: job.created,
        updated: job.updated,
        refused: job.refused,
    };
    PRODUCT_IMPORT_COMPLETED.of(job.id, job.version, &result)
}
