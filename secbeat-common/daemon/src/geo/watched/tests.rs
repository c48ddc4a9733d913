//! Files that change.

use super::{super::mmdb::Mmdb, *};

fn origin(country: &str, asn: u32) -> Origin {
    Origin {
        country: Some(country.to_owned()),
        asn: Some(asn),
        organisation: Some(format!("Provider {asn}")),
    }
}

fn written(path: &Path, networks: &[(&str, Origin)]) {
    let mut mmdb = Mmdb::default();
    for (network, origin) in networks {
        mmdb.insert(network.parse().unwrap(), origin).unwrap();
    }
    let bytes = mmdb.to_bytes("Test", 1_700_000_000);
    // As update programs do: another file takes the name.
    let new = path.with_extension("new");
    fs::write(&new, bytes).unwrap();
    fs::rename(&new, path).unwrap();
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

#[test]
fn addresses_and_networks_are_looked_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both.mmdb");
    let networks = [
        ("192.0.2.0/25", origin("DE", 64500)),
        ("192.0.2.128/25", origin("FR", 64501)),
        ("2001:db8:7::/48", origin("DE", 64500)),
    ];
    written(&path, &networks);
    let geo = Geo::check(&GeoConfig {
        country: Some(path.clone()),
        asn: Some(path),
    })
    .unwrap();
    assert_eq!(geo.of(&prefix("192.0.2.7")), origin("DE", 64500));
    assert_eq!(
        geo.of(&prefix("192.0.2.200/32")).to_string(),
        "FR, AS64501 Provider 64501"
    );
    assert_eq!(geo.of(&prefix("2001:db8:7:1::/64")), origin("DE", 64500));
    // Two countries have a part of it.
    assert!(geo.of(&prefix("192.0.2.0/24")).is_unknown());
    assert!(geo.of(&prefix("198.51.100.1")).is_unknown());
    assert!(geo.of(&prefix("2001:db8:8::/64")).is_unknown());
    let areas = vec![Area::Country("DE".to_owned()), Area::Asn(64501), Area::Asn(1)];
    let mut found = geo.networks(&Select::In(areas)).unwrap();
    found.networks.sort();
    assert_eq!(
        found.networks,
        ["192.0.2.0/25", "192.0.2.128/25", "2001:db8:7::/48"].map(prefix)
    );
    assert_eq!(found.missing, [Area::Asn(1)]);
    let others = geo
        .networks(&Select::Except(vec!["FR".to_owned(), "XX".to_owned()]))
        .unwrap();
    assert_eq!(others.networks.len(), 2, "{others:?}");
    assert!(!others.networks.contains(&prefix("192.0.2.128/25")));
    assert_eq!(others.missing, [Area::Country("XX".to_owned())]);
    let [file] = &geo.files()[..] else {
        panic!("one file")
    };
    assert_eq!(
        (file.database.as_deref(), file.error.as_deref()),
        (Some("Test"), None)
    );
}

#[test]
fn a_changed_file_is_read_and_a_bad_one_keeps_the_last_good_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("country.mmdb");
    let config = GeoConfig {
        country: Some(path.clone()),
        asn: None,
    };
    let (key, error) = Geo::check(&config).unwrap_err();
    assert_eq!((key, error.as_str()), ("geo.country", "there is no such file"));
    let geo = Geo::open(&config);
    let changes = geo.changes();
    let look_twice = || {
        geo.look();
        geo.look();
    };
    written(&path, &[("192.0.2.0/24", origin("DE", 64500))]);
    geo.look();
    assert!(
        geo.of(&prefix("192.0.2.1")).is_unknown(),
        "it may still be being written"
    );
    geo.look();
    // The key for providers names no file.
    assert_eq!(geo.of(&prefix("192.0.2.1")).to_string(), "DE");
    assert!(
        geo.networks(&Select::In(vec![Area::Asn(64500)]))
            .unwrap_err()
            .contains("geo.asn names no file")
    );
    assert_eq!(*changes.borrow(), 1);
    let good = fs::read(&path).unwrap();
    for bad in [&b"<html>not found</html>"[..], &[], &good[..good.len() / 3]] {
        fs::write(&path, bad).unwrap();
        look_twice();
        assert_eq!(geo.of(&prefix("192.0.2.1")).to_string(), "DE");
        let error = geo.files()[0].error.clone().unwrap();
        assert!(error.contains("no MMDB file, or a damaged one"), "{error}");
    }
    fs::remove_file(&path).unwrap();
    look_twice();
    assert_eq!(geo.files()[0].error.as_deref(), Some("there is no such file"));
    assert_eq!(*changes.borrow(), 1);
    written(&path, &[("192.0.2.0/24", origin("FR", 64500))]);
    look_twice();
    assert_eq!(
        (
            geo.of(&prefix("192.0.2.1")).to_string().as_str(),
            *changes.borrow()
        ),
        ("FR", 2)
    );
    let asn_only = Origin {
        country: None,
        ..origin("", 64500)
    };
    written(&path, &[("192.0.2.0/24", asn_only)]);
    look_twice();
    let error = geo.files()[0].error.clone().unwrap();
    assert!(
        error.contains("the database `Test` names no countries"),
        "{error}"
    );
    assert_eq!(geo.of(&prefix("192.0.2.1")).to_string(), "FR");
}
