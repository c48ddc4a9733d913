//! `/api/v1/openapi.json`: the API described (OpenAPI 3.1), from the types that it is made of.

use std::sync::LazyLock;

use axum::{Json, http::Method};
use secbeat_daemon::api::{PROBLEM_JSON, Problem};
use utoipa::{
    OpenApi,
    openapi::{
        Components, ContentBuilder, OpenApi as Document, PathItem, Ref, RefOr, ResponseBuilder,
        path::{Operation, Paths},
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Api, access::required, endpoints, reports::ReportFormat};
use crate::overview::{AlarmChange, Watched};

/// The security scheme's name.
const BEARER: &str = "bearer";
/// The name under which all errors are described.
const PROBLEM: &str = "Problem";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "SecBeat orchestrator",
        description = "Bans of the whole fleet, and their reasons. A token needs at least the role that an operation names; \
                       on the Unix socket, root and the group `secbeat` need none. A browser that has signed in sends a cookie \
                       and the Origin of this host instead. While no token is configured, every user of this host may read \
                       what quotes no client's request."
    ),
    components(schemas(Problem, AlarmChange, Watched, ReportFormat))
)]
struct Head;

static DOCUMENT: LazyLock<Document> = LazyLock::new(document);

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(openapi))
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", responses((status = OK, body = Object)))]
async fn openapi() -> Json<&'static Document> {
    Json(&DOCUMENT)
}

/// The document of all endpoints.
#[must_use]
pub(super) fn document() -> Document {
    let mut document = Head::openapi();
    document.merge(endpoints().into_openapi());
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let components = document.components.get_or_insert_with(Components::new);
    components.security_schemes.insert(
        BEARER.to_owned(),
        SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)).into(),
    );
    let problem = ResponseBuilder::new()
        .description("Why it was not done (RFC 9457)")
        .content(
            PROBLEM_JSON,
            ContentBuilder::new()
                .schema(Some(Ref::from_schema_name(PROBLEM)))
                .build(),
        )
        .build();
    components.responses.insert(PROBLEM.to_owned(), RefOr::T(problem));
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths = Paths::new();
    for (path, mut item) in paths {
        for (method, operation) in operations(&mut item) {
            complete(operation, required(&method, &path).map(crate::token::Role::name));
        }
        // What the router calls a wildcard is an ordinary parameter here.
        document.paths.paths.insert(path.replace("{*", "{"), item);
    }
    document
}

/// Adds what holds for every operation: the role that it takes, and how it fails.
fn complete(operation: &mut Operation, role: Option<&'static str>) {
    let failure = RefOr::Ref(Ref::from_response_name(PROBLEM));
    operation
        .responses
        .responses
        .entry("default".to_owned())
        .or_insert(failure);
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            // Required, and the summary says it all.
            "As asked".clone_into(&mut response.description);
        }
    }
    operation.security = Some(match role {
        Some(role) => vec![SecurityRequirement::new(BEARER, [role])],
        None => Vec::new(),
    });
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let PathItem {
        get,
        put,
        post,
        delete,
        patch,
        ..
    } = item;
    [
        (Method::GET, get),
        (Method::PUT, put),
        (Method::POST, post),
        (Method::DELETE, delete),
        (Method::PATCH, patch),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::Router;

    use super::*;

    #[test]
    fn the_document_is_what_it_was() {
        let mut document = document();
        document.info.version = "0".to_owned();
        insta::assert_snapshot!(document.to_pretty_json().unwrap());
    }

    #[test]
    fn every_route_is_described() {
        let described: BTreeSet<_> = document().paths.paths.into_keys().collect();
        let mut served = patterns(&Router::from(endpoints()));
        served.retain(|pattern| !patterns(&Router::new()).contains(pattern));
        assert_eq!(served, described);
    }

    /// The patterns of the routes of `router`, which it shows nowhere else, and those of its own fallbacks.
    fn patterns(router: &Router<Api>) -> BTreeSet<String> {
        format!("{router:?}")
            .split('"')
            .filter(|text| text.starts_with('/'))
            .map(|pattern| pattern.replace("{*", "{"))
            .collect()
    }

    #[test]
    fn every_operation_has_an_id_of_its_own() {
        let mut ids = BTreeSet::new();
        for (path, mut item) in document().paths.paths {
            for (method, operation) in operations(&mut item) {
                let id = operation.operation_id.clone();
                assert!(id.is_some(), "{method} {path} has no operationId");
                assert!(
                    ids.insert(id.clone()),
                    "{method} {path}: {id:?} is another's, too"
                );
            }
        }
    }

    #[test]
    fn every_operation_says_what_it_takes_and_how_it_fails() {
        for (path, mut item) in document().paths.paths {
            for (method, operation) in operations(&mut item) {
                assert!(operation.summary.is_some(), "{method} {path} has no summary");
                assert!(
                    operation.responses.responses.contains_key("default"),
                    "{method} {path}"
                );
                let open = operation.security.as_ref().is_some_and(Vec::is_empty);
                let is_open = matches!(path.as_str(), "/healthz" | "/readyz" | "/api/v1/session");
                assert_eq!(open, is_open, "{method} {path}");
            }
        }
    }
}
