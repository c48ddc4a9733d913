use std::time::Duration;

use super::*;
use crate::Moment;

const MINUTE: i64 = 60_000;

fn at(ms: i64) -> Moment {
    Moment {
        wall_ms: 1_800_000_000_000 + ms,
        boot_ms: ms,
    }
}

fn digest(gather_s: u64, max_per_hour: u32) -> Digest {
    Digest::new(Terms {
        gather: Duration::from_secs(gather_s),
        max_per_hour,
    })
}

fn ban(n: u8, reason: Reason) -> Notice {
    Notice {
        at_ms: at(0).wall_ms,
        what: What::Banned(Banned {
            target: format!("198.51.100.{n}").parse().unwrap(),
            reason,
            actor: "orchestrator-1".to_owned(),
            note: "50 errors in 60s".to_owned(),
            expires_at_ms: at(5 * MINUTE).wall_ms,
            strikes: 0,
        }),
    }
}

fn trouble(subject: &str) -> Trouble {
    Trouble {
        kind: TroubleKind::EdgeDown,
        subject: subject.to_owned(),
    }
}

fn begun(subject: &str) -> Notice {
    Notice {
        at_ms: 0,
        what: What::Begun {
            trouble: trouble(subject),
            detail: String::new(),
        },
    }
}

fn over(subject: &str) -> Notice {
    Notice {
        at_ms: 0,
        what: What::Over {
            trouble: trouble(subject),
            lasted_ms: 1,
        },
    }
}

#[test]
fn a_raid_is_one_message_with_counts_and_the_first_few_addresses() {
    let mut digest = digest(30, 10);
    for n in 0..200 {
        digest.add(ban(n, Reason::ErrorFlood), at(i64::from(n) * 100));
    }
    digest.add(ban(250, Reason::Manual), at(20_000));
    assert_eq!(digest.take(at(29_999)), None);
    let summary = digest.take(at(30_000)).unwrap();
    assert_eq!(summary.ban_count(), 201);
    assert_eq!(summary.manual, 1);
    assert_eq!(summary.bans["error-flood"], 200);
    assert_eq!(summary.banned.len(), NAMED);
    assert_eq!(summary.banned[0].target.to_string(), "198.51.100.0/32");
    assert_eq!(digest.due_ms(), None);
}

#[test]
fn troubles_do_not_wait_for_a_long_digest() {
    let mut digest = digest(600, 10);
    digest.add(ban(1, Reason::ErrorFlood), at(0));
    assert_eq!(digest.due_ms(), Some(10 * MINUTE));
    digest.add(begun("a"), at(1_000));
    digest.add(begun("b"), at(1_500));
    let summary = digest.take(at(3_000)).unwrap();
    assert_eq!((summary.ban_count(), summary.states.len()), (1, 2));
}

#[test]
fn past_the_cap_everything_is_gathered_and_nothing_is_lost() {
    let mut digest = digest(0, 2);
    for n in 0..2 {
        digest.add(ban(n, Reason::ErrorFlood), at(i64::from(n) * MINUTE));
        assert!(digest.take(at(i64::from(n) * MINUTE)).is_some());
    }
    for n in 2..50 {
        digest.add(ban(n, Reason::ErrorFlood), at(i64::from(n) * MINUTE));
        assert_eq!(digest.take(at(i64::from(n) * MINUTE)), None);
    }
    assert_eq!(digest.due_ms(), Some(60 * MINUTE));
    assert_eq!(digest.take(at(60 * MINUTE)).unwrap().ban_count(), 48);
    // The next one waits for the second message's hour.
    digest.add(ban(51, Reason::ErrorFlood), at(60 * MINUTE));
    assert_eq!(digest.due_ms(), Some(61 * MINUTE));
}

