//! The web page's side of the API: who signs in, what other pages cannot do, what is told as it happens, and reports.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpStream,
    time::{Duration, Instant},
};

use secbeat_tests::{
    lab::{client::Response, host::Host, wait::wait_until},
    soak::Usage,
};
use serde_json::{Value, json};

use super::api::{Lab, assert_problem, body, token};

const START: Duration = Duration::from_secs(20);
const HERE: &str = "Host: 127.0.0.1:3030\r\nOrigin: http://127.0.0.1:3030\r\n";
const BAN: &str = r#"{"target":"192.0.2.7","duration":"1h"}"#;

/// A browser's request.
fn ask(lab: &Lab, method: &str, path: &str, head: &str, sent: &str) -> Response {
    let length = sent.len();
    let kind = if sent.is_empty() {
        ""
    } else {
        "Content-Type: application/json\r\n"
    };
    lab.raw(
        3030,
        &format!("{method} {path} HTTP/1.1\r\n{head}{kind}Content-Length: {length}\r\nConnection: close\r\n\r\n{sent}"),
    )
}

/// Signs in; returns the header that shows the session.
fn sign_in(lab: &Lab, how: &Value) -> String {
    let answer = ask(lab, "POST", "/api/v1/session", HERE, &how.to_string());
    assert_eq!(answer.status, 204, "{}", String::from_utf8_lossy(&answer.body));
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(
        !cookie.contains("Secure"),
        "it would not be sent in plain HTTP: {cookie}"
    );
    let (pair, _) = cookie.split_once(';').unwrap();
    format!("{HERE}Cookie: {pair}\r\n")
}

/// The code of a link that the command prints.
fn link(lab: &Lab) -> String {
    let shown = lab.cli(&["dashboard"]);
    assert!(shown.status.success(), "{shown:?}");
    let url = String::from_utf8(shown.stdout).unwrap();
    let code = url.trim().strip_prefix("http://127.0.0.1:3030/#link=");
    code.unwrap_or_else(|| panic!("{url}")).to_owned()
}

