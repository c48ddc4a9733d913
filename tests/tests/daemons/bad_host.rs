//! Hosts that cannot run a daemon: one line that says what is missing, a non-zero exit, and nothing left behind.

use std::{
    fs::{self, Permissions},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::{PermissionsExt as _, chown},
    path::PathBuf,
    time::Duration,
};

use aya::programs::XdpMode;
use secbeat_common::maps;
use secbeat_tests::lab::{
    bpf::Filter,
    executable::{Executable as _, Program, TestProgram},
    host::{Host, assert_refused},
    nats::NatsServer,
    paths,
    wait::wait_until,
};

const FAILURE: i32 = 1;
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const START: Duration = Duration::from_secs(20);

/// `run` is refused with `parts`, and nothing is pinned afterwards.
#[track_caller]
fn run_refused(host: &Host, parts: &[&str]) {
    assert_refused(&host.edge(&["run"]), FAILURE, parts);
    assert!(
        !host.pin_folder().exists(),
        "pins left behind: {:?}",
        host.pinned()
    );
}

/// Waits until no XDP program is on `interface`: the kernel lets go of a link a moment after its pin is removed.
fn await_free(host: &Host, interface: &str) {
    wait_until(&format!("{interface} is free"), START, || {
        host.namespace.xdp_on(interface).is_none()
    });
}

/// Starts the edge, waits until it runs, and kills it: everything stays pinned.
fn run_and_kill(host: &Host) {
    let mut edge = host.start_edge();
    edge.wait_for_log("running", START);
    edge.kill9();
}

fn bpftool(arguments: &[&str]) {
    let output = Program::Bpftool.command().args(arguments).output().unwrap();
    assert!(output.status.success(), "bpftool {arguments:?}: {output:?}");
}

#[test]
fn without_root_the_needed_capabilities_are_named() {
    let host = Host::new();
    // The workspace may lie where nobody else may look.
    let program = host.file("secbeat-edge");
    fs::copy(paths::daemon("secbeat-edge"), &program).unwrap();
    let config = host.file("edge.toml");
    let run = ["run", "--config", config.to_str().unwrap()];
    let output = host.run_through(
        Some((TestProgram::Setpriv, &["--reuid=65534", "--clear-groups"])),
        &program,
        &run,
    );
    assert_refused(
        &output,
        FAILURE,
        &["needs root", "CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"],
    );
}

#[test]
fn a_kernel_that_is_too_old_is_named_with_the_oldest_that_will_do() {
    let host = Host::new();
    let (program, config) = (paths::daemon("secbeat-edge"), host.file("edge.toml"));
    let run = ["run", "--config", config.to_str().unwrap()];
    let output = host.run_through(Some((TestProgram::Setarch, &["--uname-2.6"])), &program, &run);
    assert_refused(&output, FAILURE, &["the kernel is 2.6.", "needs 5.15 or newer"]);
}

#[test]
fn an_xdp_object_that_is_missing_or_none_is_named_with_what_makes_one() {
    let host = Host::new();
    let (config, text) = (host.file("edge.toml"), host.write("object", "no object"));
    let config = config.to_str().unwrap();
    for (object, what) in [
        ("/nonexistent/object", "No such file"),
        (text.to_str().unwrap(), "is not a BPF object"),
    ] {
        let run = ["run", "--config", config, "--bpf-object", object];
        assert_refused(
            &host.run("secbeat-edge", &run),
            FAILURE,
            &[object, what, "cargo xtask build-ebpf"],
        );
        assert!(!host.pin_folder().exists());
    }
    let cut = host.file("cut");
    fs::write(&cut, &fs::read(paths::bpf_object()).unwrap()[..512]).unwrap();
    let run = ["run", "--config", config, "--bpf-object", cut.to_str().unwrap()];
    assert_refused(
        &host.run("secbeat-edge", &run),
        FAILURE,
        &["loading the XDP object", cut.to_str().unwrap()],
    );
    assert!(!host.pin_folder().exists());
}

