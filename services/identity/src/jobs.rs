//! Periodic work.

use std::time::Duration;

use bahi_db::{Ctx, Tx, sql};
use bahi_service::Job;
use bahi_types::TenantId;
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Integer, Timestamptz},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use crate::{Error, State, tenant_export};

/// Rows of a table that one call deletes at most.
const MANY: i32 = 1000;

/// The jobs.
pub fn table(state: &State) -> Vec<Job> {
    let (purged, tended) = (state.clone(), state.clone());
    let own = [
        Job::every("purge_sign_in", Duration::from_secs(600), move || {
            let state = purged.clone();
            async move { Ok(purge(&state).await?) }
        }),
        Job::every("tend_tenant_exports", Duration::from_secs(60), move || {
            let state = tended.clone();
            async move { Ok(tenant_export::tend(&state).await?) }
        }),
    ];
    own.into_iter().chain(state.privacy.jobs()).collect()
}

/// Forgets ended sessions, used tickets, sign-ins with providers, old revocations and counters, of every tenant.
async fn purge(state: &State) -> Result<(), Error> {
    #[derive(QueryableByName)]
    struct Gone {
        #[diesel(sql_type = BigInt)]
        gone: i64,
    }
    let ctx = Ctx::service(state.db.service(), TenantId::from_uuid(Uuid::nil()));
    loop {
        let gone = state.db.write(&ctx, async move |tx: &mut Tx| {
            let now = tx.now();
            let call = sql("select directory.purge($1, $2) as gone")
                .bind::<Timestamptz, _>(now)
                .bind::<Integer, _>(MANY);
            let gone = call.get_result::<Gone>(tx.conn()).await?.gone;
            let call = sql("select directory.purge_logins($1, $2) as gone")
                .bind::<Timestamptz, _>(now)
                .bind::<Integer, _>(MANY);
            let logins = call.get_result::<Gone>(tx.conn()).await?.gone;
            Ok::<_, Error>(gone + logins)
        });
        if gone.await?.value < i64::from(MANY) {
            return Ok(());
        }
    }
}
