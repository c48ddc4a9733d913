//! The web page: files that were built before this crate was, or one page that says how to get them.

use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
            REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

/// One file: its path, its bytes, and a digest of them.
#[allow(dead_code, reason = "there is none where the page was not built")]
struct File {
    path: &'static str,
    bytes: &'static [u8],
    tag: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

/// The page itself, for all paths that it knows.
const INDEX: &str = "/index.html";
/// Files under it have a digest in their names: what was loaded stays right.
const ASSETS: &str = "/assets/";
/// Nothing inline, nothing of other places, and no frame around it. What the page draws, it styles by script.
const POLICY: &str =
    "default-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// Whether a request is for the page, and not for the API.
pub(crate) fn is_page(method: &Method, path: &str) -> bool {
    let is_api = path.starts_with("/api/") || matches!(path, "/metrics" | "/healthz" | "/readyz");
    matches!(*method, Method::GET | Method::HEAD) && !is_api
}

/// Serves a file of the page, and the page itself to browsers that ask for one of its paths.
pub(crate) async fn serve(request: Request) -> Response {
    let (method, path, headers) = (request.method(), request.uri().path(), request.headers());
    if !is_page(method, path) {
        return StatusCode::NOT_FOUND.into_response();
    }
    if let Some(file) = FILES.iter().find(|file| file.path == path) {
        return file.answer(headers);
    }
    let wants_page = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let is_named = path.rsplit('/').next().is_some_and(|name| name.contains('.')) && path.starts_with(ASSETS);
    if is_named || !(wants_page || path == "/") {
        return StatusCode::NOT_FOUND.into_response();
    }
    index(FILES, headers)
}

/// Returns the page itself, or what to do where it is not among the `files`.
fn index(files: &[File], headers: &HeaderMap) -> Response {
    match files.iter().find(|file| file.path == INDEX) {
        Some(index) => index.answer(headers),
        None => ([(CONTENT_TYPE, "text/html; charset=utf-8")], MISSING).into_response(),
    }
}

/// What is served where the page was not built.
const MISSING: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>SecBeat</title>\n\
<h1>SecBeat runs. Its web page was not built into it.</h1>\n\
<p>This program was compiled without Node. <code>cargo xtask dashboard</code> fetches Node 20 and builds the page; then compile the \
program again. The Debian packages have the page.</p>\n\
<p>Everything that the page shows is also at <a href=\"/api/v1/openapi.json\">/api/v1</a> and on the command line: \
<code>status</code>, <code>bans</code>, <code>why ADDRESS</code>, <code>top</code>.</p>\n</html>\n";

impl File {
    fn answer(&self, headers: &HeaderMap) -> Response {
        let keep = match self.path.starts_with(ASSETS) {
            true => "public, max-age=31536000, immutable",
            false => "no-cache",
        };
        let is_known = headers.get(IF_NONE_MATCH).is_some_and(|tag| tag == self.tag);
        let head = [
            (CONTENT_TYPE, media_type(self.path)),
            (CACHE_CONTROL, keep),
            (ETAG, self.tag),
        ];
        match is_known {
            true => (StatusCode::NOT_MODIFIED, head).into_response(),
            false => (head, self.bytes).into_response(),
        }
    }
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "json" | "webmanifest" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

/// Tells browsers what they must not do with an answer. A layer for [`axum::middleware::from_fn`].
pub(crate) async fn closed(request: Request, next: Next) -> Response {
    let is_api = !is_page(request.method(), request.uri().path());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
        headers.insert(name, HeaderValue::from_static("same-origin"));
    }
    if is_api && !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};

    use super::*;

    async fn get(path: &str, accept: &str) -> (u16, String) {
        let request = Request::builder().uri(path).header(ACCEPT, accept);
        let response = serve(request.body(Body::empty()).unwrap()).await;
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn a_daemon_that_was_built_without_node_serves_one_page_that_says_how_to_get_it() {
        let response = index(&[], &HeaderMap::new());
        assert_eq!(response.status(), StatusCode::OK);
        let kind = response.headers().get(CONTENT_TYPE).unwrap();
        assert_eq!(kind, "text/html; charset=utf-8");
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let page = String::from_utf8(body.to_vec()).unwrap();
        for part in [
            "Its web page was not built into it",
            "<code>cargo xtask dashboard</code> fetches Node 20 and builds the page",
            "The Debian packages have the page",
            "href=\"/api/v1/openapi.json\"",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        // The policy of the page forbids what is inline.
        assert!(!page.contains("<script") && !page.contains("style"), "{page}");
    }

    #[tokio::test]
    async fn browsers_get_the_page_at_all_its_paths_and_others_only_what_there_is() {
        const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";
        let (status, page) = get("/", "*/*").await;
        assert_eq!(status, 200);
        assert!(page.to_lowercase().starts_with("<!doctype html>"), "{page}");
        assert_eq!(get("/client/192.0.2.7", BROWSER).await, (200, page));
        for (path, accept) in [
            ("/client/192.0.2.7", "*/*"),
            ("/assets/none.js", BROWSER),
            ("/api/v1/nowhere", BROWSER),
            ("/metrics", BROWSER),
        ] {
            assert_eq!(get(path, accept).await, (404, String::new()), "{path}");
        }
    }
}
