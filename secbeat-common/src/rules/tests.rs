use super::*;
use crate::wire::{Interest, MAX_TEXT, decode, encode};

fn path(pattern: &str) -> PathPattern {
    pattern.parse().unwrap()
}

#[test]
fn a_filter_holds_what_all_its_lists_hold() {
    let filter = Match {
        statuses: vec!["401-403".parse().unwrap(), "429".parse().unwrap()],
        methods: vec!["POST".parse().unwrap(), "PUT".parse().unwrap()],
        paths: vec![path("/login"), path("/wp-login.php")],
        hosts: vec!["example.org".parse().unwrap(), "*.example.org".parse().unwrap()],
    };
    for (expected, status, method, path, host) in [
        (true, 401, "POST", "/login", "example.org"),
        (true, 403, "PUT", "/wp-login.php?x=/", "www.example.org:8443"),
        (true, 429, "POST", "/login/", "EXAMPLE.ORG."),
        (false, 404, "POST", "/login", "example.org"),
        (false, 401, "GET", "/login", "example.org"),
        (false, 401, "post", "/login", "example.org"),
        (false, 401, "POST", "/", "example.org"),
        (false, 401, "POST", "/login", "example.com"),
        (false, 401, "POST", "/login", ""),
    ] {
        let matches = filter.matches(status, method, path, host);
        assert_eq!(matches, expected, "{status} {method} {path} {host}");
    }
    assert!(!filter.is_any());
    assert!(Match::default().is_any());
    assert!(Match::default().matches(0, "", "", ""));
}

