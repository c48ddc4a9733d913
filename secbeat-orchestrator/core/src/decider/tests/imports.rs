//! Bans that operators order together.

use super::*;
use crate::ledger::{Refusal, Sifted};

fn orders(targets: &[&str]) -> Vec<ManualBan> {
    let order = |client: &&str| {
        ManualBan::new(
            target(client),
            NOW + 3_600_000,
            "spam".to_owned(),
            "alice".to_owned(),
        )
    };
    targets.iter().map(order).collect()
}

fn import(rig: &mut Rig, ticket: u64, mode: ImportMode, bans: Vec<ManualBan>) -> Vec<Effect> {
    let actor = "bob".to_owned();
    rig.handle(Event::Order {
        ticket: Ticket(ticket),
        order: Order::Import(Import {
            bans,
            mode,
            actor,
            nets_before: 0,
        }),
    })
}

fn imported(ticket: u64, outcome: Imported) -> Effect {
    reply(ticket, Reply::Imported(Ok(outcome)))
}

/// The outcome of so many new bans of single clients.
fn all_banned(banned: usize) -> Imported {
    Imported {
        banned,
        free_networks: secbeat_common::maps::MAX_BANNED_NETS as usize,
        ..Imported::default()
    }
}

#[test]
fn an_import_is_written_in_bulk_and_answered_once_all_is_written() {
    let mut rig = Rig::ready();
    let effects = import(
        &mut rig,
        1,
        ImportMode::AllOrNothing,
        orders(&[CLIENT, OTHER_CLIENT]),
    );
    let commands = written(&effects);
    let writes: Vec<_> = commands
        .iter()
        .map(|command| write(command, Urgency::Bulk))
        .collect();
    assert_eq!((effects, commands.len()), (writes, 2));
    let record = |command| AuditRecord {
        actor: "bob".to_owned(),
        ..ban_record(command)
    };
    assert_eq!(
        rig.acknowledge(&commands[0], 7),
        [conclude(record(&commands[0]), Urgency::Bulk)]
    );
    assert_eq!(
        rig.acknowledge(&commands[1], 8),
        [
            conclude(record(&commands[1]), Urgency::Bulk),
            imported(1, all_banned(2))
        ]
    );
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let mut rig = Rig::ready();
    rig.hear(
        &BlockCommand {
            expires_at_ms: NOW + 3_600_000,
            ..theirs(OTHER_CLIENT, 9)
        },
        7,
    );
    let mut bans = orders(&[CLIENT, OTHER_CLIENT, "127.0.0.1", "203.0.113.0/24", "203.0.113.9"]);
    bans[4].expires_at_ms = NOW;
    let outcome = Imported {
        banned: 2,
        longer: 0,
        kept: 1,
        ended: 1,
        refused: vec![RefusedOrder {
            index: 2,
            refused: Refused {
                target: target("127.0.0.1"),
                refusal: Refusal::Unbannable("loopback"),
                protected: None,
            },
        }],
        new_networks: 1,
        free_networks: secbeat_common::maps::MAX_BANNED_NETS as usize,
        exempting: 0,
        fates: vec![
            Sifted::New,
            Sifted::Kept,
            Sifted::Refused(Refusal::Unbannable("loopback")),
            Sifted::New,
            Sifted::Ended,
        ],
    };
    assert_eq!(
        import(&mut rig, 1, ImportMode::DryRun, bans),
        [imported(1, outcome)]
    );
    assert_eq!(
        (rig.ban_of(CLIENT), rig.decider.stats(rig.now).active_bans),
        (None, 1)
    );
}

#[test]
fn a_dry_run_in_parts_finds_the_room_that_the_whole_import_would() {
    let mut rig = Rig::ready();
    let room = secbeat_common::maps::MAX_BANNED_NETS as usize;
    let effects = rig.handle(Event::Order {
        ticket: Ticket(1),
        order: Order::Import(Import {
            bans: orders(&["203.0.113.0/24", "198.51.100.0/24", CLIENT]),
            mode: ImportMode::DryRun,
            actor: "bob".to_owned(),
            nets_before: room - 1,
        }),
    });
    let [
        Effect::Reply {
            reply: Reply::Imported(Ok(outcome)),
            ..
        },
    ] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    let refused: Vec<_> = outcome
        .refused
        .iter()
        .map(|order| (order.index, order.refused.refusal))
        .collect();
    assert_eq!(refused, [(1, Refusal::TooManyNets)]);
    assert_eq!((outcome.banned, outcome.new_networks), (2, 1));
}

