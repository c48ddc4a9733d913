//! The kernel's bans against the desired ones: what was evicted comes back, what nobody wants goes.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use secbeat_common::{
    maps::{origin, reason},
    prefix::Prefix,
};
use secbeat_edge::kernel::{BanMaps, KernelBan, Pins, boot_now, jiffy_clock};
use secbeat_tests::lab::{
    fleet::{Fleet, Options},
    wait::wait_until,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

fn ban_on_the_edge(fleet: &Fleet, target: &Prefix) {
    let body = format!("{{\"target\": \"{target}\", \"duration\": \"1h\"}}");
    let answer = fleet.order(8080, "POST", "/api/v1/bans", &body).unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
}

fn sources(first: u32, count: u32) -> Vec<Prefix> {
    (first..first + count)
        .map(|n| Prefix::single(Ipv4Addr::from(0xc612_0000 + n).into()))
        .collect()
}

fn open(pin_folder: &Path) -> BanMaps {
    BanMaps::open(&Pins::at(pin_folder)).unwrap()
}

fn reconcile(fleet: &Fleet) -> Value {
    fleet.edge_stats().unwrap()["reconcile"].clone()
}

#[test]
fn a_full_maps_evicted_bans_come_back_and_foreign_ones_go() {
    let fleet = Fleet::start(&Options {
        ban: "1h",
        enforcement: "kernel",
        ban_slots: 2048,
        ..Options::default()
    });
    let desired = sources(0, 300);
    for target in &desired {
        ban_on_the_edge(&fleet, target);
    }
    let mut maps = open(fleet.pin_folder());
    let held = |maps: &BanMaps| {
        desired
            .iter()
            .filter(|target| maps.get(target).unwrap().is_some())
            .count()
    };
    assert_eq!(held(&maps), desired.len());

    let foreign = KernelBan {
        ends: boot_now().plus(Duration::from_secs(3600)),
        reason: reason::ERROR_FLOOD,
        origin: origin::FLEET,
        strikes: 0,
        unallowed_in: 0,
        dropped_packets: 0,
        dropped_bytes: 0,
    };
    let flood: Vec<_> = sources(10_000, 4096)
        .into_iter()
        .map(|target| (target, foreign))
        .collect();
    maps.put_all(&flood, &jiffy_clock().unwrap()).unwrap();
    wait_until(
        "every evicted ban is back and nothing foreign is left",
        PATIENCE,
        || held(&maps) == desired.len() && maps.all().unwrap().len() == desired.len(),
    );
    wait_until("the edge says so", PATIENCE, || {
        let now = reconcile(&fleet);
        now["evicted"].as_u64().unwrap() > 0 && now["missing"] == 0 && now["foreign"] == 0
    });
    let maps = reconcile(&fleet)["maps"].clone();
    assert_eq!(
        (&maps[0]["name"], &maps[0]["entries"], &maps[0]["slots"]),
        (&"BANNED_V4".into(), &300.into(), &2048.into())
    );
    let status = fleet.cli("edge", &["status"]);
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("BANNED_V4 holds 300 in 2048 slots"), "{status}");
}

#[test]
fn an_edge_with_more_bans_than_slots_warns_and_goes_on() {
    let mut fleet = Fleet::start(&Options {
        ban: "1h",
        enforcement: "kernel",
        ban_slots: 1024,
        ..Options::default()
    });
    for target in sources(0, 1500) {
        ban_on_the_edge(&fleet, &target);
    }
    fleet.edge.wait_for_log("over half full", PATIENCE);
    fleet.edge.wait_for_log("raise kernel.ban_slots", PATIENCE);
    let evicted = || reconcile(&fleet)["evicted"].as_u64().unwrap();
    wait_until("evictions are counted", PATIENCE, || evicted() > 0);
    // Still takes orders, and enforces the newest first.
    let newest = sources(5000, 1)[0];
    ban_on_the_edge(&fleet, &newest);
    assert!(open(fleet.pin_folder()).get(&newest).unwrap().is_some());
    assert_eq!(fleet.edge_stats().unwrap()["blocked_ips"], 1501);
}

#[test]
fn a_networks_ban_that_somebody_removed_comes_back() {
    let fleet = Fleet::start(&Options::default());
    let net = "203.0.113.64/26";
    assert!(fleet.cli("edge", &["ban", net]).status.success());
    let mut maps = open(fleet.pin_folder());
    maps.remove(&net.parse().unwrap()).unwrap();
    wait_until("the network's ban is back", PATIENCE, || {
        maps.get(&net.parse().unwrap()).unwrap().is_some()
    });
    wait_until("it was counted as an eviction", PATIENCE, || {
        reconcile(&fleet)["evicted"] == 1
    });
}
