//! Long stories that the gate plays in a small size and a soak in full.

pub mod alerts;
pub mod blackstart;
pub mod blind;
pub mod clocks;
pub mod crowd;
pub mod deaths;
pub mod deploy;
pub mod fanout;
pub mod flap;
pub mod kill9;
pub mod loris;
pub mod modes;
pub mod outage;
pub mod poison;
pub mod proxyless;
pub mod releases;
pub mod replicas;
pub mod roles;
pub mod rolling;
pub mod silence;
pub mod size;
pub mod stale;
pub mod storedeath;
pub mod streams;
pub mod truth;
pub mod visible;
