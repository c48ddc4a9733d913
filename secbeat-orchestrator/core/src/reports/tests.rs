//! Rows beside a naïve count, and lists of the most.

use proptest::prelude::*;
use secbeat_common::wire::{Layer, LearnedFrom};
use uuid::Uuid;

use super::*;

fn ban(at_ms: i64, host: u8, rule: Reason, strikes: u32, path: &str) -> AuditRecord {
    let event = SeenEvent {
        at_ms,
        edge: format!("web-{}", host % 3),
        client: [192, 0, 2, host].into(),
        learned_from: LearnedFrom::Peer,
        what: SeenWhat::Answer {
            status: 404,
            method: "GET".to_owned(),
            user_agent: "curl".to_owned(),
        },
        path: path.to_owned(),
        host: String::new(),
        signatures: Vec::new(),
        cross_site: false,
    };
    AuditRecord {
        at_ms,
        target: format!("192.0.2.{host}").parse().unwrap(),
        actor: "secbeat-orchestrator".to_owned(),
        decision: Decision::Ban {
            command_id: Uuid::nil(),
            reason: rule,
            note: String::new(),
            expires_at_ms: at_ms + 1,
            strikes,
            evidence: None,
            layer: Layer::Kernel,
            list: None,
            edges: None,
            labels: Vec::new(),
            events: vec![event],
        },
    }
}

/// A ban of the model: when, which, by a person, and its repeats.
type Is<'a> = &'a dyn Fn(&(i64, u8, bool, u32)) -> bool;

proptest! {
    /// What is added up of rows, however the time is cut, is what a naïve count of all decisions says.
    #[test]
    fn rows_add_up_to_the_naive_count(
        bans in prop::collection::vec((0..48_i64, 0..60_u8, any::<bool>(), 0..3_u32), 0..200),
        cut in 1..9_i64,
    ) {
        let rule = |by_hand| if by_hand { Reason::Manual } else { Reason::ErrorFlood };
        let records: Vec<_> = bans
            .iter()
            .map(|&(hour, host, by_hand, strikes)| {
                ban(hour * 3_600_000, host, rule(by_hand), strikes, &format!("/{}", host % 7))
            })
            .collect();
        let mut rows: BTreeMap<i64, Row> = BTreeMap::new();
        for record in &records {
            rows.entry(record.at_ms / (cut * 3_600_000)).or_default().decided(record);
        }
        let mut sum = Row::default();
        for row in rows.values() {
            // As they are kept.
            let kept: Row = serde_json::from_slice(&serde_json::to_vec(row).unwrap()).unwrap();
            sum.merge(&kept);
        }
        let of_rules = || bans.iter().filter(|(_, _, by_hand, _)| !by_hand);
        let count = |is: Is<'_>| of_rules().filter(|ban| is(ban)).count() as u64;
        prop_assert_eq!(sum.bans, count(&|_| true));
        prop_assert_eq!(sum.manual, bans.len() as u64 - sum.bans);
        prop_assert_eq!(sum.repeated, count(&|ban| ban.3 > 0));
        for hour in 0..24_i64 {
            prop_assert_eq!(sum.hours[hour as usize], count(&|ban| ban.0 % 24 == hour));
        }
        for (edge, bans) in sum.edges.list() {
            prop_assert_eq!(bans, count(&|ban| format!("web-{}", ban.1 % 3) == edge));
        }
        for (target, bans) in sum.offenders.list() {
            let is_of = |ban: &(i64, u8, bool, u32)| format!("192.0.2.{}/32", ban.1) == target;
            prop_assert_eq!(bans, count(&|ban| ban.3 > 0 && is_of(ban)));
        }
        prop_assert_eq!(sum.paths.list().iter().map(|(_, count)| count).sum::<u64>(), sum.bans);
    }
}

