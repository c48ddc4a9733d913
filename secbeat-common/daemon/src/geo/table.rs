//! Public tables of networks, such as iptoasn's, which is in the public domain.

use std::{
    io::{BufRead, BufReader, Read},
    net::IpAddr,
};

use anyhow::{Context as _, bail, ensure};
use ipnet::{IpSubnets, Ipv4Subnets, Ipv6Subnets};
use secbeat_common::prefix::Prefix;

use super::{Mmdb, Origin, database::is_code};

/// What stands where no country is known.
const NO_COUNTRY: [&str; 3] = ["None", "Unknown", ""];

/// Adds the lines of `input` to `mmdb`: the first and the last address of a range, and after tabs the AS, the country and the name of
/// the AS, or the country alone. Returns how many networks that were.
///
/// # Errors
///
/// The number of the first line that is something else.
pub fn read_table(mmdb: &mut Mmdb, input: impl Read) -> anyhow::Result<usize> {
    let mut networks = 0;
    for (line, number) in BufReader::new(input).lines().zip(1..) {
        let line = line.with_context(|| format!("line {number}"))?;
        if !line.trim().is_empty() {
            networks += add(mmdb, &line).with_context(|| format!("line {number}"))?;
        }
    }
    Ok(networks)
}

fn add(mmdb: &mut Mmdb, line: &str) -> anyhow::Result<usize> {
    let fields: Vec<_> = line.split('\t').collect();
    let (first, last, asn, country, name) = match fields.as_slice() {
        [first, last, asn, country, name] => (*first, *last, *asn, *country, *name),
        [first, last, country] => (*first, *last, "0", *country, ""),
        _ => bail!(
            "{} fields between tabs; expected 5, as in ip2asn-combined.tsv of iptoasn, or 3, as in ip2country-v4.tsv",
            fields.len()
        ),
    };
    let address = |text: &str| -> anyhow::Result<IpAddr> {
        text.parse().with_context(|| format!("invalid address `{text}`"))
    };
    let asn: u32 = asn
        .parse()
        .with_context(|| format!("invalid AS number `{asn}`: expected one such as 64500"))?;
    let country = match country {
        unknown if NO_COUNTRY.contains(&unknown) => None,
        code => {
            ensure!(
                is_code(code),
                "invalid country code `{code}`: expected two letters, upper case"
            );
            Some(code.to_owned())
        }
    };
    let asn = Some(asn).filter(|asn| *asn != 0);
    let origin = Origin {
        country,
        asn,
        organisation: asn.map(|_| name.to_owned()).filter(|name| !name.is_empty()),
    };
    // Networks that nobody announces are in the table, too.
    if origin.is_unknown() {
        return Ok(0);
    }
    let subnets = match (address(first)?, address(last)?) {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
            IpSubnets::V4(Ipv4Subnets::new(first, last, 0))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
            IpSubnets::V6(Ipv6Subnets::new(first, last, 0))
        }
        _ => bail!(
            "invalid range `{first}` to `{last}`: expected two addresses of one family in ascending order"
        ),
    };
    let mut count = 0;
    for net in subnets {
        mmdb.insert(Prefix::new(net.addr(), net.prefix_len())?, &origin)?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use maxminddb::Reader;

    use super::*;

    #[test]
    fn a_table_of_iptoasn_becomes_a_file() {
        let table = "0.0.0.0\t0.255.255.255\t0\tNone\tNot routed\n\
                     192.0.2.0\t192.0.2.130\t64500\tDE\tEXAMPLE-AS Example GmbH\n\
                     192.0.2.131\t192.0.2.255\t64501\tNone\tOTHER\n\
                     2001:db8::\t2001:db8:ffff:ffff:ffff:ffff:ffff:ffff\t64500\tDE\tEXAMPLE-AS Example GmbH\n";
        let mut mmdb = Mmdb::default();
        // .0/25, .128/31 and .130, then .131, .132/30, .136/29, .144/28, .160/27 and .192/26; one of IPv6.
        assert_eq!(read_table(&mut mmdb, table.as_bytes()).unwrap(), 10);
        let reader = Reader::from_source(mmdb.to_bytes("Test", 0)).unwrap();
        let asn = |addr: &str| {
            let found = reader.lookup(addr.parse().unwrap()).unwrap();
            let record: Option<serde_json::Value> = found.decode().unwrap();
            record.map(|record| record["autonomous_system_number"].as_u64().unwrap())
        };
        let found = [
            "192.0.2.130",
            "192.0.2.131",
            "192.0.3.0",
            "2001:db8:1::1",
            "0.0.0.1",
        ]
        .map(asn);
        assert_eq!(found, [Some(64500), Some(64501), None, Some(64500), None]);
    }

    #[test]
    fn a_line_that_is_something_else_is_named() {
        for (line, expected) in [
            (
                "192.0.2.0,192.0.2.255,64500,DE,x",
                "line 2: 1 fields between tabs",
            ),
            (
                "192.0.2.0\t192.0.2.255\tAS64500\tDE\tx",
                "line 2: invalid AS number `AS64500`: expected one such as 64500",
            ),
            (
                "192.0.2.9\t192.0.2.0\t64500\tDE\tx",
                "line 2: invalid range `192.0.2.9` to `192.0.2.0`: expected two addresses",
            ),
            (
                "192.0.2.0\t192.0.2.255\tGermany",
                "line 2: invalid country code `Germany`",
            ),
            (
                "198.51.100.0\t198.51.100.7\tDE",
                "line 2: 198.51.100.0/29 overlaps a network before it",
            ),
        ] {
            let table = format!("198.51.100.0\t198.51.100.255\tFR\n{line}\n");
            let error = read_table(&mut Mmdb::default(), table.as_bytes()).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
