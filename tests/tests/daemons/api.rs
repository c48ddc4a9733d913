//! The orchestrator's REST API as clients meet it: who is let in, how it fails, what it tells, and that it is as described.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    process::Output,
    time::{Duration, Instant},
};

use secbeat_common::wire::MAX_ALLOWED;
use secbeat_tests::lab::{
    client::{Client, Response},
    host::{Host, assert_refused},
    http::read_response,
    local::order,
    nats::NatsServer,
    paths,
    process::Daemon,
    wait::wait_until,
};
use serde_json::{Value, json};
use socket2::Type;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const START: Duration = Duration::from_secs(20);
const NOT_ALLOWED: i32 = 77;

/// An orchestrator with a bus of its own.
pub(super) struct Lab {
    pub(super) orchestrator: Daemon,
    nats: NatsServer,
    pub(super) host: Host,
}

impl Lab {
    /// `api` follows the bus in the config.
    pub(super) fn start(api: &str) -> Self {
        let host = Host::new();
        let nats = NatsServer::start(&host.namespace, LOOPBACK);
        let config = format!("[nats]\nurl = \"{}\"\n{api}", nats.url());
        host.write("orchestrator.toml", &config);
        let orchestrator = spawn(&host);
        let mut lab = Self {
            orchestrator,
            nats,
            host,
        };
        lab.await_ready();
        lab
    }

    fn await_ready(&mut self) {
        self.orchestrator.wait_for_log("reading telemetry", START);
    }

    fn restart(&mut self) {
        self.orchestrator.kill9();
        self.orchestrator = spawn(&self.host);
        self.await_ready();
    }

    pub(super) fn cli(&self, arguments: &[&str]) -> Output {
        let config = self.host.file("orchestrator.toml");
        let mut all = vec!["--config", config.to_str().unwrap()];
        all.extend(arguments);
        self.host.run("secbeat-orchestrator", &all)
    }

    fn call(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> Response {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![];
        if let Some(authorization) = &authorization {
            headers.push(("authorization", authorization.as_str()));
        }
        if !body.is_empty() {
            headers.push(("content-type", "application/json"));
        }
        Client::new(&self.host.namespace)
            .with_timeout(Duration::from_secs(10))
            .request(
                method,
                &format!("http://127.0.0.1:3030{path}"),
                &headers,
                body.as_bytes(),
            )
            .unwrap()
    }

    /// As root, on the socket.
    pub(super) fn order(&self, method: &str, path: &str, body: &str) -> Response {
        order(&self.host.namespace, "secbeat-orchestrator", method, path, body).unwrap()
    }

    /// A request as it is written here.
    pub(super) fn raw(&self, port: u16, head: &str) -> Response {
        read_response(&mut self.send(port, head), "GET").unwrap()
    }

    pub(super) fn send(&self, port: u16, head: &str) -> BufReader<TcpStream> {
        let address = SocketAddr::new(LOOPBACK, port);
        let socket = self.host.namespace.socket(LOOPBACK, Type::STREAM);
        socket.connect(&address.into()).unwrap();
        socket.set_read_timeout(Some(START)).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.write_all(head.as_bytes()).unwrap();
        BufReader::new(stream)
    }

    fn events(&self, after: Option<&str>) -> Stream {
        let after = after.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        let mut stream = self.send(
            3030,
            &format!("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n{after}\r\n"),
        );
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).unwrap(), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        Stream(stream)
    }
}

fn spawn(host: &Host) -> Daemon {
    let mut command = host.namespace.command(paths::daemon("secbeat-orchestrator"));
    command
        .args(["run", "--config"])
        .arg(host.file("orchestrator.toml"));
    Daemon::spawn("secbeat-orchestrator", &mut command)
}

/// An open stream of events.
struct Stream(BufReader<TcpStream>);

impl Stream {
    /// The next event's name and data.
    fn next(&mut self) -> (String, Value) {
        let mut name = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the stream ended");
            if let Some(event) = line.strip_prefix("event: ") {
                event.trim().clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return (name, serde_json::from_str(data).unwrap());
            }
        }
    }
}

pub(super) fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

#[track_caller]
pub(super) fn assert_problem(response: &Response, status: u16, detail: &str) {
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    let problem = body(response);
    assert_eq!(
        (response.status, &problem["status"], &problem["type"]),
        (status, &json!(status), &json!("about:blank")),
        "{problem}"
    );
    assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
    let said = problem["detail"].as_str().unwrap();
    assert!(said.contains(detail), "no `{detail}` in `{said}`");
}

