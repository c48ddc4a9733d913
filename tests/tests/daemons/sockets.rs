//! Who may do what by which way into the daemons' APIs: the Unix socket, where the kernel says who asks, and TCP.

use std::{
    fs::{self, Permissions},
    io::{BufReader, ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::PathBuf,
    process::Output,
    time::Duration,
};

use secbeat_tests::lab::{
    executable::{Executable as _, TestProgram},
    files::HostFiles,
    host::{Host, assert_refused},
    http::read_response,
    local::{order, socket},
    nats::NatsServer,
    paths,
    process::Daemon,
};
use serde_json::Value;

const START: Duration = Duration::from_secs(20);
const NOT_ALLOWED: i32 = 77;
const EDGE: &str = "secbeat-edge";
const ORCHESTRATOR: &str = "secbeat-orchestrator";

/// What the daemons read: the group is here, whatever this machine has.
const GROUP: &str = "root:x:0:\nsecbeat:x:4711:\n";
const PASSWD: &str = "root:x:0:0::/:/bin/sh\nalice:x:1001:1001::/:/bin/sh\n";

/// Users, as `setpriv` makes them.
const ROOT: &[&str] = &["--reuid=0"];
const MEMBER: &[&str] = &["--reuid=1001", "--regid=1001", "--groups=4711"];
const OTHER: &[&str] = &["--reuid=1002", "--regid=1002", "--clear-groups"];

/// Both daemons on a host with users.
struct Lab {
    orchestrator: Daemon,
    _edge: Daemon,
    _nats: NatsServer,
    files: HostFiles,
    host: Host,
}

impl Lab {
    /// `api` follows the bus in the orchestrator's config.
    fn start(api: &str) -> Self {
        let (host, files) = (Host::new(), HostFiles::new());
        files.write("/etc/group", GROUP);
        files.write("/etc/passwd", PASSWD);
        let nats = NatsServer::start(&host.namespace, Ipv4Addr::LOCALHOST.into());
        host.write(
            "orchestrator.toml",
            &format!("[nats]\nurl = \"{}\"\n{api}", nats.url()),
        );
        host.reconfigure("enforcement = \"both\"", "enforcement = \"l7\"");
        let mut orchestrator = spawn(&host, &files, ORCHESTRATOR, "orchestrator.toml");
        let mut edge = spawn(&host, &files, EDGE, "edge.toml");
        orchestrator.wait_for_log("reading telemetry", START);
        edge.wait_for_log("running", START);
        Self {
            orchestrator,
            _edge: edge,
            _nats: nats,
            files,
            host,
        }
    }

    /// The status that a user is answered with, who may show a token.
    fn status(&self, daemon: &str, way: &Way<'_>, method: &str, path: &str, body: &str) -> u16 {
        let mut command = self.host.namespace.command(TestProgram::Setpriv);
        let (user, port, socket) = match way {
            Way::Tcp => (OTHER, if daemon == EDGE { 8080 } else { 3030 }, None),
            Way::Socket(user, _) => (*user, 80, Some(socket(&self.host.namespace, daemon))),
            Way::Token(_) => (OTHER, 3030, None),
        };
        command.args(user).arg(TestProgram::Curl.file());
        command.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", method]);
        if let Some(socket) = socket {
            command.arg("--unix-socket").arg(socket);
        }
        if !body.is_empty() {
            command.args(["-H", "content-type: application/json", "-d", body]);
        }
        if let Way::Token(token) | Way::Socket(_, Some(token)) = way {
            command.args(["-H", &format!("authorization: Bearer {token}")]);
        }
        command.arg(format!("http://127.0.0.1:{port}{path}"));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        said.parse().unwrap_or_else(|_| panic!("{output:?}"))
    }

    fn cli(&self, arguments: &[&str]) -> Output {
        let config = self.host.file("orchestrator.toml");
        let config = ["--config", config.to_str().unwrap()];
        self.host.run(ORCHESTRATOR, &[&config, arguments].concat())
    }
}

fn spawn(host: &Host, files: &HostFiles, daemon: &str, config: &str) -> Daemon {
    let mut command = files.command(&host.namespace, &paths::daemon(daemon));
    command.args(["run", "--config"]).arg(host.file(config));
    command
        .env("SECBEAT_LOG", "info,async_nats=warn")
        .env("NO_COLOR", "1");
    Daemon::spawn(daemon, &mut command)
}

/// How somebody asks.
#[derive(Debug)]
enum Way<'a> {
    /// On loopback, without a token.
    Tcp,
    /// On loopback, with a token.
    Token(&'a str),
    /// By the socket, as a user, who may show a token.
    Socket(&'a [&'a str], Option<&'a str>),
}

const BAN: &str = r#"{"target":"192.0.2.7","duration":"1h","note":"x"}"#;
/// The address or its network.
const TWO_MEANINGS: &str = r#"{"target":"198.51.100.7/24","duration":"1h"}"#;
const ALLOW: &str = r#"{"network":"203.0.113.0/24","comment":"office"}"#;
const MODE: &str = r#"{"mode":"observe"}"#;

#[test]
fn root_and_the_group_change_others_read_and_nobody_changes_by_tcp_without_a_token() {
    let lab = Lab::start("");
    let ways = [
        Way::Tcp,
        Way::Socket(ROOT, None),
        Way::Socket(MEMBER, None),
        Way::Socket(OTHER, None),
    ];
    let rows = [
        (EDGE, "GET", "/healthz", "", [200, 200, 200, 200]),
        (EDGE, "GET", "/metrics", "", [200, 200, 200, 200]),
        (EDGE, "GET", "/api/v1/stats", "", [200, 200, 200, 200]),
        (EDGE, "GET", "/api/v1/bans", "", [200, 200, 200, 200]),
        (EDGE, "GET", "/api/v1/allowed", "", [200, 200, 200, 200]),
        (EDGE, "POST", "/api/v1/bans", BAN, [403, 201, 201, 403]),
        (EDGE, "POST", "/api/v1/bans", TWO_MEANINGS, [403, 400, 400, 403]),
        (
            EDGE,
            "DELETE",
            "/api/v1/bans/192.0.2.99",
            "",
            [403, 404, 404, 403],
        ),
        (EDGE, "PUT", "/api/v1/mode", MODE, [403, 200, 200, 403]),
        (ORCHESTRATOR, "GET", "/healthz", "", [200, 200, 200, 200]),
        (ORCHESTRATOR, "GET", "/metrics", "", [200, 200, 200, 200]),
        (ORCHESTRATOR, "GET", "/api/v1/stats", "", [200, 200, 200, 200]),
        (ORCHESTRATOR, "GET", "/api/v1/bans", "", [200, 200, 200, 200]),
        (ORCHESTRATOR, "GET", "/api/v1/findings", "", [200, 200, 200, 200]),
        (ORCHESTRATOR, "GET", "/api/v1/audit", "", [403, 200, 200, 403]),
        (
            ORCHESTRATOR,
            "GET",
            "/api/v1/sources/192.0.2.7",
            "",
            [403, 200, 200, 403],
        ),
        (ORCHESTRATOR, "POST", "/api/v1/bans", BAN, [403, 201, 201, 403]),
        (
            ORCHESTRATOR,
            "POST",
            "/api/v1/bans/import",
            r#"{"bans":[]}"#,
            [403, 200, 200, 403],
        ),
        (
            ORCHESTRATOR,
            "DELETE",
            "/api/v1/bans/192.0.2.99",
            "",
            [403, 404, 404, 403],
        ),
        (
            ORCHESTRATOR,
            "POST",
            "/api/v1/allowlist",
            ALLOW,
            [403, 201, 201, 403],
        ),
    ];
    for (daemon, method, path, body, expected) in rows {
        let answered = [0, 1, 2, 3].map(|way| lab.status(daemon, &ways[way], method, path, body));
        assert_eq!(answered, expected, "{daemon} {method} {path}");
    }
    // The audit has who it was, as the kernel said.
    let audit = order(
        &lab.host.namespace,
        ORCHESTRATOR,
        "GET",
        "/api/v1/audit?kind=ban",
        "",
    )
    .unwrap();
    let audit: Value = serde_json::from_slice(&audit.body).unwrap();
    let actors: Vec<_> = audit
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["actor"].as_str().unwrap())
        .collect();
    assert_eq!(actors, ["alice", "root"]);

    // What a refusal says is enough to go on.
    let url = "http://127.0.0.1:3030";
    let socket = socket(&lab.host.namespace, ORCHESTRATOR);
    assert_refused(
        &lab.cli(&["--url", url, "ban", "192.0.2.8"]),
        NOT_ALLOWED,
        &[socket.to_str().unwrap(), "group `secbeat`", "token create"],
    );
    assert_refused(
        &lab.cli(&["--url", url, "why", "192.0.2.8"]),
        NOT_ALLOWED,
        &["read what clients requested"],
    );
    assert_refused(
        &lab.cli(&["--url", url, "allowlist", "add", "192.0.2.8"]),
        NOT_ALLOWED,
        &["token create NAME --role admin"],
    );
    let by_socket = format!("unix:{}", socket.display());
    let banned = lab.cli(&["--url", &by_socket, "ban", "192.0.2.8"]);
    assert!(banned.status.success(), "{banned:?}");
    assert_refused(
        &lab.cli(&["--url", "unix:api.sock", "bans"]),
        1,
        &["invalid --url `unix:api.sock`"],
    );
}

