//! Whom a command is about.

use std::net::IpAddr;

use anyhow::Context;
use clap::Args;

use secbeat_common::prefix::Prefix;

/// A source or a network, said in one of three ways.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Target {
    /// An address, which stands for its source (an IPv4 address, or the /64 of an IPv6 address), or a CIDR.
    target: Option<Prefix>,
    /// The source of this address.
    #[arg(long, short, value_parser = source)]
    ip: Option<Prefix>,
    /// This network.
    #[arg(long, short, value_name = "CIDR", value_parser = network)]
    range: Option<Prefix>,
}

impl Target {
    /// # Errors
    ///
    /// Never for what was parsed: one of the three is required.
    pub fn prefix(&self) -> anyhow::Result<Prefix> {
        self.target.or(self.ip).or(self.range).context("no target")
    }
}

fn source(text: &str) -> Result<Prefix, String> {
    let address = text.parse::<IpAddr>();
    address
        .map(Prefix::single)
        .map_err(|_| format!("`{text}` is no address such as 192.0.2.1 or 2001:db8::1"))
}

fn network(text: &str) -> Result<Prefix, String> {
    if !text.contains('/') {
        return Err(format!("`{text}` is no network such as 192.0.2.0/24"));
    }
    text.parse().map_err(|error| format!("{error}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        target: Target,
    }

    fn parsed(arguments: &[&str]) -> Option<String> {
        let all = ["x"].iter().chain(arguments);
        let cli = Cli::try_parse_from(all).ok()?;
        Some(cli.target.prefix().unwrap().to_string())
    }

    #[test]
    fn a_target_is_said_in_one_of_three_ways() {
        let source = Some("192.0.2.1/32".to_owned());
        assert_eq!(parsed(&["192.0.2.1"]), source);
        assert_eq!(parsed(&["-i", "192.0.2.1"]), source);
        assert_eq!(parsed(&["-r", "192.0.2.1/32"]), source);
        assert_eq!(parsed(&["--ip", "2001:db8::7"]).as_deref(), Some("2001:db8::/64"));
        assert_eq!(
            parsed(&["--range", "192.0.2.0/24"]).as_deref(),
            Some("192.0.2.0/24")
        );
        for wrong in [
            &[][..],
            &["-i", "192.0.2.0/24"],
            &["-r", "192.0.2.1"],
            &["192.0.2.1", "-i", "192.0.2.1"],
            &["-i", "192.0.2.1", "-r", "192.0.2.0/24"],
        ] {
            assert_eq!(parsed(wrong), None, "{wrong:?}");
        }
    }
}
