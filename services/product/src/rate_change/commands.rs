//! Changing the rate of many tax profiles at once.

use bahi_db::{Ctx, Done, Tx};
use bahi_types::TaxProfileId;
use serde::{Deserialize, Serialize};

use crate::{
    Error, State,
    rate_change::model::{Affected, MOST, Outcome, plan},
    tax_profile::{
        self,
        model::{NewRate, TaxProfile},
        store,
    },
};

/// Which profiles.
#[derive(Clone, Debug)]
pub enum Target {
    /// These.
    Profiles(Vec<TaxProfileId>),
    /// Those whose HSN or SAC begins with one of these.
    Prefixes(Vec<String>),
}

/// What a change comes to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Every profile that it is about.
    pub affected: Vec<Affected>,
    /// The profiles as they are after it.
    pub after: Vec<TaxProfile>,
}

/// What a change would come to. It writes nothing.
pub async fn preview(tx: &mut Tx, target: &Target, rate: NewRate) -> Result<Plan, Error> {
    let ids = ids(tx, target).await?;
    let profiles = store::by_ids(tx, &ids).await?;
    weigh(tx, target, profiles, rate).await
}

/// Changes the rates: all of them, or none.
pub async fn apply(
    state: &State,
    ctx: &Ctx,
    target: Target,
    rate: NewRate,
) -> Result<Done<Plan>, Error> {
    let apply = async move |tx: &mut Tx| -> Result<Plan, Error> {
        let ids = ids(tx, &target).await?;
        let before = store::lock_by_ids(tx, &ids).await?;
        let plan = weigh(tx, &target, before.clone(), rate).await?;
        if let Some(clash) = plan
            .affected
            .iter()
            .find(|affected| affected.outcome == Outcome::RateExists)
        {
            return Err(Error::ProfileHasRate {
                profile: clash.id,
                name: clash.name.clone(),
                from: rate.from,
            });
        }
        let changed =
            |before: &&TaxProfile, after: &&TaxProfile| before.head.version != after.head.version;
        for after in &plan.after {
            let before = before.iter().find(|before| before.head.id == after.head.id);
            if before.is_some_and(|before| changed(&before, &after)) {
                store::save(tx, after).await?;
                let action = "product.tax_profile.rate_change";
                tax_profile::commands::tell(tx, action, before, after);
            }
        }
        Ok(plan)
    };
    state.db.write(ctx, apply).await
}

async fn ids(tx: &mut Tx, target: &Target) -> Result<Vec<TaxProfileId>, Error> {
    match target {
        Target::Profiles(ids) => Ok(ids.clone()),
        Target::Prefixes(prefixes) => {
            let most = i64::try_from(MOST).unwrap_or(i64::MAX);
            let ids = store::ids_by_prefix(tx, prefixes, most + 1).await?;
            if ids.len() > MOST {
                return Err(Error::TooManyProfiles(MOST));
            }
            Ok(ids)
        }
    }
}

/// What the rate makes of each profile.
async fn weigh(
    tx: &mut Tx,
    target: &Target,
    mut profiles: Vec<TaxProfile>,
    rate: NewRate,
) -> Result<Plan, Error> {
    match target {
        Target::Profiles(ids) => {
            let known = |id: &TaxProfileId| profiles.iter().any(|p| p.head.id == *id);
            if let Some(at) = ids.iter().position(|id| !known(id)) {
                return Err(Error::UnknownAt(format!("profile_ids[{at}]")));
            }
        }
        // One that has got another code before it was locked is no longer meant.
        Target::Prefixes(prefixes) => profiles.retain(|profile| {
            prefixes
                .iter()
                .any(|prefix| profile.head.hsn.starts_with(prefix.as_str()))
        }),
    }
    profiles.sort_by_key(|profile| profile.head.id);
    let ids: Vec<TaxProfileId> = profiles.iter().map(|profile| profile.head.id).collect();
    let users = store::users(tx, &ids).await?;
    let mut plans = Plan {
        affected: Vec::with_capacity(profiles.len()),
        after: Vec::with_capacity(profiles.len()),
    };
    for profile in profiles {
        let products = users.get(&profile.head.id).copied().unwrap_or_default();
        let (affected, after) = plan(&profile, rate, products, tx.now())?;
        plans.affected.push(affected);
        plans.after.push(after.unwrap_or(profile));
    }
    Ok(plans)
}
