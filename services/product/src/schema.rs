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
    coupon (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        version -> Int8,
        promotion_id -> Uuid,
        code -> Text,
        enabled -> Bool,
        use_limit -> Nullable<Int4>,
        limit_per_customer -> Nullable<Int4>,
        valid_from -> Nullable<Date>,
        valid_to -> Nullable<Date>,
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
        format -> Text,
        phase_base -> Int8,
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
    price_entry (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        price_list_id -> Uuid,
        product_id -> Uuid,
        unit_id -> Uuid,
        min_qty -> Numeric,
        price -> Numeric,
        valid_from -> Nullable<Date>,
        valid_to -> Nullable<Date>,
    }
}

diesel::table! {
    price_list (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        version -> Int8,
        name -> Text,
        name_key -> Text,
        priority -> Int4,
        price_includes_tax -> Bool,
        branch_id -> Nullable<Uuid>,
        customer_group_id -> Nullable<Uuid>,
        valid_from -> Nullable<Date>,
        valid_to -> Nullable<Date>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
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
    product_image (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        version -> Int8,
        product_id -> Nullable<Uuid>,
        status -> Text,
        position -> Nullable<Int4>,
        content_type -> Text,
        bytes -> Int8,
        width -> Nullable<Int4>,
        height -> Nullable<Int4>,
        upload_until -> Timestamptz,
        lease_until -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
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
    promotion (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        version -> Int8,
        name -> Text,
        status -> Text,
        priority -> Int4,
        stackable -> Bool,
        needs_coupon -> Bool,
        branch_id -> Nullable<Uuid>,
        customer_group_id -> Nullable<Uuid>,
        valid_from -> Nullable<Date>,
        valid_to -> Nullable<Date>,
        scope -> Jsonb,
        min_qty -> Nullable<Numeric>,
        min_amount -> Nullable<Numeric>,
        rule -> Jsonb,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
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
        price_limit -> Nullable<Numeric>,
        rate_above -> Nullable<Numeric>,
        cess_above -> Nullable<Numeric>,
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
    barcode_pattern,
    barcode_prefix,
    barcode_range,
    brand,
    category,
    coupon,
    import_error,
    import_job,
    import_key,
    import_row,
    kit_component,
    price_entry,
    price_list,
    product,
    product_arrival,
    product_change,
    product_image,
    product_option,
    product_unit,
    promotion,
    search_word,
    tax_profile,
    tax_rate,
    unit,
);
