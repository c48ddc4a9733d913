//! Filters of fail2ban.

use super::*;

fn translated(text: &str) -> import::Translation {
    let common = "[DEFAULT]\n_daemon = app\n";
    import::translate("app", text, &|name| {
        (name == "common.conf").then(|| common.to_owned())
    })
}

fn filter_of(text: &str) -> Filter {
    let text = translated(text).filter.unwrap();
    Filter::parse(&import::with_lines(&text, &[], &[])).unwrap()
}

/// Without what it ignores, a filter would blame clients that fail2ban does not.
#[test]
fn a_filter_whose_ignoreregex_cannot_be_said_is_not_translated() {
    let translation = translated(
        "[Definition]\nfailregex = ^\\s*app: bad login from <HOST>(?: .*)?$\nignoreregex = ^\\s*app: bad login from \\S+ (?!evil)\\S+$\n",
    );
    assert_eq!((translation.filter, translation.translated), (None, 0));
    assert_eq!(
        translation.left_out,
        ["ignoreregex 1: it looks ahead; without it, the filter would blame more clients than fail2ban does"]
    );
}

#[test]
fn what_is_ignored_may_stand_where_a_pattern_finds_it() {
    let filter = filter_of(
        "[INCLUDES]\nbefore = common.conf\n[Definition]\nfailregex = ^%(__prefix_line)sbad login from <HOST>$\nignoreregex = ^%(__prefix_line)sbad login from 10\\.\\d+\\.\\d+\\.\\d+$\n",
    );
    for (message, expected) in [
        ("bad login from 203.0.113.7", "203.0.113.7"),
        (" bad login from 203.0.113.7", "203.0.113.7"),
        ("bad login from 10.0.0.5", "nothing"),
        (" bad login from 10.0.0.5", "nothing"),
    ] {
        let line = format!("Nov 28 09:00:03 host app[1]: {message}");
        assert_eq!(blamed(&filter, &line), expected, "{line}");
    }
    let access = filter_of(
        "[Definition]\nfailregex = ^<HOST> - \\S+ \\[\\] \"GET /a\nignoreregex = ^<HOST> - bob \\[\\] \"GET /a\n",
    );
    for (user, expected) in [("eve", "203.0.113.7"), ("bob", "nothing")] {
        let line = format!("203.0.113.7 - {user} [28/Nov/2026:09:00:03 +0000] \"GET /a HTTP/1.1\" 404 5");
        assert_eq!(blamed(&access, &line), expected, "{line}");
    }
}
