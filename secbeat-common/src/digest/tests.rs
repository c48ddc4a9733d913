use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_800_000_000_000;

fn item(n: u32, issued_at_ms: i64, expires_at_ms: i64) -> Item {
    Item {
        target: Prefix::single(std::net::Ipv4Addr::from(0xc633_0000 + n).into()),
        command_id: Uuid::from_u128(u128::from(n) + 1),
        issued_at_ms,
        expires_at_ms,
    }
}

fn digest(items: &[Item]) -> Digest {
    let mut digest = Digest::default();
    for item in items {
        digest.add(item);
    }
    digest
}

#[test]
fn digests_are_golden_since_a_fleet_upgrades_one_by_one() {
    let mut items = vec![item(7, NOW - 60_000, NOW + 240_000)];
    assert_eq!(digest(&items).extract(NOW).digest, GOLDEN_ONE);
    items.push(Item {
        target: "2001:db8:1:2::/64".parse().unwrap(),
        ..item(8, NOW - 90_000, i64::MAX)
    });
    let expected = Extract {
        span: Span {
            issued_before_ms: NOW - 10_000,
            ending_from_ms: NOW + 30_000,
        },
        bans: 2,
        digest: GOLDEN_TWO.to_owned(),
    };
    assert_eq!(digest(&items).extract(NOW), expected);
}

const GOLDEN_ONE: &str = "ba378f1b6b2fb2c17775519dcc60d475";
const GOLDEN_TWO: &str = "a5da748ccfa418b10d5de2dec996214a";

#[test]
fn bans_on_their_way_or_about_to_end_do_not_count() {
    let settled = item(1, NOW - 10_001, NOW + 300_000);
    let alone = digest(&[settled]).extract(NOW);
    for other in [
        item(2, NOW - 10_000, NOW + 300_000),
        item(2, NOW - 300_000, NOW + 29_999),
        item(2, NOW - 20_000, NOW + 39_999),
    ] {
        assert_eq!(digest(&[settled, other]).extract(NOW), alone, "{other:?}");
    }
    assert_ne!(
        digest(&[settled, item(2, NOW - 300_000, NOW + 30_000)]).extract(NOW),
        alone
    );
}

#[test]
fn whatever_tells_two_bans_apart_tells_their_digests_apart() {
    let one = item(1, NOW - 60_000, NOW + 300_000);
    let others = [
        Item {
            target: "198.51.0.2".parse().unwrap(),
            ..one
        },
        Item {
            command_id: Uuid::max(),
            ..one
        },
        Item {
            expires_at_ms: one.expires_at_ms + 1,
            ..one
        },
    ];
    for other in others {
        assert_ne!(digest(&[one]).extract(NOW), digest(&[other]).extract(NOW));
    }
}

#[test]
fn a_span_of_another_clock_or_of_no_steps_is_not_compared() {
    let span = |issued_before_ms, ending_from_ms| Span {
        issued_before_ms,
        ending_from_ms,
    };
    assert!(Digest::default().extract(NOW).span.is_comparable(NOW + 29_999));
    assert!(!Digest::default().extract(NOW).span.is_comparable(NOW + 30_000));
    assert!(!span(NOW - 10_000, NOW + 60_000).is_comparable(NOW));
    assert!(!span(NOW - 10_001, NOW + 30_000).is_comparable(NOW));
    assert!(!span(NOW + 40_000, NOW + 30_000).is_comparable(NOW));
    assert!(!span(i64::MIN, i64::MAX).is_comparable(NOW));
}

proptest! {
    /// Whatever the order, and whatever came and went in between.
    #[test]
    fn an_extract_equals_that_of_the_bans_left(
        lives in prop::collection::vec((-100_000..20_000_i64, 1..200_000_i64, any::<bool>()), 0..60),
        now in NOW..NOW + 40_000,
    ) {
        let items: Vec<_> = lives
            .iter()
            .zip(0..)
            .map(|((issued, lasts, _), n)| item(n, NOW + issued, NOW + issued + lasts))
            .collect();
        let mut changed = digest(&items);
        for (item, (.., stays)) in items.iter().zip(&lives) {
            if !stays {
                changed.remove(item);
            }
        }
        let extract = changed.extract(now);
        let left: Vec<_> = items
            .iter()
            .zip(&lives)
            .filter(|(item, (.., stays))| {
                *stays
                    && item.expires_at_ms - item.issued_at_ms >= SHORTEST_MS
                    && item.issued_at_ms < extract.span.issued_before_ms
                    && item.expires_at_ms >= extract.span.ending_from_ms
            })
            .map(|(item, _)| *item)
            .collect();
        prop_assert_eq!(extract.bans, left.len() as u64);
        prop_assert_eq!(digest(&left).extract_of(extract.span), extract);
    }
}

#[test]
fn bans_that_are_gone_leave_nothing_behind() {
    let items: Vec<_> = (0..100)
        .map(|n| item(n, NOW, NOW + 60_000 + i64::from(n) * 7_000))
        .collect();
    let mut digest = digest(&items);
    for item in &items {
        digest.remove(item);
    }
    assert!(digest.ending.is_empty() && digest.issued.is_empty());
}
