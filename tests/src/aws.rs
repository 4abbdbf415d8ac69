//! AWS's side of the wire, where no emulator will do: those that can be had accept any signature.

pub mod credentials;
pub mod ecs;
pub mod metadata;
pub mod proof;
pub mod sigv4;
pub mod sts;
