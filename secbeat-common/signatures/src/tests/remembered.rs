//! What is remembered of values seen before changes no answer.

use proptest::prelude::*;

use super::matcher;
use crate::{Request, Scratch};

/// Requests of the tests of attacks and of ordinary clients: their targets and user agents.
fn targets() -> Vec<&'static str> {
    let lines = [include_str!("attacks.txt"), include_str!("ordinary.txt")];
    let lines = lines.iter().flat_map(|text| text.lines());
    lines
        .flat_map(|line| line.split([' ', '\t']))
        .filter(|part| part.starts_with('/'))
        .collect()
}

/// Texts without anything to decode, of parts that literals have and parts that none has.
fn plain() -> impl Strategy<Value = Vec<u8>> {
    const PARTS: &[&str] = &[
        "/",
        "/",
        ".",
        "wp-",
        "admin",
        ".php",
        ".env",
        ".git",
        "/config",
        ".bak",
        "shop",
        "item-",
        "index",
        "_",
        "-",
        "7f3a91",
        "ABC",
        "/cgi-bin/",
        "sqlmap",
        "backup",
        ".zip",
        "/images/",
        "abcdefghijklmnop",
    ];
    let parts = proptest::collection::vec(proptest::sample::select(PARTS), 0..16);
    parts.prop_map(|parts| ["/", &parts.concat()].concat().into_bytes())
}

#[test]
fn a_memory_that_loses_most_of_what_it_has_seen_changes_no_answer() {
    let matcher = matcher();
    let targets = targets();
    assert!(targets.len() > 3000, "{}", targets.len());
    let (mut random, mut lasting, mut matching) = (0x2545_f491_u32, Scratch::new(), 0);
    for _ in 0..40_000 {
        // Xorshift (Marsaglia): any sequence will do.
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        let which = random as usize >> 8;
        // Twice as many as are remembered; the one is short, the other long.
        let target = format!("{}?page={}", targets[which % targets.len()], which % 4);
        let agent = format!(
            "{}{}",
            "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/",
            which % 9_000
        );
        let request = Request {
            method: b"GET",
            target: target.as_bytes(),
            status: [200, 404][which / 7 % 2],
            user_agent: agent.as_bytes(),
            referer: targets[which / 3 % targets.len()].as_bytes(),
            ..Request::default()
        };
        let found = matcher.find(&request, &mut lasting);
        matching += usize::from(!found.is_empty());
        if random.is_multiple_of(8) {
            assert_eq!(found, matcher.find(&request, &mut Scratch::new()), "{target}");
        }
    }
    assert!(matching > 1000, "{matching}");
}

proptest! {
    #[test]
    fn plain_texts_are_looked_at_as_one_by_one(line in plain()) {
        crate::check(&line);
    }

    #[test]
    fn requests_that_come_again_among_others_are_answered_as_before(
        pool in proptest::collection::vec((plain(), plain()), 1..6),
        order in proptest::collection::vec((0_usize..6, 0_usize..6, 0_usize..6), 1..40),
    ) {
        let matcher = matcher();
        let mut lasting = Scratch::new();
        for (path, agent, referer) in order {
            let request = Request {
                method: b"GET",
                target: &pool[path % pool.len()].0,
                status: 404,
                user_agent: &pool[agent % pool.len()].1,
                referer: &pool[referer % pool.len()].0,
                ..Request::default()
            };
            prop_assert_eq!(matcher.find(&request, &mut lasting), matcher.find(&request, &mut Scratch::new()));
        }
    }
}
