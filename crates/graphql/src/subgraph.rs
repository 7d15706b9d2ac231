//! The endpoint of a subgraph, for the gateway alone: `POST /graphql` answers, `GET /graphql` tells the schema. It is not
//! routed from outside.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse, web};
use async_graphql::{
    EmptySubscription, ErrorExtensionValues, ObjectType, Request, Response, SDLExportOptions,
    Schema, parser::types::OperationType,
};
use bahi_db::Db;
use bahi_http::{Caller, Fault, Problem};
use futures::future::BoxFuture;

use crate::Loads;

/// Longest request; the gateway's own limit on queries is far below it, but it sends the keys of many entities.
const MOST_BYTES: usize = 2 * 1024 * 1024;

/// Deepest query; the gateway refuses far shallower ones.
const DEPTH: usize = 30;

type Execute = dyn Fn(Request) -> BoxFuture<'static, Response> + Send + Sync;

/// A service's part of the graph.
#[derive(Clone)]
pub struct Subgraph {
    sdl: Arc<str>,
    execute: Arc<Execute>,
}

impl Subgraph {
    /// From the root types.
    pub fn new<Q, M>(query: Q, mutation: M) -> Self
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
    {
        let schema = Schema::build(query, mutation, EmptySubscription)
            .enable_federation()
            .limit_depth(DEPTH)
            .finish();
        let options = SDLExportOptions::new()
            .federation()
            .sorted_fields()
            .sorted_arguments()
            .sorted_enum_items();
        Self {
            sdl: schema.sdl_with_options(options).into(),
            execute: Arc::new(move |request| {
                let schema = schema.clone();
                Box::pin(async move { schema.execute(request).await })
            }),
        }
    }

    /// Its schema, with the directives of federation.
    pub fn sdl(&self) -> &str {
        &self.sdl
    }

    /// The endpoint, for a service whose state is `S`. Both ways need an internal token.
    pub fn routes<S: Clone + Send + Sync + 'static>(
        self,
        db: Option<Db>,
    ) -> impl FnOnce(&mut web::ServiceConfig) {
        let sdl = self.sdl.clone();
        let get = move |_: Caller| {
            let sdl = sdl.to_string();
            async move {
                HttpResponse::Ok()
                    .content_type("application/graphql")
                    .body(sdl)
            }
        };
        let post =
            move |state: web::Data<S>, caller: Caller, req: HttpRequest, body: web::Bytes| {
                let (this, db) = (self.clone(), db.clone());
                let left = bahi_http::time_left(req.headers());
                async move { this.answer(&**state, db, caller, left, &body).await }
            };
        move |cfg| {
            cfg.service(
                web::resource("/graphql")
                    .app_data(web::PayloadConfig::new(MOST_BYTES))
                    .route(web::get().to(get))
                    .route(web::post().to(post)),
            );
        }
    }

    async fn answer<S: Clone + Send + Sync + 'static>(
        &self,
        state: &S,
        db: Option<Db>,
        caller: Caller,
        left: Option<Duration>,
        body: &[u8],
    ) -> Result<HttpResponse, Problem> {
        let request: Request =
            serde_json::from_slice(body).map_err(|e| Fault::Malformed(e.to_string()))?;
        // PostgreSQL keeps no NUL in texts.
        if bahi_http::has_nul(body) || bahi_http::has_nul(request.query.as_bytes()) {
            return Err(Fault::Malformed("a text contains NUL".into()).into());
        }
        let mut request = request.data(state.clone());
        if let Some(db) = db {
            request = request.data(Loads::new(db, caller.ctx.clone()));
        }
        // As of REST: a query is given up for whose answer nobody waits any more, a change goes on.
        let left = left.filter(|_| only_reads(&mut request));
        let mut response = bahi_http::within(left, (self.execute)(request.data(caller))).await?;
        for error in &mut response.errors {
            // What no resolver said is about the query or its arguments.
            let extensions = error
                .extensions
                .get_or_insert_with(ErrorExtensionValues::default);
            if extensions.get("code").is_none() {
                extensions.set("code", "MALFORMED");
                extensions.set("status", 400);
            }
        }
        Ok(HttpResponse::Ok().json(response))
    }
}

/// Whether a request changes nothing, whichever of its operations is meant.
fn only_reads(request: &mut Request) -> bool {
    request.parsed_query().is_ok_and(|document| {
        let mut operations = document.operations.iter();
        operations.all(|(_, operation)| operation.node.ty == OperationType::Query)
    })
}
