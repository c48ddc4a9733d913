//! `/api/v1/sources`: why an address is banned, or is not.

use std::net::IpAddr;

use axum::{
    Json,
    extract::{Path, State},
};
use secbeat_bus::{AuditQuery, broker::broker};
use secbeat_common::prefix::Prefix;
use secbeat_daemon::api::bad_request;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, Failure, PATIENCE};
use crate::{
    engine::Input,
    view::{self, OnFeed, SourceView},
};

/// Audit records that an answer goes by at most.
const MAX_RECORDS: usize = 1000;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(source))
}

/// Why an address is banned, or is not.
#[utoipa::path(
    get, path = "/api/v1/sources/{address}",
    params(("address" = String, Path, description = "An IPv4 or IPv6 address")),
    responses((status = OK, body = SourceView))
)]
async fn source(State(api): State<Api>, Path(address): Path<String>) -> Result<Json<SourceView>, Failure> {
    let address: IpAddr = address.parse().map_err(|error| bad_request("address", error))?;
    let facts = api.ask(|reply| Input::Explain { address, reply }).await?;
    let query = AuditQuery {
        targets: Prefix::host(address).around().collect(),
        lists: facts.bans.iter().filter_map(|ban| ban.command.list).collect(),
        limit: MAX_RECORDS,
        ..AuditQuery::default()
    };
    let audit = match tokio::time::timeout(PATIENCE, api.audit.query(&query)).await {
        Ok(Ok(records)) => Ok(records),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("{} does not answer", broker())),
    };
    let feeds = match tokio::time::timeout(PATIENCE, api.feeds.with(address, facts.now_ms)).await {
        Ok(Ok(feeds)) => Ok(feeds
            .iter()
            .map(|(feed, network)| OnFeed::new(feed, network))
            .collect()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("{} does not answer", broker())),
    };
    let catalogue = api.signatures.known.borrow().catalogue.clone();
    Ok(Json(view::tell(&facts, audit, feeds, &catalogue, &api.geo)))
}
