//! A writer of MMDB files (<https://maxmind.github.io/MaxMind-DB/>), version 2.0, in the layout that MaxMind's readers expect.

use std::{collections::HashMap, net::IpAddr};

use secbeat_common::prefix::Prefix;

use super::Origin;

/// What separates the tree from the data, in bytes.
const SEPARATOR: usize = 16;
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// What leads nowhere.
const NOWHERE: u32 = u32::MAX;
/// What leads to data, not to a node.
const DATA: u32 = 1 << 31;

/// Types of the format.
const TEXT: u8 = 2;
const UINT16: u8 = 5;
const UINT32: u8 = 6;
const MAP: u8 = 7;
const UINT64: u8 = 9;
const ARRAY: u8 = 11;

/// Networks and what is known of them, as a binary tree over 128 bits. IPv4 lies in `::/96`.
#[derive(Debug)]
pub struct Mmdb {
    /// Where 0 and 1 lead: to [`NOWHERE`], a node, or [`DATA`] with an offset.
    nodes: Vec<[u32; 2]>,
    /// Records, one after the other.
    data: Vec<u8>,
    /// Place of each record.
    known: HashMap<Vec<u8>, u32>,
}

/// Another network that was inserted lies within this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} overlaps a network before it")]
pub struct Overlap(pub Prefix);

impl Default for Mmdb {
    fn default() -> Self {
        Self {
            nodes: vec![[NOWHERE; 2]],
            data: Vec::new(),
            known: HashMap::new(),
        }
    }
}

impl Mmdb {
    /// Adds `network`, which must not touch any before it.
    ///
    /// # Errors
    ///
    /// Returns an error if it does.
    pub fn insert(&mut self, network: Prefix, origin: &Origin) -> Result<(), Overlap> {
        let (bits, len) = match network.addr() {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), network.len() + 96),
            IpAddr::V6(v6) => (v6.to_bits(), network.len()),
        };
        if len == 0 {
            return Err(Overlap(network));
        }
        let record = DATA | self.record(origin);
        let mut node = 0;
        for depth in 0..len {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            let next = self.nodes[node][side];
            if depth + 1 == len {
                if next != NOWHERE {
                    return Err(Overlap(network));
                }
                self.nodes[node][side] = record;
                return Ok(());
            }
            node = match next {
                NOWHERE => {
                    let new = self.nodes.len();
                    self.nodes.push([NOWHERE; 2]);
                    self.nodes[node][side] = new as u32;
                    new
                }
                leaf if leaf & DATA != 0 => return Err(Overlap(network)),
                next => next as usize,
            };
        }
        Ok(())
    }

    /// Returns where the record of `origin` lies.
    fn record(&mut self, origin: &Origin) -> u32 {
        let record = encoded(origin);
        if let Some(offset) = self.known.get(&record) {
            return *offset;
        }
        let offset = self.data.len() as u32;
        self.data.extend(&record);
        self.known.insert(record, offset);
        offset
    }

    /// The file, of a database that calls itself `kind` and was built at `built_at`, seconds since the Unix epoch.
    #[must_use]
    pub fn to_bytes(&self, kind: &str, built_at: u64) -> Vec<u8> {
        let count = self.nodes.len() as u32;
        let mut bytes = Vec::with_capacity(self.nodes.len() * 8 + SEPARATOR + self.data.len() + 256);
        for target in self.nodes.iter().flatten() {
            let value = match *target {
                NOWHERE => count,
                leaf if leaf & DATA != 0 => count + SEPARATOR as u32 + (leaf & !DATA),
                node => node,
            };
            bytes.extend(value.to_be_bytes());
        }
        bytes.extend([0; SEPARATOR]);
        bytes.extend(&self.data);
        bytes.extend(MARKER);
        head(&mut bytes, MAP, 9);
        for (key, value) in [
            ("binary_format_major_version", 2),
            ("binary_format_minor_version", 0),
            ("ip_version", 6),
            ("record_size", 32),
        ] {
            text(&mut bytes, key);
            number(&mut bytes, UINT16, value);
        }
        text(&mut bytes, "build_epoch");
        number(&mut bytes, UINT64, built_at);
        text(&mut bytes, "node_count");
        number(&mut bytes, UINT32, u64::from(count));
        text(&mut bytes, "database_type");
        text(&mut bytes, kind);
        text(&mut bytes, "languages");
        head(&mut bytes, ARRAY, 0);
        text(&mut bytes, "description");
        head(&mut bytes, MAP, 1);
        text(&mut bytes, "en");
        text(
            &mut bytes,
            "Countries and networks of providers, built by SecBeat",
        );
        bytes
    }
}

