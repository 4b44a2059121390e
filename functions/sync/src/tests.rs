//! A source's whole way: from files in a place to positions in a table, on the embedded engine.

mod aborts;
mod absence;
mod belief;
mod bench;
mod changes;
mod content;
mod damage;
mod exports;
mod first_load;
mod keys;
mod levels;
mod repeated;
mod schedule;
mod servers;
mod together;
