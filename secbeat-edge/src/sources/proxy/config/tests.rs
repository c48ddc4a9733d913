use std::path::Path;

use secbeat_daemon::config;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct File {
    proxy: ProxyFile,
}

fn check(text: &str) -> Result<ProxyConfig, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.toml");
    std::fs::write(&path, text).unwrap();
    let file: File = config::load(&path).map_err(|error| error.to_string())?;
    file.proxy
        .check(Path::new(&path), Path::new("/var/lib/secbeat/edge"))
        .map_err(|error| error.to_string())
}

#[track_caller]
fn refused(text: &str, part: &str) {
    let error = check(text).unwrap_err();
    assert!(error.contains(part), "{error}");
}

const TWO: &str = r#"
[[proxy.upstream]]
name = "app"
servers = ["http://127.0.0.1:3000", "https://app.internal"]
health = { path = "/healthz", interval = "1s" }
[[proxy.upstream]]
name = "api"
servers = ["http://127.0.0.1:3001"]
"#;

#[test]
fn the_simple_form_is_one_of_each() {
    let config = check("[proxy]\nupstream = \"http://127.0.0.1:8000\"\nidle_timeout = \"5s\"\n").unwrap();
    let base = "http://127.0.0.1:8000".parse().unwrap();
    let expected = ProxyConfig {
        idle_timeout: Duration::from_secs(5),
        ..ProxyConfig::new("127.0.0.1:8443".parse().unwrap(), base)
    };
    assert_eq!(config, expected);
    assert_eq!(config.telemetry_names(), ["http://127.0.0.1:8000", "other"]);
}

#[test]
fn listeners_upstreams_and_routes_are_read() {
    let config = check(&format!(
        r#"{TWO}
[[proxy.listener]]
address = "[::]:443"
certificate = "a.pem"
key = "a.key"
more_certificates = [{{ certificate = "b.pem", key = "b.key" }}]
[[proxy.listener]]
address = "127.0.0.1:80"
h2c = true
[[proxy.route]]
upstream = "app"
[[proxy.route]]
host = "*.Example.org"
path = "/api"
upstream = "api"
"#
    ))
    .unwrap();
    let certificates = |index: usize| config.listeners[index].certificates.len();
    assert_eq!((certificates(0), certificates(1)), (2, 0));
    assert!(config.listeners[1].h2c);
    let health = config.upstreams[0].health.as_ref().unwrap();
    let counts = (health.fail.get(), health.pass.get());
    assert_eq!(
        (health.path.as_str(), health.interval, counts),
        ("/healthz", Duration::from_secs(1), (3, 2))
    );
    let below = HostPattern::Below("example.org".to_owned());
    let route = |index: usize| &config.routes[index];
    assert_eq!(
        (&route(0).host, route(0).path.as_str(), route(0).upstream),
        (&HostPattern::Any, "/", 0)
    );
    assert_eq!(
        (&route(1).host, route(1).path.as_str(), route(1).upstream),
        (&below, "/api", 1)
    );
    assert_eq!(config.telemetry_names(), ["app", "api", "other"]);
}

#[test]
fn keys_that_contradict_each_other_are_named_with_their_line() {
    let route = "[[proxy.route]]\nupstream = \"app\"\n";
    refused(
        &format!("{TWO}{route}"),
        "edge.toml:7: proxy.upstream[1].name: no [[proxy.route]] leads to `api`",
    );
    refused(
        &format!("{TWO}{route}{route}"),
        "edge.toml:11: proxy.route[1].path: another route has the same host",
    );
    refused(
        &format!("{TWO}[[proxy.route]]\nupstream = \"apo\"\n"),
        "edge.toml:10: proxy.route[0].upstream: there is no [[proxy.upstream]] named `apo`",
    );
    refused(
        &TWO.replace("\"api\"", "\"app\""),
        "proxy.upstream[1].name: two upstreams are named `app`",
    );
    refused(
        &TWO.replace("\"api\"", "\"other\""),
        "proxy.upstream[1].name: invalid name `other`",
    );
    refused(
        &TWO.replace("[\"http://127.0.0.1:3001\"]", "[]"),
        "proxy.upstream[1].servers: there is no server",
    );
    let simple = "[proxy]\nupstream = \"http://a\"\n";
    refused(
        &format!("{simple}{route}"),
        "edge.toml:3: proxy.route[0]: routes lead to named upstreams",
    );
    for (listener, part) in [
        (
            "certificate = \"a\"",
            "proxy.listener[0].certificate: its key is missing",
        ),
        ("key = \"a\"", "proxy.listener[0].key: its certificate is missing"),
        (
            "certificate = \"a\"\nkey = \"b\"\nh2c = true",
            "proxy.listener[0].h2c: it is for plain HTTP",
        ),
        (
            "[[proxy.listener]]\naddress = \"[::]:1\"",
            "proxy.listener[1].address: [::]:1 is listened on twice",
        ),
    ] {
        refused(
            &format!("{simple}[[proxy.listener]]\naddress = \"[::]:1\"\n{listener}\n"),
            part,
        );
    }
    let both =
        "[proxy]\nlisten = \"[::]:1\"\nupstream = \"http://a\"\n[[proxy.listener]]\naddress = \"[::]:2\"\n";
    refused(
        both,
        "edge.toml:2: proxy.listen: an address stands either here or in [[proxy.listener]]",
    );
}

