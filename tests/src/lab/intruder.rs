//! Somebody who has a member's credentials, and does on the bus what its daemon would not.

use std::{io::Write as _, path::Path, sync::Arc, time::Duration};

use async_nats::{Client, ConnectOptions, Event};
use parking_lot::Mutex;
use secbeat_daemon::credentials::{Credentials, Login, Role};
use tempfile::NamedTempFile;

use crate::lab::netns::Namespace;

const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to the bus, and what the server refused.
#[derive(Clone)]
pub struct Intruder {
    pub client: Client,
    refused: Arc<Mutex<Vec<String>>>,
}

impl Intruder {
    /// Connects from `namespace` with the credentials at `path` and does `work`.
    ///
    /// # Panics
    ///
    /// When the credentials cannot be used, or the server does not let them in.
    pub fn with<T: Send>(
        namespace: &Namespace,
        path: &Path,
        role: Role,
        work: impl AsyncFnOnce(Self) -> T + Send,
    ) -> T {
        namespace.enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let intruder = Self::connect(path, role).await;
                work(intruder.expect("the server lets the member in")).await
            })
        })
    }

    /// Whether the server lets whoever has the credentials at `path` in.
    #[must_use]
    pub fn is_let_in(namespace: &Namespace, path: &Path, role: Role) -> bool {
        namespace.enter(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let connecting = Self::connect(path, role);
            runtime.expect("a runtime").block_on(connecting).is_ok()
        })
    }

    async fn connect(path: &Path, role: Role) -> Result<Self, async_nats::ConnectError> {
        let credentials = Credentials::load(path, role).expect("credentials");
        let membership = credentials.membership().expect("credentials");
        let Login {
            name,
            nkey,
            authority,
        } = membership.login.expect("a login");
        // The client takes nothing but files. It reads this one before it is connected.
        let mut file = NamedTempFile::new().expect("making a file");
        let authority = authority.expect("an authority");
        file.write_all(authority.as_bytes())
            .expect("writing a certificate");
        let refused = Arc::<Mutex<Vec<String>>>::default();
        let told = refused.clone();
        let client = ConnectOptions::with_nkey(nkey.0)
            .custom_inbox_prefix(format!("_INBOX_{name}"))
            .add_root_certificates(file.path().to_owned())
            .require_tls(true)
            .event_callback(move |event| {
                if let Event::ServerError(error) = event {
                    told.lock().push(error.to_string());
                }
                async {}
            })
            .connect(membership.servers.urls()[0].as_str())
            .await?;
        Ok(Self { client, refused })
    }

    /// Waits until the server has refused something about `subject`.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn await_refusal(&self, subject: &str) {
        let is_refused = || {
            let refused = self.refused.lock();
            refused.iter().any(|error| {
                error.contains("Permissions Violation") && error.contains(&format!("\"{subject}\""))
            })
        };
        let waiting = async {
            while !is_refused() {
                self.client.flush().await.expect("flushing");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "the server did not refuse {subject}");
    }
}
