//! A promotion, its life, and what of it may change.

use bahi_http::Fault;
use bahi_pricing::{Audience, Period, Rule, Scope};
use bahi_types::{BranchId, CustomerGroupId, Money, PromotionId, Quantity};
use chrono::{DateTime, NaiveDate, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, json::Json, price_list::model::sound, schema::promotion, text::words};

/// Promotions that are active at once at most.
pub const MOST_ACTIVE: i64 = 100;
/// Products, categories and brands that one scope names at most.
pub const MOST_NAMED: usize = 500;

words! {
    /// Where a promotion stands in its life.
    #[schema(as = PromotionStatus)]
    pub enum Status {
        /// Being prepared.
        Draft = "draft",
        /// Applies while its period holds.
        Active = "active",
        /// Over.
        Ended = "ended",
    }
}

impl Status {
    /// The steps of the state machine.
    ///
    /// # Errors
    /// [`Error::Transition`].
    pub fn step(self, to: Self) -> Result<Self, Error> {
        match (self, to) {
            (Self::Draft, Self::Active) | (Self::Active, Self::Ended) => Ok(to),
            _ => Err(Error::Transition {
                from: self.word(),
                to: to.word(),
            }),
        }
    }
}

/// A promotion.
#[derive(
    Clone, Debug, PartialEq, Serialize, Deserialize, Queryable, Selectable, Insertable, AsChangeset,
)]
#[diesel(table_name = promotion, treat_none_as_null = true)]
pub struct Promotion {
    /// Id.
    pub id: PromotionId,
    /// Version.
    pub version: i64,
    /// Name.
    pub name: String,
    /// State.
    pub status: Status,
    /// The higher goes first.
    pub priority: i32,
    /// It goes together with others that do.
    pub stackable: bool,
    /// It applies only where one of its coupons is given.
    pub needs_coupon: bool,
    /// The branch it is for.
    pub branch_id: Option<BranchId>,
    /// The group of customers it is for.
    pub customer_group_id: Option<CustomerGroupId>,
    /// First day.
    pub valid_from: Option<NaiveDate>,
    /// First day on which it no longer holds.
    pub valid_to: Option<NaiveDate>,
    /// Which goods it is about.
    pub scope: Json<Scope>,
    /// Quantity that its lines must come to.
    pub min_qty: Option<Quantity>,
    /// Amount that its lines must come to before it.
    pub min_amount: Option<Money>,
    /// What it takes off.
    pub rule: Json<Rule>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// What can be said of a promotion.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Name.
    pub name: String,
    /// The higher goes first.
    pub priority: i32,
    /// It goes together with others that do.
    pub stackable: bool,
    /// It applies only where one of its coupons is given.
    pub needs_coupon: bool,
    /// For whom it is.
    pub audience: Audience,
    /// When it holds.
    pub period: Period,
    /// Which goods it is about.
    pub scope: Scope,
    /// Quantity that its lines must come to.
    pub min_qty: Option<Quantity>,
    /// Amount that its lines must come to before it.
    pub min_amount: Option<Money>,
    /// What it takes off.
    pub rule: Rule,
}

impl Draft {
    /// The scopes it names goods in, each with its field.
    pub fn scopes(&self) -> Vec<(&'static str, &Scope)> {
        let mut scopes = vec![("scope", &self.scope)];
        if let Rule::BuyGet { get: Some(get), .. } = &self.rule {
            scopes.push(("rule.get", get));
        }
        scopes
    }

    fn check(&self) -> Result<(), Error> {
        sound("", &self.period)?;
        if let Err(wrong) = self.rule.check() {
            return Err(Fault::field(format!("rule.{}", wrong.field), wrong.fault).into());
        }
        for (field, scope) in self.scopes() {
            let named = scope.products.len() + scope.categories.len() + scope.brands.len();
            if named > MOST_NAMED {
                let fault = format!("must name at most {MOST_NAMED} things");
                return Err(Fault::field(field, fault).into());
            }
        }
        Ok(())
    }
}

impl Promotion {
    /// A new draft.
    ///
    /// # Errors
    /// The field that is wrong.
    pub fn new(draft: Draft, now: DateTime<Utc>) -> Result<Self, Error> {
        Self::said(PromotionId::new(), draft, now)
    }

    /// The promotion as `draft` wants it; itself when that is no change.
    ///
    /// # Errors
    /// The field that is wrong or fixed; [`Error::PromotionEnded`].
    pub fn amended(&self, draft: Draft, now: DateTime<Utc>) -> Result<Self, Error> {
        let after = Self {
            version: self.version,
            status: self.status,
            created_at: self.created_at,
            updated_at: self.updated_at,
            ..Self::said(self.id, draft, now)?
        };
        if after == *self {
            return Ok(after);
        }
        match self.status {
            Status::Draft => {}
            Status::Active => after.may_follow(self)?,
            Status::Ended => return Err(Error::PromotionEnded),
        }
        Ok(after.next(now))
    }

