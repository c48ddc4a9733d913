//! The upstream-error guard.

use proptest::prelude::*;
use secbeat_common::rules::Target;

use super::{super::outage::OutageGuard, naive_guard::NaiveGuard, *};

const fn tally(requests: u32, server_errors: u32) -> Tally {
    Tally {
        requests,
        errors: server_errors,
        server_errors,
    }
}

/// Whether the guard holds for an answer to `sighting`, which it is told.
fn holds(guard: &mut OutageGuard, sighting: Sighting, status: u16, path: &str) -> bool {
    let noted = guard.note(sighting, status, &Target::new(path)).unwrap();
    guard.holds(&sighting, noted)
}

fn fails(guard: &mut OutageGuard, n: u32) -> bool {
    holds(guard, at(source(n), 0), 502, "/")
}

#[test]
fn a_5xx_is_nobodys_fault_where_nobody_else_was_answered() {
    let mut guard = OutageGuard::default();
    assert!(fails(&mut guard, 1));
    guard.record(at(source(1), 0), tally(100, 1));
    assert!(fails(&mut guard, 1), "its own good answers prove nothing");
    assert!(!fails(&mut guard, 2));
    let elsewhere = Sighting {
        upstream: UpstreamId(1),
        ..at(source(2), 0)
    };
    assert!(
        holds(&mut guard, elsewhere, 502, "/"),
        "nothing is known of that upstream"
    );
}

#[test]
fn an_upstream_that_fails_half_of_the_other_clients_is_out_however_much_they_ask_for() {
    let mut guard = OutageGuard::default();
    guard.record(at(source(2), 0), tally(4, 2));
    guard.record(at(source(3), 0), tally(100_000, 49_999));
    assert!(fails(&mut guard, 1), "one of two");
    guard.record(at(source(4), 0), tally(1, 0));
    assert!(!fails(&mut guard, 1), "one of three");
    guard.record(at(source(5), 0), tally(1_000_000, 1_000_000));
    assert!(fails(&mut guard, 1), "two of four");
    assert!(
        !fails(&mut guard, 5),
        "it cannot fake an outage for itself: one of three others"
    );
}

#[test]
fn only_the_last_ten_seconds_count() {
    let mut guard = OutageGuard::default();
    let fails = |guard: &mut OutageGuard, at_ms| holds(guard, at(source(1), at_ms), 500, "/");
    guard.record(at(source(2), 500), tally(1, 0));
    assert!(!fails(&mut guard, 9_999));
    assert!(
        fails(&mut guard, 10_000),
        "second 0 is out of the ten seconds 1 to 10"
    );
    guard.record(at(source(2), 999), tally(100, 0));
    assert!(fails(&mut guard, 10_000), "too late to count");
    guard.record(at(source(2), 1_000), tally(100, 0));
    assert!(!fails(&mut guard, 10_000), "late, but in time");
    guard.record(at(source(2), 100_000), tally(1, 1));
    assert!(fails(&mut guard, 100_000), "all before is forgotten");
}

#[test]
fn what_half_of_the_other_clients_get_on_a_shape_is_nobodys_fault_if_three_do() {
    let mut guard = OutageGuard::default();
    for n in 1..5 {
        guard.record(at(source(n), 0), tally(1, 0));
    }
    let mut missing = |n, path: &str| holds(&mut guard, at(source(n), 0), 404, path);
    assert!(!missing(1, "/assets/a1.js"), "nobody else fails");
    assert!(!missing(2, "/assets/b2.js"));
    assert!(!missing(3, "/assets/c3.js"), "two others are no crowd");
    assert!(missing(4, "/assets/d4.js"));
    assert!(missing(1, "/assets/e5.js"));
    assert!(!missing(1, "/assets/e5.css"), "of another kind");
    assert!(!missing(1, "/.env"));
    for n in 5..9 {
        guard.record(at(source(n), 0), tally(1, 0));
    }
    let mut missing = |n, path: &str| holds(&mut guard, at(source(n), 0), 404, path);
    assert!(missing(5, "/assets/f6.js"), "four of seven others");
    assert!(!missing(1, "/.env"));
}

#[test]
fn of_others_that_get_nothing_but_errors_twenty_have_to_meet_the_same() {
    let mut guard = OutageGuard::default();
    let mut missing = |n| holds(&mut guard, at(source(n), 0), 404, "/x");
    let held: Vec<_> = (0..22).map(&mut missing).collect();
    assert_eq!(held, [vec![false; 20], vec![true; 2]].concat());
    assert!(missing(0));
    let errors = Tally {
        requests: 2,
        errors: 2,
        server_errors: 0,
    };
    let mut guard = OutageGuard::default();
    for n in 0..4 {
        guard.record(at(source(n), 0), errors);
        assert!(!holds(&mut guard, at(source(n), 0), 404, "/x"));
    }
    for n in 0..4 {
        guard.record(at(source(n), 0), tally(1, 0));
    }
    assert!(
        holds(&mut guard, at(source(0), 0), 404, "/x"),
        "three others are served well"
    );
    assert!(!holds(&mut guard, at(source(0), 10_000), 404, "/x"));
}

