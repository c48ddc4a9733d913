//! Looks up in the DNS whether banned clients are crawlers of search engines: the name of the address is one of the crawler's, and that
//! name leads back to the address. What a client says of itself proves nothing; neither does the name alone, which is whatever
//! the owner of the address says.

#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, RecordType},
};
use secbeat_daemon::time::now_ms;
use secbeat_orchestrator_core::decider::{Checked, Event, Identity, Suspect};
use tokio::sync::{Semaphore, mpsc};
use tracing::warn;

use crate::{
    config::{Crawlers, OwnCrawler},
    engine::Input,
    millis,
};

/// Time that a client's name may take, both ways.
const PATIENCE: Duration = Duration::from_secs(2);
/// Clients that are looked up at a time.
const AT_ONCE: usize = 64;
/// Clients that say to be a crawler and may wait, and those of which nobody knows what they say.
const WAITING: usize = 4096;
const WAITING_UNNAMED: usize = 512;
/// Names of one address that are followed back.
const MAX_NAMES: usize = 4;
/// Time that a crawler is known to be one.
const VERIFIED_FOR: Duration = Duration::from_secs(24 * 3600);
/// Time that a client is known not to be a crawler.
const REFUSED_FOR: Duration = Duration::from_secs(3600);
/// How long nobody asks again, after no answer.
const UNANSWERED_FOR: Duration = Duration::from_secs(60);

/// Queue of the clients that the engine wants looked up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Suspects {
    /// `None`: nobody looks anybody up.
    queues: Option<[mpsc::Sender<Suspect>; 2]>,
    counts: CrawlerCounts,
}

/// What became of suspects, since the start; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CrawlerCounts(Arc<[AtomicU64; 4]>);

/// What became of a suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Verified,
    Refused,
    Unanswered,
    /// Too many were waiting.
    Crowded,
}

/// Looks up who is left in the queues.
pub(crate) struct Verifier {
    desk: Arc<Desk>,
    /// Those that say to be a crawler, and the others.
    queues: [mpsc::Receiver<Suspect>; 2],
    inputs: mpsc::WeakSender<Input>,
    counts: CrawlerCounts,
}

/// Asks the DNS.
struct Desk {
    resolver: TokioResolver,
    crawlers: Vec<OwnCrawler>,
}

impl Suspects {
    /// Leaves `suspect` to be looked up; nobody waits for that.
    pub(crate) fn tell(&self, suspect: Suspect) {
        let Some([named, unnamed]) = &self.queues else {
            return;
        };
        let queue = if suspect.claims.is_some() { named } else { unnamed };
        if queue.try_send(suspect).is_err() {
            self.counts.count(Outcome::Crowded);
        }
    }

    pub(crate) fn counts(&self) -> CrawlerCounts {
        self.counts.clone()
    }
}

