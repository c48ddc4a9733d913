//! From Pebble.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use secbeat_tests::lab::{
    pebble::{Manners, Pebble},
    wait::wait_until,
};

use super::{
    MINUTE_MS, PATIENCE,
    web::{Web, leave_account, now_ms},
};

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

    // A further name costs one order.
    let path = web.host.file("edge.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("\"www.a.test\"", "\"b.test\"")).unwrap();
    edge.signal(libc::SIGHUP);
    edge.wait_for_log("a certificate was obtained name=\"b.test\"", PATIENCE);
    seen("b.test");
    assert!(pebble.visit("a.test").answered);
    assert_eq!(pebble.issued(), 3);
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
fn an_account_that_the_authority_does_not_know_any_more_is_replaced() {
    let web = Web::new();
    let pebble = Pebble::start(&web.host.namespace, Manners::default());
    let url = "https://127.0.0.1:14000/my-account/1";
    leave_account(&web, "127.0.0.1_14000_dir", Pebble::DIRECTORY, url);
    web.configure(Pebble::DIRECTORY, &pebble.ca_file(), "");
    let mut edge = web.host.start_edge();
    edge.wait_for_log("does not know the account any more", PATIENCE);
    edge.wait_for_log_count("a certificate was obtained", 2, PATIENCE);
}
