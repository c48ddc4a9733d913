//! Files of operators: what is wrong is said once and with its place, and the rest goes on.

use super::texts;
use crate::{Matcher, Request, Scratch, SignatureFile};

fn built(text: &str) -> (Vec<String>, Vec<String>) {
    let file = SignatureFile {
        name: "own.toml".to_owned(),
        text: text.to_owned(),
    };
    let (matcher, problems) = Matcher::build(&[file], &[]);
    let own = matcher.signatures().iter().filter(|signature| signature.line > 0);
    (
        own.map(|signature| signature.id.clone()).collect(),
        texts(&problems),
    )
}

fn signature(id: &str, more: &str) -> String {
    format!(
        "[[signature]]\nid = \"{id}\"\ntitle = \"t\"\nclass = \"other\"\nseverity = \"low\"\nreference = \"r\"\n{more}\n"
    )
}

#[test]
fn one_bad_signature_is_one_problem_with_its_line_and_the_others_go_on() {
    let good = "any = [{ in = \"path\", contains = \"/mine\" }]";
    for (bad, expected) in [
        ("", "no condition in `all` or `any`"),
        (
            "any = [{ in = \"path\", contains = \"ab\" }]",
            "`ab` has 2 bytes; a text has 3 to 256",
        ),
        (
            "any = [{ in = \"path\", regex = \"[a-z]+\" }]",
            "matches texts that have no 3 given bytes in a row",
        ),
        (
            "any = [{ in = \"path\", regex = \"abc(\" }]",
            "`abc(`: unclosed group",
        ),
        (
            "any = [{ in = \"path\", regex = \"Abc\" }]",
            "text is compared in lower case, so `A` is in none",
        ),
        (
            "any = [{ in = \"path\", regex = \"abc(?:[a-z]{100}){200}\" }]",
            "its automaton has more than",
        ),
        (
            "any = [{ in = \"body\", contains = \"abc\" }]",
            "unknown field `body`: expected one of path, query",
        ),
        ("any = [{ in = \"path\" }]", "a condition has one of `contains`"),
        ("any = [{ in = \"path\", has = \"abc\" }]", "unknown field `has`"),
        (
            "statuses = [42]\nany = [{ in = \"path\", contains = \"abc\" }]",
            "invalid status 42",
        ),
        (
            "statuses = [\"9xx\"]\nany = [{ in = \"path\", contains = \"abc\" }]",
            "invalid class of statuses `9xx`",
        ),
        (
            "colour = \"red\"\nany = [{ in = \"path\", contains = \"abc\" }]",
            "unknown field `colour`",
        ),
        (
            "none = [{ in = \"header\", contains = \"a\" }]\nany = [{ in = \"path\", contains = \"abc\" }]",
            "`none` knows no field `header`",
        ),
    ] {
        let text = [
            signature("first", good),
            signature("bad", bad),
            signature("last", good),
        ]
        .concat();
        let (ids, problems) = built(&text);
        assert_eq!(ids, ["first", "last"], "{bad}");
        let [problem] = &problems[..] else {
            panic!("{problems:?} of {bad}")
        };
        assert!(problem.starts_with("own.toml:8: signature bad: "), "{problem}");
        assert!(problem.contains(expected), "{problem} does not say {expected}");
    }
}

#[test]
fn two_of_one_id_are_told_and_the_first_counts() {
    let good = "any = [{ in = \"path\", contains = \"/mine\" }]";
    let (ids, problems) = built(&[signature("same", good), signature("same", good)].concat());
    assert_eq!(ids, ["same"]);
    assert_eq!(
        problems,
        ["own.toml:8: signature same: another signature has this id"]
    );
}

#[test]
fn a_file_that_is_no_toml_is_one_problem() {
    let (ids, problems) = built("[[signature]]\nid = \n");
    assert_eq!(ids, Vec::<String>::new());
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("own.toml:2: "), "{problems:?}");
}

#[test]
fn an_id_has_few_signs() {
    for id in ["", "A", "a b", "a_b", &"a".repeat(41)] {
        let (_, problems) = built(&signature(id, "any = [{ in = \"path\", contains = \"/mine\" }]"));
        assert!(problems[0].contains("an id has 1 to 40"), "{problems:?}");
    }
}

