//! Made-up requests, written as servers write them and read again; and anything at all.

use std::net::IpAddr;

use jiff::{Timestamp, fmt::strtime, tz::TimeZone};
use proptest::prelude::*;

use super::Format;
use crate::Detection;

/// A request that any server may log; whole milliseconds between 1970 and 2100.
#[derive(Clone, Debug)]
struct Request {
    client: IpAddr,
    at_ms: i64,
    method: String,
    path: String,
    status: u16,
    host: String,
    user_agent: String,
}

prop_compose! {
    fn request()(
        client in prop_oneof![any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())), any::<u128>().prop_map(|bits| IpAddr::V6(bits.into()).to_canonical())],
        at_ms in 0..4_102_444_800_000i64,
        method in "[A-Z]{3,8}",
        path in "/[!-~]{0,60}",
        status in 100..600u16,
        host in "[a-z0-9.]{1,20}",
        user_agent in "[a-zA-Z][ -~]{0,60}",
    ) -> Request {
        Request { client, at_ms, method, path, status, host, user_agent }
    }
}

impl Request {
    fn clf_time(&self) -> String {
        let at = Timestamp::from_millisecond(self.at_ms).unwrap();
        strtime::format("%d/%b/%Y:%H:%M:%S %z", &at.to_zoned(TimeZone::UTC)).unwrap()
    }

    fn rfc_3339(&self) -> String {
        Timestamp::from_millisecond(self.at_ms).unwrap().to_string()
    }

    /// The way of nginx and Apache with what would end a quoted text.
    fn escaped(text: &str) -> String {
        text.replace('\\', "\\\\").replace('"', "\\\"")
    }

    fn combined(&self) -> String {
        let Self {
            client,
            method,
            path,
            status,
            user_agent,
            host,
            ..
        } = self;
        let (path, user_agent, at) = (Self::escaped(path), Self::escaped(user_agent), self.clf_time());
        format!(
            "{host}:443 {client} - - [{at}] \"{method} {path} HTTP/1.1\" {status} 5 \"-\" \"{user_agent}\" 0.003"
        )
    }

    fn nginx_json(&self) -> String {
        let Self {
            client,
            at_ms,
            method,
            path,
            status,
            host,
            user_agent,
        } = self;
        serde_json::json!({
            "msec": format!("{}.{:03}", at_ms / 1000, at_ms % 1000), "remote_addr": client, "status": status.to_string(),
            "request": format!("{method} {path} HTTP/2.0"), "http_host": host, "http_user_agent": user_agent,
        }).to_string()
    }

    fn caddy_json(&self) -> String {
        let Self {
            client,
            at_ms,
            method,
            path,
            status,
            host,
            user_agent,
        } = self;
        serde_json::json!({
            "ts": *at_ms as f64 / 1e3, "msg": "handled request", "status": status,
            "request": {"client_ip": client, "method": method, "uri": path, "host": host, "headers": {"User-Agent": [user_agent, "x"]}},
        }).to_string()
    }

    fn traefik_json(&self) -> String {
        let Self {
            client,
            method,
            path,
            status,
            host,
            user_agent,
            ..
        } = self;
        serde_json::json!({
            "ClientHost": client, "StartUTC": self.rfc_3339(), "RequestMethod": method, "RequestPath": path,
            "DownstreamStatus": status, "RequestHost": host, "request_User-Agent": user_agent,
        })
        .to_string()
    }

    fn envoy_json(&self) -> String {
        let Self {
            client,
            method,
            path,
            status,
            host,
            user_agent,
            ..
        } = self;
        serde_json::json!({
            "downstream_remote_address": std::net::SocketAddr::new(*client, 4711).to_string(), "start_time": self.rfc_3339(),
            "method": method, "path": path, "response_code": status, ":authority": host, "user-agent": user_agent,
        }).to_string()
    }

