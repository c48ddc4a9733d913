//! Data sources: where requests are seen.

pub(crate) mod access_log;
pub(crate) mod authz;
pub(crate) mod client_address;
pub(crate) mod gate;
pub(crate) mod proxy;
pub(crate) mod reports;
pub(crate) mod service_log;
pub(crate) mod waf;

use std::sync::Arc;

/// Counters of the data sources.
#[derive(Clone)]
pub(crate) struct InputStats {
    pub(crate) proxy: Arc<proxy::ProxyStats>,
    /// `None` without a proxy.
    pub(crate) servers: Option<proxy::Servers>,
    pub(crate) certificates: Option<Arc<proxy::Book>>,
    pub(crate) access_logs: Arc<[Arc<access_log::Health>]>,
    pub(crate) clients: Arc<client_address::ClientStats>,
    pub(crate) authz: Arc<authz::AuthzStats>,
}
