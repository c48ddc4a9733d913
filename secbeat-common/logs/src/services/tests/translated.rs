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

/// jail.conf(5): fail2ban reads the `.local` of the filter, and of each file that it includes, after the `.conf`.
#[test]
fn a_local_file_overrides_what_stands_beside_it() {
    let files = |name: &str| {
        let text = match name {
            "common.conf" => "[Definition]\nignored = nobody\n",
            "common.local" => "[Definition]\nignored = 203\\.0\\.113\\.8\n",
            "app.local" => "[Definition]\nignoreregex = from <ignored>$\n",
            _ => return None,
        };
        Some(text.to_owned())
    };
    let text = "[INCLUDES]\nbefore = common.conf\n[Definition]\nfailregex = ^ app: fail bob from <HOST>$\nignoreregex =\n";
    let translation = import::translate("app", text, &files);
    assert_eq!(translation.left_out, [""; 0]);
    let filter = Filter::parse(&translation.filter.unwrap()).unwrap();
    for (client, expected) in [("203.0.113.7", "203.0.113.7"), ("203.0.113.8", "nothing")] {
        let line = format!("2026-11-28 09:00:03 app: fail bob from {client}");
        assert_eq!(blamed(&filter, &line), expected, "{line}");
    }
}

#[test]
fn an_expression_that_begins_anywhere_is_warned_of() {
    for (expression, is_warned_of) in [
        ("Failed login from <HOST>", true),
        ("(?i)^.*invalid user.* from <HOST>$", true),
        ("^ app: Failed login from <HOST>$", false),
        ("^<HOST> -.* 401 ", false),
    ] {
        let translation = translated(&format!("[Definition]\nfailregex = {expression}\n"));
        assert!(translation.filter.is_some(), "{expression}");
        let told = translation.cautions.concat();
        assert_eq!(
            told.starts_with("failregex 1 begins with any text"),
            is_warned_of,
            "{expression}: {told}"
        );
    }
}

/// Lines of fail2ban's own tests.
#[test]
fn dates_of_many_shapes_are_read() {
    let syslog = "[INCLUDES]\nbefore = common.conf\n[Definition]\n_daemon = nsd\nfailregex = ^%(__prefix_line)sinfo: .* from <ADDR> refused$\n";
    let gitlab = "[Definition]\nfailregex = ^: Failed Login: username=<F-USER>.+</F-USER> ip=<HOST>$\n";
    let proxy = "[Definition]\nfailregex = ^\\s[+-]\\d{4} \\S+ \\d{3}0[1-9] \\S+ <HOST>:\\d+ \n";
    let httpd = "[Definition]\nfailregex = ^(?:\\s+-)?\\s*(?:NOTEXIST|AUTHERR) - <ADDR>\\b\n";
    for (text, line) in [
        (syslog, "[1387348935] nsd[7]: info: axfr from 203.0.113.7 refused"),
        (
            syslog,
            "[2021-03-05 05:25:14.562] nsd[7]: info: axfr from 203.0.113.7 refused",
        ),
        (
            syslog,
            "Oct 27 2015 12:35:40 host.example nsd[7]: info: axfr from 203.0.113.7 refused",
        ),
        (
            syslog,
            "Oct 27 12:35:40 host nsd[7]: info: axfr from 203.0.113.7 refused",
        ),
        (
            gitlab,
            "2020-04-09T14:04:00.667Z: Failed Login: username=user name ip=203.0.113.7",
        ),
        (
            proxy,
            "11-06-2013 02:09:40 +0300 PROXY.3128 00004 - 203.0.113.7:28783 0.0.0.0:0 0 0 0 GET",
        ),
        (
            httpd,
            "Wed Apr 14 08:54:22 2021 - NOTEXIST - [203.0.113.7] File does not exist: /manager/html",
        ),
    ] {
        assert_eq!(blamed(&filter_of(text), line), "203.0.113.7", "{line}");
    }
}

