//! From an authority of which nobody gets any.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use secbeat_tests::lab::{
    faulty_ca::{Fault, FaultyCa},
    pebble::visit,
    process::Daemon,
    wait::wait_until,
};
use serde_json::Value;

use super::{
    MINUTE_MS, PATIENCE,
    web::{Web, leave_account, now_ms},
};

/// curl could not shake hands.
const NO_HANDSHAKE: Option<i32> = Some(35);

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
    let mut failed = |edge: &mut Daemon, why: &str, pause_ms: i64| {
        failures += 1;
        edge.wait_for_log_count("no certificate was obtained", failures, PATIENCE);
        // It is told a moment after it is logged.
        let certificate = wait_until("the failure is counted", PATIENCE, || {
            let certificate = web.certificate();
            (certificate["failures"] == failures).then_some(certificate)
        });
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
    let check = web.check();
    assert!(
        check.contains("ok       ACME, tls-alpn-01: the certificate authority asks at port 443"),
        "{check}"
    );
    let path = web.host.file("edge.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("127.0.0.1:443", "127.0.0.1:8443")).unwrap();
    let check = web.check();
    assert!(check.contains("note     ACME, tls-alpn-01: "), "{check}");
    // Nobody waits for an answer that does not come.
    edge.terminate(Duration::from_secs(10));
}

#[test]
fn a_certificate_is_renewed_when_the_authority_wants_that() {
    let web = Web::new();
    let authority = FaultyCa::start(&web.host.namespace, Fault::WantsRenewal);
    // By its life it would be renewed in 50 days.
    let root = leave_certificate(&web, "127.0.0.1_14001_dir", "a.test", (10, 80));
    let url = "https://127.0.0.1:14001/accounts/1";
    leave_account(&web, "127.0.0.1_14001_dir", FaultyCa::DIRECTORY, url);
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
