//! Commands of the fleet: taken, refused, prolonged, shortened, lifted, expired.

use super::*;

#[test]
fn a_command_is_enforced_in_kernel_and_http_layer_and_then_acknowledged() {
    let mut edge = Edge::new();
    let effects = edge.send(&command(1, CLIENT, 300));
    assert_eq!(
        effects,
        [
            Effect::HttpBan {
                target: prefix(CLIENT),
                ends: at(300),
                layer: Layer::Kernel,
            },
            Effect::Acknowledge(
                Ack {
                    command_id: Uuid::from_u128(1),
                    target: prefix(CLIENT),
                    issued_at_ms: START.wall_ms,
                    outcome: Enforcement::Enforced,
                },
                SystemTime::UNIX_EPOCH,
            ),
            Effect::Report(Fact::Banned {
                target: prefix(CLIENT),
                reason: Reason::ErrorFlood,
                note: "50 errors in 60s".to_owned(),
            }),
        ]
    );
    let ban = edge.kernel_ban(CLIENT);
    assert_eq!(
        (ban.ends, ban.reason, ban.origin, ban.strikes),
        (at(300), Reason::ErrorFlood.code(), 1, 2)
    );
    assert!(edge.drops(CLIENT) && !edge.drops("198.51.100.8"));
    assert_eq!(edge.enforced(), [(format!("{CLIENT}/32"), 1, 1_300_000)]);
}

#[test]
fn a_ban_that_an_interface_does_not_enforce_is_acknowledged_as_that() {
    const WHY: &str = "eth0: no XDP program is attached";
    let mut edge = Edge::new();
    let unprotected = Event::Unprotected(Some(WHY.to_owned()));
    let effects = edge.handle(unprotected.clone());
    assert_eq!(effects, [Effect::Report(Fact::Unprotected(WHY.to_owned()))]);
    assert_eq!(edge.handle(unprotected), [], "which is said once");
    let outcome = |effects: Vec<Effect>| {
        effects.into_iter().find_map(|effect| match effect {
            Effect::Acknowledge(ack, _) => Some(ack.outcome),
            _ => None,
        })
    };
    let failed = Some(Enforcement::Failed(WHY.to_owned()));
    assert_eq!(outcome(edge.send(&command(1, CLIENT, 300))), failed);
    let refused = OrderError::NotWritten(WHY.to_owned());
    let reply = Effect::Reply(TICKET, Reply::Ban(Err(refused)));
    assert!(edge.ban_here("198.51.100.8", 300).contains(&reply));
    assert_eq!(
        edge.handle(Event::Unprotected(None)),
        [Effect::Report(Fact::Protected)]
    );
    assert!(edge.drops(CLIENT), "it is in the kernel all the same");
    let enforced = Some(Enforcement::Enforced);
    assert_eq!(outcome(edge.send(&command(2, "198.51.100.9", 300))), enforced);
}

#[test]
fn bans_of_one_event_are_written_together_and_all_acknowledged() {
    let mut edge = Edge::new();
    let updates = vec![
        edge.put(&command(1, "198.51.100.1", 300)),
        edge.put(&command(2, "198.51.100.2", 300)),
    ];
    let mut effects = Vec::new();
    edge.enforcer
        .handle(Event::Bucket(updates), edge.now, &mut effects);
    let writes: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Write(_, entries) => Some(entries.len()),
            _ => None,
        })
        .collect();
    assert_eq!((writes, acks(&effects)), (vec![2], vec![]));
    let write = effects.pop().unwrap();
    let crate::testing::Carried::Events(mut outcome) = edge.kernel.carry_out(&write) else {
        panic!("{write:?}")
    };
    let effects = edge.handle(outcome.remove(0));
    assert_eq!(
        acks(&effects),
        [(1, Enforcement::Enforced), (2, Enforcement::Enforced)]
    );
}

#[test]
fn a_command_that_comes_again_changes_nothing_and_is_not_acknowledged_again() {
    let mut edge = Edge::new();
    let ban = command(1, CLIENT, 300);
    edge.send(&ban);
    edge.now.wall_ms -= 3_600_000;
    assert_eq!(edge.send(&ban), []);
    assert_eq!(edge.kernel_ban(CLIENT).ends, at(300), "whatever the clock says");
}

