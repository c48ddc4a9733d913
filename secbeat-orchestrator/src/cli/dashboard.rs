//! `dashboard`: a link to the dashboard.

use clap::Args;
use secbeat_daemon::{
    api::ApiClient,
    cli::{Output, print_json},
    complain, say,
};
use serde_json::json;

use crate::api::session::Link;

/// Print a one-time link that signs a browser in to the dashboard, within 5 minutes.
#[derive(Debug, Args)]
pub struct Dashboard {
    /// Output format.
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    output: Output,
}

impl Dashboard {
    pub(super) fn execute(&self, api: &ApiClient) -> anyhow::Result<()> {
        let link: Link = api.post("/api/v1/session/links", &json!({}))?;
        match self.output {
            Output::Json => print_json(&link)?,
            Output::Table => {
                say!("{}", link.url);
                let Link { url, name, role, .. } = &link;
                complain!(
                    "Open it in a browser within 5 minutes, once: it signs in as `{name}` with the role `{role}`."
                );
                let place = url.split('/').nth(2).unwrap_or_default();
                if let Some(port) = place.strip_prefix("127.0.0.1:") {
                    complain!("From another machine, `ssh -L {port}:{place} HOST` brings the page there.");
                }
            }
        }
        Ok(())
    }
}
