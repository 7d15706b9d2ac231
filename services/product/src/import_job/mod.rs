//! Bulk imports of products from CSV and XLSX.
//!
//! uploaded → validating → invalid | ready → applying → completed | completed_with_errors | failed; a job that is
//! ready or applying can be cancelled. (`uploading` comes before a job can be seen.) A dry run rests when it is ready:
//! it tells what would happen and can be applied later.
//!
//! * The upload is parsed as it arrives and staged in chunks; the answer comes when the last byte is staged. Memory
//!   is the same for ten rows and a million. A workbook is spooled to disk first, because its directory stands at its
//!   end, and looked through before it is believed.
//! * A file that cannot be read at all, or whose header names no SKU, is refused at once and nothing is written.
//! * What a row means is the matter of `import_row`.
//! * A row with an error is kept with line, column, value and reason; its neighbours go in.
//! * A SKU or barcode may stand in one row of a file; the first row has it.
//! * Validation and application go chunk by chunk. Each chunk is one transaction with its events (at most 500) and the
//!   job's progress, so a crash repeats nothing and loses nothing: whoever takes the job up again goes on there.

pub mod commands;
mod http;
pub mod model;
pub mod store;
mod upload;
mod watch;

use utoipa_actix_web::service_config::ServiceConfig;

/// The endpoints.
pub fn routes(cfg: &mut ServiceConfig) {
    http::routes(cfg);
    watch::routes(cfg);
}
