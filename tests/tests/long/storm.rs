//! Two minutes in which edges, orchestrators and nats-server are killed at random. Afterwards all agree, and no ban was lost
//! or outlived its end.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::Write as _,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use secbeat_common::{
    prefix::Prefix,
    wire::{AuditRecord, Decision},
};
use secbeat_daemon::time::{now_ms, rfc3339};
use secbeat_tests::{
    lab::{
        fleet::Options,
        further_edge::FurtherEdge,
        pair::{FIRST, Pair, SECOND},
        random::{Random, seed},
        wait::wait_until,
    },
    storm::{
        attackers,
        operators::{self, Orders, Standing},
        watch::{self, CLOCKS_MS, Seen, in_force},
    },
};
use uuid::Uuid;

const STORM: Duration = Duration::from_secs(120);
/// How long everything may take to be well again.
const CALM: Duration = Duration::from_secs(60);
/// What ends so soon is not asked for.
const MARGIN_MS: i64 = 3000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Edge,
    FurtherEdge,
    First,
    Second,
    Nats,
}

const VICTIMS: [Victim; 5] = [
    Victim::Edge,
    Victim::FurtherEdge,
    Victim::First,
    Victim::Second,
    Victim::Nats,
];

struct Storm {
    pair: Pair,
    further: FurtherEdge,
}

#[test]
#[ignore = "takes minutes; `cargo xtask test --long` runs it"]
fn after_two_minutes_of_kills_all_agree_and_no_ban_was_lost_or_outlived_its_end() {
    let _turn = crate::in_turn();
    let mut random = Random::new(seed("a storm of kills"));
    let pair = Pair::start(&Options {
        ban: "15s",
        enforcement: "kernel",
        ..Options::default()
    });
    let further = FurtherEdge::start(&pair.fleet, "edge-2", 4096, "");
    further.await_synced();
    let mut storm = Storm { pair, further };
    let watching = watch::watch(storm.folders().map(Path::to_owned).to_vec());
    let attacking = attackers::attack(&storm.pair.fleet);
    let operating = operators::operate(&storm.pair.fleet, Random::new(random.any()));

    let killed = storm.rage(&mut random);
    let orders = operating.finish();
    let attacks = attacking.finish();
    storm.await_calm();
    let seen = watching.finish();

    let bans = storm.audited("ban");
    let lifts = storm.audited("unban");
    let automatic = bans
        .iter()
        .filter(|ban| ban.actor == "secbeat-orchestrator")
        .count();
    let report = format!(
        "killed {killed:?}; {attacks:?}; {} bans by hand, {} lifted, {} orders refused, {} unanswered; {} bans audited, {automatic} of \
         them automatic; {} looks into kernels",
        orders.bans.len(),
        orders.lifts.len(),
        orders.refused,
        orders.unanswered,
        bans.len(),
        seen.looks,
    );
    let _ = writeln!(std::io::stderr(), "{report}");
    each_is_audited_once(&orders, &bans, &lifts);
    storm.nothing_was_lost_or_stayed(&orders, &bans, &lifts);
    no_kernel_held_a_ban_longer_than_it_was_to_last(&seen, &orders, &bans);
    let enough = killed.len() == VICTIMS.len() && killed.values().all(|kills| *kills > 3);
    assert!(
        enough && automatic > 10 && orders.bans.len() > 100 && orders.lifts.len() > 30,
        "{report}"
    );
}

impl Storm {
    fn folders(&self) -> [&Path; 2] {
        [self.pair.fleet.pin_folder(), self.further.pin_folder()]
    }

    /// Kills one or two, starts them again, waits for nothing, and so on. How often each was killed.
    fn rage(&mut self, random: &mut Random) -> BTreeMap<Victim, u32> {
        let begun = Instant::now();
        let mut killed = BTreeMap::new();
        while begun.elapsed() < STORM {
            let mut victims = BTreeSet::from([random.pick(&VICTIMS)]);
            if random.once_in(3) {
                victims.insert(random.pick(&VICTIMS));
            }
            for victim in &victims {
                self.kill(*victim);
                *killed.entry(*victim).or_default() += 1;
            }
            // The storm's own schedule.
            sleep(Duration::from_millis(random.below(1500) as u64));
            for victim in victims {
                self.start(victim);
            }
            sleep(Duration::from_millis(random.below(2500) as u64));
        }
        killed
    }