#[test]
fn a_link_signs_in_once_and_what_other_pages_send_is_refused() {
    let lab = Lab::start("");
    let page = ask(
        &lab,
        "GET",
        "/",
        "Host: 127.0.0.1:3030\r\nAccept: text/html\r\n",
        "",
    );
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    let rebound = ask(
        &lab,
        "GET",
        "/",
        "Host: rebound.example\r\nAccept: text/html\r\n",
        "",
    );
    assert_problem(&rebound, 421, "not the host");
    // A browser that nobody has signed in with reads nothing, although no token is configured.
    let stranger = ask(
        &lab,
        "GET",
        "/api/v1/bans",
        &format!("{HERE}Sec-Fetch-Site: same-origin\r\n"),
        "",
    );
    assert_problem(&stranger, 401, "this browser has no session");

    let code = link(&lab);
    let with_link = json!({ "link": code }).to_string();
    for (head, status) in [
        ("Host: 127.0.0.1:3030\r\nOrigin: http://evil.example\r\n", 403),
        ("Host: 127.0.0.1:3030\r\n", 403),
        ("Host: rebound.example\r\nOrigin: http://rebound.example\r\n", 421),
    ] {
        let refused = ask(&lab, "POST", "/api/v1/session", head, &with_link);
        assert_eq!(refused.status, status, "{head}");
    }
    let asked = ask(&lab, "GET", "/api/v1/session", HERE, "");
    assert_eq!(
        (asked.status, asked.body.len()),
        (204, 0),
        "nobody is signed in yet"
    );
    let session = sign_in(&lab, &json!({ "link": code }));
    let again = ask(&lab, "POST", "/api/v1/session", HERE, &with_link);
    assert_problem(&again, 401, "was used before");
    let who = body(&ask(&lab, "GET", "/api/v1/session", &session, ""));
    assert_eq!(
        (&who["name"], &who["role"], &who["by_link"]),
        (&json!("root"), &json!("admin"), &json!(true))
    );

    for (path, sent) in [
        ("/api/v1/bans", r#"{"target":"198.51.100.7/24","duration":"1h"}"#),
        (
            "/api/v1/allowlist",
            r#"{"network":"198.51.100.7/24","comment":"office"}"#,
        ),
    ] {
        let guessed = ask(&lab, "POST", path, &session, sent);
        assert_problem(
            &guessed,
            400,
            "may mean the network 198.51.100.0/24 or 198.51.100.7 alone",
        );
        assert_eq!(body(&guessed)["code"], "ambiguous", "{path}");
    }
    let network = r#"{"target":"198.51.100.7/24","duration":"1h","network":true}"#;
    let banned = body(&ask(&lab, "POST", "/api/v1/bans", &session, network));
    assert_eq!(banned["target"], "198.51.100.0/24");
    let banned = ask(&lab, "POST", "/api/v1/bans", &session, BAN);
    assert_eq!((banned.status, &body(&banned)["issuer"]), (201, &json!("root")));
    let without_origin = session.replace("Origin: http://127.0.0.1:3030\r\n", "");
    assert_problem(
        &ask(&lab, "POST", "/api/v1/bans", &without_origin, BAN),
        403,
        "Origin",
    );
    let elsewhere = session.replace("Origin: http://127.0.0.1:3030", "Origin: http://127.0.0.1:8080");
    assert_problem(
        &ask(&lab, "DELETE", "/api/v1/bans/192.0.2.7", &elsewhere, ""),
        403,
        "other web pages",
    );
    let cross = format!("{session}Sec-Fetch-Site: cross-site\r\n");
    assert_problem(
        &ask(&lab, "GET", "/api/v1/bans", &cross, ""),
        403,
        "other web pages",
    );
    let form = format!("{session}Content-Type: text/plain\r\n");
    let form = lab.raw(
        3030,
        &format!("POST /api/v1/bans HTTP/1.1\r\n{form}Content-Length: 2\r\n\r\n{{}}"),
    );
    assert_problem(&form, 415, "application/json");
    let link = ask(&lab, "POST", "/api/v1/session/links", &session, "{}");
    assert_problem(&link, 403, "a session cannot make one");

    let sessions = body(&ask(&lab, "GET", "/api/v1/sessions", &session, ""));
    assert_eq!(
        (&sessions[0]["id"], &sessions[0]["is_current"]),
        (&who["id"], &json!(true))
    );
    let id = who["id"].as_str().unwrap();
    let ended = lab.order("DELETE", &format!("/api/v1/sessions/{id}"), "");
    assert_eq!((ended.status, &body(&ended)["id"]), (200, &who["id"]));
    assert_problem(
        &ask(&lab, "GET", "/api/v1/bans", &session, ""),
        401,
        "this browser has no session, or it has ended",
    );
    let absent = lab.order("DELETE", &format!("/api/v1/sessions/{id}"), "");
    assert_problem(&absent, 404, "there is no session");
}

#[test]
fn a_session_may_what_its_token_may_and_ends_with_it() {
    let host = Host::new();
    let (reader, reader_table) = token(&host, "reader", "read");
    let (operator, operator_table) = token(&host, "operator", "operate");
    let mut lab = Lab::start(&format!("{reader_table}\n{operator_table}"));
    let wrong = json!({ "token": "secbeat_wrong" }).to_string();
    assert_problem(
        &ask(&lab, "POST", "/api/v1/session", HERE, &wrong),
        401,
        "does not know this token",
    );
    let read_token = reader.clone();
    let bearer = format!("Host: 127.0.0.1:3030\r\nAuthorization: Bearer {operator}\r\n");
    let [reader, operator] = [reader, operator].map(|token| sign_in(&lab, &json!({ "token": token })));
    assert_eq!(ask(&lab, "POST", "/api/v1/bans", &operator, BAN).status, 201);
    let lift = r#"{"targets":["192.0.2.7"]}"#;
    for (method, path, sent) in [
        ("POST", "/api/v1/bans/lift", lift),
        ("DELETE", "/api/v1/bans/192.0.2.7", ""),
    ] {
        let refused = ask(&lab, method, path, &reader, sent);
        assert_problem(&refused, 403, "has the role `read`; this takes `operate`");
    }
    let refused = ask(&lab, "GET", "/api/v1/sessions", &operator, "");
    assert_problem(&refused, 403, "this takes `admin`");
    let lifted = body(&ask(&lab, "POST", "/api/v1/bans/lift", &operator, lift));
    assert_eq!(
        (&lifted["lifted"], &lifted["matched"]),
        (&json!(1), &json!(1)),
        "{lifted}"
    );
    assert_eq!(ask(&lab, "GET", "/api/v1/bans", &reader, "").status, 200);

    let open = |(path, head): (&str, &String)| Stream::open(&lab, path, head);
    let mut streams = [
        ("/api/v1/events", &operator),
        ("/api/v1/events", &bearer),
        ("/api/v1/stream", &operator),
        ("/api/v1/stream", &bearer),
    ]
    .map(open);
    let mut others = Stream::open(&lab, "/api/v1/events", &reader);
    let config = std::fs::read_to_string(lab.host.file("orchestrator.toml")).unwrap();
    lab.host
        .write("orchestrator.toml", &config.replace(&operator_table, ""));
    lab.orchestrator.signal(libc::SIGHUP);
    wait_until("the operator's session has ended", START, || {
        ask(&lab, "GET", "/api/v1/session", &operator, "").status == 401
    });
    streams.iter_mut().for_each(Stream::ends);
    assert_eq!(lab.order("POST", "/api/v1/bans", BAN).status, 201);
    assert_eq!(others.next("ban").1["target"], "192.0.2.7/32");
    // A browser that signs in again has one session.
    let again = ask(
        &lab,
        "POST",
        "/api/v1/session",
        &reader,
        &json!({ "token": read_token }).to_string(),
    );
    assert_eq!(again.status, 204);
    assert_eq!(ask(&lab, "GET", "/api/v1/session", &reader, "").status, 401);
    let reader = sign_in(&lab, &json!({ "token": read_token }));
    let mut events = Stream::open(&lab, "/api/v1/events", &reader);
    assert_eq!(ask(&lab, "DELETE", "/api/v1/session", &reader, "").status, 204);
    events.ends();
    assert_eq!(ask(&lab, "GET", "/api/v1/session", &reader, "").status, 401);
}

/// An open stream of events.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(lab: &Lab, path: &str, head: &str) -> Self {
        let mut stream = lab.send(3030, &format!("GET {path} HTTP/1.1\r\n{head}\r\n"));
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut answer).unwrap(), 0, "{answer}");
        }
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        Self(stream)
    }

    /// Reads it to its end, which is to come soon.
    fn ends(&mut self) {
        let began = Instant::now();
        loop {
            let mut line = String::new();
            // The last chunk is empty.
            if self.0.read_line(&mut line).unwrap() == 0 || line == "0\r\n" {
                return;
            }
            assert!(began.elapsed() < START, "the stream goes on: {line}");
        }
    }

    /// The next event called `name`: its id and its data.
    fn next(&mut self, name: &str) -> (String, Value) {
        let (mut id, mut event) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            assert_ne!(
                self.0.read_line(&mut line).unwrap(),
                0,
                "the stream ended before `{name}`"
            );
            if let Some(text) = line.strip_prefix("id: ") {
                text.trim().clone_into(&mut id);
            } else if let Some(text) = line.strip_prefix("event: ") {
                text.trim().clone_into(&mut event);
            } else if let Some(data) = line.strip_prefix("data: ").filter(|_| event == name) {
                return (id, serde_json::from_str(data).unwrap());
            }
        }
    }
}

