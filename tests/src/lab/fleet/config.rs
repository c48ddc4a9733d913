//! The daemons' configs and credentials.

use std::{fs, path::Path};

use super::options::{Front, Options, PROXY_PORT};
use crate::lab::{executable::Executable as _, nats::NatsServer, nginx::Nginx, paths};

pub(super) fn edge_config(options: &Options, pin_dir: &Path, nginx: &Nginx, nats: &NatsServer) -> String {
    let source = match options.front {
        Front::Proxy => format!(
            "[proxy]\nlisten = \"[::]:{PROXY_PORT}\"\nupstream = \"http://{}\"\n{}",
            nginx.address(),
            options.proxy_keys
        ),
        Front::Nginx => format!("[[access_log]]\npath = \"{}\"", nginx.combined_log().display()),
    };
    format!(
        r#"edge_id = "edge-1"
enforcement = "{}"
{}
[kernel]
interfaces = ["to-attacker", "to-visitor"]
pin_dir = "{}"
ban_slots = {}
{source}
[nats]
{}
[bans]
reconcile_interval = "{}"
{}"#,
        options.enforcement,
        options.more_keys,
        pin_dir.display(),
        options.ban_slots,
        nats_url(options, nats),
        options.reconcile,
        options.more_config,
    )
}

pub(super) fn orchestrator_config(options: &Options, nats: &NatsServer) -> String {
    format!(
        "[nats]\n{}\n[ban]\nduration = \"{}\"\n{}",
        nats_url(options, nats),
        options.ban,
        options.more_orchestrator_config,
    )
}

/// Where NATS is, unless the credentials say so.
fn nats_url(options: &Options, nats: &NatsServer) -> String {
    match options.is_secured() {
        true => String::new(),
        false => format!("url = \"{}\"", nats.url()),
    }
}

/// Makes both daemons whose configs are in `folder` members of the fleet, as an operator would.
pub(super) fn install_credentials(nats: &mut NatsServer, folder: &Path) {
    let edge = nats.enroll("edge-1");
    let first = nats.fleet().join("credentials/orchestrator-1.toml");
    fs::copy(first, folder.join("orchestrator.credentials")).expect("copying credentials");
    let enrolled = paths::daemon("secbeat-edge")
        .command()
        .arg("--config")
        .arg(folder.join("edge.toml"))
        .arg("enroll")
        .arg(edge)
        .output()
        .expect("running secbeat-edge");
    assert!(enrolled.status.success(), "{enrolled:?}");
}
