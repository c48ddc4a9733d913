//! Whom the default rules ban when a site is out of order, and when it is scanned.

use std::collections::BTreeSet;

use super::*;

const VISITORS: u32 = 300;
/// Scanners come after the visitors.
const SCANNER: u32 = 1000;

/// One request: who, when in milliseconds since the start, which path, which answer.
type Asked = (u32, i64, String, u16);

/// Whom the default rules find, by the times of the requests.
fn found(rules: Vec<RuleConfig>, mut asked: Vec<Asked>) -> BTreeSet<u32> {
    asked.sort_by_key(|(_, at_ms, _, _)| *at_ms);
    let mut detector = Detector::new(DetectConfig {
        rules,
        ..DetectConfig::default()
    });
    let mut found = BTreeSet::new();
    for (n, ms, path, status) in &asked {
        let request = Request {
            status: *status,
            method: "GET",
            path,
            host: "example.org",
            user_agent: "",
            signatures: &[],
        };
        if detector
            .observe_answer(at(source(*n), START + ms), &request)
            .is_some()
        {
            found.insert(*n);
        }
    }
    found
}

fn by_default(asked: Vec<Asked>) -> BTreeSet<u32> {
    found(RuleConfig::defaults(), asked)
}

/// Each of so many visitors asks for a page every 5 s from `from_s` to `to_s`, and for what `page` says of it at once.
fn visits(
    visitors: u32,
    (from_s, to_s): (i64, i64),
    page: impl Fn(u32, i64) -> Vec<(String, u16)>,
) -> Vec<Asked> {
    let mut asked = Vec::new();
    for n in 0..visitors {
        // Not all at the same time.
        let first_ms = from_s * 1000 + i64::from(n * 37 % 5000);
        let times = (0..).map(|load| first_ms + load * 5000);
        for at_ms in times.take_while(|at_ms| *at_ms < to_s * 1000) {
            let requests = page(n, at_ms).into_iter().enumerate();
            asked.extend(requests.map(|(m, (path, status))| (n, at_ms + m as i64 * 20, path, status)));
        }
    }
    asked
}

/// A page with its assets, which are answered with `asset`.
fn page(asset: u16) -> Vec<(String, u16)> {
    let assets = (0..12).map(|n| {
        let extension = ["js", "css", "png"][n % 3];
        (format!("/assets/part-{n}.{extension}"), asset)
    });
    [("/".to_owned(), 200)].into_iter().chain(assets).collect()
}

/// Paths that a scanner asks for, a new one each time.
fn scan(n: u32, at_ms: i64, words: usize) -> Vec<Asked> {
    let word = |word: usize| match word % 5 {
        0 => format!("/{}-admin", (b'a' + (word / 5 % 26) as u8) as char),
        1 => format!("/backup-{word}.zip"),
        2 => format!("/wp-content/plugins/x{word}/readme.txt"),
        3 => format!("/.{}env", (b'a' + (word / 5 % 26) as u8) as char),
        _ => format!("/shell{word}.php"),
    };
    let requests = (0..words).map(|k| (n, at_ms + k as i64 * 250, word(k), 404));
    requests.collect()
}

#[test]
fn a_visitor_who_leaves_a_map_before_it_is_drawn_is_not_banned() {
    let tiles = |status| (0..60).map(move |n| (1, n * 100, format!("/tiles/12/{n}/7.png"), status));
    assert_eq!(by_default(tiles(499).collect()), BTreeSet::new());
    assert_eq!(by_default(tiles(0).collect()), BTreeSet::new());
    assert_eq!(by_default(tiles(404).collect()), BTreeSet::from([1]));
    let aborted = RuleConfig {
        counts: Counts::Aborted,
        ..RuleConfig::preset(Rule::ErrorFlood).unwrap()
    };
    for status in [499, 0] {
        assert_eq!(
            found(vec![aborted.clone()], tiles(status).collect()),
            BTreeSet::from([1])
        );
    }
    assert_eq!(found(vec![aborted], tiles(404).collect()), BTreeSet::new());
}