#[test]
fn the_stream_tells_what_is_so_and_catches_up() {
    let lab = Lab::start("");
    let session = sign_in(&lab, &json!({ "link": link(&lab) }));
    let mut stream = Stream::open(&lab, "/api/v1/stream", &session);
    let (_, overview) = stream.next("overview");
    assert_eq!(overview["series"]["requests"].as_array().unwrap().len(), 150);
    let ban = |target: &str| {
        let order = json!({ "target": target, "duration": "1h", "note": "<b>&" });
        assert_eq!(lab.order("POST", "/api/v1/bans", &order.to_string()).status, 201);
    };
    ban("192.0.2.1");
    let (id, told) = stream.next("ban");
    assert_eq!(
        (&told["target"], &told["note"]),
        (&json!("192.0.2.1/32"), &json!("<b>&"))
    );
    wait_until("the screen shows the ban", START, || {
        stream.next("overview").1["latest"][0]["target"] == "192.0.2.1/32"
    });
    drop(stream);
    ban("192.0.2.2");
    let resume = |id: &str| {
        Stream::open(
            &lab,
            "/api/v1/stream",
            &format!("{session}Last-Event-ID: {id}\r\n"),
        )
    };
    let mut stream = resume(&id);
    assert_eq!(stream.next("ban").1["target"], "192.0.2.2/32");
    let mut stream = resume("1-7");
    assert_eq!(stream.next("reset").1, json!({ "missed": null }));

    // Nobody reads on whose session has ended.
    assert_eq!(ask(&lab, "DELETE", "/api/v1/session", &session, "").status, 204);
    stream.ends();
}

