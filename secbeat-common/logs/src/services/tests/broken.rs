//! Messages that a client broke: the lines that follow are perhaps its own.

use super::*;

const REAL: &str = "203.0.113.7";
const DECOY: &str = "203.0.113.9";
/// A path that nginx does not find, before what the client chose and behind it.
const PATH: [&str; 2] = [
    "2026/11/28 09:00:01 [error] 7001#7001: *9 open() \"/var/www/",
    "\" failed (2: No such file or directory), client: 203.0.113.7, server: a, request: \"GET / HTTP/1.1\", host: \"a\"",
];

/// Whom the lines of a log blame, in order.
fn blamed_in_order(name: &str, log: &str) -> Vec<String> {
    let filter = filter(name);
    let mut open = OpenLines::default();
    let judge = |line: &str| {
        let judged = filter.judge(&Input::Line(line.as_bytes()), &clock());
        match open.after_broken_ones(judged, line.as_bytes()).verdict {
            Verdict::Blames(blame) => Some(blame.client.to_string()),
            _ => None,
        }
    };
    log.lines().filter_map(judge).collect()
}

fn forbidden(client: &str) -> String {
    format!(
        "2026/11/28 09:00:02 [error] 7001#7001: *10 access forbidden by rule, client: {client}, server: a, request: \"GET /.git HTTP/1.1\", host: \"a\""
    )
}

/// nginx writes a path decoded, so one request can hold whole lines, as far as its longest message: `GET /%0A2026/…`.
#[test]
fn a_path_with_lines_of_nginx_blames_nobody() {
    let forged =
        format!("\n2026/11/28 09:00:02 [e] 1#1: access forbidden by rule, client: {DECOY}, server: ")
            .repeat(18);
    let whole = PATH[1].replace(REAL, DECOY);
    let merged = format!("\n{}", PATH[0]);
    for first in ["", &whole] {
        for last in ["\n", "\nx", &merged] {
            let log = format!("{}{first}{forged}{last}{}\n", PATH[0], PATH[1]);
            assert_eq!(blamed_in_order("nginx-error", &log), [""; 0], "{log}");
        }
    }
    // A user name ends at a colon, which each line of nginx has before the address.
    let user = format!(
        "2026/11/28 09:00:01 [error] 7001#7001: *9 user \"x\n2026/11/28 09 y\" was not found in \"/etc/nginx/.htpasswd\", client: {REAL}, server: a, request: \"GET / HTTP/1.1\"\n{}",
        forbidden(REAL)
    );
    assert_eq!(blamed_in_order("nginx-error", &user), [""; 0]);
}

#[test]
fn what_follows_a_path_counts_again_behind_the_longest_message() {
    let real = forbidden(REAL) + "\n";
    let path = format!("{}x{}\n", PATH[0], PATH[1]);
    let inside = (4096 - path.len()).div_ceil(real.len());
    let log = format!("{real}{path}{}{real}{real}", real.repeat(inside));
    assert_eq!(blamed_in_order("nginx-error", &log), [REAL; 3]);
    let others = "2026/11/28 09:00:01 [error] 7001#7001: *9 limiting requests, excess: 10.520 by zone \"one\", client: 203.0.113.7, server: _, request: \"GET / HTTP/1.1\"\n\
         2026/11/28 09:00:01 [notice] 7001#7001: signal 1 (SIGHUP) received from 1, reconfiguring\n\
         2026/11/28 09:00:01 [error] 7001#7001: *9 user \"bob\": password mismatch, client: 203.0.113.7, server: a, request: \"GET / HTTP/1.1\"\n";
    assert_eq!(
        blamed_in_order("nginx-error", &others.repeat(3)),
        [REAL; 6],
        "no text of a client stands before the address"
    );
}

/// A client can write that head, too.
#[test]
fn a_head_of_syslog_behind_a_broken_line_of_a_file_saves_no_line() {
    let log = format!(
        "{}\nNov 28 09:00:02 host nginx: {}\n{}\n",
        PATH[0],
        forbidden(DECOY),
        PATH[1]
    );
    assert_eq!(blamed_in_order("nginx-error", &log), [""; 0]);
}