/// A token that the orchestrator's own command made, and its table.
pub(super) fn token(host: &Host, name: &str, role: &str) -> (String, String) {
    let arguments = ["token", "create", name, "--role", role];
    let shown = host.run("secbeat-orchestrator", &arguments);
    assert!(shown.status.success(), "{shown:?}");
    let text = String::from_utf8(shown.stdout).unwrap();
    let (token, table) = text.split_once("\n\n").unwrap();
    (token.to_owned(), table.to_owned())
}

/// Tokens of all roles, and their tables.
fn tokens() -> ([String; 3], String) {
    let host = Host::new();
    let [reader, operator, admin] = ["read", "operate", "admin"].map(|role| token(&host, role, role));
    let tables = [reader.1, operator.1, admin.1].join("\n");
    ([reader.0, operator.0, admin.0], tables)
}

const BAN: &str = r#"{"target":"192.0.2.7","duration":"1h"}"#;
const IMPORT: &str = r#"{"bans": [{"target": "192.0.2.9", "duration": "1h"}]}"#;
const TRY: &str =
    r#"{"log": "192.0.2.1 - - [20/Nov/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"-\"\n"}"#;
const LIFT: &str = r#"{"targets": ["192.0.2.7"], "dry_run": true}"#;
const LIST: &str = r#"{"id":"00000000-0000-0000-0000-000000000001","what":"ban","format":"plain","new":1,"longer":0,"unchanged":0,"left_out":0,"complete":true}"#;
const SIGNATURES: &str = r#"{"ids":["env-file"]}"#;
const PUBLISHED: &str = r#"{"files":[]}"#;
const ALLOW: &str = r#"{"network":"203.0.113.0/24","comment":"office"}"#;

#[test]
fn tokens_let_in_up_to_their_role_and_sign_what_is_done() {
    let ([reader, operator, admin], tables) = tokens();
    let lab = Lab::start(&tables);
    assert_eq!(lab.call("GET", "/healthz", None, "").status, 200);
    assert_eq!(lab.call("GET", "/readyz", None, "").status, 200);
    for (shown, challenge) in [
        (None, "Bearer realm=\"secbeat\""),
        (
            Some("secbeat_wrong"),
            "Bearer realm=\"secbeat\", error=\"invalid_token\"",
        ),
    ] {
        for path in ["/api/v1/bans", "/api/v1/events", "/api/v1/nowhere"] {
            let refused = lab.call("GET", path, shown, "");
            assert_problem(&refused, 401, "token");
            assert_eq!(refused.header("www-authenticate"), Some(challenge));
        }
    }
    assert_eq!(
        body(&lab.call("GET", "/api/v1/bans", Some(&reader), "")),
        json!({"bans": [], "next": null, "total": 0})
    );
    let refused = lab.call("POST", "/api/v1/bans", Some(&reader), BAN);
    assert_problem(
        &refused,
        403,
        "the token `read` has the role `read`; this takes `operate`",
    );
    let challenge = "Bearer realm=\"secbeat\", error=\"insufficient_scope\"";
    assert_eq!(refused.header("www-authenticate"), Some(challenge));

    let banned = lab.call("POST", "/api/v1/bans", Some(&operator), BAN);
    assert_eq!(
        (banned.status, &body(&banned)["issuer"]),
        (201, &json!("operate"))
    );
    let lifted = lab.call("DELETE", "/api/v1/bans/192.0.2.7/32", Some(&admin), "");
    assert_eq!(
        (lifted.status, body(&lifted)),
        (200, json!({"target": "192.0.2.7/32"}))
    );
    // The log has what NATS has acknowledged, and who did it.
    for (word, actor) in [("banned", "operate"), ("unbanned", "admin")] {
        let said = format!(" audit: {word} target=192.0.2.7/32 ");
        let by = format!("actor=\"{actor}\"");
        wait_until("the log tells who did it", START, || {
            let log = lab.orchestrator.log();
            log.lines().any(|line| line.contains(&said) && line.contains(&by))
        });
    }
    let absent = lab.call("DELETE", "/api/v1/bans/192.0.2.7", Some(&admin), "");
    assert_problem(&absent, 404, "192.0.2.7/32 is not banned");

    let file = lab.host.write("token", &format!("{operator}\n"));
    let file = file.to_str().unwrap();
    let ban = lab.cli(&["--token-file", file, "ban", "-i", "192.0.2.8", "-o", "json"]);
    let ban: Value = serde_json::from_slice(&ban.stdout).unwrap();
    assert_eq!(ban["target"], "192.0.2.8/32");
    let url = "http://127.0.0.1:3030";
    assert_refused(&lab.cli(&["--url", url, "bans"]), NOT_ALLOWED, &["--token-file"]);
    // On the socket root needs none, and one that is shown decides.
    assert_eq!(lab.cli(&["bans"]).status.code(), Some(0));
    let file = lab.host.write("reader", &reader);
    let refused = lab.cli(&["--token-file", file.to_str().unwrap(), "unban", "192.0.2.8"]);
    assert_refused(&refused, NOT_ALLOWED, &["has the role `read`"]);
}

