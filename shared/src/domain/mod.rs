//! domain

pub mod distance;
pub mod money;
mod numeral;
pub mod vin;
