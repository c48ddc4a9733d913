//! Configs that cannot be used: one line that names the file, the line and the key, and exit code 64.

use secbeat_tests::lab::host::{Host, assert_refused};

const USAGE: i32 = 64;

/// Both `run` and `check` of the edge refuse its config with `from` replaced by `to`.
#[track_caller]
fn edge_refuses(from: &str, to: &str, parts: &[&str]) {
    let host = Host::new();
    host.reconfigure(from, to);
    for command in ["check", "run"] {
        assert_refused(&host.edge(&[command]), USAGE, parts);
    }
    assert!(!host.pin_folder().exists(), "a refused config left pins");
}

/// Both `run` and `check` of the orchestrator refuse `config`.
#[track_caller]
fn orchestrator_refuses(config: &str, parts: &[&str]) {
    let host = Host::new();
    let path = host.write("orchestrator.toml", config);
    for command in ["check", "run"] {
        let output = host.run(
            "secbeat-orchestrator",
            &[command, "--config", path.to_str().unwrap()],
        );
        assert_refused(&output, USAGE, parts);
    }
}

#[test]
fn an_unknown_key_is_named_with_its_file_and_line() {
    edge_refuses(
        "ban_slots",
        "ban_slot",
        &["edge.toml:8: kernel.ban_slot: unknown key"],
    );
    edge_refuses("[nats]", "[natts]", &["edge.toml:12: natts: unknown key"]);
    orchestrator_refuses(
        "[detect]\nmax_source = 5\n",
        &["orchestrator.toml:2: detect.max_source: unknown key"],
    );
    orchestrator_refuses(
        "[detect]\nsources = { ipv4 = 24, ipv6 = 96 }\n",
        &[
            "orchestrator.toml:2: detect.sources",
            "invalid IPv6 prefix length /96: expected /19 to /64",
        ],
    );
    orchestrator_refuses("port = 5\n", &["orchestrator.toml:1: port: unknown key"]);
}

#[test]
fn an_access_log_that_cannot_be_followed_is_named_with_its_key() {
    let entry = |lines: &str| format!("[[access_log]]\n{lines}\n[nats]");
    edge_refuses(
        "[nats]",
        &entry("path = \"/var/log/[\""),
        &["edge.toml:13: access_log[0].path: invalid pattern `/var/log/[`"],
    );
    edge_refuses(
        "[nats]",
        &entry("path = \"/a\"\nformat = \"w3c\""),
        &["edge.toml:14: access_log[0].format", "w3c"],
    );
    edge_refuses(
        "[nats]",
        &entry(""),
        &["edge.toml:12: access_log[0]: missing: set `path`"],
    );
    edge_refuses(
        "[nats]",
        &entry("path = \"/proc/1\"\n[[access_log]]\npath = \"/b\""),
        &["edge.toml:13: access_log[0].path: cannot follow /proc/1: it is a folder"],
    );
    edge_refuses(
        "[nats]",
        &entry("path = \"/b\"\n[[access_log]]\npath = \"/b\""),
        &["edge.toml:15: access_log[1].path: /b is in two entries"],
    );
}

#[test]
fn a_value_that_cannot_be_is_named_with_its_file_and_line() {
    edge_refuses("4096", "0", &["edge.toml:8: kernel.ban_slots: ", "0"]);
    edge_refuses(
        "edge-1",
        "edge 1",
        &["edge.toml:1: edge_id: invalid edge id `edge 1`"],
    );
    edge_refuses(
        "\"both\"",
        "\"some\"",
        &["edge.toml:2: enforcement: ", "`some`", "`kernel`"],
    );
    edge_refuses(":8443", "", &["edge.toml:10: proxy.listen: ", "socket address"]);
    edge_refuses(
        ":8000",
        ":8000/app",
        &[
            "edge.toml:11: proxy.upstream: ",
            "/app` has",
            "path",
            "http://host:port",
        ],
    );
    edge_refuses(
        "nats://127.0.0.1:4222",
        "nats://:x",
        &["edge.toml:13: nats.url: invalid NATS address `nats://:x`"],
    );
    edge_refuses(
        "[nats]",
        "[bans]\nmax_duration = \"soon\"\n[nats]",
        &["edge.toml:13: bans.max_duration: invalid duration `soon`"],
    );
    edge_refuses(
        "[nats]",
        "[protect]\nnetworks = [\"home\"]\n[nats]",
        &["edge.toml:13: protect.networks", "`home`"],
    );
    edge_refuses(
        "[nats]",
        "[protect]\nnetworks = [\"::/0\"]\n[nats]",
        &["edge.toml:13: protect.networks", "::/0", "2000::/3"],
    );
    let entry = |lines: &str| format!("[[protect.allow]]\n{lines}\n[nats]");
    edge_refuses(
        "[nats]",
        &entry("network = \"203.0.113.0/33\""),
        &["edge.toml:13: protect.allow[0].network: ", "33"],
    );
    edge_refuses(
        "[nats]",
        &entry("comment = \"office\""),
        &["edge.toml:12: protect.allow[0]", "missing field `network`"],
    );
    edge_refuses(
        "[nats]",
        &entry("network = \"203.0.113.7\"\nuntil = 2026-12-31T00:00:00"),
        &[
            "edge.toml:14: protect.allow[0].until: ",
            "invalid time `2026-12-31T00:00:00`: expected one with a zone, such as 2026-12-31T00:00:00Z",
        ],
    );
    edge_refuses(
        "[nats]",
        &entry("network = \"203.0.113.7\"\nuntil = \"tomorrow\""),
        &["edge.toml:14: protect.allow[0].until: "],
    );
    edge_refuses(
        "[nats]",
        &entry("network = \"203.0.113.7\"\nuntill = 2026-12-31T00:00:00Z"),
        &["edge.toml:14: protect.allow[0].untill: unknown key"],
    );
    edge_refuses("[proxy]", "[proxy", &["edge.toml:9: syntax: "]);
    let rule = |keys: &str| format!("[[rule]]\nname = \"error-flood\"\n{keys}\n");
    let own = |keys: &str| format!("[[rule]]\nname = \"own\"\n{keys}\n");
    for (config, expected) in [
        (rule("threshold = 0"), "orchestrator.toml:3: rule[0].threshold: "),
        (
            rule("window = \"soon\""),
            "orchestrator.toml:3: rule[0].window: invalid duration `soon`: expected one such as 30s",
        ),
        (
            rule("excluded_statuses = [999]"),
            "orchestrator.toml:3: rule[0].excluded_statuses[0]: `999` is neither",
        ),
        (
            rule("statuses = [\"403-401\"]"),
            "orchestrator.toml:3: rule[0].statuses[0]: `403-401` is neither a status",
        ),
        (
            own("threshold = 5\nwindow = \"1m\""),
            "orchestrator.toml:1: rule[0]: own: counts: missing: a custom rule must set it",
        ),
        (
            rule("") + "[[rule]]\nname = \"error-flood\"",
            "orchestrator.toml:1: rule: two rules are called error-flood",
        ),
    ] {
        orchestrator_refuses(&config, &[expected]);
    }
}