#[test]
fn a_ban_is_prolonged_and_shortened_by_the_next_command() {
    let mut edge = Edge::new();
    edge.send(&command(1, CLIENT, 300));
    let effects = edge.send(&command(2, CLIENT, 900));
    assert_eq!(acks(&effects), [(2, Enforcement::Enforced)]);
    assert_eq!(edge.kernel_ban(CLIENT).ends, at(900));
    edge.send(&command(3, CLIENT, 60));
    assert_eq!(edge.kernel_ban(CLIENT).ends, at(60));
    assert_eq!(edge.enforced(), [(format!("{CLIENT}/32"), 3, 1_060_000)]);
}

#[test]
fn a_prolonged_ban_keeps_its_drop_counts() {
    let mut edge = Edge::new();
    edge.send(&command(1, CLIENT, 300));
    edge.kernel.bans.get_mut(&prefix(CLIENT)).unwrap().dropped_packets = 41;
    edge.send(&command(2, CLIENT, 900));
    assert_eq!(edge.kernel_ban(CLIENT).dropped_packets, 41);
}

#[test]
fn no_ban_lasts_longer_than_this_edge_allows() {
    let mut edge = Edge::new();
    edge.send(&command(1, CLIENT, 99_999));
    assert_eq!(edge.kernel_ban(CLIENT).ends, at(3600));
    edge.pass(3600);
    assert!(!edge.drops(CLIENT) && edge.status().active == 0);
    assert_eq!(edge.status().set_aside, 1, "the fleet still bans it");
    assert_eq!(edge.send(&command(1, CLIENT, 99_999)), [], "named again");
}

#[test]
fn a_permanent_ban_is_limited_unless_an_operator_ordered_it() {
    let mut edge = Edge::new();
    let permanent = |id, target, reason| BlockCommand {
        reason,
        expires_at_ms: i64::MAX,
        ..command(id, target, 0)
    };
    edge.send(&permanent(1, "198.51.100.1", Reason::Manual));
    edge.send(&permanent(2, "198.51.100.2", Reason::ErrorFlood));
    assert_eq!(edge.kernel_ban("198.51.100.1").ends, BootTime::NEVER);
    assert_eq!(edge.kernel_ban("198.51.100.2").ends, at(3600));
}

#[test]
fn what_must_never_be_banned_is_refused() {
    let mut edge = Edge::new();
    let effects = edge.send(&command(1, "127.0.0.1", 300));
    assert_eq!(
        acks(&effects),
        refused(1, "127.0.0.1/32 is never banned: loopback")
    );
    let effects = edge.send(&command(2, "198.0.0.0/7", 300));
    assert!(matches!(
        &facts(&effects)[..],
        [Fact::Refused {
            refusal: Refusal::Unbannable(..),
            ..
        }]
    ));
    assert_eq!((edge.kernel.bans.len(), edge.status().set_aside), (0, 2));
}

#[test]
fn a_ban_for_another_edge_is_neither_enforced_nor_acknowledged() {
    let mut edge = Edge::new();
    let scoped = |id, edges: &[&str]| BlockCommand {
        scope: Scope::of_edges(edges.iter().map(|edge| (*edge).to_owned()).collect()),
        ..command(id, CLIENT, 300)
    };
    assert_eq!(edge.send(&scoped(1, &["edge-2"])), []);
    assert_eq!((edge.status().active, edge.status().set_aside), (0, 1));
    let effects = edge.send(&scoped(2, &["edge-2", "edge-1"]));
    assert_eq!(acks(&effects), [(2, Enforcement::Enforced)]);
}

#[test]
fn a_ban_for_labels_is_enforced_where_an_edge_has_all_of_them() {
    let mut edge = Edge::new();
    let labelled = |id, target, labels| BlockCommand {
        scope: Scope::of_labels(parse_labels(labels).unwrap()),
        ..command(id, target, 300)
    };
    assert_eq!(edge.send(&labelled(1, CLIENT, "role=mail")), []);
    assert_eq!(edge.send(&labelled(2, CLIENT, "role=web,site=us")), []);
    assert_eq!((edge.status().active, edge.status().set_aside), (0, 1));
    let effects = edge.send(&labelled(3, CLIENT, "role=web"));
    assert_eq!(acks(&effects), [(3, Enforcement::Enforced)]);
    // One in its place for others ends it, and counts as received.
    let effects = edge.send(&labelled(4, CLIENT, "role=mail"));
    assert_eq!(facts(&effects), [Fact::Lifted(prefix(CLIENT))]);
    assert!(!edge.drops(CLIENT) && edge.enforced().is_empty());
    assert_eq!(edge.status().set_aside, 1);
    // So does one that the kernel has from before the edge had other labels.
    edge.send(&labelled(5, CLIENT, "role=web"));
    edge.enforcer = Enforcer::new(EnforcerConfig {
        labels: parse_labels("role=mail").unwrap(),
        ..config(&edge.kernel)
    });
    edge.reconcile();
    assert!(edge.drops(CLIENT));
    edge.snapshot(&[&labelled(5, CLIENT, "role=web")]);
    assert!(!edge.drops(CLIENT));
}