const ACME: &str = r#"
[proxy]
upstream = "http://127.0.0.1:8000"
[proxy.acme]
domains = ["Example.org", "www.example.org"]
accept_terms = true
contact = ["admin@example.org"]
[[proxy.listener]]
address = "[::]:443"
acme = true
[[proxy.listener]]
address = "[::]:80"
redirect_to_https = true
"#;

#[test]
fn certificates_that_the_proxy_gets_itself_are_where_its_listeners_look() {
    let config = check(ACME).unwrap();
    let acme = config.acme.unwrap();
    assert_eq!(acme.domains, ["example.org", "www.example.org"]);
    assert_eq!(acme.contact, ["mailto:admin@example.org"]);
    assert_eq!(acme.directory, "https://acme-v02.api.letsencrypt.org/directory");
    assert_eq!(acme.challenge, Challenge::TlsAlpn01);
    let folder = "/var/lib/secbeat/edge/acme/acme-v02.api.letsencrypt.org_directory";
    assert_eq!(acme.folder, Path::new(folder));
    let obtained = &config.listeners[0].obtained;
    assert_eq!(obtained[1].key, Path::new(folder).join("www.example.org.pem"));
    assert!(config.listeners[0].has_tls() && !config.listeners[1].has_tls());
    let staging = ACME.replace(
        "accept_terms",
        "directory = \"https://localhost:14000/a/b/\"\naccept_terms",
    );
    let folder = check(&staging).unwrap().acme.unwrap().folder;
    assert!(
        folder.ends_with("acme/localhost_14000_a_b"),
        "{}",
        folder.display()
    );
}

#[test]
fn what_certificates_cannot_be_got_for_is_named_with_the_reason() {
    for (from, to, part) in [
        (
            "\"www.example.org\"",
            "\"*.example.org\"",
            "proxy.acme.domains[1]: invalid name `*.example.org`: a wildcard needs",
        ),
        (
            "\"www.example.org\"",
            "\"192.0.2.1\"",
            "proxy.acme.domains[1]: invalid name `192.0.2.1`: expected a DNS name",
        ),
        (
            "\"www.example.org\"",
            "\"www\"",
            "proxy.acme.domains[1]: invalid name `www`: expected a DNS name such as",
        ),
        (
            "\"www.example.org\"",
            "\"münchen.example\"",
            "proxy.acme.domains[1]: invalid name `münchen.example`",
        ),
        (
            "\"www.example.org\"",
            "\"-a.example\"",
            "proxy.acme.domains[1]: invalid name `-a.example`",
        ),
        (
            "\"www.example.org\"",
            "\"../x.example\"",
            "proxy.acme.domains[1]: invalid name `../x.example`",
        ),
        (
            "\"www.example.org\"",
            "\"EXAMPLE.org\"",
            "proxy.acme.domains[1]: `example.org` stands there twice",
        ),
        (
            "[\"Example.org\", \"www.example.org\"]",
            "[]",
            "proxy.acme.domains: there is no name",
        ),
        (
            "accept_terms = true",
            "",
            "proxy.acme.accept_terms: the certificate authority wants its terms agreed to",
        ),
        (
            "admin@example.org",
            "admin",
            "proxy.acme.contact[0]: invalid contact `admin`",
        ),
        (
            "accept_terms = true",
            "accept_terms = true\ndirectory = \"http://a/\"",
            "proxy.acme.directory: invalid directory `http://a/`",
        ),
        (
            "accept_terms = true",
            "accept_terms = true\nchallenge = \"dns-01\"",
            "proxy.acme.challenge: invalid value `dns-01`: expected",
        ),
        (
            "acme = true",
            "",
            "proxy.acme: no [[proxy.listener]] has `acme = true`",
        ),
        (
            "acme = true",
            "acme = true\ncertificate = \"a\"\nkey = \"b\"",
            "proxy.listener[0].acme: the first certificate stands either here",
        ),
        (
            "redirect_to_https = true",
            "https_port = 8443",
            "proxy.listener[1].https_port: it is for redirect_to_https = true",
        ),
        (
            "redirect_to_https = true",
            "redirect_to_https = true\nacme = true",
            "proxy.listener[1].redirect_to_https: with a certificate",
        ),
        (
            "[proxy.acme]\ndomains = [\"Example.org\", \"www.example.org\"]\naccept_terms = true\ncontact = [\"admin@example.org\"]\n",
            "",
            "proxy.listener[0].acme: there is no [proxy.acme]",
        ),
    ] {
        assert!(ACME.contains(from), "{from}");
        refused(&ACME.replacen(from, to, 1), part);
    }
    let by_http = ACME.replace("accept_terms", "challenge = \"http-01\"\naccept_terms");
    assert!(check(&by_http).is_ok());
    refused(
        &by_http.replace("redirect_to_https = true", "acme = true"),
        "proxy.acme.challenge: http-01 needs a [[proxy.listener]] without TLS",
    );
}

