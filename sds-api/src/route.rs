//! Which kind of request it is, for counting.

use http::Method;

/// A kind of request, for counting: known from the path's beginning, without asking the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `GET /v1/registration/..`
    Registration,
    /// Writes of the ancestors' dialects.
    Legacy,
    /// `/v1/services..`, `/v1/events`, `/v1/clients`, `/v1/ecs/events`
    Native,
    /// `/v2/discovery:endpoints`
    EdsV2,
    /// `/v3/discovery:endpoints`
    EdsV3,
    /// `/v1/prometheus..`
    Prometheus,
    /// Calls of gRPC's discovery services.
    Xds,
    /// Health, metrics, usage, unknown paths.
    Other,
}

impl Route {
    /// In the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Registration,
        Self::Legacy,
        Self::Native,
        Self::EdsV2,
        Self::EdsV3,
        Self::Prometheus,
        Self::Xds,
        Self::Other,
    ];

    /// The kind of a request.
    pub fn of(method: &Method, path: &str) -> Self {
        if path.starts_with("/v1/registration/") {
            let read = matches!(*method, Method::GET | Method::HEAD);
            if read { Self::Registration } else { Self::Legacy }
        } else if path.starts_with("/v1/deregistration/") || path.starts_with("/v1/loadbalancing/") {
            Self::Legacy
        } else if path.starts_with("/v1/services")
            || path == "/v1/events"
            || path == "/v1/ecs/events"
            || path == "/v1/clients"
        {
            Self::Native
        } else if path == "/v3/discovery:endpoints" {
            Self::EdsV3
        } else if path == "/v2/discovery:endpoints" {
            Self::EdsV2
        } else if path.starts_with("/v1/prometheus") {
            Self::Prometheus
        } else if path.starts_with(crate::xds::PREFIX) {
            Self::Xds
        } else {
            Self::Other
        }
    }

    /// The label's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Registration => "v1_registration",
            Self::Legacy => "v1_legacy_write",
            Self::Native => "native",
            Self::EdsV2 => "eds_v2",
            Self::EdsV3 => "eds_v3",
            Self::Prometheus => "prometheus",
            Self::Xds => "xds",
            Self::Other => "other",
        }
    }
}
