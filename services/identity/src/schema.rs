// @generated automatically by Diesel CLI.

diesel::table! {
    api_key (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        name -> Text,
        prefix -> Text,
        hash -> Bytea,
        permissions -> Array<Text>,
        rate -> Int4,
        made_by -> Uuid,
        not_before -> Int8,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        expires_at -> Timestamptz,
        last_used_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    app_user (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        email -> Text,
        name -> Text,
        status -> Text,
        password_hash -> Nullable<Text>,
        not_before -> Int8,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        email_verified_at -> Nullable<Timestamptz>,
        branch_ids -> Nullable<Array<Uuid>>,
    }
}

diesel::table! {
    attempt (tenant_id, key) {
        tenant_id -> Uuid,
        key -> Bytea,
        failures -> Int4,
        blocked_until -> Timestamptz,
        last_at -> Timestamptz,
    }
}

diesel::table! {
    audit (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        at -> Timestamptz,
        service -> Text,
        actor_type -> Text,
        actor_id -> Text,
        action -> Text,
        object_type -> Text,
        object_id -> Text,
        reason -> Nullable<Text>,
        details -> Jsonb,
        correlation_id -> Nullable<Uuid>,
        number -> Int8,
        hash -> Bytea,
    }
}

diesel::table! {
    audit_end (tenant_id) {
        tenant_id -> Uuid,
        number -> Int8,
        hash -> Bytea,
    }
}

diesel::table! {
    branch (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        registration_id -> Uuid,
        code -> Text,
        name -> Text,
        active -> Bool,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        address -> Nullable<Text>,
        phone -> Nullable<Text>,
        upi_vpa -> Nullable<Text>,
    }
}

diesel::table! {
    company (tenant_id) {
        tenant_id -> Uuid,
        legal_name -> Text,
        trade_name -> Nullable<Text>,
        pan -> Nullable<Text>,
        currency -> Text,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        require_mfa -> Bool,
    }
}

diesel::table! {
    erasure (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        subject -> Text,
        subject_id -> Uuid,
        reason -> Text,
        asked_by -> Text,
        asked_at -> Timestamptz,
        finished_at -> Nullable<Timestamptz>,
        version -> Int8,
    }
}

diesel::table! {
    erasure_part (tenant_id, erasure_id, service) {
        tenant_id -> Uuid,
        erasure_id -> Uuid,
        service -> Text,
        answered_at -> Nullable<Timestamptz>,
        erased -> Nullable<Jsonb>,
        kept -> Nullable<Jsonb>,
    }
}

diesel::table! {
    identity_provider (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        name -> Text,
        issuer -> Text,
        client_id -> Text,
        sealed -> Nullable<Bytea>,
        redirect_uris -> Array<Text>,
        domains -> Array<Text>,
        link_by_email -> Bool,
        role_id -> Nullable<Uuid>,
        trusts_mfa -> Bool,
        active -> Bool,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        branch_ids -> Nullable<Array<Uuid>>,
    }
}

diesel::table! {
    linked_identity (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        issuer -> Text,
        subject -> Text,
        provider_id -> Uuid,
        user_id -> Uuid,
        email -> Nullable<Text>,
        created_at -> Timestamptz,
        last_used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    location (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        branch_id -> Uuid,
        code -> Text,
        name -> Text,
        active -> Bool,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    mfa (tenant_id, user_id) {
        tenant_id -> Uuid,
        user_id -> Uuid,
        sealed -> Bytea,
        last_step -> Int8,
        created_at -> Timestamptz,
        confirmed_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    oidc_login (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        provider_id -> Uuid,
        hash -> Bytea,
        redirect_uri -> Text,
        user_id -> Nullable<Uuid>,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    pin (tenant_id, user_id) {
        tenant_id -> Uuid,
        user_id -> Uuid,
        hash -> Text,
        failures -> Int4,
        set_at -> Timestamptz,
    }
}

diesel::table! {
    recovery_code (tenant_id, user_id, hash) {
        tenant_id -> Uuid,
        user_id -> Uuid,
        hash -> Bytea,
        used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    refresh_token (tenant_id, hash) {
        tenant_id -> Uuid,
        hash -> Bytea,
        session_id -> Uuid,
        issued_at -> Timestamptz,
        rotated_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    registration (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        gstin -> Nullable<Text>,
        state_code -> Text,
        legal_name -> Text,
        active -> Bool,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    revocation (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        session_id -> Nullable<Uuid>,
        user_id -> Nullable<Uuid>,
        not_before -> Nullable<Int8>,
        at -> Timestamptz,
    }
}

diesel::table! {
    role (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        name -> Text,
        permissions -> Array<Text>,
        is_owner -> Bool,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    session (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        user_id -> Uuid,
        created_at -> Timestamptz,
        last_used_at -> Timestamptz,
        expires_at -> Timestamptz,
        revoked_at -> Nullable<Timestamptz>,
        revoked_for -> Nullable<Text>,
        ip -> Nullable<Text>,
        user_agent -> Nullable<Text>,
        amr -> Array<Text>,
        device -> Nullable<Text>,
    }
}

diesel::table! {
    tenant (tenant_id) {
        tenant_id -> Uuid,
        slug -> Text,
        name -> Text,
        version -> Int8,
        created_at -> Timestamptz,
        suspended_at -> Nullable<Timestamptz>,
        suspended_for -> Nullable<Text>,
    }
}

diesel::table! {
    tenant_export (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        status -> Text,
        asked_by -> Text,
        asked_at -> Timestamptz,
        deadline_at -> Timestamptz,
        finished_at -> Nullable<Timestamptz>,
        expires_at -> Nullable<Timestamptz>,
        swept_at -> Nullable<Timestamptz>,
        version -> Int8,
    }
}

diesel::table! {
    tenant_export_part (tenant_id, export_id, service) {
        tenant_id -> Uuid,
        export_id -> Uuid,
        service -> Text,
        status -> Text,
        object_key -> Nullable<Text>,
        tables -> Nullable<Int8>,
        row_count -> Nullable<Int8>,
        objects -> Nullable<Int8>,
        bytes -> Nullable<Int8>,
        sha256 -> Nullable<Text>,
        reason -> Nullable<Text>,
        answered_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    ticket (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        kind -> Text,
        user_id -> Uuid,
        hash -> Bytea,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        used_at -> Nullable<Timestamptz>,
        amr -> Array<Text>,
    }
}

diesel::table! {
    till (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        branch_id -> Uuid,
        registration_id -> Uuid,
        location_id -> Uuid,
        code -> Text,
        name -> Text,
        series -> Text,
        round_to_rupee -> Bool,
        active -> Bool,
        version -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    user_role (tenant_id, user_id, role_id) {
        tenant_id -> Uuid,
        user_id -> Uuid,
        role_id -> Uuid,
    }
}

diesel::joinable!(app_user -> tenant (tenant_id));
diesel::joinable!(company -> tenant (tenant_id));
diesel::joinable!(erasure -> tenant (tenant_id));
diesel::joinable!(identity_provider -> tenant (tenant_id));
diesel::joinable!(registration -> company (tenant_id));
diesel::joinable!(role -> tenant (tenant_id));
diesel::joinable!(tenant_export -> tenant (tenant_id));

diesel::allow_tables_to_appear_in_same_query!(
    api_key,
    app_user,
    attempt,
    audit,
    audit_end,
    branch,
    company,
    erasure,
    erasure_part,
    identity_provider,
    linked_identity,
    location,
    mfa,
    oidc_login,
    pin,
    recovery_code,
    refresh_token,
    registration,
    revocation,
    role,
    session,
    tenant,
    tenant_export,
    tenant_export_part,
    ticket,
    till,
    user_role,
);
