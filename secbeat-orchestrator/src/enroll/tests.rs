use secbeat_common::{
    sign::{Signer, Trust, Untrusted},
    wire::Lift,
};
use secbeat_daemon::credentials::Role;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};
use uuid::Uuid;

use super::*;

fn founding(hosts: &[&str]) -> Founding {
    Founding {
        hosts: hosts.iter().map(ToString::to_string).collect(),
        servers: 1,
        cluster_port: 6222,
        listen: "[::]:4222".parse().unwrap(),
        store_dir: "/var/lib/nats".into(),
        nats_dir: None,
    }
}

fn lift() -> Lift {
    Lift {
        target: "198.51.100.7".parse().unwrap(),
        id: Uuid::nil(),
        expires_at_ms: 1,
    }
}

#[test]
fn what_an_orchestrator_signs_its_edges_obey_and_those_of_another_fleet_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let dir = |name: &str| folder.path().join(name);
    let load = |path: &Path, role| Credentials::load(path, role).unwrap().membership().unwrap();
    let mut ours = Fleet::found(&dir("ours"), &founding(&["nats.example.org", "192.0.2.1"])).unwrap();
    let mut theirs = Fleet::found(&dir("theirs"), &founding(&["2001:db8::1"])).unwrap();
    let orchestrator = load(&ours.credentials(FIRST_ORCHESTRATOR), Role::Orchestrator);
    let edge = load(&ours.enroll("edge-1", Role::Edge).unwrap(), Role::Edge);
    let foreign = load(&theirs.enroll("edge-1", Role::Edge).unwrap(), Role::Edge);
    assert_eq!(edge.servers.to_string(), "nats.example.org:4222");
    assert_eq!(edge.login.unwrap().name, "edge-1");
    let sealed = orchestrator.signer.seal(&lift(), 5).unwrap();
    let command = |trust: &Trust| trust.open::<Lift>(&sealed).map(|opened| opened.command);
    assert_eq!(command(&edge.trust), Ok(lift()));
    assert_eq!(command(&orchestrator.trust), Ok(lift()));
    assert!(matches!(command(&foreign.trust), Err(Untrusted::UnknownKey(_))));
    let unsigned = Signer::default().seal(&lift(), 5).unwrap();
    assert_eq!(edge.trust.open::<Lift>(&unsigned), Err(Untrusted::Unsigned));
}

#[test]
fn a_fleet_is_founded_once_and_a_name_is_taken_once() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("fleet");
    let error = |result: anyhow::Result<()>| format!("{:#}", result.unwrap_err());
    assert!(error(Fleet::open(&dir).map(drop)).contains("is not the folder of a fleet"));
    let mut fleet = Fleet::found(&dir, &founding(&["localhost"])).unwrap();
    let again = Fleet::found(&dir, &founding(&["localhost"])).map(drop);
    assert!(error(again).ends_with("is not empty: a fleet is founded once"));
    fleet.enroll("edge-1", Role::Edge).unwrap();
    let taken = fleet.enroll("edge-1", Role::Orchestrator).map(drop);
    assert_eq!(
        error(taken),
        "edge-1 is a member already, as an edge; `expel` it first"
    );
    let bad = fleet.enroll("edge.1", Role::Edge).map(drop);
    assert!(error(bad).starts_with("invalid name `edge.1`"));
    let members = |fleet: &Fleet| {
        fleet
            .members()
            .iter()
            .map(|member| member.name.clone())
            .collect::<Vec<_>>()
    };
    let mut read = Fleet::open(&dir).unwrap();
    assert_eq!(members(&read), [FIRST_ORCHESTRATOR, "edge-1"]);
    let nkey = read.members()[1].nkey.clone();
    let users = || fs::read_to_string(dir.join(NATS).join(NATS_USERS)).unwrap();
    assert!(users().contains(&nkey));
    read.expel("edge-1").unwrap();
    assert_eq!(
        error(read.expel("edge-1")),
        "no member `edge-1`: `secbeat-orchestrator members` lists them"
    );
    assert_eq!(members(&Fleet::open(&dir).unwrap()), [FIRST_ORCHESTRATOR]);
    assert!(!users().contains(&nkey) && !read.credentials("edge-1").exists());
}

