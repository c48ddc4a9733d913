//! What edges say of themselves, and of commands.

use secbeat_common::{
    digest::{Digest, Item},
    wire::{Ack, AckBatch, Drops, EnforcedAt, EnforcedBans, Enforcement, Presence, Spooled},
};

use super::*;
use crate::{
    presence::{Agreement, Difference, DownCause, State, What},
    propagation::Answer,
};

/// The record of an edge that holds `bans`.
pub(super) fn record(rig: &Rig, edge: &str, bans: &[BlockCommand]) -> Presence {
    let mut digest = Digest::default();
    for command in bans {
        digest.add(&Item::from(command));
    }
    Presence {
        edge_id: edge.to_owned(),
        boot_id: Uuid::from_u128(1),
        version: "0.1.0".to_owned(),
        speaks: secbeat_common::wire::Speaks::edge(),
        started_at_ms: NOW,
        at_ms: rig.now.wall_ms,
        enforcement: EnforcedAt::Both,
        observe_only: false,
        interfaces: Vec::new(),
        bans: EnforcedBans {
            active: bans.len() as u64,
            fleet: digest.extract(rig.now.wall_ms),
            set_aside: 0,
            unwritten: 0,
            synced: true,
        },
        allowlist: 0,
        drops: Drops::default(),
        labels: BTreeMap::new(),
        telemetry_lost: 0,
        spool: Spooled::default(),
        bus_revision: 0,
        clock: None,
        signatures: None,
        feeds: Vec::new(),
        logs: Vec::new(),
        refused_config: None,
    }
}

fn heard(rig: &mut Rig, edge: &str, bans: &[BlockCommand]) -> Vec<Effect> {
    let record = record(rig, edge, bans);
    rig.handle(Event::EdgeHeard(Box::new(record)))
}

fn told(what: What) -> Effect {
    Effect::Announce(Announcement::Edge(crate::presence::Event {
        edge_id: "edge-1".to_owned(),
        what,
    }))
}

#[test]
fn an_edge_is_up_with_its_first_record_and_down_when_it_leaves() {
    let mut rig = Rig::ready();
    assert_eq!(heard(&mut rig, "edge-1", &[]), [told(What::Up)]);
    assert_eq!(heard(&mut rig, "edge-1", &[]), []);
    assert_eq!(
        rig.handle(Event::EdgeLeft("edge-1".to_owned())),
        [told(What::Down(DownCause::Stopped))]
    );
}

#[test]
fn an_edge_that_is_not_heard_of_is_down_also_while_the_bus_is_away() {
    let mut rig = Rig::ready();
    heard(&mut rig, "edge-1", &[]);
    rig.pass(60_000);
    let tick = |rig: &mut Rig| rig.handle(Event::Tick { connected: false });
    assert_eq!(tick(&mut rig), [told(What::Down(DownCause::Unheard))]);
    assert_eq!(heard(&mut rig, "edge-1", &[]), [told(What::Up)]);
    rig.tick();
    rig.pass(60_000);
    assert_eq!(rig.tick(), [told(What::Down(DownCause::Lost))]);
}

#[test]
fn an_edge_that_lacks_a_ban_for_longer_than_the_grace_drifts_and_agrees_again_by_itself() {
    let mut rig = Rig::ready();
    let command = rig.ordered(1, CLIENT, 3_600);
    rig.acknowledge(&command, 7);
    rig.pass(30_000);
    let told_at = |rig: &mut Rig, bans: &[BlockCommand]| {
        rig.pass(5_000);
        heard(rig, "edge-1", bans)
    };
    assert_eq!(told_at(&mut rig, &[]), [told(What::Up)]);
    assert_eq!(told_at(&mut rig, &[]), []);
    let now = Difference {
        held: 0,
        issued: 1,
        unwritten: 0,
    };
    let since_ms = NOW + 35_000;
    assert_eq!(told_at(&mut rig, &[]), [told(What::Drifts { since_ms, now })]);
    for _ in 0..2 {
        assert_eq!(told_at(&mut rig, std::slice::from_ref(&command)), []);
    }
    assert_eq!(told_at(&mut rig, &[command]), [told(What::Agrees)]);
}

#[test]
fn no_edge_drifts_for_lack_of_a_ban_that_the_bus_has_not_taken() {
    let mut rig = Rig::ready();
    let command = rig.ordered(1, CLIENT, 3_600);
    let agreement = |rig: &mut Rig| {
        heard(rig, "edge-1", &[]);
        rig.decider.edges().next().unwrap().agreement
    };
    // On its way, it is not compared yet.
    assert_eq!(agreement(&mut rig), Agreement::Agrees);
    rig.pass(60_000);
    assert_eq!(agreement(&mut rig), Agreement::Unknown);
    rig.acknowledge(&command, 7);
    assert!(matches!(agreement(&mut rig), Agreement::Differs(_)));
}

