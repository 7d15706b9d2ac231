// @generated automatically by Diesel CLI.

diesel::table! {
    attribute (tenant_id, id) {
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
    attribute_value (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        attribute_id -> Uuid,
        position -> Int4,
        name -> Text,
        name_key -> Text,
        code -> Text,
    }
}

diesel::table! {
    barcode (tenant_id, gtin) {
        tenant_id -> Uuid,
        gtin -> Text,
        product_id -> Uuid,
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
    kit_component (tenant_id, component_id, kit_id) {
        tenant_id -> Uuid,
        component_id -> Uuid,
        kit_id -> Uuid,
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
        variant_of -> Nullable<Uuid>,
        template -> Bool,
        options -> Jsonb,
        overrides -> Jsonb,
        components -> Jsonb,
    }
}

diesel::table! {
    product_arrival (tenant_id, product_id) {
        tenant_id -> Uuid,
        product_id -> Uuid,
        count -> Int8,
    }
}

diesel::table! {
    product_change (tenant_id, product_id, version) {
        tenant_id -> Uuid,
        product_id -> Uuid,
        version -> Int8,
        action -> Text,
        at -> Timestamptz,
        actor -> Jsonb,
        correlation_id -> Uuid,
        fields -> Jsonb,
    }
}

diesel::table! {
    product_option (tenant_id, value_id, product_id) {
        tenant_id -> Uuid,
        value_id -> Uuid,
        product_id -> Uuid,
    }
}

diesel::table! {
    search_word (tenant_id, word) {
        tenant_id -> Uuid,
        word -> Text,
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
    attribute,
    attribute_value,
    barcode,
    barcode_range,
    brand,
    category,
    import_error,
    import_job,
    import_key,
    import_row,
    kit_component,
    product,
    product_arrival,
    product_change,
    product_option,
    search_word,
    tax_profile,
    tax_rate,
    unit,
);
