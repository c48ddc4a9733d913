//! `geo`: what the files with countries and networks of providers say, and how to make one.

use std::{fs::File, path::PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{ArgGroup, Args, Subcommand};
use secbeat_common::prefix::Prefix;
use secbeat_daemon::{
    cli::{Cell, Column, Records},
    complain,
    compressed::decompressed,
    geo::{Area, Geo, Mmdb, Origin, Select, is_code, read_table},
    say,
    time::now_ms,
    whole_file::{Outlives, Readers, replace},
};
use serde::Serialize;

use crate::config::Config;

/// What the database calls itself.
const KIND: &str = "SecBeat-Country-ASN";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the country and the provider of addresses and networks.
    Lookup(Lookup),
    /// List all networks of countries and providers, one a line, as `import` reads them.
    Networks(Networks),
    /// Make an MMDB file of public tables, such as iptoasn's.
    Build(Build),
}

#[derive(Debug, Args)]
pub struct Lookup {
    /// Addresses and CIDRs.
    #[arg(required = true)]
    networks: Vec<Prefix>,
    #[command(flatten)]
    records: Records,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true))]
pub struct Networks {
    /// Of this country: two letters.
    #[arg(long, value_name = "XX", group = "which", value_parser = country)]
    country: Vec<String>,
    /// Of this AS.
    #[arg(long, value_name = "NUMBER", group = "which", value_parser = asn)]
    asn: Vec<u32>,
    /// Of every country but this one and others that are named so; not those of which the file names no country.
    #[arg(long, value_name = "XX", group = "which", conflicts_with_all = ["country", "asn"], value_parser = country)]
    except_country: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Build {
    /// Tables such as ip2asn-combined.tsv.gz of iptoasn.com: first and last address of a range, AS, country and name of the AS, or the
    /// country alone, with tabs between them. Plain or compressed.
    #[arg(required = true, value_name = "TABLE")]
    tables: Vec<PathBuf>,
    /// The MMDB file to write. One that is there is replaced at once.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// What the files say of a network.
#[derive(Debug, Serialize)]
struct GeoRow {
    network: String,
    #[serde(flatten)]
    origin: Origin,
}

const FOUND: [Column<GeoRow>; 4] = [
    Column("NETWORK", "network", |found| Cell::Network(found.network.clone())),
    Column("COUNTRY", "country", |found| {
        Cell::Text(found.origin.country.clone().unwrap_or_default())
    }),
    Column("ASN", "asn", |found| {
        Cell::Text(found.origin.asn.map(|asn| asn.to_string()).unwrap_or_default())
    }),
    Column("ORGANISATION", "organisation", |found| {
        Cell::Text(found.origin.organisation.clone().unwrap_or_default())
    }),
];

impl Command {
    pub(super) fn execute(&self, config: &Config) -> anyhow::Result<()> {
        match self {
            Self::Lookup(lookup) => lookup.execute(config),
            Self::Networks(networks) => networks.execute(config),
            Self::Build(build) => build.execute(),
        }
    }
}

impl Lookup {
    fn execute(&self, config: &Config) -> anyhow::Result<()> {
        let geo = open(config)?;
        let found = self.networks.iter().map(|network| GeoRow {
            network: network.to_string(),
            origin: geo.of(network),
        });
        self.records.show(&FOUND, found.collect(), "")
    }
}

impl Networks {
    fn execute(&self, config: &Config) -> anyhow::Result<()> {
        let geo = open(config)?;
        let countries = self.country.iter().cloned().map(Area::Country);
        let areas = countries.chain(self.asn.iter().copied().map(Area::Asn));
        let select = match self.except_country.as_slice() {
            [] => Select::In(areas.collect()),
            countries => Select::Except(countries.to_vec()),
        };
        let mut found = geo.networks(&select).map_err(anyhow::Error::msg)?;
        for area in &found.missing {
            complain!("{area}: the file has no network of it");
        }
        ensure!(!found.networks.is_empty(), "no network matches");
        found.networks.sort_unstable();
        for network in &found.networks {
            say!("{network}");
        }
        Ok(())
    }
}

/// The files that the config names.
fn open(config: &Config) -> anyhow::Result<Geo> {
    let geo = match Geo::check(&config.geo) {
        Ok(geo) => geo,
        Err((key, why)) => bail!("{key}: {why}"),
    };
    ensure!(
        geo.is_configured(),
        "the config names no file: set `country` and `asn` in [geo]"
    );
    Ok(geo)
}

/// A country's code.
fn country(text: &str) -> Result<String, String> {
    let code = text.to_ascii_uppercase();
    match is_code(&code) {
        true => Ok(code),
        false => Err("a country has two letters, such as DE".to_owned()),
    }
}

/// The number of an AS, as `3215` or `AS3215`.
fn asn(text: &str) -> Result<u32, String> {
    let digits = text.trim_start_matches(['A', 'a']).trim_start_matches(['S', 's']);
    digits
        .parse()
        .map_err(|_| format!("`{text}` is not the number of an AS, such as 3215 or AS3215"))
}

impl Build {
    fn execute(&self) -> anyhow::Result<()> {
        let mut mmdb = Mmdb::default();
        let mut networks = 0;
        for table in &self.tables {
            let reading = || format!("reading {}", table.display());
            let file = File::open(table).with_context(reading)?;
            let input = decompressed(file).with_context(reading)?;
            networks += read_table(&mut mmdb, input).with_context(reading)?;
        }
        ensure!(
            networks > 0,
            "the tables name no country and no AS: nothing was written"
        );
        let bytes = mmdb.to_bytes(KIND, u64::try_from(now_ms() / 1000).unwrap_or_default());
        replace(&self.to, &bytes, Readers::Everybody, Outlives::Crash)
            .with_context(|| format!("writing {}", self.to.display()))?;
        say!(
            "{}: {networks} networks, {} bytes",
            self.to.display(),
            bytes.len()
        );
        Ok(())
    }
}