#[test]
fn all_or_nothing_is_nothing_if_one_is_refused() {
    let mut rig = Rig::ready();
    let bans = orders(&[CLIENT, "127.0.0.1"]);
    let effects = import(&mut rig, 1, ImportMode::AllOrNothing, bans);
    let [
        Effect::Reply {
            reply: Reply::Imported(Err(error @ OrderError::SomeRefused { refused, of: 2 })),
            ..
        },
    ] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!((refused.len(), refused[0].index), (1, 1));
    assert_eq!(error.to_string(), "1 of 2 bans cannot be made");
    assert_eq!(rig.ban_of(CLIENT), None);
}

#[test]
fn the_others_are_banned_where_refused_ones_are_skipped() {
    let mut rig = Rig::ready();
    let bans = orders(&["127.0.0.1", CLIENT]);
    let commands = written(&import(&mut rig, 1, ImportMode::SkipRefused, bans));
    assert_eq!(commands.len(), 1);
    let effects = rig.acknowledge(&commands[0], 7);
    let Some(Effect::Reply {
        reply: Reply::Imported(Ok(outcome)),
        ..
    }) = effects.last()
    else {
        panic!("{effects:?}");
    };
    assert_eq!((outcome.banned, outcome.refused.len()), (1, 1));
}

#[test]
fn an_import_of_what_is_banned_already_is_answered_at_once() {
    let mut rig = Rig::ready();
    let bans = orders(&[CLIENT]);
    let commands = written(&import(&mut rig, 1, ImportMode::AllOrNothing, bans.clone()));
    rig.acknowledge(&commands[0], 7);
    let outcome = Imported {
        kept: 1,
        ..all_banned(0)
    };
    assert_eq!(
        import(&mut rig, 2, ImportMode::AllOrNothing, bans),
        [imported(2, outcome)]
    );
}

#[test]
fn an_import_does_not_wait_for_a_ban_that_was_lifted_or_came_to_nothing() {
    let mut rig = Rig::ready();
    let bans = orders(&[CLIENT, OTHER_CLIENT, "203.0.113.9"]);
    let commands = written(&import(&mut rig, 1, ImportMode::AllOrNothing, bans));
    assert_eq!(rig.unban(2, CLIENT), [write_lift(&commands[0], NOW)]);
    assert_eq!(rig.done(&commands[1], Fate::Superseded), []);
    assert_eq!(rig.done(&commands[2], Fate::Ended), [imported(1, all_banned(3))]);
    assert_eq!(rig.done(&commands[0], Fate::Lifted).len(), 2, "the unban's");
}

#[test]
fn several_bans_of_one_target_in_an_import_are_one_the_longest() {
    let mut rig = Rig::ready();
    let mut bans = orders(&[CLIENT, CLIENT, CLIENT]);
    bans[1].expires_at_ms += 1_000;
    (bans[0].strikes, bans[1].strikes) = (Some(3), Some(1));
    let longest = bans[1].expires_at_ms;
    let commands = written(&import(&mut rig, 1, ImportMode::AllOrNothing, bans));
    let made: Vec<_> = commands
        .iter()
        .map(|command| (command.expires_at_ms, command.strikes))
        .collect();
    assert_eq!(made, [(longest, 3)], "the strikes of all count");
    let outcome = Imported {
        kept: 2,
        ..all_banned(1)
    };
    assert_eq!(rig.acknowledge(&commands[0], 7)[1..], [imported(1, outcome)]);
    assert_eq!(rig.ban_of(CLIENT), Some(commands[0].id));
}

#[test]
fn a_ban_of_an_import_that_gave_way_to_a_longer_one_is_kept() {
    let mut rig = Rig::ready();
    let bans = orders(&[CLIENT, "203.0.113.0/24"]);
    let commands = written(&import(&mut rig, 1, ImportMode::AllOrNothing, bans));
    let longer = |command: &BlockCommand| {
        Fate::Outrun(Box::new(BlockCommand {
            id: Uuid::from_u128(9),
            expires_at_ms: PERMANENT,
            ..command.clone()
        }))
    };
    assert_eq!(rig.acknowledge(&commands[0], 7).len(), 1);
    let outcome = Imported {
        kept: 1,
        ..all_banned(1)
    };
    assert_eq!(
        rig.done(&commands[1], longer(&commands[1])),
        [imported(1, outcome)]
    );
    assert_eq!(
        rig.banned("203.0.113.0/24").map(|ban| ban.command.expires_at_ms),
        Some(PERMANENT)
    );
}

#[test]
fn an_order_takes_the_place_of_an_imports_ban_and_the_import_goes_on() {
    let mut rig = Rig::ready();
    let commands = written(&import(&mut rig, 1, ImportMode::AllOrNothing, orders(&[CLIENT])));
    let ordered = rig.ordered(2, CLIENT, 60_000);
    assert_eq!(
        rig.done(&commands[0], Fate::Superseded),
        [imported(1, all_banned(1))]
    );
    assert_eq!(rig.acknowledge(&ordered, 7)[1..], [reply_banned(2, &ordered)]);
}
