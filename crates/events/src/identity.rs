//! What identity says: tenants, users, roles and the organisation.

use bahi_types::{BranchId, LocationId, RegistrationId, RoleId, TenantId, TillId, UserId};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{EventType, Topic};

const T: Topic = Topic::Identity;

/// A tenant registered.
pub const TENANT_CREATED: EventType<Tenant> = EventType::new("tenant.created", T, "tenant");
/// A tenant was suspended: nobody of it is let in.
pub const TENANT_SUSPENDED: EventType<TenantStanding> =
    EventType::new("tenant.suspended", T, "tenant");
/// A suspended tenant is let in again.
pub const TENANT_REACTIVATED: EventType<TenantStanding> =
    EventType::new("tenant.reactivated", T, "tenant");
/// A user was invited or registered.
pub const USER_CREATED: EventType<User> = EventType::new("user.created", T, "user");
/// A user changed: name, roles, status, e-mail address or its verification.
pub const USER_UPDATED: EventType<User> = EventType::new("user.updated", T, "user");
/// Somebody is to show that an e-mail address is his: for who sends mail.
pub const USER_EMAIL_VERIFICATION_REQUESTED: EventType<EmailVerification> =
    EventType::new("user.email_verification_requested", T, "user");
/// A role was made.
pub const ROLE_CREATED: EventType<Role> = EventType::new("role.created", T, "role");
/// A role changed.
pub const ROLE_UPDATED: EventType<Role> = EventType::new("role.updated", T, "role");
/// A role was deleted.
pub const ROLE_DELETED: EventType<Role> = EventType::new("role.deleted", T, "role");
/// An identity provider was set up.
pub const IDENTITY_PROVIDER_CREATED: EventType<IdentityProvider> =
    EventType::new("identity_provider.created", T, "identity_provider");
/// An identity provider changed, was closed or opened again.
pub const IDENTITY_PROVIDER_UPDATED: EventType<IdentityProvider> =
    EventType::new("identity_provider.updated", T, "identity_provider");
/// An identity provider was deleted, and nobody is linked to it any more.
pub const IDENTITY_PROVIDER_DELETED: EventType<IdentityProvider> =
    EventType::new("identity_provider.deleted", T, "identity_provider");
/// The company's details changed.
pub const COMPANY_UPDATED: EventType<Company> = EventType::new("company.updated", T, "company");
/// A GST registration was added.
pub const REGISTRATION_CREATED: EventType<Registration> =
    EventType::new("registration.created", T, "registration");
/// A GST registration changed.
pub const REGISTRATION_UPDATED: EventType<Registration> =
    EventType::new("registration.updated", T, "registration");
/// A branch was opened.
pub const BRANCH_CREATED: EventType<Branch> = EventType::new("branch.created", T, "branch");
/// A branch changed.
pub const BRANCH_UPDATED: EventType<Branch> = EventType::new("branch.updated", T, "branch");
/// A stock location was added.
pub const LOCATION_CREATED: EventType<Location> = EventType::new("location.created", T, "location");
/// A stock location changed.
pub const LOCATION_UPDATED: EventType<Location> = EventType::new("location.updated", T, "location");
/// A till was added.
pub const TILL_CREATED: EventType<Till> = EventType::new("till.created", T, "till");
/// A till changed.
pub const TILL_UPDATED: EventType<Till> = EventType::new("till.updated", T, "till");

/// A tenant.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Tenant {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Short name in sign-in forms.
    pub slug: String,
    /// Name of the business.
    pub name: String,
}

/// A user as others may know him: no e-mail hash, no password.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// The user.
    pub user_id: UserId,
    /// Name on screens and receipts.
    pub name: String,
    /// `invited`, `active` or `disabled`.
    pub status: String,
    /// Roles held.
    pub role_ids: Vec<RoleId>,
    /// The branches that they are good at; absent where it is all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_ids: Option<Vec<BranchId>>,
    /// When he has shown that his e-mail address is his; absent until then, and once the address changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email_verified_at: Option<DateTime<Utc>>,
}

/// What is to be mailed to somebody, so that he shows that the address is his.
///
/// The token is a secret, and whoever may read the topic can read it for as long as the topic is kept. So it is worth
/// little: it marks this address of this user as verified and does nothing else, once, for a day, and not after another was
/// asked for or the address has changed. Tokens that open an account, as those of invitations and password resets do, are
/// never said.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EmailVerification {
    /// The user.
    pub user_id: UserId,
    /// The address.
    pub email: String,
    /// Name of the user.
    pub name: String,
    /// The one-time token.
    pub token: String,
    /// The end of the token.
    pub expires_at: DateTime<Utc>,
    /// Language of the request that led to it (BCP 47), where it named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
}

/// A role.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Role {
    /// The role.
    pub role_id: RoleId,
    /// Its name.
    pub name: String,
    /// What it grants.
    pub permissions: Vec<String>,
}

/// Whether a tenant is let in.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TenantStanding {
    /// The tenant.
    pub tenant_id: TenantId,
    /// Its short name.
    pub slug: String,
    /// Name of the business.
    pub name: String,
    /// When it was suspended, while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<DateTime<Utc>>,
    /// Why, while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A third party that says who somebody is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct IdentityProvider {
    /// The provider.
    pub provider_id: Uuid,
    /// What people see.
    pub name: String,
    /// Its address.
    pub issuer: String,
    /// Domains of e-mail addresses for which it speaks.
    pub domains: Vec<String>,
    /// Whether it lets anybody in.
    pub active: bool,
}

/// The company behind a tenant.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Company {
    /// Name as on the PAN card.
    pub legal_name: String,
    /// Name over the door.
    pub trade_name: Option<String>,
    /// Permanent Account Number.
    pub pan: Option<String>,
    /// ISO 4217 currency of the books.
    pub currency: String,
}

/// A GST registration.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Registration {
    /// The registration.
    pub registration_id: RegistrationId,
    /// The GSTIN, or nothing for an unregistered business.
    pub gstin: Option<String>,
    /// GST state code of two digits.
    pub state_code: String,
    /// Legal name on invoices.
    pub legal_name: String,
    /// False once it is closed.
    pub active: bool,
}

/// A branch.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Branch {
    /// The branch.
    pub branch_id: BranchId,
    /// Short code.
    pub code: String,
    /// Name.
    pub name: String,
    /// The registration under which it sells.
    pub registration_id: RegistrationId,
    /// Address, as its documents show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Telephone, as its documents show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Its virtual payment address, for payment by UPI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upi_vpa: Option<String>,
    /// False once it is closed.
    pub active: bool,
}

/// A stock location.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Location {
    /// The location.
    pub location_id: LocationId,
    /// The branch it belongs to.
    pub branch_id: BranchId,
    /// Short code.
    pub code: String,
    /// Name.
    pub name: String,
    /// False once it is closed.
    pub active: bool,
}

/// A till.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Till {
    /// The till.
    pub till_id: TillId,
    /// The branch it stands in.
    pub branch_id: BranchId,
    /// Where its sales take stock from.
    pub location_id: LocationId,
    /// Short code.
    pub code: String,
    /// Name.
    pub name: String,
    /// Prefix of its invoice numbers: a series of its own, so that tills never wait for each other.
    pub series: String,
    /// Round the payable amount to the nearest rupee.
    pub round_to_rupee: bool,
    /// False once it is retired.
    pub active: bool,
}
