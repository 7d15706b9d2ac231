//! Everything identity says.

use bahi_events::{self as say, Outgoing};

use chrono::{DateTime, Utc};

use crate::{
    branch::Branch,
    company::Company,
    location::Location,
    provider::Provider,
    registration::Registration,
    role::model::Role,
    secret::Token,
    tenant::Tenant,
    till::Till,
    user::{Member, User},
};

/// A tenant registered.
pub fn tenant_created(tenant: &Tenant) -> Outgoing {
    let payload = say::Tenant {
        tenant_id: tenant.tenant_id,
        slug: tenant.slug.clone(),
        name: tenant.name.clone(),
    };
    say::TENANT_CREATED.of(tenant.tenant_id.uuid(), tenant.version, &payload)
}

/// A tenant was suspended.
pub fn tenant_suspended(tenant: &Tenant) -> Outgoing {
    say::TENANT_SUSPENDED.of(tenant.tenant_id.uuid(), tenant.version, &standing(tenant))
}

/// A suspended tenant is let in again.
pub fn tenant_reactivated(tenant: &Tenant) -> Outgoing {
    say::TENANT_REACTIVATED.of(tenant.tenant_id.uuid(), tenant.version, &standing(tenant))
}

fn standing(tenant: &Tenant) -> say::TenantStanding {
    say::TenantStanding {
        tenant_id: tenant.tenant_id,
        slug: tenant.slug.clone(),
        name: tenant.name.clone(),
        suspended_at: tenant.suspended_at,
        reason: tenant.suspended_for.clone(),
    }
}

/// A user was invited or registered.
pub fn user_created(member: &Member) -> Outgoing {
    say::USER_CREATED.of(member.user.id.uuid(), member.user.version, &user(member))
}

/// A user changed.
pub fn user_updated(member: &Member) -> Outgoing {
    say::USER_UPDATED.of(member.user.id.uuid(), member.user.version, &user(member))
}

fn user(Member { user, role_ids }: &Member) -> say::User {
    say::User {
        user_id: user.id,
        name: user.name.clone(),
        status: user.status.clone(),
        role_ids: role_ids.clone(),
        branch_ids: user.branch_ids.clone(),
        email_verified_at: user.email_verified_at,
    }
}

/// A user is to show that his address is his.
pub fn email_verification_requested(
    user: &User,
    token: &Token,
    expires_at: DateTime<Utc>,
    locale: Option<String>,
) -> Outgoing {
    let payload = say::EmailVerification {
        user_id: user.id,
        email: user.email.clone(),
        name: user.name.clone(),
        token: token.text(),
        expires_at,
        locale,
    };
    say::USER_EMAIL_VERIFICATION_REQUESTED.of(user.id.uuid(), user.version, &payload)
}

/// A role was made.
pub fn role_created(row: &Role) -> Outgoing {
    say::ROLE_CREATED.of(row.id.uuid(), row.version, &role(row))
}

/// A role changed.
pub fn role_updated(row: &Role) -> Outgoing {
    say::ROLE_UPDATED.of(row.id.uuid(), row.version, &role(row))
}

/// A role was deleted.
pub fn role_deleted(row: &Role) -> Outgoing {
    say::ROLE_DELETED.of(row.id.uuid(), row.version, &role(row))
}

fn role(row: &Role) -> say::Role {
    say::Role {
        role_id: row.id,
        name: row.name.clone(),
        permissions: row.permissions.clone(),
    }
}

/// An identity provider was made (version 1) or changed.
pub fn provider(row: &Provider) -> Outgoing {
    let event = if row.version == 1 {
        say::IDENTITY_PROVIDER_CREATED
    } else {
        say::IDENTITY_PROVIDER_UPDATED
    };
    event.of(row.id, row.version, &provider_body(row))
}

/// An identity provider was deleted.
pub fn provider_deleted(row: &Provider) -> Outgoing {
    say::IDENTITY_PROVIDER_DELETED.of(row.id, row.version, &provider_body(row))
}

fn provider_body(row: &Provider) -> say::IdentityProvider {
    say::IdentityProvider {
        provider_id: row.id,
        name: row.name.clone(),
        issuer: row.issuer.clone(),
        domains: row.domains.clone(),
        active: row.active,
    }
}

/// The company's details changed, or were first written. Its aggregate id is the tenant's.
pub fn company_updated(row: &Company) -> Outgoing {
    let payload = say::Company {
        legal_name: row.legal_name.clone(),
        trade_name: row.trade_name.clone(),
        pan: row.pan.clone(),
        currency: row.currency.clone(),
    };
    say::COMPANY_UPDATED.of(row.tenant_id.uuid(), row.version, &payload)
}

/// A registration was added (version 1) or changed.
pub fn registration(row: &Registration) -> Outgoing {
    let payload = say::Registration {
        registration_id: row.id,
        gstin: row.gstin.clone(),
        state_code: row.state_code.clone(),
        legal_name: row.legal_name.clone(),
        active: row.active,
    };
    let event = if row.version == 1 {
        say::REGISTRATION_CREATED
    } else {
        say::REGISTRATION_UPDATED
    };
    event.of(row.id.uuid(), row.version, &payload)
}

/// A branch was opened (version 1) or changed.
pub fn branch(row: &Branch) -> Outgoing {
    let payload = say::Branch {
        branch_id: row.id,
        code: row.code.clone(),
        name: row.name.clone(),
        registration_id: row.registration_id,
        address: row.address.clone(),
        phone: row.phone.clone(),
        upi_vpa: row.upi_vpa.clone(),
        active: row.active,
    };
    let event = if row.version == 1 {
        say::BRANCH_CREATED
    } else {
        say::BRANCH_UPDATED
    };
    event.of(row.id.uuid(), row.version, &payload)
}

/// A location was added (version 1) or changed.
pub fn location(row: &Location) -> Outgoing {
    let payload = say::Location {
        location_id: row.id,
        branch_id: row.branch_id,
        code: row.code.clone(),
        name: row.name.clone(),
        active: row.active,
    };
    let event = if row.version == 1 {
        say::LOCATION_CREATED
    } else {
        say::LOCATION_UPDATED
    };
    event.of(row.id.uuid(), row.version, &payload)
}

/// A till was added (version 1) or changed.
pub fn till(row: &Till) -> Outgoing {
    let payload = say::Till {
        till_id: row.id,
        branch_id: row.branch_id,
        location_id: row.location_id,
        code: row.code.clone(),
        name: row.name.clone(),
        series: row.series.clone(),
        round_to_rupee: row.round_to_rupee,
        active: row.active,
    };
    let event = if row.version == 1 {
        say::TILL_CREATED
    } else {
        say::TILL_UPDATED
    };
    event.of(row.id.uuid(), row.version, &payload)
}