#[test]
fn every_error_is_a_problem_in_both_daemons() {
    let lab = Lab::start("");
    assert_problem(
        &lab.call("GET", "/nowhere", None, ""),
        404,
        "there is no /nowhere",
    );
    let wrong_method = lab.order("PATCH", "/api/v1/bans", "{}");
    assert_problem(&wrong_method, 405, "does not take this method");
    assert_eq!(wrong_method.header("allow"), Some("GET,HEAD,POST"));
    for (sent, status, detail) in [
        ("{", 400, "parse"),
        ("{}", 422, "missing field `target`"),
        (
            r#"{"target":"192.0.2.7","duration":"1h","why":1}"#,
            422,
            "unknown field `why`",
        ),
        (r#"{"target":"x","duration":"1h"}"#, 400, "target: "),
        (
            r#"{"target":"192.0.2.7","duration":"soon"}"#,
            400,
            "duration: invalid duration `soon`",
        ),
        (
            r#"{"target":"127.0.0.1","duration":"1h"}"#,
            422,
            "127.0.0.1/32 is never banned",
        ),
    ] {
        assert_problem(&lab.order("POST", "/api/v1/bans", sent), status, detail);
    }
    assert_problem(&lab.order("POST", "/api/v1/bans", ""), 415, "application/json");
    let events = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: x\r\n\r\n";
    assert_problem(&lab.raw(3030, events), 400, "last-event-id: invalid event id `x`");

    let mut edge = lab.host.start_edge();
    edge.wait_for_log("running", START);
    let edge =
        |method: &str, path: &str| order(&lab.host.namespace, "secbeat-edge", method, path, "").unwrap();
    assert_problem(&edge("GET", "/nowhere"), 404, "there is no /nowhere");
    assert_problem(
        &edge("DELETE", "/api/v1/bans/192.0.2.7"),
        404,
        "192.0.2.7/32 is not banned",
    );
    assert_problem(&edge("PUT", "/api/v1/mode"), 415, "application/json");
}

#[test]
fn without_tokens_web_pages_and_other_names_for_this_host_are_refused() {
    let lab = Lab::start("");
    let mut edge = lab.host.start_edge();
    edge.wait_for_log("running", START);
    for port in [3030, 8080] {
        let get = |headers: &str| lab.raw(port, &format!("GET /api/v1/bans HTTP/1.1\r\n{headers}\r\n\r\n"));
        assert_eq!(get(&format!("Host: 127.0.0.1:{port}")).status, 200);
        assert_eq!(get("Host: localhost").status, 200);
        assert_problem(
            &get("Host: rebound.example"),
            421,
            "`rebound.example` is not this host",
        );
        assert_problem(
            &get("Host: localhost\r\nOrigin: https://evil.example"),
            403,
            "Origin",
        );
    }
}

#[test]
fn the_allowlist_is_changed_by_admins_alone_and_full_at_its_limit() {
    const PATH: &str = "/api/v1/allowlist";
    let ([reader, operator, admin], tables) = tokens();
    let lab = Lab::start(&tables);
    let add = |token, body: Value| lab.call("POST", PATH, Some(token), &body.to_string());
    let office = json!({"network": "192.0.2.0/24", "comment": "office", "until": "2100-01-01T00:00:00Z"});
    let refused = add(&operator, office.clone());
    assert_problem(&refused, 403, "this takes `admin`");
    let added = add(&admin, office);
    let entry = body(&added);
    assert_eq!(added.status, 201, "{entry}");
    assert_eq!(
        [
            &entry["network"],
            &entry["comment"],
            &entry["until"],
            &entry["added_by"]
        ],
        ["192.0.2.0/24", "office", "2100-01-01T00:00:00.000Z", "admin"]
    );
    let listed = body(&lab.call("GET", PATH, Some(&reader), ""));
    assert_eq!(listed[0]["added_at"], entry["added_at"], "{listed}");

    for (wrong, detail) in [
        (
            json!({"network": "::/0", "comment": ""}),
            "network: ::/0 covers all addresses",
        ),
        (
            json!({"network": "192.0.2.1", "comment": "", "duration": "soon"}),
            "duration: invalid duration `soon`",
        ),
        (
            json!({"network": "192.0.2.1", "comment": "", "until": "2020-01-01T00:00:00Z"}),
            "until: ",
        ),
    ] {
        assert_problem(&add(&admin, wrong), 400, detail);
    }
    for n in 1..MAX_ALLOWED {
        let network = format!("198.18.{}.{}", n / 256, n % 256);
        let added = add(&admin, json!({"network": network, "comment": ""}));
        assert_eq!(added.status, 201, "entry {n}: {}", body(&added));
    }
    let another = add(&admin, json!({"network": "203.0.113.1", "comment": ""}));
    assert_problem(&another, 409, "the allowlist is full: it has 1024 entries");
    let again = add(
        &admin,
        json!({"network": "192.0.2.0/24", "comment": "branch office"}),
    );
    assert_eq!((again.status, &body(&again)["until"]), (201, &Value::Null));

    let path = format!("{PATH}/192.0.2.0/24");
    let removed = lab.call("DELETE", &path, Some(&admin), "");
    assert_eq!(
        (removed.status, body(&removed)),
        (200, json!({"network": "192.0.2.0/24"}))
    );
    let absent = lab.call("DELETE", &path, Some(&admin), "");
    assert_problem(&absent, 404, "192.0.2.0/24 is not on the allowlist");
    let audit = "/api/v1/audit?target=192.0.2.0/24&actor=admin";
    wait_until("the audit has it all", START, || {
        let records = body(&lab.call("GET", audit, Some(&reader), ""));
        let records = records.as_array().unwrap().iter();
        records
            .map(|record| &record["kind"])
            .eq(["disallow", "allow", "allow"])
    });
    for limit in [0, 10_001] {
        let refused = lab.call("GET", &format!("/api/v1/audit?limit={limit}"), Some(&reader), "");
        assert_problem(&refused, 400, &format!("limit: {limit} is not in 1..=10000"));
    }
}

#[test]
fn events_tell_of_bans_and_go_on_where_a_client_was() {
    let mut lab = Lab::start("");
    let mut stream = lab.events(None);
    assert_eq!(lab.order("POST", "/api/v1/bans", BAN).status, 201);
    let (name, ban) = stream.next();
    assert_eq!(
        (
            name.as_str(),
            &ban["kind"],
            &ban["target"],
            &ban["actor"],
            &ban["reason"]
        ),
        (
            "ban",
            &json!("ban"),
            &json!("192.0.2.7/32"),
            &json!("root"),
            &json!("manual")
        )
    );
    assert_eq!(lab.order("DELETE", "/api/v1/bans/192.0.2.7", "").status, 200);
    let (name, unban) = stream.next();
    assert_eq!(
        (name.as_str(), &unban["target"]),
        ("unban", &json!("192.0.2.7/32"))
    );
    let (_, again) = lab.events(ban["id"].as_str()).next();
    assert_eq!(again, unban);
    let entry = r#"{"network":"192.0.2.0/24","comment":"office"}"#;
    assert_eq!(lab.order("POST", "/api/v1/allowlist", entry).status, 201);
    let (name, allow) = stream.next();
    assert_eq!(
        (
            name.as_str(),
            &allow["target"],
            &allow["comment"],
            &allow["actor"]
        ),
        ("allow", &json!("192.0.2.0/24"), &json!("office"), &json!("root"))
    );
    assert_eq!(
        lab.order("DELETE", "/api/v1/allowlist/192.0.2.0/24", "").status,
        200
    );
    assert_eq!(stream.next().0, "disallow");

    let config = lab.host.file("orchestrator.toml");
    let mut watch = lab.host.namespace.command(paths::daemon("secbeat-orchestrator"));
    watch.args(["watch", "-o", "json", "--config"]).arg(config);
    let mut watch = Daemon::spawn("secbeat-orchestrator watch", &mut watch);
    wait_until("watch tells of a ban", START, || {
        assert_eq!(lab.order("POST", "/api/v1/bans", BAN).status, 201);
        watch.log().contains("\"kind\":\"ban\"")
    });
    lab.restart();
    watch.wait_for_log("\"kind\":\"lagged\"", START);
    assert_eq!(lab.order("DELETE", "/api/v1/bans/192.0.2.7", "").status, 200);
    watch.wait_for_log("\"kind\":\"unban\"", START);

    let (name, lagged) = lab.events(unban["id"].as_str()).next();
    assert_eq!((name.as_str(), lagged), ("lagged", json!({"missed": null})));
    assert!(lab.orchestrator.terminate(START).success());
    assert!(lab.nats.address().port() > 0);
}

#[test]
fn beyond_loopback_tokens_and_tls_are_asked_for() {
    let host = Host::new();
    let (_, table) = token(&host, "ops", "admin");
    let api = "[api]\nlisten = \"0.0.0.0:3030\"\n";
    for (config, part) in [
        (api.to_owned(), "without an [[api.token]]"),
        (format!("{api}insecure = true\n"), "without an [[api.token]]"),
        (format!("{api}{table}"), "in plain text: set [api.tls]"),
        (
            format!("{table}{table}"),
            "orchestrator.toml:6: api.token[1].name: two tokens are named `ops`",
        ),
        (
            table.replace("sha256:", "md5:"),
            "orchestrator.toml:4: api.token[0].hash: invalid hash: expected `sha256:`",
        ),
    ] {
        let path = host.write("orchestrator.toml", &config);
        for command in ["check", "run"] {
            let output = host.run(
                "secbeat-orchestrator",
                &[command, "--config", path.to_str().unwrap()],
            );
            assert_refused(&output, 64, &[part]);
        }
    }
    let path = host.write("orchestrator.toml", &format!("{api}insecure = true\n{table}"));
    let checked = host.run(
        "secbeat-orchestrator",
        &["check", "--config", path.to_str().unwrap()],
    );
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(
        said.contains("the API listens on 0.0.0.0:3030 for one token"),
        "{said}"
    );
    host.reconfigure("edge_id", "api_listen = \"0.0.0.0:8080\"\nedge_id");
    let loopback_alone = ["edge.toml:1: api_listen: ", "loopback alone"];
    assert_refused(&host.edge(&["check"]), 64, &loopback_alone);
}

#[test]
fn the_api_speaks_tls_to_whoever_trusts_its_certificate() {
    let files = Host::new();
    let (secret, table) = token(&files, "remote", "operate");
    let [ours, other] = ["ours", "other"].map(|name| {
        let key = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = files.write(&format!("{name}.crt"), &key.cert.pem());
        let key = files.write(&format!("{name}.key"), &key.signing_key.serialize_pem());
        (
            certificate.to_str().unwrap().to_owned(),
            key.to_str().unwrap().to_owned(),
        )
    });
    let secret = files.write("token", &secret);
    let mut lab = Lab::start(&format!(
        "[api]\nlisten = \"0.0.0.0:3030\"\n[api.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n{table}",
        ours.0, ours.1
    ));
    // As from another host: without the config.
    let remote = |ca: &str, arguments: &[&str]| {
        let frame = [
            "--url",
            "https://127.0.0.1:3030",
            "--ca-file",
            ca,
            "--token-file",
            secret.to_str().unwrap(),
        ];
        lab.host
            .run("secbeat-orchestrator", &[&frame, arguments].concat())
    };
    let banned = remote(&ours.0, &["ban", "192.0.2.0/24", "-d", "7d"]);
    assert_eq!(
        String::from_utf8_lossy(&banned.stdout),
        "banned 192.0.2.0/24 for 7d on every edge\n"
    );
    let distrusted = remote(&other.0, &["bans"]);
    assert_eq!(distrusted.status.code(), Some(1), "{distrusted:?}");
    assert!(String::from_utf8_lossy(&distrusted.stderr).contains("certificate"));
    let plain = lab.send(3030, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(
        read_response(&mut { plain }, "GET").is_err(),
        "HTTP in plain text was answered"
    );

    // The certificate is renewed, in two steps. A pair that does not go together changes nothing.
    fs::copy(&other.0, &ours.0).unwrap();
    lab.orchestrator
        .wait_for_log("the certificates have changed and cannot be used", START);
    let still = remote(&other.0, &["bans"]);
    assert_eq!(still.status.code(), Some(1), "{still:?}");
    fs::copy(&other.1, &ours.1).unwrap();
    wait_until("the new certificate is shown", START, || {
        remote(&other.0, &["bans"]).status.success()
    });
}

/// The document's schema of an answer, which may refer to others in it.
fn schema(document: &Value, operation: &Value, status: u16) -> Option<(String, Value)> {
    let content = operation["responses"][status.to_string()]["content"].as_object()?;
    let (kind, content) = content.iter().next()?;
    let mut schema = content["schema"].clone();
    schema["components"] = document["components"].clone();
    Some((kind.clone(), schema))
}

#[test]
fn every_operation_answers_with_what_the_document_says() {
    let lab = Lab::start("[[feed]]\nname = \"drop\"\nfile = \"drop.txt\"\n");
    let document = body(&lab.call("GET", "/api/v1/openapi.json", None, ""));
    wait_until("the orchestrator has looked around", START, || {
        lab.order("GET", "/api/v1/overview", "").status == 200
    });
    let mut answered = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        // In this order: what is posted is there to be read, and then to be deleted.
        for method in ["post", "put", "get", "delete"] {
            let operation = &item[method];
            // Streams have no end, and sessions are a browser's.
            let is_apart = matches!(
                path.as_str(),
                "/api/v1/events" | "/api/v1/stream" | "/api/v1/session" | "/api/v1/sessions/{id}"
            );
            if operation.is_null() || is_apart {
                continue;
            }
            let sent = match (method, path.as_str()) {
                ("post", "/api/v1/bans/import") => IMPORT,
                ("post", "/api/v1/bans/lift") => LIFT,
                ("post", "/api/v1/rules/try") => TRY,
                ("post", "/api/v1/allowlist") => ALLOW,
                ("post", "/api/v1/lists") => LIST,
                ("post", "/api/v1/feeds/{name}/update") => "{}",
                ("post", "/api/v1/feeds/{name}/test" | "/api/v1/session/links") => "",
                ("post", "/api/v1/signatures/disable" | "/api/v1/signatures/enable") => SIGNATURES,
                ("put", "/api/v1/signatures/published") => PUBLISHED,
                ("post", _) => BAN,
                _ => "",
            };
            let target = path
                .replace("{target}", "192.0.2.7/32")
                .replace("{network}", "203.0.113.0/24")
                .replace("{address}", "192.0.2.7")
                .replace("{name}", "drop");
            let answer = lab.order(&method.to_uppercase(), &target, sent);
            let what = format!("{method} {path}");
            let described = schema(&document, operation, answer.status);
            let (kind, schema) = described.unwrap_or_else(|| panic!("{what} answered {}", answer.status));
            assert_eq!(
                answer.header("content-type").unwrap().split(';').next(),
                Some(&*kind)
            );
            if kind == "application/json" {
                let wrong = jsonschema::validate(&schema, &body(&answer)).map_err(|error| error.to_string());
                assert_eq!(wrong, Ok(()), "{what}");
            }
            answered += 1;
        }
    }
    assert_eq!(
        answered, 36,
        "an operation more or less: does this test know how to call it?"
    );
    let problem = json!({"$ref": "#/components/schemas/Problem", "components": document["components"]});
    let absent = lab.order("DELETE", "/api/v1/bans/192.0.2.7", "");
    assert!(jsonschema::is_valid(&problem, &body(&absent)));
    assert!(!jsonschema::is_valid(&problem, &json!({})));
}

#[test]
fn tokens_change_with_a_sighup_and_what_else_changed_is_named() {
    let host = Host::new();
    let (old, old_table) = token(&host, "old", "operate");
    let (new, new_table) = token(&host, "new", "operate");
    let mut lab = Lab::start(&old_table);
    let ban = |lab: &Lab, token: &str| lab.call("POST", "/api/v1/bans", Some(token), BAN).status;
    assert_eq!(ban(&lab, &old), 201);
    let config = |more: &str| format!("[nats]\nurl = \"{}\"\n{more}", lab.nats.url());
    let changed = config(&format!("{new_table}\n[ban]\nduration = \"1h\"\n"));
    let broken = config("[ban]\nduration = 5\n");
    lab.host.write("orchestrator.toml", &changed);
    lab.orchestrator.signal(libc::SIGHUP);
    lab.orchestrator
        .wait_for_log("the config has changed in [ban]: that takes a restart", START);
    assert_eq!((ban(&lab, &new), ban(&lab, &old)), (201, 401));
    lab.host.write("orchestrator.toml", &broken);
    lab.orchestrator.signal(libc::SIGHUP);
    lab.orchestrator
        .wait_for_log("the config cannot be used, and nothing changes", START);
    assert_eq!(ban(&lab, &new), 201);
    // What was refused stays known until a config is taken over.
    let stats = |lab: &Lab| body(&lab.call("GET", "/api/v1/stats", Some(&*new), ""));
    let why = stats(&lab)["refused_config"]["why"].to_string();
    assert!(why.contains("ban.duration"), "{why}");
    let metrics = lab.call("GET", "/metrics", Some(&*new), "");
    let metrics = String::from_utf8(metrics.body).unwrap();
    assert!(
        metrics.contains("\nsecbeat_orchestrator_config_refused 1\n"),
        "{metrics}"
    );
    lab.host.write("orchestrator.toml", &changed);
    lab.orchestrator.signal(libc::SIGHUP);
    wait_until("the config is taken over", START, || {
        stats(&lab)["refused_config"].is_null()
    });
}

#[test]
fn whoever_guesses_tokens_is_counted_slowed_and_told_of() {
    let host = Host::new();
    let (right, table) = token(&host, "one", "read");
    let mut lab = Lab::start(&table);
    let began = Instant::now();
    for guess in ["a", "b"] {
        let answer = lab.call("GET", "/api/v1/bans", Some(guess), "");
        assert_eq!(answer.status, 401);
    }
    assert!(began.elapsed() >= Duration::from_secs(2), "one a second");

    let began = Instant::now();
    let mut guesses: Vec<_> = (0..12)
        .map(|n| {
            let head = format!(
                "GET /api/v1/bans HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer guess-{n}\r\n\r\n"
            );
            lab.send(3030, &head)
        })
        .collect();
    assert_eq!(lab.call("GET", "/api/v1/bans", Some(&right), "").status, 200);
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "a right token does not wait"
    );
    let answers = guesses
        .iter_mut()
        .map(|guess| read_response(guess, "GET").unwrap().status);
    let (slowed, refused): (Vec<_>, Vec<_>) = answers.partition(|status| *status == 401);
    assert!(!refused.is_empty() && refused.iter().all(|status| *status == 429));
    let least = Duration::from_secs(slowed.len() as u64);
    assert!(began.elapsed() >= least, "{slowed:?} in {:?}", began.elapsed());
    lab.orchestrator
        .wait_for_log("a request shows a token that the API does not know", START);
    assert!(lab.orchestrator.log().contains("from=\"127.0.0.1\""));
    let stats = lab.order("GET", "/api/v1/stats", "");
    assert_eq!(body(&stats)["wrong_tokens"], 14);
}

#[test]
fn completions_and_manual_pages_are_written() {
    let host = Host::new();
    for (daemon, page) in [
        ("secbeat-edge", "secbeat-edge-unban.1"),
        ("secbeat-orchestrator", "secbeat-orchestrator-token-create.1"),
    ] {
        for shell in ["bash", "zsh", "fish"] {
            let output = host.run(daemon, &["completions", shell]);
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(
                output.status.success() && text.contains("unban"),
                "{shell}: {text}"
            );
        }
        let shown = host.run(daemon, &["man"]);
        let shown = String::from_utf8_lossy(&shown.stdout);
        for part in [&*format!(".TH {daemon} 1"), ".SH \"EXIT STATUS\""] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let folder = host.file(daemon);
        assert!(
            host.run(daemon, &["man", folder.to_str().unwrap()])
                .status
                .success()
        );
        let text = fs::read_to_string(folder.join(page)).unwrap();
        assert!(text.contains(".SH OPTIONS"), "{text}");
    }
}
