//! The proxy before a real server: reloads under load, and uploads larger than its memory may grow.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Stdio},
    time::Duration,
};

use secbeat_tests::lab::{
    executable::TestProgram,
    fleet::{Family, Fleet, Options},
    nginx::Nginx,
    wait::wait_until,
};
use socket2::Type;

const PATIENCE: Duration = Duration::from_secs(20);

/// One in which a client may ask as often as it likes.
fn fleet() -> Fleet {
    let rule = |name: &str| format!("[[rule]]\nname = \"{name}\"\nenabled = false\n");
    Fleet::start(&Options {
        enforcement: "l7",
        more_orchestrator_config: rule("error-flood") + &rule("request-flood"),
        ..Options::default()
    })
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Has the edge's config say `to` in place of `from`, and the edge read it; `said` is what it then logs, for the
/// `count`th time.
fn reload(fleet: &mut Fleet, from: &str, to: &str, said: &str, count: usize) {
    fleet.reconfigure_edge(from, to);
    fleet.edge.signal(libc::SIGHUP);
    fleet.edge.wait_for_log_count(said, count, PATIENCE);
}

fn wrk(fleet: &Fleet, seconds: u32) -> Child {
    fleet
        .visitor
        .command(TestProgram::Wrk)
        .args(["--threads", "1", "--connections", "16"])
        .args(["--duration", &format!("{seconds}s")])
        .arg(format!("http://{}/", Family::V4.edge_for_visitor()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn reloads_under_load_drop_no_request_and_a_wrong_file_changes_nothing() {
    let mut fleet = fleet();
    let other = Nginx::start(&fleet.host, loopback());
    let (one, two) = (fleet.nginx.address().to_string(), other.address().to_string());
    let load = wrk(&fleet, 6);
    for n in 0..8 {
        let (from, to, asked) = match n % 2 {
            0 => (&one, &two, &other),
            _ => (&two, &one, &fleet.nginx),
        };
        let requests = || asked.access_log().lines().count();
        let before = requests();
        fleet.reconfigure_edge(&format!("http://{from}"), &format!("http://{to}"));
        fleet.edge.signal(libc::SIGHUP);
        wait_until("the new upstream is asked", PATIENCE, || {
            requests() > before + 100
        });
    }
    let wrong = format!("http://{one}/path");
    reload(
        &mut fleet,
        &format!("http://{one}"),
        &wrong,
        "the old config stays in force",
        1,
    );
    assert!(fleet.edge_log().contains("proxy.upstream: "), "the key is named");
    let output = load.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("Requests/sec"), "{text}");
    assert!(
        !text.contains("Non-2xx") && !text.contains("Socket errors"),
        "{text}"
    );

    let mut client = fleet.attacking(Family::V4);
    let url = format!("http://{}/", Family::V4.edge_for_attacker());
    assert_eq!(client.get(&url).unwrap(), 200, "the old upstream is still asked");
}

/// Resident memory in KiB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Reads one request with a body of `length` bytes, and answers it.
fn take_upload(listener: &TcpListener, length: u64) -> u64 {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = vec![0; 1024 * 1024];
    let mut head: Vec<u8> = Vec::new();
    let mut body = loop {
        let read = stream.read(&mut buffer).unwrap();
        head.extend(&buffer[..read]);
        if let Some(at) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break (head.len() - at - 4) as u64;
        }
    };
    while body < length {
        let read = stream.read(&mut buffer).unwrap();
        assert_ne!(read, 0, "the upload broke off after {body} bytes");
        body += read as u64;
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    body
}

#[test]
fn an_upload_of_two_gib_takes_no_memory() {
    const LENGTH: u64 = 2 << 30;
    const GROWTH_KIB: u64 = 24 * 1024;
    let mut fleet = fleet();
    let listener = fleet.host.enter(|| TcpListener::bind(loopback()).unwrap());
    let sink = listener.local_addr().unwrap();
    let from = format!("http://{}", fleet.nginx.address());
    reload(
        &mut fleet,
        &from,
        &format!("http://{sink}"),
        "the config is reloaded",
        1,
    );
    let taking = std::thread::spawn(move || take_upload(&listener, LENGTH));

    let edge = Family::V4.edge_for_visitor();
    let socket = fleet.visitor.socket(edge.ip(), Type::STREAM);
    socket.connect(&edge.into()).unwrap();
    let mut client: TcpStream = socket.into();
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let pid = fleet.edge.pid();
    let before = resident(pid);
    write!(
        client,
        "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n"
    )
    .unwrap();
    let block = vec![b'x'; 1024 * 1024];
    let mut most = before;
    for n in 0..LENGTH / block.len() as u64 {
        client.write_all(&block).unwrap();
        if n % 64 == 0 {
            most = most.max(resident(pid));
        }
    }
    let mut answer = [0; 12];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert_eq!(taking.join().unwrap(), LENGTH);
    assert!(
        most - before < GROWTH_KIB,
        "{before} KiB before, {most} KiB meanwhile"
    );
}
