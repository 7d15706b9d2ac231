//! Prints: an invoice or a credit note on paper.
//!
//! * A receipt (58 or 80 mm) as ESC/POS, HTML or PDF, and the A4 with all that rule 46 of the CGST Rules asks for, in three
//!   copies (rule 48). What they look like is [`bahi_prints`]'s; what stands on them is the frozen document and the names
//!   and addresses of the organisation's copies.
//! * Nothing of it is on a sale's way. An invoice of the office or to a business has its original made soon after it was
//!   issued, by a job that the invoice's own event calls; any other when it is first asked for. The unmarked A4 is stored
//!   under the hash of its bytes and is what the first print of its copy hands out.
//! * Every print is a row of `print_log`: who, when, which form and format, the how-many-eth. From the second print of a
//!   form and copy on, the paper says that it is a reprint, and the audit trail tells of it. A print that is not logged is
//!   not handed out.
//! * What is cancelled is printed with that word, and such a paper is not stored.
//! * Drawing has its own threads, and few of them may draw at the same time.

mod commands;
mod http;
mod model;
mod store;

pub(crate) use commands::render_due;
pub(crate) use http::routes;
pub(crate) use model::Printer;
pub(crate) use store::{due_invoices, due_notes};
