//! Answers: status, version as ETag, and the mark of a repeated answer.

use actix_web::{HttpResponse, HttpResponseBuilder, http::StatusCode, http::header};
use bahi_db::Done;
use bahi_types::Page;
use serde::Serialize;

/// A body that has a version, sent as `ETag`.
pub trait Versioned: Serialize {
    /// The version; `None` sends no ETag.
    fn version(&self) -> Option<i64>;
}

fn build<T: Versioned>(mut response: HttpResponseBuilder, body: &T) -> HttpResponse {
    if let Some(version) = body.version() {
        response.insert_header((header::ETAG, format!("\"{version}\"")));
    }
    response.json(body)
}

fn done<T: Versioned>(status: StatusCode, done: &Done<T>) -> HttpResponse {
    let mut response = HttpResponse::build(status);
    if done.replayed {
        response.insert_header(("Idempotency-Hit", "true"));
    }
    build(response, &done.value)
}

/// 201 with what was made.
pub fn created<T: Versioned>(made: &Done<T>) -> HttpResponse {
    done(StatusCode::CREATED, made)
}

/// 202 with a job that goes on.
pub fn accepted<T: Versioned>(job: &Done<T>) -> HttpResponse {
    done(StatusCode::ACCEPTED, job)
}

/// 200 with what was changed, found or decided.
pub fn ok<T: Versioned>(found: &Done<T>) -> HttpResponse {
    done(StatusCode::OK, found)
}

/// 204.
pub fn no_content<T>(gone: &Done<T>) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    if gone.replayed {
        response.insert_header(("Idempotency-Hit", "true"));
    }
    response.finish()
}

/// 200 with a page of a list.
pub fn page<T: Serialize>(page: &Page<T>) -> HttpResponse {
    HttpResponse::Ok().json(page)
}