#[test]
fn a_pin_folder_outside_bpffs_is_refused_with_the_mount_command() {
    let host = Host::new();
    let outside = host.file("pins");
    host.reconfigure(host.pin_folder().to_str().unwrap(), outside.to_str().unwrap());
    run_refused(
        &host,
        &[
            outside.to_str().unwrap(),
            "mount -t bpf -o mode=0700 bpf /sys/fs/bpf",
        ],
    );
    assert!(!outside.exists());
    fs::create_dir(&outside).unwrap();
    run_refused(
        &host,
        &[
            outside.to_str().unwrap(),
            "mount -t bpf -o mode=0700 bpf /sys/fs/bpf",
        ],
    );
}

#[test]
fn a_pin_folder_that_others_may_write_is_refused() {
    let host = Host::new();
    let folder = host.pin_folder();
    fs::create_dir(folder).unwrap();
    let refused = ["must belong to root", folder.to_str().unwrap()];
    for mode in [0o770, 0o702] {
        fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
        assert_refused(&host.edge(&["run"]), FAILURE, &refused);
        if !folder.exists() {
            fs::create_dir(folder).unwrap();
        }
    }
    fs::set_permissions(folder, Permissions::from_mode(0o700)).unwrap();
    chown(folder, Some(65534), None).unwrap();
    assert_refused(&host.edge(&["run"]), FAILURE, &refused);
}

#[test]
fn a_foreign_map_under_our_name_is_refused_and_left_alone() {
    let host = Host::new();
    fs::create_dir(host.pin_folder()).unwrap();
    fs::set_permissions(host.pin_folder(), Permissions::from_mode(0o700)).unwrap();
    let pin = host.pin_folder().join(maps::BANNED_V4);
    let pin = pin.to_str().unwrap();
    let shape = [
        "key",
        "4",
        "value",
        "8",
        "entries",
        "4096",
        "name",
        maps::BANNED_V4,
    ];
    bpftool(&[&["map", "create", pin, "type", "lru_hash"], &shape[..]].concat());
    assert_refused(
        &host.edge(&["run"]),
        FAILURE,
        &[pin, "8 byte values", "secbeat-edge detach"],
    );
    assert_eq!(host.pinned(), [maps::BANNED_V4]);
    await_free(&host, "eth-a");
}

/// Another program's pin; dropped, it goes.
struct Pin(PathBuf);

impl Drop for Pin {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn another_xdp_program_on_an_interface_is_refused_by_name_and_nothing_changes() {
    let host = Host::new();
    let mut other = Filter::load();
    let program = other.program_mut(maps::PROGRAM);
    host.reconfigure("\"eth-a\"", "\"eth-a\", \"eth-b\"");
    let parts = ["eth-b: another XDP program is attached", "`secbeat` (id "];

    let link = host
        .namespace
        .enter(|| program.attach("eth-b", XdpMode::Driver))
        .unwrap();
    let theirs = host.namespace.xdp_on("eth-b");
    assert!(theirs.is_some());
    run_refused(&host, &parts);
    await_free(&host, "eth-a");
    assert_eq!(host.namespace.xdp_on("eth-b"), theirs);
    program.detach(link).unwrap();
    await_free(&host, "eth-b");

