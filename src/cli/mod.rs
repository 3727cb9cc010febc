//! (to be written)

pub mod segment;
