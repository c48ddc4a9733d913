use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use secbeat_edge_core::Life;

use super::{
    super::config::{AcmeConfig, Challenge},
    prepare,
    store::{Attempts, Store, inspect},
};

fn config(folder: &Path) -> AcmeConfig {
    AcmeConfig {
        domains: vec!["a.example".to_owned(), "b.example".to_owned()],
        contact: Vec::new(),
        directory: "https://ca.example/directory".to_owned(),
        challenge: Challenge::Http01,
        ca: None,
        external_account: None,
        folder: folder.join("acme/ca.example_directory"),
    }
}

/// A certificate for `name` of an authority, and its key, in PEM.
fn issue(name: &str) -> String {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(authority, KeyPair::generate().unwrap());
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2026, 4, 1);
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    format!("{}\n{}", certificate.pem(), key.serialize_pem())
}

#[test]
fn a_certificate_is_read_with_its_life_and_what_the_authority_calls_it() {
    let pem = issue("a.example");
    let certificate = inspect(pem.as_bytes(), "a.example").unwrap();
    let expected = Life {
        from_ms: 1_767_225_600_000,
        until_ms: 1_775_001_600_000,
    };
    assert_eq!(certificate.life, expected);
    assert!((0.0..=1.0).contains(&certificate.jitter));
    let id = certificate.id.unwrap().to_string();
    assert_eq!(id.split('.').count(), 2, "{id}");
}

#[test]
fn what_is_no_certificate_for_the_name_is_refused_with_the_reason() {
    let (own, other) = (issue("a.example"), issue("a.example"));
    let (chain, key) = own.split_once("\n\n").unwrap();
    let (_, other_key) = other.split_once("\n\n").unwrap();
    for (pem, name, reason) in [
        (own.clone(), "b.example", "not for b.example"),
        (chain.to_owned(), "a.example", "reading the key"),
        (key.to_owned(), "a.example", "there is no certificate"),
        (
            format!("{chain}\n{other_key}"),
            "a.example",
            "does not match the certificate",
        ),
        ("<html>".to_owned(), "a.example", "there is no certificate"),
        (own.replacen("MII", "AAA", 1), "a.example", ""),
    ] {
        let error = format!("{:#}", inspect(pem.as_bytes(), name).unwrap_err());
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn what_is_kept_is_read_again_and_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let store = Store::open(&config).unwrap();
    assert!(store.account().unwrap().is_none());
    assert!(store.certificate("a.example").is_none());
    let attempts = Attempts {
        failures: 3,
        error: Some("no".to_owned()),
        window_ms: Some((1, 2)),
        ..Attempts::default()
    };
    store.save_attempts("a.example", &attempts).unwrap();
    store
        .save_certificate("a.example", issue("a.example").as_bytes())
        .unwrap();
    let again = Store::open(&config).unwrap();
    assert_eq!(again.attempts("a.example"), attempts);
    assert_eq!(again.attempts("b.example"), Attempts::default());
    assert!(again.certificate("a.example").is_some());

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&config.folder), 0o700);
    for entry in fs::read_dir(&config.folder).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    // Garbage is no reason to stop.
    fs::write(config.folder.join("a.example.json"), "{").unwrap();
    assert_eq!(again.attempts("a.example"), Attempts::default());
    // For an account it is: there would be a new one at each start.
    fs::write(config.folder.join("account.json"), "{").unwrap();
    let error = format!("{:#}", again.account().err().unwrap());
    assert!(error.contains("account.json"), "{error}");
}

#[test]
fn a_certificate_that_cannot_be_used_is_put_aside_and_the_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let store = Store::open(&config).unwrap();
    for (name, pem) in [
        ("a.example", "torn".to_owned()),
        ("b.example", issue("b.example")),
    ] {
        store.save_certificate(name, pem.as_bytes()).unwrap();
    }
    prepare(Some(&config));
    let there = |name: &str| config.folder.join(name).exists();
    assert!(!there("a.example.pem") && there("a.example.pem.broken"));
    assert!(there("b.example.pem"));
}
