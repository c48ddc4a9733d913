//! The scan beside `serde_json`, and by the piece.

use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::{
    Asked, Scan, Table,
    keys::Role::{Client, Path, Status, Time},
    order::Order,
    parse_after,
    scan::NotJson,
    tables,
    values::{MAX_VALUE, Values},
};
use crate::{LogError, LogLine, time::Zone};

const KEYS: [(&str, super::Role); 7] = [
    ("a.b.c", Client),
    ("d", Client),
    ("a.b", Client),
    ("s", Status),
    ("a.s", Status),
    ("t", Time),
    ("p", Path),
];

fn table() -> Table {
    Table::new(&KEYS)
}

/// What is found in a line that is read in pieces of `length` bytes.
fn scan(line: &[u8], length: usize) -> Result<Values<'static>, NotJson> {
    let table = table();
    let asked = Asked {
        keys: &table.keys,
        zone: &Zone::UTC,
    };
    let mut scan = Scan::default();
    for piece in line.chunks(length.max(1)) {
        let mut next: Scan<'_> = scan;
        next.feed(piece, asked, &mut Order::default())?;
        scan = next.into_owned();
    }
    if scan.is_whole() {
        Ok(scan.values)
    } else {
        Err(scan.ends_early())
    }
}

fn whole(line: &[u8]) -> Result<Values<'static>, NotJson> {
    scan(line, usize::MAX)
}

fn parse(line: &str) -> Result<LogLine<'_>, LogError> {
    super::parse(line.as_bytes(), &table(), &Zone::UTC)
}

