//! Indicators of STIX 2, as far as they name addresses.

use super::{
    list::{About, Found, Purpose, Source},
    values::{Fields, scalars},
    verdict::Verdict,
    when,
};

/// Takes the addresses of an indicator with these `fields`.
pub(super) fn take(line: u64, fields: &Fields<'_>, source: &Source<'_>, found: &mut Found) {
    let text = |key: &str| {
        let value = fields.get(key).copied();
        value.map(|value| scalars(value).join(", ")).unwrap_or_default()
    };
    if text("revoked") == "true" {
        return found.pass_over("revoked indicators");
    }
    if text("confidence") == "0" {
        return found.pass_over("indicators with a confidence of 0");
    }
    let end = match text("valid_until").as_str() {
        "" => Ok(None),
        until => when::end(until, source.zone).map(Some),
    };
    let (networks, end) = match (named(&text("pattern")), end) {
        (Ok(Named::Others), _) => return found.pass_over("indicators that name no address"),
        (Ok(Named::Networks(networks)), Ok(end)) => (networks, end),
        (Err(why), _) | (_, Err(why)) => return found.bad(line, why),
    };
    let kinds = ["indicator_types", "labels"].map(text).join(", ");
    if source.purpose == Purpose::Bans && Verdict::of_tags(&kinds, Purpose::Bans) == Verdict::Other {
        networks.iter().for_each(|network| found.except(line, network));
        return found.pass_over(format!(
            "indicators of the kind `{}`",
            kinds.trim_matches([',', ' '])
        ));
    }
    for network in networks {
        let about = About {
            end,
            ..About::noting(text("name"))
        };
        found.take(line, &network, about);
    }
}

/// What an indicator's pattern names.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    /// Any of these addresses and networks; something else may be named beside them.
    Networks(Vec<String>),
    /// Something else alone: domains, hashes.
    Others,
}

/// The addresses of a pattern such as `[ipv4-addr:value = '198.51.100.7' OR domain-name:value = 'a.example']`.
///
/// # Errors
///
/// Returns an error if it asks for more than one of several values.
fn named(pattern: &str) -> Result<Named, String> {
    const MORE: [&str; 7] = [
        " AND ",
        " FOLLOWEDBY ",
        " WITHIN ",
        " REPEATS ",
        " NOT ",
        "!=",
        " MATCHES ",
    ];
    if let Some(more) = MORE.iter().find(|more| pattern.contains(**more)) {
        return Err(format!(
            "a pattern with `{}` is about more than an address",
            more.trim()
        ));
    }
    let mut networks = Vec::new();
    for comparison in pattern.split(" OR ") {
        let comparison = comparison
            .trim()
            .trim_start_matches(['[', '('])
            .trim_end_matches([']', ')']);
        let divided = [" = ", "=", " ISSUBSET "]
            .iter()
            .find_map(|operator| comparison.split_once(operator));
        let Some((object, value)) = divided else {
            return Err(format!(
                "invalid comparison `{comparison}`: expected one such as `ipv4-addr:value = '198.51.100.7'`"
            ));
        };
        if matches!(object.trim(), "ipv4-addr:value" | "ipv6-addr:value") {
            networks.push(value.trim().trim_matches('\'').to_owned());
        }
    }
    Ok(match networks.is_empty() {
        true => Named::Others,
        false => Named::Networks(networks),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_addresses_or_others_or_is_about_more() {
        let networks = |all: &[&str]| Ok(Named::Networks(all.iter().map(ToString::to_string).collect()));
        for (pattern, expected) in [
            ("[ipv4-addr:value = '198.51.100.7']", networks(&["198.51.100.7"])),
            (
                "[ipv4-addr:value='198.51.100.0/24' OR ipv6-addr:value = '2001:db8::1'] OR [domain-name:value = 'a']",
                networks(&["198.51.100.0/24", "2001:db8::1"]),
            ),
            (
                "[ipv4-addr:value ISSUBSET '198.51.100.0/24']",
                networks(&["198.51.100.0/24"]),
            ),
            ("[file:hashes.MD5 = 'x']", Ok(Named::Others)),
        ] {
            assert_eq!(named(pattern), expected, "{pattern}");
        }
        for more in [
            "[ipv4-addr:value = '198.51.100.7' AND url:value = 'x']",
            "[ipv4-addr:value != '198.51.100.7']",
            "[ipv4-addr:value]",
        ] {
            assert!(named(more).is_err(), "{more}");
        }
    }
}
