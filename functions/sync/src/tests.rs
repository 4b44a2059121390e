//! A source's whole way: from files in a place to positions in a table, on the embedded engine.

mod aborts;
mod absence;
mod belief;
mod bench;
mod content;
mod damage;
mod exports;
mod first_load;
mod levels;
mod schedule;
mod servers;
mod together;
