//! One MMDB file.

use std::{collections::HashMap, fs, io, path::Path};

use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use secbeat_common::prefix::Prefix;
use serde::Deserialize;

use super::{Area, Origin, Select};

/// Largest file that is read, in bytes: ten times the largest of those that are published.
const MAX_FILE: u64 = 1024 * 1024 * 1024;
/// Longest name of an organisation that is shown, in bytes.
const MAX_NAME: usize = 100;

/// The reason why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum GeoError {
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    #[error("{0} bytes are more than an MMDB file has: 1 GiB at most are read")]
    TooLarge(u64),
    #[error("no MMDB file, or a damaged one: {0}")]
    Damaged(#[from] MaxMindDbError),
    #[error(
        "the database `{kind}` names no {what}: SecBeat reads `country.iso_code`, `country_code`, `country` with two letters, \
         `autonomous_system_number` and `asn`"
    )]
    Lacks { kind: String, what: &'static str },
}

/// The fields for which a file is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct GeoFields {
    pub(super) country: bool,
    pub(super) asn: bool,
}

/// A file that was read, and is whole.
#[derive(Debug)]
pub(super) struct Database {
    reader: Reader<Vec<u8>>,
}

/// Networks of some areas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    pub networks: Vec<Prefix>,
    /// Areas of which there are none.
    pub missing: Vec<Area>,
}

/// What a record is among those that are looked for.
#[derive(Clone, Copy, Debug)]
struct DecodedRecord {
    area: Option<usize>,
    wanted: bool,
}

/// A record in any layout: MaxMind's and DB-IP's, those of ip-location-db and of IPinfo.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record {
    country: Option<Country>,
    country_code: Option<String>,
    autonomous_system_number: Option<u32>,
    autonomous_system_organization: Option<String>,
    asn: Option<Asn>,
    as_name: Option<String>,
    as_organization: Option<String>,
    /// Of the provider, next to `asn`.
    name: Option<Other<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Country {
    Map { iso_code: Option<String> },
    Text(String),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Asn {
    Number(u32),
    Text(String),
    /// As in databases with everything in one record.
    Map {
        asn: Option<Box<Asn>>,
        name: Option<String>,
    },
}

/// A value that may be something else.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Other<T> {
    This(T),
    Else(serde::de::IgnoredAny),
}

/// All networks that `select` means in the MMDB file at `path`. It reads the file, and walks through it.
///
/// # Errors
///
/// Why the file cannot be used, in words.
pub fn networks_in(path: &Path, select: &Select) -> Result<Networks, String> {
    let is_asn = |area: &Area| matches!(area, Area::Asn(_));
    let asn = matches!(select, Select::In(areas) if areas.iter().all(is_asn));
    let wanted = GeoFields { country: !asn, asn };
    let database = Database::open(path, wanted).map_err(|error| error.to_string())?;
    database.networks(select).map_err(|error| error.to_string())
}

impl Database {
    pub(super) fn open(path: &Path, wanted: GeoFields) -> Result<Self, GeoError> {
        let size = fs::metadata(path)?.len();
        if size > MAX_FILE {
            return Err(GeoError::TooLarge(size));
        }
        let reader = Reader::from_source(fs::read(path)?)?;
        // A file that was cut off is found out here, not at the first address that lies behind the cut.
        reader.verify()?;
        let database = Self { reader };
        database.check(wanted)?;
        Ok(database)
    }

    /// Whether some record has what is wanted.
    fn check(&self, wanted: GeoFields) -> Result<(), GeoError> {
        let mut lacking = wanted;
        let mut seen = HashMap::new();
        for found in self.reader.networks(WithinOptions::default())? {
            let found = found?;
            if found
                .offset()
                .is_none_or(|offset| seen.insert(offset, ()).is_some())
            {
                continue;
            }
            let origin = found.decode::<Record>()?.unwrap_or_default().origin();
            lacking.country &= origin.country.is_none();
            lacking.asn &= origin.asn.is_none();
            if lacking == GeoFields::default() {
                return Ok(());
            }
        }
        let what = if lacking.country {
            "countries"
        } else {
            "networks of providers"
        };
        let kind = self.reader.metadata().database_type.clone();
        Err(GeoError::Lacks { kind, what })
    }

    /// As it calls itself.
    pub(super) fn kind(&self) -> &str {
        &self.reader.metadata().database_type
    }

