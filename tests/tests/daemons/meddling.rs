//! Others write into the maps that the program goes by, or call an interface by another name. What can be repaired is; the rest is said.

use std::{fs, time::Duration};

use aya::maps::{Array, HashMap, Map, MapData};
use secbeat_common::maps;
use secbeat_edge::kernel::{AllowedNets, Carries, Pins, SettingsMap, is_dropped};
use secbeat_edge_core::FilterMode;
use secbeat_tests::lab::{
    client::Client,
    executable::{Executable as _, Program},
    host::{Host, assert_refused},
    process::Daemon,
    wait::wait_until,
};

const START: Duration = Duration::from_secs(20);
/// How long something may be wrong.
const SOON: Duration = Duration::from_secs(5);
const CLIENT: &str = "198.51.100.7";

fn start(host: &Host) -> Daemon {
    let mut edge = host.start_edge();
    edge.wait_for_log("running", START);
    edge
}

fn status(host: &Host) -> (bool, serde_json::Value) {
    let output = host.edge(&["status", "-o", "json"]);
    (
        output.status.success(),
        serde_json::from_slice(&output.stdout).unwrap(),
    )
}

fn ready(host: &Host) -> u16 {
    Client::new(&host.namespace)
        .get("http://127.0.0.1:8080/readyz")
        .unwrap()
}

fn drops(host: &Host, port: u16) -> bool {
    is_dropped(
        &Pins::at(host.pin_folder()),
        CLIENT.parse().unwrap(),
        Carries::Tcp(port),
    )
    .unwrap()
}

