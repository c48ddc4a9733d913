//! `status`: both parts of the process.

use anyhow::Context as _;
use secbeat_daemon::{
    api::ApiClient,
    cli::{Output, print_json},
    exit::Coded,
    reload::RefusedConfigView,
    say,
};
use secbeat_edge::cli::Status;
use secbeat_orchestrator::{
    cli::print_status,
    config::Rules,
    view::{ApiStats, BanPage, RuleView},
};
use serde::Serialize;

/// What is protected, and what the detector does.
#[derive(Serialize)]
struct Both<'a> {
    host: &'a Status,
    /// `None` where no daemon answers.
    detector: Option<&'a ApiStats>,
}

/// Prints both, and fails where an interface is not protected or no daemon answers.
///
/// # Errors
///
/// See above.
pub(crate) fn show(host: &Status, detector: anyhow::Result<ApiStats>, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => print_json(&Both {
            host,
            detector: detector.as_ref().ok(),
        })?,
        Output::Table => {
            host.print();
            if let Ok(stats) = &detector {
                say!();
                print_status(&without_told(stats.clone(), host.refused_config()));
            }
        }
    }
    host.ensure_protected()?;
    detector.map(|_| ())
}

/// `stats` without the refused config, if the reason is the one that the other part has told: both read one file.
fn without_told(mut stats: ApiStats, told: Option<&RefusedConfigView>) -> ApiStats {
    let why = told.map(|told| &told.why);
    stats.refused_config = stats.refused_config.filter(|refused| Some(&refused.why) != why);
    stats
}

/// What `status SERVICE` says.
#[derive(Serialize)]
struct OfService<'a> {
    service: &'a str,
    /// A line each.
    logs: Vec<String>,
    /// That count what its log tells.
    rules: Vec<&'a str>,
    /// That are in force, and of which the config does not say what they count.
    unknown_rules: Vec<&'a str>,
    /// Whom they banned.
    banned: Vec<String>,
    /// Those among them that the kernel does not hold.
    not_in_kernel: Vec<String>,
}

/// Prints what is known of one service: its logs, whom its rules banned, and whether the kernel has these bans.
///
/// # Errors
///
/// Returns an error if none of its logs is watched, the daemon does not answer, or a ban is not in the kernel.
pub(crate) fn show_service(
    service: &str,
    host: &Status,
    rules: &Rules,
    api: &ApiClient,
    in_kernel: &[String],
    output: Output,
) -> anyhow::Result<()> {
    let logs = host.logs_of(service);
    if logs.is_empty() {
        return Err(Coded::not_found(format!(
            "no log of `{service}` is watched: `secbeat status` names the logs, `secbeat setup --add` finds new ones"
        ))
        .into());
    }
    // The file may say something else than the daemon goes by, or not be there.
    let in_force: Vec<RuleView> = api.get("/api/v1/rules").context("asking for rules")?;
    let names: Vec<_> = in_force.into_iter().map(|rule| rule.name).collect();
    let unknown_rules = rules.unknown(&names);
    let rules = rules.in_force(&names);
    let rules = rules.about(host.filter_of(service));
    let mut banned = Vec::new();
    for rule in &rules {
        let page: BanPage = api
            .get(&format!("/api/v1/bans?reason={rule}&limit=1000"))
            .context("asking for bans")?;
        banned.extend(page.bans.into_iter().map(|ban| ban.target));
    }
    let missing = banned.iter().filter(|target| !in_kernel.contains(target));
    let said = OfService {
        service,
        logs,
        not_in_kernel: missing.cloned().collect(),
        rules,
        unknown_rules,
        banned,
    };
    match output {
        Output::Json => print_json(&said)?,
        Output::Table => print_service(&said),
    }
    anyhow::ensure!(
        said.not_in_kernel.is_empty(),
        "{} bans are not in the kernel: `secbeat doctor` says why",
        said.not_in_kernel.len()
    );
    Ok(())
}

fn print_service(said: &OfService<'_>) {
    for log in &said.logs {
        say!("{:<10} {log}", "log");
    }
    say!("{:<10} {}", "rules", said.rules.join(", "));
    for name in &said.unknown_rules {
        say!(
            "{:<10} rule {name} is not in this file, and may count {} too",
            "",
            said.service
        );
    }
    let verified = match (said.banned.len(), said.not_in_kernel.len()) {
        (0, _) => "",
        (_, 0) => "; verified in the kernel",
        _ => "; NOT ALL OF THEM IN THE KERNEL",
    };
    say!("{:<10} {}{verified}", "banned", said.banned.len());
    for target in &said.banned {
        say!("{:<10} {target}", "");
    }
    for target in &said.not_in_kernel {
        say!("{:<10} {target}", "MISSING");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_config_that_both_parts_refuse_is_told_once() {
        let refused = |why: &str| RefusedConfigView {
            since: "2026-11-20T10:00:00.000Z".to_owned(),
            why: why.to_owned(),
        };
        let stats = json!({
            "active_bans": 0, "tracked_sources": 0, "evicted_sources": 0, "batches": 0, "events": 0, "findings": 0,
            "suppressed": 0, "braked": 0, "brake": null, "restored": true, "unwritten": 0, "audit_lost": 0, "edges": [],
            "bus_connected": true, "garbage": 0, "leases": { "instance": "a-1", "members": [], "partitions": [] },
            "refused_config": refused("secbeat.toml:3: unknown key")
        });
        let stats: ApiStats = serde_json::from_value(stats).unwrap();
        let left = |told: Option<&RefusedConfigView>| without_told(stats.clone(), told).refused_config;
        assert_eq!(left(Some(&refused("secbeat.toml:3: unknown key"))), None);
        assert_eq!(
            left(Some(&refused("proxy.tls: no such file"))),
            stats.refused_config
        );
        assert_eq!(left(None), stats.refused_config);
    }
}