#[test]
fn a_token_decides_by_either_way_and_without_one_strangers_do_nothing_where_there_are_tokens() {
    let host = Host::new();
    let [reader, operator] = ["read", "operate"].map(|role| {
        let created = host.run(
            ORCHESTRATOR,
            &["token", "create", role, "--role", role, "-o", "json"],
        );
        serde_json::from_slice::<Value>(&created.stdout).unwrap()
    });
    let table = |token: &Value| {
        let text = |key: &str| token[key].as_str().unwrap();
        format!(
            "[[api.token]]\nname = \"{}\"\nrole = \"{}\"\nhash = \"{}\"\n",
            text("name"),
            text("role"),
            text("hash")
        )
    };
    let lab = Lab::start(&[table(&reader), table(&operator)].concat());
    let [reader, operator] = [&reader, &operator].map(|token| token["token"].as_str().unwrap());
    for (way, expected) in [
        (Way::Tcp, [401, 401, 401, 401]),
        (Way::Token("secbeat_wrong"), [401, 401, 401, 401]),
        (Way::Token(reader), [200, 200, 403, 403]),
        (Way::Token(operator), [200, 200, 201, 403]),
        (Way::Socket(OTHER, None), [401, 401, 401, 401]),
        (Way::Socket(OTHER, Some(operator)), [200, 200, 201, 403]),
        (Way::Socket(MEMBER, None), [200, 200, 201, 201]),
        (Way::Socket(ROOT, None), [200, 200, 201, 201]),
        (Way::Socket(ROOT, Some(reader)), [200, 200, 403, 403]),
        (Way::Socket(ROOT, Some("secbeat_wrong")), [401, 401, 401, 401]),
    ] {
        let answered = [
            ("GET", "/api/v1/bans", ""),
            ("GET", "/api/v1/audit", ""),
            ("POST", "/api/v1/bans", BAN),
            ("POST", "/api/v1/allowlist", ALLOW),
        ]
        .map(|(method, path, body)| lab.status(ORCHESTRATOR, &way, method, path, body));
        assert_eq!(answered, expected, "{way:?}");
        assert_eq!(
            lab.status(ORCHESTRATOR, &way, "GET", "/healthz", ""),
            200,
            "{way:?}"
        );
    }
}

