//! `check`: whether the config can be used, what it means, and whether this host has what it needs.

mod finding;
mod host;
mod proxy;

use std::path::Path;

use anyhow::ensure;
use secbeat_daemon::{
    api::ApiClient,
    cli::{Output, print_json},
    config::ConfigError,
};
use secbeat_logs::Caution;
use serde::Serialize;

pub use self::{
    finding::{Finding, State},
    host::{Installed, look_at_host},
};
use super::status::PATIENCE;
use crate::{
    config::{Config, PROGRAM},
    sources::{access_log::ClientColumn, service_log},
    view::StatsView,
};

/// What `check` says of a config.
#[derive(Debug, Serialize)]
struct Checked {
    config: String,
    edge_id: String,
    nats: String,
    /// Whether it has credentials.
    verifies_commands: bool,
    api: String,
    /// Empty without a proxy.
    proxy: Proxied,
    access_logs: Vec<Followed>,
    service_logs: Vec<Followed>,
    /// As the config has them; empty where bans are not enforced in the kernel.
    interfaces: String,
    authz: Option<String>,
    l7: bool,
    /// What was looked at on this host; nothing with `--offline`.
    host: Vec<Finding>,
}

#[derive(Debug, Default, Serialize)]
struct Proxied {
    listeners: Vec<String>,
    upstreams: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Followed {
    place: String,
    format: String,
    /// What a pattern matches and is not read, and why.
    passed_over: Vec<String>,
    /// What its server has to mend, or the config to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    caution: Option<&'static str>,
}

impl Checked {
    fn new(path: &Path, config: &Config) -> anyhow::Result<Self> {
        let proxy = config.proxy().map(|proxy| Proxied {
            listeners: proxy.listeners.iter().map(|it| it.address.to_string()).collect(),
            upstreams: proxy.upstreams.iter().map(|it| it.name.clone()).collect(),
        });
        let followed = config.access_log.iter().map(|log| Followed {
            place: log.place.to_string(),
            format: log.format.to_string(),
            passed_over: log.place.passed_over(),
            caution: match log.client {
                ClientColumn::Header => Caution::of_header(&log.format),
                ClientColumn::Peer => Caution::of_formats(&log.format),
            }
            .map(Caution::text),
        });
        let member = config.membership()?;
        let filters = config.filters();
        let mut service_logs = Vec::new();
        for (number, entry) in config.service_log.iter().enumerate() {
            let wrong = |why| ConfigError::contradiction(path, &format!("service_log[{number}]"), why);
            let places = service_log::places(entry, &filters).map_err(wrong)?;
            service_logs.extend(places.iter().map(|place| Followed {
                place: place.to_string(),
                format: format!("lines of {}", entry.filter),
                passed_over: place.passed_over(),
                caution: None,
            }));
        }
        Ok(Self {
            service_logs,
            config: path.display().to_string(),
            edge_id: config.edge_id(&member)?,
            nats: member.servers.to_string(),
            verifies_commands: member.trust.is_needed(),
            api: config.api_listen.to_string(),
            l7: config.enforcement.at_l7() && proxy.is_some(),
            proxy: proxy.unwrap_or_default(),
            access_logs: followed.collect(),
            interfaces: config.interfaces().to_string(),
            host: Vec::new(),
            authz: config.authz.listen.map(|listen| listen.to_string()),
        })
    }
}

pub(super) fn run(path: &Path, offline: bool, output: Output) -> anyhow::Result<()> {
    let config = Config::load(path)?;
    if !offline {
        config.check_sources(path)?;
    }
    let mut checked = Checked::new(path, &config)?;
    if !offline {
        let installed = Installed {
            program: PROGRAM,
            unit: "secbeat-edge.service",
        };
        let api = ApiClient::local(config.api_socket().as_deref(), config.api_listen);
        let daemon: Option<StatsView> = api.patient(PATIENCE).get("/api/v1/stats").ok();
        let daemon = daemon.as_ref().map(|daemon| daemon.edge_id.as_str());
        checked.host = look_at_host(&config, path, &config.membership()?, installed, daemon);
    }
    match output {
        Output::Json => print_json(&checked)?,
        Output::Table => print(&checked),
    }
    let problems = checked
        .host
        .iter()
        .filter(|finding| finding.state == State::Problem);
    let problems = problems.count();
    ensure!(
        problems == 0,
        "this host does not meet {problems} requirements of the config"
    );
    Ok(())
}

fn print(checked: &Checked) {
    secbeat_daemon::say!("{}: ok", checked.config);
    let accepts = match checked.verifies_commands {
        true => "signed commands only",
        false => "commands of anyone who can connect to NATS (there are no credentials)",
    };
    secbeat_daemon::say!(
        "edge `{}` reports to NATS at {} and accepts {accepts}",
        checked.edge_id,
        checked.nats
    );
    if !checked.proxy.listeners.is_empty() {
        secbeat_daemon::say!(
            "it proxies {} to {}",
            checked.proxy.listeners.join(", "),
            checked.proxy.upstreams.join(", ")
        );
    }
    for log in checked.access_logs.iter().chain(&checked.service_logs) {
        secbeat_daemon::say!("it follows {} as {}", log.place, log.format);
        for line in &log.passed_over {
            secbeat_daemon::say!("  {line}");
        }
        if let Some(caution) = log.caution {
            secbeat_daemon::say!("  note: {caution}");
        }
    }
    if !checked.interfaces.is_empty() {
        secbeat_daemon::say!("bans are enforced in the kernel on {}", checked.interfaces);
    }
    if let Some(listen) = &checked.authz {
        secbeat_daemon::say!("it serves /authz on {listen}");
    }
    if checked.l7 {
        secbeat_daemon::say!("bans are enforced by the proxy with 403");
    }
    for Finding { what, state, detail } in &checked.host {
        secbeat_daemon::say!("{:<8} {what}: {detail}", state.word());
    }
}
