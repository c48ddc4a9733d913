use super::*;

fn load(text: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path)
}

fn minimal() -> Config {
    load("[proxy]\nupstream = \"http://127.0.0.1:8000\"\n").unwrap()
}

#[test]
fn an_edge_may_have_no_proxy() {
    let config = load("[kernel]\ninterfaces = [\"eth0\"]\n").unwrap();
    assert!(config.proxy().is_none() && config.known(&NatsServers::default()).upstreams.is_empty());
}

#[test]
fn a_listener_that_would_close_every_connection_is_refused() {
    let text = "[kernel]\ninterfaces = [\"eth0\"]\n[proxy]\nupstream = \"http://127.0.0.1:8000\"\nproxy_protocol = true\n";
    let error = load(text).unwrap_err().to_string();
    assert!(error.contains("trusted_proxies"), "{error}");
    load(&format!("trusted_proxies = [\"192.0.2.0/24\"]\n{text}")).unwrap();
}

#[test]
fn the_proxys_own_access_log_is_not_followed() {
    let proxy = "enforcement = \"l7\"\n[proxy]\nupstream = \"http://127.0.0.1:8000\"\naccess_log = \"/var/log/own/access.log\"\n";
    for path in ["/var/log/own/access.log", "/var/log/own/*.log", "/var/log/*/a*"] {
        let error = load(&format!("{proxy}[[access_log]]\npath = \"{path}\"\n"));
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("edge.toml:4: proxy.access_log: an [[access_log]] follows it"),
            "{path}: {error}"
        );
    }
    load(&format!(
        "{proxy}[[access_log]]\npath = \"/var/log/nginx/*.log\"\n"
    ))
    .unwrap();
}

#[test]
fn a_reload_looks_for_certificates_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.toml");
    let text = "state_dir = \"/one\"\nenforcement = \"l7\"\n[proxy]\nupstream = \"http://127.0.0.1:8000\"\n\
        [proxy.acme]\ndomains = [\"a.example\"]\naccept_terms = true\n\
        [[proxy.listener]]\naddress = \"[::]:443\"\nacme = true\n";
    std::fs::write(&path, text).unwrap();
    let before = Config::load(&path).unwrap();
    std::fs::write(&path, text.replace("/one", "/other")).unwrap();
    let after = before.read_again().unwrap();
    assert_eq!(before.differences(&after), ["state_dir"]);
    let listeners = |config: &Config| config.proxy().unwrap().listeners.clone();
    assert_eq!(listeners(&before), listeners(&after));
}

#[test]
fn the_shipped_config_shows_an_access_logs_defaults() {
    let shipped = std::fs::read_to_string("../packaging/edge.toml").unwrap();
    let entry = shipped.split("# [[access_log]]").nth(1).unwrap();
    let entry = entry.split("\n\n").next().unwrap();
    let keys = entry
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.contains(" = "));
    // Those are examples, in place of others.
    let keys: Vec<_> = keys
        .filter(|line| !line.starts_with("journald") && !line.starts_with("keys"))
        .collect();
    assert_eq!(keys.len(), 7);
    let all: AccessLogConfig = toml::from_str(&keys.join("\n")).unwrap();
    let least: AccessLogConfig = toml::from_str(keys[0]).unwrap();
    assert_eq!(all, least);
}

#[test]
fn the_shipped_config_shows_the_defaults() {
    let shipped = Config::load(Path::new("../packaging/edge.toml")).unwrap();
    let minimal = minimal();
    assert_eq!(format!("{:?}", shipped.proxy()), format!("{:?}", minimal.proxy()));
    assert_eq!(format!("{:?}", shipped.xdp()), format!("{:?}", minimal.xdp()));
    assert_eq!(format!("{:?}", shipped.bans), format!("{:?}", minimal.bans));
    assert_eq!(format!("{:?}", shipped.authz), format!("{:?}", minimal.authz));
    assert_eq!(
        format!("{:?}", shipped.client_rule()),
        format!("{:?}", minimal.client_rule())
    );
    assert_eq!(
        format!("{:?}", shipped.telemetry),
        format!("{:?}", minimal.telemetry)
    );
    assert_eq!(
        (
            shipped.enforcement,
            shipped.api_listen,
            shipped.state_dir,
            shipped.nats,
            shipped.protect,
            shipped.detect
        ),
        (
            minimal.enforcement,
            minimal.api_listen,
            minimal.state_dir,
            minimal.nats,
            minimal.protect,
            minimal.detect
        )
    );
}
