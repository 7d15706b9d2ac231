//! The catalogue: every event type with its topic and the JSON Schema of its payload.

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::Serialize;

use crate::*;

/// One entry of the catalogue.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// `noun.past_tense`.
    pub name: &'static str,
    /// Kafka topic.
    pub topic: &'static str,
    /// Kind of aggregate.
    pub aggregate: &'static str,
    /// JSON Schema (2020-12) of the payload.
    pub schema: Schema,
}

fn entry<P: JsonSchema>(event: EventType<P>) -> Entry {
    let schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<P>();
    Entry {
        name: event.name,
        topic: event.topic.name(),
        aggregate: event.aggregate,
        schema,
    }
}

/// Every event the fleet publishes.
pub fn all() -> Vec<Entry> {
    vec![
        entry(TENANT_CREATED),
        entry(TENANT_SUSPENDED),
        entry(TENANT_REACTIVATED),
        entry(USER_CREATED),
        entry(USER_UPDATED),
        entry(USER_EMAIL_VERIFICATION_REQUESTED),
        entry(ROLE_CREATED),
        entry(ROLE_UPDATED),
        entry(ROLE_DELETED),
        entry(IDENTITY_PROVIDER_CREATED),
        entry(IDENTITY_PROVIDER_UPDATED),
        entry(IDENTITY_PROVIDER_DELETED),
        entry(COMPANY_UPDATED),
        entry(REGISTRATION_CREATED),
        entry(REGISTRATION_UPDATED),
        entry(BRANCH_CREATED),
        entry(BRANCH_UPDATED),
        entry(LOCATION_CREATED),
        entry(LOCATION_UPDATED),
        entry(TILL_CREATED),
        entry(TILL_UPDATED),
        entry(PRODUCT_CREATED),
        entry(PRODUCT_UPDATED),
        entry(PRODUCT_DELETED),
        entry(PRICE_CHANGED),
        entry(CATEGORY_CREATED),
        entry(CATEGORY_UPDATED),
        entry(CATEGORY_DELETED),
        entry(BARCODE_PATTERN_CREATED),
        entry(BARCODE_PATTERN_UPDATED),
        entry(BARCODE_PATTERN_DELETED),
        entry(TAX_RATE_CHANGED),
        entry(PRICE_LIST_CREATED),
        entry(PRICE_LIST_UPDATED),
        entry(PRICE_LIST_DELETED),
        entry(PRICE_LIST_PRICES_CHANGED),
        entry(PROMOTION_CREATED),
        entry(PROMOTION_UPDATED),
        entry(PROMOTION_DELETED),
        entry(COUPON_CREATED),
        entry(COUPON_UPDATED),
        entry(COUPON_DELETED),
        entry(PRODUCT_IMPORT_COMPLETED),
        entry(INVENTORY_ADJUSTED),
        entry(STOCK_RECEIVED),
        entry(STOCK_ISSUED),
        entry(STOCK_RETURNED),
        entry(STOCK_RETURNED_TO_SUPPLIER),
        entry(STOCK_REVALUED),
        entry(STOCK_RESERVED),
        entry(STOCK_RELEASED),
        entry(STOCK_EXPIRED),
        entry(STOCK_COMMITTED),
        entry(INVENTORY_TRANSFERRED),
        entry(STOCK_STATUS_CHANGED),
        entry(STOCK_COUNT_POSTED),
        entry(STOCK_RESERVATION_BROKEN),
        entry(INVENTORY_LOW_STOCK),
        entry(INVENTORY_DEAD_STOCK),
        entry(BATCH_EXPIRING),
        entry(BATCH_RECALLED),
        entry(ORDER_CREATED),
        entry(ORDER_CONFIRMED),
        entry(ORDER_FULFILLED),
        entry(ORDER_CLOSED),
        entry(ORDER_CANCELLED),
        entry(INVOICE_ISSUED),
        entry(RETURN_PROCESSED),
        entry(POS_SESSION_OPENED),
        entry(POS_BILL_HELD),
        entry(POS_BILL_RESUMED),
        entry(POS_BILL_DISCARDED),
        entry(POS_BILL_EXPIRED),
        entry(POS_SESSION_CLOSED),
        entry(PAYMENT_CAPTURED),
        entry(PAYMENT_ALLOCATED),
        entry(PAYMENT_REFUNDED),
        entry(PAYMENT_REVERSED),
        entry(INVOICE_CANCELLED),
        entry(INVOICE_EDITED),
        entry(INVOICE_CREDITED),
        entry(INVOICE_DEBITED),
        entry(COMMISSION_ACCRUED),
        entry(COMMISSION_REVERSED),
        entry(CUSTOMER_CREATED),
        entry(CUSTOMER_UPDATED),
        entry(CUSTOMER_DELETED),
        entry(POS_NUMBER_VOIDED),
        entry(AUDIT_RECORDED),
        entry(TENANT_EXPORT_REQUESTED),
        entry(TENANT_EXPORT_ANSWERED),
        entry(PERSON_ERASURE_REQUESTED),
        entry(PERSON_ERASED),
    ]
}

/// The catalogue as an AsyncAPI 3.0 document.
pub fn asyncapi() -> serde_json::Value {
    let mut channels = serde_json::Map::new();
    let mut operations = serde_json::Map::new();
    let mut messages = serde_json::Map::new();
    for topic in Topic::ALL {
        let name = topic.name();
        let events: Vec<_> = all().into_iter().filter(|e| e.topic == name).collect();
        if events.is_empty() {
            continue;
        }
        let refs: serde_json::Map<_, _> = events
            .iter()
            .map(|e| {
                let to = format!("#/components/messages/{}", e.name);
                (e.name.to_owned(), serde_json::json!({ "$ref": to }))
            })
            .collect();
        channels.insert(
            name.into(),
            serde_json::json!({ "address": name, "messages": refs }),
        );
        operations.insert(
            format!("publish {name}"),
            serde_json::json!({ "action": "send", "channel": { "$ref": format!("#/channels/{name}") } }),
        );
        for event in events {
            messages.insert(
                event.name.into(),
                serde_json::json!({
                    "name": event.name,
                    "contentType": "application/json",
                    "summary": format!("Aggregate: {}. `payload` of the envelope.", event.aggregate),
                    "payload": event.schema,
                }),
            );
        }
    }
    serde_json::json!({
        "asyncapi": "3.0.0",
        "info": { "title": "Bahi events", "version": "1", "description":
            "Each message below is the `payload` of the standard envelope; see docs/events/README.md." },
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages },
    })
}