    /// The promotion in another state.
    ///
    /// # Errors
    /// [`Error::Transition`].
    pub fn moved(&self, to: Status, now: DateTime<Utc>) -> Result<Self, Error> {
        let status = self.status.step(to)?;
        Ok(Self {
            status,
            ..self.clone()
        }
        .next(now))
    }

    /// Refuses to delete what customers may have seen.
    ///
    /// # Errors
    /// [`Error::Transition`].
    pub fn may_be_deleted(&self) -> Result<(), Error> {
        if self.status == Status::Draft {
            Ok(())
        } else {
            Err(Error::Transition {
                from: self.status.word(),
                to: "deleted",
            })
        }
    }

    /// As the pricing rules take it.
    pub fn rule(&self) -> bahi_pricing::Promotion {
        bahi_pricing::Promotion {
            id: self.id,
            priority: self.priority,
            stackable: self.stackable,
            needs_coupon: self.needs_coupon,
            audience: Audience {
                branch: self.branch_id,
                customer_group: self.customer_group_id,
            },
            period: Period {
                from: self.valid_from,
                to: self.valid_to,
            },
            scope: self.scope.0.clone(),
            min_qty: self.min_qty,
            min_amount: self.min_amount,
            rule: self.rule.0.clone(),
        }
    }

    fn next(self, now: DateTime<Utc>) -> Self {
        Self {
            version: self.version + 1,
            updated_at: now,
            ..self
        }
    }

    /// Of an active promotion only the name and the end may change.
    fn may_follow(&self, before: &Self) -> Result<(), Error> {
        let differs = [
            ("priority", self.priority != before.priority),
            ("stackable", self.stackable != before.stackable),
            ("needs_coupon", self.needs_coupon != before.needs_coupon),
            ("branch_id", self.branch_id != before.branch_id),
            (
                "customer_group_id",
                self.customer_group_id != before.customer_group_id,
            ),
            ("valid_from", self.valid_from != before.valid_from),
            ("scope", self.scope != before.scope),
            ("min_qty", self.min_qty != before.min_qty),
            ("min_amount", self.min_amount != before.min_amount),
            ("rule", self.rule != before.rule),
        ];
        match differs.into_iter().find(|(_, differs)| *differs) {
            Some((field, _)) => Err(Error::FixedWhenActive(field)),
            None => Ok(()),
        }
    }

    fn said(id: PromotionId, draft: Draft, now: DateTime<Utc>) -> Result<Self, Error> {
        draft.check()?;
        Ok(Self {
            id,
            version: 1,
            name: draft.name,
            status: Status::Draft,
            priority: draft.priority,
            stackable: draft.stackable,
            needs_coupon: draft.needs_coupon,
            branch_id: draft.audience.branch,
            customer_group_id: draft.audience.customer_group,
            valid_from: draft.period.from,
            valid_to: draft.period.to,
            scope: Json(draft.scope),
            min_qty: draft.min_qty,
            min_amount: draft.min_amount,
            rule: Json(draft.rule),
            created_at: now,
            updated_at: now,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft {
            name: "Diwali".into(),
            priority: 0,
            stackable: false,
            needs_coupon: false,
            audience: Audience::default(),
            period: Period::default(),
            scope: Scope::default(),
            min_qty: None,
            min_amount: None,
            rule: Rule::Percent { percent: 10.into() },
        }
    }

    #[test]
    fn what_customers_have_seen_is_fixed() {
        let now = Utc::now();
        let new = Promotion::new(draft(), now).unwrap();
        let cheaper = || Draft {
            rule: Rule::Percent { percent: 5.into() },
            ..draft()
        };
        let longer = || Draft {
            period: Period {
                from: None,
                to: Some("2026-12-01".parse().unwrap()),
            },
            ..draft()
        };
        assert_eq!(new.amended(cheaper(), now).unwrap().version, 2);
        let active = new.moved(Status::Active, now).unwrap();
        assert!(matches!(
            active.amended(cheaper(), now),
            Err(Error::FixedWhenActive("rule"))
        ));
        assert_eq!(active.amended(longer(), now).unwrap().version, 3);
        let ended = active.moved(Status::Ended, now).unwrap();
        assert!(matches!(
            ended.amended(longer(), now),
            Err(Error::PromotionEnded)
        ));
        assert_eq!(ended.amended(draft(), now).unwrap(), ended);
        for (from, to) in [
            (Status::Draft, Status::Ended),
            (Status::Active, Status::Draft),
            (Status::Ended, Status::Active),
            (Status::Active, Status::Active),
        ] {
            assert!(from.step(to).is_err(), "{from:?} {to:?}");
        }
        assert!(new.may_be_deleted().is_ok());
        assert!(active.may_be_deleted().is_err() && ended.may_be_deleted().is_err());
    }
}
