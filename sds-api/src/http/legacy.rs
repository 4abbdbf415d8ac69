//! Writes in the dialects of the registries before us, whose clients work unchanged.

pub mod cookpad;
