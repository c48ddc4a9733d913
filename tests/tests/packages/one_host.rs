//! The package of one host, in a Debian with nginx and sshd, which systemd boots.

use std::{net::IpAddr, time::Duration};

use secbeat_tests::lab::{
    booted::{Booted, Surroundings},
    client::Client,
    executable::TestProgram,
    sshd,
    wait::wait_until,
};

use super::debian::{files, folder, one_host};

const PATIENCE: Duration = Duration::from_secs(30);
const SITE: &str = "http://198.51.100.1:80/";
const HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));
/// Guesses passwords, as [`Surroundings::ATTACKER`] asks for what is not there.
const GUESSER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 3));

fn get(around: &Surroundings, path: &str) -> std::io::Result<u16> {
    let mut client = Client::new(&around.attacker).with_timeout(Duration::from_millis(300));
    client.get(&format!("{SITE}{path}"))
}

#[test]
#[ignore = "`cargo xtask dist --verify` makes what it needs"]
fn one_package_protects_nginx_and_sshd_without_an_edit_and_purges_without_a_trace() {
    let around = Surroundings::new();
    // It makes the interface the one to protect.
    around.host.ip(&["route", "add", "default", "dev", "to-attacker"]);
    around
        .attacker
        .ip(&["addr", "add", &format!("{GUESSER}/24"), "dev", "eth0"]);
    let dist = folder("SECBEAT_DIST");
    let (now, later) = (one_host(&dist), one_host(&dist.join("later")));
    let booted = Booted::boot_other(
        &around.host,
        &folder("SECBEAT_DEBIAN"),
        &[now.clone(), later.clone()],
    );
    for server in ["nginx", "ssh"] {
        booted.ask(TestProgram::Systemctl, &["start", server]);
    }
    wait_until("nginx answers", PATIENCE, || {
        get(&around, "").is_ok_and(|status| status == 200)
    });
    let before = files(&booted);
    let package =
        |path: &std::path::Path| format!("/packages/{}", path.file_name().unwrap().to_string_lossy());

    // As for somebody who came over SSH, and cannot be locked out.
    let install = format!(
        "export SSH_CONNECTION='198.51.100.20 50000 {HOST} 22'; dpkg --install {}",
        package(&now)
    );
    let said = booted.ask(TestProgram::Bash, &["-ec", &install]);
    for found in ["to-attacker", "/var/log/nginx/access.log", "sshd", "mode"] {
        assert!(said.contains(found), "setup does not tell of {found}: {said}");
    }
    wait_until("the unit is active", PATIENCE, || booted.is_active("secbeat"));
    let config = booted.ask(TestProgram::Cat, &["/etc/secbeat/secbeat.toml"]);
    assert!(
        config.contains("mode = \"enforce\"") && config.contains("198.51.100.20"),
        "{config}"
    );
    for installed in [
        "/usr/share/man/man1/secbeat-setup.1.gz",
        "/usr/share/bash-completion/completions/secbeat",
        "/usr/share/secbeat/secbeat.schema.json",
    ] {
        booted.ask(TestProgram::Test, &["-s", installed]);
    }

    for n in 0..50 {
        assert_eq!(get(&around, &format!("missing-{n}")).unwrap(), 404, "request {n}");
    }
    let bans = || booted.secbeat(&["bans", "-o", "json"]);
    wait_until("nginx's attacker is banned", PATIENCE, || {
        bans().contains(Surroundings::ATTACKER)
    });
    assert!(get(&around, "").is_err(), "a banned client was answered");
    for n in 0..5 {
        assert!(
            sshd::attempt(&around.attacker, GUESSER, HOST, n),
            "login {n} got no answer"
        );
    }
    wait_until("sshd's attacker is banned", PATIENCE, || {
        bans().contains(&GUESSER.to_string())
    });
    assert!(
        !sshd::attempt(&around.attacker, GUESSER, HOST, 6),
        "a banned client was answered"
    );
    for service in ["sshd", "ssh"] {
        let status = booted.secbeat(&["status", service]);
        assert!(status.contains("verified in the kernel"), "{status}");
    }

    let invocation = booted.property("secbeat", "InvocationID");
    booted.ask(TestProgram::Dpkg, &["--install", &package(&later)]);
    wait_until("the unit was restarted", PATIENCE, || {
        assert!(get(&around, "").is_err(), "a banned client was answered");
        booted.is_active("secbeat") && booted.property("secbeat", "InvocationID") != invocation
    });
    wait_until("both bans are listed again", PATIENCE, || {
        bans().contains(Surroundings::ATTACKER) && bans().contains(&GUESSER.to_string())
    });

    let none = |when: &str| assert_eq!(around.host.xdp_on("to-attacker"), None, "{when}");
    booted.ask(TestProgram::Dpkg, &["--remove", "secbeat"]);
    none("a program without its daemon");
    let said = booted.ask(TestProgram::Dpkg, &["--install", &package(&later)]);
    assert!(said.contains("systemctl enable --now secbeat"), "{said}");
    booted.ask(TestProgram::Systemctl, &["enable", "--now", "secbeat"]);
    wait_until("it protects again, by the bans in its store", PATIENCE, || {
        around.host.xdp_on("to-attacker").is_some() && get(&around, "").is_err()
    });

    booted.ask(TestProgram::Dpkg, &["--purge", "secbeat"]);
    none("a program without its daemon");
    let after = files(&booted);
    let left: Vec<&String> = after.difference(&before).collect();
    assert!(left.is_empty(), "the purged package has left {left:?}");
    let lost: Vec<&String> = before.difference(&after).collect();
    assert!(lost.is_empty(), "the purged package has taken {lost:?} with it");

    // Asked for, it is a dry run from the first moment on, also for somebody who cannot be locked out.
    booted.ask(
        TestProgram::Bash,
        &["-ec", &format!("export SECBEAT_SETUP=observe; {install}")],
    );
    let config = booted.ask(TestProgram::Cat, &["/etc/secbeat/secbeat.toml"]);
    assert!(config.contains("mode = \"observe\""), "{config}");
}