#[test]
fn a_list_of_the_most_is_bounded_and_keeps_who_has_the_most() {
    let mut top = Top::default();
    for n in 0..10_000 {
        top.add(&format!("once-{n}"), 1);
        top.add("often", 1);
    }
    let list = top.list();
    assert_eq!(list.len(), TOP_NAMES);
    assert_eq!(list[0], ("often", 10_000));
    let mut sum = Top::default();
    for part in 0..3 {
        let mut one = Top::default();
        for n in 0..TOP_NAMES as u64 {
            one.add(&format!("{part}-{n}"), n + 1);
        }
        sum.merge(&one);
    }
    assert_eq!(sum.list().len(), TOP_NAMES);
    assert_eq!(sum.list()[0].1, TOP_NAMES as u64);
}

#[test]
fn offenders_are_those_who_were_banned_again_however_many_others_were() {
    let mut sum = Row::default();
    let mut minute = |host: u8, strikes: u32| {
        let mut row = Row::default();
        row.decided(&ban(0, host, Reason::ErrorFlood, strikes, "/"));
        sum.merge(&row);
        sum.offenders
            .list()
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
            .collect::<Vec<_>>()
    };
    for host in 0..100 {
        assert!(minute(host, 0).is_empty(), "{host} was banned once");
    }
    let mut again = Vec::new();
    for host in 0..100 {
        again = minute(host, 1);
    }
    assert_eq!(again.len(), TOP_NAMES);
    assert!(again.iter().all(|(_, count)| *count == 1), "{again:?}");
    let mut offenders = Vec::new();
    for strikes in 1..=3 {
        offenders = minute(200, strikes);
    }
    assert_eq!(offenders[0], ("192.0.2.200/32".to_owned(), 3));
    assert_eq!(offenders.iter().filter(|(_, count)| *count > 1).count(), 1);
}

#[test]
fn lists_of_earlier_builds_are_read_and_they_find_none_that_they_cannot_read() {
    let kept = r#"{"bans":3,"targets":{"192.0.2.7/32":2},"paths":{"/a":2,"/b":1}}"#;
    let mut row: Row = serde_json::from_str(kept).unwrap();
    assert_eq!((row.bans, row.paths.list()), (3, vec![("/a", 2), ("/b", 1)]));
    row.paths.add("/a", 1);
    let written = serde_json::to_value(&row).unwrap();
    assert_eq!(written["paths_top"], serde_json::json!({"/a": 3, "/b": 1}));
    assert_eq!(written.get("paths"), None);
    for n in 0..TOP_NAMES {
        row.paths.add(&format!("/{n}"), 1);
    }
    let read: Row = serde_json::from_slice(&serde_json::to_vec(&row).unwrap()).unwrap();
    assert_eq!(read, row);
    assert!(read.paths.0.values().any(|count| count.error > 0), "{read:?}");
}

#[test]
fn lifted_bans_are_their_rules_and_texts_are_cut() {
    let mut row = Row::default();
    row.lifted(Reason::ErrorFlood);
    row.lifted(Reason::Manual);
    assert_eq!((row.lifted, row.rules["error-flood"].lifted), (2, 1));
    row.decided(&ban(0, 1, Reason::ErrorFlood, 1, &"ä".repeat(500)));
    assert_eq!(row.paths.list()[0].0.len(), NAME_BYTES);
    for n in 0..200 {
        row.rule(&format!("rule-{n}")).banned += 1;
    }
    assert_eq!(row.rules.len(), RULES + 1);
    assert_eq!(row.rules["others"].banned, 200 - (RULES as u64 - 1));
}

#[test]
fn a_row_is_bounded_whatever_clients_write_into_requests() {
    /// Bytes of a row as it is kept, after far more of everything than it keeps.
    fn full(of: &str) -> usize {
        let mut row = Row::default();
        for n in 0..500_u64 {
            for top in [&mut row.edges, &mut row.offenders] {
                top.add(&format!("{n:064}"), n + 1);
            }
            let name = format!("{n:03}{}", of.repeat(500));
            for top in [&mut row.paths, &mut row.agents] {
                top.add(cut(&name), n + 1);
            }
            row.rule(&format!("rule-name-of-some-length-{n}")).banned += 1;
        }
        serde_json::to_vec(&row).unwrap().len()
    }
    assert!(full("a") <= 40 * 1024, "{}", full("a"));
    // JSON writes such a character in six bytes.
    assert!(full("\u{1}") <= 120 * 1024, "{}", full("\u{1}"));
}
