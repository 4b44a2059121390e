//! The stack in one process: the resources, the functions, and what connects them.

pub mod resources;