/// Else the client would not know whether the daemon is gone.
#[test]
fn a_refusal_reaches_who_has_not_sent_the_whole_request_yet() {
    let lab = Lab::start("");
    for port in [8080, 3030] {
        let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let mut stream = lab.host.namespace.enter(connect);
        let head = format!(
            "POST /api/v1/bans HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            BAN.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let early = stream.peek(&mut [0]).map_err(|error| error.kind());
        assert_eq!(early, Err(ErrorKind::WouldBlock), "answered before the body came");
        stream.write_all(BAN.as_bytes()).unwrap();
        stream.set_read_timeout(Some(START)).unwrap();
        let answer = read_response(&mut BufReader::new(stream), "POST").unwrap();
        assert_eq!(answer.status, 403);
    }
}

#[test]
fn a_socket_has_one_daemon_and_what_a_killed_one_left_is_replaced() {
    let mut lab = Lab::start("");
    let config = fs::read_to_string(lab.host.file("orchestrator.toml")).unwrap();
    let second = format!("{config}[api]\nlisten = \"127.0.0.1:3031\"\n");
    let second = lab.host.write("second.toml", &second);
    let run = |config: &PathBuf| {
        lab.host
            .run(ORCHESTRATOR, &["run", "--config", config.to_str().unwrap()])
    };
    let path = socket(&lab.host.namespace, ORCHESTRATOR);
    assert_refused(
        &run(&second),
        1,
        &["api.socket: another daemon listens on", path.to_str().unwrap()],
    );
    assert_eq!(
        order(&lab.host.namespace, ORCHESTRATOR, "GET", "/healthz", "")
            .unwrap()
            .status,
        200
    );

    let file = lab.host.write("file", "precious");
    let third = format!(
        "{config}[api]\nlisten = \"127.0.0.1:3031\"\nsocket = \"{}\"\n",
        file.display()
    );
    let third = lab.host.write("third.toml", &third);
    assert_refused(&run(&third), 1, &["api.socket: ", "exists, and is not a socket"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");

    lab.orchestrator.kill9();
    assert!(path.exists());
    lab.orchestrator = spawn(&lab.host, &lab.files, ORCHESTRATOR, "second.toml");
    lab.orchestrator.wait_for_log("reading telemetry", START);
    assert_eq!(
        order(&lab.host.namespace, ORCHESTRATOR, "GET", "/healthz", "")
            .unwrap()
            .status,
        200
    );
    assert!(lab.orchestrator.terminate(START).success());
    assert!(!path.exists(), "a daemon that ends takes its socket with it");
}

#[test]
fn without_a_socket_nothing_is_changed_and_the_refusal_says_so() {
    let lab = Lab::start("[api]\nsocket = \"\"\n");
    assert!(!socket(&lab.host.namespace, ORCHESTRATOR).exists());
    assert!(lab.cli(&["bans"]).status.success());
    assert_refused(
        &lab.cli(&["ban", "192.0.2.1"]),
        NOT_ALLOWED,
        &["has no socket", "token create"],
    );
}

/// While the daemon is down, any user of the host can listen in its place.
#[test]
fn a_token_goes_to_no_other_users_program() {
    let host = Host::new();
    let folder = host.namespace.runtime_dir().join("theirs");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    let socket = folder.join("api.sock");
    let (tcp, unix) = host.namespace.enter(|| {
        // SAFETY: the call itself, without libc, changes the user of this thread alone, which ends.
        assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, -1, 1002, -1) }, 0);
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 3030)).unwrap();
        (tcp, UnixListener::bind(&socket).unwrap())
    });
    tcp.set_nonblocking(true).unwrap();
    let token = host.write("token", "secbeat_secret\n");
    let config = host.write("orchestrator.toml", "");
    let frame = [
        "--config",
        config.to_str().unwrap(),
        "--token-file",
        token.to_str().unwrap(),
    ];
    let run = |more: &[&str]| host.run(ORCHESTRATOR, &[&frame, more].concat());
    let parts = ["the token is not sent to http://", "the user 1002 listens there"];
    assert_refused(&run(&["bans"]), 1, &parts);
    for url in ["http://127.0.0.1:3030", "http://localhost:3030"] {
        assert_refused(&run(&["--url", url, "bans"]), 1, &parts);
    }
    let met = tcp.accept().map(drop).unwrap_err();
    assert_eq!(met.kind(), ErrorKind::WouldBlock, "nothing was even connected");

    let url = format!("unix:{}", socket.display());
    let parts = ["not shown the token", "the user 1002 listens there"];
    assert_refused(&run(&["--url", &url, "bans"]), 1, &parts);
    let mut said = Vec::new();
    unix.accept().unwrap().0.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"");
}
