//! Sees to it that there is a certificate for each name: one order after another, each when it is due.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use secbeat_daemon::time::{rfc3339, wall_ms};
use secbeat_edge_core::{Renewal, Window};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    super::config::AcmeConfig,
    Book, CertificateState,
    challenges::Challenges,
    client::AcmeClient,
    order::Ordering,
    store::{Attempts, Certificate, Store, certificate},
};

/// For a whole order.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// Longest sleep: the clock may be set meanwhile.
const LOOK: Duration = Duration::from_secs(30);
/// Until what cannot be begun is tried again.
const STUMBLED: Duration = Duration::from_secs(60);
/// Longest reason that is kept, in characters.
const MAX_REASON: usize = 1000;
/// Least and most time until a certificate authority is asked again when it wants a certificate renewed, in milliseconds.
const ASK_WINDOW_MS: (i64, i64) = (60 * 60 * 1000, 24 * 60 * 60 * 1000);

/// Keeps the certificates of the config that it is told of, until nobody tells any more. An order that has begun is seen through
/// before another config counts.
pub(super) async fn run(
    mut told: watch::Receiver<Option<Arc<AcmeConfig>>>,
    challenges: Arc<Challenges>,
    book: Arc<Book>,
) {
    let mut in_a_hurry = false;
    loop {
        let config = told.borrow_and_update().clone();
        book.states.lock().clear();
        if let Some(config) = config {
            match Keeper::new(&config, &challenges, &book, in_a_hurry) {
                Ok(mut keeper) => keeper.run(&told).await,
                Err(error) => {
                    tracing::error!("no certificate can be obtained: {error:#}");
                    *book.states.lock() = stumbled(&config, &format!("{error:#}"));
                    let _ = timeout(STUMBLED, told.clone().changed()).await;
                }
            }
        } else if told.changed().await.is_err() {
            return;
        }
        match told.has_changed() {
            Ok(changed) => in_a_hurry |= changed,
            Err(_) => return,
        }
    }
}

/// Returns the state of the certificates when none can be asked for.
fn stumbled(config: &AcmeConfig, error: &str) -> Vec<CertificateState> {
    let state = |domain: &String| CertificateState {
        domain: domain.clone(),
        until_ms: certificate(config, domain).map(|certificate| certificate.life.until_ms),
        next_ms: wall_ms(),
        failures: 1,
        error: Some(error.to_owned()),
    };
    config.domains.iter().map(state).collect()
}

/// All certificates of one config.
struct Keeper<'a> {
    config: &'a AcmeConfig,
    store: Store,
    client: AcmeClient,
    challenges: &'a Arc<Challenges>,
    book: &'a Book,
    kept: Vec<ManagedCertificate>,
}

/// One of them.
struct ManagedCertificate {
    domain: String,
    certificate: Option<Certificate>,
    attempts: Attempts,
    /// Whether pauses after failures do not count, until the next attempt.
    in_a_hurry: bool,
}

impl ManagedCertificate {
    fn due_ms(&self) -> i64 {
        let attempts = &self.attempts;
        let window = attempts
            .window_ms
            .map(|(start_ms, end_ms)| Window { start_ms, end_ms });
        let renewal = Renewal {
            life: self.certificate.as_ref().map(|certificate| certificate.life),
            obtained_ms: attempts.obtained_ms,
            window,
            failures: attempts.failures,
            unfinished: attempts.unfinished,
            tried_ms: attempts.tried_ms,
            wait_until_ms: attempts.wait_until_ms,
        };
        let renewal = match self.in_a_hurry {
            true => renewal.without_pause(),
            false => renewal,
        };
        renewal.due_ms(
            self.certificate
                .as_ref()
                .map_or(0.0, |certificate| certificate.jitter),
        )
    }

    fn state(&self) -> CertificateState {
        CertificateState {
            domain: self.domain.clone(),
            until_ms: self
                .certificate
                .as_ref()
                .map(|certificate| certificate.life.until_ms),
            next_ms: self.due_ms().max(wall_ms()),
            failures: self.attempts.failures,
            error: self.attempts.error.clone(),
        }
    }
}

impl<'a> Keeper<'a> {
    fn new(
        config: &'a AcmeConfig,
        challenges: &'a Arc<Challenges>,
        book: &'a Book,
        in_a_hurry: bool,
    ) -> anyhow::Result<Self> {
        let store = Store::open(config)?;
        let kept = |domain: &String| ManagedCertificate {
            certificate: store.certificate(domain),
            attempts: store.attempts(domain),
            domain: domain.clone(),
            in_a_hurry,
        };
        Ok(Self {
            kept: config.domains.iter().map(kept).collect(),
            client: AcmeClient::new(config)?,
            config,
            store,
            challenges,
            book,
        })
    }

    /// Runs until there is another config, or nobody who tells.
    async fn run(&mut self, told: &watch::Receiver<Option<Arc<AcmeConfig>>>) {
        let mut told = told.clone();
        while told.has_changed().is_ok_and(|changed| !changed) {
            self.note();
            let first = self.kept.iter().enumerate().min_by_key(|(_, kept)| kept.due_ms());
            let Some((index, due)) = first.map(|(index, kept)| (index, kept.due_ms())) else {
                return;
            };
            if due <= wall_ms() {
                self.renew(index).await;
                continue;
            }
            if self.ask_window().await {
                continue;
            }
            let ahead = u64::try_from(due.saturating_sub(wall_ms())).unwrap_or_default();
            let ahead = Duration::from_millis(ahead).min(LOOK);
            tokio::select! {
                _ = told.changed() => return,
                () = sleep(ahead) => {}
            }
        }
    }

