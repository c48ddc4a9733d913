//! Enforcement is broken behind the daemon's back, in every way that a host knows. Each time, within seconds, the program runs again
//! where it is to, or everything that shows says that it does not.

use std::{
    fs::{self, Permissions},
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    thread,
    time::Duration,
};

use aya::programs::{
    links::{FdLink, PinnedLink},
    xdp::XdpLink,
};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use secbeat_common::{
    maps::{self, FEW_NETS, NET_TABLE},
    prefix::Prefix,
};
use secbeat_edge::kernel::{BanMaps, Carries, KernelBan, Pins, boot_now, is_dropped, jiffy_clock};
use secbeat_tests::lab::{
    bpf::Filter,
    client::Client,
    executable::{Executable as _, Program},
    fleet::{Fleet, Options},
    host::{Host, assert_refused},
    netns::Namespace,
    process::Daemon,
    wait::wait_until,
};

const START: Duration = Duration::from_secs(20);
/// How long a host may be unprotected, or say what is not true.
const SOON: Duration = Duration::from_secs(5);
const API: &str = "http://127.0.0.1:8080";

/// Whether SecBeat's program runs on an interface, by the kernel's word.
fn runs(host: &Host, interface: &str) -> bool {
    host.xdp_program_on(interface)
        .is_some_and(|name| name.starts_with("secbeat"))
}

