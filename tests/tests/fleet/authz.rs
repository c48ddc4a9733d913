//! A site whose proxy is its own asks the edge about each client: a real nginx and a real Caddy.

use std::time::Duration;

use secbeat_tests::lab::{
    chain::{AUTHZ, OWN_CADDY, OWN_NGINX, caddy_with_authz, nginx_with_authz, own},
    client::Client,
    fleet::{Family, Fleet, Options},
    wait::wait_until,
};

const PATIENCE: Duration = Duration::from_secs(10);

fn status(fleet: &Fleet, family: Family, port: u16) -> u16 {
    let url = format!("http://{}/", own(family, port));
    // Whom the client claims to be is of no interest, nor how much else it says.
    let mut forged = vec![("x-odd", "1"); 120];
    forged.push(("x-forwarded-for", "192.0.2.1"));
    let mut client = Client::new(&fleet.attacker).with_source(family.attacker());
    client.request("POST", &url, &forged, b"hello").unwrap().status
}

#[test]
fn nginx_and_caddy_refuse_whom_the_edge_names_banned_and_serve_when_it_is_away() {
    let mut fleet = Fleet::start(&Options {
        // As where the web server is somebody else's: nothing is dropped in the kernel.
        enforcement: "l7",
        more_config: format!("[authz]\nlisten = \"{AUTHZ}\"\n"),
        ..Options::default()
    });
    let (_nginx, _caddy) = (nginx_with_authz(&fleet), caddy_with_authz(&fleet));
    let servers = [("nginx", OWN_NGINX), ("caddy", OWN_CADDY)];
    for family in Family::BOTH {
        for (server, port) in servers {
            assert_eq!(status(&fleet, family, port), 200, "{server}, {family:?}");
        }
        let address = family.attacker().to_string();
        let output = fleet.cli("orchestrator", &["ban", &address, "--duration", "1h"]);
        assert!(output.status.success(), "{output:?}");
        for (server, port) in servers {
            wait_until(&format!("{server} refuses"), PATIENCE, || {
                status(&fleet, family, port) == 403
            });
        }
        let output = fleet.cli("orchestrator", &["unban", &address]);
        assert!(output.status.success(), "{output:?}");
        for (server, port) in servers {
            wait_until(&format!("{server} serves again"), PATIENCE, || {
                status(&fleet, family, port) == 200
            });
        }
    }
    let stats = fleet.edge_stats().unwrap();
    assert!(stats["authz"]["denied"].as_u64() >= Some(4), "{stats}");
    assert_eq!(stats["authz"]["unattributed"], 0);
    assert_eq!(
        stats["telemetry"]["recorded"], 0,
        "answers to web servers are not reported"
    );

    fleet.kill_edge();
    for family in Family::BOTH {
        for (server, port) in servers {
            assert_eq!(status(&fleet, family, port), 200, "{server}, {family:?}");
        }
    }
}
