//! What a reload replaces as a whole: routes, upstreams, time limits and the access log. A request keeps what it began
//! with.

use std::sync::Arc;

use super::{
    ProxyStats,
    access_log::AccessLog,
    config::{NO_UPSTREAM, ProxyConfig, UpstreamConfig},
    route::Routes,
    upstream::Upstream,
};

/// The proxy's config at work.
pub(super) struct Site {
    pub(super) config: ProxyConfig,
    pub(super) access_log: Option<Arc<AccessLog>>,
    /// The index in telemetry of what no upstream answered.
    pub(super) no_upstream: u16,
    routes: Routes,
    upstreams: Vec<Arc<Upstream>>,
}

impl Site {
    /// Puts `config` to work. `names` are the upstreams' names in telemetry, with [`NO_UPSTREAM`]. Upstreams that are as in
    /// `before` stay, with their connections and what is known of their health. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When certificates of an upstream or the access log cannot be had.
    pub(super) fn new(
        config: ProxyConfig,
        names: &[String],
        before: Option<&Self>,
        stats: &Arc<ProxyStats>,
    ) -> anyhow::Result<Self> {
        let index_of = |name: &str| {
            let index = names.iter().position(|known| known == name);
            index.and_then(|index| u16::try_from(index).ok())
        };
        let no_upstream = index_of(NO_UPSTREAM).unwrap_or_default();
        let same_times = before.is_some_and(|before| {
            let times = |config: &ProxyConfig| (config.connect_timeout, config.idle_timeout);
            times(&before.config) == times(&config)
        });
        let kept = |upstream: &UpstreamConfig| {
            let before = before.filter(|_| same_times)?;
            before.upstreams.iter().find(|kept| kept.config == *upstream)
        };
        let upstreams = config
            .upstreams
            .iter()
            .map(|upstream| match kept(upstream) {
                Some(kept) => Ok(kept.clone()),
                None => {
                    let index = index_of(&upstream.name).unwrap_or(no_upstream);
                    Upstream::start(upstream, index, &config).map(Arc::new)
                }
            })
            .collect::<anyhow::Result<_>>()?;
        let kept = before.filter(|before| before.config.access_log == config.access_log);
        let access_log = match (kept, &config.access_log) {
            (Some(before), _) => before.access_log.clone(),
            (None, Some(path)) => Some(Arc::new(AccessLog::open(path, stats.clone())?)),
            (None, None) => None,
        };
        Ok(Self {
            routes: Routes::new(&config.routes),
            upstreams,
            access_log,
            no_upstream,
            config,
        })
    }

    /// All upstreams.
    pub(super) fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// The upstream for a request.
    pub(super) fn find(&self, host: &str, path: &str) -> Option<&Upstream> {
        let index = self.routes.find(host, path)?;
        self.upstreams.get(index).map(Arc::as_ref)
    }
}
