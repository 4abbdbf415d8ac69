//! The harness: it starts the real registry, real sidecars, small apps that can fail, the real Envoy and a second
//! DynamoDB emulator, each as a process on a port of its own, and looks at them only from outside.
//!
//! The tests (`tests/e2e`), the demo and the soaks share it. What a test needs and the machine lacks is an error that
//! names it. A test runs in [`play::play`], which hands it a [`stage::Stage`]: what is started on a stage is ended with it,
//! and its logs are shown when the test fails.

pub mod api;
pub mod app;
pub mod aws;
pub mod balancer;
pub mod calm;
pub mod canary;
pub mod clock;
pub mod dashboard;
pub mod demo;
pub mod dynamo;
pub mod ecs;
pub mod emulator;
pub mod envoy;
pub mod faketime;
pub mod fetch;
pub mod fleet;
pub mod foreign;
pub mod gate;
pub mod golden;
pub mod h2;
pub mod http;
pub mod load;
pub mod mesh;
pub mod pb;
pub mod pki;
pub mod place;
pub mod play;
pub mod process;
pub mod programs;
pub mod prometheus;
pub mod promql;
pub mod push;
pub mod python;
pub mod raw;
pub mod replicas;
pub mod rules;
pub mod scenario;
pub mod sidecar;
pub mod soak;
pub mod stage;
pub mod statsd;
pub mod table;
pub mod times;
pub mod tls;
pub mod unit;
pub mod v1;
pub mod wait;
pub mod watch;
pub mod wire;
pub mod xds;
pub mod yaml;
