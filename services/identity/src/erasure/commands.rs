//! Asking for an erasure, and hearing the answers.

use bahi_db::{Done, Tx};
use bahi_events::{
    Envelope, PERSON_ERASURE_REQUESTED, PersonErased, PersonErasureRequested, SubjectKind,
};
use bahi_http::Caller;
use bahi_kafka::Failed;
use bahi_types::UserId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{Erasure, Part},
    store,
};
use crate::{Error, State, ticket, user};

/// An erasure with the answers to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The erasure.
    pub erasure: Erasure,
    /// Who is asked, and has answered what.
    pub parts: Vec<Part>,
    /// It was asked for before.
    pub before: bool,
}

/// Asks every service to erase a person. Nobody erases a user who might do what he may not.
pub async fn start(
    state: &State,
    caller: &Caller,
    (subject, subject_id): (SubjectKind, Uuid),
    reason: String,
) -> Result<Done<Asked>, Error> {
    caller.ctx.everywhere()?;
    let (services, grants) = (state.answerers.clone(), caller.grants.clone());
    let start = async move |tx: &mut Tx| -> Result<Asked, Error> {
        if subject == SubjectKind::User {
            let id = subject_id.into();
            let member = user::store::lock(tx, id).await?;
            user::above(tx, &grants, id).await?;
            if member.user.status == "active" {
                return Err(Error::UserStatus(member.user.status));
            }
            // An invitation, or a sign-in on its way, would bring him back.
            ticket::void(tx, id).await?;
        }
        let erasure = Erasure {
            tenant_id: tx.tenant(),
            id: Uuid::now_v7(),
            subject: subject.word().into(),
            subject_id,
            reason: reason.clone(),
            asked_by: tx.ctx().actor.to_string(),
            asked_at: tx.now(),
            finished_at: None,
            version: 1,
        };
        if !store::insert(tx, &erasure).await? {
            let erasure = store::of(tx, subject.word(), subject_id).await?;
            let parts = store::parts(tx, erasure.id).await?;
            return Ok(Asked {
                erasure,
                parts,
                before: true,
            });
        }
        let asked = |service: &String| Part {
            tenant_id: erasure.tenant_id,
            erasure_id: erasure.id,
            service: service.clone(),
            answered_at: None,
            erased: None,
            kept: None,
        };
        let parts: Vec<Part> = services.iter().map(asked).collect();
        store::ask(tx, &parts).await?;
        store::expire_exports(tx).await?;
        let details = json!({ "subject": subject, "subject_id": subject_id });
        let what = ("erasure", erasure.id);
        tx.audit("identity.erasure.start", what, Some(reason), details);
        let question = PersonErasureRequested {
            erasure_id: erasure.id,
            subject,
            subject_id,
        };
        tx.publish(PERSON_ERASURE_REQUESTED.of(erasure.id, erasure.version, &question));
        Ok(Asked {
            erasure,
            parts,
            before: false,
        })
    };
    state.db.write(&caller.ctx, start).await
}

/// Whether the erasure of a user was asked for, whose row is locked: it stays so then.
pub async fn of_user(tx: &mut Tx, id: UserId) -> Result<bool, Error> {
    Ok(store::exists(tx, SubjectKind::User.word(), id.uuid()).await?)
}

/// Hears what services have answered.
pub async fn answered(tx: &mut Tx, events: &[Envelope<PersonErased>]) -> Result<(), Failed> {
    for event in events {
        let said = &event.payload;
        let Some(erasure) = store::lock(tx, said.erasure_id).await? else {
            return Err(Failed::reject(
                "not_found",
                anyhow::anyhow!("no such erasure"),
            ));
        };
        let part = Part {
            tenant_id: erasure.tenant_id,
            erasure_id: erasure.id,
            service: said.service.clone(),
            answered_at: Some(tx.now()),
            erased: Some(json!(said.erased)),
            kept: Some(json!(said.kept)),
        };
        if !store::save_part(tx, &part).await? {
            return Err(Failed::reject(
                "not_asked",
                anyhow::anyhow!("{}", said.service),
            ));
        }
        let parts = store::parts(tx, erasure.id).await?;
        if erasure.finished_at.is_none() && parts.iter().all(|part| part.answered_at.is_some()) {
            store::finish(tx, erasure.id).await?;
        }
    }
    Ok(())
}