/// What pages ask for, beside the stream.
const ASKED: [&str; 7] = [
    "/api/v1/session",
    "/api/v1/bans?limit=100&sort=-issued",
    "/api/v1/edges",
    "/api/v1/stats",
    "/api/v1/propagation",
    "/api/v1/audit?since=24h&limit=200",
    "/api/v1/reports?period=day",
];

#[test]
fn ten_open_dashboards_take_ten_megabytes_at_most() {
    const DASHBOARDS: usize = 10;
    const MOST: f64 = 10_000_000.0;
    let lab = Lab::start("");
    let targets = (0..2000).map(|n| format!("198.18.{}.{}", n / 250, n % 250));
    let bans: Vec<_> = targets
        .map(|target| json!({ "target": target, "duration": "1h" }))
        .collect();
    let imported = lab.order(
        "POST",
        "/api/v1/bans/import",
        &json!({ "bans": bans }).to_string(),
    );
    assert_eq!(body(&imported)["banned"], 2000);
    let resident = || Usage::of(lab.orchestrator.pid(), 0.0).unwrap().resident;
    let before = resident();
    let open = |_| {
        let session = sign_in(&lab, &json!({ "link": link(&lab) }));
        for path in ASKED {
            assert_eq!(ask(&lab, "GET", path, &session, "").status, 200, "{path}");
        }
        Stream::open(&lab, "/api/v1/stream", &session)
    };
    let mut streams: Vec<_> = (0..DASHBOARDS).map(open).collect();
    for n in 1..=3 {
        let order = json!({ "target": format!("192.0.2.{n}"), "duration": "1h" });
        assert_eq!(lab.order("POST", "/api/v1/bans", &order.to_string()).status, 201);
        for stream in &mut streams {
            while stream.next("overview").1["active_bans"] != 2000 + n {}
        }
    }
    let grown = resident() - before;
    println!("{DASHBOARDS} dashboards take {:.1} MB", grown / 1e6);
    assert!(
        grown <= MOST,
        "{DASHBOARDS} dashboards take {:.1} MB",
        grown / 1e6
    );
}