#[test]
fn what_follows_other_failures_counts() {
    const GITEA: &str = "2026/11/28 09:00:03 ...ers/web/auth/auth.go:201:SignInPost() [I] Failed authentication attempt for anna from 203.0.113.7:52000: user does not exist [uid: 0, name: anna, keyid: 0]\n";
    const EJABBERD: &str = "2026-11-28 09:00:04.123456+01:00 [warning] <0.613.0>@ejabberd_c2s:process_auth_result/3:263 (tcp|<0.613.0>) Failed c2s SCRAM-SHA-1 authentication for anna@example.org from 203.0.113.7: Invalid username or password\n";
    let ssh = "2026/11/28 09:00:03 modules/ssh/ssh.go:229:sshConnectionFailed() [W] Failed connection from 198.51.100.7:40000 with error:";
    let c2s = "2026-11-28 09:00:03.123456+01:00 [warning] <0.612.0>@ejabberd_c2s:process_terminated/2:309";
    for (name, first, login) in [
        ("gitea", format!("{ssh} EOF"), GITEA),
        (
            "gitea",
            format!("{ssh} read tcp 198.51.100.1:22->198.51.100.7:40000: read: connection reset by peer"),
            GITEA,
        ),
        ("gitea", format!("{ssh} ssh: no auth passed yet"), GITEA),
        ("gitea", format!("{ssh} [ssh: no auth passed yet]"), GITEA),
        (
            "gitea",
            format!(
                "{ssh} ssh: no common algorithm for key exchange; client offered: [a b], server offered: [c]"
            ),
            GITEA,
        ),
        (
            "gitea",
            "2026/11/28 09:00:03 ...s/context/context.go:70:HTML() [E] Failed to render template: x"
                .to_owned(),
            GITEA,
        ),
        (
            "ejabberd",
            format!(
                "{c2s} (tls|<0.612.0>) Failed to secure c2s connection: TLS failed: client renegotiations forbidden"
            ),
            EJABBERD,
        ),
        (
            "ejabberd",
            format!("{c2s} (unknown) Failed to secure c2s connection: TLS failed: closed"),
            EJABBERD,
        ),
        (
            "ejabberd",
            format!(
                "{c2s} (tls|<0.612.0>) Failed inbound s2s EXTERNAL authentication a.example -> b.example (198.51.100.7): x"
            ),
            EJABBERD,
        ),
    ] {
        let log = format!("{first}\n{}", login.repeat(3));
        assert_eq!(blamed_in_order(name, &log), [REAL; 3], "{log}");
    }
}

/// Messages that a client's session brings forth, in German.
#[test]
fn lines_of_postgresql_in_another_language_are_whole() {
    let head = "2026-11-28 09:00:02.123 CET [6702] 203.0.113.7";
    let log = format!(
        "{head} FEHLER:  Relation »x« existiert nicht bei Zeichen 15\n{head} ANWEISUNG:  select * from x\n\
         {head} DÉTAIL :  x\n{head} FATAL:  password authentication failed for user \"bob\"\n"
    );
    assert_eq!(blamed_in_order("postgresql", &log), [REAL]);
    let broken = format!("{head} x\n{head} FATAL:  password authentication failed for user \"bob\"\n");
    assert_eq!(blamed_in_order("postgresql", &broken), [""; 0]);
}

/// A client with one valid password could else hide all others.
#[test]
fn other_messages_of_roundcube_are_whole() {
    let login = "Nov 28 09:00:03 host roundcube: <1a1b2c3d> Failed login for bob from 203.0.113.7 in session 1a1b2c3d4e5f6a7b (error: 0)\n";
    for (first, own) in [
        (
            "Failed to load plugin file /usr/share/roundcube/plugins/x/x.php",
            None,
        ),
        (
            "IMAP Error: Could not connect to localhost:143: Connection refused in /a.php on line 2",
            None,
        ),
        (
            "Failed 2fa for anna from 203.0.113.7 in session 0a1b2c3d4e5f6a7b (error: 0)",
            Some(REAL),
        ),
    ] {
        let log = format!(
            "Nov 28 09:00:01 host roundcube: <0a1b2c3d> {first}\n{}",
            login.repeat(2)
        );
        let expected: Vec<_> = own.into_iter().chain([REAL; 2]).collect();
        assert_eq!(blamed_in_order("roundcube", &log), expected, "{log}");
    }
    let broken = format!("Nov 28 09:00:01 host roundcube: <0a1b2c3d> Failed login for x\n{login}");
    assert_eq!(blamed_in_order("roundcube", &broken), [""; 0]);
}

#[test]
fn a_name_with_a_quote_or_a_tab_is_whole_in_keycloaks_log() {
    let event = |name: &str| {
        format!(
            "2026-11-28 09:00:03,123 WARN  [org.keycloak.events] (executor-thread-3) type=LOGIN_ERROR, realmId=main, clientId=app, userId=null, ipAddress=203.0.113.7, error=user_not_found, auth_method=openid-connect, username={name}\n"
        )
    };
    for name in ["'bob", "a\tb", "o'brien", "'o'brien b'", ""] {
        let log = event(name).repeat(3);
        assert_eq!(blamed_in_order("keycloak", &log), [REAL; 3], "{log}");
    }
    let broken = event("'x y") + &event("x");
    assert_eq!(blamed_in_order("keycloak", &broken), [REAL], "{broken}");
}