#[test]
fn the_end_of_a_trouble_that_was_told_is_told_whatever_the_cap() {
    let mut digest = digest(0, 1);
    digest.add(begun("a"), at(0));
    assert!(digest.take(at(0)).is_some());
    digest.add(begun("b"), at(MINUTE));
    digest.add(over("b"), at(2 * MINUTE));
    assert_eq!(digest.take(at(2 * MINUTE)), None, "nobody was told that it began");
    digest.add(over("a"), at(3 * MINUTE));
    let summary = digest.take(at(3 * MINUTE)).unwrap();
    assert_eq!(summary.states.len(), 3);
    // Only once.
    digest.add(over("a"), at(4 * MINUTE));
    assert_eq!(digest.take(at(4 * MINUTE)), None);
}

#[test]
fn what_was_left_out_is_in_the_next_message() {
    let mut digest = digest(0, 10);
    digest.missed(7);
    assert_eq!(digest.due_ms(), None, "it is worth no message by itself");
    digest.add(ban(1, Reason::ErrorFlood), at(0));
    let lost = digest.take(at(0)).unwrap();
    assert_eq!(lost.left_out.missed, 7);
    digest.gave_up(&lost);
    digest.add(ban(2, Reason::ErrorFlood), at(1));
    let LeftOut {
        missed,
        messages,
        undelivered,
        ..
    } = digest.take(at(1)).unwrap().left_out;
    assert_eq!((missed, messages, undelivered), (7, 1, 1));
}

#[test]
fn a_message_is_bounded_and_still_has_every_end() {
    let mut digest = digest(0, 10);
    for n in 0..60 {
        digest.add(begun(&n.to_string()), at(0));
    }
    digest.add(over("3"), at(0));
    digest.add(over("59"), at(0));
    let summary = digest.take(at(0)).unwrap();
    assert_eq!((summary.states.len(), summary.left_out.crowded), (50, 12));
    for subject in ["3", "59"] {
        assert!(summary.states.contains(&over(subject)));
    }
}

fn edge(down: bool) -> EdgeFacts {
    EdgeFacts {
        edge_id: "web-1".to_owned(),
        down: down.then(|| "lost".to_owned()),
        ..EdgeFacts::default()
    }
}

fn facts(tells: bool, edges: Option<Vec<EdgeFacts>>) -> Facts {
    Facts {
        tells_of_edges: tells,
        edges,
        ..Facts::default()
    }
}

fn names(notices: &[Notice]) -> Vec<String> {
    let name = |notice: &Notice| match &notice.what {
        What::Begun { trouble, .. } => format!("{} {}", trouble.kind.name(), trouble.subject),
        What::Over { trouble, lasted_ms } => {
            format!(
                "end of {} {} after {lasted_ms}",
                trouble.kind.name(),
                trouble.subject
            )
        }
        other => panic!("{other:?}"),
    };
    notices.iter().map(name).collect()
}

#[test]
fn an_edge_that_restarts_is_no_trouble_and_one_that_stays_away_is_once() {
    let mut watch = Watch::new("o".to_owned());
    let mut look = |down, ms| names(&watch.look(facts(true, Some(vec![edge(down)])), at(ms)));
    assert!(look(true, 0).is_empty());
    assert!(look(true, 9_999).is_empty());
    assert!(look(false, 10_000).is_empty());
    assert!(look(true, 20_000).is_empty());
    assert_eq!(look(true, 30_000), ["edge-down web-1"]);
    assert!(look(true, 31_000).is_empty());
    assert_eq!(look(false, 50_000), ["end of edge-down web-1 after 30000"]);
    assert!(look(false, 51_000).is_empty());
}

#[test]
fn while_the_bus_is_away_no_edge_is() {
    let mut watch = Watch::new("o".to_owned());
    assert!(watch.look(facts(true, Some(vec![edge(true)])), at(0)).is_empty());
    assert!(watch.look(facts(true, None), at(60_000)).is_empty());
    let mut look = |ms| names(&watch.look(facts(true, Some(vec![edge(true)])), at(ms)));
    assert!(look(69_000).is_empty());
    assert_eq!(look(70_000), ["edge-down web-1"]);
}

