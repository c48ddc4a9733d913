//! Meaning of the keys of a server's JSON.

use std::sync::LazyLock;

use super::{
    Table,
    keys::Role::{
        AnyHeader, Client, Clock, Date, Forwarded, Host, Message, Method, Path, Referer, Request, Status,
        Time, UserAgent,
    },
};

/// nginx with `log_format … escape=json`: keys named as the variables, and as is common otherwise.
pub(crate) static NGINX: LazyLock<Table> = LazyLock::new(|| Table {
    one_client: true,
    ..Table::new(&[
        ("remote_addr", Client),
        ("client_ip", Client),
        ("remote_ip", Client),
        ("remoteIP", Client),
        ("client", Client),
        ("clientip", Client),
        ("clientIp", Client),
        ("remoteIp", Client),
        ("remote_host", Client),
        ("remote", Client),
        ("ip", Client),
        // Bunyan.
        ("remoteAddress", Client),
        // Tomcat.
        ("remoteAddr", Client),
        // Linkerd.
        ("client.addr", Client),
        // httplog of Go.
        ("httpRequest.remoteIP", Client),
        // MinIO's client, and what Echo logs beside its own.
        ("remotehost", AnyHeader),
        ("latency_human", AnyHeader),
        // GELF.
        ("_remote_addr", Client),
        // A list that ends with the peer, where the log has no key for it, or one that is empty.
        ("x_forwarded_for", Forwarded),
        ("msec", Time),
        ("time_iso8601", Time),
        ("time_local", Time),
        ("@timestamp", Time),
        ("timestamp", Time),
        ("time", Time),
        ("ts", Time),
        // Amazon's API Gateway.
        ("requestTime", Time),
        ("request_method", Method),
        ("method", Method),
        ("http_method", Method),
        ("httpMethod", Method),
        ("verb", Method),
        ("httpRequest.method", Method),
        ("_request_method", Method),
        ("request_uri", Path),
        ("uri", Path),
        ("path", Path),
        ("url", Path),
        ("http_uri", Path),
        ("requestUri", Path),
        ("requested_uri", Path),
        ("resourcePath", Path),
        ("httpRequest.path", Path),
        ("_request_uri", Path),
        ("request", Request),
        ("status", Status),
        ("response_code", Status),
        ("status_code", Status),
        ("statusCode", Status),
        ("http_status", Status),
        ("response_status", Status),
        ("response", Status),
        ("code", Status),
        ("httpResponse.status", Status),
        ("_status", Status),
        ("http_host", Host),
        ("host", Host),
        ("server_name", Host),
        ("vhost", Host),
        ("http_user_agent", UserAgent),
        ("user_agent", UserAgent),
        ("userAgent", UserAgent),
        ("agent", UserAgent),
        ("http_referer", Referer),
        ("referer", Referer),
    ])
});

/// Caddy's `json` and `console` encoders. Its error log has the same requests again, under other messages.
pub(crate) static CADDY: LazyLock<Table> = LazyLock::new(|| Table {
    message: Some(b"handled request"),
    after_tabs: true,
    ..Table::new(&[
        ("ts", Time),
        ("time", Time),
        ("msg", Message),
        ("status", Status),
        ("request.client_ip", Client),
        ("request.remote_ip", Client),
        // Before 2.5, with the port.
        ("request.remote_addr", Client),
        ("request.method", Method),
        ("request.uri", Path),
        ("request.host", Host),
        ("request.headers.User-Agent", UserAgent),
        ("request.headers.Referer", Referer),
    ])
});

/// Traefik with `accessLog.format: json`. `ClientHost` is the peer, or what a trusted proxy forwarded.
pub(crate) static TRAEFIK: LazyLock<Table> = LazyLock::new(|| {
    Table::new(&[
        ("ClientHost", Client),
        ("ClientAddr", Client),
        ("StartUTC", Time),
        ("StartLocal", Time),
        ("time", Time),
        ("RequestMethod", Method),
        ("RequestPath", Path),
        ("DownstreamStatus", Status),
        ("RequestHost", Host),
        ("RequestAddr", Host),
        ("request_User-Agent", UserAgent),
        ("request_Referer", Referer),
    ])
});

/// Envoy, as Envoy Gateway and Istio configure `json_format`.
pub(crate) static ENVOY: LazyLock<Table> = LazyLock::new(|| {
    Table::new(&[
        ("downstream_remote_address", Client),
        ("downstream_remote_address_without_port", Client),
        ("start_time", Time),
        // Contour, and others that name it so.
        ("@timestamp", Time),
        ("timestamp", Time),
        ("ts", Time),
        ("method", Method),
        (":method", Method),
        ("path", Path),
        (":path", Path),
        // A header that clients may write, unless the path was rewritten.
        ("x-envoy-origin-path", Path),
        ("x-envoy-original-path", Path),
        ("response_code", Status),
        (":authority", Host),
        ("authority", Host),
        ("user-agent", UserAgent),
        ("user_agent", UserAgent),
        ("referer", Referer),
    ])
});

