//! `/api/v1/allowlist`: whom operators of this host let through, whatever is banned.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
};
use secbeat_common::prefix::Prefix;
use secbeat_daemon::{
    allowing::{AllowRequest, AllowView, Disallowed},
    api::{Failure, LocalPeer, bad_request},
    time::now_ms,
};
use secbeat_edge_core::{LocalAllowlist, LocalRefusal};
use tokio::{sync::Mutex, task::spawn_blocking};
use tracing::{info, warn};

use super::{Api, failure::unfulfilled};
use crate::{
    enforcer::EnforcerHandle,
    local_allowlist::{LocalAllowlistFile, NotChanged},
};

/// The allowlist of this host's operators, and who puts it in force.
#[derive(Clone)]
pub(crate) struct Keeper {
    /// Locked from the change of the file until the enforcer has it.
    file: Arc<Mutex<LocalAllowlistFile>>,
    enforcer: EnforcerHandle,
}

impl Keeper {
    pub(crate) fn new(file: LocalAllowlistFile, enforcer: EnforcerHandle) -> Self {
        Self {
            file: Arc::new(Mutex::new(file)),
            enforcer,
        }
    }

    /// The entries that hold at `now_ms`.
    async fn read(&self, now_ms: i64) -> Result<LocalAllowlist, Failure> {
        let file = self.file.lock().await.clone();
        let read = spawn_blocking(move || file.read(now_ms)).await;
        Ok(read.map_err(anyhow::Error::from)??)
    }

    /// The same; none where they cannot be read.
    pub(super) async fn known(&self, now_ms: i64) -> LocalAllowlist {
        self.read(now_ms).await.unwrap_or_else(|failure| {
            warn!(
                "the entries of this host's allowlist are shown without comments: {}",
                failure.detail()
            );
            LocalAllowlist::default()
        })
    }

    /// Changes the file, and then what is in force. What has begun goes on if nobody waits for it.
    async fn change<T: Send + 'static>(
        &self,
        now_ms: i64,
        change: impl FnOnce(&mut LocalAllowlist) -> Result<T, LocalRefusal> + Send + 'static,
    ) -> Result<T, Failure> {
        let Self { file, enforcer } = self.clone();
        let changing = async move {
            let file = file.lock().await;
            let on_disk = file.clone();
            let changed = spawn_blocking(move || on_disk.change(now_ms, change)).await;
            let (changed, entries) = changed.map_err(anyhow::Error::from)??;
            let allowed = enforcer.allow_here(entries).await;
            allowed.map_err(|error| unfulfilled(&error))?;
            Ok::<T, Failure>(changed)
        };
        tokio::spawn(changing).await.map_err(anyhow::Error::from)?
    }
}

impl From<NotChanged> for Failure {
    fn from(error: NotChanged) -> Self {
        let (status, code) = match &error {
            NotChanged::Refused(LocalRefusal::NotThere(_)) => (StatusCode::NOT_FOUND, "not_allowlisted"),
            NotChanged::Refused(LocalRefusal::Full) => (StatusCode::CONFLICT, "allowlist_full"),
            NotChanged::Refused(LocalRefusal::Everybody { .. }) => (StatusCode::CONFLICT, "everybody"),
            NotChanged::File(_) => return Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        };
        Self::new(status, error.to_string()).with_code(code)
    }
}

pub(super) async fn list(State(api): State<Api>) -> Result<Json<Vec<AllowView>>, Failure> {
    let now = now_ms();
    let list = api.allowlist.read(now).await?;
    let views = list.entries().map(|entry| AllowView::new(entry, now));
    Ok(Json(views.collect()))
}

pub(super) async fn add(
    State(api): State<Api>,
    peer: Option<Extension<LocalPeer>>,
    Json(request): Json<AllowRequest>,
) -> Result<(StatusCode, Json<AllowView>), Failure> {
    let now = now_ms();
    let entry = request.entry(actor(peer).await, now)?;
    let added = entry.clone();
    api.allowlist.change(now, |list| list.add(added)).await?;
    let (network, actor, comment) = (entry.network, &entry.added_by, &entry.comment);
    info!(target: "audit", %network, actor, comment, "put on the allowlist of this host");
    Ok((StatusCode::CREATED, Json(AllowView::new(&entry, now))))
}

pub(super) async fn remove(
    State(api): State<Api>,
    peer: Option<Extension<LocalPeer>>,
    Path(network): Path<String>,
) -> Result<Json<Disallowed>, Failure> {
    let network: Prefix = network.parse().map_err(|error| bad_request("network", error))?;
    let removing = move |list: &mut LocalAllowlist| list.remove(&network);
    api.allowlist.change(now_ms(), removing).await?;
    let actor = actor(peer).await;
    info!(target: "audit", %network, actor, "taken off the allowlist of this host");
    Ok(Json(Disallowed {
        network: network.to_string(),
    }))
}

/// Returns who asks, for the log.
async fn actor(peer: Option<Extension<LocalPeer>>) -> String {
    let Some(Extension(peer)) = peer else {
        return "anybody".to_owned();
    };
    let named = spawn_blocking(move || peer.user()).await;
    named.unwrap_or_else(|_| "unknown".to_owned())
}