#[test]
fn a_path_is_itself_and_all_below_it_or_with_a_star_all_that_start_so() {
    for (pattern, target, expected) in [
        ("/login", "/login", true),
        ("/login", "/login/", true),
        ("/login", "/login/2/3", true),
        ("/login", "/login?next=/", true),
        ("/login", "/login#a", true),
        ("/login", "/login-help", false),
        ("/login", "/Login", false),
        ("/login", "/a/login", false),
        ("/login", "/logi", false),
        ("/login/", "/login", true),
        ("/", "/anything", true),
        ("/", "*", false),
        ("/wp-*", "/wp-admin/x", true),
        ("/wp-*", "/wp-", true),
        ("/wp-*", "/wp", false),
        ("/*", "/", true),
        // A `*` before the end.
        ("*.map", "/assets/chunk-1.js.map", true),
        ("*.map", "/assets/chunk-1.js.map?v=1", true),
        ("*.map", "/assets/chunk-1.js", false),
        ("*.map", "/a.map/b", false),
        ("*/wp-login.php", "/wp-login.php", true),
        ("*/wp-login.php", "/blog/wp-login.php", true),
        ("*/wp-login.php", "/blog/wp-login.php/x", true),
        ("*/wp-login.php", "/blog/wp-login.php2", false),
        ("*/wp-login.php", "/blog/my-wp-login.php", false),
        ("/api/*/poll", "/api/jobs/7/poll", true),
        ("/api/*/poll", "/api/7/poll/again", true),
        ("/api/*/poll", "/api/poll", false),
        ("/api/*/poll", "/v1/api/7/poll", false),
        ("/v2/*/blobs/*", "/v2/library/nginx/blobs/sha256:1", true),
        ("/v2/*/blobs/*", "/v2/library/nginx/manifests/1", false),
        ("*/a/b/", "/x/a/b", true),
        ("*/a/b/", "/x/a/b/c", true),
        ("*/a/b/", "/x/a/bc", false),
        ("*/z", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/z/y", true),
        ("*/z", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/zy", false),
        ("/a*b*c", "/abxcbc", true),
        ("/a*b*c", "/acb", false),
        ("*a/", "/a/b", true),
        // Parameters of segments.
        ("/login", "/login;jsessionid=1", true),
        ("/login", "/;x/login;a=1;b", true),
        ("/login", "/x/..;a/login", true),
        ("/login", "/login%3Bx", false),
        ("/login", "/%6cogin;%2e", true),
        // Other spellings of the same.
        ("/login", "//login", true),
        ("/login", "/./login", true),
        ("/login", "/%6cog%69n", true),
        ("/login", "/%2Flogin", true),
        ("/login", "http://example.org/login", true),
        ("/login", "/x?y=//login", false),
    ] {
        let filter = Match {
            paths: vec![path(pattern)],
            ..Match::default()
        };
        assert_eq!(
            filter.matches(200, "GET", target, ""),
            expected,
            "{pattern} {target}"
        );
    }
}

#[test]
fn spellings_of_one_path_are_one_path() {
    for (target, expected) in [
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("/a//b", "/a/b"),
        ("//", "/"),
        ("/.", "/"),
        ("/a/./b/.", "/a/b/"),
        ("/a/../b", "/b"),
        ("/a/b/%2e%2e", "/a/"),
        ("/../../a", "/a"),
        ("/.env", "/.env"),
        ("/..a", "/..a"),
        ("/a%2fb%3fc", "/a/b?c"),
        ("/100%", "/100%"),
        ("/%zz%4", "/%zz%4"),
        ("/a?b#c", "/a"),
        ("https://h:1/a?b", "/a"),
        ("https://h", "/"),
        ("/a;b=1/c;d", "/a/c"),
        ("/a%3bb", "/a;b"),
        ("/;", "/"),
        ("", ""),
        ("*", "*"),
    ] {
        assert_eq!(
            String::from_utf8_lossy(&canonical_path(target)),
            expected,
            "{target}"
        );
    }
    assert!(matches!(
        canonical_path("/plain?q"),
        std::borrow::Cow::Borrowed(b"/plain")
    ));
}

#[test]
fn what_servers_pass_over_pushes_nothing_out_of_a_path() {
    let dots = "./".repeat(130);
    for (long, expected) in [
        (format!("/{dots}wp-login.php"), "/wp-login.php"),
        (format!("{}wp-login.php", "/".repeat(260)), "/wp-login.php"),
        (format!("/{}/../wp-login.php", "a".repeat(256)), "/wp-login.php"),
        // With the sign that there were parameters.
        (format!("/wp-login.php;{}", "a".repeat(300)), "/wp-login.php;"),
        (format!("/x7.php/..;/{dots}y.map"), "/y.map;"),
        (format!("/{dots}a%0a%20%7f?;"), "/a%0A%20%7F"),
        (format!("/dav/{dots}../x7.php"), "/x7.php"),
        (format!("/{dots}a%253f%3b%23%ff?x"), "/a%253f%3B%23%FF"),
    ] {
        assert_eq!(short_path(&long), expected);
        assert_eq!(canonical_path(expected), canonical_path(&long), "{expected}");
    }
    let short = "/dav/./../x.php";
    assert_eq!(short_path(short), short);
}

#[test]
fn long_paths_stay_different_and_no_exclusion_holds_them() {
    let dav = Exclusion {
        filter: Match {
            paths: vec![path("*/dav"), path("*.map")],
            ..Match::default()
        },
        ..Exclusion::default()
    };
    let holds = |path: &str| dav.matches(404, "GET", &Target::new(path), "", "");
    assert!(holds("/dav/x.php"));
    let long = |n: u32| format!("/dav/{}/{n}/{}.map", "é".repeat(90), "b".repeat(200));
    let (one, other) = (long(1), long(2));
    let (one, other) = (short_path(&one), short_path(&other));
    assert_ne!(one, other);
    for path in [&one, &other] {
        assert!((MAX_TEXT - 2..=MAX_TEXT).contains(&path.len()), "{path}");
        assert!(!holds(path), "{path}");
        assert_eq!(String::from_utf8_lossy(&canonical_path(path)), **path);
        assert_eq!(short_path(path), **path);
    }
    let login = format!("/wp-login.php/{}", "a".repeat(300));
    assert!(path("/wp-login.php").matches(&Target::new(&short_path(&login))));
}

#[test]
fn an_exclusion_holds_what_all_its_lists_hold() {
    let exclusion = Exclusion {
        filter: Match {
            statuses: vec!["404".parse().unwrap()],
            paths: vec![path("*.map")],
            ..Match::default()
        },
        user_agents: vec!["googlebot".parse().unwrap(), "okhttp/4".parse().unwrap()],
    };
    let holds = |status, path, agent| exclusion.matches(status, "GET", &Target::new(path), "", agent);
    assert!(holds(404, "/a.map", "Mozilla/5.0 (compatible; Googlebot/2.1)"));
    assert!(holds(404, "/a.map", "okhttp/4.12"));
    assert!(!holds(404, "/a.map", "okhttp/3"));
    assert!(!holds(404, "/a.js", "okhttp/4.12"));
    assert!(!holds(403, "/a.map", "okhttp/4.12"));
    assert!(!holds(404, "/a.map", ""));
}

#[test]
fn a_star_of_an_exclusion_stands_for_scripts_that_it_names_or_with_a_user_agent() {
    let holds = |pattern: &str, target: &str, agents: &[&str]| {
        let exclusion = Exclusion {
            filter: Match {
                paths: vec![path(pattern)],
                ..Match::default()
            },
            user_agents: agents.iter().map(|agent| agent.parse().unwrap()).collect(),
        };
        exclusion.matches(404, "GET", &Target::new(target), "", "Monitor/1")
    };
    for (pattern, target, expected) in [
        ("/*", "/status.php", false),
        ("/*", "/a/.git/b", true),
        ("/*", "/.git/b", false),
        ("*.php/*", "/a.php/b", true),
        ("*.php/*", "/a.cgi/b.php/c", false),
        ("*/dav", "/davx7.php/dav", false),
        ("*/dav", "/a/dav/x7.php/.b", true),
        ("*.map", "/a.map7.php/b.map", false),
        ("*.map", "/a;b/c.map", false),
        ("*.map", "/a/c.map?;", true),
    ] {
        assert_eq!(holds(pattern, target, &[]), expected, "{pattern} {target}");
        assert!(holds(pattern, target, &["Monitor"]), "{pattern} {target}");
    }
}

#[test]
fn a_client_that_gave_up_got_no_error_and_an_unreadable_line_is_one() {
    let errors: Vec<_> = (0..=u16::MAX).filter(|status| is_error(*status)).collect();
    let answers = (400..600).filter(|status| *status != 499);
    let expected: Vec<_> = answers.chain([UNREADABLE]).collect();
    assert_eq!(errors, expected);
    let aborted: Vec<_> = (0..=u16::MAX).filter(|status| is_aborted(*status)).collect();
    assert_eq!(aborted, [0, 499]);
}

#[test]
fn hosts_are_compared_without_case_and_port() {
    for (pattern, host, expected) in [
        ("example.org", "Example.Org:80", true),
        ("example.org", "www.example.org", false),
        ("*.example.org", "www.example.org", true),
        ("*.Example.org", "a.b.EXAMPLE.org:1", true),
        ("*.example.org", "example.org", false),
        ("*.example.org", ".example.org", false),
        ("*.example.org", "badexample.org", false),
        ("[2001:db8::1]", "[2001:DB8::1]:443", true),
        ("192.0.2.1", "192.0.2.1", true),
    ] {
        let pattern: HostPattern = pattern.parse().unwrap();
        assert_eq!(pattern.matches(host), expected, "{pattern} {host}");
    }
}

#[test]
fn what_is_no_pattern_is_refused() {
    for text in ["", "x", "99", "600", "403-401", "400-", "1-2-3", "-1", "70000"] {
        assert!(text.parse::<Statuses>().is_err(), "{text}");
    }
    for text in ["", "get", "GET ", "1"] {
        assert!(text.parse::<Method>().is_err(), "{text}");
    }
    for text in ["", "login", "/a**b", "/a?b", "*.a#b", "*", "**"] {
        assert!(text.parse::<PathPattern>().is_err(), "{text}");
    }
    for text in [String::new(), "x".repeat(257)] {
        assert!(text.parse::<AgentPattern>().is_err(), "{text}");
    }
    for text in ["", "*", "*.", "a.", "a b", "a:80", "*.*.org", "[1]", "http://a"] {
        assert!(text.parse::<HostPattern>().is_err(), "{text}");
    }
}

#[test]
fn filters_lead_back_to_themselves_in_json_and_on_the_bus() {
    let json = r#"{"statuses":[200,"401-403"],"methods":["GET"],"paths":["/a*"],"hosts":["*.b"]}"#;
    let filter: Match = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&filter).unwrap(), json);
    let interest = Interest::of([filter]);
    assert_eq!(decode(&encode(&interest).unwrap()), Ok(interest));
    let error = serde_json::from_str::<Match>(r#"{"statuses":[999],"methods":[],"paths":[],"hosts":[]}"#);
    assert!(error.unwrap_err().to_string().contains("`999` is neither"));
}