/// Kong's `file-log`, `http-log` and the like. `client_ip` is the peer, or what a trusted proxy forwarded.
pub(crate) static KONG: LazyLock<Table> = LazyLock::new(|| {
    Table::new(&[
        ("client_ip", Client),
        ("started_at", Time),
        ("request.method", Method),
        ("request.uri", Path),
        ("response.status", Status),
        ("request.headers.host", Host),
        ("request.headers.user-agent", UserAgent),
        ("request.headers.referer", Referer),
    ])
});

/// pino-http, Fastify included. The address is the peer's: behind a proxy it is that of the proxy.
pub(crate) static PINO: LazyLock<Table> = LazyLock::new(|| {
    Table::new(&[
        ("req.remoteAddress", Client),
        ("time", Time),
        ("req.method", Method),
        ("req.url", Path),
        ("res.statusCode", Status),
        ("req.headers.host", Host),
        ("req.host", Host),
        ("req.hostname", Host),
        ("req.headers.user-agent", UserAgent),
        ("req.headers.referer", Referer),
    ])
});

/// Cloudflare's Logpush of HTTP requests.
pub(crate) static CLOUDFLARE: LazyLock<Table> = LazyLock::new(|| {
    Table::new(&[
        ("ClientIP", Client),
        ("EdgeStartTimestamp", Time),
        ("EdgeEndTimestamp", Time),
        ("ClientRequestMethod", Method),
        ("ClientRequestURI", Path),
        ("ClientRequestPath", Path),
        ("EdgeResponseStatus", Status),
        ("ClientRequestHost", Host),
        ("ClientRequestUserAgent", UserAgent),
        ("ClientRequestReferer", Referer),
    ])
});

/// Logs of load balancers and CDNs by their own names: Google's load balancers, Azure's Application Gateway and Front Door, Akamai's
/// DataStream 2, Vercel, Amazon's CloudFront. Front Door's `clientIp` is not read, since a client may choose it by a header.
pub(crate) static CLOUD: LazyLock<Table> = LazyLock::new(|| Table {
    bare_paths: true,
    ..Table::new(&[
        ("httpRequest.remoteIp", Client),
        ("properties.socketIp", Client),
        ("properties.clientIP", Client),
        ("cliIP", Client),
        ("proxy.clientIp", Client),
        ("c-ip", Client),
        ("timestamp(ms)", Time),
        ("timestamp", Time),
        ("time", Time),
        ("date", Date),
        ("time", Clock),
        ("timeStamp", Time),
        ("reqTimeSec", Time),
        ("httpRequest.requestMethod", Method),
        ("properties.httpMethod", Method),
        ("reqMethod", Method),
        ("proxy.method", Method),
        ("cs-method", Method),
        ("httpRequest.requestUrl", Path),
        ("properties.originalRequestUriWithArgs", Path),
        ("properties.requestUri", Path),
        ("reqPath", Path),
        ("proxy.path", Path),
        ("cs-uri-stem", Path),
        ("httpRequest.status", Status),
        ("properties.httpStatus", Status),
        ("properties.httpStatusCode", Status),
        ("statusCode", Status),
        ("proxy.statusCode", Status),
        ("sc-status", Status),
        ("properties.originalHost", Host),
        ("properties.host", Host),
        ("properties.hostName", Host),
        ("reqHost", Host),
        ("proxy.host", Host),
        ("x-host-header", Host),
        ("cs(Host)", Host),
        ("httpRequest.userAgent", UserAgent),
        ("properties.userAgent", UserAgent),
        ("UA", UserAgent),
        ("proxy.userAgent", UserAgent),
        ("cs(User-Agent)", UserAgent),
        ("httpRequest.referer", Referer),
        ("referer", Referer),
    ])
});

/// The Elastic Common Schema, as filebeat's modules write it.
pub(crate) static ECS: LazyLock<Table> = LazyLock::new(|| {
    Table::new(&[
        ("client.ip", Client),
        ("source.ip", Client),
        ("client.address", Client),
        ("source.address", Client),
        ("@timestamp", Time),
        ("http.request.method", Method),
        ("url.original", Path),
        ("url.path", Path),
        ("http.response.status_code", Status),
        ("url.domain", Host),
        ("destination.domain", Host),
        ("user_agent.original", UserAgent),
        ("http.request.referrer", Referer),
    ])
});
