//! Logs of what is no attack and looks like one, and the other way round.

use std::fmt::Write as _;

use super::*;
use crate::config::Config;

/// One line: seconds after ten o'clock, client, request, status, user agent.
fn line(log: &mut String, second: usize, client: &str, request: &str, status: u16, agent: &str) {
    let (minute, second) = (second / 60, second % 60);
    writeln!(
        log,
        "{client} - - [27/Nov/2026:10:{minute:02}:{second:02} +0000] \"{request} HTTP/1.1\" {status} 512 \"-\" \"{agent}\""
    )
    .unwrap();
}

/// `n` requests of one client, so many in a second.
fn requests(n: usize, per_second: usize, request: impl Fn(usize) -> (String, u16)) -> String {
    let mut log = String::new();
    for k in 0..n {
        let (request, status) = request(k);
        line(
            &mut log,
            k / per_second,
            "192.0.2.12",
            &request,
            status,
            "okhttp/4.12",
        );
    }
    log
}

/// The same with a prober of the same site in between.
fn with_prober(log: &str) -> String {
    let mut both = log.to_owned();
    for k in 0..60 {
        let request = format!("GET /backup-{k}.zip");
        line(&mut both, k / 4, "203.0.113.66", &request, 404, "curl/8");
    }
    both
}

/// Whom a config bans: each client with the rule.
fn banned(config: &str, log: &str) -> Vec<String> {
    let config: Config = toml::from_str(config).unwrap();
    let (found, _) = replay(&[log.as_bytes()], &config.detector(), Format::Json);
    let of = |line: &str| {
        let found: serde_json::Value = serde_json::from_str(line).unwrap();
        format!(
            "{} {}",
            found["target"].as_str().unwrap(),
            found["rule"].as_str().unwrap()
        )
    };
    found.lines().map(of).collect()
}

const PROBER: [&str; 1] = ["203.0.113.66/32 error-flood"];
const CLIENT: [&str; 1] = ["192.0.2.12/32 error-flood"];
const GUESSED: [&str; 1] = ["192.0.2.12/32 login-bruteforce"];

#[test]
fn programs_that_ask_first_are_left_alone_and_a_prober_beside_them_is_not() {
    let calendars = requests(120, 4, |k| {
        let status = if k % 2 == 0 { 401 } else { 207 };
        (format!("PROPFIND /remote.php/dav/calendars/u/{}/", k / 2), status)
    });
    let contacts = requests(120, 4, |k| {
        (
            format!("REPORT /contacts/{k}"),
            if k % 2 == 0 { 401 } else { 207 },
        )
    });
    let backups = requests(100, 5, |k| {
        (format!("DELETE /remote.php/webdav/.SeedVault/{k:x}"), 404)
    });
    let uploads = requests(100, 5, |k| {
        (format!("PUT /cloud/remote.php/dav/files/u/{k}"), 401)
    });
    let source_maps = requests(60, 25, |k| (format!("GET /assets/chunk-{k}.js.map"), 404));
    let unchanged = requests(300, 5, |k| (format!("GET /assets/{k}.js"), 304));
    let push = requests(100, 5, |k| match k % 2 {
        0 => (format!("HEAD /v2/team/app/blobs/sha256:{k:064x}"), 404),
        _ => (format!("POST /v2/team/app/blobs/uploads/{k}"), 401),
    });
    let tags = requests(100, 5, |k| (format!("HEAD /v2/team/app/manifests/{k}"), 404));
    let logins = requests(100, 5, |_| ("GET /v2/".to_owned(), 401));
    let tiles = requests(60, 10, |k| (format!("GET /tiles/12/{k}/7.png"), 499));
    for log in [
        calendars,
        contacts,
        backups,
        uploads,
        source_maps,
        unchanged,
        push,
        tags,
        logins,
        tiles,
    ] {
        let first = log.lines().next().unwrap();
        assert_eq!(banned("", &log), Vec::<String>::new(), "{first}");
        assert_eq!(banned("", &with_prober(&log)), PROBER, "{first}");
        let scan = "[[rule]]\nname = \"path-scan\"\n[[rule]]\nname = \"error-flood\"\nenabled = false";
        assert_eq!(
            banned(scan, &with_prober(&log)),
            ["203.0.113.66/32 path-scan"],
            "{first}"
        );
    }
}