    fn haproxy(&self) -> String {
        let Self {
            client,
            at_ms,
            method,
            path,
            status,
            ..
        } = self;
        let (local, path) = (self.clf_time(), path.replace('"', "#22"));
        let (local, ms) = (&local[..20], at_ms % 1000);
        format!(
            "{client}:4711 [{local}.{ms:03}] in~ be/web 1/0/0/3/4 {status} 7 - - ---- 1/1/0/0/0 0/0 \"{method} {path} HTTP/1.1\""
        )
    }
}

fn check(
    format: &str,
    line: &str,
    expected: &Request,
    whole_seconds: bool,
    texts: [Option<&str>; 3],
) -> Result<(), TestCaseError> {
    let format: Format = format.parse().unwrap();
    let parsed = format.parse(line.as_bytes());
    prop_assert!(parsed.is_ok(), "{format}: {line}: {:?}", parsed);
    let parsed = parsed.unwrap();
    let at_ms = if whole_seconds {
        expected.at_ms / 1000 * 1000
    } else {
        expected.at_ms
    };
    prop_assert_eq!(
        (parsed.client, parsed.at_ms, parsed.status),
        (expected.client, at_ms, expected.status),
        "{}",
        line
    );
    prop_assert_eq!(&*parsed.method, expected.method.as_bytes(), "{}", line);
    let found = [
        Some(&*parsed.path),
        parsed.host.as_deref(),
        parsed.user_agent.as_deref(),
    ];
    prop_assert_eq!(found, texts.map(|text| text.map(str::as_bytes)), "{}", line);
    Ok(())
}

proptest! {
    #[test]
    fn what_a_server_writes_is_what_is_read(request in request()) {
        let escaped = (Request::escaped(&request.path), Request::escaped(&request.user_agent), format!("{}:443", request.host));
        let texts = [Some(&*escaped.0), Some(&*escaped.2), Some(&*escaped.1)];
        check("vhost-combined", &request.combined(), &request, true, texts)?;
        let pattern = "$host $remote_addr - $remote_user [$time_local] \"$request\" $status $bytes \"$http_referer\" \"$http_user_agent\"";
        check(pattern, &request.combined(), &request, true, texts)?;
        let combined = request.combined();
        let (_, combined) = combined.split_once(' ').unwrap();
        check("combined", combined, &request, true, [texts[0], None, texts[2]])?;
        let texts = [Some(&*request.path), Some(&*request.host), Some(&*request.user_agent)];
        check("nginx-json", &request.nginx_json(), &request, false, texts)?;
        check("caddy-json", &request.caddy_json(), &request, false, texts)?;
        check("traefik-json", &request.traefik_json(), &request, false, texts)?;
        check("envoy-json", &request.envoy_json(), &request, false, texts)?;
        let path = request.path.replace('"', "#22");
        check("haproxy", &request.haproxy(), &request, false, [Some(&*path), None, None])?;
    }

    #[test]
    fn a_line_cut_off_anywhere_is_never_another_clients(request in request(), cut in 0..400usize) {
        for (format, line) in [
            ("vhost-combined", request.combined()),
            ("nginx-json", request.nginx_json()),
            ("caddy-json", request.caddy_json()),
            ("haproxy", request.haproxy()),
        ] {
            let format: Format = format.parse().unwrap();
            if let Ok(parsed) = format.parse(&line.as_bytes()[..cut.min(line.len())]) {
                let status = if parsed.unreadable { 0 } else { request.status };
                prop_assert_eq!((parsed.client, parsed.status), (request.client, status));
            }
        }
    }

    #[test]
    fn any_bytes_are_a_line_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        Detection::default().see(&bytes);
        let pattern = Format::pattern("$remote_addr [$time_local] \"$request\" $status").unwrap();
        let _ = pattern.parse(&bytes);
    }

    #[test]
    fn any_text_is_a_format_or_an_error(text in "[ -~]{0,60}") {
        if let Ok(format) = text.parse::<Format>() {
            prop_assert_eq!(format.to_string(), text);
        }
    }
}
