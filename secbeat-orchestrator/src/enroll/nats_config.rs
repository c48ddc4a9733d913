//! The config of nats-server: the server itself, written once and the operator's from then on, and its users, written anew
//! with each change of the roster.

use std::path::Path;

use super::{
    Founding, NATS_USERS, SERVER, SERVER_KEY,
    permissions::{Permissions, of},
    roster::Roster,
};

/// The server.
pub(super) fn server(
    Founding {
        listen, store_dir, ..
    }: &Founding,
    folder: &Path,
) -> String {
    format!(
        r#"# nats-server for SecBeat: version 2.11 or newer. Check this file with `nats-server --config {config} -t`; a running server
# reads it again on SIGHUP. Made once by `secbeat-orchestrator init`, and yours from then on.

listen: "{listen}"
# Monitoring, for this host alone.
http: "127.0.0.1:8222"

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

# Who may do what. `secbeat-orchestrator enroll` and `expel` write this file.
include "./{NATS_USERS}"
"#,
        config = super::NATS_CONFIG,
        store_dir = store_dir.display(),
        folder = folder.display(),
    )
}

/// Its users. All are in one account that is not the global one, so that nobody gets in without a key.
pub(super) fn users(roster: &Roster) -> String {
    let mut text = "# Made from roster.toml, and made anew with each change of it.\naccounts {\n  SECBEAT {\n    jetstream: enabled\n    users: [\n".to_owned();
    for member in &roster.members {
        let Permissions { publish, subscribe } = of(member);
        text.push_str(&format!(
            "      # {} {}\n      {{\n        nkey: {}\n        permissions {{\n          publish {{ allow: [\n{}          ] }}\n          subscribe {{ allow: [\n{}          ] }}\n        }}\n      }}\n",
            member.role,
            member.name,
            member.nkey,
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
