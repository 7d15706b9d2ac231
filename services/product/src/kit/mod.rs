//! Kits: products that consist of others.
//!
//! * A kit has 1 to 50 components: goods, each once, with a quantity in their stock unit and with no more decimals than
//!   that has. It is tracked by nothing and has no stock: what there is of it follows from its components.
//! * A component is neither a kit nor a service nor a template. So kits do not lie in each other, and there are no
//!   cycles; and what is a component cannot become a kit, a service or a template.
//! * Whoever makes a kit locks its components, whoever makes goods into something else locks them too: one of the two
//!   sees the other.

pub mod model;
pub mod store;
