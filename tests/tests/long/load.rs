//! A minute of traffic at five simulated edges, and two orchestrators that have to find exactly what an oracle finds in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    time::Duration,
};

use secbeat_common::{
    prefix::Prefix,
    wire::{AuditRecord, Audited, Decision, Layer, Reason},
};
use secbeat_daemon::time::now_ms;
use secbeat_edge::kernel::{BanMaps, Pins};
use secbeat_orchestrator::{
    api::audit::AuditView,
    view::{ApiStats, FindingView, Outcome},
};
use secbeat_tests::{
    lab::{
        fleet::Options,
        pair::{FIRST, Pair, SECOND},
        random::{Random, seed},
        wait::wait_until,
    },
    load::{
        edges::{self, Simulated, Tally},
        oracle::{self, Terms, Verdict},
        traffic,
    },
};
use uuid::Uuid;

const TERMS: Terms = Terms {
    error_flood: Duration::from_secs(3600),
    request_flood: Duration::from_secs(10),
};
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a ban that is over may stay listed: the ledger looks once a second.
const LISTED_ON: Duration = Duration::from_secs(5);

#[test]
#[ignore = "takes a minute; `cargo xtask test --long` runs it"]
fn every_finding_of_a_minute_at_five_edges_is_accounted_for() {
    let _turn = crate::in_turn();
    let mut random = Random::new(seed("a minute of traffic"));
    let requests = traffic::requests(&mut random, edges::EDGES);
    let pair = Pair::start(&Options {
        ban: "1h",
        more_orchestrator_config: format!(
            "[[rule]]\nname = \"request-flood\"\nban = \"10s\"\n[protect]\nnetworks = [\"{}\"]\n",
            traffic::PROTECTED
        ),
        ..Options::default()
    });
    let leases = [FIRST, SECOND].map(|port| pair.leases(port));
    let simulated = edges::simulate(&pair.fleet.nats, &mut random, &requests);

    let tallies = simulated.tallies.values();
    let batches = tallies.map(|tally| tally.batches + tally.repeated).sum::<u64>();
    wait_until("all batches were judged", PATIENCE, || {
        let edges = stats(&pair).into_iter().flat_map(|stats| stats.engine.edges);
        edges.map(|edge| edge.batches + edge.repeated).sum::<u64>() >= batches
    });
    let kept = [FIRST, SECOND].map(|port| pair.leases(port));
    assert_eq!(leases, kept, "a partition changed hands, and was read again");
    assert_eq!(heard(&pair), (simulated.tallies.clone(), simulated.errors));
    wait_until("all bans are written and audited", PATIENCE, || {
        let banned = findings(&pair)
            .iter()
            .filter(|finding| command_id(finding).is_some())
            .count();
        stats(&pair).iter().all(|stats| stats.engine.unwritten == 0) && pair.audited() >= banned as u64
    });

    let audit = audited(&pair, "ban");
    let verdict = oracle::judge(&simulated.sent, audit.clone(), TERMS);
    let differences = &verdict.differences;
    assert!(differences.is_empty(), "{}: {differences:#?}", differences.len());
    each_finding_is_told_once(&pair, &verdict);
    ledgers_and_kernel_hold(&pair, &audit);
    it_was_no_idle_minute(&pair, &verdict, &simulated);
}

fn stats(pair: &Pair) -> [ApiStats; 2] {
    [FIRST, SECOND].map(|port| serde_json::from_value(pair.ask(port, "/api/v1/stats")).unwrap())
}

/// What the two orchestrators together say of each simulated edge, and how many errors they have seen.
fn heard(pair: &Pair) -> (BTreeMap<String, Tally>, u64) {
    let mut heard: BTreeMap<String, Tally> = BTreeMap::new();
    let mut errors = 0;
    for ApiStats { engine, .. } in stats(pair) {
        errors += engine.events;
        for edge in engine.edges {
            assert_eq!((edge.too_old, edge.lost), (0, 0), "{edge:?}");
            let tally = heard.entry(edge.edge_id).or_default();
            tally.batches += edge.batches;
            tally.late += edge.late;
            tally.requests += edge.requests;
            tally.missing += edge.missing_batches;
            tally.repeated += edge.repeated;
        }
    }
    (heard, errors)
}

/// The findings of both.
fn findings(pair: &Pair) -> Vec<FindingView> {
    let findings = [FIRST, SECOND].map(|port| pair.ask(port, "/api/v1/findings?limit=100000"));
    let findings = findings.map(|findings| serde_json::from_value::<Vec<_>>(findings).unwrap());
    findings.into_iter().flatten().collect()
}

fn command_id(finding: &FindingView) -> Option<Uuid> {
    match finding.outcome {
        Outcome::Banned { command_id } => Some(command_id),
        _ => None,
    }
}

/// The audit's records of a kind, oldest first.
fn audited(pair: &Pair, kind: &str) -> Vec<AuditRecord> {
    let records = pair.ask(FIRST, &format!("/api/v1/audit?kind={kind}&limit=10000"));
    let records: Vec<AuditView> = serde_json::from_value(records).unwrap();
    assert!(records.len() < 10_000, "there may be more");
    records
        .into_iter()
        .rev()
        .filter_map(|view| match view.record {
            Audited::Decision(record) => Some(record),
            Audited::List(_) | Audited::Signatures(_) => None,
        })
        .collect()
}