#[test]
fn credentials_are_their_owners_alone_and_for_one_role() {
    let folder = tempfile::tempdir().unwrap();
    let mut fleet = Fleet::found(&folder.path().join("fleet"), &founding(&["localhost"])).unwrap();
    let path = fleet.enroll("edge-1", Role::Edge).unwrap();
    let error = |role| format!("{:#}", Credentials::load(&path, role).unwrap_err());
    assert!(error(Role::Orchestrator).ends_with("they are those of the edge edge-1, not of an orchestrator"));
    let mode = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    mode(0o644);
    assert!(error(Role::Edge).contains("others may read or write the file (mode 644)"));
    mode(0o600);
    let text = fs::read_to_string(&path).unwrap();
    let seed = text
        .lines()
        .find_map(|line| line.strip_prefix("nkey = "))
        .unwrap();
    for (from, to, complaint) in [
        (
            seed,
            "\"SUXX\"",
            "nkey: not the seed of a user, which begins with SU",
        ),
        (
            "trusted_keys = [\"V",
            "trusted_keys = [\"W",
            "trusted_keys: no public key of a signer",
        ),
        (
            "role = \"edge\"",
            "role = \"guest\"",
            "role: invalid value `guest`: expected",
        ),
        ("tls://localhost:4222", "tls://:4222", "expected one such as"),
        ("BEGIN CERTIFICATE", "BEGIN NOTHING", "ca: "),
    ] {
        fs::write(&path, text.replace(from, to)).unwrap();
        let error = error(Role::Edge);
        assert!(error.contains(complaint) && !error.contains(seed), "{error}");
    }
}

#[test]
fn each_server_of_a_cluster_has_a_folder_and_members_know_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("fleet");
    let cluster = |servers, hosts: &[&str]| Founding {
        servers,
        ..founding(hosts)
    };
    for (servers, hosts, complaint) in [
        (2, &["a", "b"][..], "2 servers: use 3 or 5"),
        (3, &["a", "b"], "3 servers need 3 hosts, and 2 are named"),
        (3, &["a", "b", "b"], "a host is named twice"),
    ] {
        let error = Fleet::found(&dir, &cluster(servers, hosts)).unwrap_err();
        assert!(format!("{error:#}").contains(complaint), "{error:#}");
    }
    let hosts = ["a.example.org", "b.example.org", "2001:db8::1"];
    let mut fleet = Fleet::found(&dir, &cluster(3, &hosts)).unwrap();
    let edge = fleet.enroll("edge-1", Role::Edge).unwrap();
    let edge = Credentials::load(&edge, Role::Edge)
        .unwrap()
        .membership()
        .unwrap();
    assert_eq!(
        edge.servers.to_string(),
        "a.example.org:4222, b.example.org:4222, 2001:db8::1:4222"
    );
    let nkey = fleet.members()[1].nkey.clone();
    for (index, config) in fleet.nats_configs().iter().enumerate() {
        let text = fs::read_to_string(config).unwrap();
        assert!(
            text.contains(&format!("server_name: \"nats-{}\"", index + 1)),
            "{text}"
        );
        let routes: Vec<_> = text.lines().filter(|line| line.contains(":6222\"")).collect();
        assert_eq!(routes.len(), 3, "where it listens, and two others: {text}");
        assert!(
            !text.contains(&format!("tls://{}:6222", in_url(hosts[index]))),
            "{text}"
        );
        let users = config.with_file_name(NATS_USERS);
        assert!(fs::read_to_string(users).unwrap().contains(&nkey));
    }
    let read = Fleet::open(&dir).unwrap();
    assert_eq!(read.nats_configs(), fleet.nats_configs());
}

/// When the first certificate in the file ends, in days from now.
fn days(path: &Path) -> i64 {
    let certificate = CertificateDer::from_pem_file(path).unwrap();
    (secbeat_daemon::expiry::end(&certificate).unwrap() - secbeat_daemon::time::now_ms()) / (24 * 3_600_000)
}