#[test]
fn of_two_orchestrators_one_tells_of_an_edge_also_while_it_changes_hands() {
    let mut watch = Watch::new("o".to_owned());
    let down = || Some(vec![edge(true)]);
    for ms in [0, 10_000] {
        assert!(watch.look(facts(false, down()), at(ms)).is_empty());
    }
    // The other one died before it could tell.
    assert_eq!(
        names(&watch.look(facts(true, down()), at(14_000))),
        ["edge-down web-1"]
    );
    assert!(watch.look(facts(true, down()), at(15_000)).is_empty());
    // It told what lies longer ago.
    let mut watch = Watch::new("o".to_owned());
    for ms in [0, 10_000] {
        assert!(watch.look(facts(false, down()), at(ms)).is_empty());
    }
    assert!(watch.look(facts(true, down()), at(15_000)).is_empty());
    let up = Some(vec![edge(false)]);
    assert_eq!(
        names(&watch.look(facts(true, up), at(16_000))),
        ["end of edge-down web-1 after 16000"]
    );
}

#[test]
fn a_brake_is_over_once_it_left_everybody_alone_for_a_while() {
    let mut watch = Watch::new("o".to_owned());
    let mut look = |brake: bool, ms| {
        let brake = brake.then(|| "rate".to_owned());
        names(&watch.look(
            Facts {
                brake,
                ..facts(false, None)
            },
            at(ms),
        ))
    };
    assert_eq!(look(true, 0), ["brake o"]);
    assert!(look(false, 1_000).is_empty());
    assert!(look(true, 2_000).is_empty());
    assert!(look(false, 3_000).is_empty());
    assert_eq!(look(false, 33_000), ["end of brake o after 3000"]);
}

#[test]
fn an_orchestrator_tells_of_itself_also_while_it_owns_nothing() {
    let mut watch = Watch::new("o".to_owned());
    let mut look = |why: Option<&str>, ms| {
        let not_ready = why.map(str::to_owned);
        names(&watch.look(
            Facts {
                not_ready,
                ..facts(false, None)
            },
            at(ms),
        ))
    };
    assert!(look(Some("NATS is unreachable"), 0).is_empty());
    assert_eq!(look(Some("NATS is unreachable"), 10_000), ["not-ready o"]);
    assert_eq!(look(None, 20_000), ["end of not-ready o after 20000"]);
}

#[test]
fn a_feed_that_is_not_taken_is_told_by_one_and_forgotten_with_its_entry() {
    let mut watch = Watch::new("o".to_owned());
    let mut look = |tells: bool, feeds: Option<&[(&str, Option<&str>)]>, ms| {
        let feed = |(name, why): &(&str, Option<&str>)| ((*name).to_owned(), why.map(str::to_owned));
        let feeds = feeds.map(|feeds| feeds.iter().map(feed).collect());
        let facts = Facts {
            feeds,
            ..facts(tells, None)
        };
        names(&watch.look(facts, at(ms)))
    };
    let refused = Some("it has no entry");
    // Who does not tell hands it over.
    assert!(look(false, Some(&[("drop", refused), ("other", None)]), 0).is_empty());
    assert_eq!(
        look(true, Some(&[("drop", refused)]), 1_000),
        ["feed-not-taken drop"]
    );
    assert!(look(true, Some(&[("drop", refused)]), 60_000).is_empty());
    // Nothing is known while the bus is away.
    assert!(look(true, None, 70_000).is_empty());
    assert_eq!(
        look(true, Some(&[("drop", None)]), 80_000),
        ["end of feed-not-taken drop after 80000"]
    );
    assert_eq!(
        look(true, Some(&[("drop", refused)]), 90_000),
        ["feed-not-taken drop"]
    );
    assert!(look(true, Some(&[]), 95_000).is_empty());
    assert!(look(true, Some(&[("drop", None)]), 99_000).is_empty());
}