#[test]
fn values_that_cannot_be_are_named() {
    let route = |key: &str| format!("{TWO}[[proxy.route]]\n{key}\nupstream = \"app\"\n");
    refused(
        &route("host = \"a:80\""),
        "proxy.route[0].host: invalid host `a:80`: expected one such as",
    );
    refused(
        &route("host = \"a*.b\""),
        "proxy.route[0].host: invalid host `a*.b`: expected one such as",
    );
    refused(
        &route("path = \"api\""),
        "proxy.route[0].path: invalid path `api`: expected one such as /api",
    );
    refused(
        "[proxy]\nupstream = 5\n",
        "proxy.upstream: invalid type: integer `5`, expected a URL such as",
    );
    refused("[proxy]\n", "missing field `upstream`");
    refused(
        &TWO.replace("https://", "ftp://"),
        "`ftp://app.internal` is neither",
    );
}

#[test]
fn keys_of_servers_routes_and_answers_are_read() {
    let config = check(
        r#"
[proxy]
hsts = "365d"
keep_alive = "20s"
error_pages = { 502 = "/etc/secbeat/502.html" }
[[proxy.upstream]]
name = "app"
servers = [{ url = "http://10.0.0.1:3000", weight = 3 }, "unix:/run/app.sock", "h2c://10.0.0.2:50051"]
sticky = true
upstream_host = "app.internal"
[[proxy.route]]
upstream = "app"
response_timeout = "5m"
idle_timeout = "1h"
max_body = 1048576
"#,
    )
    .unwrap();
    let upstream = &config.upstreams[0];
    let weights: Vec<_> = upstream
        .servers
        .iter()
        .map(|server| server.weight.get())
        .collect();
    assert_eq!((weights.as_slice(), upstream.sticky), (&[3, 1, 1][..], true));
    assert_eq!(upstream.upstream_host.as_ref().unwrap().as_str(), "app.internal");
    let route = &config.routes[0];
    assert_eq!(
        (route.response_timeout, route.idle_timeout, route.max_body),
        (
            Some(Duration::from_secs(300)),
            Some(Duration::from_secs(3600)),
            Some(1 << 20)
        )
    );
    assert_eq!(
        (config.keep_alive, config.hsts),
        (Duration::from_secs(20), Some(Duration::from_secs(365 * 86400)))
    );
    assert_eq!(config.error_pages[&502].to_str(), Some("/etc/secbeat/502.html"));
}

