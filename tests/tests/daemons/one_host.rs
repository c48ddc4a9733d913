//! One host: both daemons in one process, over a store instead of a broker.

use std::{fs, net::IpAddr, time::Duration};

use secbeat_common::maps::{origin, reason};
use secbeat_tests::lab::{one_host::OneHost, paths, visitor::Visitor, wait::wait_until};

const SOON: Duration = Duration::from_secs(10);
/// The owner's default.
const ERRORS: u32 = 50;

fn await_ban(host: &OneHost, address: IpAddr) {
    let ban = wait_until("the kernel has the ban", SOON, || host.ban_of(address));
    assert_eq!((ban.reason, ban.origin), (reason::ERROR_FLOOD, origin::FLEET));
}

fn assert_shut_out(host: &OneHost, address: IpAddr) {
    let answer = host.client(address).get(&host.url(address, "/"));
    assert!(answer.is_err(), "a banned client was answered {answer:?}");
}

#[test]
fn one_process_bans_in_the_kernel_and_nobody_else_is_shut_out() {
    let host = OneHost::start("");
    let visitor = Visitor::start(host.client(OneHost::VISITOR), &host.url(OneHost::VISITOR, "/"));
    for attacker in [OneHost::ATTACKER, OneHost::OTHER_ATTACKER] {
        host.fail(attacker, ERRORS - 1);
        wait_until("49 errors are counted", SOON, || {
            host.errors_of(attacker) == Some(u64::from(ERRORS - 1))
        });
        assert_eq!(host.ban_of(attacker), None, "49 errors banned");
        host.fail(attacker, 1);
        await_ban(&host, attacker);
        assert_shut_out(&host, attacker);
    }
    let report = visitor.stop();
    assert!(report.requests > 10 && report.failures.is_empty(), "{report:?}");
    assert_eq!(host.ban_of(OneHost::VISITOR), None);
}

#[test]
fn what_was_counted_before_a_kill_counts_after_it() {
    let mut host = OneHost::start("");
    host.fail(OneHost::ATTACKER, 30);
    wait_until("30 errors are counted, and the log is done with", SOON, || {
        host.errors_of(OneHost::ATTACKER) == Some(30) && host.is_log_done()
    });
    host.kill9();
    host.start_again();
    wait_until("the errors are counted anew", SOON, || {
        host.errors_of(OneHost::ATTACKER) == Some(30)
    });
    host.fail(OneHost::ATTACKER, 19);
    wait_until("49 errors are counted", SOON, || {
        host.errors_of(OneHost::ATTACKER) == Some(49)
    });
    assert_eq!(host.ban_of(OneHost::ATTACKER), None, "49 errors banned");
    host.fail(OneHost::ATTACKER, 1);
    await_ban(&host, OneHost::ATTACKER);
}

#[test]
fn bans_outlive_a_kill_a_stop_and_a_reboot() {
    let mut host = OneHost::start("");
    host.fail(OneHost::ATTACKER, ERRORS);
    await_ban(&host, OneHost::ATTACKER);
    let until = host
        .ban_of(OneHost::ATTACKER)
        .map_or(0, |ban| ban.expires_boot_ns);
    host.kill9();
    assert_shut_out(&host, OneHost::ATTACKER);
    host.start_again();
    // It is reckoned again, by a clock that was measured anew.
    let now = host
        .ban_of(OneHost::ATTACKER)
        .map_or(0, |ban| ban.expires_boot_ns);
    assert!(now.abs_diff(until) < 100_000_000, "{now} {until}");
    host.stop();
    assert_shut_out(&host, OneHost::ATTACKER);
    host.lose_the_kernel();
    assert_eq!(
        host.client(OneHost::ATTACKER)
            .get(&host.url(OneHost::ATTACKER, "/"))
            .unwrap(),
        200
    );
    host.start_again();
    await_ban(&host, OneHost::ATTACKER);
    assert_shut_out(&host, OneHost::ATTACKER);
}

#[test]
fn a_store_that_is_gone_or_was_emptied_lifts_no_ban() {
    let mut host = OneHost::start("");
    let office = "198.51.100.0/24";
    assert!(host.secbeat(&["allowlist", "add", office]).status.success());
    host.fail(OneHost::ATTACKER, ERRORS);
    await_ban(&host, OneHost::ATTACKER);

    // Whoever starts it a second time does not get at the store.
    let config = fs::read_to_string(host.config()).unwrap();
    let two = host.config().with_file_name("two.toml");
    let pins = host.pin_folder().display().to_string();
    let listen = "api_listen = \"127.0.0.1:3041\"\napi_socket = \"\"\n";
    let other = format!("{listen}{}", config.replace(&pins, &format!("{pins}-two")));
    fs::write(&two, other).unwrap();
    let (object, two) = (paths::bpf_object(), two.to_str().unwrap());
    let object = object.to_str().unwrap();
    let second = host.run("secbeat", &["run", "--bpf-object", object, "--config", two]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("another"), "{said}");

    for (remains, said) in [(false, "IS GONE"), (true, "WAS EMPTIED")] {
        host.stop();
        match remains {
            false => fs::remove_file(host.store()).unwrap(),
            true => fs::write(host.store(), "").unwrap(),
        }
        host.start_again();
        assert!(
            host.log().contains(&format!("THE STORE {said}")),
            "{}",
            host.log()
        );
        let banned = wait_until("the store has the ban", SOON, || {
            let bans = host.secbeat(&["bans"]);
            let bans = String::from_utf8_lossy(&bans.stdout).into_owned();
            bans.contains("203.0.113.7/32").then_some(bans)
        });
        assert!(banned.contains("error-flood"), "{banned}");
        assert_shut_out(&host, OneHost::ATTACKER);
        let allowed = host.secbeat(&["allowlist", "list"]);
        assert!(
            String::from_utf8_lossy(&allowed.stdout).contains(office),
            "{allowed:?}"
        );
    }
    assert!(host.secbeat(&["unban", "203.0.113.7"]).status.success());
    wait_until("the ban is lifted", SOON, || {
        host.ban_of(OneHost::ATTACKER).is_none()
    });
}
