//! Static lists from files, through their life: taken, changed, refused, gone, kept without a daemon, removed.

use std::{fs, time::Duration};

use secbeat_tests::lab::{client::Client, host::Host, process::Daemon, wait::wait_until};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);
/// `SIGHUP` of `signal.h`.
const SIGHUP: i32 = 1;

fn start(host: &Host) -> Daemon {
    // With the rights of its unit: the thread that makes tables keeps no others.
    let mut edge = host.start_edge_as_unit();
    edge.wait_for_log("running", PATIENCE);
    edge
}

fn json(host: &Host, arguments: &[&str]) -> Value {
    let output = host.edge(&[arguments, &["-o", "json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// What the kernel does with a packet, the reason, and the lists that `test` names.
fn verdict(host: &Host, address: &str) -> (bool, String, Vec<String>) {
    let said = json(host, &["test", address]);
    let lists = said["lists"].as_array().unwrap().iter();
    let lists = lists.map(|list| {
        format!(
            "{} {}",
            list["name"].as_str().unwrap(),
            list["network"].as_str().unwrap()
        )
    });
    (
        said["dropped"].as_bool().unwrap(),
        said["why"].as_str().unwrap().to_owned(),
        lists.collect(),
    )
}

fn is_dropped(host: &Host, address: &str) -> bool {
    verdict(host, address).0
}

fn list(host: &Host, name: &str) -> Option<Value> {
    let status = json(host, &["status"]);
    let lists = status["lists"]["lists"].as_array().unwrap();
    lists.iter().find(|list| list["name"] == name).cloned()
}

fn problem(host: &Host, name: &str) -> Option<String> {
    Some(list(host, name)?["problem"].as_str()?.to_owned())
}

#[test]
fn a_list_follows_its_file_and_keeps_the_last_good_one() {
    let host = Host::new();
    let nets = |count: u32| -> String { (0..count).map(|n| format!("203.0.{n}.0/24\n")).collect() };
    let bad = host.write("bad.txt", &nets(100));
    let good = host.write("good.json", r#"["203.0.7.64/26", "2001:db8::/32"]"#);
    let lists = format!(
        "[[list]]\nname = \"bad\"\nfile = \"{}\"\nverdict = \"ban\"\n[[list]]\nname = \"good\"\nfile = \"{}\"\nverdict = \"allow\"\n[proxy]\n",
        bad.display(),
        good.display()
    );
    let config = host.edge_config().replace("[proxy]\n", &lists);
    host.write(
        "edge.toml",
        &format!("trusted_proxies = [\"127.0.0.1\"]\n{config}"),
    );
    let mut edge = start(&host);
    wait_until("both lists are in force", PATIENCE, || {
        is_dropped(&host, "203.0.7.1") && list(&host, "good").is_some()
    });
    assert_eq!(
        verdict(&host, "203.0.7.1"),
        (
            true,
            "203.0.0.0/18 is on the list bad".to_owned(),
            vec!["bad 203.0.0.0/18".to_owned()]
        )
    );
    let (dropped, why, on) = verdict(&host, "203.0.7.65");
    assert!(
        !dropped && why.contains("203.0.7.64/26 is on the list good, which allows"),
        "{why}"
    );
    assert_eq!(on.len(), 2);
    // A client that a proxy names, whom the kernel does not see. Nobody is behind this edge's own.
    let asked = |client: &str| {
        let named = [("x-forwarded-for", client)];
        let answer = Client::new(&host.namespace).request("GET", "http://127.0.0.1:8443/", &named, b"");
        answer.unwrap().status
    };
    let answers = ["203.0.7.1", "203.0.7.65", "198.51.100.1"].map(asked);
    assert_eq!(answers, [403, 502, 502]);
    let status = json(&host, &["status"]);
    assert_eq!(status["lists"]["agrees"], true, "{status}");
    assert!(
        status["kernel_memory"]["LIST_TABLE"].as_u64().unwrap() > 3_000_000,
        "{status}"
    );
    let of_bad = list(&host, "bad").unwrap();
    assert_eq!(
        (&of_bad["prefixes"], &of_bad["verdict"]),
        (&100.into(), &"ban".into())
    );
    assert!(of_bad["packets"].as_u64().unwrap() >= 2, "{of_bad}");

    // A changed file is taken by itself; one that is wrong, empty or much shorter is not, and says why.
    fs::write(&bad, nets(120)).unwrap();
    wait_until("the longer list is in force", PATIENCE, || {
        is_dropped(&host, "203.0.119.1")
    });
    for (text, why) in [
        (nets(50), "120 are in force"),
        (nets(110) + "203.0.300.1\n", "the first is 111: "),
        (nets(40), "holds 40 prefixes"),
    ] {
        fs::write(&bad, &text).unwrap();
        wait_until(&format!("the list says {why}"), PATIENCE, || {
            problem(&host, "bad").is_some_and(|problem| problem.contains(why))
        });
        assert!(is_dropped(&host, "203.0.119.1"), "after {text}");
    }
    fs::remove_file(&bad).unwrap();
    wait_until("the list misses its file", PATIENCE, || {
        problem(&host, "bad").is_some_and(|problem| problem.contains("No such file"))
    });
    assert!(is_dropped(&host, "203.0.119.1"));

    // Without a daemon, and after a start without the file.
    edge.kill9();
    assert!(is_dropped(&host, "203.0.119.1") && !is_dropped(&host, "203.0.7.65"));
    assert_eq!(verdict(&host, "203.0.119.1").2.len(), 1);
    drop(edge);
    let mut edge = start(&host);
    wait_until("the list misses its file", PATIENCE, || {
        problem(&host, "bad").is_some()
    });
    assert!(is_dropped(&host, "203.0.119.1"));

    // An operator's word takes what is much shorter; a list that is not configured any more is gone.
    fs::write(&bad, nets(10)).unwrap();
    wait_until("the short list is refused", PATIENCE, || {
        problem(&host, "bad").is_some_and(|problem| problem.contains("120 are in force"))
    });
    edge.signal(SIGHUP);
    wait_until("the short list is in force", PATIENCE, || {
        !is_dropped(&host, "203.0.119.1")
    });
    assert!(is_dropped(&host, "203.0.9.1"));
    assert_eq!(problem(&host, "bad"), None);
    host.reconfigure(
        "[proxy]\n",
        lists.split_at(lists.find("[[list]]\nname = \"good\"").unwrap()).1,
    );
    edge.signal(SIGHUP);
    wait_until("the list is gone", PATIENCE, || list(&host, "bad").is_none());
    assert!(!is_dropped(&host, "203.0.9.1"));
    assert!(list(&host, "good").is_some());
}

#[test]
fn a_list_too_large_is_said_and_protected_addresses_win() {
    let host = Host::new();
    let file = host.write("all.txt", "127.0.0.0/8\n198.51.100.0/24\n");
    let lists = format!(
        "[[list]]\nname = \"all\"\nfile = \"{}\"\nverdict = \"ban\"\n[protect]\nnetworks = [\"198.51.100.7\"]\n[kernel]\nlist_max_bytes = 3000000\n",
        file.display()
    );
    host.reconfigure("[kernel]\n", &lists);
    let edge = start(&host);
    wait_until("the list is refused", PATIENCE, || {
        problem(&host, "all").is_some_and(|problem| problem.contains("kernel.list_max_bytes = 3000000"))
    });
    assert_eq!(list(&host, "all").unwrap()["in_force"], false);
    assert!(!is_dropped(&host, "198.51.100.8"));
    drop(edge);
    host.reconfigure("[kernel]\n", &lists.replace("3000000", "30000000"));
    let _edge = start(&host);
    wait_until("the list is in force", PATIENCE, || {
        is_dropped(&host, "198.51.100.8")
    });
    // What the operator allows, and what the host needs.
    for protected in ["198.51.100.7", "127.0.0.1"] {
        let (dropped, why, _) = verdict(&host, protected);
        assert!(!dropped && why.contains("allowlisted"), "{protected}: {why}");
    }
}
