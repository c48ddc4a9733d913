//! What runs in the guest: the edge, and the one test executable that needs nothing but a kernel and the edge.

use super::series::Series;
use crate::process::{cargo, output_bytes};
use crate::scenario::{self, Profile};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::PathBuf;

/// The test executable.
///
/// The rest of `secbeat-tests` is left out: it is about both daemons, with nginx and NATS around them, which no kernel changes,
/// and its time limits are for machines that are not emulated.
pub(super) const EXECUTABLE: &str = "kernel";

/// The runs of the executable: how many of its tests run side by side, and which. The oldest kernel runs all but races, tables of
/// thousands and the restarts of the edge in `clsact::`: here they take minutes each, and an emulated processor takes turns where a real
/// one races. A newer one, which lies between it and the running kernel, runs what attaches, what is verified, and what is searched.
pub(super) const fn runs(series: Series) -> [(u8, &'static str); 2] {
    let side_by_side = match series {
        Series::V6_1 => {
            "--skip matrix:: --skip _while_ --skip many_networks --skip what_the_prefixes_say --skip clsact::"
        }
        Series::V6_12 => "devices:: hooks:: lane:: lists:: --skip _while_ --skip what_the_prefixes_say",
    };
    // In turn: there is one pair of network cards.
    [(2, side_by_side), (1, "matrix::")]
}

/// The programs built for the guest.
pub(super) struct Checks {
    pub(super) edge: PathBuf,
    pub(super) tests: PathBuf,
}

impl Checks {
    /// Builds the tests and the edge, which embeds the XDP program.
    pub(super) fn build() -> Result<Self> {
        scenario::build(Profile::Debug, &["secbeat-edge"])?;
        let mut command = cargo("test");
        command.args(["--no-run", "--message-format=json-render-diagnostics"]);
        command.args(["--workspace", "--test", EXECUTABLE]);
        let messages = output_bytes(&mut command)?;
        let messages = String::from_utf8_lossy(&messages);
        Ok(Self {
            edge: Profile::Debug.bin_dir().join("secbeat-edge"),
            tests: messages
                .lines()
                .find_map(executable)
                .context("cargo names no test executable that it has built")?,
        })
    }
}

/// Where the test executable is, if this message of cargo's is about it.
fn executable(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let target = &message["target"];
    let is_it = target["name"] == EXECUTABLE && target["kind"][0] == "test";
    is_it.then(|| message["executable"].as_str().map(PathBuf::from))?
}

#[cfg(test)]
mod tests {
    use super::executable;
    use std::path::PathBuf;

    #[test]
    fn the_executable_is_read_from_cargos_messages() {
        let message = r#"{"reason":"compiler-artifact","target":{"kind":["test"],"name":"kernel"},"executable":"/t/kernel-1"}"#;
        assert_eq!(executable(message), Some(PathBuf::from("/t/kernel-1")));
        assert_eq!(executable(&message.replace("\"kernel\"", "\"fleet\"")), None);
        assert_eq!(executable(&message.replace("\"test\"", "\"lib\"")), None);
        assert_eq!(executable(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(executable("no JSON"), None);
    }
}
