//! Bans that operators order, and their end.

use super::*;
use crate::ledger::Refusal;

/// Why the order of a ban of `client` is refused.
fn refusal(rig: &mut Rig, client: &str, seconds: i64) -> Refused {
    let effects = rig.order(1, client, seconds);
    let [
        Effect::Reply {
            reply: Reply::Banned(Err(OrderError::Refused(refused))),
            ..
        },
    ] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    (**refused).clone()
}

#[test]
fn an_ordered_ban_is_written_at_once_and_needs_no_lease() {
    let mut rig = Rig::ready();
    rig.hold_all(Tenure::None);
    rig.lose(CLIENT);
    let effects = rig.order(1, CLIENT, 3_600);
    let [Effect::Write(request)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(request.urgency, Urgency::Now);
    let command = &written(&effects)[0];
    assert_eq!((command.reason, command.epoch), (Reason::Manual, 0));
    assert_eq!((&command.note[..], &command.issuer[..]), ("spam", "alice"));
    assert_eq!(command.expires_at_ms, NOW + 3_600_000);
    assert_eq!(rig.banned(CLIENT), Some(&pending(command)));
}

#[test]
fn an_ordered_ban_keeps_the_strikes_of_the_ban_it_replaces() {
    let mut rig = Rig::ready();
    let command = BlockCommand {
        strikes: 3,
        ..theirs(CLIENT, 9)
    };
    rig.hear(&command, 7);
    assert_eq!(rig.ordered(1, CLIENT, 3_600).strikes, 3);
}

#[test]
fn an_order_of_what_the_allowlist_protects_names_the_entry() {
    let mut rig = Rig::ready();
    let entry = allowlist::entry("198.51.100.0/24", None);
    rig.handle(Event::Allowlist(vec![entry.clone()]));
    assert_eq!(
        refusal(&mut rig, CLIENT, 60),
        Refused {
            target: target(CLIENT),
            refusal: Refusal::Protected(target("198.51.100.0/24")),
            protected: Some(ProtectedNet::of_fleet(&entry)),
        }
    );
    assert_eq!(rig.ban_of(CLIENT), None);
}

#[test]
fn an_order_of_what_the_config_protects_names_the_network() {
    let mut rig = Rig::ready();
    let net = ProtectedNet {
        network: target("198.51.100.0/24"),
        code: 0,
        comment: "office".to_owned(),
        until_ms: None,
    };
    rig.handle(Event::Protected(vec![net.clone()]));
    assert_eq!(refusal(&mut rig, "198.51.0.0/16", 60).protected, Some(net));
    assert_eq!(rig.handle(Event::Protected(Vec::new())), []);
    rig.ordered(2, "198.51.0.0/16", 60);
}

#[test]
fn an_order_of_what_is_no_clients_address_is_refused() {
    let mut rig = Rig::ready();
    let refused = refusal(&mut rig, "127.0.0.1", 60);
    assert_eq!(refused.refusal, Refusal::Unbannable("loopback"));
    assert_eq!(refused.protected, None);
    assert_eq!(
        OrderError::Refused(Box::new(refused)).to_string(),
        "127.0.0.1/32: protected: loopback"
    );
}

#[test]
fn an_order_of_a_ban_that_has_ended_is_refused() {
    let mut rig = Rig::ready();
    assert_eq!(refusal(&mut rig, CLIENT, 0).refusal, Refusal::Ended);
}

#[test]
fn a_shorter_order_ends_no_ban_earlier_unless_it_says_so() {
    let mut rig = Rig::ready();
    let long = rig.ordered(1, CLIENT, 600);
    rig.acknowledge(&long, 7);
    assert_eq!(
        refusal(&mut rig, CLIENT, 60).refusal,
        Refusal::Outlasted(long.expires_at_ms)
    );
    assert_eq!(rig.ban_of(CLIENT), Some(long.id));
    // As long, given a little later, is no shorter.
    rig.pass(1_000);
    assert!(rig.order(2, CLIENT, 598).iter().any(|effect| !matches!(
        effect,
        Effect::Reply {
            reply: Reply::Banned(Err(_)),
            ..
        }
    )));
    let expires_at_ms = rig.now.wall_ms + 60_000;
    let shorter = ManualBan {
        shortens: true,
        ..ManualBan::new(
            target(CLIENT),
            expires_at_ms,
            "short".to_owned(),
            "alice".to_owned(),
        )
    };
    let order = Order::Ban(shorter);
    let effects = rig.handle(Event::Order {
        ticket: Ticket(3),
        order,
    });
    assert_eq!(written(&effects)[0].expires_at_ms, expires_at_ms);
    // What never ends is longer than anything.
    let mut rig = Rig::ready();
    let order = Order::Ban(ManualBan::new(
        target(CLIENT),
        PERMANENT,
        String::new(),
        "alice".to_owned(),
    ));
    rig.handle(Event::Order {
        ticket: Ticket(1),
        order,
    });
    assert_eq!(
        refusal(&mut rig, CLIENT, 60).refusal,
        Refusal::Outlasted(PERMANENT)
    );
}

#[test]
fn one_network_too_many_is_refused_and_a_single_client_is_not() {
    let mut rig = Rig::ready();
    let most = 100;
    rig.decider.ledger.max_nets = most as usize;
    let nets = (0..most).map(|n: u32| {
        let network = Prefix::new(std::net::Ipv4Addr::from(0x0b00_0000 + n * 256).into(), 24).unwrap();
        bucket(
            &BlockCommand {
                target: network,
                ..theirs(CLIENT, u128::from(n))
            },
            u64::from(n),
        )
    });
    rig.handle(Event::Recheck {
        bans: nets.collect(),
        lifted: Vec::new(),
        audit: Vec::new(),
    });
    assert_eq!(
        refusal(&mut rig, "203.0.113.0/24", 60).refusal,
        Refusal::TooManyNets
    );
    rig.ordered(2, CLIENT, 60);
}

#[test]
fn an_unban_lifts_the_ban_and_answers_with_it_after_the_record() {
    let mut rig = Rig::ready();
    let command = rig.found(CLIENT);
    rig.acknowledge(&command, 7);
    rig.pass(1_000);
    assert_eq!(rig.unban(1, CLIENT), [write_lift(&command, NOW + 1_000)]);
    assert_eq!((rig.ban_of(CLIENT), rig.strikes(CLIENT)), (None, 0));
    rig.pass(5);
    assert_eq!(
        rig.done(&command, Fate::Lifted),
        [
            conclude(unban_record(&command, NOW + 1_005), Urgency::Now),
            reply(1, Reply::Unbanned(Ok(Some(Box::new(in_bucket(&command))))))
        ]
    );
}

#[test]
fn an_unban_of_nothing_is_answered_at_once() {
    let mut rig = Rig::ready();
    rig.ordered(1, "198.51.100.0/24", 3_600);
    assert_eq!(
        rig.unban(2, CLIENT),
        [reply(2, Reply::Unbanned(Ok(None)))],
        "a ban of the network around it is another"
    );
}

#[test]
fn an_unban_of_an_expired_ban_is_one_of_nothing() {
    let mut rig = Rig::ready();
    rig.hear(&theirs(CLIENT, 9), 7);
    rig.pass(300_000);
    assert_eq!(rig.unban(1, CLIENT), [reply(1, Reply::Unbanned(Ok(None)))]);
    assert_eq!(rig.strikes(CLIENT), 1);
}

#[test]
fn an_unban_that_the_end_of_the_ban_comes_before_is_one_of_nothing() {
    let mut rig = Rig::ready();
    let command = rig.ordered(1, CLIENT, 60);
    rig.acknowledge(&command, 7);
    assert_eq!(rig.unban(2, CLIENT), [write_lift(&command, NOW)]);
    // The bus is away for as long.
    rig.pass(60_000);
    assert_eq!(
        rig.done(&command, Fate::Ended),
        [reply(2, Reply::Unbanned(Ok(None)))],
        "nothing is recorded"
    );
    assert_eq!((rig.ban_of(CLIENT), rig.strikes(CLIENT)), (None, 1));
}

#[test]
fn an_unban_of_a_ban_on_its_way_takes_its_place_and_its_order_is_told() {
    let mut rig = Rig::ready();
    let command = rig.ordered(1, CLIENT, 3_600);
    assert_eq!(
        rig.unban(2, CLIENT),
        [
            reply_not_banned(1, OrderError::Superseded),
            write_lift(&command, NOW)
        ]
    );
    let effects = rig.done(&command, Fate::Lifted);
    assert_eq!(
        effects,
        [
            conclude(unban_record(&command, NOW), Urgency::Now),
            reply(2, Reply::Unbanned(Ok(Some(Box::new(pending(&command))))))
        ]
    );
}

#[test]
fn an_unban_that_a_ban_came_after_is_told() {
    let mut rig = Rig::ready();
    let first = rig.found(CLIENT);
    rig.acknowledge(&first, 7);
    rig.unban(1, CLIENT);
    let second = rig.ordered(2, CLIENT, 3_600);
    assert_eq!(
        rig.done(&first, Fate::Superseded),
        [reply(1, Reply::Unbanned(Err(OrderError::Superseded)))]
    );
    assert_eq!(rig.ban_of(CLIENT), Some(second.id));
}

#[test]
fn the_late_echo_of_an_unban_does_not_end_the_ban_after_it() {
    let mut rig = Rig::ready();
    let first = rig.found(CLIENT);
    rig.acknowledge(&first, 7);
    rig.unban(1, CLIENT);
    rig.done(&first, Fate::Lifted);
    rig.pass(1);
    let second = rig.found(CLIENT);
    rig.acknowledge(&second, 9);
    assert_eq!(rig.take(CLIENT, 2), [], "the bucket has it");
    assert_eq!(rig.hear_gone(CLIENT, 8), [], "heard late");
    assert_eq!(rig.ban_of(CLIENT), Some(second.id));
}

#[test]
fn a_change_of_the_allowlist_is_recorded_as_it_was_made() {
    let mut rig = Rig::ready();
    let record = AuditRecord {
        at_ms: NOW,
        target: target("198.51.100.0/24"),
        actor: "alice".to_owned(),
        decision: Audited::Disallow,
    };
    assert_eq!(
        rig.handle(Event::Decided(record.clone())),
        [conclude(record, Urgency::Now)]
    );
}

#[test]
fn the_trace_of_a_ban_that_was_lifted_on_its_way_ends_once() {
    let mut rig = Rig::ready_with(|config| config.traced = true);
    let command = rig.ordered(1, CLIENT, 3_600);
    let ended = |effects: &[Effect]| {
        let ended = effects.iter().filter_map(|effect| match effect {
            Effect::TraceEnded { id, failure } => Some((*id, failure.clone())),
            _ => None,
        });
        ended.collect::<Vec<_>>()
    };
    assert_eq!(
        ended(&rig.unban(2, CLIENT)),
        [(command.id, Some(OrderError::Superseded))]
    );
    assert_eq!(ended(&rig.done(&command, Fate::Lifted)), []);
}
