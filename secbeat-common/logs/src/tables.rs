//! Which key of a server's JSON says what.

use super::json::{
    Entry,
    Slot::{self, Inside, Status, Time},
    Table, Text,
};

const CLIENT: Slot = Slot::Text(Text::Client);
const REQUEST: Slot = Slot::Text(Text::Request);
const METHOD: Slot = Slot::Text(Text::Method);
const PATH: Slot = Slot::Text(Text::Path);
const HOST: Slot = Slot::Text(Text::Host);
const USER_AGENT: Slot = Slot::Text(Text::UserAgent);
const MESSAGE: Slot = Slot::Text(Text::Message);

/// nginx with `log_format … escape=json`: keys named as the variables, and as is common otherwise.
pub(super) const NGINX: Table = Table {
    entries: &[
        ("remote_addr", CLIENT),
        ("client_ip", CLIENT),
        ("remote_ip", CLIENT),
        ("client", CLIENT),
        ("msec", Time),
        ("time_iso8601", Time),
        ("time_local", Time),
        ("@timestamp", Time),
        ("timestamp", Time),
        ("time", Time),
        ("ts", Time),
        ("request_method", METHOD),
        ("method", METHOD),
        ("request_uri", PATH),
        ("uri", PATH),
        ("path", PATH),
        ("request", REQUEST),
        ("status", Status),
        ("response_code", Status),
        ("http_host", HOST),
        ("host", HOST),
        ("server_name", HOST),
        ("vhost", HOST),
        ("http_user_agent", USER_AGENT),
        ("user_agent", USER_AGENT),
        ("agent", USER_AGENT),
    ],
    message: None,
};

const CADDY_REQUEST: &[Entry] = &[
    ("client_ip", CLIENT),
    ("remote_ip", CLIENT),
    // Before 2.5, with the port.
    ("remote_addr", CLIENT),
    ("method", METHOD),
    ("uri", PATH),
    ("host", HOST),
    ("headers", Inside(&[("User-Agent", USER_AGENT)])),
];

/// Caddy's `json` encoder. Its error log has the same requests again, under other messages.
pub(super) const CADDY: Table = Table {
    entries: &[
        ("ts", Time),
        ("msg", MESSAGE),
        ("status", Status),
        ("request", Inside(CADDY_REQUEST)),
    ],
    message: Some(b"handled request"),
};

/// Traefik with `accessLog.format: json`. `ClientHost` is the peer, or what a trusted proxy forwarded.
pub(super) const TRAEFIK: Table = Table {
    entries: &[
        ("ClientHost", CLIENT),
        ("ClientAddr", CLIENT),
        ("StartUTC", Time),
        ("StartLocal", Time),
        ("time", Time),
        ("RequestMethod", METHOD),
        ("RequestPath", PATH),
        ("DownstreamStatus", Status),
        ("RequestHost", HOST),
        ("RequestAddr", HOST),
        ("request_User-Agent", USER_AGENT),
    ],
    message: None,
};

/// Envoy, as Envoy Gateway and Istio configure `json_format`.
pub(super) const ENVOY: Table = Table {
    entries: &[
        ("downstream_remote_address", CLIENT),
        ("downstream_remote_address_without_port", CLIENT),
        ("start_time", Time),
        ("method", METHOD),
        (":method", METHOD),
        ("x-envoy-origin-path", PATH),
        ("x-envoy-original-path", PATH),
        ("path", PATH),
        (":path", PATH),
        ("response_code", Status),
        (":authority", HOST),
        ("authority", HOST),
        ("user-agent", USER_AGENT),
        ("user_agent", USER_AGENT),
    ],
    message: None,
};
