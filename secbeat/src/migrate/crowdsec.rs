//! CrowdSec's decisions, allowlists and profiles.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Ban, Found};

/// Take over CrowdSec's decisions and allowlists, and name what its profiles do.
#[derive(Debug, clap::Args)]
pub(super) struct Crowdsec {
    /// What `cscli decisions list -o json` printed [default: it is asked].
    #[arg(long, value_name = "FILE")]
    decisions: Option<PathBuf>,
    /// What `cscli allowlists list -o json` printed [default: it is asked].
    #[arg(long, value_name = "FILE")]
    allowlists: Option<PathBuf>,
    /// Its profiles, from which nothing but durations is read.
    #[arg(long, value_name = "FILE", default_value = "/etc/crowdsec/profiles.yaml")]
    profiles: PathBuf,
}

impl Crowdsec {
    pub(super) fn look(&self) -> anyhow::Result<Found> {
        let mut found = Found::default();
        match said(self.decisions.as_deref(), "decisions", &mut found)? {
            Some(alerts) => take_decisions(&alerts, Timestamp::now(), &mut found),
            None => found
                .left
                .push("decisions: there is no cscli here; give its output by --decisions".to_owned()),
        }
        match said(self.allowlists.as_deref(), "allowlists", &mut found) {
            Ok(Some(lists)) => take_allowlists(&lists, &mut found),
            // Releases before 1.6.8 have none.
            Ok(None) | Err(_) => found.left.push(
                "allowlists: cscli names none; whitelists are in /etc/crowdsec/parsers/s02-enrich: `secbeat allowlist add` takes each network"
                    .to_owned(),
            ),
        }
        match fs::read_to_string(&self.profiles) {
            Ok(profiles) => {
                found.read.push(self.profiles.display().to_string());
                take_profiles(&profiles, &mut found);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("reading {}", self.profiles.display())),
        }
        Ok(found)
    }
}

/// What cscli says of these, or said; `None` where there is no such program.
fn said(file: Option<&Path>, what: &str, found: &mut Found) -> anyhow::Result<Option<Value>> {
    let (text, from) = match file {
        Some(path) => {
            let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            (text, path.display().to_string())
        }
        None => {
            let command = format!("cscli {what} list -o json");
            let asked = match Command::new("cscli").args([what, "list", "-o", "json"]).output() {
                Ok(asked) => asked,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error).context(command),
            };
            let why = String::from_utf8_lossy(&asked.stderr).trim().to_owned();
            ensure!(asked.status.success(), "{command}: {why}");
            (asked.stdout, format!("the output of {command}"))
        }
    };
    let value = serde_json::from_slice(&text).with_context(|| format!("{from} is not JSON"))?;
    found.read.push(from);
    Ok(Some(value))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// An array of alerts with their decisions, or of decisions.
fn take_decisions(alerts: &Value, now: Timestamp, found: &mut Found) {
    for alert in alerts.as_array().into_iter().flatten() {
        match alert["decisions"].as_array() {
            Some(decisions) => decisions
                .iter()
                .for_each(|decision| take_decision(decision, now, found)),
            None => take_decision(alert, now, found),
        }
    }
}

fn take_decision(decision: &Value, now: Timestamp, found: &mut Found) {
    let (scope, target) = (text(decision, "scope").to_lowercase(), text(decision, "value"));
    let (kind, scenario) = (text(decision, "type"), text(decision, "scenario"));
    if !["ip", "range"].contains(&scope.as_str()) {
        let why = "bans are of addresses and networks here";
        return found.left.push(format!("{kind} of the {scope} {target}: {why}"));
    }
    if kind != "ban" {
        return found
            .left
            .push(format!("{kind} of {target}: there are bans alone here"));
    }
    // What is left of it, as `3h59m58.1s`.
    match text(decision, "duration").parse::<SignedDuration>() {
        Ok(left) if left.is_negative() || left.is_zero() => {}
        Ok(left) => match now.checked_add(left) {
            Ok(ends) => found.bans.push(Ban {
                target: target.to_owned(),
                ends: Some(ends.to_string()),
                note: format!("crowdsec {scenario}").trim_end().to_owned(),
            }),
            Err(error) => found.left.push(format!("the ban of {target}: {error}")),
        },
        Err(_) => found
            .left
            .push(format!("the ban of {target}: it does not say how long it lasts")),
    }
}