#[test]
fn certificates_end_and_new_ones_are_taken_by_whom_was_there_before() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("fleet");
    let mut fleet = Fleet::found(&dir, &founding(&["nats.example.org", "192.0.2.1"])).unwrap();
    let (ca, server) = (dir.join(CA), dir.join(NATS).join(SERVER));
    assert!((728..=730).contains(&days(&server)), "{}", days(&server));
    assert!((3648..=3650).contains(&days(&ca)), "{}", days(&ca));
    let edge = fleet.enroll("edge-1", Role::Edge).unwrap();
    let before = Credentials::load(&edge, Role::Edge).unwrap();
    let shown = fs::read(&server).unwrap();
    Fleet::open(&dir).unwrap().renew().unwrap();
    assert_ne!(fs::read(&server).unwrap(), shown);
    // By what the edge has trusted from the beginning.
    let trusted = CertificateDer::from_pem_slice(before.ca.as_ref().unwrap().as_bytes()).unwrap();
    let anchor = webpki::anchor_from_trusted_cert(&trusted).unwrap();
    let certificate = CertificateDer::from_pem_file(&server).unwrap();
    let certificate = webpki::EndEntityCert::try_from(&certificate).unwrap();
    certificate
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &[anchor],
            &[],
            UnixTime::now(),
            webpki::KeyUsage::server_auth(),
            None,
            None,
        )
        .unwrap();
    for host in ["nats.example.org", "192.0.2.1"] {
        let name = ServerName::try_from(host).unwrap();
        certificate.verify_is_valid_for_subject_name(&name).unwrap();
    }
}

#[test]
fn a_member_has_two_keys_while_it_gets_new_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("fleet");
    let mut fleet = Fleet::found(&dir, &founding(&["localhost"])).unwrap();
    let path = fleet.enroll("edge-1", Role::Edge).unwrap();
    let error = |result: anyhow::Result<()>| format!("{:#}", result.unwrap_err());
    assert_eq!(
        error(fleet.retire("edge-1")),
        "edge-1 has no earlier key that is let in"
    );
    assert_eq!(
        error(fleet.renew_member("edge-2").map(drop)),
        "no member `edge-2`: `secbeat-orchestrator members` lists them"
    );
    let earlier = fleet.members()[1].nkey.clone();
    let before = fs::read(&path).unwrap();
    fleet.renew_member("edge-1").unwrap();
    assert_ne!(fs::read(&path).unwrap(), before);
    let mut fleet = Fleet::open(&dir).unwrap();
    let later = fleet.members()[1].nkey.clone();
    let users = || fs::read_to_string(dir.join(NATS).join(NATS_USERS)).unwrap();
    assert!(users().contains(&earlier) && users().contains(&later));
    assert!(error(fleet.renew_member("edge-1").map(drop)).starts_with("an earlier key of edge-1"));
    fleet.retire("edge-1").unwrap();
    assert!(!users().contains(&earlier) && users().contains(&later));
}

#[test]
fn many_are_enrolled_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("fleet");
    let mut fleet = Fleet::found(&dir, &founding(&["localhost"])).unwrap();
    let mut enroll = |names: &[&str]| {
        let enrolled = fleet.enroll_all(names, Role::Edge);
        let here = fleet.members().len();
        let stored = Fleet::open(&dir).unwrap().members().len();
        assert_eq!(here, stored);
        (enrolled.map_err(|error| format!("{error:#}")), here - 1)
    };
    let twice = Err("edge-1 is named twice".to_owned());
    assert_eq!(enroll(&["edge-1", "edge-2", "edge-1"]), (twice, 0));
    // Credentials of somebody who is no member are in the way of the second.
    let file = dir.join(CREDENTIALS).join("edge-2.toml");
    fs::write(&file, "").unwrap();
    let (failed, members) = enroll(&["edge-1", "edge-2"]);
    assert!(failed.unwrap_err().contains("edge-2.toml") && members == 0);
    assert!(!dir.join(CREDENTIALS).join("edge-1.toml").exists());
    fs::remove_file(&file).unwrap();
    assert_eq!(enroll(&["edge-1", "edge-2"]), (Ok(()), 2));
    let users = fs::read_to_string(dir.join(NATS).join(NATS_USERS)).unwrap();
    for member in Fleet::open(&dir).unwrap().members() {
        assert!(users.contains(&member.nkey), "{member:?}");
        let path = dir.join(CREDENTIALS).join(format!("{}.toml", member.name));
        assert!(Credentials::load(&path, member.role).is_ok());
    }
}