#[test]
fn what_is_disabled_matches_nothing_and_an_unknown_id_is_told() {
    let file = SignatureFile {
        name: "own.toml".to_owned(),
        text: signature("mine", "any = [{ in = \"path\", contains = \"/mine\" }]"),
    };
    let (matcher, problems) = Matcher::build(&[file], &["mine".to_owned(), "other".to_owned()]);
    assert_eq!(
        texts(&problems),
        ["disable: signature other: no signature has this id"]
    );
    let request = Request {
        target: b"/mine",
        ..Request::default()
    };
    assert!(matcher.find(&request, &mut Scratch::new()).is_empty());
}

#[test]
fn each_kind_of_condition_holds_where_it_should() {
    for (condition, matching, other) in [
        (
            "contains = \"abc\"",
            &["/xabcx", "/ABC"][..],
            &["/ab", "/a/bc"][..],
        ),
        ("starts = \"/abc\"", &["/abc", "/abcd"], &["/x/abc"]),
        (
            "ends = \"/abc\"",
            &["/abc", "/x/abc", "/abc?x", "/abc/", "/abc%20.", "/abc.;x/"],
            &["/abcd", "/abc/x", "/abc.x"],
        ),
        (
            "ends = \"/abc.php\"",
            &["/abc.php", "/abc.php/", "/abc.php/x", "/abc.php./x"],
            &["/abc.phpx", "/abc.php.x/"],
        ),
        (
            "equals = \"/abc\"",
            &["/abc", "/x/../abc", "/abc.", "/abc/"],
            &["/abc/x", "/x/abc"],
        ),
        ("equals = \"/abc.cgi\"", &["/abc.cgi/x"], &["/x/abc.cgi/x"]),
        (
            "segment = \"abc\"",
            &["/abc", "/x/abc/y", "/abc/"],
            &["/abcd", "/xabc"],
        ),
        ("segment = \"a/bc\"", &["/a/bc", "/x/a/bc/y"], &["/xa/bc"]),
        (
            "glob = \"/a*bcd?\"",
            &["/abcde", "/axxbcdx"],
            &["/abcd", "/x/abcde"],
        ),
        (
            "regex = \"abc[0-9]+$\"",
            &["/abc1", "/x/abc22", "/abc1%20", "/abc1/"],
            &["/abc", "/abc1x", "/abc1/x"],
        ),
        (
            "regex = 'abc\\.php$'",
            &["/abc.php/x.js", "/x.php/abc.php/x"],
            &["/abc.phpx", "/abc.php.x/y"],
        ),
        ("contains = [\"abc\", \"def\"]", &["/abc", "/def"], &["/ab"]),
    ] {
        let file = SignatureFile {
            name: "own.toml".to_owned(),
            text: signature("mine", &format!("any = [{{ in = \"path\", {condition} }}]")),
        };
        let (matcher, problems) = Matcher::build(&[file], &[]);
        assert_eq!(texts(&problems), Vec::<String>::new());
        let is_hit = |target: &str| {
            let request = Request {
                target: target.as_bytes(),
                ..Request::default()
            };
            !matcher.find(&request, &mut Scratch::new()).is_empty()
        };
        for target in matching {
            assert!(is_hit(target), "{condition} holds of {target}");
        }
        for target in other {
            assert!(!is_hit(target), "{condition} does not hold of {target}");
        }
    }
}

