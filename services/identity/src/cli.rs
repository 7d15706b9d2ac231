//! What an operator does about tenants, and asks of their audit trails.

use std::process::ExitCode;

use anyhow::Context;
use bahi_db::{Ctx, Tx};
use bahi_service::Asked;
use bahi_types::TenantId;
use clap::{FromArgMatches, Subcommand};
use serde_json::json;
use uuid::Uuid;

use crate::{Error, State, audit, tenant};

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// The audit trails
    #[command(subcommand)]
    Audit(Audit),
    /// Tenants
    #[command(subcommand)]
    Tenant(Tenant),
}

/// About audit trails.
#[derive(Subcommand)]
pub enum Audit {
    /// Sums trails up again; ends with 1 where something is missing, was changed or put in later
    Verify {
        /// Short name of the only tenant to look at
        #[arg(long)]
        tenant: Option<String>,
        /// Number of a record of it that was noted elsewhere
        #[arg(long, requires_all = ["hash", "tenant"], value_parser = clap::value_parser!(i64).range(1..))]
        number: Option<i64>,
        /// The hash that was noted with the number
        #[arg(long, requires = "number", value_parser = hash)]
        hash: Option<Noted>,
        /// For programs
        #[arg(long)]
        json: bool,
    },
}

/// A hash as it was noted.
#[derive(Clone)]
pub struct Noted(Vec<u8>);

fn hash(text: &str) -> Result<Noted, String> {
    match hex::decode(text) {
        Ok(hash) if hash.len() == 32 => Ok(Noted(hash)),
        _ => Err("64 hexadecimal digits".to_owned()),
    }
}

/// About tenants.
#[derive(Subcommand)]
pub enum Tenant {
    /// Lets nobody of a tenant in until it is reactivated; sessions and keys are refused within two seconds
    Suspend {
        /// Its short name
        slug: String,
        /// Why, for the audit trail
        #[arg(long)]
        reason: String,
    },
    /// Lets a suspended tenant in again
    Reactivate {
        /// Its short name
        slug: String,
        /// Why, for the audit trail
        #[arg(long)]
        reason: String,
    },
}

/// Adds the commands to those of every service.
pub fn commands(command: clap::Command) -> clap::Command {
    Command::augment_subcommands(command)
}

/// Carries one out.
pub async fn run(state: State, asked: Asked) -> anyhow::Result<ExitCode> {
    match Command::from_arg_matches(&asked.matches)? {
        Command::Audit(Audit::Verify {
            tenant,
            number,
            hash,
            json,
        }) => {
            let noted = number.zip(hash.map(|Noted(hash)| hash));
            verify(&state, tenant, noted, json).await
        }
        Command::Tenant(Tenant::Suspend { slug, reason }) => {
            let ctx = of(&state, &slug).await?;
            let done = tenant::suspend(&state, &ctx, reason, Some(asked.who)).await?;
            println!("{}: suspended {}", slug, since(&done.value));
            Ok(ExitCode::SUCCESS)
        }
        Command::Tenant(Tenant::Reactivate { slug, reason }) => {
            let ctx = of(&state, &slug).await?;
            tenant::reactivate(&state, &ctx, reason, Some(asked.who)).await?;
            println!("{slug}: active");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn since(tenant: &tenant::Tenant) -> String {
    let at = tenant.suspended_at.map(|at| format!("since {at:?}"));
    at.unwrap_or_default()
}

fn own(state: &State, tenant: TenantId) -> Ctx {
    Ctx::service(state.db.service(), tenant)
}

async fn tenants(state: &State) -> Result<Vec<(TenantId, String)>, Error> {
    let nobody = own(state, TenantId::from_uuid(Uuid::nil()));
    state
        .db
        .read(&nobody, async move |tx: &mut Tx| {
            Ok(tenant::store::all(tx).await?)
        })
        .await
}

async fn of(state: &State, slug: &str) -> anyhow::Result<Ctx> {
    let all = tenants(state).await?;
    let found = all.into_iter().find(|(_, known)| known == slug);
    let (tenant, _) = found.with_context(|| format!("there is no tenant {slug}"))?;
    Ok(own(state, tenant))
}

/// Each trail is read as of one moment, as the endpoint does. One that cannot be read keeps nobody from the others.
async fn verify(
    state: &State,
    only: Option<String>,
    noted: Option<(i64, Vec<u8>)>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut all = tenants(state).await?;
    if let Some(slug) = &only {
        all.retain(|(_, known)| known == slug);
        anyhow::ensure!(!all.is_empty(), "there is no tenant {slug}");
    }
    let (mut broken, mut unread) = (0, 0);
    for (tenant, slug) in &all {
        let ctx = own(state, *tenant);
        let verdict = match audit::verify(state, &ctx, noted.clone(), audit::STEP).await {
            Ok(verdict) => verdict,
            Err(error) => {
                unread += 1;
                eprintln!("{slug}: not verified: {error}");
                continue;
            }
        };
        let hash = hex::encode(&verdict.hash);
        let number = verdict.number;
        broken += usize::from(verdict.broken_at.is_some());
        if json {
            let line = json!({
                "tenant": slug, "tenant_id": tenant, "intact": verdict.broken_at.is_none(),
                "broken_at": verdict.broken_at, "number": number, "hash": hash,
            });
            println!("{line}");
        } else if let Some(at) = verdict.broken_at {
            println!("{slug}: BROKEN at {at}; it ends with {number} {hash}");
        } else {
            println!("{slug}: intact; it ends with {number} {hash}");
        }
    }
    if !json && only.is_none() {
        println!("{} trails, {broken} broken", all.len());
    }
    anyhow::ensure!(unread == 0, "{unread} trails could not be verified");
    Ok(if broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