#[test]
fn while_the_ledger_lacks_bans_that_the_bus_has_no_edge_drifts() {
    let mut rig = Rig::ready();
    heard(&mut rig, "edge-1", &[]);
    let behind = |rig: &mut Rig| rig.decider.stats(rig.now).behind_since_ms;
    for _ in 0..2 {
        rig.handle(Event::UpToDate(false));
        assert_eq!(behind(&mut rig), Some(NOW));
        rig.pass(15_000);
    }
    // Another orchestrator made it.
    let unheard = theirs(CLIENT, 9);
    for _ in 0..5 {
        rig.pass(5_000);
        assert_eq!(heard(&mut rig, "edge-1", std::slice::from_ref(&unheard)), []);
        let edge = rig.decider.edges().next().unwrap();
        assert_eq!(edge.agreement, Agreement::Unknown);
    }
    rig.handle(Event::UpToDate(true));
    assert_eq!(behind(&mut rig), None);
    heard(&mut rig, "edge-1", &[unheard]);
    let edge = rig.decider.edges().next().unwrap();
    assert!(
        matches!(edge.agreement, Agreement::Differs(_)),
        "{:?}",
        edge.agreement
    );
}

#[test]
fn before_the_bans_are_restored_no_edge_is_compared() {
    let mut rig = Rig::new();
    heard(&mut rig, "edge-1", &[theirs(CLIENT, 9)]);
    let edge = rig.decider.edges().next().unwrap();
    assert_eq!((edge.state, edge.agreement), (State::Up, Agreement::Unknown));
}

#[test]
fn an_edge_answers_a_command_that_was_issued_while_it_was_up() {
    let mut rig = Rig::ready();
    heard(&mut rig, "edge-1", &[]);
    let command = rig.found(CLIENT);
    let answers = |rig: &Rig| {
        let (id, issued) = rig.decider.propagation().commands().next().unwrap();
        assert_eq!(*id, command.id);
        let answers = issued.answers.iter();
        answers
            .map(|(edge, answer)| (edge.to_string(), answer.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(answers(&rig), [("edge-1".to_owned(), Answer::Pending)]);
    let batch = AckBatch {
        edge_id: "edge-1".to_owned(),
        at_ms: NOW + 12,
        acks: vec![Ack {
            command_id: command.id,
            target: command.target,
            issued_at_ms: NOW,
            outcome: Enforcement::Enforced,
        }],
        banned: Vec::new(),
    };
    let received_ms = NOW + 13;
    assert_eq!(rig.handle(Event::Acks { batch, received_ms }), []);
    assert_eq!(
        answers(&rig),
        [("edge-1".to_owned(), Answer::Enforced { after_ms: 12 })]
    );
}

#[test]
fn nobody_has_to_answer_a_ban_that_is_over_was_lifted_or_never_reached_the_bus() {
    let end: [fn(&mut Rig, &BlockCommand); 4] = [
        |rig, _| {
            rig.pass(300_000);
            // Its edge is heard of until then.
            rig.handle(Event::Tick { connected: false });
        },
        |rig, _| drop(rig.unban(1, CLIENT)),
        |rig, command| drop(rig.done(command, Fate::Fenced)),
        |rig, _| drop(rig.handle(Event::EdgeLeft("edge-1".to_owned()))),
    ];
    for end in end {
        let mut rig = Rig::ready();
        heard(&mut rig, "edge-1", &[]);
        let command = rig.found(CLIENT);
        end(&mut rig, &command);
        let (_, issued) = rig.decider.propagation().commands().next().unwrap();
        assert!(issued.answers.is_empty());
    }
}

#[test]
fn the_bans_of_an_import_are_not_awaited() {
    let mut rig = Rig::ready();
    heard(&mut rig, "edge-1", &[]);
    let ban = ManualBan::new(target(CLIENT), NOW + 60_000, String::new(), "alice".to_owned());
    rig.handle(Event::Order {
        ticket: Ticket(1),
        order: Order::Import(Import {
            bans: vec![ban],
            nets_before: 0,
            mode: ImportMode::AllOrNothing,
            actor: "alice".to_owned(),
        }),
    });
    assert_eq!(rig.decider.propagation().commands().count(), 0);
}
