//! JSON by literal lines.

use super::{Format, named, understood};
use crate::{Caution, Detection, JsonKeys, LogError, json};

const NGINX: &str = r#"{"time_iso8601":"2026-11-20T10:00:07+01:00","remote_addr":"203.0.113.7","request":"GET /a?b=c HTTP/1.1","status":"404","http_host":"example.org","http_user_agent":"curl/8"}"#;

#[test]
fn nginx_variables_say_what_they_are() {
    let expected = "203.0.113.7 2026-11-20T09:00:07Z 404 GET /a?b=c host=example.org agent=curl/8";
    assert_eq!(understood(&named("nginx-json"), NGINX.as_bytes()), expected);
    let other = r#"{"msec":1795165207.5,"remote_addr":"::ffff:203.0.113.7","request_method":"GET","request_uri":"/a","request":"no","status":404,"http_host":"-","host":null,"server_name":"example.org","upstream":{"status":200},"user_agent":""}"#;
    assert_eq!(
        understood(&named("nginx-json"), other.as_bytes()),
        "203.0.113.7 2026-11-20T09:00:07.5Z 404 GET /a host=example.org agent=–",
        "the first variable that is there counts, and only those of the line itself"
    );
}

#[test]
fn escapes_are_undone_and_text_need_not_be_utf8() {
    let line = NGINX
        .replace("/a?b=c", r#"/\"\u00e9\/\ud800"#)
        .replace("curl/8", "curl\\t");
    assert_eq!(
        understood(&named("nginx-json"), line.as_bytes()),
        r#"203.0.113.7 2026-11-20T09:00:07Z 404 GET /\"\xc3\xa9/\xed\xa0\x80 host=example.org agent=curl\t"#
    );
    let (before, after) = NGINX.split_once("curl/8").unwrap();
    let line = [
        before.as_bytes(),
        b"\xff\xfe",
        after.trim_end_matches('}').as_bytes(),
        b",\"other\":\"\xff\"}",
    ]
    .concat();
    assert_eq!(
        understood(&named("nginx-json"), &line),
        r"203.0.113.7 2026-11-20T09:00:07Z 404 GET /a?b=c host=example.org agent=\xff\xfe"
    );
}

#[test]
fn a_path_that_looks_like_json_stays_a_path() {
    let line = NGINX.replace("/a?b=c", r#"/\",\"remote_addr\":\"6.6.6.6\",\"x\":\""#);
    let shown = understood(&named("nginx-json"), line.as_bytes());
    assert!(shown.starts_with("203.0.113.7 "), "{shown}");
}

#[test]
fn keys_that_people_have_are_known() {
    let expected = "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=– agent=–";
    for line in [
        // Of Apache: the time in its brackets, and the path alone as the request.
        r#"{"time":"[21/Nov/2026:11:06:56 +0100]","remoteIP":"203.0.113.7","request":"/x","query":"","method":"GET","status":"404"}"#,
        r#"{"time":"21/Nov/2026:11:06:56 +0100","client_ip":"203.0.113.7","request":"GET /x HTTP/1.1","method":"GET","status":404}"#,
        r#"{"time":"21/Nov/2026:11:06:56 +0100","client_ip":"203.0.113.7","request":"GET /y HTTP/1.1","uri":"/x","status":404}"#,
        r#"{"@timestamp":"2026-11-21T11:06:56+01:00","clientip":"203.0.113.7","xff":"-","url":"/x","request_method":"GET","status":"404"}"#,
        r#"{"remote":"203.0.113.7","host":"-","user":"-","method":"GET","path":"/x","code":"404","time":"2026-11-21T11:06:56+01:00"}"#,
        r#"{"@timestamp":"2026-11-21T11:06:56+01:00","method":"GET","status_code":404,"requested_uri":"/x","remote_host":"203.0.113.7"}"#,
        r#"{"time":"2026-11-21T10:06:56Z","client_ip":"203.0.113.7","http_method":"GET","http_uri":"/x","http_status":"404"}"#,
        r#"{"ts":"2026-11-21T10:06:56Z","ip":"203.0.113.7","verb":"GET","requestUri":"/x","statusCode":404}"#,
        // Linkerd, Bunyan, Go's httplog, GELF.
        r#"{"client.addr":"203.0.113.7:4711","client.id":"-","method":"GET","status":404,"timestamp":"2026-11-21T10:06:56Z","uri":"/x"}"#,
        r#"{"name":"a","level":30,"remoteAddress":"203.0.113.7","method":"GET","url":"/x","statusCode":404,"time":"2026-11-21T10:06:56Z"}"#,
        r#"{"time":"2026-11-21T10:06:56Z","level":"WARN","msg":"Response: 404","httpRequest":{"url":"http://a/x","method":"GET","path":"/x","remoteIP":"203.0.113.7:4711"},"httpResponse":{"status":404}}"#,
        r#"{"version":"1.1","short_message":"GET /x","timestamp":1795255616,"_remote_addr":"203.0.113.7","_status":404,"_request_method":"GET","_request_uri":"/x"}"#,
        // WildFly and RoadRunner.
        r#"{"eventSource":"web-access","hostName":"default-host","bytesSent":12,"dateTime":"2026-11-21T10:06:56Z","remoteHost":"203.0.113.7","remoteUser":null,"requestLine":"GET /x HTTP/1.1","responseCode":404}"#,
        r#"{"level":"info","ts":1795255616000000000,"logger":"http","msg":"http log","status":404,"method":"GET","URI":"/x","remote_address":"203.0.113.7:4711","read_bytes":0}"#,
        // What a proxy forwarded counts last.
        r#"{"x_forwarded_for":"198.51.100.9","ip":"203.0.113.7","ts":"2026-11-21T10:06:56Z","method":"GET","path":"/x","response":404}"#,
    ] {
        assert_eq!(
            understood(&named("nginx-json"), line.as_bytes()),
            expected,
            "{line}"
        );
    }
}

#[test]
fn two_values_of_a_key_are_nobodys() {
    // As HAProxy writes a user agent into its JSON.
    let forged = r#"{"ua":"x","client_ip":"6.6.6.6","z":"","client_ip":"203.0.113.7","time":"30/Nov/2026:06:32:00.052","method":"GET","uri":"/x","status":404}"#;
    assert_eq!(
        understood(&named("nginx-json"), forged.as_bytes()),
        "! a key of the client, the time or the status is there twice, with two values"
    );
    let twice = forged.replace("6.6.6.6", "203.0.113.7");
    assert!(understood(&named("nginx-json"), twice.as_bytes()).starts_with("203.0.113.7 "));
}

/// The lists of filebeat's modules begin with what clients wrote, and so does its `source` then; `client` may be from a header.
#[test]
fn of_filebeats_addresses_the_connection_counts() {
    let rest = r#""@timestamp":"2026-11-21T10:06:56Z","http":{"request":{"method":"GET"},"response":{"status_code":404}},"url":{"original":"/x"}"#;
    let list = r#"["6.6.6.6","203.0.113.7"]"#;
    for clients in [
        r#""client":{"ip":"6.6.6.6"},"source":{"ip":"203.0.113.7"}"#.to_owned(),
        r#""source.address":"203.0.113.7:4711","client.address":"6.6.6.6""#.to_owned(),
        r#""client":{"ip":"203.0.113.7"}"#.to_owned(),
        format!(r#""source":{{"ip":"6.6.6.6"}},"nginx":{{"access":{{"remote_ip_list":{list}}}}}"#),
        format!(
            r#""nginx":{{"ingress_controller":{{"remote_ip_list":{list}}}}},"source":{{"address":"6.6.6.6"}}"#
        ),
        format!(r#""apache.access.remote_addresses":{list},"source.ip":"6.6.6.6""#),
    ] {
        let line = format!("{{{clients},{rest}}}");
        assert_eq!(
            understood(&named("ecs-json"), line.as_bytes()),
            "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=– agent=–",
            "{line}"
        );
    }
}

/// MinIO, Docker's registry, and Echo before 5.1 believe the `X-Forwarded-For` of any client.
#[test]
fn a_program_that_believes_any_header_blames_nobody() {
    let minio = r#"{"version":"1","time":"2026-11-21T10:06:56Z","api":{"name":"GetObject","status":"Not Found","statusCode":404},"remotehost":"6.6.6.6","userAgent":"curl"}"#;
    let echo = r#"{"time":"2026-11-21T11:06:56+01:00","id":"","remote_ip":"6.6.6.6","host":"a","method":"GET","uri":"/x","status":404,"latency":1,"latency_human":"1ns"}"#;
    let registry = r#"{"http.request.method":"GET","http.request.remoteaddr":"6.6.6.6","http.request.uri":"/v2/","http.response.status":401,"level":"info","msg":"response completed","time":"2026-11-21T10:06:56Z"}"#;
    let format = named("nginx-json");
    for line in [minio, echo, registry] {
        assert_eq!(format.parse(line.as_bytes()), Err(LogError::AnyHeader), "{line}");
    }
    // Beside the other end of the connection it says nothing.
    let line = echo.replace("\"id\":\"\"", "\"remote_addr\":\"203.0.113.7\"");
    assert!(understood(&format, line.as_bytes()).starts_with("203.0.113.7 "));
    // Who names the key means it.
    let one = |path: &str| vec![path.to_owned()];
    let keys = JsonKeys {
        client: one("remotehost"),
        time: one("time"),
        status: one("api.statusCode"),
        ..JsonKeys::default()
    };
    let stated = Format::json(keys).unwrap();
    assert!(understood(&stated, minio.as_bytes()).starts_with("6.6.6.6 "));
}

#[test]
fn akamais_paths_have_their_slash() {
    for (path, expected) in [
        ("x/y", "/x/y"),
        ("/x", "/x"),
        ("https://a/x", "https://a/x"),
        ("*", "*"),
    ] {
        let line = format!(
            r#"{{"reqTimeSec":"1795255616.750","cliIP":"203.0.113.7","statusCode":"404","reqHost":"a","reqMethod":"GET","reqPath":"{path}"}}"#
        );
        assert_eq!(
            understood(&named("cloud-json"), line.as_bytes()),
            format!("203.0.113.7 2026-11-21T10:06:56.75Z 404 GET {expected} host=a agent=–")
        );
    }
}

/// What Tomcat calls the host is its client, and in other logs what a client asked for.
#[test]
fn tomcats_host_is_the_client_where_tomcat_wrote_it() {
    let line = r#"{"host":"203.0.113.7","logicalUserName":"-","user":"-","time":"[21/Nov/2026:11:06:56 +0100]","request":"GET /x HTTP/1.1","statusCode":"404","size":"12","requestHeaders": {"Referer":"-","User-Agent":"curl"}}"#;
    let shown = "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=– agent=curl";
    let mut detection = Detection::default();
    detection.see(line.as_bytes());
    let format = detection.chosen().unwrap();
    assert_eq!(format.to_string(), "tomcat-json");
    assert_eq!(understood(format, line.as_bytes()), shown);
    let with_peer = line.replace(
        r#""host":"203.0.113.7""#,
        r#""host":"client.example.net","remoteAddr":"203.0.113.7""#,
    );
    assert_eq!(understood(format, with_peer.as_bytes()), shown);
    let others = line.replace("logicalUserName", "x");
    assert!(understood(format, others.as_bytes()).starts_with("! no client address"));
}

#[test]
fn clouds_have_names_of_their_own() {
    const SHOWN: &str = "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=– agent=–";
    for line in [
        // Azure: App Service, also in a blob and in Log Analytics.
        r#"{"time":"2026-11-21T10:06:56.0000000Z","category":"AppServiceHTTPLogs","properties":{"CIp":"203.0.113.7","SPort":"443","CsUriStem":"/x","CsMethod":"GET","ScStatus":"404","ComputerName":"RD1","ScSubStatus":"0"}}"#,
        r#"{"EventTime":"2026-11-21T10:06:56Z","CIp":"203.0.113.7","CsUriStem":"/x","CsMethod":"GET","ScStatus":404}"#,
        r#"{"TimeGenerated":"2026-11-21T10:06:56Z","CIp":"203.0.113.7","CsUriStem":"/x","CsMethod":"GET","ScStatus":404,"Type":"AppServiceHTTPLogs"}"#,
        // API Management, Front Door and Application Gateway.
        r#"{"time":"2026-11-21T10:06:56Z","category":"GatewayLogs","callerIpAddress":"203.0.113.7","properties":{"method":"GET","url":"/x","backendResponseCode":200,"responseCode":404}}"#,
        r#"{"TimeGenerated":"2026-11-21T10:06:56Z","Category":"FrontDoorAccessLog","clientIp_s":"198.51.100.66","socketIp_s":"203.0.113.7","httpMethod_s":"GET","requestUri_s":"/x","httpStatusCode_s":"404"}"#,
        r#"{"TimeGenerated":"2026-11-21T10:06:56Z","Category":"ApplicationGatewayAccessLog","clientIP_s":"203.0.113.7","httpMethod_s":"GET","originalRequestUriWithArgs_s":"/x","requestUri_s":"/y","httpStatus_d":404.0}"#,
        // App Engine, Oracle and Railway.
        r#"{"protoPayload":{"ip":"203.0.113.7","startTime":"2026-11-21T10:06:55Z","method":"GET","resource":"/x","status":404},"timestamp":"2026-11-21T10:06:56Z"}"#,
        r#"{"datetime":1795255616000,"logContent":{"data":{"backendAddr":"10.0.0.5:80","backendStatusCode":"200","clientAddr":"203.0.113.7:4711","forwardedAddr":"6.6.6.6","lbStatusCode":"404","request":"GET /x HTTP/1.1"}}}"#,
        r#"{"timestamp":"2026-11-21T10:06:56Z","method":"GET","path":"/x","httpStatus":404,"srcIp":"203.0.113.7"}"#,
    ] {
        assert_eq!(understood(&named("cloud-json"), line.as_bytes()), SHOWN, "{line}");
        let mut detection = Detection::default();
        detection.see(line.as_bytes());
        assert_eq!(
            detection.chosen().map(ToString::to_string),
            Some("cloud-json".to_owned()),
            "{line}"
        );
    }
    let firewall = r#"{"Action":"block","ClientIP":"203.0.113.7","ClientRequestMethod":"GET","ClientRequestPath":"/x","EdgeResponseStatus":404,"Datetime":"2026-11-21T10:06:56Z"}"#;
    assert_eq!(understood(&named("cloudflare-json"), firewall.as_bytes()), SHOWN);
}

#[test]
fn servers_of_objects_and_cdns_are_known() {
    for time in [
        r#""date":"2026-11-21","time":"10:06:56""#,
        r#""timestamp":"1795255616","timestamp(ms)":"1795255616000""#,
    ] {
        let line = format!(
            r#"{{{time},"c-ip":"203.0.113.7","cs-method":"GET","cs(Host)":"a","cs-uri-stem":"/x","sc-status":"404","x-forwarded-for":"6.6.6.6"}}"#
        );
        assert_eq!(
            understood(&named("cloud-json"), line.as_bytes()),
            "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=a agent=–"
        );
    }
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    for (from, to, expected) in [
        (
            "\"remote_addr\"",
            "\"addr\"",
            "! no client address under a key that the format knows: name yours in `[access_log.keys]`",
        ),
        ("203.0.113.7", "unix:", "! the client is not an address"),
        (
            "\"time_iso8601\"",
            "\"when\"",
            "! no time under a key that the format knows: name yours in `[access_log.keys]`",
        ),
        ("2026-11-20T10", "2026-13-20T10", "! the time has no known shape"),
        (
            "\"status\"",
            "\"state\"",
            "! no status under a key that the format knows: name yours in `[access_log.keys]`",
        ),
        (
            "\"404\"",
            "\"40\"",
            "! invalid status: expected a number from 100 to 999",
        ),
        (
            "\"404\"",
            "1404",
            "! invalid status: expected a number from 100 to 999",
        ),
        (
            "\"404\"",
            "\"404",
            "! not a JSON object: `,` or `}` is expected at byte 119",
        ),
        (
            "curl/8\"}",
            "curl/8\"} x",
            "! not a JSON object: the object has ended at byte 173",
        ),
    ] {
        let line = NGINX.replace(from, to);
        assert_eq!(
            understood(&named("nginx-json"), line.as_bytes()),
            expected,
            "{to}"
        );
    }
    assert_eq!(
        understood(&named("nginx-json"), b"[1]"),
        "! not a JSON object: `{` is expected at byte 0"
    );
    let deep = [b"{\"x\":".as_slice(), &[b'['; 60_000]].concat();
    assert_eq!(
        understood(&named("nginx-json"), &deep),
        "! not a JSON object: the line ends too early at byte 60005"
    );
}

#[test]
fn caddys_error_log_is_no_access_log() {
    let line = r#"{"ts":1693840791.75,"logger":"http.log.error","msg":"dial tcp: refused","request":{"remote_ip":"203.0.113.7","method":"GET","host":"a","uri":"/","headers":{}},"status":502}"#;
    let caddy = named("caddy-json");
    assert_eq!(
        understood(&caddy, line.as_bytes()),
        "! the message is not that of a request"
    );
    let line = line.replace("dial tcp: refused", "handled request");
    assert_eq!(
        understood(&caddy, line.as_bytes()),
        "203.0.113.7 2023-09-04T15:19:51.75Z 502 GET / host=a agent=–"
    );
    let old = line.replace(
        "\"remote_ip\":\"203.0.113.7\"",
        "\"remote_addr\":\"[2001:db8::7]:4711\"",
    );
    assert!(understood(&caddy, old.as_bytes()).starts_with("2001:db8::7 "));
}

#[test]
fn envoy_and_istio_name_their_keys_differently() {
    for line in [
        r#"{":authority":"a","downstream_remote_address":"203.0.113.7:1","method":"GET","response_code":200,"start_time":"2025-12-31T16:37:40.479Z","user-agent":"curl","x-envoy-origin-path":"/x","x-forwarded-for":"6.6.6.6"}"#,
        r#"{"authority":"a","downstream_remote_address":"203.0.113.7:1","method":"GET","response_code":"200","start_time":"2025-12-31T16:37:40.479Z","user_agent":"curl","path":"/x"}"#,
    ] {
        assert_eq!(
            understood(&named("envoy-json"), line.as_bytes()),
            "203.0.113.7 2025-12-31T16:37:40.479Z 200 GET /x host=a agent=curl"
        );
    }
}

#[test]
fn json_logs_of_other_servers_are_understood() {
    for (format, line, expected) in [
        (
            "kong-json",
            r#"{"client_ip":"203.0.113.7","started_at":1795255616750,"request":{"method":"GET","uri":"/x","headers":{"host":"a","user-agent":"curl"}},"response":{"status":404},"latencies":{"request":3}}"#,
            "203.0.113.7 2026-11-21T10:06:56.75Z 404 GET /x host=a agent=curl",
        ),
        (
            "pino-json",
            r#"{"level":30,"time":1795255616750,"req":{"method":"GET","url":"/x","remoteAddress":"203.0.113.7","headers":{"host":"a"}},"res":{"statusCode":404}}"#,
            "203.0.113.7 2026-11-21T10:06:56.75Z 404 GET /x host=a agent=–",
        ),
        (
            "cloudflare-json",
            r#"{"ClientIP":"203.0.113.7","ClientRequestMethod":"GET","ClientRequestURI":"/x","EdgeResponseStatus":404,"EdgeStartTimestamp":"2026-11-21T10:06:56Z"}"#,
            "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=– agent=–",
        ),
        (
            "cloudflare-json",
            r#"{"ClientIP":"203.0.113.7","ClientRequestMethod":"GET","ClientRequestURI":"/x","EdgeResponseStatus":404,"EdgeStartTimestamp":1795255616750000000}"#,
            "203.0.113.7 2026-11-21T10:06:56.75Z 404 GET /x host=– agent=–",
        ),
        (
            "ecs-json",
            r#"{"@timestamp":"2026-11-21T10:06:56.1Z","source":{"ip":"203.0.113.7","port":1},"http":{"request":{"method":"GET"},"response":{"status_code":404}},"url":{"original":"/x"},"host":{"name":"web1"},"user_agent":{"original":"curl"}}"#,
            "203.0.113.7 2026-11-21T10:06:56.1Z 404 GET /x host=– agent=curl",
        ),
        (
            "cloud-json",
            r#"{"httpRequest":{"latency":"0.003s","remoteIp":"203.0.113.7","requestMethod":"GET","requestUrl":"https://a/x","status":404,"userAgent":"curl"},"jsonPayload":{"statusDetails":"x"},"receiveTimestamp":"2026-11-21T10:06:57Z","timestamp":"2026-11-21T10:06:56.1Z"}"#,
            "203.0.113.7 2026-11-21T10:06:56.1Z 404 GET https://a/x host=a agent=curl",
        ),
        (
            "cloud-json",
            r#"{"time":"2026-11-21T10:06:56Z","category":"ApplicationGatewayAccessLog","properties":{"clientIP":"203.0.113.7","clientPort":46886,"httpMethod":"GET","requestUri":"/x","userAgent":"curl","httpStatus":404,"host":"a"}}"#,
            "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=a agent=curl",
        ),
        // The other end of the connection, not what a client wrote into a header.
        (
            "cloud-json",
            r#"{"time":"2026-11-21T10:06:56Z","category":"FrontDoorAccessLog","properties":{"httpMethod":"GET","requestUri":"https://a:443/x","userAgent":"curl","clientIp":"198.51.100.66","socketIp":"203.0.113.7","httpStatusCode":"404"}}"#,
            "203.0.113.7 2026-11-21T10:06:56Z 404 GET https://a:443/x host=a:443 agent=curl",
        ),
        (
            "cloud-json",
            r#"{"version":1,"reqTimeSec":"1795255616.750","cliIP":"203.0.113.7","statusCode":"404","reqHost":"a","reqMethod":"GET","reqPath":"/x","UA":"curl"}"#,
            "203.0.113.7 2026-11-21T10:06:56.75Z 404 GET /x host=a agent=curl",
        ),
        (
            "cloud-json",
            r#"{"timestamp":1795255616750,"source":"lambda","host":"b","path":"/y","proxy":{"method":"GET","host":"a","path":"/x","userAgent":["curl"],"statusCode":404,"clientIp":"203.0.113.7"}}"#,
            "203.0.113.7 2026-11-21T10:06:56.75Z 404 GET /x host=a agent=curl",
        ),
        (
            "nginx-json",
            r#"{"ip":"203.0.113.7","requestTime":"21/Nov/2026:10:06:56 +0000","httpMethod":"GET","resourcePath":"/x","status":"404"}"#,
            "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=– agent=–",
        ),
        (
            "ecs-json",
            r#"{"@timestamp":"2026-11-21T10:06:56.1Z","client.ip":"203.0.113.7","http.request.method":"GET","http.response.status_code":404,"url.path":"/x"}"#,
            "203.0.113.7 2026-11-21T10:06:56.1Z 404 GET /x host=– agent=–",
        ),
        (
            "nginx-json",
            r#"{"remoteAddress":"/203.0.113.7:4711","timestamp":"2026-11-21T10:06:56Z","method":"GET","path":"/x","status":"404 NOT_FOUND"}"#,
            "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=– agent=–",
        ),
        (
            "nginx-json",
            r#"{"remoteAddr":"203.0.113.7","host":"6.6.6.6","time":"[21/Nov/2026:11:06:56 +0100]","request":"GET /x HTTP/1.1","statusCode":"404"}"#,
            "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=6.6.6.6 agent=–",
        ),
        (
            "nginx-json",
            r#"{"remoteIP":"203.0.113.7","time":"2026-11-21 11:06:56.123","request":"GET /x HTTP/1.1","status":404}"#,
            "203.0.113.7 2026-11-21T11:06:56.123Z 404 GET /x host=– agent=–",
        ),
        (
            "nginx-json",
            r#"{"@timestamp":"2026-11-21T10:06:56.1Z","remote_addr":"203.0.113.7","request":"GET /x HTTP/1.1","status":404,"host":{"name":"web1"},"agent":{"type":"filebeat"}}"#,
            "203.0.113.7 2026-11-21T10:06:56.1Z 404 GET /x host=– agent=–",
        ),
        (
            "nginx-json",
            r#"{"time":"2026-11-21T11:06:56+01:00","remote_addr":"","x_forwarded_for":"203.0.113.7","status":404,"path":"/x","method":"GET"}"#,
            "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=– agent=–",
        ),
        (
            "nginx-json",
            r#"{"timestamp":"21/Nov/2026:11:06:56.439","client_ip":"203.0.113.7","http_method":"GET","url":"/x","status_code":"404"}"#,
            "203.0.113.7 2026-11-21T11:06:56.439Z 404 GET /x host=– agent=–",
        ),
        (
            "caddy-json",
            r#"{"level":"info","ts":"2026/11/21 10:06:56.123","msg":"handled request","request":{"remote_ip":"203.0.113.7","client_ip":"203.0.113.7","method":"GET","host":"a","uri":"/x"},"status":404}"#,
            "203.0.113.7 2026-11-21T10:06:56.123Z 404 GET /x host=a agent=–",
        ),
        (
            "caddy-json",
            r#"{"level":"info","time":"2026-11-21T10:06:56Z","msg":"handled request","request":{"remote_ip":"203.0.113.7","client_ip":"203.0.113.7","method":"GET","host":"a","uri":"/x"},"status":404}"#,
            "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=a agent=–",
        ),
    ] {
        assert_eq!(understood(&named(format), line.as_bytes()), expected, "{line}");
    }
}

#[test]
fn a_forwarded_list_counts_only_where_no_peer_is_logged() {
    let line = |peer: &str| {
        format!(
            r#"{{"time":"2026-11-21T11:06:56Z","remote_addr":"{peer}","x_forwarded_for":"6.6.6.6, 203.0.113.7","status":404}}"#
        )
    };
    let (with, without) = (line("192.0.2.1"), line(""));
    let format = named("nginx-json");
    let parsed = format.parse(with.as_bytes()).unwrap();
    assert_eq!(
        (parsed.client.to_string().as_str(), parsed.forwarded),
        ("192.0.2.1", None)
    );
    let parsed = format.parse(without.as_bytes()).unwrap();
    assert_eq!(
        (parsed.client.to_string().as_str(), parsed.forwarded.as_deref()),
        ("203.0.113.7", Some(&b"6.6.6.6, 203.0.113.7"[..]))
    );
    // A peer that is none is an error, not a reason to believe the list.
    assert!(format.parse(line("unix:").as_bytes()).is_err());
}

#[test]
fn a_forwarded_list_counts_for_nobody_beside_another_address() {
    let line = |other: &str| {
        format!(
            r#"{{"timestamp":1795255616,{other},"response_code":404,"x_forwarded_for":"6.6.6.6","path":"/x"}}"#
        )
    };
    for other in [
        r#""downstream_remote_address":"203.0.113.7:4711""#,
        r#""socket_address":"203.0.113.7""#,
        r#""source_ip":"[2001:db8::7]:4711""#,
        r#""peer":"/203.0.113.7:4711""#,
        r#""remote_addr":{"ip":"203.0.113.7"}"#,
        r#""peers":[1,"203.0.113.7"]"#,
        r#""peer":"203.0.113.7, 10.0.0.5""#,
        r#""conn":{"id":7,"client":{"address" : "203.0.113.7"}}"#,
        r#""conn":{"ips":["203.0.113.7"]}"#,
        r#""x_forwarded_for":["6.6.6.6","203.0.113.7"]"#,
        // Under names that say nothing.
        r#""from":"203.0.113.7""#,
        r#""a":"6.6.6.6","b":"203.0.113.7""#,
    ] {
        let line = line(other);
        assert_eq!(
            named("nginx-json").parse(line.as_bytes()),
            Err(LogError::Forwarded),
            "{other}"
        );
        json::check(line.as_bytes());
    }
    // What a client writes, or is a server's, says nothing.
    for other in [
        r#""referrer":"beef""#,
        r#""bytes":"1.5""#,
        r#""args":"::1""#,
        r#""remote_user":"::1""#,
        r#""http_cookie":"::1""#,
        r#""request_id":"::1""#,
        r#""http_x_real_ip":"::1""#,
        r#""server_addr":"10.0.0.1","upstream_addr":"10.0.0.3:80""#,
        r#""headers":{"X-Real-Ip":["::1"],"client":"::1"}"#,
        r#""upstream":{"addr":"10.0.0.3:80"}"#,
        r#""query":["client","::1"],"tags":["client","::1"]"#,
        r#""ua":"203.0.113.7","node":"10.0.0.7","route":"/203.0.113.7","accept_language":"9.9.9.9""#,
        // The other end of the connection, which the server appended.
        r#""from":"6.6.6.6:4711""#,
    ] {
        let line = line(other);
        let understood = understood(&named("nginx-json"), line.as_bytes());
        assert!(understood.starts_with("6.6.6.6 "), "{other}: {understood}");
        json::check(line.as_bytes());
    }
    // Who names the key of the list means it.
    let keys = JsonKeys {
        client: vec!["x_forwarded_for".to_owned()],
        time: vec!["timestamp".to_owned()],
        status: vec!["response_code".to_owned()],
        ..JsonKeys::default()
    };
    let stated = understood(
        &Format::json(keys).unwrap(),
        line(r#""source_ip":"203.0.113.7""#).as_bytes(),
    );
    assert!(stated.starts_with("6.6.6.6 "), "{stated}");
}

#[test]
fn texts_of_a_list_are_one_list_of_addresses() {
    let all = |path: &str| vec![path.to_owned()];
    let format = Format::json(JsonKeys {
        client: all("request.headers.X-Forwarded-For"),
        time: all("ts"),
        status: all("status"),
        method: all("m"),
        path: all("u"),
        ..JsonKeys::default()
    })
    .unwrap();
    for (list, client) in [
        (r#"["6.6.6.6","203.0.113.2"]"#, "203.0.113.2"),
        (r#"["6.6.6.6, 203.0.113.2"]"#, "203.0.113.2"),
        (r#"["","203.0.113.2"]"#, "203.0.113.2"),
        (r#"["6.6.6.6",["6.6.6.7"],"5.5.5.5, 203.0.113.2"]"#, "203.0.113.2"),
        (r#"["6.6.6.6","x"]"#, "! the client is not an address"),
        (r#"["6.6.6.6",""]"#, "! the client is not an address"),
        (
            "[]",
            "! no client address under a key that the format knows: name yours in `[access_log.keys]`",
        ),
    ] {
        let line = format!(
            r#"{{"ts":1796046892.634336,"m":"GET","u":"/t1/x","request":{{"headers":{{"X-Forwarded-For":{list}}}}},"status":404}}"#
        );
        let shown = understood(&format, line.as_bytes());
        assert!(shown.starts_with(client), "{list}: {shown}");
        json::check(line.as_bytes());
    }
    // Nobody knows what comes last of a list that is cut off.
    let begin = r#"{"ts":1796046892,"status":404,"request":{"headers":{"X-Forwarded-For":["#;
    for (cut, client) in [
        (r#""203.0.113.2"],"X":["x"#, "203.0.113.2 "),
        (r#""6.6.6.6","x"#, "! "),
        (r#""6.6.6.6","#, "! "),
        (r#""6.6.6.6""#, "! "),
    ] {
        let shown = understood(&format, format!("{begin}{cut}").as_bytes());
        assert!(shown.starts_with(client), "{cut}: {shown}");
    }
    let line = br#"{"ts":1796046892,"request":{"headers":{"X-Forwarded-For":["6.6.6.6","203.0.113.2","10.0.0.5"]}},"status":404}"#;
    let mut parsed = format.parse(line).unwrap();
    parsed
        .see_through(|address| address.to_string().starts_with("10."))
        .unwrap();
    assert_eq!(parsed.client.to_string(), "203.0.113.2");
}

#[test]
fn two_addresses_of_which_none_is_remote_addr_are_nobodys() {
    let read = |clients: &str| {
        let line = format!(
            r#"{{"timestamp":"2026-11-21T10:06:56Z","request_method":"GET","request":"/x","status":404,{clients}}}"#
        );
        json::check(line.as_bytes());
        let parsed = named("nginx-json").parse(line.as_bytes());
        parsed.map_or_else(|error| error.to_string(), |line| line.client.to_string())
    };
    let nobodys = LogError::TwoClients.to_string();
    for clients in [
        r#""client_ip":"6.6.6.6","client":"203.0.113.7""#,
        r#""client":"203.0.113.7","client_ip":"6.6.6.6""#,
        r#""slb_ip":"203.0.113.7","client_ip":"6.6.6.6""#,
        r#""clientip":"6.6.6.6","slbip":"203.0.113.7""#,
        r#""alb_ip":"203.0.113.7","client_ip":"6.6.6.6""#,
        r#""client_ip":"6.6.6.6","cdn_ip":"203.0.113.7""#,
        r#""client_ip":"6.6.6.6","source_ip":"203.0.113.7:4711""#,
        r#""peer":"203.0.113.7","ip":"6.6.6.6""#,
        r#""ip":"203.0.113.7","peer":"203.0.113.7","src":"203.0.113.8""#,
        r#""client_ip":"6.6.6.6","source":"203.0.113.7""#,
    ] {
        assert_eq!(read(clients), nobodys, "{clients}");
    }
    let nobodys = Err(LogError::TwoClients);
    assert_eq!(Caution::of_line(b"{}", &nobodys), Some(Caution::TwoClients));
    for clients in [
        r#""client_ip":"","client":"203.0.113.7""#,
        r#""client_ip":"-","client":"203.0.113.7""#,
        r#""client_ip":"203.0.113.7","remote":"203.0.113.7:4711""#,
        r#""client_ip":"6.6.6.6","remote_addr":"203.0.113.7""#,
        r#""remote_addr":"203.0.113.7","client_ip":"6.6.6.6","slb_ip":"10.0.0.5""#,
        r#""client_ip":"203.0.113.7","server_addr":"10.0.0.5","realip_remote_addr":"10.0.0.6""#,
        r#""client_ip":"203.0.113.7","source_ip":"203.0.113.7:4711","pod_ip":"10.0.0.5""#,
        // A client may write these, and would hide itself.
        r#""client_ip":"203.0.113.7","true_client_ip":"6.6.6.6""#,
        r#""client_ip":"203.0.113.7","utm_source":"6.6.6.6","client_version":"9.9.9.9""#,
        r#""client_ip":"203.0.113.7","bind_address":"0.0.0.0","vip":"10.0.0.1","email_address":"6.6.6.6""#,
    ] {
        assert_eq!(read(clients), "203.0.113.7", "{clients}");
    }
}

#[test]
fn contours_default_is_envoys() {
    for forwarded in [r#""6.6.6.6""#, "null"] {
        let line = format!(
            r#"{{"@timestamp":"2026-11-21T10:06:56.1Z","authority":"a","downstream_remote_address":"203.0.113.7:4711","method":"GET","path":"/x","response_code":404,"user_agent":"curl","x_forwarded_for":{forwarded}}}"#
        );
        let mut detection = Detection::default();
        detection.see(line.as_bytes());
        let format = detection.chosen().unwrap();
        assert_eq!(format.to_string(), "envoy-json");
        assert_eq!(
            understood(format, line.as_bytes()),
            "203.0.113.7 2026-11-21T10:06:56.1Z 404 GET /x host=a agent=curl"
        );
    }
}

#[test]
fn a_line_without_a_key_of_the_request_is_not_one_without_a_request() {
    for (request, method) in [
        (r#""http_path":"/p""#, "-"),
        (r#""request":"""#, ""),
        (r#""request":"-""#, ""),
        (r#""path":null"#, ""),
        // A path alone says nothing of the method.
        (r#""path":"/p""#, "-"),
        (r#""path":"/p","method":null"#, ""),
        (r#""method":"get","path":"/p""#, "GET"),
    ] {
        let line = format!(r#"{{"remote_addr":"203.0.113.7","msec":1795255616,"status":400,{request}}}"#);
        let read = named("nginx-json").parse(line.as_bytes());
        let caution = Caution::of_line(line.as_bytes(), &read);
        assert_eq!(&*read.unwrap().method, method.as_bytes(), "{request}");
        assert_eq!(
            caution,
            (method == "-" && !request.contains(r#""path""#)).then_some(Caution::NoRequest),
            "{request}"
        );
    }
    let line = b"203.0.113.7 1795255616 400";
    let read = named("$remote_addr $msec $status").parse(line);
    assert_eq!(Caution::of_line(line, &read), Some(Caution::NoRequest));
    for (pattern, method) in [
        ("$remote_addr [$msec] \"$request_uri\" $status", "-"),
        ("$remote_addr [$msec] \"$request\" $status", ""),
    ] {
        let line = br#"203.0.113.7 [1795255616] "/x" 400"#;
        assert_eq!(
            &*named(pattern).parse(line).unwrap().method,
            method.as_bytes(),
            "{pattern}"
        );
    }
}

#[test]
fn a_url_as_the_target_names_the_host_unless_one_is_logged() {
    for (target, host, expected) in [
        ("https://shop.example.org/x", "", Some("shop.example.org")),
        (
            "HTTP://u@shop.example.org:8443?x",
            "",
            Some("shop.example.org:8443"),
        ),
        ("https://shop.example.org/x", "a", Some("a")),
        ("https:///x", "", None),
        ("/https://shop.example.org/x", "", None),
        ("shop.example.org:443", "", None),
    ] {
        let time = "21/Nov/2026:11:06:56 +0100";
        let json = format!(
            r#"{{"remote_addr":"203.0.113.7","time":"{time}","status":404,"request":"GET {target} HTTP/2.0","host":"{host}"}}"#
        );
        let text = format!(r#"{host} 203.0.113.7 - - [{time}] "GET {target} HTTP/2.0" 404 12"#);
        let format = if host.is_empty() {
            "combined"
        } else {
            "vhost-combined"
        };
        for (format, line) in [("nginx-json", json), (format, text.trim().to_owned())] {
            let read = named(format).parse(line.as_bytes()).unwrap();
            assert_eq!(read.host.as_deref(), expected.map(str::as_bytes), "{line}");
            assert_eq!(&*read.path, target.as_bytes(), "what signatures go by");
        }
    }
}

#[test]
fn a_key_map_names_the_keys_of_any_log() {
    let all = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    let format = Format::json(JsonKeys {
        client: all(&["ctx.ip", "peer"]),
        time: all(&["at"]),
        status: all(&["ctx.res.code"]),
        request: all(&["line"]),
        host: all(&["ctx.host"]),
        ..JsonKeys::default()
    })
    .unwrap();
    assert_eq!(format.to_string(), "json");
    for line in [
        r#"{"at":1795255616,"ctx":{"ip":"203.0.113.7","res":{"code":404},"host":"a"},"line":"GET /x HTTP/1.1","peer":"6.6.6.6"}"#,
        r#"{"at":"2026-11-21T10:06:56Z","peer":"203.0.113.7:80","ctx.res.code":"404","ctx":{"host":"a","ip":null},"line":"GET /x"}"#,
    ] {
        let expected = "203.0.113.7 2026-11-21T10:06:56Z 404 GET /x host=a agent=–";
        assert_eq!(understood(&format, line.as_bytes()), expected, "{line}");
    }
    assert_eq!(
        understood(&format, br#"{"at":1,"ctx":{"ip":"203.0.113.7"}}"#),
        "! no status under a key that the format knows: name yours in `[access_log.keys]`"
    );
    assert!(Format::json(JsonKeys::default()).is_err());
}