#[test]
fn who_fails_on_more_than_sixteen_shapes_is_neither_excused_nor_a_witness() {
    let mut guard = OutageGuard::default();
    for n in 1..=4 {
        guard.record(at(source(n), 0), tally(1, 0));
        guard.record(at(source(n), 9_000), tally(1, 0));
        holds(&mut guard, at(source(n), 0), 404, "/x");
    }
    assert!(holds(&mut guard, at(source(1), 0), 404, "/x"));
    let letters: Vec<String> = ('a'..='p').map(|letter| format!("/scan-{letter}")).collect();
    for path in &letters[..15] {
        holds(&mut guard, at(source(1), 0), 404, path);
    }
    assert!(holds(&mut guard, at(source(1), 0), 404, "/x"), "sixteen");
    assert!(!holds(&mut guard, at(source(1), 0), 404, &letters[15]));
    assert!(!holds(&mut guard, at(source(1), 0), 404, "/x"));
    assert!(
        !holds(&mut guard, at(source(2), 0), 404, "/x"),
        "two witnesses are left"
    );
    for n in 2..=4 {
        guard.record(at(source(n), 18_000), tally(1, 0));
        holds(&mut guard, at(source(n), 18_999), 404, "/x");
    }
    assert!(!holds(&mut guard, at(source(1), 18_999), 404, "/x"));
    assert!(
        holds(&mut guard, at(source(1), 19_000), 404, "/x"),
        "ten seconds after what was the latest second"
    );
}

#[test]
fn upstreams_past_the_bound_are_forgotten_oldest_first() {
    let mut guard = OutageGuard::with_limits(2, 100);
    let on = |n, upstream| Sighting {
        upstream: UpstreamId(upstream),
        ..at(source(n), 0)
    };
    for upstream in [0, 1, 0, 2] {
        guard.record(on(2, upstream), tally(1, 0));
    }
    assert_eq!([0, 1, 2].map(|n| guard.clients(UpstreamId(n))), [1, 0, 1]);
}

#[test]
fn past_its_bound_a_sample_of_the_clients_stands_for_all() {
    for (failing, held) in [(300, false), (700, true)] {
        let mut guard = OutageGuard::with_limits(1, 128);
        for round in 0..3 {
            for n in 0..10_000 {
                let sighting = at(source(n), round * 1000);
                guard.record(sighting, tally(3, 0));
                if n % 1000 < failing {
                    holds(&mut guard, sighting, 404, "/assets/x.js");
                }
                assert!(guard.clients(UpstreamId(0)) <= 128);
            }
        }
        assert!(
            guard.clients(UpstreamId(0)) >= 32,
            "{}",
            guard.clients(UpstreamId(0))
        );
        let mut found = (0..1000).map(|n| holds(&mut guard, at(source(n * 10), 2_500), 404, "/assets/x.js"));
        assert!(found.all(|now| now == held), "{failing} of 1000 fail");
    }
}

#[test]
fn what_was_excused_of_a_source_is_remembered() {
    let mut guard = OutageGuard::default();
    assert_eq!(guard.excused(&source(1)), None);
    guard.excuse(&at(source(1), 5_000), 404);
    guard.excuse(&at(source(1), 4_000), 502);
    let expected = Excused {
        count: 2,
        status: 502,
        at_ms: 5_000,
    };
    assert_eq!(guard.excused(&source(1)), Some(expected));
    for n in 2..5_000 {
        guard.excuse(&at(source(n), 6_000), 404);
    }
    assert_eq!(guard.excused(&source(1)), None, "past the bound the oldest goes");
}

#[derive(Clone, Debug)]
enum Told {
    Answers(Tally),
    Failure(u16, String),
}

fn any_told() -> impl Strategy<Value = Told> {
    let status = prop::sample::select(vec![0u16, 499, 404, 404, 404, 401, 500, 503]);
    let path = prop_oneof![
        4 => prop::sample::select(vec!["/a/1.js", "/a/b/2.js", "/x.js", "/users/7", "/users/8/z", "/.env"])
            .prop_map(str::to_owned),
        1 => "/[a-z]",
    ];
    prop_oneof![
        2 => (0..4u32, 0..4u32, 0..4u32).prop_map(|(requests, errors, server_errors)| Told::Answers(Tally {
            requests,
            errors,
            server_errors,
        })),
        5 => (status, path).prop_map(|(status, path)| Told::Failure(status, path)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_guard_equals_one_that_keeps_everything(
        // At most a minute, mostly in order.
        told in prop::collection::vec(
            (0..6u32, 0..2u32, prop_oneof![4 => 0..300i64, 2 => -3_000..3_000i64, 1 => -20_000..20_000i64], any_told()),
            1..200,
        ),
    ) {
        let (mut guard, mut naive) = (OutageGuard::default(), NaiveGuard::default());
        let mut clock = 0;
        for (index, (n, upstream, advance, told)) in told.into_iter().enumerate() {
            let sighting = Sighting { upstream: UpstreamId(upstream), ..at(source(n), clock + advance) };
            clock = clock.max(sighting.at_ms);
            match told {
                Told::Answers(tally) => {
                    guard.record(sighting, tally);
                    naive.record(sighting, tally);
                }
                Told::Failure(status, path) => {
                    let held = holds(&mut guard, sighting, status, &path);
                    naive.note(sighting, status, &path);
                    prop_assert_eq!(held, naive.holds(sighting, status, &path), "{}: {} {}", index, status, path);
                }
            }
        }
    }
}
