//! `status`: both parts of the process.

use secbeat_daemon::{
    cli::{Output, print_json},
    say,
};
use secbeat_edge::cli::Status;
use secbeat_orchestrator::{cli::print_status, view::ApiStats};
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
                print_status(stats);
            }
        }
    }
    host.ensure_protected()?;
    detector.map(|_| ())
}
