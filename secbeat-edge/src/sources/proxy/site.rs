//! Parts that a reload replaces as a whole: routes, upstreams, time limits and the access log. A request keeps what it began
//! with.

use std::{collections::HashMap, fs, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use hyper::header::HeaderValue;

use super::{
    ProxyStats,
    access_log::AccessLog,
    config::{HeaderRules, NO_UPSTREAM, ProxyConfig, UpstreamConfig},
    route::Routes,
    upstream::Upstream,
};

/// The proxy's config at work.
pub(super) struct Site {
    pub(super) config: ProxyConfig,
    pub(super) access_log: Option<Arc<AccessLog>>,
    /// Those of `config`, which also hold for trailers.
    pub(super) headers: Arc<HeaderRules>,
    /// The index in telemetry of what no upstream answered.
    pub(super) no_upstream: u16,
    /// What clients are told of TLS.
    pub(super) hsts: Option<HeaderValue>,
    pages: HashMap<u16, Page>,
    routes: Routes,
    upstreams: Vec<Arc<Upstream>>,
}

/// A body of the proxy's own answers.
#[derive(Clone)]
pub(super) struct Page {
    pub(super) kind: HeaderValue,
    pub(super) body: Bytes,
}

/// Largest file of such a body, in bytes.
const MAX_PAGE: u64 = 1024 * 1024;

impl Page {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let reading = || format!("proxy.error_pages: reading {}", path.display());
        let metadata = fs::metadata(path).with_context(reading)?;
        anyhow::ensure!(
            metadata.is_file(),
            "proxy.error_pages: {} is not a regular file",
            path.display()
        );
        let size = metadata.len();
        anyhow::ensure!(
            size <= MAX_PAGE,
            "proxy.error_pages: {} has {size} bytes: at most {MAX_PAGE} are allowed",
            path.display()
        );
        let kind = match path.extension().and_then(|extension| extension.to_str()) {
            Some("html" | "htm") => "text/html; charset=utf-8",
            Some("json") => "application/json",
            _ => "text/plain; charset=utf-8",
        };
        Ok(Self {
            kind: HeaderValue::from_static(kind),
            body: fs::read(path).with_context(reading)?.into(),
        })
    }
}

/// Reads a body of the proxy's own answers as the daemon does.
///
/// # Errors
///
/// Returns an error if it cannot be read, or is too large.
pub(crate) fn check_page(path: &Path) -> anyhow::Result<()> {
    Page::read(path).map(drop)
}

/// Where a request goes, and what holds for it there.
#[derive(Clone, Copy)]
pub(super) struct Destination<'a> {
    pub(super) upstream: &'a Upstream,
    pub(super) response_timeout: Duration,
    pub(super) idle_timeout: Duration,
    /// In bytes.
    pub(super) max_body: u64,
}

impl Site {
    /// Puts `config` to work. `names` are the upstreams' names in telemetry, with [`NO_UPSTREAM`]. Upstreams that are as in
    /// `before` stay, with their connections and what is known of their health. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns an error if certificates of an upstream or the access log cannot be had.
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
        let log = |config: &ProxyConfig| (config.access_log.clone(), config.access_log_format);
        let kept = before.filter(|before| log(&before.config) == log(&config));
        let access_log = match (kept, &config.access_log) {
            (Some(before), _) => before.access_log.clone(),
            (None, Some(path)) => Some(Arc::new(AccessLog::open(
                path,
                config.access_log_format,
                stats.clone(),
            )?)),
            (None, None) => None,
        };
        let pages = config.error_pages.iter();
        let pages = pages.map(|(status, path)| Ok((*status, Page::read(path)?)));
        let hsts = config
            .hsts
            .map(|hsts| HeaderValue::try_from(format!("max-age={}", hsts.as_secs())))
            .transpose()?;
        Ok(Self {
            pages: pages.collect::<anyhow::Result<_>>()?,
            hsts,
            headers: Arc::new(config.headers.clone()),
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

    /// The body of the proxy's own answers with this status, if it is not the usual one.
    pub(super) fn page(&self, status: u16) -> Option<&Page> {
        self.pages.get(&status)
    }

    /// Returns where a request goes.
    pub(super) fn find(&self, host: &str, path: &str) -> Option<Destination<'_>> {
        let route = self.config.routes.get(self.routes.find(host, path)?)?;
        Some(Destination {
            upstream: self.upstreams.get(route.upstream)?,
            response_timeout: route.response_timeout.unwrap_or(self.config.response_timeout),
            idle_timeout: route.idle_timeout.unwrap_or(self.config.idle_timeout),
            max_body: route.max_body.unwrap_or(u64::MAX),
        })
    }
}