#[test]
fn what_keys_of_servers_and_answers_cannot_be_is_named() {
    const ONE: &str = "[proxy]\nupstream = \"http://a\"\n";
    for (text, part) in [
        (
            format!("{ONE}error_pages = {{ 200 = \"a\" }}\n"),
            "invalid status `200`: expected 400 to 599",
        ),
        (
            format!(
                "{ONE}[[proxy.listener]]\naddress = \"[::]:1\"\ncertificate = \"a\"\nkey = \"b\"\nredirect_to_https = true\n"
            ),
            "proxy.listener[0].redirect_to_https: with a certificate",
        ),
        (
            "[[proxy.upstream]]\nname = \"a\"\nservers = [{ url = \"http://a\", weight = 101 }]\n".to_owned(),
            "a weight is 1 to 100",
        ),
        (
            "[[proxy.upstream]]\nname = \"a\"\nservers = [\"unix:a.sock\"]\n".to_owned(),
            "`unix:a.sock` is neither",
        ),
        (
            "[[proxy.upstream]]\nname = \"a\"\nservers = [\"http://a\"]\nupstream_host = \"a/b\"\n"
                .to_owned(),
            "invalid host `a/b`",
        ),
        (
            format!("{TWO}[[proxy.route]]\nupstream = \"app\"\nhost = \"[::0001]\"\n"),
            "invalid host `[::0001]`",
        ),
    ] {
        refused(&text, part);
    }
}

#[test]
fn fields_for_servers_are_read_and_those_of_the_proxy_refused() {
    const ONE: &str = "[proxy]\nupstream = \"http://127.0.0.1:8000\"\n[proxy.headers]\n";
    assert_eq!(
        check(&ONE.replace("[proxy.headers]\n", "")).unwrap().headers,
        HeaderRules::default()
    );
    let config = check(&format!(
        "{ONE}set = {{ X-Forwarded-Port = \"443\" }}\nremove = [\"X-Debug\"]\nvia = true\n"
    ))
    .unwrap();
    assert_eq!(
        config.headers,
        HeaderRules {
            set: vec![("x-forwarded-port".parse().unwrap(), "443".parse().unwrap())],
            remove: vec!["x-debug".parse().unwrap()],
            via: true,
        }
    );
    for (line, part) in [
        (
            "set = { Host = \"a\" }",
            "proxy.headers.set.Host: `host` is the proxy's own",
        ),
        ("set = { \"a b\" = \"c\" }", "invalid header field `a b`"),
        ("set = { a = \"b\\nc\" }", "the value has a control character"),
        (
            "remove = [\"x\", \"Content-Length\"]",
            "proxy.headers.remove[1]: `content-length` is the proxy's own",
        ),
        (
            "set = { X-A = \"1\", x-a = \"2\" }",
            "proxy.headers.set: `x-a` stands there twice",
        ),
        ("add = {}", "unknown key `add`"),
    ] {
        refused(&format!("{ONE}{line}\n"), part);
    }
}

#[test]
fn a_hosts_trailing_dot_changes_nothing() {
    let text = format!(
        "{TWO}[[proxy.route]]\nupstream = \"app\"\nhost = \"Dotted.example.\"\n[[proxy.route]]\nupstream = \"api\"\nhost = \"*.example.org.\"\n"
    );
    let hosts = check(&text).unwrap().routes.into_iter().map(|route| route.host);
    assert_eq!(
        hosts.collect::<Vec<_>>(),
        [
            HostPattern::Exact("dotted.example".to_owned()),
            HostPattern::Below("example.org".to_owned()),
        ]
    );
    refused(&text.replace("Dotted.example.", "."), "invalid host `");
}

#[test]
fn an_upstream_that_is_the_proxy_itself_is_refused() {
    for (listen, server, is_itself) in [
        ("[::]:8443", "http://127.0.0.1:8443", true),
        ("[::]:8443", "http://[::1]:8443", true),
        ("[::]:8443", "http://localhost:8443", true),
        ("192.0.2.1:80", "http://192.0.2.1", true),
        ("127.0.0.1:8443", "http://0.0.0.0:8443", true),
        ("[::1]:8443", "http://[::]:8443", true),
        ("[::]:8443", "http://0.0.0.0:8443", true),
        ("192.0.2.1:80", "http://127.0.0.1", false),
        ("192.0.2.1:8443", "http://0.0.0.0:8443", false),
        ("[::]:8443", "http://127.0.0.1:8000", false),
        ("[::]:8443", "http://192.0.2.7:8443", false),
    ] {
        let checked = check(&format!(
            "[proxy]\nlisten = \"{listen}\"\nupstream = \"{server}\"\n"
        ));
        match is_itself {
            true => assert!(
                checked.unwrap_err().contains("requests would never end"),
                "{server}"
            ),
            false => assert!(checked.is_ok(), "{server}"),
        }
    }
}
