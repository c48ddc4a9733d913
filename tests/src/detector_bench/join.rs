//! A new edge joins a fleet with many active bans.

use std::{
    fs,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use secbeat_common::{
    prefix::Prefix,
    sign::Signer,
    subjects,
    wire::{Action, BlockCommand, Layer, Reason, Scope},
};
use secbeat_daemon::{credentials::Role, time::now_ms};
use secbeat_edge::kernel::{BanMaps, Pins};
use uuid::Uuid;

use crate::{
    bench::{
        demand::{Demand, Limit},
        outcome::{Outcome, Row},
        parts::Options,
    },
    lab::{
        fleet::{self, Fleet},
        further_edge::FurtherEdge,
        intruder::Intruder,
        wait::wait_until,
    },
};

/// Bans in force when the edge joins.
const BANS: u32 = 100_000;
const LIMIT_S: f64 = 2.0;
const SIGNED_LIMIT_S: f64 = 5.0;
/// What the edge's config advises.
const SLOTS: u32 = 4 * BANS;
/// As long as the bus may take to store all bans, syncing each.
const STORING: Duration = Duration::from_secs(300);
const JOINING: Duration = Duration::from_secs(60);

/// From the start of an edge's process until its kernel holds 100,000 bans of the fleet: as they are, and signed.
///
/// # Panics
///
/// When it does not hold all of them after a minute.
pub(super) fn measure(options: Options) -> Outcome {
    let mut outcome = Outcome::default();
    for (secured, bans, limit) in [
        (false, "active bans", LIMIT_S),
        (true, "signed bans", SIGNED_LIMIT_S),
    ] {
        let mut row = Row::new(
            format!("a new edge joins, {BANS} {bans}"),
            "s until its kernel has all",
        );
        let mut fleet = full_fleet(secured);
        for round in 0..options.rounds {
            let id = format!("joining-{round}");
            if secured {
                drop(fleet.nats.enroll(&id));
            }
            row.rounds.push(join(&fleet, &id).as_secs_f64());
        }
        outcome.demands.push(Demand::of(&row, Limit::AtMost(limit), None));
        outcome.rows.push(row);
    }
    outcome
}

/// A fleet whose one edge holds all bans.
fn full_fleet(secured: bool) -> Fleet {
    let fleet = Fleet::start(&fleet::Options {
        secured,
        ban_slots: SLOTS,
        ..fleet::Options::default()
    });
    let (folder, orchestrator) = (fleet.nats.fleet(), "credentials/orchestrator-1.toml");
    let signer: Signer = match secured {
        true => fs::read_to_string(folder.join("signing.key"))
            .ok()
            .and_then(|key| key.parse().ok()),
        false => None,
    }
    .into();
    let bans = (0..BANS).map(|n| {
        let command = command(n);
        let bytes = signer.seal(&command, 0).expect("encoding a ban");
        (subjects::ban(&command.target), bytes)
    });
    match secured {
        true => Intruder::with(
            &fleet.host,
            &folder.join(orchestrator),
            Role::Orchestrator,
            async |Intruder { client, .. }| {
                for (subject, bytes) in bans {
                    client
                        .publish(subject, bytes.into())
                        .await
                        .expect("publishing a ban");
                }
                client.flush().await.expect("publishing bans");
            },
        ),
        false => fleet.nats.publish_all(bans),
    }
    wait_until(
        "the bus holds all bans, and the first edge has them",
        STORING,
        || {
            fleet
                .edge_stats()
                .is_some_and(|stats| stats["blocked_ips"] == BANS)
        },
    );
    fleet
}

fn join(fleet: &Fleet, id: &str) -> Duration {
    let begun = Instant::now();
    let joining = FurtherEdge::start(fleet, id, SLOTS, "");
    wait_until("the joining edge has all bans", JOINING, || {
        joining
            .stats()
            .is_some_and(|stats| stats["synced"] == true && stats["blocked_ips"] == BANS)
    });
    let took = begun.elapsed();
    let held = BanMaps::open(&Pins::at(joining.pin_folder()))
        .and_then(|maps| maps.all())
        .expect("reading the joining edge's maps");
    assert_eq!(held.len(), BANS as usize, "bans in the joining edge's kernel");
    took
}

/// A ban as the detector makes them.
pub(super) fn command(n: u32) -> BlockCommand {
    BlockCommand {
        id: Uuid::now_v7(),
        action: Action::Block,
        list: None,
        // From 16.0.0.0 on; nothing is sent from there or to there.
        target: Prefix::single(Ipv4Addr::from(0x1000_0000 + n).into()),
        reason: Reason::ErrorFlood,
        note: "50 errors in 60s".to_owned(),
        evidence: None,
        scope: Scope::Fleet,
        strikes: 0,
        issued_at_ms: now_ms(),
        expires_at_ms: now_ms() + 3_600_000,
        issuer: "bench".to_owned(),
        layer: Layer::Kernel,
        epoch: 0,
    }
}
