//! The config file of one host: tables of the edge and of the orchestrator side by side.

use std::{
    borrow::Cow,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secbeat_daemon::config::{self, ConfigError, schema};
use secbeat_edge::{
    cli::ConfigFile,
    config::{self as edge, Part},
};
use secbeat_orchestrator::{cli as orchestrator_cli, config as orchestrator};
use serde::Deserialize;

/// Default path of the config, without `--config`.
pub(crate) const DEFAULT_PATH: &str = "/etc/secbeat/secbeat.toml";
/// Where state lies unless the config says otherwise.
const STATE_DIR: &str = "/var/lib/secbeat/host";
/// The store in that folder: bans, allowlist, audit, and telemetry that still counts.
const STORE: &str = "store.db";
/// The edge's API, beside that of the orchestrator. Sites tend to have a program at the edge's own default.
const EDGE_API: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 3031);
/// Memory for what `why` shows, unless the config says otherwise: some 100,000 events.
const EVIDENCE_BYTES: usize = 16 * 1024 * 1024;

/// Keys and tables that the edge reads.
const EDGE_KEYS: &[&str] = &[
    "access_log",
    "api_listen",
    "api_socket",
    "authz",
    "bans",
    "client_header",
    "edge_id",
    "enforcement",
    "filters_dir",
    "geo",
    "kernel",
    "labels",
    "list",
    "protect",
    "proxy",
    "service_log",
    "signatures",
    "state_dir",
    "telemetry",
    "trusted_proxies",
    "waf_log",
];
/// Keys and tables that the orchestrator reads. Some are for both.
const ORCHESTRATOR_KEYS: &[&str] = &[
    "api",
    "audit",
    "ban",
    "cleanup_interval",
    "crawlers",
    "detect",
    "evidence",
    "feed",
    "geo",
    "notify",
    "protect",
    "rule",
    "trusted_proxies",
];

/// The table of a host that is an edge of a fleet.
const FLEET: &str = "fleet";

const EDGE: Part = Part {
    keys: EDGE_KEYS,
    adapt: as_one_host,
    check: |path| Config::load_orchestrator(path).map(drop),
};

/// This host as an edge of a fleet: its own orchestrator does not run then.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fleet {
    /// File with this host's credentials in the fleet. `secbeat join` installs it and adds this table; `secbeat leave` takes the table out
    /// again. A name without a folder is looked for in `$CREDENTIALS_DIRECTORY` (systemd), then beside the config.
    #[schemars(with = "schema::File")]
    pub credentials: PathBuf,
    /// When this host's own detector decides.
    #[serde(default)]
    pub local: edge::Local,
}

impl Fleet {
    /// The table of the file at `path`, if it has one.
    fn of(path: &Path) -> Result<Option<Self>, ConfigError> {
        #[derive(Deserialize)]
        struct Tables {
            fleet: Option<Fleet>,
        }
        let tables: Tables = config::load_part(path, |key| key == FLEET)?;
        Ok(tables.fleet)
    }
}

/// The schema of the file: that of both daemons' files, without what only daemons of a fleet read.
#[derive(Debug)]
pub(crate) enum File {}

impl JsonSchema for File {
    fn schema_name() -> Cow<'static, str> {
        "SecBeat on one host".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let parts = [
            (edge::Config::json_schema(generator), EDGE_KEYS),
            (orchestrator::Config::json_schema(generator), ORCHESTRATOR_KEYS),
        ];
        let mut properties = serde_json::Map::new();
        for (part, keys) in &parts {
            let all = part.get("properties").and_then(serde_json::Value::as_object);
            let ours = all
                .into_iter()
                .flatten()
                .filter(|(key, _)| keys.contains(&key.as_str()));
            properties.extend(ours.map(|(key, schema)| (key.clone(), schema.clone())));
        }
        let fleet = generator.subschema_for::<Fleet>();
        properties.insert(FLEET.to_owned(), fleet.to_value());
        json_schema!({
            "title": "SecBeat on one host",
            "type": "object",
            "additionalProperties": false,
            "properties": properties,
        })
    }
}