/// What a client would write that does not know the filter: a message that ends in the midst, a forged one, and the rest of its own.
#[test]
fn a_message_that_ends_in_the_midst_is_followed_by_nobodys_lines() {
    for (name, log) in [
        (
            "gitea",
            "2026/11/28 09:00:03 ...ers/web/auth/auth.go:201:SignInPost() [W] Failed authentication attempt for x\n\
             2026/11/28 09:00:03 a() [I] invalid credentials from 203.0.113.9\n\
             y from 203.0.113.7:40024: user does not exist [uid: 0, name: x\n\
             2026/11/28 09:00:03 a() [I] invalid credentials from 203.0.113.9\n\
             y]\n",
        ),
        // Of an SSH client, without a login.
        (
            "gitea",
            "2026/11/28 09:00:03 modules/ssh/ssh.go:229:sshConnectionFailed() [W] Failed connection from 203.0.113.7:40000 with error: ssh: disconnect, reason 11: x\n\
             2026/11/28 09:00:03 a() [I] invalid credentials from 203.0.113.9\n",
        ),
        (
            "gitea",
            "2026/11/28 09:00:03 modules/ssh/ssh.go:229:sshConnectionFailed() [W] Failed connection from 203.0.113.7:40000 with error: ssh: no common algorithm for key exchange; client offered: [x\n\
             2026/11/28 09:00:03 a() [I] invalid credentials from 203.0.113.9\n\
             y], server offered: [z]\n",
        ),
        (
            "ejabberd",
            "2026-11-28 09:00:03.123456+01:00 [warning] <0.612.0>@ejabberd_c2s:process_auth_result/3:263 (tls|<0.612.0>) Failed c2s PLAIN authentication for x\n\
             2026-11-28 09:00:04 [warning] @a:1 (tls|a) Failed c2s PLAIN authentication from 203.0.113.9: x\n\
             y@example.org from ::ffff:203.0.113.7: Invalid username or password\n",
        ),
        (
            "mumble",
            "<W>2026-11-28 09:00:03.123 1 => <3:x\n\
             <W>2026-11-28 09:00:04.123 1 => <4:a(-1)> Rejected connection from 203.0.113.9:1: Wrong password\n\
             y(-1)> Rejected connection from 203.0.113.7:50123: Invalid username\n",
        ),
        (
            "roundcube",
            "[28-Nov-2026 09:00:03 +0100]: <0a1b2c3d> Failed login for x\n\
             [28-Nov-2026 09:00:04 +0100]: Failed login for x from 203.0.113.9 in session a (error: 0)\n\
             y from 203.0.113.7 in session 0a1b2c3d4e5f6a7b (error: 0)\n",
        ),
        (
            "keycloak",
            "2026-11-28 09:00:03,123 WARN  [org.keycloak.events] (executor-thread-3) type=LOGIN_ERROR, realmId=main, clientId=x\n\
             2026-11-28 09:00:04,123 WARN  [org.keycloak.events] (e) type=LOGIN_ERROR, realmId=main, clientId=app, userId=null, ipAddress=203.0.113.9, error=user_not_found\n\
             , userId=null, ipAddress=203.0.113.7, error=client_not_found, username='x\n\
             2026-11-28 09:00:04,123 WARN  [org.keycloak.events] (e) type=LOGIN_ERROR, realmId=main, clientId=app, userId=null, ipAddress=203.0.113.9, error=user_not_found\n\
             y'\n",
        ),
    ] {
        assert_eq!(blamed_in_order(name, log), [""; 0], "{log}");
    }
}

/// Quotes within a name have a backslash in its files, so it cannot hold a line of them.
#[test]
fn a_line_break_in_a_name_of_jellyfin_blames_nobody_else() {
    for inner in [
        "A: Authentication request for a has been denied (IP: 203.0.113.9).",
        "A: Authentication request for \"a\" has been denied (IP: \"203.0.113.9\").",
    ] {
        let name = format!("x\n[2026-11-28 09:00:04.123 +01:00] [ERR] [36] {inner}\ny").replace('"', "\\\"");
        let log = format!(
            "[2026-11-28 09:00:03.123 +01:00] [INF] [12] Jellyfin.Server.Implementations.Users.UserManager: Authentication request for \"{name}\" has been denied (IP: \"{REAL}\").\n"
        );
        assert_eq!(blamed_in_order("jellyfin", &log), [""; 0], "{log}");
    }
}
