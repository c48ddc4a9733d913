//! Whatever a client writes, its line blames nobody else.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::services::judge::UNCUT;

const REAL: &str = "203.0.113.7";
const DECOY: &str = "203.0.113.9";

/// How a service writes what a client chose.
type Writes = fn(&str) -> String;

/// A filter, a line with `«»` where the client chooses, how the service writes that, and whether the line always blames the
/// client: where a layout is open, a client can make its own line ambiguous.
type Line = (&'static str, &'static str, Writes, bool);

static LINES: LazyLock<Vec<Line>> = LazyLock::new(|| {
    let lines = include_str!("framing.txt").lines();
    lines.filter(|line| !line.starts_with('#')).map(parse).collect()
});

fn parse(text: &'static str) -> Line {
    let columns: Vec<_> = text.splitn(4, ' ').collect();
    let [filter, writes, blames, line] = columns[..] else {
        panic!("four columns: {text}");
    };
    let writes = match writes {
        "raw" => raw,
        "no_space" => no_space,
        "no_colon" => no_colon,
        "json" => json,
        "quoted" => quoted,
        "twice_escaped" => twice_escaped,
        other => panic!("{other}: {text}"),
    };
    assert!(["always", "open"].contains(&blames), "{text}");
    (filter, line, writes, blames == "always")
}

fn raw(text: &str) -> String {
    text.to_owned()
}

fn no_space(text: &str) -> String {
    text.replace(' ', "")
}

fn no_colon(text: &str) -> String {
    text.replace(':', "")
}

/// In quotes, with a backslash before those in it alone.
fn quoted(text: &str) -> String {
    text.replace('"', "\\\"")
}

/// A string of JSON within one.
fn twice_escaped(text: &str) -> String {
    json(&json(text))
}

fn json(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// What a client could write: pieces of lines as the service writes them, with another address, and of what divides their parts.
fn chosen() -> impl Strategy<Value = Vec<(usize, u16, u16)>> {
    prop::collection::vec((0..LINES.len(), any::<u16>(), any::<u16>()), 0..5)
}

fn text(pieces: &[(usize, u16, u16)], own: usize) -> String {
    let piece = |(at, line, (from, length)): (usize, usize, (u16, u16))| {
        // Mostly of the line itself: others fit nowhere.
        let line = LINES[if at % 4 == 0 { line } else { own }]
            .1
            .replace(REAL, DECOY)
            .replace("«»", "x");
        let from = usize::from(from) % line.len();
        let end = line.len().min(from + usize::from(length) % (line.len() + 1));
        line.get(from..end).unwrap_or_default().to_owned()
    };
    let pieces = pieces.iter().enumerate();
    pieces
        .map(|(at, (line, from, length))| piece((at + 1, *line, (*from, *length))))
        .collect()
}

#[test]
fn each_of_the_lines_is_what_it_says() {
    for (name, line, writes, is_closed) in LINES.iter() {
        let found = blamed(&filter(name), &line.replace("«»", &writes("bob")));
        assert!(!*is_closed || found == REAL, "{found}: {line}");
    }
}

/// A line's own rest, written by the client: what most likely deceives. Where a line names a host, the rest of others of its service.
#[test]
fn a_whole_line_within_a_line_blames_nobody_else() {
    for (name, line, writes, is_closed) in LINES.iter() {
        let filter = filter(name);
        let is_told = |other: &&Line| match line.contains(REAL) {
            true => other.1 == *line,
            false => other.0 == *name,
        };
        let told = LINES.iter().filter(is_told).map(|(_, told, ..)| told);
        for (told, (start, _)) in told.flat_map(|told| told.char_indices().map(move |at| (told, at))) {
            let inner = told[start..].replace(REAL, DECOY).replace("«»", "x");
            for chosen in [inner.clone(), format!("x{inner}"), format!("x{inner} y")] {
                check(&filter, line, &writes(&chosen), *is_closed);
            }
        }
    }
}

/// Syslog keeps only the begin of a long message, so a client whose text is long enough chooses where the line ends.
#[test]
fn a_line_that_syslog_cut_blames_nobody_else() {
    let of_syslog = LINES.iter().filter(|(_, line, ..)| line.starts_with("Nov "));
    let mut tried = 0;
    for (name, line, writes, _) in of_syslog {
        let filter = filter(name);
        let (before, rest) = line.split_once("«»").unwrap();
        let rest = rest.replace(REAL, DECOY).replace("«»", "x");
        for end in (0..=rest.len()).filter(|end| rest.is_char_boundary(*end)) {
            let chosen = format!("{}{}", "x".repeat(1000), &rest[..end]);
            check(&filter, &format!("{before}«»"), &writes(&chosen), false);
            tried += 1;
        }
    }
    assert!(tried > 500, "{tried}");
}

/// Of which sshd takes 100 bytes, and writes four for each. The journal cuts nothing.
#[test]
fn a_long_name_hides_nobody_where_nothing_was_cut() {
    let filter = filter("sshd");
    let message = |name: &str| format!("Failed password for invalid user {name} from {REAL} port 40022 ssh2");
    let (name, longer) = ("\\377".repeat(100), "x".repeat(3000));
    let line = |name: &str| format!("Nov 28 09:00:01 host sshd[1]: {}", message(name));
    assert_eq!(blamed(&filter, &line(&name)), REAL);
    assert_eq!(blamed(&filter, &line(&longer)), "ambiguous");
    for name in [name, longer] {
        let message = message(&name);
        let entry = Input::Entry {
            identifier: "sshd",
            pid: "1",
            at_ms: 5,
            message: message.as_bytes(),
        };
        let Verdict::Blames(blame) = filter.judge(&entry, &clock()).verdict else {
            panic!("{message}");
        };
        assert_eq!(blame.client.to_string(), REAL);
    }
}

fn check(filter: &Filter, line: &str, chosen: &str, is_closed: bool) {
    let line = line.replace("«»", chosen);
    let found = blamed(filter, &line);
    assert!(
        found == REAL || found.parse::<IpAddr>().is_err(),
        "{}: {found}: {line}",
        filter.name
    );
    // Of so long a message, syslog may have cut the end.
    let is_doubted = line.len() > UNCUT && found == "ambiguous";
    assert!(
        found == REAL || is_doubted || !is_closed,
        "{}: {found}: {line}",
        filter.name
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pieces_of_lines_within_a_line_blame_nobody_else(pieces in chosen()) {
        for (own, (name, line, writes, is_closed)) in LINES.iter().enumerate() {
            FILTERS.with(|filters| {
                let mut filters = filters.borrow_mut();
                let filter = filters.entry(name).or_insert_with(|| filter(name));
                check(filter, line, &writes(&text(&pieces, own)), *is_closed);
            });
        }
    }
}

thread_local! {
    /// Compiled once.
    static FILTERS: std::cell::RefCell<std::collections::HashMap<&'static str, Filter>> = std::cell::RefCell::default();
}