/// As MaxMind's databases of countries and of AS have it, both in one record.
fn encoded(origin: &Origin) -> Vec<u8> {
    let Origin {
        country,
        asn,
        organisation,
    } = origin;
    let mut bytes = Vec::new();
    let fields =
        usize::from(country.is_some()) + usize::from(asn.is_some()) + usize::from(organisation.is_some());
    head(&mut bytes, MAP, fields);
    if let Some(country) = country {
        text(&mut bytes, "country");
        head(&mut bytes, MAP, 1);
        text(&mut bytes, "iso_code");
        text(&mut bytes, country);
    }
    if let Some(asn) = asn {
        text(&mut bytes, "autonomous_system_number");
        number(&mut bytes, UINT32, u64::from(*asn));
    }
    if let Some(organisation) = organisation {
        text(&mut bytes, "autonomous_system_organization");
        text(&mut bytes, organisation);
    }
    bytes
}

/// The control bytes of a value with this type and size.
fn head(bytes: &mut Vec<u8>, kind: u8, size: usize) {
    let (short, long) = if kind < 8 {
        (kind, None)
    } else {
        (0, Some(kind - 7))
    };
    // Three bytes hold every text that fits into a line.
    let (code, extra): (u8, Vec<u8>) = match size {
        0..29 => (size as u8, Vec::new()),
        29..285 => (29, vec![(size - 29) as u8]),
        285..65_821 => (30, ((size - 285) as u16).to_be_bytes().to_vec()),
        _ => (31, ((size - 65_821) as u32).to_be_bytes()[1..].to_vec()),
    };
    bytes.push(short << 5 | code);
    bytes.extend(long);
    bytes.extend(extra);
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    head(bytes, TEXT, text.len());
    bytes.extend(text.as_bytes());
}

/// A number without the zeros that it begins with.
fn number(bytes: &mut Vec<u8>, kind: u8, value: u64) {
    let all = value.to_be_bytes();
    let zeros = value.leading_zeros() as usize / 8;
    head(bytes, kind, 8 - zeros);
    bytes.extend(&all[zeros..]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use maxminddb::Reader;
    use proptest::prelude::*;

    use super::*;

    fn origin(asn: u32, name: &str) -> Origin {
        Origin {
            country: asn.is_multiple_of(3).then(|| "DE".to_owned()),
            asn: Some(asn),
            organisation: (!name.is_empty()).then(|| name.to_owned()),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// What the reader that everybody uses finds in a file is what was put into it.
        #[test]
        fn what_was_written_is_read(
            v4 in prop::collection::btree_map(any::<u32>(), (8_u8..=32, any::<u32>(), ".{0,40}"), 0..40),
            v6 in prop::collection::btree_map(any::<u128>(), (19_u8..=128, any::<u32>(), "[a-z]{0,400}"), 0..40),
        ) {
            let mut mmdb = Mmdb::default();
            let mut inserted = BTreeMap::new();
            let v4 = v4.into_iter().map(|(bits, record)| (IpAddr::V4(bits.into()), record));
            let v6 = v6.into_iter().map(|(bits, record)| (IpAddr::V6(bits.into()), record));
            for (addr, (len, asn, name)) in v4.chain(v6) {
                let network = Prefix::new(addr, len).unwrap();
                let origin = origin(asn, &name);
                let touches = |other: &&Prefix| other.covers(&network) || network.covers(other);
                let overlaps = inserted.keys().any(|other| touches(&other));
                prop_assert_eq!(mmdb.insert(network, &origin).is_err(), overlaps);
                if !overlaps {
                    inserted.insert(network, origin);
                }
            }
            let reader = Reader::from_source(mmdb.to_bytes("Test", 1_700_000_000)).unwrap();
            reader.verify().unwrap();
            for (network, origin) in inserted {
                let found = reader.lookup(network.addr()).unwrap();
                let record: serde_json::Value = found.decode().unwrap().unwrap();
                let said = |key: &str| record.get(key).cloned();
                prop_assert_eq!(found.network().unwrap().to_string(), network.to_string());
                prop_assert_eq!(said("autonomous_system_number"), origin.asn.map(Into::into));
                prop_assert_eq!(said("autonomous_system_organization"), origin.organisation.map(Into::into));
                let country = record.pointer("/country/iso_code").cloned();
                prop_assert_eq!(country, origin.country.map(Into::into));
            }
        }
    }
}