/// `GET /api/v1/findings` and the counters tell what the oracle found, and nothing else.
#[track_caller]
fn each_finding_is_told_once(pair: &Pair, verdict: &Verdict) {
    let (mut bans, mut suppressed) = (Vec::new(), BTreeMap::new());
    for finding in findings(pair) {
        match &finding.outcome {
            Outcome::Banned { command_id } => {
                assert_eq!(finding.times, 1, "{finding:?}");
                bans.push((
                    *command_id,
                    finding.source,
                    finding.rule.name().to_owned(),
                    finding.count,
                    finding.at_ms,
                ));
            }
            Outcome::Suppressed { why } => {
                assert!(why.contains("protected"), "{finding:?}");
                let source: Prefix = finding.source.parse().unwrap();
                *suppressed
                    .entry((source, finding.rule.name().to_owned()))
                    .or_default() += u64::from(finding.times);
            }
            _ => panic!("neither a ban nor suppressed: {finding:?}"),
        }
    }
    let expected = verdict.bans.values().map(|record| match &record.decision {
        Decision::Ban {
            command_id,
            reason,
            evidence: Some(evidence),
            ..
        } => {
            let target = record.target.to_string();
            (
                *command_id,
                target,
                reason.name().to_owned(),
                evidence.count,
                evidence.at_ms,
            )
        }
        other => panic!("no ban by a rule: {other:?}"),
    });
    let mut expected: Vec<_> = expected.collect();
    bans.sort();
    expected.sort();
    assert_eq!(bans, expected);
    assert_eq!(suppressed, verdict.suppressed);
    let told = (bans.len() as u64, suppressed.values().sum::<u64>());
    let counted = stats(pair).map(|stats| (stats.engine.findings, stats.engine.suppressed));
    let counted = (counted[0].0 + counted[1].0, counted[0].1 + counted[1].1);
    assert_eq!(counted, (told.0 + told.1, told.1));
}

/// Both orchestrators list the bans that have not ended, and so does the kernel of the one real edge.
#[track_caller]
fn ledgers_and_kernel_hold(pair: &Pair, audit: &[AuditRecord]) {
    let in_force = || -> BTreeSet<(String, String)> {
        let now = now_ms();
        let bans = audit.iter().filter_map(|record| match &record.decision {
            Decision::Ban {
                command_id,
                expires_at_ms,
                ..
            } if *expires_at_ms > now => Some((record.target.to_string(), command_id.to_string())),
            _ => None,
        });
        bans.collect()
    };
    for port in [FIRST, SECOND] {
        wait_until(
            "the ledger has the bans in force and no others",
            LISTED_ON,
            || pair.bans(port).into_iter().collect::<BTreeSet<_>>() == in_force(),
        );
    }
    let maps = BanMaps::open(&Pins::at(pair.fleet.pin_folder())).unwrap();
    wait_until(
        "the kernel has the bans in force and no others",
        LISTED_ON,
        || {
            let held = maps
                .all()
                .unwrap()
                .into_iter()
                .map(|(target, _)| target.to_string());
            let by_kernel = audit.iter().filter(|record| is_kernels(record));
            let by_kernel: BTreeSet<_> = by_kernel.map(|record| record.target.to_string()).collect();
            let expected = in_force().into_iter().map(|(target, _)| target);
            held.collect::<BTreeSet<_>>() == expected.filter(|target| by_kernel.contains(target)).collect()
        },
    );
}

fn is_kernels(record: &AuditRecord) -> bool {
    matches!(
        record.decision,
        Decision::Ban {
            layer: Layer::Kernel,
            ..
        }
    )
}

/// All that this is about did happen.
#[track_caller]
fn it_was_no_idle_minute(pair: &Pair, verdict: &Verdict, simulated: &Simulated) {
    let by_rule = |reason| {
        let of_rule = |record: &&AuditRecord| matches!(&record.decision, Decision::Ban { reason: by, .. } if *by == reason);
        verdict.bans.values().filter(of_rule).count()
    };
    let again = verdict.bans.keys().filter(|(_, strikes)| *strikes > 0).count();
    let sum = |of: fn(&Tally) -> u64| simulated.tallies.values().map(of).sum::<u64>();
    let shares = stats(pair).map(|stats| stats.engine.findings);
    let report = format!(
        "{} requests and {} errors in {} batches ({} lost, {} twice, {} late): {} bans for errors, {} for requests, {again} \
         of them for the second time or more, {} findings suppressed, {} sources just below; by orchestrator: {shares:?}",
        sum(|tally| tally.requests),
        simulated.errors,
        sum(|tally| tally.batches),
        sum(|tally| tally.missing),
        sum(|tally| tally.repeated),
        sum(|tally| tally.late),
        by_rule(Reason::ErrorFlood),
        by_rule(Reason::RequestFlood),
        verdict.suppressed.values().sum::<u64>(),
        verdict.just_below.len(),
    );
    let _ = writeln!(std::io::stderr(), "{report}");
    let enough = [
        by_rule(Reason::ErrorFlood),
        by_rule(Reason::RequestFlood),
        again,
        verdict.suppressed.len(),
    ];
    assert!(
        enough.iter().all(|count| *count > 10) && verdict.just_below.len() > 20,
        "{report}"
    );
    let ways = [
        sum(|tally| tally.missing),
        sum(|tally| tally.repeated),
        sum(|tally| tally.late),
    ];
    assert!(ways.iter().chain(&shares).all(|count| *count > 50), "{report}");
}
