// @generated automatically by Diesel CLI.

diesel::table! {
    barcode (tenant_id, gtin) {
        tenant_id -> Uuid,
        gtin -> Text,
        product_id -> Uuid,
        unit_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    barcode_pattern (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        version -> Int8,
        name -> Text,
        pattern -> Text,
        meaning -> Text,
        position -> Int4,
        active -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    barcode_prefix (tenant_id, prefix) {
        tenant_id -> Uuid,
        prefix -> Text,
        next -> Int8,
    }
}

diesel::table! {
    barcode_range (tenant_id) {
        tenant_id -> Uuid,
        next -> Int8,
    }
}

diesel::table! {
    brand (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        version -> Int8,
        name -> Text,
        name_key -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    category (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        version -> Int8,
        parent_id -> Nullable<Uuid>,
        name -> Text,
        name_key -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    import_error (tenant_id, job_id, line, column) {
        tenant_id -> Uuid,
        job_id -> Uuid,
        line -> Int8,
        column -> Text,
        value -> Text,
        reason -> Text,
    }
}

diesel::table! {
    import_job (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        version -> Int8,
        status -> Text,
        dry_run -> Bool,
        bytes -> Int8,
        rows -> Int8,
        checked -> Int8,
        applied -> Int8,
        created -> Int8,
        updated -> Int8,
        unchanged -> Int8,
        refused -> Int8,
        cursor -> Int8,
        ignored_columns -> Jsonb,
        reason -> Nullable<Text>,
        actor -> Jsonb,
        correlation_id -> Uuid,
        lease_until -> Timestamptz,
        staged -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        finished_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    import_key (tenant_id, job_id, key) {
        tenant_id -> Uuid,
        job_id -> Uuid,
        key -> Text,
        line -> Int8,
    }
}

diesel::table! {
    import_row (tenant_id, job_id, line) {
        tenant_id -> Uuid,
        job_id -> Uuid,
        line -> Int8,
        cells -> Jsonb,
        refused -> Bool,
    }
}

diesel::table! {
    product (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        version -> Int8,
        sku -> Text,
        sku_key -> Text,
        name -> Text,
        kind -> Text,
        status -> Text,
        category_id -> Nullable<Uuid>,
        brand_id -> Nullable<Uuid>,
        unit_id -> Uuid,
        uqc -> Text,
        tax_profile_id -> Uuid,
        hsn -> Text,
        track_batch -> Bool,
        track_serial -> Bool,
        track_expiry -> Bool,
        barcodes -> Array<Nullable<Text>>,
        price -> Numeric,
        price_includes_tax -> Bool,
        mrp -> Nullable<Numeric>,
        transacted -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        units -> Jsonb,
    }
}

diesel::table! {
    product_text (tenant_id, product_id) {
        tenant_id -> Uuid,
        product_id -> Uuid,
        text -> Text,
    }
}

diesel::table! {
    product_unit (tenant_id, product_id, unit_id) {
        tenant_id -> Uuid,
        product_id -> Uuid,
        unit_id -> Uuid,
        numerator -> Int8,
        denominator -> Int8,
        price -> Nullable<Numeric>,
    }
}

diesel::table! {
    tax_profile (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        version -> Int8,
        name -> Text,
        name_key -> Text,
        hsn -> Text,
        category -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    tax_rate (tenant_id, tax_profile_id, valid_from) {
        tenant_id -> Uuid,
        tax_profile_id -> Uuid,
        valid_from -> Date,
        valid_to -> Nullable<Date>,
        rate -> Numeric,
        cess -> Numeric,
    }
}

diesel::table! {
    unit (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        version -> Int8,
        code -> Text,
        code_key -> Text,
        name -> Text,
        uqc -> Text,
        decimals -> Int2,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    barcode,
    barcode_pattern,
    barcode_prefix,
    barcode_range,
    brand,
    category,
    import_error,
    import_job,
    import_key,
    import_row,
    product,
    product_text,
    product_unit,
    tax_profile,
    tax_rate,
    unit,
);
