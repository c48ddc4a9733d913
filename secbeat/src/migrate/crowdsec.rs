//! CrowdSec's decisions, allowlists and profiles.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Ban, Found, is_for_ever};

/// What lists decisions: all of them, for cscli shows 100 alerts unless it is told otherwise.
const DECISIONS: &[&str] = &["decisions", "list", "-o", "json", "--limit", "0"];
const ALLOWLISTS: &[&str] = &["allowlists", "list", "-o", "json"];
/// Alerts that `cscli decisions list` shows without `--limit`.
const CSCLI_LIMIT: usize = 100;

/// Take over CrowdSec's decisions and allowlists, and name what its profiles do.
#[derive(Debug, clap::Args)]
pub(super) struct Crowdsec {
    /// What `cscli decisions list -o json --limit 0` printed [default: it is asked].
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
        match said(self.decisions.as_deref(), DECISIONS, &mut found)? {
            Some(alerts) => {
                let is_asked = self.decisions.is_none();
                found.left.extend(perhaps_cut(&alerts).filter(|_| !is_asked));
                take_decisions(&alerts, Timestamp::now(), &mut found);
            }
            None => found
                .left
                .push("decisions: there is no cscli here; give its output by --decisions".to_owned()),
        }
        let lists = said(self.allowlists.as_deref(), ALLOWLISTS, &mut found);
        take_allowlists(lists, &mut found);
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

/// Returns what cscli prints with these `words`, or printed into `file`; `None` where there is no such program.
fn said(file: Option<&Path>, words: &[&str], found: &mut Found) -> anyhow::Result<Option<Value>> {
    let (text, from) = match file {
        Some(path) => {
            let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            (text, path.display().to_string())
        }
        None => {
            let command = format!("cscli {}", words.join(" "));
            let asked = match Command::new("cscli").args(words).output() {
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

/// Returns what to say of a list of as many alerts as cscli shows at most, unless it is told otherwise.
fn perhaps_cut(alerts: &Value) -> Option<String> {
    let count = alerts.as_array().map_or(0, Vec::len);
    (count == CSCLI_LIMIT).then(|| {
        format!(
            "decisions of more than {CSCLI_LIMIT} alerts, if there are any: cscli shows so many without `--limit 0`, \
             and the file has so many"
        )
    })
}

/// The elements of a list, as cscli prints it; one alone has this `key`. `None` if it is anything else.
fn listed<'v>(value: &'v Value, key: &str) -> Option<Vec<&'v Value>> {
    match value {
        // What cscli prints of an empty list.
        Value::Null => Some(Vec::new()),
        Value::Array(all) => Some(all.iter().collect()),
        Value::Object(one) => one.contains_key(key).then(|| vec![value]),
        _ => None,
    }
}

/// An array of alerts with their decisions, or of decisions; or one alert.
fn take_decisions(alerts: &Value, now: Timestamp, found: &mut Found) {
    let Some(alerts) = listed(alerts, "decisions") else {
        let what = "decisions: the file is not what `cscli decisions list -o json --limit 0` prints";
        return found.left.push(what.to_owned());
    };
    for alert in alerts {
        match alert.get("decisions") {
            Some(Value::Array(decisions)) => decisions
                .iter()
                .for_each(|decision| take_decision(decision, now, found)),
            // An alert without any.
            Some(_) => {}
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
            .push(format!("{kind} of {target}: SecBeat has only bans"));
    }
    // CrowdSec's bouncers let its target pass.
    if decision["simulated"].as_bool() == Some(true) {
        let why = "CrowdSec only simulates it, so it bans no client";
        return found
            .left
            .push(format!("the ban of {target} ({scenario}): {why}"));
    }
    let note = format!("crowdsec {scenario}").trim_end().to_owned();
    // What is left of it, as `3h59m58.1s`.
    match text(decision, "duration").parse::<SignedDuration>() {
        Ok(left) if left.is_negative() || left.is_zero() => {}
        Ok(left) if is_for_ever(left.as_secs()) => found.bans.push(Ban {
            target: target.to_owned(),
            ends: None,
            note,
        }),
        Ok(left) => match now.checked_add(left) {
            Ok(ends) => found.bans.push(Ban {
                target: target.to_owned(),
                ends: Some(ends.to_string()),
                note,
            }),
            Err(error) => found.left.push(format!("the ban of {target}: {error}")),
        },
        Err(_) => found
            .left
            .push(format!("the ban of {target}: it does not say how long it lasts")),
    }
}

/// What cscli says of allowlists, or why it says nothing.
fn take_allowlists(lists: anyhow::Result<Option<Value>>, found: &mut Found) {
    let lists = match lists {
        Ok(Some(lists)) => lists,
        Ok(None) => {
            let what = "allowlists: there is no cscli here; give its output by --allowlists, and see /etc/crowdsec/parsers/s02-enrich";
            return found.left.push(what.to_owned());
        }
        // Releases before 1.6.8 have none.
        Err(error) => {
            return found.left.push(format!(
                "allowlists, so who is on one may be banned: {error:#}; before release 1.6.8, whitelists are in \
                 /etc/crowdsec/parsers/s02-enrich alone: `secbeat allowlist add` takes each network"
            ));
        }
    };
    let Some(lists) = listed(&lists, "items") else {
        let what = "allowlists, so who is on one may be banned: the file is not what `cscli allowlists list -o json` prints";
        return found.left.push(what.to_owned());
    };
    for list in lists {
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
                {"duration": "1h", "scope": "Country", "type": "ban", "value": "XX"},
                {"duration": "1h", "scope": "Ip", "simulated": true, "type": "ban", "value": "192.0.2.4"},
                {"duration": "-1h", "scope": "Ip", "simulated": false, "type": "ban", "value": "192.0.2.5"}]},
            {"decisions": null},
            {"duration": "1h", "scope": "Range", "type": "ban", "value": "198.51.100.0/24"},
            {"duration": "999999h0m0s", "scope": "Ip", "type": "ban", "value": "192.0.2.6"}
        ]);
        let mut found = Found::default();
        take_decisions(&alerts, Timestamp::UNIX_EPOCH, &mut found);
        let bans: Vec<_> = found
            .bans
            .iter()
            .map(|ban| (ban.target.as_str(), ban.ends.as_deref().unwrap_or("never")))
            .collect();
        assert_eq!(
            bans,
            [
                ("192.0.2.1", "1970-01-01T03:59:58.5Z"),
                ("198.51.100.0/24", "1970-01-01T01:00:00Z"),
                ("192.0.2.6", "never")
            ]
        );
        assert_eq!(found.bans[0].note, "crowdsec crowdsecurity/ssh-bf");
        assert!(found.left[0].starts_with("captcha of 192.0.2.3") && found.left[1].contains("country XX"));
        assert!(
            found.left[2].starts_with("the ban of 192.0.2.4") && found.left[2].contains("simulates"),
            "{:?}",
            found.left
        );
        assert_eq!(found.left.len(), 3, "{:?}", found.left);
    }