/// A date within the line is not taken off, so the expressions behind it match nothing.
#[test]
fn dates_that_are_not_read_are_named() {
    let translation = translated(
        "[Definition]\nfailregex = ^[a-f]+ -- none -- -  WARN login from <HOST> failed$\ndatepattern = ^[^-]+ -- [^-]+ -- - ({DATE})\n {^LN-BEG}\n",
    );
    assert_eq!(
        translation.left_out,
        ["datepattern 1: lines with a date as `^[^-]+ -- [^-]+ -- - ({DATE})` has it are not read"]
    );
    assert!(translation.filter.is_some());
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

/// A filter may say itself how its lines begin, and only what comes from `common.conf` is syslog's head.
#[test]
fn a_filters_own_prefix_is_its_own() {
    const OF_NGINX: &str =
        "2026/11/28 09:00:03 [error] 7#7: *9 user \"bob\": password mismatch, client: 203.0.113.7, server: a";
    let own = filter_of(
        "[INCLUDES]\nbefore = common.conf\n[Definition]\n__prefix_line = \\s*\\[%(_daemon)s\\] <\\d+>:\\s+\nfailregex = ^%(__prefix_line)slogin failed from <HOST>$\n",
    );
    let nginx = filter_of(
        "[Definition]\n__prefix = \\s*\n__prefix_line = %(__prefix)s\\[error\\] \\d+#\\d+: \\*\\d+\\s+\nfailregex = ^%(__prefix_line)suser \"[^\"]+\":? password mismatch, client: <HOST>,\n",
    );
    let longer = filter_of(
        "[INCLUDES]\nbefore = common.conf\n[Definition]\n__prefix_line = %(known/__prefix_line)s(?:\\w{14,20}: )?\nprefregex = ^<F-MLFID>%(__prefix_line)s</F-MLFID><F-CONTENT>.+</F-CONTENT>$\nfailregex = ^login failed from <HOST>$\n",
    );
    for (filter, line, expected) in [
        (
            &own,
            "2026-11-28 09:00:03 [app] <7>: login failed from 203.0.113.7",
            "203.0.113.7",
        ),
        (
            &own,
            "Nov 28 09:00:03 host app[1]: login failed from 203.0.113.7",
            "foreign",
        ),
        (&nginx, OF_NGINX, "203.0.113.7"),
        (
            &longer,
            "Nov 28 09:00:03 host app[1]: login failed from 203.0.113.7",
            "203.0.113.7",
        ),
        (
            &longer,
            "Nov 28 09:00:03 host app[1]: s0123456789012345: login failed from 203.0.113.7",
            "203.0.113.7",
        ),
    ] {
        assert_eq!(blamed(filter, line), expected, "{line}");
    }
    assert_eq!(
        translated("[Definition]\nfailregex = ^%(__prefix_line)sx <HOST>$\n").left_out,
        ["failregex 1: %(__prefix_line)s is defined nowhere"]
    );
}

/// fail2ban takes the host's name as the client, and not the server's own address behind it.
#[test]
fn an_address_behind_a_name_is_not_the_client() {
    let filter = filter_of(
        "[INCLUDES]\nbefore = common.conf\n[Definition]\nfailregex = ^%(__prefix_line)sfailed for <F-USER>.*?</F-USER> (?:from )?<HOST>( via \\S+)?(?: on \\S+){0,3}\\s*$\n",
    );
    for (message, expected) in [
        ("failed for james from example.com via 192.0.2.1", "ambiguous"),
        ("failed for james from 203.0.113.7", "203.0.113.7"),
        ("failed for james from 203.0.113.7 on ssh", "203.0.113.7"),
        ("failed for x via y from 203.0.113.7", "203.0.113.7"),
    ] {
        let line = format!("Nov 28 09:00:03 host app[1]: {message}");
        assert_eq!(blamed(&filter, &line), expected, "{line}");
    }
}