#[test]
fn what_one_site_excludes_does_not_count() {
    let polls = requests(120, 1, |_| ("GET /api/jobs/4711/poll".to_owned(), 404));
    let mut crawler = String::new();
    for k in 0..200 {
        let request = format!("GET /old/{k}.html");
        line(
            &mut crawler,
            k,
            "192.0.2.12",
            &request,
            404,
            "Mozilla/5.0 (compatible; Googlebot/2.1)",
        );
    }
    let excluding = |key: &str| format!("[[rule]]\nname = \"error-flood\"\n{key}");
    for (log, key) in [
        (&polls, "excluded_paths = [\"/api/*/poll\"]"),
        (&polls, "excluded_user_agents = [\"OkHttp\"]"),
        (&polls, "excluded_methods = [\"GET\"]"),
        (&polls, "excluded_statuses = [404]"),
        (&polls, "exclude = [{ paths = [\"*/poll\"], statuses = [404] }]"),
        (&crawler, "excluded_paths = [\"/old/*.html\"]"),
        (&crawler, "excluded_user_agents = [\"Googlebot\"]"),
    ] {
        assert_eq!(banned("", log)[..1], CLIENT);
        assert_eq!(banned(&excluding(key), log), Vec::<String>::new(), "{key}");
    }
    let other = excluding("exclude = [{ paths = [\"*/poll\"], statuses = [403] }]");
    assert_eq!(banned(&other, &polls)[..1], CLIENT);
}

#[test]
fn guessed_passwords_are_known_by_what_the_application_answers() {
    let config = "[[rule]]\nname = \"login-bruteforce\"";
    for (request, status) in [
        ("POST /wp-login.php", 200),
        ("POST /blog/wp-login.php", 200),
        ("POST //blog/./wp-login.php;x=1", 200),
        ("POST /xmlrpc.php", 200),
        ("POST /blog/xmlrpc.php", 200),
        ("POST /user/login", 200),
        ("POST /drupal/user/login", 200),
        ("POST /administrator/index.php", 200),
        ("POST /admin/login/?next=/admin/", 200),
        ("POST /users/sign_in", 422),
        ("POST /auth/sign_in", 200),
        ("POST /login", 401),
        ("POST /login;jsessionid=1", 401),
        ("POST /grafana/login", 401),
        ("POST /index.php/login", 429),
        ("GET /phpmyadmin/index.php", 401),
        ("POST /wp-login.php", 403),
    ] {
        let log = requests(40, 1, |_| (request.to_owned(), status));
        assert_eq!(banned(config, &log), GUESSED, "{request} {status}");
    }
}

#[test]
fn who_signs_in_is_not_taken_for_one_who_guesses() {
    let config = "[[rule]]\nname = \"login-bruteforce\"";
    for path in [
        "/wp-login.php",
        "/blog/wp-login.php",
        "/user/login",
        "/administrator/index.php",
    ] {
        let log = requests(120, 2, |k| match k % 2 {
            0 => (format!("GET {path}"), 200),
            _ => (format!("POST {path}"), 302),
        });
        assert_eq!(banned(config, &log), Vec::<String>::new(), "{path}");
    }
    let log = requests(40, 1, |_| ("POST /login".to_owned(), 200));
    assert_eq!(
        banned(config, &log),
        Vec::<String>::new(),
        "of applications that answer a good login so"
    );
}

/// HAProxy logs whole URLs for HTTP/2 and 3, of which no client said so.
#[test]
fn browsers_behind_haproxy_do_not_look_for_an_open_proxy() {
    let of = |request: &str, status: u16| {
        let line = format!(
            "192.0.2.12:4711 [27/Nov/2026:10:00:00.000] www~ app/web1 0/0/1/2/3 {status} 12 - - ---- 1/1/0/0/0 0/0 \"{request}\"\n"
        );
        banned("[[rule]]\nname = \"open-proxy\"", &line.repeat(3))
    };
    for (url, status) in [("/admin", 403), ("/", 421), ("/a", 400)] {
        let request = format!("GET https://www.example.org{url} HTTP/2.0");
        assert_eq!(of(&request, status), Vec::<String>::new(), "{request} {status}");
    }
    let searches = of("GET http://www.sbjudge4.example:80/ip4.php HTTP/1.1", 400);
    assert_eq!(searches[..1], ["192.0.2.12/32 open-proxy"]);
}

#[test]
fn an_outage_bans_no_visitor() {
    let site = |answer: fn(usize) -> (String, u16)| {
        let mut log = String::new();
        for second in 0..80 {
            for visitor in 0..300 {
                let client = format!("198.18.{}.{}", visitor / 250, visitor % 250 + 1);
                let (request, status) = answer(second + visitor);
                line(&mut log, second, &client, &request, status, "Mozilla/5.0");
            }
        }
        log
    };
    for answer in [
        (|k| (format!("GET /page/{}", k % 7), 499)) as fn(usize) -> (String, u16),
        |k| (format!("GET /assets/app-{}.js", k % 7), 404),
        |k| (format!("GET /api/items/{}", k % 7), 401),
        |k| (format!("GET /{}", ["cart", "orders", "me"][k % 3]), 403),
        |k| (format!("GET /page/{}", k % 7), 504),
    ] {
        let log = site(answer);
        let first = log.lines().next().unwrap();
        assert_eq!(banned("", &log), Vec::<String>::new(), "{first}");
        assert_eq!(banned("", &with_prober(&log)), PROBER, "{first}");
    }
}
