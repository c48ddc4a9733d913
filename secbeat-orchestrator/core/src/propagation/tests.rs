use secbeat_common::wire::{Action, Layer, Reason, Scope, parse_labels};

use super::{latency::Measured, *};

const NOW: i64 = 1_800_000_000_000;

fn command(n: u128, scope: Scope) -> BlockCommand {
    BlockCommand {
        id: Uuid::from_u128(n),
        action: Action::Block,
        list: None,
        target: "192.0.2.7".parse().unwrap(),
        reason: Reason::Manual,
        note: String::new(),
        evidence: None,
        scope,
        strikes: 0,
        issued_at_ms: NOW,
        expires_at_ms: NOW + 60_000,
        issuer: "api".to_owned(),
        layer: Layer::Kernel,
        epoch: 0,
    }
}

/// Edges without labels.
fn up(edges: &'static [&str]) -> impl Iterator<Item = (&'static str, &'static Labels)> {
    static NONE: Labels = Labels::new();
    edges.iter().map(|edge| (*edge, &NONE))
}

fn answer(propagation: &mut Propagation, n: u128, edge: &str, after_ms: i64, outcome: Enforcement) {
    let batch = AckBatch {
        edge_id: edge.to_owned(),
        at_ms: NOW + after_ms,
        acks: vec![Ack {
            command_id: Uuid::from_u128(n),
            target: "192.0.2.7".parse().unwrap(),
            issued_at_ms: NOW,
            outcome,
        }],
        banned: Vec::new(),
    };
    propagation.answered(&batch, NOW + after_ms + 1);
}

fn answers(propagation: &Propagation, n: u128) -> Vec<(String, Answer)> {
    let issued = propagation.commands().find(|(id, _)| **id == Uuid::from_u128(n));
    let answers = issued.unwrap().1.answers.iter();
    answers
        .map(|(edge, answer)| (edge.to_string(), answer.clone()))
        .collect()
}

fn times(propagation: &Propagation, edge: &str) -> Percentiles {
    let found = propagation.edges().find(|(name, _)| *name == edge);
    found.map(|(_, times)| times.percentiles()).unwrap_or_default()
}

fn named(edge: &str, answer: Answer) -> (String, Answer) {
    (edge.to_owned(), answer)
}

#[test]
fn edges_that_were_there_are_awaited_and_their_answers_measured() {
    let mut propagation = Propagation::default();
    propagation.issued(&command(1, Scope::Fleet), up(&["a", "b", "c"]));
    answer(&mut propagation, 1, "a", 3, Enforcement::Enforced);
    answer(
        &mut propagation,
        1,
        "b",
        4,
        Enforcement::Refused("protected".to_owned()),
    );
    let why = "protected".to_owned();
    assert_eq!(
        answers(&propagation, 1),
        [
            named("a", Answer::Enforced { after_ms: 3 }),
            named("b", Answer::Refused { why }),
            named("c", Answer::Pending),
        ]
    );
    assert_eq!(
        times(&propagation, "a"),
        Percentiles {
            count: 1,
            p50: 3,
            p95: 3,
            p99: 3,
            max: 3
        }
    );
    assert_eq!(times(&propagation, "b").count, 0);
    propagation.void(Uuid::from_u128(1));
    assert_eq!(
        answers(&propagation, 1).len(),
        2,
        "nobody waits for a ban that was lifted"
    );
}

#[test]
fn a_ban_for_one_edge_awaits_that_one() {
    let mut propagation = Propagation::default();
    propagation.issued(
        &command(1, Scope::of_edges(vec!["b".to_owned()])),
        up(&["a", "b"]),
    );
    assert_eq!(answers(&propagation, 1), [named("b", Answer::Pending)]);
}

#[test]
fn a_ban_for_labels_awaits_the_edges_that_have_them_and_can_go_by_them() {
    let mut propagation = Propagation::default();
    let (web, mail) = (
        parse_labels("role=web").unwrap(),
        parse_labels("role=mail").unwrap(),
    );
    let issued = command(1, Scope::of_labels(web.clone()));
    propagation.issued(&issued, [("a", &web), ("b", &mail), ("c", &web)].into_iter());
    propagation.unable(issued.id, "c", "too old");
    propagation.unable(issued.id, "b", "not meant");
    let why = "too old".to_owned();
    assert_eq!(
        answers(&propagation, 1),
        [named("a", Answer::Pending), named("c", Answer::Refused { why })]
    );
}

#[test]
fn a_ban_that_was_refused_first_is_enforced_later_but_not_measured() {
    let mut propagation = Propagation::default();
    answer(
        &mut propagation,
        1,
        "a",
        3,
        Enforcement::Failed("full".to_owned()),
    );
    answer(&mut propagation, 1, "a", 90_000, Enforcement::Enforced);
    // Nor is an answer that comes twice.
    answer(&mut propagation, 2, "a", 7, Enforcement::Enforced);
    answer(&mut propagation, 2, "a", 9_000, Enforcement::Enforced);
    assert_eq!(
        answers(&propagation, 1),
        [named("a", Answer::Enforced { after_ms: 90_000 })]
    );
    let times = times(&propagation, "a");
    assert_eq!((times.count, times.max), (1, 7));
    let (_, latencies) = propagation.edges().next().unwrap();
    assert_eq!((latencies.failed(), latencies.refused()), (1, 0));
}

#[test]
fn percentiles_are_exact_to_two_digits() {
    let mut propagation = Propagation::default();
    for n in 1..=1000 {
        answer(
            &mut propagation,
            n,
            "a",
            n.try_into().unwrap(),
            Enforcement::Enforced,
        );
    }
    let times = times(&propagation, "a");
    for (found, exact) in [
        (times.p50, 500.0),
        (times.p95, 950.0),
        (times.p99, 990.0),
        (times.max, 1000.0),
    ] {
        assert!(
            (found as f64 - exact).abs() <= exact * 0.01,
            "{found} for {exact}"
        );
    }
}

#[test]
fn an_edge_with_a_wrong_clock_is_measured_by_the_receipt() {
    let of = |at_ms, received_ms| latency::of(NOW, NOW + at_ms, NOW + received_ms);
    assert_eq!(of(3, 4), (3, Measured::ByEdge));
    assert_eq!(of(0, 0), (0, Measured::ByEdge));
    assert_eq!(of(-1, 4), (4, Measured::ByReceipt), "before its issue");
    assert_eq!(of(5, 4), (4, Measured::ByReceipt), "after its receipt");
    assert_eq!(
        of(i64::MIN / 2, -7),
        (0, Measured::ByReceipt),
        "another orchestrator's clock is off too"
    );
}

#[test]
fn only_the_latest_commands_are_remembered_and_a_flood_of_names_is_bounded() {
    let mut propagation = Propagation::default();
    for n in 0..=MAX_COMMANDS as u128 {
        propagation.issued(&command(n, Scope::Fleet), up(&["a"]));
    }
    assert_eq!(propagation.commands().count(), MAX_COMMANDS);
    assert_eq!(
        *propagation.commands().next().unwrap().0,
        Uuid::from_u128(MAX_COMMANDS as u128)
    );
    for n in 0..=MAX_EDGES {
        answer(
            &mut propagation,
            5,
            &format!("edge-{n}"),
            3,
            Enforcement::Enforced,
        );
    }
    assert_eq!(propagation.edges().count(), MAX_EDGES);
}