    fn note(&self) {
        *self.book.states.lock() = self.kept.iter().map(ManagedCertificate::state).collect();
    }

    fn ordering(&self) -> Ordering<'_> {
        Ordering {
            config: self.config,
            store: &self.store,
            client: &self.client,
            challenges: self.challenges,
        }
    }

    /// Tries to get one certificate again. Until that has succeeded, what is there stays as it is.
    async fn renew(&mut self, index: usize) {
        let now = wall_ms();
        let (domain, before) = (
            self.kept[index].domain.clone(),
            self.kept[index].certificate.clone(),
        );
        let attempts = &mut self.kept[index].attempts;
        attempts.tried_ms = Some(now);
        attempts.unfinished += 1;
        attempts.wait_until_ms = None;
        let noted = self.store.save_attempts(&domain, attempts);
        self.kept[index].in_a_hurry = false;
        let outcome = match noted {
            // What cannot be kept is not asked for.
            Err(error) => Err(error),
            Ok(()) => self.attempt(&domain, before.as_ref()).await,
        };
        let wait_until_ms = self.client.take_wait_until_ms();
        let kept = &mut self.kept[index];
        match outcome {
            Ok(certificate) => {
                tracing::info!(
                    name = domain,
                    until = %rfc3339(certificate.life.until_ms),
                    "a certificate was obtained"
                );
                self.book.obtained.fetch_add(1, Relaxed);
                kept.certificate = Some(certificate);
                kept.attempts = Attempts {
                    tried_ms: Some(now),
                    obtained_ms: Some(wall_ms()),
                    ..Attempts::default()
                };
            }
            Err(error) => {
                self.book.failed.fetch_add(1, Relaxed);
                kept.attempts.unfinished = 0;
                kept.attempts.failures = kept.attempts.failures.saturating_add(1);
                kept.attempts.wait_until_ms = wait_until_ms;
                // Part of it are the authority's words.
                let why: String = format!("{error:#}").chars().take(MAX_REASON).collect();
                kept.attempts.error = Some(why.clone());
                let until = kept
                    .certificate
                    .as_ref()
                    .map(|certificate| certificate.life.until_ms);
                tracing::error!(
                    name = domain,
                    failures = kept.attempts.failures,
                    next = %rfc3339(kept.due_ms()),
                    until = until.map(rfc3339),
                    "no certificate was obtained: {why}"
                );
            }
        }
        if let Err(error) = self.store.save_attempts(&domain, &self.kept[index].attempts) {
            tracing::warn!("how the attempt went is not kept: {error:#}");
        }
    }

    async fn attempt(&self, domain: &str, before: Option<&Certificate>) -> anyhow::Result<Certificate> {
        let ordering = self.ordering();
        let obtained = timeout(PATIENCE, ordering.obtain(domain, before)).await;
        let late = || anyhow!("the order took longer than {} min", PATIENCE.as_secs() / 60);
        let (pem, certificate) = obtained.map_err(|_| late()).flatten()?;
        let saved = self.store.save_certificate(domain, &pem);
        saved.context("keeping the certificate")?;
        Ok(certificate)
    }

    /// Asks when a certificate should be renewed, if it is time to ask that. Whether it was asked.
    async fn ask_window(&mut self) -> bool {
        let now = wall_ms();
        let is_time = |kept: &ManagedCertificate| {
            kept.certificate.is_some() && kept.attempts.ask_window_ms.is_none_or(|at| at <= now)
        };
        let Some(index) = self.kept.iter().position(is_time) else {
            return false;
        };
        let Some(certificate) = self.kept[index].certificate.clone() else {
            return false;
        };
        let ordering = self.ordering();
        let asked = timeout(PATIENCE, ordering.window(&certificate)).await;
        let told = match asked {
            Ok(Ok(told)) => Some(told),
            Ok(Err(error)) => {
                // The certificate's life says well enough when to renew it.
                tracing::debug!("the certificate authority does not say when to renew: {error:#}");
                None
            }
            Err(_) => None,
        };
        // It is not a refusal of an order.
        self.client.take_wait_until_ms();
        let kept = &mut self.kept[index];
        let again = told.map_or(ASK_WINDOW_MS.1, |(_, again)| {
            i64::try_from(again.as_millis()).unwrap_or(ASK_WINDOW_MS.1)
        });
        kept.attempts.ask_window_ms = Some(now + again.clamp(ASK_WINDOW_MS.0, ASK_WINDOW_MS.1));
        if let Some((window, _)) = told {
            kept.attempts.window_ms = Some((window.start_ms, window.end_ms));
        }
        let (domain, attempts) = (&kept.domain, &kept.attempts);
        if let Err(error) = self.store.save_attempts(domain, attempts) {
            tracing::warn!("when to renew a certificate is not kept: {error:#}");
        }
        true
    }
}
