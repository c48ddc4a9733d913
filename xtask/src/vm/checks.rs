//! What runs in the guest: the test executables that need nothing but a kernel and the edge.

use crate::process::{cargo, output_bytes, run};
use crate::scenario::Profile;
use anyhow::Result;
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;

/// Names of test executables, and how many of their tests run side by side.
///
/// The rest of `secbeat-tests` is left out: it is about both daemons, with nginx and NATS around them, which no kernel changes,
/// and its time limits are for machines that are not emulated.
const TESTS: [(&str, u8); 2] = [
    ("packet_", 2),
    // In turn: there is one pair of network cards.
    ("kernel_", 1),
];

/// One executable for the guest.
pub(super) struct Check {
    pub(super) name: String,
    pub(super) threads: u8,
    pub(super) program: PathBuf,
}

/// All that was built for the guest.
pub(super) struct Checks {
    pub(super) edge: PathBuf,
    pub(super) tests: Vec<Check>,
}

impl fmt::Display for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.tests.iter().map(|check| check.name.as_str()).collect();
        f.write_str(&names.join(", "))
    }
}

impl Checks {
    /// Builds the tests and the edge, which embeds the XDP program.
    pub(super) fn build() -> Result<Self> {
        run(cargo("build").args(["--package", "secbeat-edge", "--bins"]))?;
        let mut command = cargo("test");
        command.args(["--no-run", "--message-format=json-render-diagnostics"]);
        command.args(["--package", "secbeat-tests"]);
        for (prefix, _) in TESTS {
            command.args(["--test", &format!("{prefix}*")]);
        }
        let messages = output_bytes(&mut command)?;
        let messages = String::from_utf8_lossy(&messages);
        let mut tests: Vec<_> = messages.lines().filter_map(check).collect();
        tests.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            edge: Profile::Debug.bin_dir().join("secbeat-edge"),
            tests,
        })
    }
}

/// The test executable that this message of cargo's is about, if it is about one.
fn check(message: &str) -> Option<Check> {
    let message: Value = serde_json::from_str(message).ok()?;
    let name = message["target"]["name"].as_str()?;
    let (_, threads) = TESTS.into_iter().find(|(prefix, _)| name.starts_with(prefix))?;
    Some(Check {
        name: name.to_owned(),
        threads,
        program: message["executable"].as_str()?.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use std::path::Path;

    #[test]
    fn executables_are_read_from_cargos_messages() {
        let message = r#"{"reason":"compiler-artifact","target":{"name":"packet_fuzz"},"executable":"/t/packet_fuzz-1"}"#;
        let fuzz = check(message).unwrap();
        assert_eq!(
            (fuzz.name.as_str(), fuzz.program.as_path()),
            ("packet_fuzz", Path::new("/t/packet_fuzz-1"))
        );
        assert!(check(&message.replace("packet_fuzz", "loop_bans")).is_none());
        assert!(check(r#"{"reason":"build-finished","success":true}"#).is_none());
        assert!(check("no JSON").is_none());
    }
}
