//! Whatever a client writes, its line blames nobody else.

use proptest::prelude::*;

use super::*;

const REAL: &str = "203.0.113.7";
const DECOY: &str = "203.0.113.9";

/// How a service writes what a client chose.
type Writes = fn(&str) -> String;

/// A filter, a line with `«»` where the client chooses, and how the service writes that. Some lines always blame the client;
/// where a layout is open, a client can make its own line ambiguous.
const LINES: &[(&str, &str, Writes, bool)] = &[
    (
        "sshd",
        "Nov 28 09:00:01 host sshd[1]: Failed password for invalid user «» from 203.0.113.7 port 40022 ssh2",
        raw,
        true,
    ),
    (
        "sshd",
        "Nov 28 09:00:01 host sshd[1]: Invalid user «» from 203.0.113.7 port 40024",
        raw,
        true,
    ),
    (
        "sshd",
        "Nov 28 09:00:01 host sshd[1]: Connection closed by invalid user «» 203.0.113.7 port 40025 [preauth]",
        raw,
        true,
    ),
    (
        "sshd",
        "Nov 28 09:00:01 host sshd[1]: Disconnecting invalid user «» 203.0.113.7 port 40028: Too many authentication failures [preauth]",
        raw,
        true,
    ),
    (
        "sshd",
        "Nov 28 09:00:01 host sshd[1]: Received disconnect from 203.0.113.7 port 50003:11: «»",
        raw,
        false,
    ),
    (
        "sshd",
        "Nov 28 09:00:01 host sshd[1]: Bad protocol version identification '«»' from 203.0.113.7 port 5",
        raw,
        false,
    ),
    (
        "pam",
        "Nov 28 09:00:01 host x[1]: pam_unix(x:auth): authentication failure; logname= uid=0 euid=0 tty=x ruser=«» rhost=203.0.113.7  user=«»",
        raw,
        false,
    ),
    (
        "dropbear",
        "Nov 28 09:00:01 host dropbear[1]: Bad password attempt for '«»' from 203.0.113.7:40022",
        raw,
        true,
    ),
    (
        "dropbear",
        "Nov 28 09:00:01 host dropbear[1]: Login attempt for nonexistent user '«»' from 203.0.113.7:40022",
        raw,
        true,
    ),
    (
        "postfix",
        "Nov 28 09:00:01 host postfix/smtpd[1]: warning: unknown[203.0.113.7]: SASL LOGIN authentication failed: UG, sasl_username=«»",
        raw,
        true,
    ),
    (
        "postfix",
        "Nov 28 09:00:01 host postfix/smtpd[1]: NOQUEUE: reject: RCPT from unknown[203.0.113.7]: 554 5.7.1 <«»>: Relay access denied; from=<«»> to=<«»> proto=ESMTP helo=<«»>",
        raw,
        true,
    ),
    (
        "dovecot",
        "Nov 28 09:00:01 host dovecot: imap-login: Disconnected: Connection closed (auth failed, 1 attempts in 2 secs): user=<«»>, method=PLAIN, rip=203.0.113.7, lip=198.51.100.1, TLS, session=<AbC>",
        raw,
        true,
    ),
    (
        "dovecot",
        "Nov 28 09:00:01 host dovecot: imap-login: Login: user=<«»>, method=PLAIN, rip=203.0.113.7, lip=198.51.100.1, mpid=1, TLS, session=<AbC>",
        raw,
        false,
    ),
    (
        "dovecot",
        "Nov 28 09:00:01 host dovecot: auth: sql(«»,203.0.113.7,<AbC>): Password mismatch",
        raw,
        false,
    ),
    (
        "exim",
        "2026-11-28 09:00:01 login authenticator failed for («») [203.0.113.7]: 535 Incorrect authentication data (set_id=«»)",
        no_space,
        true,
    ),
    (
        "exim",
        "2026-11-28 09:00:01 H=(«») [203.0.113.7] F=<«»> rejected RCPT <«»>: relay not permitted",
        no_space,
        true,
    ),
    (
        "vsftpd",
        "Sat Nov 28 09:00:01 2026 [pid 1] [«»] FAIL LOGIN: Client \"203.0.113.7\"",
        raw,
        true,
    ),
    (
        "vsftpd",
        "Sat Nov 28 09:00:01 2026 [pid 1] [bob] OK UPLOAD: Client \"203.0.113.7\", \"/«»\", 12 bytes, 0.10Kbyte/sec",
        raw,
        false,
    ),
    (
        "proftpd",
        "2026-11-28 09:00:01,123 host proftpd[1] 198.51.100.1 (a.example[203.0.113.7]): USER «» (Login failed): Incorrect password",
        raw,
        true,
    ),
    (
        "pure-ftpd",
        "Nov 28 09:00:01 host pure-ftpd: (?@203.0.113.7) [WARNING] Authentication failed for user [«»]",
        raw,
        true,
    ),
    (
        "gitea",
        "2026/11/28 09:00:01 ...a.go:1:f() [W] Failed authentication attempt for «» from 203.0.113.7:40022: user does not exist [uid: 0, name: «»]",
        raw,
        false,
    ),
    (
        "gitea",
        "2026/11/28 09:00:01 ...a.go:1:f() [I] router: completed GET /«» for 203.0.113.7:50000, 404 Not Found in 1ms @ a.go:1(x)",
        raw,
        false,
    ),
    (
        "vaultwarden",
        "[2026-11-28 09:00:01.123][vaultwarden::api::identity][ERROR] Username or password is incorrect. Try again. IP: 203.0.113.7. Username: «».",
        raw,
        true,
    ),
    (
        "nextcloud",
        r#"{"reqId":"A","level":2,"time":"2026-11-28T09:00:04+00:00","remoteAddr":"203.0.113.7","user":"--","app":"no app in context","method":"POST","url":"«»","message":"Login failed: «» (Remote IP: 203.0.113.7)","userAgent":"«»","version":"30.0.4.1","data":[]}"#,
        json,
        true,
    ),
    (
        "wordpress",
        "Nov 28 09:00:01 host wordpress(example.org)[1]: Authentication failure for «» from 203.0.113.7",
        raw,
        true,
    ),
    (
        "grafana",
        r#"logger=context userId=0 orgId=0 uname= t=2026-11-28T09:00:01Z level=info msg="Request Completed" method=POST path=/login status=401 remote_addr=203.0.113.7 time_ms=9 duration=9.1ms size=74 referer="«»" handler=/login status_source=server"#,
        json,
        true,
    ),
    (
        "grafana",
        r#"logger=context userId=0 orgId=0 uname= t=2026-11-28T09:00:01Z level=info msg="Request Completed" method=POST path="/«»" status=401 remote_addr=203.0.113.7 time_ms=9 duration=9.1ms size=74 referer= handler=x"#,
        json,
        false,
    ),
    (
        "keycloak",
        r#"2026-11-28 09:00:01,123 WARN  [org.keycloak.events] (executor-thread-1) type="LOGIN_ERROR", realmId="0f0e", realmName="main", clientId="app", userId="null", ipAddress="203.0.113.7", error="user_not_found", auth_method="openid-connect", username="«»""#,
        raw,
        false,
    ),
    (
        "keycloak",
        r#"2026-11-28 09:00:01,123 WARN  [org.keycloak.events] (executor-thread-1) type=LOGIN_ERROR, realmId=main, clientId=«», userId=null, ipAddress=203.0.113.7, error=client_not_found, auth_method=openid-connect"#,
        raw,
        false,
    ),
    (
        "phpmyadmin",
        "Nov 28 09:00:01 host phpMyAdmin[1]: user denied: «» (mysql-denied) from 203.0.113.7",
        raw,
        true,
    ),
    (
        "proxmox",
        "Nov 28 09:00:01 host pvedaemon[1]: authentication failure; rhost=203.0.113.7 user=«»@pam msg=Authentication failure",
        raw,
        true,
    ),
    (
        "asterisk",
        "[2026-11-28 09:00:01] NOTICE[1] res_pjsip/pjsip_distributor.c: Request 'REGISTER' from '«»' failed for '203.0.113.7:5060' (callid: a1b2) - Failed to authenticate",
        raw,
        true,
    ),
    (
        "asterisk",
        r#"[2026-11-28 09:00:01] SECURITY[1] res_security_log.c: SecurityEvent="InvalidPassword",EventTV="2026-11-28T09:00:03.123+0000",Severity="Error",Service="PJSIP",EventVersion="2",AccountID="«»",SessionID="a",LocalAddress="IPV4/UDP/198.51.100.1/5060",RemoteAddress="IPV4/UDP/203.0.113.7/5060",Challenge="",ReceivedChallenge="""#,
        raw,
        false,
    ),
    (
        "mysql",
        "2026-11-28  9:00:01 31 [Warning] Access denied for user '«»'@'203.0.113.7' (using password: YES)",
        raw,
        true,
    ),
    (
        "postgresql",
        "2026-11-28 09:00:01.123 UTC [1] 203.0.113.7 «»@app FATAL:  password authentication failed for user \"«»\"",
        raw,
        false,
    ),
    (
        "postgresql",
        "2026-11-28 09:00:01.123 UTC [1] «»@app FATAL:  password authentication failed for user \"«»\"",
        raw,
        false,
    ),
    (
        "postgresql",
        "2026-11-28 09:00:01.123 UTC [1] «»@app FATAL:  no pg_hba.conf entry for host \"203.0.113.7\", user \"«»\", database \"app\", no encryption",
        raw,
        false,
    ),
    (
        "postgresql",
        "2026-11-28 09:00:01.123 UTC [1] bob@app LOG:  statement: «»",
        raw,
        false,
    ),
    (
        "nginx-error",
        "2026/11/28 09:00:01 [error] 7#7: *8 user \"«»\" was not found in \"/etc/nginx/.htpasswd\", client: 203.0.113.7, server: a, request: \"GET / HTTP/1.1\"",
        no_colon,
        true,
    ),
    (
        "nginx-error",
        "2026/11/28 09:00:01 [error] 7#7: *7 limiting requests, excess: 10.520 by zone \"one\", client: 203.0.113.7, server: _, request: \"GET /«» HTTP/1.1\", host: \"«»\"",
        raw,
        true,
    ),
    (
        "nginx-error",
        "2026/11/28 09:00:01 [error] 7#7: *7 open() \"/var/www/«»\" failed (2: No such file or directory), client: 203.0.113.7, server: _, request: \"GET /«» HTTP/1.1\"",
        raw,
        false,
    ),
    (
        "apache-error",
        "[Sat Nov 28 09:00:01.123456 2026] [auth_basic:error] [pid 7101:tid 1] [client 203.0.113.7:40022] AH01617: user «»: authentication failure for \"/«»\": Password Mismatch",
        raw,
        true,
    ),
];

fn raw(text: &str) -> String {
    text.to_owned()
}

fn no_space(text: &str) -> String {
    text.replace(' ', "")
}

fn no_colon(text: &str) -> String {
    text.replace(':', "")
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
    for (name, line, writes, is_closed) in LINES {
        let found = blamed(&filter(name), &line.replace("«»", &writes("bob")));
        assert!(!*is_closed || found == REAL, "{found}: {line}");
    }
}

/// A line's own rest, written by the client: what most likely deceives.
#[test]
fn a_whole_line_within_a_line_blames_nobody_else() {
    for (name, line, writes, is_closed) in LINES {
        let filter = filter(name);
        for (start, _) in line.char_indices() {
            let inner = line[start..].replace(REAL, DECOY).replace("«»", "x");
            for chosen in [inner.clone(), format!("x{inner}"), format!("x{inner} y")] {
                check(&filter, line, &writes(&chosen), *is_closed);
            }
        }
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
    assert!(found == REAL || !is_closed, "{}: {found}: {line}", filter.name);
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
