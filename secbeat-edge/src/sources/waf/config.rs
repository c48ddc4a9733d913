//! `[[waf_log]]` of the config.

use std::time::Duration;

use schemars::JsonSchema;
use secbeat_daemon::config::{HumanDuration, schema};
use secbeat_logs::waf::WafFormat;
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::sources::access_log::{
    AccessLogConfig, ClientColumn, PathPattern, Place, Start, check_places, keyed_places,
};

/// One audit log: a file, or several by a pattern.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WafLogConfig {
    /// A file or a pattern, as in `[[access_log]]`.
    #[schemars(with = "schema::Files")]
    pub path: PathPattern,
    /// The firewall that writes it: `ModSecurity` 2.9 or 3, or Coraza 3.
    #[serde(deserialize_with = "format")]
    #[schemars(with = "schema::WafLogFormat")]
    pub format: WafFormat,
    /// Origin of the logged address.
    #[serde(default)]
    pub client: ClientColumn,
    /// Name in `status` and metrics. Default: the path.
    pub name: Option<String>,
    /// Where to begin if the log has never been read before.
    #[serde(default)]
    pub start: Start,
    /// Skip entries that were there before the edge started if they are older than this.
    #[serde(default = "default_max_age")]
    pub max_age: HumanDuration,
}

fn default_max_age() -> HumanDuration {
    HumanDuration(Duration::from_secs(60))
}

fn format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WafFormat, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(D::Error::custom)
}

/// Finds what is wrong with the entries together and with the files that they name: the key to blame, and what to say.
///
/// # Errors
///
/// The first of them.
pub(crate) fn check(
    entries: &[WafLogConfig],
    access_logs: &[AccessLogConfig],
) -> Result<(), (String, String)> {
    let mut places = keyed_places(access_logs);
    places.extend(entries.iter().enumerate().map(|(number, entry)| {
        (
            format!("waf_log[{number}].path"),
            Place::Files(entry.path.clone()),
        )
    }));
    check_places(&places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<WafLogConfig, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn path_and_format_are_enough() {
        let entry = parse("path = \"/var/log/modsec_audit.log\"\nformat = \"modsecurity-json\"").unwrap();
        assert_eq!((entry.client, entry.start), (ClientColumn::Peer, Start::End));
        assert_eq!(entry.max_age.0, Duration::from_secs(60));
        for (text, error) in [
            ("path = \"/a\"", "missing field `format`"),
            (
                "path = \"/a\"\nformat = \"modsecurity\"",
                "invalid format of a WAF audit log `modsecurity`",
            ),
            (
                "path = \"a\"\nformat = \"coraza-json\"",
                "invalid path `a`: expected an absolute one",
            ),
        ] {
            let told = parse(text).unwrap_err();
            assert!(told.contains(error), "{text}: {told}");
        }
    }

    #[test]
    fn no_file_is_read_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let text = format!("path = \"{}\"", path.display());
        let entry = parse(&format!("{text}\nformat = \"coraza-json\"")).unwrap();
        let access_log: AccessLogConfig = toml::from_str(&text).unwrap();
        let error = |number, other| {
            let key = format!("waf_log[{number}].path");
            let told = format!(
                "{0} is in two entries: {other}.path = \"{0}\" names it too",
                path.display()
            );
            Err((key, told))
        };
        assert_eq!(check(std::slice::from_ref(&entry), &[]), Ok(()));
        assert_eq!(
            check(&[entry.clone(), entry.clone()], &[]),
            error(1, "waf_log[0]")
        );
        assert_eq!(check(&[entry], &[access_log]), error(0, "access_log[0]"));
    }
}