    let pin = Pin(host
        .pin_folder()
        .with_file_name(format!("{}-other", host.namespace.name())));
    program.pin(&pin.0).unwrap();
    let attach = [
        "net",
        "attach",
        "xdp",
        "pinned",
        pin.0.to_str().unwrap(),
        "dev",
        "eth-b",
    ];
    assert!(
        host.namespace
            .command(Program::Bpftool)
            .args(attach)
            .status()
            .unwrap()
            .success()
    );
    run_refused(&host, &parts);
    await_free(&host, "eth-a");
    assert!(host.namespace.xdp_on("eth-b").is_some());
}

#[test]
fn a_check_says_what_the_host_lacks_before_a_start_does() {
    let host = Host::new();
    let check = |arguments: &[&str]| {
        let output = host.edge(&[&["check"], arguments].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let says = |said: &str, line: &str| said.lines().any(|it| it.starts_with(line));
    let socket = host.namespace.runtime_dir().join("secbeat-edge/api.sock");
    let of_socket = |word: &str| format!("{word:<8} api_socket {}: ", socket.display());
    host.reconfigure(
        "interfaces = [\"eth-a\"]\nattach = \"xdp\"",
        "interfaces = [\"eth-a\", \"lo\"]",
    );
    let (code, said) = check(&[]);
    assert_eq!(code, Some(0), "{said}");
    for line in [
        "ok       kernel: ",
        "ok       BPF file system: ",
        "ok       interface eth-a: XDP if its driver can, else the stack's ingress hook; driver veth, MTU 1500, ",
        "ok       proxy.listen 127.0.0.1:8443: free",
        "ok       api_listen 127.0.0.1:8080: free",
        "note     NATS 127.0.0.1:4222: Connection refused",
    ] {
        assert!(says(&said, line), "no {line} in {said}");
    }
    assert!(says(&said, &(of_socket("ok") + "free")), "{said}");
    let mut edge = host.start_edge();
    edge.wait_for_log("running", START);
    let (code, said) = check(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        says(&said, "ok       interface eth-a: protected (native); driver veth"),
        "{said}"
    );
    assert!(says(&said, "ok       interface lo: protected (tc); "), "{said}");
    assert!(
        says(&said, "ok       proxy.listen 127.0.0.1:8443: the daemon runs"),
        "{said}"
    );
    assert!(says(&said, &(of_socket("ok") + "the daemon runs")), "{said}");
    host.reconfigure("edge-1", "edge-2");
    let (_, said) = check(&[]);
    assert!(
        says(&said, &(of_socket("note") + "the edge `edge-1` runs there")),
        "{said}"
    );
    assert!(edge.terminate(START).success());
    assert!(host.edge(&["detach"]).status.success());

    // Everything that can be wrong, at once.
    fs::write(&socket, "precious").unwrap();
    let _taken = host
        .namespace
        .enter(|| TcpListener::bind("127.0.0.1:8443").unwrap());
    let mut other = Filter::load();
    let program = other.program_mut(maps::PROGRAM);
    host.namespace
        .enter(|| program.attach("eth-b", XdpMode::Driver))
        .unwrap();
    host.namespace
        .ip(&["tuntap", "add", "dev", "tun0", "mode", "tun"]);
    let listener = "[[proxy.listener]]\naddress = \"127.0.0.1:8443\"\ncertificate = \"/nonexistent/crt\"\nkey = \"/nonexistent/key\"\n";
    let config = host
        .edge_config()
        .replace("[\"eth-a\"]", "[\"eth-a\", \"eth-b\", \"tun0\", \"gone0\"]")
        .replace("listen = \"127.0.0.1:8443\"\n", "")
        .replace(
            "[proxy]\n",
            "[proxy]\naccess_log = \"/nonexistent/log\"\nerror_pages = { 502 = \"/nonexistent/page\" }\n",
        )
        .replace("[nats]", &format!("{listener}[nats]"));
    host.write("edge.toml", &config);
    let (code, said) = check(&[]);
    assert_eq!(code, Some(1), "{said}");
    for line in [
        "PROBLEM  kill switch: thrown",
        "PROBLEM  interface eth-b: another XDP program is attached: `secbeat` (id ",
        "PROBLEM  interface tun0: its packets have no Ethernet header",
        "PROBLEM  interface gone0: there is no such interface",
        "PROBLEM  proxy.listen 127.0.0.1:8443: ",
        "PROBLEM  proxy.access_log /nonexistent/log: No such file or directory",
        "PROBLEM  /nonexistent/crt: ",
        "PROBLEM  /nonexistent/page: ",
        &(of_socket("PROBLEM") + "it exists, and is not a socket"),
    ] {
        assert!(says(&said, line), "no {line} in {said}");
    }
    let (code, said) = check(&["--offline"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("bans are enforced in the kernel on eth-a, eth-b, tun0, gone0"),
        "{said}"
    );
    assert!(!said.contains("PROBLEM"), "{said}");
    // Beside another program, and without an Ethernet header, there is the stack's hook.
    host.write(
        "edge.toml",
        &config.replace("attach = \"xdp\"", "attach = \"auto\""),
    );
    let (_, said) = check(&[]);
    assert!(
        says(
            &said,
            "note     interface eth-b: the stack's ingress hook, beside the XDP program `secbeat`"
        ),
        "{said}"
    );
    assert!(
        says(
            &said,
            "ok       interface tun0: the stack's ingress hook; driver tun"
        ),
        "{said}"
    );
}

#[test]
fn an_interface_that_takes_no_program_is_refused_in_the_kernels_words() {
    let host = Host::new();
    let ip = |arguments: &str| host.namespace.ip(&arguments.split(' ').collect::<Vec<_>>());
    ip("link add q1 numtxqueues 4 type veth peer name q0 numrxqueues 1");
    ip("link set q0 up");
    ip("link set q1 up");
    host.reconfigure("\"eth-a\"", "\"q0\"");
    run_refused(
        &host,
        &["q0 takes no native XDP (", "rx queues", "peer tx queues"],
    );
    // One below another that has a program: not another program there.
    ip("link add br0 type bridge");
    host.reconfigure("[\"eth-a\"]", "[\"br0\"]\nallow_generic = true");
    let mut edge = host.start_edge();
    edge.wait_for_log("running", START);
    assert!(edge.terminate(START).success());
    ip("link set eth-b master br0");
    host.reconfigure("[\"eth-a\"]", "[\"br0\", \"eth-b\"]\nallow_generic = true");
    assert_refused(
        &host.edge(&["run"]),
        FAILURE,
        &[
            "the kernel allows no XDP program on eth-b: ",
            "upper device already has a program",
        ],
    );
    ip("tuntap add dev tun0 mode tun");
    host.reconfigure("\"eth-a\"", "\"tun0\"");
    assert_refused(
        &host.edge(&["run"]),
        FAILURE,
        &["tun0: its packets have no Ethernet header"],
    );
}

#[test]
fn an_interface_below_another_one_comes_first() {
    let host = Host::new();
    host.namespace.ip(&["link", "add", "br0", "type", "bridge"]);
    host.namespace.ip(&["link", "set", "eth-a", "master", "br0"]);
    host.reconfigure("[\"eth-a\"]", "[\"br0\", \"eth-a\"]\nallow_generic = true");
    let mut edge = host.start_edge();
    edge.wait_for_log("running", START);
    assert!(host.namespace.xdp_on("eth-a").is_some() && host.namespace.xdp_on("br0").is_some());
    assert!(edge.terminate(START).success());
}

#[test]
fn a_second_interface_that_is_taken_leaves_the_first_as_it_was() {
    let host = Host::new();
    run_and_kill(&host);
    let before = host.pinned();
    let mut other = Filter::load();
    let program = other.program_mut(maps::PROGRAM);
    host.namespace
        .enter(|| program.attach("eth-b", XdpMode::Driver))
        .unwrap();
    for interfaces in ["\"eth-a\", \"eth-b\"", "\"eth-b\""] {
        host.reconfigure("\"eth-a\"", interfaces);
        assert_refused(
            &host.edge(&["run"]),
            FAILURE,
            &["eth-b: another XDP program is attached"],
        );
        assert_eq!(host.pinned(), before);
        assert!(
            host.namespace.xdp_on("eth-a").is_some(),
            "protection of eth-a was lost"
        );
    }
}

#[test]
fn a_listen_address_in_use_is_named_with_its_key() {
    let host = Host::new();
    let listen = |port| {
        host.namespace
            .enter(|| TcpListener::bind(SocketAddr::new(LOOPBACK, port)))
            .unwrap()
    };
    let in_use = "Address already in use";
    for (port, key) in [(8443, "proxy.listen"), (8080, "api_listen")] {
        let _theirs = listen(port);
        run_refused(&host, &[key, &format!("127.0.0.1:{port}"), in_use]);
    }
    let _theirs = listen(3030);
    let config = host.write("orchestrator.toml", "");
    let output = host.run(
        "secbeat-orchestrator",
        &["run", "--config", config.to_str().unwrap()],
    );
    assert_refused(&output, FAILURE, &["api.listen", "127.0.0.1:3030", in_use]);
}

#[test]
fn a_nats_server_that_is_too_old_ends_both_daemons_with_both_versions() {
    let host = Host::new();
    let nats = NatsServer::start_too_old(&host.namespace, LOOPBACK);
    let address = nats.address().to_string();
    host.reconfigure("127.0.0.1:4222", &address);
    let parts = ["NATS", &address, "2.10.26", "needs 2.11 or newer"];
    assert_refused(&host.edge(&["run"]), FAILURE, &parts);
    let config = host.write(
        "orchestrator.toml",
        &format!("[nats]\nurl = \"nats://{address}\"\n"),
    );
    let output = host.run(
        "secbeat-orchestrator",
        &["run", "--config", config.to_str().unwrap()],
    );
    assert_refused(&output, FAILURE, &parts);
}
