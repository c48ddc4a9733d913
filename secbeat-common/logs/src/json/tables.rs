//! Meaning of the keys of a server's JSON.

use std::sync::LazyLock;

use super::{
    Table,
    keys::Role::{
        AnyHeader, Client, Clock, Date, Forwarded, Host, Mark, Message, Method, Path, Referer, Request,
        Status, Time, UserAgent,
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
        // WildFly, RoadRunner.
        ("remoteHost", Client),
        ("remote_address", Client),
        // The clients of MinIO and of Docker's registry, and what Echo logs beside its own.
        ("remotehost", AnyHeader),
        ("http.request.remoteaddr", AnyHeader),
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
        ("dateTime", Time),
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
        ("URI", Path),
        ("request", Request),
        ("requestLine", Request),
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
        ("responseCode", Status),
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
        // Of its firewall's events.
        ("Datetime", Time),
        ("ClientRequestMethod", Method),
        ("ClientRequestURI", Path),
        ("ClientRequestPath", Path),
        ("EdgeResponseStatus", Status),
        ("ClientRequestHost", Host),
        ("ClientRequestUserAgent", UserAgent),
        ("ClientRequestReferer", Referer),
    ])
});

/// Logs of load balancers and CDNs by their own names: Google's load balancers and App Engine, Azure's Application Gateway, Front Door,
/// App Service and API Management, Oracle's load balancers, Akamai's DataStream 2, Vercel, Railway, Amazon's CloudFront. Front Door's
/// `clientIp` is not read, since a client may choose it by a header. Azure's Log Analytics has its own names for the same.
pub(crate) static CLOUD: LazyLock<Table> = LazyLock::new(|| Table {
    bare_paths: true,
    ..Table::new(&[
        ("httpRequest.remoteIp", Client),
        ("properties.socketIp", Client),
        ("properties.clientIP", Client),
        ("cliIP", Client),
        ("proxy.clientIp", Client),
        ("c-ip", Client),
        ("properties.CIp", Client),
        ("CIp", Client),
        ("callerIpAddress", Client),
        ("socketIp_s", Client),
        ("clientIP_s", Client),
        ("protoPayload.ip", Client),
        ("logContent.data.clientAddr", Client),
        ("srcIp", Client),
        ("timestamp(ms)", Time),
        ("timestamp", Time),
        ("time", Time),
        ("date", Date),
        ("time", Clock),
        ("timeStamp", Time),
        ("reqTimeSec", Time),
        ("EventTime", Time),
        ("TimeGenerated", Time),
        ("datetime", Time),
        ("httpRequest.requestMethod", Method),
        ("properties.httpMethod", Method),
        ("reqMethod", Method),
        ("proxy.method", Method),
        ("cs-method", Method),
        ("properties.CsMethod", Method),
        ("CsMethod", Method),
        ("properties.method", Method),
        ("httpMethod_s", Method),
        ("protoPayload.method", Method),
        ("method", Method),
        ("logContent.data.request", Request),
        ("httpRequest.requestUrl", Path),
        ("properties.originalRequestUriWithArgs", Path),
        ("properties.requestUri", Path),
        ("reqPath", Path),
        ("proxy.path", Path),
        ("cs-uri-stem", Path),
        ("properties.CsUriStem", Path),
        ("CsUriStem", Path),
        ("properties.url", Path),
        ("originalRequestUriWithArgs_s", Path),
        ("requestUri_s", Path),
        ("protoPayload.resource", Path),
        ("path", Path),
        ("httpRequest.status", Status),
        ("properties.httpStatus", Status),
        ("properties.httpStatusCode", Status),
        ("statusCode", Status),
        ("proxy.statusCode", Status),
        ("sc-status", Status),
        ("properties.ScStatus", Status),
        ("ScStatus", Status),
        ("properties.responseCode", Status),
        ("httpStatus_d", Status),
        ("httpStatusCode_s", Status),
        ("protoPayload.status", Status),
        ("logContent.data.lbStatusCode", Status),
        ("httpStatus", Status),
        ("properties.originalHost", Host),
        ("properties.host", Host),
        ("properties.hostName", Host),
        ("reqHost", Host),
        ("proxy.host", Host),
        ("x-host-header", Host),
        ("cs(Host)", Host),
        ("properties.CsHost", Host),
        ("CsHost", Host),
        ("protoPayload.host", Host),
        ("logContent.data.host", Host),
        ("httpRequest.userAgent", UserAgent),
        ("properties.userAgent", UserAgent),
        ("UA", UserAgent),
        ("proxy.userAgent", UserAgent),
        ("cs(User-Agent)", UserAgent),
        ("properties.UserAgent", UserAgent),
        ("UserAgent", UserAgent),
        ("userAgent_s", UserAgent),
        ("protoPayload.userAgent", UserAgent),
        ("logContent.data.userAgent", UserAgent),
        ("httpRequest.referer", Referer),
        ("referer", Referer),
    ])
});

/// Tomcat's `JsonAccessLogValve`. Its `host` is the client, and in the logs of others what a client asked for: only Tomcat writes
/// `logicalUserName` (`%l`), which its default has.
pub(crate) static TOMCAT: LazyLock<Table> = LazyLock::new(|| Table {
    needs_mark: true,
    ..Table::new(&[
        ("logicalUserName", Mark),
        ("remoteAddr", Client),
        ("host", Client),
        ("time", Time),
        ("request", Request),
        ("method", Method),
        ("path", Path),
        ("statusCode", Status),
        ("localServerName", Host),
        ("requestHeaders.User-Agent", UserAgent),
        ("requestHeaders.Referer", Referer),
    ])
});

/// The Elastic Common Schema, as filebeat's modules write it. Of a list in the log's first field, their `source` is the first address
/// that is public, which a client may have written. `source` is the other end of the connection; `client` may be from a header.
pub(crate) static ECS: LazyLock<Table> = LazyLock::new(|| {
    Table::new(&[
        ("nginx.access.remote_ip_list", Client),
        ("nginx.ingress_controller.remote_ip_list", Client),
        ("apache.access.remote_addresses", Client),
        ("source.ip", Client),
        ("source.address", Client),
        ("client.ip", Client),
        ("client.address", Client),
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