#[test]
fn a_stale_command_is_refused_and_what_is_enforced_stays() {
    let mut edge = Edge::new();
    let of_epoch = |id, epoch| BlockCommand {
        epoch,
        ..command(id, CLIENT, 300)
    };
    edge.send(&of_epoch(1, 9));
    let effects = edge.send(&of_epoch(2, 5));
    assert_eq!(
        acks(&effects),
        refused(2, "its orchestrator no longer owned the partition")
    );
    assert!(facts(&effects).contains(&Fact::StaleCommand));
    assert_eq!(edge.enforced(), [(format!("{CLIENT}/32"), 1, 1_300_000)]);
    let effects = edge.send(&of_epoch(2, 5));
    assert!(!facts(&effects).contains(&Fact::StaleCommand), "counted once");
}

#[test]
fn a_ban_that_has_just_expired_is_passed_over_and_an_older_one_tells_of_a_wrong_clock() {
    let mut edge = Edge::new();
    assert_eq!(edge.send(&command(1, CLIENT, -2)), []);
    assert_eq!(
        facts(&edge.send(&command(2, CLIENT, -3))),
        [Fact::ExpiredCommand {
            target: prefix(CLIENT),
            late_ms: 3_000
        }]
    );
    assert_eq!(edge.kernel.bans.len(), 0);
}

#[test]
fn a_ban_that_was_replaced_by_one_that_has_expired_is_over() {
    let mut edge = Edge::new();
    edge.send(&command(1, CLIENT, 300));
    let effects = edge.send(&command(2, CLIENT, -1));
    assert_eq!(facts(&effects), [Fact::Lifted(prefix(CLIENT))]);
    assert!(!edge.drops(CLIENT) && edge.enforced().is_empty());
}

#[test]
fn a_longer_ban_that_a_wrong_clock_calls_expired_leaves_the_one_that_is_enforced() {
    let mut edge = Edge::new();
    edge.send(&command(1, CLIENT, 300));
    let longer = command(2, CLIENT, 600);
    edge.now.wall_ms += 3_600_000;
    let late_ms = 3_000_000;
    let target = prefix(CLIENT);
    assert_eq!(
        facts(&edge.send(&longer)),
        [Fact::ExpiredCommand { target, late_ms }]
    );
    assert!(edge.drops(CLIENT));
}

#[test]
fn an_expired_command_of_a_former_owner_lifts_nothing() {
    let mut edge = Edge::new();
    edge.send(&BlockCommand {
        epoch: 6,
        ..command(1, CLIENT, 300)
    });
    let effects = edge.send(&BlockCommand {
        epoch: 5,
        ..command(2, CLIENT, -1)
    });
    assert_eq!(facts(&effects), []);
    assert!(edge.drops(CLIENT));
}

#[test]
fn a_ban_that_is_heard_of_again_once_a_clock_says_that_it_has_expired_stays() {
    let mut edge = Edge::new();
    let command = command(1, CLIENT, 300);
    edge.send(&command);
    edge.now.wall_ms += 3_600_000;
    edge.send(&command);
    assert!(edge.drops(CLIENT));
}

#[test]
fn once_the_time_is_set_bans_end_by_it() {
    for (set_s, ends) in [(0, 300), (-600, 900), (200, 100), (600, 0)] {
        let mut edge = Edge::new();
        edge.send(&command(1, CLIENT, 300));
        edge.now.wall_ms += set_s * 1000;
        let effects = edge.set_time();
        assert_eq!(acks(&effects), [], "nothing is new");
        assert_eq!(edge.kernel_ban(CLIENT).ends, at(ends), "set by {set_s} s");
    }
}

#[test]
fn no_setting_of_the_time_lets_a_ban_last_longer_than_an_edge_bans() {
    let mut edge = Edge::new();
    edge.send(&command(1, CLIENT, 30 * 24 * 3600));
    let ends = edge.kernel_ban(CLIENT).ends;
    edge.now.wall_ms += 3_600_000;
    edge.set_time();
    assert_eq!(edge.kernel_ban(CLIENT).ends, ends);
}

