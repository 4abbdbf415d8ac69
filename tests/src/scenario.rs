//! Long stories that the gate plays in a small size and a soak in full.

pub mod deploy;
