//! Countries and networks of providers (AS), from MMDB files that the user gives: looked up when somebody looks, never while packets
//! or telemetry wait.
//!
//! * `database`: one file, and what its records say, in the layouts that are common.
//! * `watched`: files that are read again when they change.
//! * `mmdb`, `table`: a file of one's own, made of a public table of networks.

mod database;
mod mmdb;
mod table;
mod watched;

use std::{fmt, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::{
    database::{Networks, is_code, networks_in},
    mmdb::Mmdb,
    table::read_table,
    watched::{Geo, GeoFile},
};
use crate::config::schema;

/// The files that know countries and networks of providers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GeoConfig {
    /// MMDB file with the countries of addresses, such as GeoLite2-Country.mmdb. Read again when it changes.
    #[schemars(with = "Option<schema::File>")]
    pub country: Option<PathBuf>,
    /// MMDB file with the networks of providers (AS), such as GeoLite2-ASN.mmdb. It may be the same file.
    #[schemars(with = "Option<schema::File>")]
    pub asn: Option<PathBuf>,
}

/// Country and provider of an address, as far as known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Origin {
    /// ISO 3166-1, two letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// The autonomous system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// Organisation that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
}

impl Origin {
    /// Whether nothing is known.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        self.country.is_none() && self.asn.is_none() && self.organisation.is_none()
    }

    /// The AS as people read it; empty if it is unknown.
    #[must_use]
    pub fn provider(&self) -> String {
        let asn = self.asn.map(|asn| format!("AS{asn}"));
        let words = [asn, self.organisation.clone()];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for Origin {
    /// As people read it: `DE, AS64500 Example Hosting`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [self.country.clone().unwrap_or_default(), self.provider()];
        let known: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        f.write_str(&known.join(", "))
    }
}

/// Area that networks of the files belong to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Area {
    /// Two letters, upper case.
    Country(String),
    Asn(u32),
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Country(country) => f.write_str(country),
            Self::Asn(asn) => write!(f, "AS{asn}"),
        }
    }
}

/// Selection of networks of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select {
    /// Those of these areas.
    In(Vec<Area>),
    /// Those of a country that is not among these. Where no country is known, nothing is selected.
    Except(Vec<String>),
}