    fn kill(&mut self, victim: Victim) {
        match victim {
            Victim::Edge => self.pair.fleet.kill_edge(),
            Victim::FurtherEdge => self.further.daemon.kill9(),
            Victim::First => self.pair.fleet.orchestrator.kill9(),
            Victim::Second => self.pair.second.kill9(),
            Victim::Nats => self.pair.fleet.nats.kill9(),
        }
    }

    fn start(&mut self, victim: Victim) {
        match victim {
            Victim::Edge => self.pair.fleet.start_edge(),
            Victim::FurtherEdge => self.further.start_again(),
            Victim::First => self.pair.fleet.start_orchestrator(),
            Victim::Second => self.pair.second = self.pair.fleet.another_orchestrator(SECOND),
            Victim::Nats => self.pair.fleet.nats.restart(),
        }
    }

    /// Waits until all are well, and both kernels hold what both ledgers list.
    fn await_calm(&mut self) {
        let begun = Instant::now();
        self.pair.fleet.await_edge();
        self.further.await_synced();
        self.pair.await_shares(8);
        wait_until("nothing is left to write", CALM, || {
            [FIRST, SECOND].iter().all(|port| {
                let stats = self.pair.fleet.orchestrator_stats_at(*port);
                stats.is_some_and(|stats| stats["unwritten"] == 0)
            })
        });
        let mut differences = Vec::new();
        let agreed = (0..CALM.as_millis() / 250).any(|_| {
            differences = self.differences();
            let agree = differences.is_empty();
            if !agree {
                sleep(Duration::from_millis(250));
            }
            agree
        });
        assert!(agreed, "no agreement: {differences:#?}");
        let _ = writeln!(
            std::io::stderr(),
            "all agreed {:?} after the storm",
            begun.elapsed()
        );
    }

    /// In what the ledgers and the kernels differ.
    fn differences(&self) -> Vec<String> {
        let [first, second] = [FIRST, SECOND].map(|port| self.ledger(port));
        let soon = now_ms() + MARGIN_MS;
        let lasting = |end_ms: &i64| *end_ms > soon;
        let mut differences = Vec::new();
        for (target, ban) in first.iter().filter(|(_, (_, end))| lasting(end)) {
            if second.get(target) != Some(ban) {
                differences.push(format!(
                    "{target}: {ban:?} at one, {:?} at the other",
                    second.get(target)
                ));
            }
        }
        let more = second
            .iter()
            .filter(|(target, (_, end))| lasting(end) && !first.contains_key(target));
        differences.extend(more.map(|(target, ban)| format!("{target}: {ban:?} at the other alone")));
        for folder in self.folders() {
            let kernel = in_force(folder);
            for (target, (_, end)) in first.iter().filter(|(_, (_, end))| lasting(end)) {
                if kernel
                    .get(target)
                    .is_none_or(|held| held.abs_diff(*end) > CLOCKS_MS as u64)
                {
                    differences.push(format!(
                        "{target} until {end}: {:?} in {folder:?}",
                        kernel.get(target)
                    ));
                }
            }
            let more = kernel
                .iter()
                .filter(|(target, end)| lasting(end) && !first.contains_key(target));
            differences.extend(more.map(|(target, end)| format!("{target} until {end} in {folder:?} alone")));
        }
        differences
    }

    /// What the orchestrator at `port` lists: ids and ends.
    fn ledger(&self, port: u16) -> BTreeMap<Prefix, (Uuid, i64)> {
        let page = self.pair.ask(port, "/api/v1/bans");
        let bans = page["bans"].as_array().unwrap().iter();
        bans.map(|ban| {
            let text = |key: &str| ban[key].as_str().unwrap();
            let end: jiff::Timestamp = text("expires_at").parse().unwrap();
            let id = text("command_id").parse().unwrap();
            (text("target").parse().unwrap(), (id, end.as_millisecond()))
        })
        .collect()
    }

