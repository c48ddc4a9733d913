//! Certificates that the proxy gets itself, from a certificate authority that speaks ACME (RFC 8555).
//!
//! [`keeper`] sees to it that there is a certificate for each name, by [`order`]s. [`store`] keeps them where the TLS of
//! listeners looks for changed files; [`challenges`] is what connections ask while an order is open.

mod challenges;
mod client;
mod keeper;
mod order;
mod store;
#[cfg(test)]
mod tests;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinHandle};

pub(super) use self::challenges::Challenges;
use super::config::AcmeConfig;

/// What the proxy tells the keeper of its certificates, and learns from it.
pub(super) struct Acme {
    config: watch::Sender<Option<Arc<AcmeConfig>>>,
    pub(super) challenges: Arc<Challenges>,
    pub(super) book: Arc<Book>,
    task: Option<JoinHandle<()>>,
}

impl Acme {
    pub(super) fn new(config: Option<&AcmeConfig>) -> Self {
        prepare(config);
        Self {
            config: watch::Sender::new(config.cloned().map(Arc::new)),
            challenges: Arc::default(),
            book: Arc::default(),
            task: None,
        }
    }

    /// Begins to see to certificates. Must be called within a tokio runtime.
    pub(super) fn start(&mut self) {
        let told = self.config.subscribe();
        let keeping = keeper::run(told, self.challenges.clone(), self.book.clone());
        self.task = Some(tokio::spawn(keeping));
    }

    /// Has `config` in force from now on. Orders that failed are tried again at once: the operator may have mended what was wrong.
    pub(super) fn reload(&self, config: Option<&AcmeConfig>) {
        self.config.send_replace(config.cloned().map(Arc::new));
    }

    /// Ends what is under way.
    pub(super) fn stop(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// To be called before listeners read the certificates of `config`.
pub(super) fn prepare(config: Option<&AcmeConfig>) {
    if let Some(config) = config {
        store::set_broken_aside(config);
    }
}

/// How the certificates are, for those who ask.
#[derive(Debug, Default)]
pub(crate) struct Book {
    states: Mutex<Vec<CertificateState>>,
    obtained: AtomicU64,
    failed: AtomicU64,
}

/// A certificate that the proxy gets itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateState {
    pub(crate) domain: String,
    /// `None` where there is none.
    pub(crate) until_ms: Option<i64>,
    /// Time at which the certificate authority is asked next.
    pub(crate) next_ms: i64,
    /// Attempts that have failed since the last one that did not.
    pub(crate) failures: u32,
    /// The reason why the last one failed.
    pub(crate) error: Option<String>,
}

impl Book {
    /// All of them.
    #[must_use]
    pub(crate) fn states(&self) -> Vec<CertificateState> {
        self.states.lock().clone()
    }

    /// Certificates obtained since the start, and attempts that failed.
    #[must_use]
    pub(crate) fn orders(&self) -> (u64, u64) {
        (self.obtained.load(Relaxed), self.failed.load(Relaxed))
    }
}