impl CrawlerCounts {
    /// By what became of them.
    pub(crate) fn read(&self) -> [(&'static str, u64); 4] {
        let of = |outcome: Outcome| self.0[outcome as usize].load(Ordering::Relaxed);
        [
            ("verified", of(Outcome::Verified)),
            ("refused", of(Outcome::Refused)),
            ("unanswered", of(Outcome::Unanswered)),
            ("crowded", of(Outcome::Crowded)),
        ]
    }

    fn count(&self, outcome: Outcome) {
        self.0[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Verifier {
    /// One that tells `inputs` what it finds out, and where it hears of suspects; `None` if `config` wants none, or there is no DNS
    /// server to ask.
    pub(crate) fn new(config: &Crawlers, inputs: mpsc::WeakSender<Input>) -> (Option<Self>, Suspects) {
        if !config.enabled {
            return (None, Suspects::default());
        }
        let resolver = match resolver(&config.servers) {
            Ok(resolver) => resolver,
            Err(error) => {
                warn!("no crawler is verified, and rules ban them like others: {error:#}");
                return (None, Suspects::default());
            }
        };
        let desk = Desk {
            resolver,
            crawlers: config.all(),
        };
        let (named, named_queue) = mpsc::channel(WAITING);
        let (unnamed, unnamed_queue) = mpsc::channel(WAITING_UNNAMED);
        let suspects = Suspects {
            queues: Some([named, unnamed]),
            counts: CrawlerCounts::default(),
        };
        let verifier = Self {
            desk: Arc::new(desk),
            queues: [named_queue, unnamed_queue],
            inputs,
            counts: suspects.counts(),
        };
        (Some(verifier), suspects)
    }

    /// Looks up who may be a crawler, those first that say so, until the engine has ended.
    pub(crate) async fn run(mut self) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            let [named, unnamed] = &mut self.queues;
            let suspect = tokio::select! {
                biased;
                Some(suspect) = named.recv() => suspect,
                Some(suspect) = unnamed.recv() => suspect,
                else => return,
            };
            let (desk, inputs, counts) = (self.desk.clone(), self.inputs.clone(), self.counts.clone());
            tokio::spawn(async move {
                let (checked, outcome) = desk.check(suspect).await;
                counts.count(outcome);
                drop(place);
                if let Some(inputs) = inputs.upgrade() {
                    let _ = inputs.send(Event::Crawler(Box::new(checked)).into()).await;
                }
            });
        }
    }
}

/// A resolver that asks `servers`, or those of this host.
fn resolver(servers: &[SocketAddr]) -> anyhow::Result<TokioResolver> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio().context("reading /etc/resolv.conf")?
    } else {
        let server = |server: &SocketAddr| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            let connections = connections.map(|connection| {
                let mut connection = connection;
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        };
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(server).collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    // What the host's own file says proves nothing of a crawler.
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = PATIENCE / 2;
    options.attempts = 1;
    builder.build().context("preparing to ask the DNS")
}

impl Desk {
    /// Looks `suspect` up.
    async fn check(&self, suspect: Suspect) -> (Checked, Outcome) {
        let identity = tokio::time::timeout(PATIENCE, self.identify(&suspect)).await;
        let (identity, outcome, lasts) = match identity {
            Ok(Ok(identity @ Identity::Verified { .. })) => (identity, Outcome::Verified, VERIFIED_FOR),
            Ok(Ok(identity @ Identity::NotVerified { .. })) => (identity, Outcome::Refused, REFUSED_FOR),
            Ok(Err(error)) => (
                unanswered(&error.to_string()),
                Outcome::Unanswered,
                UNANSWERED_FOR,
            ),
            Err(_) => {
                let late = format!("no answer within {PATIENCE:?}");
                (unanswered(&late), Outcome::Unanswered, UNANSWERED_FOR)
            }
        };
        let at_ms = now_ms();
        let checked = Checked {
            suspect,
            identity,
            at_ms,
            until_ms: at_ms + millis(lasts),
        };
        (checked, outcome)
    }

    async fn identify(&self, suspect: &Suspect) -> Result<Identity, NetError> {
        let address = suspect.address;
        let refused = |why: String| Ok(Identity::NotVerified { why });
        let names = match self.resolver.reverse_lookup(address).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => {
                return refused(format!("{address} has no name in the DNS"));
            }
            Err(error) => return Err(error),
        };
        let names = names.answers().iter().filter_map(|record| match &record.data {
            RData::PTR(name) => Some(name.0.clone()),
            _ => None,
        });
        let mut seen = Vec::new();
        for name in names.take(MAX_NAMES) {
            let host = name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
            let Some(crawler) = self.owner(&host, suspect.claims.as_deref()) else {
                seen.push(host);
                continue;
            };
            return if self.leads_to(name, address).await? {
                Ok(Identity::Verified {
                    crawler: crawler.name.clone(),
                    host,
                })
            } else {
                refused(format!("its name {host} does not lead back to {address}"))
            };
        }
        let whose = suspect.claims.as_deref().unwrap_or("a known crawler");
        refused(match seen.is_empty() {
            true => format!("{address} has no name in the DNS"),
            false => format!("its name {} is not one of {whose}'s", seen.join(", ")),
        })
    }

    /// The crawler with a domain that `host` is in; it has to be the one that the client says to be.
    fn owner(&self, host: &str, claims: Option<&str>) -> Option<&OwnCrawler> {
        let is_in = |domain: &String| {
            let below = host.strip_suffix(&domain.to_ascii_lowercase());
            below.is_some_and(|below| below.ends_with('.'))
        };
        self.crawlers
            .iter()
            .filter(|crawler| claims.is_none_or(|claims| claims == crawler.name))
            .find(|crawler| crawler.domains.iter().any(is_in))
    }

    async fn leads_to(&self, name: Name, address: IpAddr) -> Result<bool, NetError> {
        let kind = match address {
            IpAddr::V4(_) => RecordType::A,
            IpAddr::V6(_) => RecordType::AAAA,
        };
        match self.resolver.lookup(name, kind).await {
            Ok(found) => Ok(found
                .answers()
                .iter()
                .any(|record| record.data.ip_addr() == Some(address))),
            Err(error) if error.is_no_records_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Nobody can say who a client is; for operators, the DNS is at fault.
fn unanswered(why: &str) -> Identity {
    warn!("a client that may be a crawler cannot be looked up in the DNS: {why}");
    Identity::NotVerified {
        why: format!("the DNS could not be asked: {why}"),
    }
}