/// What both daemons go by.
#[derive(Debug)]
pub(crate) struct Config {
    pub edge: edge::Config,
    pub orchestrator: orchestrator::Config,
    /// Set on a host that is an edge of a fleet. The orchestrator's part waits then.
    pub fleet: Option<Fleet>,
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let is_unknown =
            |key: &str| !EDGE_KEYS.contains(&key) && !ORCHESTRATOR_KEYS.contains(&key) && key != FLEET;
        let unknown: toml::Table = config::load_part(path, is_unknown)?;
        if let Some(key) = unknown.keys().next() {
            return Err(ConfigError::contradiction(path, key, unknown_key(key)));
        }
        let config = Self {
            edge: edge::Config::load_part(path, EDGE)?,
            orchestrator: Self::load_orchestrator(path)?,
            fleet: Fleet::of(path)?,
        };
        if config.fleet.is_none() && config.edge.api_listen == config.orchestrator.api.listen {
            let message = format!(
                "{} is also `listen` under [api]: each needs a port of its own",
                config.edge.api_listen
            );
            return Err(ConfigError::contradiction(path, "api_listen", message));
        }
        Ok(config)
    }

    /// The orchestrator's part of the file at `path`.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub(crate) fn load_orchestrator(path: &Path) -> Result<orchestrator::Config, ConfigError> {
        let mut config = orchestrator::Config::load_part(path, ORCHESTRATOR_KEYS)?;
        if config.evidence.memory_bytes == orchestrator::Evidence::default().memory_bytes {
            config.evidence.memory_bytes = EVIDENCE_BYTES;
        }
        Ok(config)
    }

    /// The file with everything that has to outlive the process.
    #[must_use]
    pub(crate) fn store(&self) -> PathBuf {
        self.edge.state_dir.join(STORE)
    }
}

/// What the orchestrator's commands are told of this program.
pub(crate) const ORDERS: orchestrator_cli::Program = orchestrator_cli::Program {
    name: "secbeat",
    load: Config::load_orchestrator,
};

/// Whether the file at `path`, as far as it can be read, makes this host an edge of a fleet.
#[must_use]
pub(crate) fn is_in_fleet(path: &Path) -> bool {
    Fleet::of(path).is_ok_and(|fleet| fleet.is_some())
}

/// Returns where the edge's commands find its part of the config; `named` is the file that was named.
#[must_use]
pub(crate) fn edge_file(named: Option<&Path>) -> ConfigFile<'_> {
    ConfigFile {
        named,
        default: Path::new(DEFAULT_PATH),
        part: Some(EDGE),
        api: EDGE_API,
        state_dir: Path::new(STATE_DIR),
    }
}

fn unknown_key(key: &str) -> String {
    match key {
        "nats" => {
            "one host has no NATS: its bus is a file; `secbeat join` makes it an edge of a fleet".to_owned()
        }
        "edges" => "one host has no other edges; the orchestrator of a fleet takes this table".to_owned(),
        _ => {
            let mut keys = [EDGE_KEYS, ORCHESTRATOR_KEYS, &[FLEET]].concat();
            keys.sort_unstable();
            keys.dedup();
            format!("unknown key, expected one of {}", keys.join(", "))
        }
    }
}