    /// The audit's records of a kind.
    fn audited(&self, kind: &str) -> Vec<AuditRecord> {
        let records = self
            .pair
            .ask(FIRST, &format!("/api/v1/audit?kind={kind}&limit=10000"));
        serde_json::from_value(records).unwrap()
    }

    /// Every acknowledged order that has not ended holds, and so does every ban of the detector.
    fn nothing_was_lost_or_stayed(&self, orders: &Orders, bans: &[AuditRecord], lifts: &[AuditRecord]) {
        let ledger = self.ledger(FIRST);
        let now = now_ms();
        let mut wrong = Vec::new();
        for (target, standing) in &orders.standing {
            let held = ledger.get(target);
            let right = match standing {
                Standing::Banned { id, until_ms } if *until_ms > now + MARGIN_MS => {
                    held == Some(&(*id, *until_ms))
                }
                Standing::Banned { until_ms, .. } if *until_ms > now - MARGIN_MS => true,
                Standing::Banned { .. } | Standing::Lifted { .. } => held.is_none(),
            };
            if !right {
                wrong.push(format!("{target}: {standing:?}, but the ledger has {held:?}"));
            }
        }
        let lifted: BTreeSet<_> = lifts.iter().filter_map(id).collect();
        for ban in bans.iter().filter(|ban| ban.actor == "secbeat-orchestrator") {
            let (Some(id), Some(end)) = (id(ban), end(ban)) else {
                continue;
            };
            let held = ledger.get(&ban.target);
            if end > now + MARGIN_MS && !lifted.contains(&id) && held != Some(&(id, end)) {
                wrong.push(format!("{ban:?}, but the ledger has {held:?}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

fn id(record: &AuditRecord) -> Option<Uuid> {
    match record.decision {
        Decision::Ban { command_id, .. } | Decision::Unban { command_id, .. } => Some(command_id),
        _ => None,
    }
}

fn end(record: &AuditRecord) -> Option<i64> {
    match record.decision {
        Decision::Ban { expires_at_ms, .. } => Some(expires_at_ms),
        _ => None,
    }
}

/// The audit has every acknowledged order, and nothing twice.
fn each_is_audited_once(orders: &Orders, bans: &[AuditRecord], lifts: &[AuditRecord]) {
    let mut wrong = Vec::new();
    let banned = orders.bans.keys().copied().collect::<Vec<_>>();
    for (kind, records, acknowledged) in [("ban", bans, &banned), ("unban", lifts, &orders.lifts)] {
        let mut times: HashMap<Uuid, u32> = HashMap::new();
        for id in records.iter().filter_map(id) {
            *times.entry(id).or_default() += 1;
        }
        let often = times.iter().filter(|(_, times)| **times > 1);
        wrong.extend(often.map(|(id, times)| format!("{kind} {id} was audited {times} times")));
        let missing = acknowledged.iter().filter(|id| !times.contains_key(id));
        wrong.extend(missing.map(|id| format!("{kind} {id} was acknowledged and not audited")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every end that some kernel had is that of a ban which the audit knows.
fn no_kernel_held_a_ban_longer_than_it_was_to_last(seen: &Seen, orders: &Orders, bans: &[AuditRecord]) {
    let mut known: HashMap<Prefix, Vec<i64>> = HashMap::new();
    for ban in bans {
        known.entry(ban.target).or_default().extend(end(ban));
    }
    for (target, end) in orders.bans.values() {
        known.entry(*target).or_default().push(*end);
    }
    let mut wrong = Vec::new();
    for (target, ends) in &seen.ends {
        let known = known.get(target).map_or(&[][..], Vec::as_slice);
        let unknown = ends
            .iter()
            .filter(|end| known.iter().all(|known| known.abs_diff(**end) > CLOCKS_MS as u64));
        wrong.extend(unknown.map(|end| format!("{target} until {}, known {known:?}", rfc3339(*end))));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