#[test]
fn keys_that_contradict_each_other_are_named_with_file_and_line() {
    edge_refuses(
        "[\"eth-a\"]",
        "[]",
        &[
            "edge.toml:5: kernel.interfaces: ",
            "enforcement = \"both\"",
            "at least one interface",
        ],
    );
    orchestrator_refuses(
        "[ban]\nduration = \"1h\"\nmax_duration = \"5m\"\n",
        &["orchestrator.toml:3: ban.max_duration: 5m is shorter than ban.duration, 1h"],
    );
}

#[test]
fn a_missing_config_file_is_named_once() {
    let host = Host::new();
    let missing = host.file("missing.toml");
    let missing = missing.to_str().unwrap();
    for daemon in ["secbeat-edge", "secbeat-orchestrator"] {
        for command in ["check", "run"] {
            let output = host.run(daemon, &[command, "--config", missing]);
            assert_refused(
                &output,
                USAGE,
                &[daemon, "cannot read config", missing, "No such file"],
            );
        }
    }
}

#[test]
fn a_wrong_command_line_exits_64_and_help_exits_0() {
    let host = Host::new();
    for (daemon, wrong) in [
        ("secbeat-edge", &["ban", "hello"][..]),
        ("secbeat-edge", &["bann"]),
        (
            "secbeat-orchestrator",
            &["ban", "192.0.2.1", "--duration", "soon"],
        ),
        ("secbeat-orchestrator", &["replay"]),
    ] {
        let output = host.run(daemon, wrong);
        assert_eq!(output.status.code(), Some(USAGE), "{wrong:?}");
        assert!(
            String::from_utf8_lossy(&output.stderr).starts_with("error: "),
            "{output:?}"
        );
        assert_eq!(host.run(daemon, &["--help"]).status.code(), Some(0));
    }
}

#[test]
fn a_config_that_is_wrong_keeps_nobody_from_asking_the_orchestrator() {
    let host = Host::new();
    let wrong = "port = 5\n[api]\nlisten = \"127.0.0.1:1\"\nsocket = \"\"\n";
    let path = host.write("orchestrator.toml", wrong);
    let path = path.to_str().unwrap();
    let orchestrator = |command: &[&str]| {
        let arguments = [command, &["--config", path]].concat();
        host.run("secbeat-orchestrator", &arguments)
    };
    for command in [&["status"][..], &["bans"], &["unban", "192.0.2.1"], &["edges"]] {
        let output = orchestrator(command);
        assert_eq!(output.status.code(), Some(69), "nobody answers: {output:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        for part in [
            "orchestrator.toml:1: port: unknown key",
            "going on with the daemon at 127.0.0.1:1",
        ] {
            assert!(told.contains(part), "no `{part}` in: {told}");
        }
    }
    // One that was named needs no config.
    let named = ["status", "--url", "http://127.0.0.1:1"];
    assert_refused(&orchestrator(&named), 69, &["127.0.0.1:1"]);
    // What is asked of the config itself.
    for command in [&["check"][..], &["notify", "list"]] {
        assert_refused(&orchestrator(command), USAGE, &["port: unknown key"]);
    }
}