/// A value as it is written.
#[derive(Clone, Debug)]
enum Json {
    /// Anything that has no values in it.
    Plain(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    fn write(&self, space: &str, out: &mut String) {
        let separate = |out: &mut String, first: &mut bool| {
            if !std::mem::take(first) {
                out.push(',');
            }
            out.push_str(space);
        };
        let mut first = true;
        match self {
            Self::Plain(text) => out.push_str(text),
            Self::List(values) => {
                out.push('[');
                for value in values {
                    separate(out, &mut first);
                    value.write(space, out);
                }
                out.push_str(space);
                out.push(']');
            }
            Self::Object(values) => {
                out.push('{');
                for (key, value) in values {
                    separate(out, &mut first);
                    out.push_str(&serde_json::to_string(key).unwrap());
                    out.push_str(space);
                    out.push(':');
                    out.push_str(space);
                    value.write(space, out);
                }
                out.push_str(space);
                out.push('}');
            }
        }
    }

    /// Everything that is no object, with the names that lead to it.
    fn leaves<'j>(&'j self, path: &str, all: &mut Vec<(String, &'j Self)>) {
        let Self::Object(values) = self else {
            all.push((path.to_owned(), self));
            return;
        };
        for (key, value) in values {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            value.leaves(&path, all);
        }
    }

    /// The texts of its list as one, from the first that is not empty.
    fn joined(&self) -> Option<Vec<u8>> {
        let Self::List(values) = self else {
            return self.text();
        };
        let texts = values.iter().filter_map(|value| match value {
            Self::Plain(text) => serde_json::from_str::<String>(text).ok(),
            _ => None,
        });
        let texts: Vec<String> = texts.skip_while(String::is_empty).collect();
        Some(texts.join(",").into_bytes())
    }

    /// The text that it is or that its list begins with.
    fn text(&self) -> Option<Vec<u8>> {
        let text = match self {
            Self::Plain(text) => text,
            Self::List(values) => match values.first()? {
                Self::Plain(text) => text,
                _ => return None,
            },
            Self::Object(_) => return None,
        };
        serde_json::from_str::<String>(text).ok().map(String::into_bytes)
    }
}

fn json() -> impl Strategy<Value = Json> {
    let plain = prop_oneof![
        2 => r#""([a-z0-9., é]|\\[\\"/bnrt]|\\u00e9|\\ud83d\\ude00){0,8}""#,
        1 => r#"""#.prop_map(|_| "\"\"".to_owned()),
        1 => "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,3})?",
        1 => "(null|true|false)",
        1 => (100..700u16).prop_map(|status| status.to_string()),
    ]
    .prop_map(Json::Plain);
    let value = plain.prop_recursive(6, 24, 6, |value| {
        let key = prop_oneof![
            prop::sample::select(vec![
                "a", "b", "c", "d", "s", "t", "p", "a.b", "b.c", "a.b.c", "a.s"
            ])
            .prop_map(str::to_owned),
            "[a-z\"\\\\é]{1,4}",
        ];
        prop_oneof![
            prop::collection::vec(value.clone(), 0..4).prop_map(Json::List),
            prop::collection::vec((key, value), 0..6).prop_map(Json::Object),
        ]
    });
    let key = prop::sample::select(vec!["a", "d", "s", "t", "p", "a.b", "a.b.c", "a.s", "x"]);
    prop::collection::vec((key.prop_map(str::to_owned), value), 0..8).prop_map(Json::Object)
}

/// The texts of `role` in the order in which they count, by another way: all there are, sorted.
fn expected_text(json: &Json, role: super::Role) -> Option<Vec<u8>> {
    let mut leaves = Vec::new();
    json.leaves("", &mut leaves);
    let paths = KEYS
        .iter()
        .filter(|(_, other)| *other == role)
        .map(|(path, _)| *path);
    for path in paths {
        let mut of_path = leaves.iter().filter(|(leaf, _)| leaf == path);
        let found = of_path.find_map(|(_, value)| {
            let text = match role {
                Client => value.joined(),
                _ => value.text(),
            };
            text.filter(|text| !text.is_empty())
        });
        if found.is_some() {
            return found;
        }
    }
    None
}

proptest! {
    #[test]
    fn an_objects_values_are_what_serde_json_says(
        json in json(), space in prop::sample::select(vec!["", " ", "\t "]), length in 1..40usize,
    ) {
        let mut line = String::new();
        json.write(space, &mut line);
        prop_assert!(serde_json::from_str::<&RawValue>(&line).is_ok(), "{}", line);
        let values = whole(line.as_bytes());
        prop_assert!(values.is_ok(), "{line}: {values:?}");
        let values = values.unwrap();
        for role in [Client, Path] {
            let text = values.get(role).map(Cow::into_owned);
            prop_assert_eq!(text, expected_text(&json, role), "{:?} of {}", role, line);
        }
        prop_assert_eq!(scan(line.as_bytes(), length), Ok(values), "{} in pieces of {}", line, length);
    }

    #[test]
    fn the_order_of_keys_in_lines_before_changes_nothing(
        lines in prop::collection::vec((json(), prop::sample::select(vec!["", " "]), 0..3usize), 1..6),
    ) {
        let table = table();
        let asked = Asked {
            keys: &table.keys,
            zone: &Zone::UTC,
        };
        let mut order = Order::default();
        for (json, space, again) in lines {
            let mut line = String::new();
            json.write(space, &mut line);
            for _ in 0..=again {
                let mut scan = Scan::default();
                let fed = scan.feed(line.as_bytes(), asked, &mut order);
                prop_assert!(fed.is_ok(), "{}: {:?}", line, fed);
                prop_assert_eq!(Ok(scan.values), whole(line.as_bytes()), "{}", line);
            }
        }
    }

    #[test]
    fn text_that_is_cut_off_or_damaged_is_the_same_in_pieces(
        json in json(), cut in 0..200usize, at in 0..200usize, byte in any::<u8>(), length in 1..9usize,
    ) {
        let mut line = String::new();
        json.write("", &mut line);
        let mut line = line.into_bytes();
        if let Some(place) = line.get_mut(at) {
            *place = byte;
        }
        line.truncate(cut.max(1));
        let values = whole(&line);
        if serde_json::from_slice::<&RawValue>(&line).is_ok() && line.first() == Some(&b'{') {
            prop_assert!(values.is_ok(), "{:?}", values);
        }
        prop_assert_eq!(scan(&line, length), values, "{}", line.escape_ascii());
    }
}

#[test]
fn of_equal_keys_the_first_counts_and_two_values_are_nobodys() {
    let line = r#"{"d":"203.0.113.7","t":1,"s":404,"d":"203.0.113.7","t":"1970-01-01T00:00:01Z","s":"404","p":"/a","p":"/b"}"#;
    let parsed = parse(line).unwrap();
    let shown = (
        parsed.client.to_string(),
        parsed.at_ms,
        parsed.status,
        &*parsed.path,
    );
    assert_eq!(shown, ("203.0.113.7".to_owned(), 1000, 404, &b"/a"[..]));
    for (known, other) in [
        (r#""d":"203.0.113.7""#, r#""d":"6.6.6.6""#),
        (r#""d":"203.0.113.7""#, r#""d":"x""#),
        (r#""t":1"#, r#""t":2"#),
        (r#""t":1"#, r#""t":"1970-01-01T00:00:02Z""#),
        (r#""s":404"#, r#""s":200"#),
        (r#""s":404"#, r#""s":"200""#),
    ] {
        let rest = r#""d":"203.0.113.7","t":1,"s":404"#.replace(known, "\"x\":1");
        for line in [
            format!("{{{known},{other},{rest}}}"),
            format!("{{{other},{rest},{known}}}"),
        ] {
            assert_eq!(parse(&line), Err(LogError::TwoValues), "{line}");
            assert_eq!(scan(line.as_bytes(), 3), whole(line.as_bytes()), "{line}");
        }
    }
}

#[test]
fn values_of_other_types_spoil_nothing() {
    for line in [
        r#"{"a":{"b":{"c":{"name":"web1"}}},"a.b":["x"],"d":"203.0.113.7","t":1,"s":404}"#,
        r#"{"a":[{"b":"6.6.6.6"}],"d":"203.0.113.7","t":true,"t":1,"s":{"code":1},"a":{"s":404}}"#,
        r#"{"a.b":7,"d":"203.0.113.7","t":null,"t":"1970-01-01T00:00:01Z","s":"info","a.s":"404"}"#,
        r#"{"a":null,"d":["203.0.113.7",{"x":[]}],"t":[1],"t":1,"s":null,"a":{"s":404.0}}"#,
        // As nginx writes variables without quotes.
        r#"{"x":,"d":"203.0.113.7","y":0.001, 0.002,"t":1,"z":-,"s":404}"#,
    ] {
        let parsed = parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let shown = (parsed.client.to_string(), parsed.at_ms, parsed.status);
        assert_eq!(shown, ("203.0.113.7".to_owned(), 1000, 404), "{line}");
    }
}

#[test]
fn long_texts_are_cut_and_lists_keep_their_end() {
    for (path, client) in [
        (
            "x".repeat(MAX_VALUE + 1),
            format!("{}203.0.113.7", "6.6.6.6, ".repeat(2000)),
        ),
        (
            "x".repeat(1_000_000),
            format!("{}203.0.113.7", "\\u0031, ".repeat(20_000)),
        ),
        (
            "\\u0078".repeat(9000),
            format!("{}203.0.113.7", "\\\\,".repeat(20_000)),
        ),
    ] {
        let line = format!(r#"{{"skipped":"{path}","p":"{path}","d":"{client}","t":1,"s":404}}"#);
        let values = whole(line.as_bytes()).unwrap();
        assert_eq!(values.get(Path).unwrap(), "x".repeat(MAX_VALUE).as_bytes());
        let forwarded = values.get(Client).unwrap();
        assert!(forwarded.ends_with(b",203.0.113.7") || forwarded.ends_with(b", 203.0.113.7"));
        assert!(forwarded.len() <= MAX_VALUE && forwarded.len() > MAX_VALUE - 20);
        for length in [100, 4096, 100_000] {
            assert!(
                scan(line.as_bytes(), length).as_ref() == Ok(&values),
                "pieces of {length}"
            );
        }
        assert_eq!(parse(&line).unwrap().client.to_string(), "203.0.113.7");
    }
}

#[test]
fn memory_is_bounded_however_deep_and_long_it_is() {
    let deep = format!(
        r#"{{"x":{}{},"d":"203.0.113.7","t":1,"s":404}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(parse(&deep).unwrap().status, 404);
    let number = format!(
        r#"{{"d":"203.0.113.7","t":{},"t":1,"s":404}}"#,
        "1".repeat(100_000)
    );
    assert_eq!(parse(&number).unwrap().at_ms, 1000);
}

/// Members as many servers have them, of which some say the same and some are nobody's.
const MEMBERS: [&str; 19] = [
    "remote_addr",
    "client_ip",
    "x_forwarded_for",
    "peer_ip",
    "other",
    "status",
    "msec",
    "time",
    "request_method",
    "request_uri",
    "request",
    "http_host",
    "http_user_agent",
    "message",
    "httpRequest.remoteIP",
    "httpRequest",
    "c-ip",
    "date",
    "latency_human",
];

fn written() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        r#""203.0.113.7""#,
        r#""198.51.100.8""#,
        r#""2001:db8::1""#,
        r#""6.6.6.6, 203.0.113.7""#,
        r#""200""#,
        "404",
        r#""1795168800.004""#,
        "1795168800.004",
        r#""2026-11-20T10:00:00Z""#,
        r#""GET""#,
        r#""get""#,
        r#""/x""#,
        r#""GET /x HTTP/1.1""#,
        r#""a\"b""#,
        r#""""#,
        r#""-""#,
        "null",
        "[1]",
        r#"{"status":"403"}"#,
        r#"{"remoteIP":"6.6.6.6"}"#,
    ])
}

/// A value that the member mostly has.
fn of_member(name: &'static str) -> impl Strategy<Value = &'static str> {
    let own = match name {
        "remote_addr" | "client_ip" | "httpRequest.remoteIP" | "c-ip" => r#""203.0.113.7""#,
        "status" => r#""200""#,
        "msec" | "time" => r#""1795168800.004""#,
        "request_method" => r#""GET""#,
        "request" => r#""GET /x HTTP/1.1""#,
        _ => r#""/x""#,
    };
    prop_oneof![9 => Just(own), 1 => written()]
}

/// Lines with the same members, in the same order.
fn alike() -> impl Strategy<Value = Vec<String>> {
    let names = prop::collection::vec(prop::sample::select(MEMBERS.to_vec()), 1..9);
    names.prop_flat_map(|names| {
        let member = |name: &&'static str| {
            let name = *name;
            of_member(name).prop_map(move |value| format!("\"{name}\":{value}"))
        };
        let members: Vec<_> = names.iter().map(member).collect();
        let line = (
            members,
            prop_oneof![9 => Just("}"), 1 => Just(" }"), 1 => Just("")],
        );
        prop::collection::vec(
            line.prop_map(|(members, end)| format!("{{{}{end}", members.join(","))),
            1..8,
        )
    })
}

proptest! {
    #[test]
    fn a_line_is_the_same_after_others(lines in prop::collection::vec(alike(), 1..4)) {
        for table in [&tables::NGINX, &tables::CADDY, &tables::CLOUD] {
            let mut order = Order::default();
            for line in lines.iter().flatten() {
                let alone = parse_after(line.as_bytes(), table, &Zone::UTC, &mut Order::default());
                prop_assert_eq!(parse_after(line.as_bytes(), table, &Zone::UTC, &mut order), alone, "{}", line);
            }
        }
    }
}

#[test]
fn the_second_line_of_a_kind_is_as_usual() {
    let line = |status| {
        format!(
            r#"{{"msec":"1795168800.004","remote_addr":"203.0.113.7","status":"{status}","request":"GET /x HTTP/1.1","other":"-"}}"#
        )
    };
    let mut order = Order::default();
    let mut usual = |line: &str| {
        order
            .usual
            .read(line.as_bytes(), &tables::NGINX, &Zone::UTC)
            .is_some()
    };
    assert!(!usual(&line("200")));
    parse_after(line("200").as_bytes(), &tables::NGINX, &Zone::UTC, &mut order).unwrap();
    let mut usual = |line: &str| {
        order
            .usual
            .read(line.as_bytes(), &tables::NGINX, &Zone::UTC)
            .is_some()
    };
    assert!(usual(&line("404")));
    assert!(!usual(&line("404").replace("GET", r"\u0047ET")));
    assert!(!usual(&line("404").replace('-', "198.51.100.7")));
    assert!(!usual(&line("404").replace("other", "others")));
}