#[test]
fn a_ban_that_a_wrong_clock_called_expired_is_enforced_once_the_time_is_set() {
    let mut edge = Edge::new();
    let ban = command(1, CLIENT, 300);
    edge.now.wall_ms += 600_000;
    edge.send(&ban);
    assert!(!edge.drops(CLIENT));
    edge.now.wall_ms -= 600_000;
    edge.set_time();
    edge.send(&ban);
    assert_eq!(edge.kernel_ban(CLIENT).ends, at(300));
}

#[test]
fn a_lifted_ban_is_removed_everywhere() {
    let mut edge = Edge::new();
    edge.send(&command(1, CLIENT, 300));
    assert_eq!(
        edge.lift(CLIENT),
        [
            Effect::Report(Fact::Lifted(prefix(CLIENT))),
            Effect::HttpUnban(prefix(CLIENT)),
        ]
    );
    assert!(!edge.drops(CLIENT) && edge.kernel.bans.is_empty() && edge.enforced().is_empty());
}

#[test]
fn lifting_an_unknown_ban_does_nothing() {
    let mut edge = Edge::new();
    assert_eq!(edge.lift(CLIENT), []);
    assert_eq!(edge.status().revision, 1);
}

#[test]
fn an_expired_ban_is_removed_with_the_next_tick_and_ends_before_it() {
    let mut edge = Edge::new();
    edge.send(&command(1, CLIENT, 300));
    assert_eq!(edge.pass(299), []);
    assert!(edge.drops(CLIENT));
    edge.now = after(edge.now, 1);
    assert!(!edge.drops(CLIENT), "the kernel compares the expiry itself");
    assert_eq!(edge.handle(Event::Tick), [Effect::HttpUnban(prefix(CLIENT))]);
    assert!(edge.kernel.bans.is_empty());
}

#[test]
fn a_ban_at_the_http_layer_is_not_in_the_kernel() {
    let mut edge = Edge::new();
    let ban = BlockCommand {
        layer: Layer::L7,
        ..command(1, CLIENT, 300)
    };
    let effects = edge.send(&ban);
    assert_eq!(
        effects[0],
        Effect::HttpBan {
            target: prefix(CLIENT),
            ends: at(300),
            layer: Layer::L7,
        }
    );
    assert_eq!(acks(&effects), [(1, Enforcement::Enforced)]);
    assert!(edge.kernel.bans.is_empty());
    edge.send(&command(2, CLIENT, 300));
    assert!(edge.drops(CLIENT));
    edge.send(&BlockCommand {
        id: Uuid::from_u128(3),
        ..ban
    });
    assert!(!edge.drops(CLIENT), "moved back to the HTTP layer");
}

#[test]
fn without_a_kernel_the_http_layer_is_all_there_is() {
    let mut edge = Edge::without_kernel();
    let effects = edge.send(&command(1, CLIENT, 300));
    assert!(matches!(effects[0], Effect::HttpBan { .. }));
    assert_eq!(acks(&effects), [(1, Enforcement::Enforced)]);
    assert_eq!(edge.reconcile(), []);
    assert!(edge.kernel.bans.is_empty() && edge.status().active == 1);
}

#[test]
fn a_network_that_lies_in_a_longer_ban_lasts_as_long_in_the_kernel() {
    let mut edge = Edge::new();
    edge.send(&command(1, "198.51.100.8/29", 60));
    edge.send(&command(2, "198.51.100.0/24", 300));
    assert_eq!(edge.kernel_ban("198.51.100.8/29").ends, at(300));
    edge.lift("198.51.100.0/24");
    assert_eq!(edge.kernel_ban("198.51.100.8/29").ends, at(60));
}

#[test]
fn one_network_more_than_there_is_room_for_is_refused() {
    const ROOM: u32 = 10;
    let mut edge = Edge::new();
    edge.enforcer.reconciler.max_nets = ROOM as usize;
    for n in 0..ROOM {
        let net = Prefix::new(IpAddr::from((0xc612_0000 + n * 4).to_be_bytes()), 30).unwrap();
        edge.send(&BlockCommand {
            target: net,
            ..command(u128::from(n) + 10, "198.18.0.0/30", 300)
        });
    }
    let effects = edge.send(&command(1, "203.0.113.0/24", 300));
    assert!(matches!(
        &acks(&effects)[..],
        [(1, Enforcement::Refused(why))] if why.starts_with("203.0.113.0/24 is one network too many: 1000000 are banned")
    ));
    assert_eq!(
        acks(&edge.send(&command(2, CLIENT, 300))),
        [(2, Enforcement::Enforced)]
    );
}
