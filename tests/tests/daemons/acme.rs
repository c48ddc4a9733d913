//! Certificates that the proxy gets itself: from Pebble, which validates as the authorities on the internet do, and from one of which
//! nobody gets any.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use secbeat_tests::lab::{
    client::Client,
    faulty_ca::{Fault, FaultyCa},
    host::Host,
    nginx::Nginx,
    pebble::{Manners, Pebble, visit},
    wait::wait_until,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
/// curl could not shake hands.
const NO_HANDSHAKE: Option<i32> = Some(35);
const MINUTE_MS: i64 = 60 * 1000;

/// A host with a server behind the proxy of its edge.
struct Web {
    host: Host,
    nginx: Nginx,
}

impl Web {
    fn new() -> Self {
        let host = Host::new();
        let nginx = Nginx::start(&host.namespace, SocketAddr::from(([127, 0, 0, 1], 0)));
        Self { host, nginx }
    }

    /// Has the edge get certificates for `a.test` and `www.a.test`.
    fn configure(&self, directory: &str, ca: &Path, acme: &str) {
        let proxy = format!(
            r#"
            upstream = "http://{}"
            [proxy.acme]
            domains = ["a.test", "www.a.test"]
            accept_terms = true
            directory = "{directory}"
            ca_file = "{}"
            {acme}
            [[proxy.listener]]
            address = "127.0.0.1:80"
            redirect_to_https = true
            [[proxy.listener]]
            address = "127.0.0.1:443"
            acme = true
            "#,
            self.nginx.address(),
            ca.display()
        );
        let config = self.host.edge_config();
        let config = config.replace("enforcement = \"both\"", "enforcement = \"l7\"");
        let before = "listen = \"127.0.0.1:8443\"\nupstream = \"http://127.0.0.1:8000\"\n";
        assert!(config.contains(before), "{config}");
        self.host.write("edge.toml", &config.replace(before, &proxy));
    }

    /// One name is enough.
    fn want_one_name(&self) {
        let path = self.host.file("edge.toml");
        let config = fs::read_to_string(&path).unwrap();
        fs::write(&path, config.replace(", \"www.a.test\"", "")).unwrap();
    }

    fn get(&self, url: &str) -> (u16, String) {
        let answer = Client::new(&self.host.namespace)
            .request("GET", url, &[], b"")
            .unwrap();
        (answer.status, String::from_utf8(answer.body).unwrap())
    }

    fn metrics(&self) -> String {
        self.get("http://127.0.0.1:8080/metrics").1
    }

    /// What the edge's API says of the first certificate.
    fn certificate(&self) -> Value {
        let (_, stats) = self.get("http://127.0.0.1:8080/api/v1/stats");
        let stats: Value = serde_json::from_str(&stats).unwrap();
        stats["proxy"]["certificates"][0].clone()
    }

    fn status(&self) -> String {
        let output = self.host.edge(&["status"]);
        String::from_utf8(output.stdout).unwrap()
    }