/// Defaults of one host, where the file says nothing else.
fn as_one_host(config: &mut edge::Config, path: &Path) -> Result<(), ConfigError> {
    match Fleet::of(path)? {
        Some(fleet) => {
            config.detect.local = fleet.local;
            config.nats.credentials = Some(fleet.credentials);
        }
        // The detector of this process is the fleet's.
        None => config.detect.local = edge::Local::Off,
    }
    if config.api_listen == edge::default_api() {
        config.api_listen = EDGE_API;
    }
    if config.state_dir == Path::new(edge::DEFAULT_STATE_DIR) {
        config.state_dir = STATE_DIR.into();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use schemars::schema_for;

    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secbeat.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    fn keys<T: JsonSchema>() -> BTreeSet<String> {
        let schema = schema_for!(T).to_value();
        let properties = schema["properties"].as_object().unwrap();
        properties.keys().cloned().collect()
    }

    /// A key that a daemon learns is one here, too.
    #[test]
    fn all_keys_of_the_daemons_are_known_but_those_of_a_fleet() {
        let known = |keys: &[&str], more: &[&str]| {
            keys.iter()
                .chain(more)
                .map(ToString::to_string)
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(keys::<edge::Config>(), known(EDGE_KEYS, &["detect", "nats"]));
        assert_eq!(
            keys::<orchestrator::Config>(),
            known(ORCHESTRATOR_KEYS, &["edges", "nats"])
        );
    }

    #[test]
    fn the_schema_has_all_keys() {
        let known: BTreeSet<String> = EDGE_KEYS
            .iter()
            .chain(ORCHESTRATOR_KEYS)
            .chain(&[FLEET])
            .map(ToString::to_string)
            .collect();
        assert_eq!(keys::<File>(), known);
    }

    #[test]
    fn an_empty_file_is_a_host_with_defaults() {
        let config = load("").unwrap();
        assert_eq!(config.store(), Path::new("/var/lib/secbeat/host/store.db"));
        assert_eq!(config.edge.api_listen, EDGE_API);
        assert_ne!(config.edge.api_listen, config.orchestrator.api.listen);
        assert_eq!(config.orchestrator.evidence.memory_bytes, EVIDENCE_BYTES);
        let config = load("[evidence]\nmemory_bytes = 70000\n").unwrap();
        assert_eq!(config.orchestrator.evidence.memory_bytes, 70_000);
    }

    #[test]
    fn both_daemons_read_what_is_for_both() {
        let config = load("trusted_proxies = [\"192.0.2.1\"]\n[ban]\nduration = \"10m\"\n").unwrap();
        assert_eq!(config.edge.trusted_proxies, config.orchestrator.trusted_proxies);
        assert_eq!(config.edge.trusted_proxies.len(), 1);
        assert_eq!(config.orchestrator.ban.duration.0.as_secs(), 600);
    }

    #[test]
    fn a_host_that_joined_is_an_edge_with_credentials_and_its_detector_stands_in() {
        let config = load("[ban]\nduration = \"5m\"\n[fleet]\ncredentials = \"edge.credentials\"\n").unwrap();
        assert_eq!(
            config.edge.nats.credentials.as_deref(),
            Some(Path::new("edge.credentials"))
        );
        assert_eq!(config.edge.detect.local, edge::Local::Fallback);
        assert_eq!(load("").unwrap().edge.detect.local, edge::Local::Off);
        let off = load("[fleet]\ncredentials = \"x\"\nlocal = \"off\"\n").unwrap();
        assert_eq!(off.edge.detect.local, edge::Local::Off);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, expected) in [
            (
                "[ban]\nduration = \"5m\"\n[nats]\nurl = \"x\"\n",
                "secbeat.toml:3: nats: one host has no NATS",
            ),
            (
                "\nruel = 1\n",
                "secbeat.toml:2: ruel: unknown key, expected one of access_log, api",
            ),
            (
                "[ban]\nduration = \"soon\"\n",
                "secbeat.toml:2: ban.duration: invalid duration `soon`",
            ),
            ("[kernel]\n\nmode = \"x\"\n", "secbeat.toml:3: kernel.mode: "),
            (
                "[fleet]\nlocal = \"off\"\n",
                "secbeat.toml:1: fleet: missing field `credentials`",
            ),
            (
                "[protect]\nnetworks = [\"x\"]\n",
                "secbeat.toml:2: protect.networks",
            ),
        ] {
            let error = load(text).unwrap_err().to_string();
            let place = error.find("secbeat.toml").unwrap();
            assert!(error[place..].starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_reload_reads_the_same_part_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secbeat.toml");
        std::fs::write(&path, "[ban]\nduration = \"5m\"\n").unwrap();
        let before = Config::load(&path).unwrap();
        let after = before.edge.read_again().unwrap();
        assert_eq!(before.edge.differences(&after), [""; 0]);
    }

    #[test]
    fn a_reload_looks_at_the_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secbeat.toml");
        std::fs::write(&path, "").unwrap();
        let before = Config::load(&path).unwrap();
        for wrong in ["[kernel]\nno = 1\n", "[detect]\nno = 1\n"] {
            std::fs::write(&path, wrong).unwrap();
            assert!(before.edge.read_again().is_err(), "{wrong}");
            assert!(Config::load(&path).is_err(), "{wrong}");
        }
        std::fs::write(&path, "").unwrap();
        assert!(before.edge.read_again().is_ok());
    }

    #[test]
    fn one_port_for_both_apis_is_named() {
        let error = load("api_listen = \"127.0.0.1:3030\"").unwrap_err().to_string();
        assert!(
            error.contains("api_listen: 127.0.0.1:3030 is also `listen`"),
            "{error}"
        );
    }
}
