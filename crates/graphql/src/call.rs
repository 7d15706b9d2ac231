//! Who calls, and under which idempotency key.

use async_graphql::{Context, Name, Value};
use bahi_db::Ctx;
use bahi_http::{Caller, Fault};
use sha2::{Digest, Sha256};

use crate::{Batch, Loads, Result};

/// What resolvers ask of a request.
pub trait Call {
    /// The state of the service.
    fn state<S: Send + Sync + 'static>(&self) -> Result<&S>;

    /// The caller.
    fn caller(&self) -> Result<&Caller>;

    /// The circumstances of a read.
    ///
    /// # Errors
    /// [`Fault::Forbidden`] without `permission`.
    fn reader(&self, permission: &'static str) -> Result<&Ctx>;

    /// Who gives the command that this field of a mutation is. With an `Idempotency-Key`, the key holds for this field
    /// under this name in the answer, and for these arguments.
    ///
    /// # Errors
    /// [`Fault::Forbidden`] without `permission`.
    fn commander(&self, permission: &'static str) -> Result<Caller>;

    /// The circumstances of that command.
    ///
    /// # Errors
    /// [`Fault::Forbidden`] without `permission`.
    fn command(&self, permission: &'static str) -> Result<Ctx> {
        Ok(self.commander(permission)?.ctx)
    }

    /// One of many that are read together: all that the fields of a request ask for at the same time are one query.
    fn load<B: Batch>(&self, key: B::Key) -> impl Future<Output = Result<Option<B::Value>>> + Send;
}

impl Call for Context<'_> {
    fn state<S: Send + Sync + 'static>(&self) -> Result<&S> {
        Ok(self.data_opt::<S>().ok_or(Fault::Unauthenticated)?)
    }

    fn caller(&self) -> Result<&Caller> {
        Ok(self.data_opt::<Caller>().ok_or(Fault::Unauthenticated)?)
    }

    fn reader(&self, permission: &'static str) -> Result<&Ctx> {
        let caller = self.caller()?;
        caller.require(permission)?;
        Ok(&caller.ctx)
    }

    fn commander(&self, permission: &'static str) -> Result<Caller> {
        let mut caller = self.caller()?.clone();
        caller.require(permission)?;
        if let Some(key) = &mut caller.ctx.idempotency {
            let field = self.field();
            let arguments = field
                .arguments()
                .map_err(|error| Fault::Malformed(error.message))?;
            key.route = match field.alias() {
                None => format!("GraphQL {}", field.name()),
                Some(alias) => format!("GraphQL {} as {alias}", field.name()),
            };
            key.hash = fingerprint(arguments);
        }
        Ok(caller)
    }

    async fn load<B: Batch>(&self, key: B::Key) -> Result<Option<B::Value>> {
        match self.data_opt::<Loads>() {
            Some(loads) => Ok(loads.load::<B>(key).await?),
            None => Ok(None),
        }
    }
}

/// SHA-256 over the arguments, in the order of their names.
fn fingerprint(mut arguments: Vec<(Name, Value)>) -> Vec<u8> {
    arguments.sort_by(|(a, _), (b, _)| a.cmp(b));
    let arguments = arguments
        .into_iter()
        .map(|(name, value)| format!("{name}:{value};"));
    Sha256::digest(arguments.collect::<String>()).to_vec()
}
