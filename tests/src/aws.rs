//! AWS's side of the wire, where no emulator will do: those that can be had accept any signature.

pub mod ecs;
pub mod sigv4;