#[test]
fn all_any_and_none_are_taken_together_with_methods_and_statuses() {
    let file = SignatureFile {
        name: "own.toml".to_owned(),
        text: signature(
            "mine",
            "methods = [\"POST\"]\nstatuses = [404, \"5xx\"]\nall = [{ in = \"path\", contains = \"abc\" }, { in = \"query\", contains = \"xyz\" }]\n\
             none = [{ in = \"path\", contains = \"/docs\" }]",
        ),
    };
    let (matcher, _) = Matcher::build(&[file], &[]);
    for (method, target, status, expected) in [
        ("POST", "/abc?xyz", 404, true),
        ("POST", "/abc?xyz", 503, true),
        ("POST", "/abc?xyz", 200, false),
        ("GET", "/abc?xyz", 404, false),
        // Of a log without methods.
        ("", "/abc?xyz", 404, true),
        ("POST", "/abc", 404, false),
        ("POST", "/xyz?abc", 404, false),
        ("POST", "/docs/abc?xyz", 404, false),
    ] {
        let request = Request {
            method: method.as_bytes(),
            target: target.as_bytes(),
            status,
            ..Request::default()
        };
        let found = !matcher.find(&request, &mut Scratch::new()).is_empty();
        assert_eq!(found, expected, "{method} {target} {status}");
    }
    let mut scratch = Scratch::new();
    for (target, waits) in [("/abc?xyz", true), ("/other?thing", false), ("/abc", true)] {
        let request = Request {
            target: target.as_bytes(),
            ..Request::default()
        };
        assert!(matcher.find(&request, &mut scratch).is_empty(), "{target}");
        assert_eq!(matcher.waits_for_status(&scratch), waits, "{target}");
    }
}

#[test]
fn the_signature_that_the_docs_show_is_good() {
    let page = include_str!("../../../../docs/signatures.md");
    let example = page.split_once("\n    [[signature]]\n").unwrap().1;
    let lines = example.lines().map_while(|line| line.strip_prefix("    "));
    let text = format!("[[signature]]\n{}\n", lines.collect::<Vec<_>>().join("\n"));
    assert_eq!(built(&text), (vec!["my-export".to_owned()], Vec::new()));
    let file = SignatureFile {
        name: "own.toml".to_owned(),
        text,
    };
    let problems = Matcher::build(&[file], &[]).0.verify();
    assert_eq!(texts(&problems), [""; 0]);
}

#[test]
fn an_exclusion_by_the_path_or_the_query_is_for_what_was_found_there() {
    let exclusions = "none = [{ in = \"path\", starts = \"/docs/\" }, { in = [\"path\", \"query\"], contains = \"ours\" }, \
                      { in = \"user-agent\", contains = \"our-crawler/\" }]";
    let file = SignatureFile {
        name: "own.toml".to_owned(),
        text: signature(
            "mine",
            &format!(
                "any = [{{ in = [\"path\", \"query\"], contains = \"attack\" }}, {{ in = \"path\", contains = \"/panel\" }}]\n\
                 {exclusions}"
            ),
        ),
    };
    let (matcher, problems) = Matcher::build(&[file], &[]);
    assert_eq!(texts(&problems), Vec::<String>::new());
    for (target, agent, expected) in [
        ("/attack", "", true),
        ("/docs/attack", "", false),
        ("/docs/?x=attack", "", true),
        ("/docs/attack?x=attack", "", true),
        ("/docs/../attack", "", true),
        ("/ours/attack", "", false),
        ("/ours/?x=attack", "", true),
        ("/?x=attack&y=ours", "", false),
        ("/attack?y=ours", "", true),
        ("/panel?y=ours", "", true),
        // Who asks excludes all.
        ("/?x=attack", "our-crawler/1", false),
        ("/attack", "our-crawler/1", false),
    ] {
        let request = Request {
            target: target.as_bytes(),
            user_agent: agent.as_bytes(),
            ..Request::default()
        };
        let found = !matcher.find(&request, &mut Scratch::new()).is_empty();
        assert_eq!(found, expected, "{target} {agent}");
    }
}

#[test]
fn a_signature_of_the_path_alone_is_excluded_by_the_query() {
    let file = SignatureFile {
        name: "own.toml".to_owned(),
        text: signature(
            "mine",
            "any = [{ in = \"path\", contains = \"/panel\" }]\nnone = [{ in = \"query\", equals = \"ours\" }]",
        ),
    };
    let (matcher, problems) = Matcher::build(&[file], &[]);
    assert_eq!(texts(&problems), Vec::<String>::new());
    for (target, expected) in [("/panel", true), ("/panel?other", true), ("/panel?ours", false)] {
        let request = Request {
            target: target.as_bytes(),
            ..Request::default()
        };
        let found = !matcher.find(&request, &mut Scratch::new()).is_empty();
        assert_eq!(found, expected, "{target}");
    }
}