    fn folder(&self, directory: &str) -> PathBuf {
        self.host.file("state").join("acme").join(directory)
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Obtains certificates, restarts and reloads.
fn obtain_and_keep(challenge: &str, manners: Manners) {
    let web = Web::new();
    let pebble = Pebble::start(&web.host.namespace, manners);
    let key = web.host.write(
        "hmac",
        "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W\n",
    );
    let external = manners.external_account.map_or_else(String::new, |(kid, _)| {
        format!(
            "external_account = {{ kid = \"{kid}\", hmac_key_file = \"{}\" }}\n",
            key.display()
        )
    });
    let acme = format!("challenge = \"{challenge}\"\ncontact = [\"admin@a.test\"]\n{external}");
    web.configure(Pebble::DIRECTORY, &pebble.ca_file(), &acme);
    let mut edge = web.host.start_edge();
    for name in ["a.test", "www.a.test"] {
        edge.wait_for_log(&format!("a certificate was obtained name=\"{name}\""), PATIENCE);
    }
    let seen = |name: &str| {
        wait_until("the certificate is in use", PATIENCE, || {
            pebble.visit(name).answered
        });
        let visit = pebble.visit(name);
        assert!(visit.said.contains("hello"), "{}", visit.said);
    };
    seen("a.test");
    seen("www.a.test");
    assert_eq!(pebble.issued(), 2);
    // There is nothing for those who come without an order.
    for url in [
        "http://127.0.0.1:80/",
        "http://127.0.0.1:80/.well-known/acme-challenge/x",
    ] {
        assert_eq!(web.get(url).0, 308);
    }
    let until = |web: &Web| web.certificate()["valid_until_ms"].as_i64().unwrap();
    assert!(until(&web) > now_ms() + 89 * 24 * 60 * MINUTE_MS);
    assert!(
        web.status().contains("certificate  a.test: until "),
        "{}",
        web.status()
    );
    let metrics = web.metrics();
    for line in [
        "secbeat_edge_proxy_certificate_failures{name=\"a.test\"} 0",
        "secbeat_edge_proxy_certificate_orders_total{outcome=\"obtained\"} 2",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
    let folder = web.folder("127.0.0.1_14000_dir");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }

    let orders = pebble.orders();
    edge.terminate(PATIENCE);
    let mut edge = web.host.start_edge();
    edge.wait_for_log("running", PATIENCE);
    assert!(pebble.visit("a.test").answered, "from the first connection on");
    edge.signal(libc::SIGHUP);
    edge.wait_for_log("the config is reloaded", PATIENCE);
    assert!(pebble.visit("www.a.test").answered);
    wait_until("the keeper has looked", PATIENCE, || !web.certificate().is_null());
    assert!(web.certificate()["next_attempt_ms"].as_i64().unwrap() > now_ms() + 50 * 24 * 60 * MINUTE_MS);
    assert_eq!(pebble.orders(), orders, "nothing was asked for again");
}

#[test]
fn certificates_are_obtained_by_tls_alpn_kept_and_used_again() {
    let manners = Manners {
        refused_nonces: 3,
        ..Manners::default()
    };
    obtain_and_keep("tls-alpn-01", manners);
}

#[test]
fn certificates_are_obtained_by_http_for_an_account_that_is_bound_to_another() {
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let manners = Manners {
        external_account: Some(("kid-1", key)),
        ..Manners::default()
    };
    obtain_and_keep("http-01", manners);
}

#[test]
fn a_certificate_is_renewed_before_its_end_and_no_handshake_fails() {
    let web = Web::new();
    let manners = Manners {
        life: 18,
        ..Manners::default()
    };
    let pebble = Pebble::start(&web.host.namespace, manners);
    web.configure(Pebble::DIRECTORY, &pebble.ca_file(), "");
    let mut edge = web.host.start_edge();
    edge.wait_for_log_count("a certificate was obtained", 2, PATIENCE);
    wait_until("both are in use", PATIENCE, || {
        pebble.visit("a.test").answered && pebble.visit("www.a.test").answered
    });
    let mut visits = 0;
    wait_until("both were renewed twice", PATIENCE, || {
        for name in ["a.test", "www.a.test"] {
            let visit = pebble.visit(name);
            assert!(visit.answered, "visit {visits}: {}", visit.said);
            visits += 1;
        }
        pebble.issued() >= 6
    });
    assert!(visits > 20, "{visits}");
}

/// Writes a certificate for `name`, which began so many days ago and ends in so many, where the edge keeps its own. Returns who
/// vouches for it.
fn leave_certificate(web: &Web, directory: &str, name: &str, days: (u32, u32)) -> PathBuf {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority
        .distinguished_name
        .push(DnType::CommonName, "an old authority");
    let key = KeyPair::generate().unwrap();
    let root = web
        .host
        .write("old-root.pem", &authority.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(authority, key);
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    let day = Duration::from_secs(24 * 3600);
    params.not_before = (SystemTime::now() - days.0 * day).into();
    params.not_after = (SystemTime::now() + days.1 * day).into();
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    let pem = params.signed_by(&key, &issuer).unwrap().pem() + &key.serialize_pem();
    let folder = web.folder(directory);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{name}.pem")), pem).unwrap();
    root
}

#[test]
fn an_authority_that_fails_takes_no_certificate_away_and_is_not_hammered() {
    let web = Web::new();
    let authority = FaultyCa::start(&web.host.namespace, Fault::Garbage);
    let root = leave_certificate(&web, "127.0.0.1_14001_dir", "a.test", (83, 7));
    web.configure(FaultyCa::DIRECTORY, &authority.ca_file(), "");
    web.want_one_name();
    let mut edge = web.host.start_edge();
    let mut failures = 0;
    let mut failed = |edge: &mut secbeat_tests::lab::process::Daemon, why: &str, pause_ms: i64| {
        failures += 1;
        edge.wait_for_log_count("no certificate was obtained", failures, PATIENCE);
        let certificate = web.certificate();
        assert_eq!(certificate["failures"], failures, "{certificate}");
        assert!(
            certificate["error"].as_str().unwrap().contains(why),
            "{certificate}"
        );
        let next = certificate["next_attempt_ms"].as_i64().unwrap() - now_ms();
        assert!((pause_ms - MINUTE_MS..=pause_ms).contains(&next), "{next}");
        let visit = visit(&web.host.namespace, &root, "a.test");
        assert!(visit.answered, "{}", visit.said);
    };
    failed(&mut edge, "JSON", 10 * MINUTE_MS);
    let status = web.status();
    assert!(status.contains("1 ATTEMPTS FAILED: "), "{status}");
    // An operator need not wait.
    authority.set(Fault::Broken);
    edge.signal(libc::SIGHUP);
    failed(&mut edge, "500 Internal Server Error", 20 * MINUTE_MS);
    authority.set(Fault::RateLimited(7200));
    edge.signal(libc::SIGHUP);
    failed(&mut edge, "too many accounts", 120 * MINUTE_MS);
    let metrics = web.metrics();
    assert!(
        metrics.contains("secbeat_edge_proxy_certificate_failures{name=\"a.test\"} 3"),
        "{metrics}"
    );
    // Unless the authority says so; also to one that has just started.
    let asked = authority.asked();
    edge.signal(libc::SIGHUP);
    edge.wait_for_log_count("the config is reloaded", 3, PATIENCE);
    let waits = || {
        let next = web.certificate()["next_attempt_ms"].as_i64();
        next.is_some_and(|next| next > now_ms() + 110 * MINUTE_MS)
    };
    wait_until("the authority's word counts after a reload", PATIENCE, waits);
    edge.terminate(PATIENCE);
    let mut edge = web.host.start_edge();
    edge.wait_for_log("running", PATIENCE);
    wait_until("the authority's word counts after a restart", PATIENCE, waits);
    assert_eq!(authority.asked(), asked);
}

#[test]
fn without_a_certificate_handshakes_are_refused_and_the_rest_goes_on() {
    let web = Web::new();
    let authority = FaultyCa::start(&web.host.namespace, Fault::Silent);
    web.configure(FaultyCa::DIRECTORY, &authority.ca_file(), "");
    let mut edge = web.host.start_edge();
    wait_until("the authority is asked", PATIENCE, || {
        !authority.asked().is_empty()
    });
    let visit = visit(&web.host.namespace, &authority.ca_file(), "a.test");
    assert_eq!(visit.code, NO_HANDSHAKE, "{}", visit.said);
    assert!(visit.said.contains("alert"), "{}", visit.said);
    assert_eq!(web.get("http://127.0.0.1:80/").0, 308);
    assert!(
        web.status().contains("certificate  a.test: NONE YET"),
        "{}",
        web.status()
    );
    assert!(
        web.metrics()
            .contains("secbeat_edge_proxy_certificate_expiry_timestamp_seconds{name=\"a.test\"} 0"),
        "{}",
        web.metrics()
    );
    // Nobody waits for an answer that does not come.
    edge.terminate(Duration::from_secs(10));
}

#[test]
fn an_edge_that_is_killed_in_the_middle_of_an_order_begins_it_anew() {
    let web = Web::new();
    let manners = Manners {
        is_slow: true,
        ..Manners::default()
    };
    let mut pebble = Pebble::start(&web.host.namespace, manners);
    web.configure(Pebble::DIRECTORY, &pebble.ca_file(), "");
    let mut edge = web.host.start_edge();
    pebble.daemon().wait_for_log("POST /chalZ/", PATIENCE);
    edge.kill9();
    let mut edge = web.host.start_edge();
    edge.wait_for_log_count("a certificate was obtained", 2, 2 * PATIENCE);
    wait_until("it is in use", PATIENCE, || pebble.visit("a.test").answered);
    assert_eq!(
        pebble
            .daemon()
            .log()
            .matches("POST /sign-me-up -> calling")
            .count(),
        1,
        "one account"
    );
}

#[test]
fn a_certificate_is_renewed_when_the_authority_wants_that() {
    let web = Web::new();
    let authority = FaultyCa::start(&web.host.namespace, Fault::WantsRenewal);
    // By its life it would be renewed in 50 days.
    let root = leave_certificate(&web, "127.0.0.1_14001_dir", "a.test", (10, 80));
    let key = URL_SAFE_NO_PAD.encode(KeyPair::generate().unwrap().serialize_der());
    let account = serde_json::json!({
        "contact": [],
        "credentials": {
            "id": "https://127.0.0.1:14001/accounts/1",
            "key_pkcs8": key,
            "directory": FaultyCa::DIRECTORY,
        },
    });
    let file = web.folder("127.0.0.1_14001_dir").join("account.json");
    fs::write(file, account.to_string()).unwrap();
    web.configure(FaultyCa::DIRECTORY, &authority.ca_file(), "");
    web.want_one_name();
    let mut edge = web.host.start_edge();
    edge.wait_for_log("no certificate was obtained", PATIENCE);
    let asked = authority.asked();
    let (about, _) = asked
        .iter()
        .find(|(line, _)| line.starts_with("GET /renewal/"))
        .unwrap();
    let id = about.split(['/', ' ']).nth(3).unwrap();
    let orders: Vec<_> = asked
        .iter()
        .filter(|(line, _)| line.starts_with("POST /order"))
        .collect();
    let [(_, order)] = orders.as_slice() else {
        panic!("one order: {asked:?}")
    };
    let order: Value = serde_json::from_str(order).unwrap();
    let payload = URL_SAFE_NO_PAD
        .decode(order["payload"].as_str().unwrap())
        .unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload["replaces"], id, "the order says what it is for");
    assert!(visit(&web.host.namespace, &root, "a.test").answered);
}