#[test]
fn a_backend_that_hangs_gets_no_visitor_banned() {
    let hung = || visits(VISITORS, (0, 90), |_, _| page(499));
    assert_eq!(by_default(hung()), BTreeSet::new());
    let aborted = RuleConfig {
        counts: Counts::Aborted,
        ..RuleConfig::preset(Rule::ErrorFlood).unwrap()
    };
    assert_eq!(found(vec![aborted], hung()), BTreeSet::new());
}

#[test]
fn a_deploy_that_lost_its_assets_gets_no_visitor_banned() {
    for status in [404, 403, 410, 500] {
        // With good times before, and without.
        for healthy_s in [0, 30] {
            let mut asked = visits(VISITORS, (0, healthy_s), |_, _| page(200));
            asked.extend(visits(VISITORS, (healthy_s, healthy_s + 120), |_, _| {
                page(status)
            }));
            assert_eq!(by_default(asked), BTreeSet::new(), "{status} after {healthy_s} s");
        }
    }
}

#[test]
fn a_dead_login_service_gets_no_visitor_banned() {
    for visitors in [5, 20, VISITORS] {
        let mut asked = visits(visitors, (0, 30), |_, _| vec![("/api/me".to_owned(), 200)]);
        asked.extend(visits(visitors, (30, 150), |n, _| {
            let polls = (0..10).map(|_| ("/api/me".to_owned(), 401));
            let orders = [(format!("/api/orders/{n}"), 401), ("/".to_owned(), 200)];
            polls.chain(orders).collect()
        }));
        assert_eq!(by_default(asked), BTreeSet::new(), "{visitors}");
    }
}

#[test]
fn scanners_of_a_healthy_site_are_banned_however_many_they_are() {
    for scanners in [1, 2, 10, 50] {
        // Each page has a picture that is not there.
        let mut asked = visits(VISITORS, (0, 60), |_, _| {
            let mut page = page(200);
            page.push(("/images/logo.png".to_owned(), 404));
            page
        });
        let all = SCANNER..SCANNER + scanners;
        for n in all.clone() {
            asked.extend(scan(n, 20_000, 60));
        }
        assert_eq!(by_default(asked), all.collect(), "{scanners}");
    }
}

#[test]
fn a_scanner_of_a_site_that_is_out_of_order_is_banned() {
    let mut asked = visits(VISITORS, (0, 60), |_, _| page(404));
    asked.extend(scan(SCANNER, 20_000, 100));
    assert_eq!(by_default(asked), BTreeSet::from([SCANNER]));
}

#[test]
fn scanners_of_a_quiet_site_are_banned() {
    for visitors in [0, 1, 3] {
        for scanners in [1, 2, 3, 10, 20] {
            let mut asked = visits(visitors, (0, 60), |_, _| page(200));
            let all = SCANNER..SCANNER + scanners;
            for n in all.clone() {
                asked.extend(scan(n, 20_000, 60));
            }
            assert_eq!(by_default(asked), all.collect(), "{scanners} beside {visitors}");
        }
    }
}

#[test]
fn scanners_of_a_quiet_site_that_keep_step_are_a_crowd_from_twenty_one_on() {
    for guessing in [1, 4, 12, 20] {
        let all = SCANNER..SCANNER + guessing;
        let guess = |n| (0..60).map(move |k| (n, k * 200, format!("/users/{k}"), 404));
        let asked: Vec<_> = all.clone().flat_map(guess).collect();
        assert_eq!(by_default(asked.clone()), all.clone().collect(), "alone");
        let beside = visits(3, (0, 20), |_, _| page(200));
        assert_eq!(
            by_default([asked, beside].concat()),
            all.collect(),
            "beside visitors"
        );
    }
    // The limits. Beside as many visitors as there are scanners, they are none.
    let all = SCANNER..SCANNER + 21;
    let guess = |n| (0..60).map(move |k| (n, k * 200, format!("/users/{k}"), 404));
    let asked: Vec<_> = all.clone().flat_map(guess).collect();
    assert_eq!(by_default(asked.clone()), BTreeSet::new());
    let beside = visits(22, (0, 20), |_, _| page(200));
    assert_eq!(by_default([asked, beside].concat()), all.collect());
    // Those that look for much are found though they are many.
    let scans = (SCANNER..SCANNER + 30).flat_map(|n| scan(n, 0, 240));
    assert_eq!(by_default(scans.collect()), (SCANNER..SCANNER + 30).collect());
}
