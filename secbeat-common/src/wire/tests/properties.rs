use std::net::IpAddr;

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::select,
};
use uuid::Uuid;

use super::{super::*, samples};
use crate::prefix::Prefix;

fn any_learned_from() -> impl Strategy<Value = LearnedFrom> {
    use LearnedFrom::{Header, Peer, ProxyProtocol, Unknown};
    select(vec![Peer, Header, ProxyProtocol, Unknown])
}

fn any_client() -> impl Strategy<Value = IpAddr> {
    any::<IpAddr>().prop_map(|address| address.to_canonical())
}

prop_compose! {
    fn any_signature()([id, class, severity] in any::<[String; 3]>()) -> MatchedSignature {
        MatchedSignature { id, class, severity }
    }
}

prop_compose! {
    fn any_event()(
        (client, learned_from) in (any_client(), any_learned_from()),
        (at_ms, status, upstream) in any::<(i64, u16, u16)>(),
        [method, path, host, user_agent] in any::<[String; 4]>(),
        (signatures, cross_site) in (vec(any_signature(), 0..3), any::<bool>()),
    ) -> TelemetryEvent {
        TelemetryEvent {
            client, at_ms, status, upstream, learned_from, method, path, host, user_agent, signatures, cross_site,
        }
    }
}

prop_compose! {
    fn any_count()(
        (client, learned_from) in (any_client(), any_learned_from()),
        (at_ms, upstream) in any::<(i64, u16)>(),
        [requests, errors, server_errors] in any::<[u32; 3]>(),
    ) -> SourceCount {
        SourceCount {
            source: Prefix::single(client),
            at_ms, upstream, learned_from, requests, errors, server_errors,
        }
    }
}

prop_compose! {
    fn any_batch()(
        edge_id in any::<String>(),
        (boot, sequence, sent_at_ms, dropped_before) in any::<(u128, u64, i64, u64)>(),
        upstreams in vec(any::<String>(), 0..4),
        events in vec(any_event(), 0..8),
        counts in vec(any_count(), 0..8),
    ) -> TelemetryBatch {
        TelemetryBatch {
            edge_id, sequence, sent_at_ms, dropped_before, upstreams, events, counts,
            boot_id: Uuid::from_u128(boot),
        }
    }
}

prop_compose! {
    fn any_ban()(
        (id, client, kernel) in (any::<u128>(), any_client(), any::<bool>()),
        reason in select(vec!["manual", "error-flood", "path-scan", "one-of-ones-own"]),
        [note, issuer] in any::<[String; 2]>(),
        evidence in option::of(any::<(u32, u64, i64)>()),
        edges in option::of((vec(any::<String>(), 0..4), vec(btree_map(any::<String>(), any::<String>(), 1..3), 0..3))),
        (strikes, issued_at_ms, expires_at_ms, epoch) in any::<(u32, i64, i64, u64)>(),
    ) -> BlockCommand {
        BlockCommand {
            id: Uuid::from_u128(id),
            action: Action::Block,
            list: None,
            target: Prefix::single(client),
            reason: reason.parse().unwrap(),
            evidence: evidence.map(|(count, window_ms, at_ms)| Evidence { count, window_ms, at_ms }),
            scope: edges.map_or(Scope::Fleet, |(ids, labels)| Scope::Edges { ids, labels }),
            layer: if kernel { Layer::Kernel } else { Layer::L7 },
            note, issuer, strikes, issued_at_ms, expires_at_ms, epoch,
        }
    }
}

fn any_outcome() -> impl Strategy<Value = Enforcement> {
    prop_oneof![
        Just(Enforcement::Enforced),
        any::<String>().prop_map(Enforcement::Refused),
        any::<String>().prop_map(Enforcement::Failed),
    ]
}

prop_compose! {
    fn any_acks()(
        (edge_id, at_ms) in any::<(String, i64)>(),
        acks in vec((any::<u128>(), any_client(), any::<i64>(), any_outcome()), 0..4),
    ) -> AckBatch {
        let ack = |(id, client, issued_at_ms, outcome)| Ack {
            command_id: Uuid::from_u128(id),
            target: Prefix::single(client),
            issued_at_ms,
            outcome,
        };
        AckBatch { edge_id, at_ms, acks: acks.into_iter().map(ack).collect(), banned: Vec::new() }
    }
}

/// Parts that may be skipped: odd tags beyond those of this release, in ascending order.
fn any_later_parts() -> impl Strategy<Value = samples::Parts> {
    let tags = (4..=u16::MAX / 2).prop_map(|half| half * 2 + 1);
    let parts = btree_map(tags, vec(any::<u8>(), 0..32), 0..6);
    parts.prop_map(|parts| parts.into_iter().collect())
}

proptest! {
    #[test]
    fn messages_lead_back_to_themselves(
        batch in any_batch(), age_ms in any::<u64>(), ban in any_ban(), acks in any_acks()
    ) {
        prop_assert_eq!(decode(&encode(&batch).unwrap()), Ok(batch.clone()));
        let late = LateBatch { age_ms, batch };
        prop_assert_eq!(decode(&encode(&late).unwrap()), Ok(late));
        prop_assert_eq!(decode(&encode(&ban).unwrap()), Ok(ban));
        prop_assert_eq!(decode(&encode(&acks).unwrap()), Ok(acks));
    }

    #[test]
    fn parts_of_later_releases_change_nothing_but_their_count(more in any_later_parts()) {
        let skipped = more.len() as u32;
        for sample in samples::all() {
            let (said, none) = (sample.read)(&sample.bytes).unwrap();
            prop_assert_eq!(none, 0);
            prop_assert_eq!((sample.read)(&(sample.extended)(more.clone())), Ok((said, skipped)));
        }
    }

    #[test]
    fn a_critical_part_of_a_later_release_is_never_overlooked(
        mut more in any_later_parts(), half in 1..=u16::MAX / 2
    ) {
        let critical = half * 2;
        more.push((critical, Vec::new()));
        more.sort_unstable();
        for sample in samples::all() {
            let read = (sample.read)(&(sample.extended)(more.clone()));
            prop_assert_eq!(read, Err(WireError::CriticalPart(critical)));
        }
    }

    #[test]
    fn no_bytes_break_a_reader(kind in 0..20u8, bytes in vec(any::<u8>(), 0..200)) {
        check(&bytes);
        check(&[&[FORMAT, kind], &bytes[..]].concat());
    }

    #[test]
    fn no_bent_message_breaks_a_reader(at in 0..200usize, to in any::<u8>()) {
        for mut sample in samples::all() {
            let at = at % sample.bytes.len();
            sample.bytes[at] = to;
            check(&sample.bytes);
        }
    }
}