    /// Seconds since the Unix epoch.
    pub(super) fn built_at(&self) -> u64 {
        self.reader.metadata().build_epoch
    }

    /// Returns what is known of all of `network`; nothing if it lies in several.
    pub(super) fn of(&self, network: &Prefix) -> Origin {
        let Ok(found) = self.reader.lookup(network.addr()) else {
            return Origin::default();
        };
        let is_inside = found.network().is_ok_and(|around| {
            around.ip().is_ipv4() == network.addr().is_ipv4() && around.prefix() <= network.len()
        });
        match found.decode::<Record>() {
            Ok(Some(record)) if is_inside => record.origin(),
            _ => Origin::default(),
        }
    }

    /// All networks that `select` means.
    pub(super) fn networks(&self, select: &Select) -> Result<Networks, GeoError> {
        let areas = match select {
            Select::In(areas) => areas.clone(),
            // Those of which there are none are missing, too: it may be a slip of the keyboard.
            Select::Except(countries) => countries.iter().cloned().map(Area::Country).collect(),
        };
        // By where the record lies: many networks share one.
        let mut known: HashMap<usize, DecodedRecord> = HashMap::new();
        let mut counts = vec![0_u64; areas.len()];
        let mut networks = Vec::new();
        for found in self.reader.networks(WithinOptions::default())? {
            let found = found?;
            let Some(offset) = found.offset() else {
                continue;
            };
            let is = match known.get(&offset) {
                Some(is) => *is,
                None => {
                    let origin = found.decode::<Record>()?.unwrap_or_default().origin();
                    let area = areas.iter().position(|area| origin.is_in(area));
                    let wanted = match select {
                        Select::In(_) => area.is_some(),
                        Select::Except(_) => area.is_none() && origin.country.is_some(),
                    };
                    known.insert(offset, DecodedRecord { area, wanted });
                    DecodedRecord { area, wanted }
                }
            };
            if let Some(count) = is.area.and_then(|area| counts.get_mut(area)) {
                *count += 1;
            }
            let network = found.network()?;
            if let Ok(network) = Prefix::new(network.network(), network.prefix())
                && is.wanted
            {
                networks.push(network);
            }
        }
        let missing = areas.into_iter().zip(counts).filter(|(_, count)| *count == 0);
        Ok(Networks {
            networks,
            missing: missing.map(|(area, _)| area).collect(),
        })
    }
}

impl Origin {
    fn is_in(&self, area: &Area) -> bool {
        match area {
            Area::Country(country) => self.country.as_ref() == Some(country),
            Area::Asn(asn) => self.asn == Some(*asn),
        }
    }
}

impl Record {
    fn origin(self) -> Origin {
        let iso_code = self.country.and_then(|country| match country {
            Country::Map { iso_code } => iso_code,
            Country::Text(text) => Some(text),
        });
        let country = [iso_code, self.country_code].into_iter().flatten();
        let of_asn = self.asn.and_then(Asn::number);
        let (number, name) = of_asn.map_or((None, None), |(number, name)| (Some(number), name));
        let asn = self.autonomous_system_number.or(number).filter(|asn| *asn != 0);
        let plain = match self.name {
            Some(Other::This(name)) => Some(name),
            Some(Other::Else(_)) | None => None,
        };
        let names = [
            self.autonomous_system_organization,
            self.as_name,
            self.as_organization,
            name,
            plain,
        ];
        let name = names.into_iter().flatten().find(|name| !name.is_empty());
        Origin {
            country: country
                .map(|code| code.to_ascii_uppercase())
                .find(|code| is_code(code)),
            asn,
            organisation: name.filter(|_| asn.is_some()).map(|name| shown(&name)),
        }
    }
}

impl Asn {
    fn number(self) -> Option<(u32, Option<String>)> {
        match self {
            Self::Number(number) => Some((number, None)),
            Self::Text(text) => {
                let digits = text.trim_start_matches("AS").trim_start_matches("as");
                Some((digits.parse().ok()?, None))
            }
            Self::Map { asn, name } => asn?.number().map(|(number, _)| (number, name)),
        }
    }
}

/// Whether it is a country's code: two letters, upper case.
#[must_use]
pub fn is_code(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|letter| letter.is_ascii_uppercase())
}

/// A name without what moves a cursor, and not too long.
fn shown(name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    name[..name.floor_char_boundary(MAX_NAME)].to_owned()
}
