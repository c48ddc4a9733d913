//! Who is told of bans and troubles, and the audit's copies, as an operator meets them.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use secbeat_tests::lab::{
    client::Client, host::Host, nats::NatsServer, netns::Namespace, paths, process::Daemon, wait::wait_until,
};
use serde_json::Value;
use socket2::Type;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PATIENCE: Duration = Duration::from_secs(30);

/// A receiver in `namespace`, which takes everything and keeps it.
fn receive(namespace: &Namespace) -> (u16, Arc<Mutex<Vec<Value>>>) {
    let socket = namespace.socket(LOOPBACK, Type::STREAM);
    socket.bind(&SocketAddr::new(LOOPBACK, 0).into()).unwrap();
    socket.listen(8).unwrap();
    let listener = TcpListener::from(socket);
    let port = listener.local_addr().unwrap().port();
    let received = Arc::<Mutex<Vec<Value>>>::default();
    let kept = received.clone();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            if let Some(body) = take(connection) {
                kept.lock().push(body);
            }
        }
    });
    (port, received)
}

fn take(connection: TcpStream) -> Option<Value> {
    let mut reader = BufReader::new(connection);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    reader.get_mut().write_all(answer).ok()?;
    serde_json::from_slice(&body).ok()
}

#[test]
fn a_ban_is_told_and_copied_a_bus_that_is_away_is_told_and_no_secret_is_shown() {
    let host = Host::new();
    let mut nats = NatsServer::start(&host.namespace, LOOPBACK);
    let (port, received) = receive(&host.namespace);
    let audit = host.file("audit.json");
    let secret = host.write("dead.url", "http://127.0.0.1:1/hidden-path\n");
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let config = format!(
        "[nats]\nurl = \"{}\"\n[audit.file]\npath = \"{}\"\n\
         [[notify]]\nname = \"live\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/hidden-path\"\ndigest = \"0s\"\n\
         [[notify]]\nname = \"dead\"\nkind = \"webhook\"\nurl_file = \"dead.url\"\ndigest = \"0s\"\n",
        nats.url(),
        audit.display()
    );
    let config = host.write("orchestrator.toml", &config);
    let mut command = host.namespace.command(paths::daemon("secbeat-orchestrator"));
    command.args(["run", "--config"]).arg(&config);
    let mut orchestrator = Daemon::spawn("secbeat-orchestrator", &mut command);
    orchestrator.wait_for_log("reading telemetry", PATIENCE);
    let cli = |arguments: &[&str]| {
        let mut all = vec!["--config", config.to_str().unwrap()];
        all.extend(arguments);
        let output = host.run("secbeat-orchestrator", &all);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), text)
    };

    let (code, text) = cli(&["notify", "test"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("live (webhook): delivered, status 200: ok"),
        "{text}"
    );
    assert!(text.contains("dead (webhook): FAILED"), "{text}");
    let mut shown = text;
    assert_eq!(cli(&["notify", "test", "nobody"]).0, Some(3));
    let is_told = |is_it: &dyn Fn(&Value) -> bool| received.lock().iter().any(is_it);
    assert!(is_told(&|message| message["test"] == true));

    let (code, text) = cli(&["ban", "203.0.113.9", "--note", "by hand"]);
    assert_eq!(code, Some(0), "{text}");
    wait_until("the ban is told", PATIENCE, || {
        is_told(&|message| message["bans"]["named"][0]["target"] == "203.0.113.9/32")
    });
    wait_until("the ban is copied", PATIENCE, || {
        std::fs::read_to_string(&audit).is_ok_and(|text| text.contains("203.0.113.9/32"))
    });
    wait_until("the failure is shown", PATIENCE, || {
        cli(&["status"]).1.contains("FAILING: Connection refused")
    });

    nats.stop();
    let about_itself = |event: &'static str| {
        move |message: &Value| {
            message["events"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one["event"] == event))
        }
    };
    wait_until("it is told that nobody can be banned", PATIENCE, || {
        is_told(&about_itself("not-ready"))
    });
    nats.restart();
    wait_until("it is told that this is over", PATIENCE, || {
        is_told(&about_itself("ready"))
    });

    for arguments in [
        &["status"][..],
        &["status", "-o", "json"],
        &["check"],
        &["notify", "list"],
    ] {
        shown.push_str(&cli(arguments).1);
    }
    let metrics = Client::new(&host.namespace).request("GET", "http://127.0.0.1:3030/metrics", &[], b"");
    shown.push_str(&String::from_utf8(metrics.unwrap().body).unwrap());
    assert!(
        shown.contains("secbeat_orchestrator_notify_failing{receiver=\"dead\",kind=\"webhook\"} 1"),
        "{shown}"
    );
    shown.push_str(&orchestrator.log());
    assert!(!shown.contains("hidden"), "{shown}");
}