/// What `status` says of an interface: whether it is protected, and why not.
fn said(host: &Host, interface: &str) -> (bool, String) {
    let output = host.edge(&["status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let attached = status["attached"].as_array().unwrap();
    let of = attached
        .iter()
        .find(|attached| attached["interface"] == interface);
    let of = of.unwrap_or_else(|| panic!("nothing of {interface} in {status}"));
    let is_protected = of["protected"].as_bool().unwrap();
    if !is_protected {
        assert!(!output.status.success(), "status succeeds although {of}");
    }
    (is_protected, of["why"].as_str().unwrap_or_default().to_owned())
}

/// Whether the daemon is ready, and its metric of an interface.
fn ready(host: &Host, interface: &str) -> (u16, String) {
    let mut client = Client::new(&host.namespace);
    let status = client.get(&format!("{API}/readyz")).unwrap();
    let metrics = client
        .request("GET", &format!("{API}/metrics"), &[], b"")
        .unwrap();
    let metrics = String::from_utf8(metrics.body).unwrap();
    let name = format!("secbeat_edge_xdp_attached{{interface=\"{interface}\"");
    let line = metrics.lines().find(|line| line.starts_with(&name));
    let value = line.and_then(|line| line.rsplit(' ').next());
    (status, value.unwrap_or_default().to_owned())
}

#[track_caller]
fn await_protected(host: &Host, interface: &str, after: &str) {
    wait_until(&format!("{interface} is protected after {after}"), SOON, || {
        runs(host, interface) && said(host, interface).0 && ready(host, interface) == (200, "1".to_owned())
    });
}

/// Waits until everything says that `interface` is not protected, for a reason with `part`.
#[track_caller]
fn await_admitted(host: &Host, interface: &str, part: &str) {
    wait_until(
        &format!("{interface} is said to be unprotected: {part}"),
        SOON,
        || {
            let (is_protected, why) = said(host, interface);
            !is_protected && why.contains(part) && ready(host, interface) == (503, "0".to_owned())
        },
    );
    assert!(!runs(host, interface));
}

fn start(host: &Host) -> Daemon {
    let mut edge = host.start_edge();
    edge.wait_for_log("running", START);
    edge
}

/// A pair of interfaces of which the first is `name`.
fn make(namespace: &Namespace, name: &str) {
    namespace.ip(&["link", "add", name, "type", "veth"]);
    namespace.ip(&["link", "set", name, "up"]);
}

fn bpftool(arguments: &[&str]) {
    let output = Program::Bpftool.command().args(arguments).output().unwrap();
    assert!(output.status.success(), "bpftool {arguments:?}: {output:?}");
}

#[test]
fn an_interface_that_is_renamed_swapped_or_moved_is_no_longer_believed_to_be_protected() {
    let host = Host::new();
    host.reconfigure("\"eth-a\"", "\"eth-a\", \"eth-b\"");
    let mut edge = start(&host);
    let ip = |arguments: &str| host.namespace.ip(&arguments.split(' ').collect::<Vec<_>>());
    await_protected(&host, "eth-a", "the start");

    ip("link set eth-a name old");
    await_admitted(&host, "eth-a", "there is no such interface");
    make(&host.namespace, "eth-a");
    await_protected(&host, "eth-a", "another one has its name");
    wait_until("the old one is free", SOON, || !runs(&host, "old"));

    // Two that swap their names.
    ip("link set eth-a name between");
    ip("link set eth-b name eth-a");
    ip("link set between name eth-b");
    for interface in ["eth-a", "eth-b"] {
        await_protected(&host, interface, "a swap");
    }
    // Which a restart finds in order.
    assert!(edge.terminate(START).success());
    let mut edge = start(&host);
    await_protected(&host, "eth-a", "a restart");
    assert!(edge.terminate(START).success());
    ip("link set eth-a name between");
    ip("link set eth-b name eth-a");
    ip("link set between name eth-b");
    let _edge = start(&host);
    for interface in ["eth-a", "eth-b"] {
        await_protected(&host, interface, "a swap while nobody looked");
    }

    let elsewhere = Namespace::new("elsewhere");
    ip(&format!("link set eth-a netns {}", elsewhere.name()));
    await_admitted(&host, "eth-a", "there is no such interface");
    make(&host.namespace, "eth-a");
    await_protected(&host, "eth-a", "a move to another namespace");
    assert_eq!(elsewhere.xdp_on("eth-a"), None, "what has left is free");
    ip("link delete eth-a");
    await_admitted(&host, "eth-a", "there is no such interface");
}

#[test]
fn a_renamed_interface_is_taken_over_under_its_new_name() {
    let host = Host::new();
    let mut edge = start(&host);
    await_protected(&host, "eth-a", "the start");
    assert!(edge.terminate(START).success());
    host.namespace.ip(&["link", "set", "eth-a", "name", "wan"]);
    host.reconfigure("\"eth-a\"", "\"wan\"");
    let _edge = start(&host);
    await_protected(&host, "wan", "the start under another name");
}

#[test]
fn pins_links_and_maps_that_are_taken_away_come_back() {
    let host = Host::new();
    let _edge = start(&host);
    await_protected(&host, "eth-a", "the start");
    assert!(
        host.edge(&["ban", "198.51.100.7", "--duration", "1h"])
            .status
            .success()
    );
    let pinned = host.pinned();
    let link = host.pin_folder().join("link-native-eth-a");
    let banned = || {
        let bans = host.edge(&["bans"]);
        String::from_utf8_lossy(&bans.stdout).contains("198.51.100.7")
    };

    bpftool(&["link", "detach", "pinned", link.to_str().unwrap()]);
    await_protected(&host, "eth-a", "its link was detached");
    fs::remove_file(&link).unwrap();
    await_protected(&host, "eth-a", "its link was removed");
    fs::remove_file(host.pin_folder().join(maps::BANNED_V4)).unwrap();
    wait_until("the map is pinned again", SOON, || host.pinned() == pinned);
    // One of somebody else's in its place.
    let map = host.pin_folder().join(maps::BANNED_V4);
    fs::remove_file(&map).unwrap();
    let make = "type array key 4 value 4 entries 1 name other";
    let arguments = [
        &["map", "create", map.to_str().unwrap()],
        make.split(' ').collect::<Vec<_>>().as_slice(),
    ]
    .concat();
    bpftool(&arguments);
    wait_until("the program's own map is pinned again", SOON, banned);
    fs::remove_dir_all(host.pin_folder()).unwrap();
    wait_until("all is pinned again", SOON, || host.pinned() == pinned);
    await_protected(&host, "eth-a", "all pins were removed");
    assert!(banned());
}

#[test]
fn programs_whose_pins_are_taken_away_or_that_are_replaced_on_a_link_come_back() {
    let host = Host::new();
    let mut edge = start(&host);
    await_protected(&host, "eth-a", "the start");
    let pinned = host.pinned();
    let unpin = || {
        let pins = maps::XDP_PROGRAMS.map(|name| host.pin_folder().join(name));
        let there_are: Vec<_> = pins.into_iter().filter(|pin| pin.exists()).collect();
        assert!(!there_are.is_empty());
        there_are.iter().for_each(|pin| fs::remove_file(pin).unwrap());
    };
    unpin();
    wait_until("the programs are pinned again", SOON, || host.pinned() == pinned);

    let mut other = Filter::load();
    let link = PinnedLink::from_pin(host.pin_folder().join("link-native-eth-a")).map(FdLink::from);
    let link = XdpLink::try_from(link.unwrap()).unwrap();
    other.program_mut(maps::PROGRAM).attach_to_link(link).unwrap();
    edge.wait_for_log("had replaced the program on its link", SOON);
    await_protected(&host, "eth-a", "its link had another program");

    edge.kill9();
    unpin();
    let (is_protected, why) = said(&host, "eth-a");
    assert!(runs(&host, "eth-a") && is_protected, "{why}");
}

#[test]
fn a_pin_folder_that_others_may_write_to_is_said() {
    let host = Host::new();
    let _edge = start(&host);
    await_protected(&host, "eth-a", "the start");
    let open = |mode| fs::set_permissions(host.pin_folder(), Permissions::from_mode(mode)).unwrap();
    open(0o777);
    wait_until("it is said", SOON, || {
        let (is_protected, why) = said(&host, "eth-a");
        !is_protected && why.contains("only its owner may write to it") && ready(&host, "eth-a").0 == 503
    });
    open(0o700);
    await_protected(&host, "eth-a", "nobody else may write there");
}

/// An edge tells the fleet how it does every 5 s.
#[test]
fn the_fleet_hears_that_an_interface_is_not_protected_and_why_and_that_it_is_again() {
    let fleet = Fleet::start(&Options::default());
    let heard = || {
        let edges = fleet.cli("orchestrator", &["edges", "-o", "json"]).stdout;
        let edges: serde_json::Value = serde_json::from_slice(&edges).unwrap_or_default();
        let interfaces = edges[0]["record"]["interfaces"].as_array();
        let mut interfaces = interfaces.into_iter().flatten();
        match interfaces.find(|it| it["name"] == "to-attacker") {
            Some(of) => of["unprotected"].as_str().unwrap_or("all is well").to_owned(),
            None => "unheard".to_owned(),
        }
    };
    let await_heard = |part: &str| {
        wait_until(&format!("the fleet hears: {part}"), START, || {
            heard().contains(part)
        });
    };
    let rename = |from: &str, to: &str| fleet.host.ip(&["link", "set", from, "name", to]);
    let open = |mode| fs::set_permissions(fleet.pin_folder(), Permissions::from_mode(mode)).unwrap();
    await_heard("all is well");
    rename("to-attacker", "old");
    await_heard("there is no such interface");
    let alerts = fleet.cli("orchestrator", &["alerts"]);
    let said = String::from_utf8_lossy(&alerts.stdout);
    assert!(
        !alerts.status.success() && said.contains("to-attacker is not protected: there is no such interface"),
        "{said}"
    );
    rename("old", "to-attacker");
    open(0o777);
    await_heard("only its owner may write to it");
    open(0o700);
    await_heard("all is well");
}

#[test]
fn an_interface_may_have_a_dot_or_a_tilde_in_its_name() {
    let host = Host::new();
    for name in ["tz~1", "tz.2"] {
        make(&host.namespace, name);
    }
    host.reconfigure("\"eth-a\"", "\"eth-a\", \"tz*\"");
    let mut edge = start(&host);
    let pins = ["link-native-tz:2", "link-native-tz~1"];
    let has_pins = || {
        pins.into_iter()
            .all(|pin| host.pinned().iter().any(|name| name == pin))
    };
    await_protected(&host, "tz.2", "the start");
    assert!(has_pins(), "{:?}", host.pinned());
    assert!(edge.terminate(START).success());
    // As versions before the first release wrote it.
    let [dotted, _] = pins.map(|pin| host.pin_folder().join(pin));
    fs::rename(&dotted, host.pin_folder().join("link-native-tz~2")).unwrap();
    let edge = start(&host);
    // Longer than from one look to the next.
    thread::sleep(Duration::from_secs(3));
    assert!(has_pins(), "{:?}", host.pinned());
    assert!(!edge.log().contains("attached it again"), "{}", edge.log());
    for interface in ["tz~1", "tz.2"] {
        await_protected(&host, interface, "another start");
    }
}

/// A BPF file system of its own.
struct BpfFolder(PathBuf);

impl BpfFolder {
    fn mount(at: PathBuf) -> Self {
        fs::create_dir(&at).unwrap();
        let none: Option<&str> = None;
        mount(Some("bpf"), &at, Some("bpf"), MsFlags::empty(), none).unwrap();
        Self(at)
    }

    fn remount_read_only(&self) {
        let none: Option<&str> = None;
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(none, &self.0, none, flags, none).unwrap();
    }

    fn unmount(&self) {
        umount2(&self.0, MntFlags::MNT_DETACH).unwrap();
    }
}

impl Drop for BpfFolder {
    fn drop(&mut self) {
        // It may be gone.
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

#[test]
fn the_kill_switch_needs_no_pins() {
    for what in ["read-only", "gone"] {
        let host = Host::new();
        let folder = BpfFolder::mount(host.file("bpf"));
        let pins = host.pin_folder().display().to_string();
        host.reconfigure(&pins, &folder.0.join("pins").display().to_string());
        let _edge = start(&host);
        await_protected(&host, "eth-a", "the start");
        match what {
            "gone" => folder.unmount(),
            _ => folder.remount_read_only(),
        }
        let detached = host.edge(&["detach"]);
        let said = String::from_utf8_lossy(&detached.stdout);
        assert!(detached.status.success(), "{what}: {detached:?}");
        assert!(said.contains("detached from eth-a"), "{what}: {detached:?}");
        assert!(!runs(&host, "eth-a"), "{what}");
        await_admitted(&host, "eth-a", "detached by `secbeat-edge detach`");
    }
}

#[test]
fn a_daemon_that_hangs_hides_nothing_of_the_kernel() {
    let host = Host::new();
    let mut edge = start(&host);
    assert!(host.edge(&["ban", "198.51.100.7"]).status.success());
    edge.signal(libc::SIGSTOP);
    let status = host.edge(&["status"]);
    edge.signal(libc::SIGCONT);
    let said = String::from_utf8(status.stdout).unwrap();
    assert!(said.contains("daemon     HANGS"), "{said}");
    assert!(
        said.contains("native on eth-a") && said.contains("1 in the kernel"),
        "{said}"
    );
    assert_eq!(status.status.code(), Some(69), "{said}");
}

#[test]
fn an_interface_that_somebody_else_has_taken_is_said_to_be_unprotected_by_whom() {
    let host = Host::new();
    let _edge = start(&host);
    await_protected(&host, "eth-a", "the start");
    let mut other = Filter::load();
    let program = other.program_mut(maps::PROGRAM);
    // Deleted and made anew with their program on it, before ours can be there.
    host.namespace.ip(&["link", "set", "eth-a", "name", "old"]);
    make(&host.namespace, "theirs");
    let link = host
        .namespace
        .enter(|| program.attach("theirs", aya::programs::xdp::XdpMode::Driver))
        .unwrap();
    host.namespace.ip(&["link", "set", "theirs", "name", "eth-a"]);
    wait_until("it is said who holds the interface", SOON, || {
        let (is_protected, why) = said(&host, "eth-a");
        !is_protected
            && why.contains("eth-a: another XDP program is attached")
            && ready(&host, "eth-a").0 == 503
    });
    program.detach(link).unwrap();
    await_protected(&host, "eth-a", "theirs has gone");
}

#[test]
fn an_interface_that_is_missing_at_the_start_stops_no_other_and_is_waited_for() {
    let host = Host::new();
    host.reconfigure("\"eth-a\"", "\"eth-a\", \"eth9\"");
    let _edge = start(&host);
    assert!(runs(&host, "eth-a") && said(&host, "eth-a").0);
    await_admitted(&host, "eth9", "there is no such interface");
    make(&host.namespace, "eth9");
    await_protected(&host, "eth9", "it has come");
}

#[test]
fn the_kill_switch_stays_thrown_over_restarts_until_it_is_taken_back() {
    let host = Host::new();
    let mut edge = start(&host);
    await_protected(&host, "eth-a", "the start");
    assert!(host.edge(&["detach"]).status.success());
    await_admitted(&host, "eth-a", "detached by `secbeat-edge detach`");
    assert!(edge.terminate(START).success());
    let _edge = start(&host);
    await_admitted(&host, "eth-a", "detached by `secbeat-edge detach`");
    assert!(host.edge(&["attach"]).status.success());
    await_protected(&host, "eth-a", "the switch was taken back");
}

/// The daemon looks at its interfaces every 2 s; that is not waited for.
#[test]
fn what_the_kill_switch_did_shows_as_soon_as_its_command_has_ended() {
    let host = Host::new();
    let _edge = start(&host);
    await_protected(&host, "eth-a", "the start");
    for _ in 0..3 {
        assert!(host.edge(&["detach"]).status.success());
        let (is_protected, why) = said(&host, "eth-a");
        assert!(
            !is_protected && why.contains("detached by `secbeat-edge detach`"),
            "{why}"
        );
        assert_eq!(ready(&host, "eth-a"), (503, "0".to_owned()));
        assert!(!runs(&host, "eth-a"));
        assert!(host.edge(&["attach"]).status.success());

        // The first that asks after the switch need not be `status`.
        let detached = host.edge(&["detach"]);
        let text = String::from_utf8_lossy(&detached.stdout);
        assert!(text.starts_with("detached from eth-a;"), "{text}");
        let banned = host.edge(&["ban", "198.51.100.7"]);
        assert_refused(&banned, 1, &["detached by `secbeat-edge detach`"]);
        let bans = host.edge(&["bans"]);
        let passes = String::from_utf8_lossy(&bans.stderr);
        assert!(passes.contains("NOT ENFORCED"), "{bans:?}");
        let mode = host.edge(&["mode"]);
        let mode = String::from_utf8_lossy(&mode.stdout);
        assert!(
            mode.starts_with("enforce\nbut NOT ENFORCED: eth-a: detached"),
            "{mode}"
        );

        let attached = host.edge(&["attach"]);
        let text = String::from_utf8_lossy(&attached.stdout);
        assert_eq!(text, "the kill switch is taken back; attached to eth-a\n");
        assert!(runs(&host, "eth-a"));
        assert_eq!(said(&host, "eth-a"), (true, String::new()));
        assert_eq!(ready(&host, "eth-a"), (200, "1".to_owned()));
    }
}

#[test]
fn other_ban_slots_carry_live_bans_over_with_the_rights_of_the_unit() {
    let host = Host::new();
    let mut edge = host.start_edge_as_unit();
    edge.wait_for_log("running", START);
    for target in ["198.51.100.7", "203.0.113.0/24", "2001:db8::/64"] {
        assert!(host.edge(&["ban", target, "--duration", "1h"]).status.success());
    }
    let bans = || String::from_utf8(host.edge(&["bans", "-o", "json"]).stdout).unwrap();
    assert!(edge.terminate(START).success());
    host.reconfigure("4096", "8192");
    let mut edge = host.start_edge_as_unit();
    edge.wait_for_log("running", START);
    for target in ["198.51.100.7", "203.0.113.0/24", "2001:db8::/64"] {
        wait_until("the ban was carried over", START, || bans().contains(target));
    }
    await_protected(&host, "eth-a", "another number of slots");
}

#[test]
fn the_ban_maps_grow_with_the_rights_of_the_unit() {
    let host = Host::new();
    host.reconfigure("4096", "8");
    let mut edge = host.start_edge_as_unit();
    edge.wait_for_log("running", START);
    host.reconfigure("4096", "1024");
    edge.signal(libc::SIGHUP);
    edge.wait_for_log("the config is reloaded", START);
    for number in 1..=6 {
        assert!(
            host.edge(&["ban", &format!("198.51.100.{number}")])
                .status
                .success()
        );
    }
    edge.wait_for_log("the ban maps have grown", START);
    let bans = String::from_utf8(host.edge(&["bans", "-o", "json"]).stdout).unwrap();
    assert!(
        (1..=6).all(|number| bans.contains(&format!("\"198.51.100.{number}/32\""))),
        "{bans}"
    );
    await_protected(&host, "eth-a", "the maps grew");
}

/// Making a map, and opening one that is in another, may take rights that the unit does not have.
#[test]
fn a_table_of_networks_is_made_and_found_again_with_the_rights_of_the_unit() {
    let host = Host::new();
    let mut edge = host.start_edge_as_unit();
    edge.wait_for_log("running", START);
    assert!(edge.terminate(START).success());
    let net = |number: u32| Prefix::new(Ipv4Addr::from(0xcb00_7100 + number * 16).into(), 28).unwrap();
    let ban = KernelBan {
        ends: boot_now().plus(Duration::from_secs(3600)),
        reason: maps::reason::MANUAL,
        origin: maps::origin::LOCAL,
        strikes: 0,
        unallowed_in: 0,
        dropped_packets: 0,
        dropped_bytes: 0,
    };
    let nets: Vec<_> = (0..FEW_NETS).map(|number| (net(number), ban)).collect();
    let pins = Pins::at(host.pin_folder());
    BanMaps::open(&pins)
        .unwrap()
        .put_all(&nets, &jiffy_clock().unwrap())
        .unwrap();
    let table = host.pin_folder().join(NET_TABLE);

    let mut edge = host.start_edge_as_unit();
    edge.wait_for_log("running", START);
    assert!(!table.exists());
    let one_more = net(FEW_NETS);
    assert!(host.edge(&["ban", &one_more.to_string()]).status.success());
    assert!(table.exists(), "{}", edge.log());
    let dropped = |number| is_dropped(&pins, net(number).addr(), Carries::Ping).unwrap();
    assert!(dropped(0) && dropped(FEW_NETS) && !dropped(FEW_NETS + 1));
    assert!(edge.terminate(START).success());
    assert!(dropped(0) && dropped(FEW_NETS));

    host.reconfigure("4096", "8192");
    let mut edge = host.start_edge_as_unit();
    edge.wait_for_log("running", START);
    let count = || {
        let bans = host.edge(&["bans", "-o", "json"]).stdout;
        let bans: serde_json::Value = serde_json::from_slice(&bans).unwrap();
        bans.as_array().unwrap().len()
    };
    wait_until("the bans in the table are adopted", SOON, || {
        count() == FEW_NETS as usize + 1
    });
    assert!(dropped(0) && dropped(FEW_NETS));
    assert!(host.edge(&["unban", &net(0).to_string()]).status.success());
    assert!(!dropped(0) && dropped(1) && dropped(FEW_NETS));
    assert_eq!(count(), FEW_NETS as usize);
}

#[test]
fn a_second_daemon_on_the_same_pins_is_refused() {
    let host = Host::new();
    let _edge = start(&host);
    host.reconfigure("127.0.0.1:8443", "127.0.0.1:8444");
    let config = fs::read_to_string(host.file("edge.toml")).unwrap();
    host.write(
        "edge.toml",
        &format!("api_listen = \"127.0.0.1:8081\"\napi_socket = \"\"\n{config}"),
    );
    assert_refused(
        &host.edge(&["run"]),
        1,
        &["another daemon works with the pins in"],
    );
    assert!(runs(&host, "eth-a"));
}
