//! What the store is asked, how that ends, and what it says that it costs.

use std::sync::atomic::AtomicU64;

use aws_sdk_dynamodb::types::ConsumedCapacity;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use crate::store::Trouble;

/// Calls of the store, by API call and outcome, and what it says that they cost.
#[derive(Debug, Clone, Default)]
pub struct StoreCalls {
    calls: Family<CallLabels, Counter>,
    bad_rows: Counter,
    units: Family<UnitLabels, Counter<f64, AtomicU64>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UnitLabels {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
    outcome: &'static str,
}

/// Those that are made again and again. Their troubles are there from the start, at 0: of a counter that begins with its first
/// event, Prometheus takes that one for no rise.
const CALLS: [&str; 7] = ["BatchGetItem", "DeleteItem", "GetItem", "PutItem", "Query", "Scan", "UpdateItem"];

impl StoreCalls {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("store_calls", "Calls of the store", metrics.calls.clone());
        let help = "Rows that were announced and cannot be served";
        registry.register("bad_rows_announced", help, metrics.bad_rows.clone());
        let help = "Request units, as the store tells them: the bill, but for storage";
        registry.register("store_units", help, metrics.units.clone());
        for call in CALLS {
            for trouble in [Trouble::Away, Trouble::Throttled, Trouble::Refused] {
                drop(metrics.calls.get_or_create(&CallLabels { call, outcome: trouble.as_str() }));
            }
        }
        metrics
    }

    /// Counts a call that ended.
    pub fn ended(&self, call: &'static str, outcome: &'static str) {
        self.calls.get_or_create(&CallLabels { call, outcome }).inc();
    }

    /// Counts a row that cannot be served though it was announced.
    pub fn bad_row(&self) {
        self.bad_rows.inc();
    }

    /// Counts request units of reads.
    pub fn read_units<'a>(&self, told: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.units("read", told);
    }

    /// Counts request units of writes.
    pub fn write_units<'a>(&self, told: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.units("write", told);
    }

    fn units<'a>(&self, kind: &'static str, told: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        let units: f64 = told.into_iter().filter_map(|told| told.capacity_units).sum();
        self.units.get_or_create(&UnitLabels { kind }).inc_by(units.max(0.0));
    }
}
