//! The config of nats-server: the server itself, written once and the operator's from then on, and its users, written again
//! with each change of the roster.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

use super::{
    CA, Founding, NATS_USERS, SERVER, SERVER_KEY, Server, in_url,
    permissions::{Permissions, of},
    roster::{Member, Roster},
};

const MONITORING_PORT: u16 = 8222;

/// One server of `all`, which finds its folder at `folder`.
pub(super) fn server(founding: &Founding, server: &Server, all: &[Server], folder: &Path) -> String {
    let Founding {
        listen, store_dir, ..
    } = founding;
    let address = address(founding, server, all);
    let monitoring = match address.ip() {
        // Several on one host, each on an address of its own.
        loopback if loopback.is_loopback() => loopback,
        _ => Ipv4Addr::LOCALHOST.into(),
    };
    let monitoring = SocketAddr::new(monitoring, MONITORING_PORT);
    let cluster = match all {
        [_] => String::new(),
        _ => cluster(founding, server, all, folder),
    };
    let listen = if all.len() == 1 { *listen } else { address };
    format!(
        r#"# nats-server for SecBeat: version 2.11 or newer. Check this file with `nats-server --config {config} -t`; a running server
# reads it again on SIGHUP. Made once by `secbeat-orchestrator init`, and yours from then on.

listen: "{listen}"
# Monitoring, for this host alone.
http: "{monitoring}"

tls {{
  cert_file: "{folder}/{SERVER}"
  key_file: "{folder}/{SERVER_KEY}"
  min_version: "1.3"
}}

jetstream {{
  # Bans and audit records are kept here; telemetry is kept in memory only. Must be on a disk that survives a reboot.
  store_dir: "{store_dir}"
  # Sync every write before it is acknowledged: a ban that was acknowledged is still there after a power failure.
  sync_interval: always
  # Room for telemetry (SecBeat asks for 256 MiB at most) and for bans and audit records.
  max_memory_store: 512MB
  max_file_store: 2GB
}}
{cluster}
# Who may do what. `secbeat-orchestrator enroll` and `expel` write this file.
include "./{NATS_USERS}"
"#,
        config = super::NATS_CONFIG,
        store_dir = store_dir.display(),
        folder = folder.display(),
    )
}

/// Returns where a server listens: each on its own address if all are on one host, as in a test.
fn address(Founding { listen, .. }: &Founding, server: &Server, all: &[Server]) -> SocketAddr {
    match server.host.parse::<IpAddr>() {
        Ok(address) if all.len() > 1 && address.is_loopback() => SocketAddr::new(address, listen.port()),
        _ => *listen,
    }
}

/// Returns what makes it one of `all`. Each proves by its certificate that it belongs to them, which no member can.
fn cluster(founding: &Founding, server: &Server, all: &[Server], folder: &Path) -> String {
    let port = founding.cluster_port;
    let listen = SocketAddr::new(address(founding, server, all).ip(), port);
    let number = all.iter().position(|other| other.host == server.host);
    let others = all.iter().filter(|other| other.host != server.host);
    let routes: String = others
        .map(|other| format!("    \"tls://{}:{port}\"\n", in_url(&other.host)))
        .collect();
    format!(
        r#"
server_name: "nats-{number}"

# The servers find and check each other by this; no member of the fleet can connect here.
cluster {{
  name: "secbeat"
  listen: "{listen}"
  tls {{
    cert_file: "{folder}/{SERVER}"
    key_file: "{folder}/{SERVER_KEY}"
    ca_file: "{folder}/{CA}"
    min_version: "1.3"
  }}
  # The other servers.
  routes: [
{routes}  ]
}}
"#,
        number = number.unwrap_or_default() + 1,
        folder = folder.display(),
    )
}

/// Its users. All are in one account that is not the global one, so that nobody gets in without a key.
pub(super) fn users(roster: &Roster) -> String {
    let mut text = "# Generated from roster.toml, and again after each change of it.\naccounts {\n  SECBEAT {\n    jetstream: enabled\n    users: [\n".to_owned();
    let keys = |member| Member::nkeys(member).map(move |nkey| (member, nkey));
    for (member, nkey) in roster.members.iter().flat_map(keys) {
        let Permissions { publish, subscribe } = of(member);
        text.push_str(&format!(
            "      # {} {}\n      {{\n        nkey: {}\n        permissions {{\n          publish {{ allow: [\n{}          ] }}\n          subscribe {{ allow: [\n{}          ] }}\n        }}\n      }}\n",
            member.role,
            member.name,
            nkey,
            list(&publish),
            list(&subscribe),
        ));
    }
    text.push_str("    ]\n  }\n  SYS {}\n}\nsystem_account: SYS\n");
    text
}

fn list(subjects: &[String]) -> String {
    subjects
        .iter()
        .map(|subject| format!("            \"{subject}\"\n"))
        .collect()
}
