//! Units and identifiers of a service in the journal.

use serde::Deserialize;

/// Facilities of syslog (RFC 5424, 6.2.1) by which a filter may find messages, as the journal numbers them.
const FACILITIES: [(&str, u8); 7] = [
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
];

/// Where the journal has the service's messages: those of the units, and what comes by syslog or the journal's own protocol with a facility
/// of these. A name narrows what the units say; alone, it is looked for as a facility is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Journald {
    /// Units of systemd; `NAME@*.service` is each that its template makes.
    pub units: Vec<String>,
    /// Values of `SYSLOG_IDENTIFIER`. Where no unit is stated, any user of the host can write one.
    pub identifiers: Vec<String>,
    /// Names of facilities, where no name is known. Any user of the host can write one.
    pub facilities: Vec<String>,
}

impl Journald {
    /// What is wrong with it: the key, and what.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if let Some(unit) = self.units.iter().find(|unit| !is_unit(unit)) {
            let what =
                format!("invalid unit `{unit}`: expected a full name, such as nginx.service or x@*.service");
            return Err(("journald.units", what));
        }
        if let Some(name) = self.facilities.iter().find(|name| facility(name).is_none()) {
            let known: Vec<_> = FACILITIES.iter().map(|(known, _)| *known).collect();
            let what = format!("invalid facility `{name}`: expected one of {}", known.join(", "));
            return Err(("journald.facilities", what));
        }
        Ok(())
    }
}

/// The journal's number of a facility, `None` if there is none of this name.
#[must_use]
pub fn facility(name: &str) -> Option<u8> {
    let known = FACILITIES.iter().find(|(known, _)| *known == name);
    known.map(|(_, number)| *number)
}

/// Whether a text is the full name of a unit of systemd (systemd.unit(5)), or a template's with `*` as the instance.
#[must_use]
pub fn is_unit(text: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    let text = text.replacen("@*.", "@.", 1);
    text.contains('.') && !text.starts_with(['-', '@']) && text.bytes().all(is_name)
}

/// The slice in which systemd puts the instances of a template, by default; `None` of a unit that is not a [template](is_unit).
#[must_use]
pub fn slice_of_instances(unit: &str) -> Option<String> {
    let (template, _) = unit.split_once("@*.")?;
    // A hyphen in the name of a slice has a meaning, so it is escaped (systemd.unit(5), again if it was).
    let escaped = template.replace('\\', r"\x5c").replace('-', r"\x2d");
    Some(format!("system-{escaped}.slice"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_of_a_template_are_in_its_slice() {
        for (unit, slice) in [
            ("sshd@*.service", Some("system-sshd.slice")),
            (
                "openvpn-server@*.service",
                Some(r"system-openvpn\x2dserver.slice"),
            ),
            ("postfix@-.service", None),
            ("ssh.service", None),
        ] {
            assert!(is_unit(unit), "{unit}");
            assert_eq!(slice_of_instances(unit).as_deref(), slice, "{unit}");
        }
        for unit in [
            "ssh",
            "ssh*.service",
            "ssh@*",
            "@*.service",
            "-a.service",
            "a@*x.service",
            "a b.service",
        ] {
            assert!(!is_unit(unit), "{unit}");
        }
    }

    #[test]
    fn what_the_journal_cannot_have_is_an_error() {
        let journald = |units: &[&str], facilities: &[&str]| Journald {
            units: units.iter().map(|text| (*text).to_owned()).collect(),
            identifiers: Vec::new(),
            facilities: facilities.iter().map(|text| (*text).to_owned()).collect(),
        };
        assert_eq!(
            journald(&["a.service", "b@*.service"], &["authpriv"]).check(),
            Ok(())
        );
        let (key, what) = journald(&["a*.service"], &[]).check().unwrap_err();
        assert_eq!(key, "journald.units");
        assert!(what.starts_with("invalid unit `a*.service`"), "{what}");
        let (_, what) = journald(&[], &["security"]).check().unwrap_err();
        assert!(what.contains("expected one of user, mail"), "{what}");
    }
}
