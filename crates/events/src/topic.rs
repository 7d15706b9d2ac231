//! The topic registry: `<domain>.events.v1`, one per domain.

/// A topic of the fleet. The names are the contract; `deploy/services.toml` lists the same ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Orders and quotations.
    Orders,
    /// Invoices, returns, payments at the till, POS sessions, commissions.
    Billing,
    /// Stock.
    Inventory,
    /// Purchase orders, goods received, bills.
    Purchase,
    /// Catalogue, prices, tax rates.
    Products,
    /// Customers, vendors, credit, loyalty.
    Crm,
    /// Payments, GST returns, periods.
    Finance,
    /// Employees, attendance, payroll.
    Hr,
    /// Campaigns and messages.
    Campaigns,
    /// Tenants, users, roles, organisation.
    Identity,
    /// AI jobs.
    Ai,
    /// Sensitive operations of every service.
    Audit,
    /// Integrations.
    Sync,
    /// Exports of a tenant's data and erasures of a person's: what is asked of every service, and its answers.
    Privacy,
}

impl Topic {
    /// Every topic, in the order of the register.
    pub const ALL: [Topic; 14] = [
        Self::Orders,
        Self::Billing,
        Self::Inventory,
        Self::Purchase,
        Self::Products,
        Self::Crm,
        Self::Finance,
        Self::Hr,
        Self::Campaigns,
        Self::Identity,
        Self::Ai,
        Self::Audit,
        Self::Sync,
        Self::Privacy,
    ];

    /// The Kafka topic name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders.events.v1",
            Self::Billing => "billing.events.v1",
            Self::Inventory => "inventory.events.v1",
            Self::Purchase => "purchase.events.v1",
            Self::Products => "products.events.v1",
            Self::Crm => "crm.events.v1",
            Self::Finance => "finance.events.v1",
            Self::Hr => "hr.events.v1",
            Self::Campaigns => "campaigns.events.v1",
            Self::Identity => "identity.events.v1",
            Self::Ai => "ai.events.v1",
            Self::Audit => "audit.events.v1",
            Self::Sync => "sync.events.v1",
            Self::Privacy => "privacy.events.v1",
        }
    }
}