#[test]
fn bans_are_found_lifted_and_written_by_what_they_have_in_common_and_reports_count_them() {
    let lab = Lab::start("");
    let ban = |target: &str, note: &str| {
        let order = json!({ "target": target, "duration": "1h", "note": note });
        assert_eq!(lab.order("POST", "/api/v1/bans", &order.to_string()).status, 201);
    };
    for n in 1..=5 {
        ban(
            &format!("192.0.2.{n}"),
            if n % 2 == 0 { "Scanner" } else { "other" },
        );
    }
    let get = |path: &str| lab.order("GET", path, "");
    let found = |query: &str| body(&get(&format!("/api/v1/bans?{query}")))["total"].clone();
    for (query, expected) in [
        ("text=scanner", 2),
        ("text=192.0.2.3", 1),
        ("newer_than=1h", 5),
        ("older_than=1h", 0),
        ("label=site%3Dberlin", 0),
    ] {
        assert_eq!(found(query), expected, "{query}");
    }
    assert_problem(&get("/api/v1/bans?label=berlin"), 400, "label: ");
    assert_problem(&get("/api/v1/bans?edge=wbe-1"), 400, "no edge `wbe-1`");
    let csv = get("/api/v1/bans/export?format=csv&text=scanner");
    let text = String::from_utf8(csv.body.clone()).unwrap();
    assert_eq!(
        (csv.header("content-type"), text.lines().count()),
        (Some("text/csv; charset=utf-8"), 3),
        "{text}"
    );
    assert_eq!(body(&get("/api/v1/bans/export")).as_array().unwrap().len(), 5);

    let lift = |request: &str| lab.order("POST", "/api/v1/bans/lift", request);
    for everything in [
        "{}",
        r#"{"filter": {"text": ""}}"#,
        r#"{"filter": {}, "targets": []}"#,
    ] {
        assert_problem(&lift(everything), 400, "say `all`");
    }
    let both = lift(r#"{"filter": {"text": "scanner"}, "targets": ["192.0.2.1"]}"#);
    assert_problem(&both, 400, "targets: say either");
    let named = r#"{"targets": ["192.0.2.1", "192.0.2.1/32", "192.0.2.99"], "dry_run": true}"#;
    let named = body(&lift(named));
    assert_eq!(
        (&named["matched"], &named["lifted"], &named["left"]),
        (&json!(1), &json!(1), &json!(0)),
        "{named}"
    );
    let preview = body(&lift(r#"{"filter": {"text": "scanner"}, "dry_run": true}"#));
    assert_eq!(
        (&preview["matched"], preview["bans"].as_array().unwrap().len()),
        (&json!(2), 2)
    );
    assert_eq!(found("text=scanner"), 2, "a preview lifts nothing");
    let mistyped = lift(r#"{"filter": {"edge": "wbe-1"}}"#);
    assert_problem(&mistyped, 400, "no edge `wbe-1`");
    assert_eq!(body(&mistyped)["code"], "unknown_edge");
    let outrun = lift(r#"{"filter": {"text": "scanner"}, "expected": 1}"#);
    assert_problem(&outrun, 409, "2 bans match now, and the preview showed 1");
    assert_eq!((&body(&outrun)["code"], found("")), (&json!("changed"), json!(5)));
    // As many, and others.
    let too_long = "x".repeat(1025);
    let noted = |note: &str| lab.order("DELETE", &format!("/api/v1/bans/192.0.2.2?note={note}"), "");
    assert_problem(&noted(&too_long), 400, "note: its note has 1025 bytes");
    assert_problem(
        &lift(&json!({ "all": true, "note": too_long }).to_string()),
        400,
        "note: its note has 1025 bytes",
    );
    assert_eq!(found(""), 5);
    assert_eq!(noted("a%20mistake").status, 200);
    ban("192.0.2.6", "Scanner");
    let as_shown = |preview: &Value| {
        let filter = json!({ "text": "scanner" });
        let request = json!({ "filter": filter, "expected": 2, "digest": preview["digest"], "note": "<b>ours</b>\u{1b}" });
        lift(&request.to_string())
    };
    assert_problem(&as_shown(&preview), 409, "are not those that the preview showed");
    assert_eq!(found(""), 5);
    let preview = body(&lift(r#"{"filter": {"text": "scanner"}, "dry_run": true}"#));
    let lifted = body(&as_shown(&preview));
    assert_eq!((&lifted["lifted"], &lifted["failed"]), (&json!(2), &json!([])));
    assert_eq!(found(""), 3);
    let notes = |kind: &str| {
        let audit = body(&get(&format!("/api/v1/audit?kind={kind}")));
        let notes = audit.as_array().unwrap().iter();
        notes.map(|record| record["note"].clone()).collect::<Vec<_>>()
    };
    let said = json!("<b>ours</b>\u{1b}");
    assert_eq!(notes("unban"), [said.clone(), said.clone(), json!("a mistake")]);
    assert_eq!(notes("list")[0], said);
    let shown = lab.cli(&["audit", "--kind", "list"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("<b>ours</b>") && !shown.contains('\u{1b}'),
        "{shown}"
    );
    // Nobody lifts what the allowlist exempts.
    let allow = r#"{"network": "192.0.2.0/24", "comment": "office"}"#;
    assert_eq!(lab.order("POST", "/api/v1/allowlist", allow).status, 201);

    let audited = |kind: &str| {
        let audit = body(&get(&format!("/api/v1/audit?kind={kind}&limit=1000")));
        audit.as_array().unwrap().len()
    };
    let report = body(&get("/api/v1/reports?period=day"));
    assert_eq!(
        (&report["manual"], &report["lifted"], &report["bans"]),
        (&json!(audited("ban")), &json!(audited("unban")), &json!(0)),
        "{report}"
    );
    assert_eq!(report["series"].as_array().unwrap().len(), 25);
    let again = body(&get("/api/v1/reports?period=30d"));
    assert_eq!(
        (&again["manual"], &again["step"]),
        (&json!(6), &json!("day")),
        "nothing counts twice"
    );
    let csv = get("/api/v1/reports?period=week&format=csv");
    let csv = String::from_utf8(csv.body).unwrap();
    assert!(
        csv.contains("total,manual,,6\n") && csv.contains("total,lifted,,3\n"),
        "{csv}"
    );
    assert_problem(&get("/api/v1/reports?period=soon"), 400, "period: ");
    let said = lab.cli(&["report", "--period", "7d"]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(
        said.contains("bans        0 by rules (0 of repeat offenders), 6 by people"),
        "{said}"
    );
}

#[test]
fn a_list_is_judged_line_by_line_also_where_some_are_no_bans() {
    let lab = Lab::start("");
    let import = |request: Value| lab.order("POST", "/api/v1/bans/import", &request.to_string());
    let list = json!([
        { "target": "192.0.2.9", "duration": "1h" },
        { "target": "nonsense", "duration": "1h" },
        { "target": "127.0.0.1", "duration": "1h" },
    ]);
    let judged = body(&import(json!({ "bans": list, "dry_run": true })));
    assert_eq!(judged["fates"], json!(["new", "refused", "refused"]));
    let refused: Vec<_> = judged["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| (&of["index"], &of["code"]))
        .collect();
    assert_eq!(
        refused,
        [(&json!(1), &json!("invalid")), (&json!(2), &json!("unbannable"))]
    );
    assert_problem(&import(json!({ "bans": list })), 400, "bans[1]: `nonsense`");
    assert_eq!(body(&lab.order("GET", "/api/v1/bans", ""))["total"], 0);
    let done = body(&import(json!({ "bans": list, "skip_refused": true })));
    assert_eq!(
        (&done["banned"], &done["refused"][0]["index"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(body(&lab.order("GET", "/api/v1/bans", ""))["total"], 1);
    let thrice = json!([
        { "target": "192.0.2.10", "duration": "1h" },
        { "target": "192.0.2.10", "duration": "2h" },
        { "target": "192.0.2.10", "duration": "30m" },
    ]);
    let judged = body(&import(json!({ "bans": thrice, "dry_run": true })));
    assert_eq!(
        (&judged["fates"], &judged["banned"]),
        (&json!(["kept", "new", "kept"]), &json!(1))
    );

    // It is recorded, also if nobody waits for the answer.
    let session = sign_in(&lab, &json!({ "link": link(&lab) }));
    let targets = (0..2000).map(|n| format!("198.18.{}.{}", n / 250, n % 250));
    let bans: Vec<_> = targets
        .map(|target| json!({ "target": target, "duration": "1h" }))
        .collect();
    let sent = json!({ "bans": bans }).to_string();
    let head = format!(
        "{session}Content-Type: application/json\r\nContent-Length: {}\r\n",
        sent.len()
    );
    let request = format!("POST /api/v1/bans/import HTTP/1.1\r\n{head}\r\n{sent}");
    let waiting = lab.send(3030, &request);
    wait_until("the import has begun", START, || {
        body(&lab.order("GET", "/api/v1/bans?limit=1", ""))["total"] == 2001
    });
    drop(waiting);
    wait_until("the list is in the audit", START, || {
        let lists = body(&lab.order("GET", "/api/v1/audit?kind=list", ""));
        lists.as_array().unwrap().iter().any(|list| list["new"] == 2000)
    });
}

#[test]
fn changed_rules_are_tried_on_a_log_and_change_nothing() {
    let logs = Host::new();
    let folder = logs.file("logs");
    std::fs::create_dir(&folder).unwrap();
    let lab = Lab::start(&format!("[api]\nlogs = \"{}\"\n", folder.display()));
    let line = |n: u32| {
        let (minute, second) = (n / 60, n % 60);
        format!(
            r#"198.51.100.7 - - [20/Nov/2026:10:{minute:02}:{second:02} +0000] "GET /{n} HTTP/1.1" 404 1 "-" "-""#
        )
    };
    let log = (0..55).map(line).collect::<Vec<_>>().join("\n");
    let attempt = |rules: Value| {
        let request = json!({ "log": log, "rules": rules }).to_string();
        lab.order("POST", "/api/v1/rules/try", &request)
    };
    let tried = body(&attempt(json!([{ "name": "error-flood", "threshold": 60 }])));
    assert_eq!(
        (&tried["read"], &tried["vanish"], &tried["appear"]),
        (&json!(55), &json!(1), &json!(0)),
        "{tried}"
    );
    let change = &tried["changes"][0];
    assert_eq!(
        (&change["change"], &change["before"]["target"]),
        (&json!("vanishes"), &json!("198.51.100.7/32"))
    );
    std::fs::write(folder.join("access.log"), &log).unwrap();
    let listed = body(&lab.order("GET", "/api/v1/rules/logs", ""));
    assert_eq!(
        (&listed["files"][0]["name"], &listed["files"][0]["bytes"]),
        (&json!("access.log"), &json!(log.len()))
    );
    let by_file = |name: &str| {
        let rules = json!([{ "name": "error-flood", "threshold": 60 }]);
        let request = json!({ "file": name, "rules": rules }).to_string();
        lab.order("POST", "/api/v1/rules/try", &request)
    };
    assert_eq!(body(&by_file("access.log"))["vanish"], 1);
    assert_problem(
        &by_file("../secret"),
        400,
        "file: cannot read `../secret`: expected the name",
    );
    let neither = lab.order("POST", "/api/v1/rules/try", "{}");
    assert_problem(&neither, 400, "say either `log` or `file`");
    let same = body(&attempt(json!([])));
    assert_eq!(
        (&same["same"], &same["changes"]),
        (&json!(1), &json!([])),
        "{same}"
    );
    assert_problem(&attempt(json!([{ "name": "none" }])), 400, "rules[0].name: ");
    assert_problem(
        &attempt(json!([{ "name": "error-flood", "threshold": 0 }])),
        400,
        "rules[0].threshold: ",
    );
    assert_problem(
        &attempt(json!([{ "name": "error-flood", "window": "25d" }])),
        400,
        "rules[0].window: ",
    );
    // JSON doubles quotes, and the limit is that of the log.
    let with_line = |line: &str| {
        let request = json!({ "log": format!("{line}\n{log}"), "format": "combined" });
        lab.order("POST", "/api/v1/rules/try", &request.to_string())
    };
    assert_eq!(with_line(&"\"".repeat(9 << 20)).status, 200);
    assert_problem(&with_line(&"x".repeat(17 << 20)), 413, "at most: cut it");
    let rules = body(&lab.order("GET", "/api/v1/rules", ""));
    assert_eq!(rules[0]["threshold"], 50);
    assert_eq!(body(&lab.order("GET", "/api/v1/bans", ""))["total"], 0);
}