/// `bpftool map COMMAND pinned MAP ARGUMENT …`.
fn bpftool(host: &Host, map: &str, command: &str, arguments: &[&str]) {
    let map = host.pin_folder().join(map);
    let output = Program::Bpftool
        .command()
        .args(["map", command, "pinned", map.to_str().unwrap()])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn what_others_write_into_what_the_program_asks_first_is_undone() {
    let host = Host::new();
    let bad = host.write("bad.txt", "203.0.113.0/24\n");
    let partners = host.write("partners.txt", "198.51.100.77\n");
    let lists = format!(
        "[[list]]\nname = \"bad\"\nfile = \"{}\"\nverdict = \"ban\"\n[[list]]\nname = \"partners\"\nfile = \"{}\"\nverdict = \"allow\"\n[kernel]\n",
        bad.display(),
        partners.display()
    );
    host.reconfigure("[kernel]\n", &lists);
    let edge = start(&host);
    for target in [CLIENT, "198.51.100.64/26"] {
        assert!(host.edge(&["ban", target, "--duration", "1h"]).status.success());
    }
    let pins = Pins::at(host.pin_folder());
    let drops = |source: &str| is_dropped(&pins, source.parse().unwrap(), Carries::Tcp(443)).unwrap();
    let is_well = || {
        let passes = !drops("198.51.100.77");
        passes && [CLIENT, "198.51.100.65", "203.0.113.9"].into_iter().all(drops)
    };
    wait_until("all is in force", START, is_well);
    let array = |name: &str| Map::Array(MapData::from_pin(host.pin_folder().join(name)).unwrap());
    let meddle: [(&str, &dyn Fn()); 3] = [
        ("which lists are in force", &|| {
            bpftool(&host, maps::LISTS, "delete", &["key", "0", "0", "0", "0"]);
        }),
        ("where banned networks are looked for", &|| {
            let mut settings: Array<_, maps::Settings> = array(maps::SETTINGS).try_into().unwrap();
            let now = settings.get(&0, 0).unwrap();
            let nowhere = maps::Settings {
                nets_in_use: 0,
                ..now
            };
            settings.set(0, nowhere, 0).unwrap();
        }),
        ("the prefilter", &|| {
            let mut sieve: Array<_, u64> = array(maps::SIEVE).try_into().unwrap();
            for word in 0..sieve.len() {
                sieve.set(word, 0_u64, 0).unwrap();
            }
        }),
    ];
    for (what, meddle) in meddle {
        meddle();
        assert!(!is_well(), "{what} made no difference");
        wait_until(&format!("{what} is as it was"), SOON, is_well);
        wait_until(&format!("{what} is logged"), SOON, || edge.log().contains(what));
    }
    assert_eq!((ready(&host), status(&host).0), (200, true));
}

/// Long before the next reconciliation.
#[test]
fn bans_that_others_take_out_of_the_maps_or_end_there_come_back() {
    const IN_NET: &str = "203.0.113.9";
    /// `::ffff:203.0.113.0/120`, the length first.
    const NET_KEY: &str = "120 0 0 0 0 0 0 0 0 0 0 0 0 0 255 255 203 0 113 0";
    let host = Host::new();
    host.reconfigure("[proxy]\n", "[bans]\nreconcile_interval = \"1h\"\n[proxy]\n");
    let mut edge = start(&host);
    for target in [CLIENT, "203.0.113.0/24"] {
        assert!(host.edge(&["ban", target, "--duration", "1h"]).status.success());
    }
    let pins = Pins::at(host.pin_folder());
    let is_dropped = |source: &str| is_dropped(&pins, source.parse().unwrap(), Carries::Ping).unwrap();
    let key = [&["key"][..], &*NET_KEY.split(' ').collect::<Vec<_>>()].concat();
    assert!(is_dropped(IN_NET) && is_dropped(CLIENT));
    bpftool(&host, maps::BANNED_NETS, "delete", &key);
    assert!(!is_dropped(IN_NET));
    wait_until("the network is banned again", SOON, || is_dropped(IN_NET));

    // The express lane enforces the client's for a while.
    let pinned = MapData::from_pin(host.pin_folder().join(maps::BANNED_V4)).unwrap();
    let mut bans: HashMap<_, [u8; 4], maps::Ban> = Map::LruHashMap(pinned).try_into().unwrap();
    let key = [198, 51, 100, 7];
    let before = bans.get(&key, 0).unwrap();
    let over = maps::Ban {
        expires_jiffies: 1,
        expires_boot_ns: 1,
        ..before
    };
    bans.insert(key, over, 0).unwrap();
    wait_until("the client's ban has its end again", SOON, || {
        bans.get(&key, 0)
            .is_ok_and(|ban| ban.expires_boot_ns == before.expires_boot_ns)
    });
    edge.wait_for_log_count("the kernel's bans had drifted", 2, SOON);
    assert_eq!((ready(&host), status(&host).0), (200, true));
}

#[test]
fn an_allowlist_that_the_kernel_refuses_is_said_everywhere() {
    let host = Host::new();
    let edge = start(&host);
    assert!(host.edge(&["ban", CLIENT, "--duration", "1h"]).status.success());
    bpftool(&host, maps::ALLOWED_NETS, "freeze", &[]);
    let refused = host.edge(&["allowlist", "add", CLIENT]);
    assert_refused(&refused, 1, &["allowing 198.51.100.7/32 in the kernel"]);
    wait_until("the host is not ready", SOON, || ready(&host) == 503);
    let (is_well, status) = status(&host);
    let why = status["daemon"]["allowlist_failed"].as_str().unwrap_or_default();
    assert!(!is_well && why.contains(CLIENT), "{status}");
    let list = host.edge(&["allowlist", "list"]);
    let said = String::from_utf8_lossy(&list.stderr);
    assert!(
        said.contains("the kernel does not have the whole allowlist"),
        "{said}"
    );
    let test = String::from_utf8(host.edge(&["test", CLIENT]).stdout).unwrap();
    assert!(test.contains("THE KERNEL DOES NOT HAVE THE ENTRY"), "{test}");
    let mut client = Client::new(&host.namespace);
    let metrics = client.request("GET", "http://127.0.0.1:8080/metrics", &[], b"");
    let metrics = String::from_utf8(metrics.unwrap().body).unwrap();
    assert!(
        metrics.contains("secbeat_edge_allowlist_unwritten 1"),
        "{metrics}"
    );
    assert_eq!(edge.log().matches("; trying again").count(), 1, "{}", edge.log());
}

#[test]
fn what_others_write_into_the_programs_settings_is_undone() {
    let host = Host::new();
    host.reconfigure("ban_slots = 4096", "ban_slots = 4096\nports = [443, 8443]");
    let edge = start(&host);
    assert!(host.edge(&["ban", CLIENT, "--duration", "1h"]).status.success());
    let pins = Pins::at(host.pin_folder());
    let meddle: [(&str, &dyn Fn()); 4] = [
        ("the mode", &|| {
            SettingsMap::open(&pins)
                .unwrap()
                .set_mode(FilterMode::Observe)
                .unwrap();
        }),
        ("no ports", &|| {
            SettingsMap::open(&pins)
                .unwrap()
                .set_ports(&pins, Some(&[]))
                .unwrap();
        }),
        ("all ports", &|| {
            SettingsMap::open(&pins).unwrap().set_ports(&pins, None).unwrap();
        }),
        ("the allowlist", &|| {
            let mut allowed = AllowedNets::open(&pins).unwrap();
            allowed.add_local(&"198.51.100.0/24".parse().unwrap()).unwrap();
        }),
    ];
    let is_well = || drops(&host, 443) && !drops(&host, 80);
    assert!(is_well());
    for (what, meddle) in meddle {
        meddle();
        assert!(!is_well(), "{what} made no difference");
        wait_until(&format!("{what} is as it was"), SOON, is_well);
    }
    assert!(
        edge.log().contains("something else had changed"),
        "{}",
        edge.log()
    );
}

/// Long before the next reconciliation, and without the change of the generation that SecBeat's own processes make.
#[test]
fn what_others_write_into_the_allowlist_alone_is_undone() {
    const EXEMPT: &str = "198.51.100.9";
    /// Keys of `::ffff:198.51.100.7/128` and `::ffff:198.51.100.9/128`, the length first.
    const KEY_OF_CLIENT: &str = "128 0 0 0 0 0 0 0 0 0 0 0 0 0 255 255 198 51 100 7";
    const KEY_OF_EXEMPT: &str = "128 0 0 0 0 0 0 0 0 0 0 0 0 0 255 255 198 51 100 9";
    let host = Host::new();
    host.reconfigure("[proxy]\n", "[bans]\nreconcile_interval = \"1h\"\n[proxy]\n");
    let mut edge = start(&host);
    assert!(host.edge(&["allowlist", "add", EXEMPT]).status.success());
    // A ban that an entry touches: the program looks its packets up in the allowlist.
    let ban = host.edge(&["ban", "198.51.100.0/28", "--duration", "1h"]);
    assert!(ban.status.success(), "{ban:?}");
    let pins = Pins::at(host.pin_folder());
    let is_dropped = |source: &str| is_dropped(&pins, source.parse().unwrap(), Carries::Tcp(443)).unwrap();
    let is_well = || is_dropped(CLIENT) && !is_dropped(EXEMPT);
    wait_until("all is in force", SOON, is_well);
    let of_client = KEY_OF_CLIENT.split(' ').collect::<Vec<_>>();
    let of_exempt = KEY_OF_EXEMPT.split(' ').collect::<Vec<_>>();
    let added = [&["key"][..], of_client.as_slice(), &["value", "1", "0", "0", "0"]].concat();
    let removed = [&["key"][..], of_exempt.as_slice()].concat();
    for (times, command, arguments) in [(1, "update", added), (2, "delete", removed)] {
        bpftool(&host, maps::ALLOWED_NETS, command, &arguments);
        // It may be undone before a test of it is over.
        edge.wait_for_log_count("something else had changed the allowlist", times, SOON);
        wait_until(&format!("what {command} did is undone"), SOON, is_well);
    }
    assert_eq!((ready(&host), status(&host).0), (200, true));
}

#[test]
fn a_ban_that_the_kernel_refuses_is_said_everywhere() {
    let host = Host::new();
    let edge = start(&host);
    assert_eq!((ready(&host), status(&host).0), (200, true));
    bpftool(&host, maps::BANNED_V4, "freeze", &[]);
    assert!(!host.edge(&["ban", CLIENT, "--duration", "1h"]).status.success());
    wait_until("the host is not ready", SOON, || ready(&host) == 503);
    let (is_well, status) = status(&host);
    assert!(!is_well && status["daemon"]["unwritten"] == 1, "{status}");
    let log = edge.log();
    assert!(log.contains(&format!("the first of them {CLIENT}/32")), "{log}");
    let test = host.edge(&["test", CLIENT]);
    let said = String::from_utf8(test.stdout).unwrap();
    assert!(said.contains("THE KERNEL DOES NOT HAVE THE BAN"), "{said}");
}

#[test]
fn an_alternative_name_stands_for_its_interface_everywhere() {
    let host = Host::new();
    let property = ["link", "property", "add", "dev", "eth-a", "altname"];
    for name in ["enp9s9", "wan0"] {
        host.namespace.ip(&[&property[..], &[name]].concat());
    }
    host.reconfigure(
        "interfaces = [\"eth-a\"]",
        "interfaces = [\"enp9s9\", \"eth-a\", \"wan*\"]\ninterface_modes = { wan0 = \"observe\", nope0 = \"observe\" }",
    );
    let edge = start(&host);
    let attached = || status(&host).1["attached"].as_array().unwrap().clone();
    let modes = |interface: &str| -> Vec<bool> {
        let of = attached().into_iter().filter(|it| it["interface"] == interface);
        of.map(|it| it["observes"].as_bool().unwrap_or_default())
            .collect()
    };
    assert_eq!((attached().len(), modes("eth-a")), (1, vec![true]));
    assert!(
        edge.log().contains("no interface is called `nope0`"),
        "{}",
        edge.log()
    );
    let without = &status(&host).1["daemon"]["modes_without_interface"];
    assert_eq!(without, &serde_json::json!(["nope0"]));
    for (mode, observes) in [("enforce", false), ("observe", true)] {
        assert!(
            host.edge(&["mode", mode, "--interface", "enp9s9"])
                .status
                .success()
        );
        assert_eq!(modes("eth-a"), [observes], "{mode}");
    }
}

#[test]
fn a_wrong_config_leaves_the_commands_that_one_needs_then_and_detach_sees_what_is_left() {
    let host = Host::new();
    let mut edge = start(&host);
    assert!(host.edge(&["ban", CLIENT, "--duration", "1h"]).status.success());
    let config = fs::read_to_string(host.file("edge.toml")).unwrap();
    host.write(
        "edge.toml",
        &config.replace("[kernel]", "[kernel]\nno_such_key = 1"),
    );
    let bans = host.edge(&["bans"]);
    assert!(bans.status.success(), "{bans:?}");
    assert!(String::from_utf8_lossy(&bans.stdout).contains(CLIENT), "{bans:?}");
    assert!(
        String::from_utf8_lossy(&bans.stderr).contains("no_such_key"),
        "{bans:?}"
    );
    assert!(host.edge(&["unban", CLIENT]).status.success());
    edge.kill9();
    let ban = host.edge(&["ban", CLIENT]);
    assert_eq!(ban.status.code(), Some(1), "{ban:?}");
    let said = String::from_utf8_lossy(&ban.stderr);
    assert!(
        said.contains("the networks that it protects are unknown"),
        "{said}"
    );

    // The pins of another config are not those of this daemon.
    let elsewhere = config.replace(
        &host.pin_folder().display().to_string(),
        &format!("{}-other", host.pin_folder().display()),
    );
    host.write("edge.toml", &elsewhere);
    assert_refused(&host.edge(&["detach"]), 1, &["still runs on eth-a", "--config"]);
    host.write(
        "edge.toml",
        &config.replace("[kernel]", "[kernel]\nno_such_key = 1"),
    );
    assert!(host.edge(&["detach"]).status.success());
    wait_until("the interface is free", SOON, || {
        host.namespace.xdp_on("eth-a").is_none()
    });
    host.write("edge.toml", &config);
}

#[test]
fn a_config_that_a_reload_refuses_is_known_until_one_is_taken_over() {
    let host = Host::new();
    let mut edge = start(&host);
    let refused = || status(&host).1["daemon"]["refused_config"].clone();
    let metric = |value: u8| {
        let metrics = Client::new(&host.namespace).request("GET", "http://127.0.0.1:8080/metrics", &[], b"");
        let metrics = String::from_utf8(metrics.unwrap().body).unwrap();
        metrics.contains(&format!("\nsecbeat_edge_config_refused {value}\n"))
    };
    assert!(refused().is_null() && metric(0));
    let config = fs::read_to_string(host.file("edge.toml")).unwrap();
    host.write(
        "edge.toml",
        &config.replace("[kernel]", "[kernel]\nno_such_key = 1"),
    );
    edge.signal(libc::SIGHUP);
    wait_until("it is refused", SOON, || {
        refused()["why"]
            .as_str()
            .is_some_and(|why| why.contains("no_such_key"))
    });
    assert!(metric(1));
    assert_eq!(ready(&host), 200, "the config in use is enforced");
    host.write("edge.toml", &config);
    edge.signal(libc::SIGHUP);
    wait_until("it is taken over", SOON, || refused().is_null());
    assert!(metric(0));
}