    #[test]
    fn a_file_of_another_shape_is_told_and_one_alert_or_allowlist_is_read() {
        let (mut found, now) = (Found::default(), Timestamp::UNIX_EPOCH);
        let ban = serde_json::json!({"duration": "1h", "scope": "Ip", "type": "ban", "value": "192.0.2.1"});
        take_decisions(&serde_json::json!({"id": 1, "decisions": [ban]}), now, &mut found);
        let list = serde_json::json!({"name": "office", "items": [{"value": "192.0.2.9"}]});
        take_allowlists(Ok(Some(list)), &mut found);
        take_decisions(&Value::Null, now, &mut found);
        take_allowlists(Ok(Some(Value::Null)), &mut found);
        assert_eq!((found.bans.len(), found.allowed.len()), (1, 1));
        assert_eq!(found.left, [""; 0]);
        for wrong in [serde_json::json!({"new": [ban]}), Value::from("x")] {
            take_decisions(&wrong, now, &mut found);
            take_allowlists(Ok(Some(wrong)), &mut found);
        }
        let begins: Vec<_> = found.left.iter().map(|left| &left[..9]).collect();
        assert_eq!(begins, ["decisions", "allowlist", "decisions", "allowlist"]);
    }

    #[test]
    fn a_file_of_as_many_alerts_as_cscli_shows_at_most_may_lack_some() {
        let alerts = |count| Value::from(vec![serde_json::json!({"decisions": []}); count]);
        let is_told = |count| perhaps_cut(&alerts(count)).is_some_and(|told| told.contains("--limit 0"));
        assert_eq!([0, 99, 100, 101].map(is_told), [false, false, true, false]);
        assert!(
            DECISIONS.ends_with(&["--limit", "0"]),
            "what it is asked by itself"
        );
    }

    #[test]
    fn why_cscli_lists_no_allowlists_is_told() {
        let mut found = Found::default();
        let refused = anyhow::anyhow!("dial tcp 127.0.0.1:8080: connect: connection refused");
        take_allowlists(Err(refused.context("cscli allowlists list -o json")), &mut found);
        assert!(
            found.left[0].contains("connection refused") && found.left[0].contains("may be banned"),
            "{:?}",
            found.left
        );
        take_allowlists(Ok(None), &mut found);
        assert!(found.left[1].contains("there is no cscli"), "{:?}", found.left);
    }

    #[test]
    fn allowlists_and_profiles_are_read_as_far_as_they_map() {
        let mut found = Found::default();
        let lists = serde_json::json!([{"name": "office", "items": [
            {"value": "192.0.2.0/24", "expiration": "0001-01-01T00:00:00.000Z"},
            {"value": "198.51.100.9", "expiration": "2030-01-01T00:00:00Z"}]}]);
        take_allowlists(Ok(Some(lists)), &mut found);
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
