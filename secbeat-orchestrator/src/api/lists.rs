//! `/api/v1/lists`: what became of many decisions that were made together.

use axum::{Json, extract::State, http::StatusCode};
use secbeat_bus::broker::broker;
use secbeat_common::{
    subjects,
    wire::{List, ListRecord},
};
use secbeat_daemon::{api::bad_request, time::now_ms};
use tracing::info;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Caller, Failure, PATIENCE, bans::check_note};

/// Longest name of a list, in bytes.
const MAX_NAME: usize = 256;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(lists))
}

/// Record the outcome of a list in the audit, after the requests that named its id.
#[utoipa::path(
    post, path = "/api/v1/lists", request_body = List,
    responses((status = CREATED, description = "The record is in the audit", body = ListRecord))
)]
async fn lists(
    State(api): State<Api>,
    Caller(actor): Caller,
    Json(list): Json<List>,
) -> Result<(StatusCode, Json<ListRecord>), Failure> {
    check(&list)?;
    Ok((StatusCode::CREATED, Json(api.record_list(list, actor).await?)))
}

fn check(list: &List) -> Result<(), Failure> {
    if list.name.len() > MAX_NAME {
        let bytes = list.name.len();
        return Err(bad_request("name", format!("{bytes} bytes, {MAX_NAME} at most")));
    }
    check_note(&list.note)?;
    if !subjects::is_token(&list.format) {
        return Err(bad_request("format", "use up to 64 letters, digits, `-` and `_`"));
    }
    let is_digest = |text: &String| {
        let hex = text.strip_prefix("sha256:");
        hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    match list.digest.as_ref().is_none_or(is_digest) {
        true => Ok(()),
        false => Err(bad_request("digest", "use `sha256:` and 64 hexadecimal digits")),
    }
}

impl Api {
    /// Puts the record of a list into the audit.
    ///
    /// # Errors
    ///
    /// Returns an error if NATS did not take it.
    pub(super) async fn record_list(&self, list: List, actor: String) -> Result<ListRecord, Failure> {
        let record = ListRecord::new(list, actor, now_ms());
        let unavailable =
            |why: String| Failure::new(StatusCode::SERVICE_UNAVAILABLE, why).with_code("unacknowledged");
        tokio::time::timeout(PATIENCE, self.audit.append_list(&record))
            .await
            .map_err(|_| unavailable(format!("{} does not answer", broker())))?
            .map_err(|error| unavailable(error.to_string()))?;
        let ListRecord { actor, list, .. } = &record;
        let (new, longer, unchanged, left_out) = (list.new, list.longer, list.unchanged, list.left_out);
        info!(target: "audit", list = %list.id, what = list.what.name(), actor, new, longer, unchanged, left_out, "a list was worked through");
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use secbeat_common::wire::ListUse;
    use secbeat_orchestrator_core::ledger::MAX_NOTE;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn texts_of_a_list_are_bounded() {
        let list = List {
            id: Uuid::nil(),
            what: ListUse::Ban,
            digest: Some(format!("sha256:{}", "0a".repeat(32))),
            format: "crowdsec".to_owned(),
            name: "drop.txt".to_owned(),
            note: "x".repeat(MAX_NOTE),
            new: 1,
            longer: 0,
            unchanged: 0,
            left_out: 0,
            complete: true,
        };
        assert!(check(&list).is_ok());
        let detail = |list: List| check(&list).unwrap_err().detail().to_owned();
        let name = "x".repeat(MAX_NAME + 1);
        assert!(detail(List { name, ..list.clone() }).starts_with("name: 257 bytes"));
        let note = "x".repeat(MAX_NOTE + 1);
        assert!(detail(List { note, ..list.clone() }).starts_with("note: its note has 1025 bytes"));
        let format = "a b".to_owned();
        assert!(
            detail(List {
                format,
                ..list.clone()
            })
            .starts_with("format: ")
        );
        let digest = Some("sha256:00".to_owned());
        assert!(detail(List { digest, ..list }).starts_with("digest: "));
    }
}
