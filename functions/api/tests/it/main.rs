//! The API against the embedded table: every route, and what the guarantees say of it.

mod configuration;
mod doctor;
mod imports;
mod movements;
mod paging;
mod routes;
mod scene;