fn take_allowlists(lists: &Value, found: &mut Found) {
    for list in lists.as_array().into_iter().flatten() {
        let name = text(list, "name");
        for item in list["items"].as_array().into_iter().flatten() {
            let (network, ends) = (text(item, "value"), text(item, "expiration"));
            // Go's time without a value is none.
            match ends.is_empty() || ends.starts_with("0001-") {
                true => found.allowed.push((network.to_owned(), format!("crowdsec {name}"))),
                false => found
                    .left
                    .push(format!("{network} of the allowlist {name} until {ends}: `secbeat allowlist add {network} --duration`")),
            }
        }
    }
}

/// YAML whose lines say how long bans last; what decides that is for a person to read.
fn take_profiles(profiles: &str, found: &mut Found) {
    let lines = profiles
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with('#'));
    let mut durations: Vec<&str> = lines
        .filter_map(|line| line.strip_prefix("duration:"))
        .map(|duration| duration.trim().trim_matches('"'))
        .collect();
    durations.dedup();
    let what = match durations.as_slice() {
        [] => "profiles".to_owned(),
        durations => format!("profiles, whose decisions last {}", durations.join(", ")),
    };
    found.left.push(format!(
        "{what}: `duration` under [ban], and `ban` of a rule, say how long bans last here"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_end_when_they_would_have_and_the_rest_is_named() {
        // As cscli 1.4.6 prints them.
        let alerts = serde_json::json!([
            {"decisions": [
                {"duration": "3h59m58.5s", "scenario": "crowdsecurity/ssh-bf", "scope": "Ip", "type": "ban", "value": "192.0.2.1"},
                {"duration": "-5s", "scope": "Ip", "type": "ban", "value": "192.0.2.2"},
                {"duration": "1h", "scope": "Ip", "type": "captcha", "value": "192.0.2.3"},
                {"duration": "1h", "scope": "Country", "type": "ban", "value": "XX"}]},
            {"decisions": null},
            {"duration": "1h", "scope": "Range", "type": "ban", "value": "198.51.100.0/24"}
        ]);
        let mut found = Found::default();
        take_decisions(&alerts, Timestamp::UNIX_EPOCH, &mut found);
        let bans: Vec<_> = found
            .bans
            .iter()
            .map(|ban| (ban.target.as_str(), ban.ends.as_deref().unwrap()))
            .collect();
        assert_eq!(
            bans,
            [
                ("192.0.2.1", "1970-01-01T03:59:58.5Z"),
                ("198.51.100.0/24", "1970-01-01T01:00:00Z")
            ]
        );
        assert_eq!(found.bans[0].note, "crowdsec crowdsecurity/ssh-bf");
        assert!(found.left[0].starts_with("captcha of 192.0.2.3") && found.left[1].contains("country XX"));
    }

    #[test]
    fn allowlists_and_profiles_are_read_as_far_as_they_map() {
        let mut found = Found::default();
        let lists = serde_json::json!([{"name": "office", "items": [
            {"value": "192.0.2.0/24", "expiration": "0001-01-01T00:00:00.000Z"},
            {"value": "198.51.100.9", "expiration": "2030-01-01T00:00:00Z"}]}]);
        take_allowlists(&lists, &mut found);
        take_profiles(
            "# duration: 1h\ndecisions:\n - type: ban\n   duration: 4h\n",
            &mut found,
        );
        assert_eq!(
            found.allowed,
            [("192.0.2.0/24".to_owned(), "crowdsec office".to_owned())]
        );
        assert!(
            found.left[0].starts_with("198.51.100.9 of the allowlist office until 2030"),
            "{:?}",
            found.left
        );
        assert!(found.left[1].contains("last 4h:"), "{:?}", found.left);
    }
}
