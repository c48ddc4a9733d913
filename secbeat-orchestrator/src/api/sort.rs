//! Orders of bans, as the API and the command line say them.

use std::{fmt, str::FromStr};

use secbeat_orchestrator_core::ledger::{BanOrder, SortKey};

/// An order of bans as the API says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BanSort(pub(crate) BanOrder);

/// What bans are sorted by: in the API, and as a column of a list.
const SORTS: [(SortKey, &str, &str); 4] = [
    (SortKey::Target, "target", "target"),
    (SortKey::Issued, "issued", "issued_at"),
    (SortKey::Expires, "expires", "expires_at"),
    (SortKey::Strikes, "strikes", "strikes"),
];

impl BanSort {
    fn found(
        text: &str,
        name: fn(&(SortKey, &'static str, &'static str)) -> [&'static str; 2],
    ) -> Option<Self> {
        let (is_descending, wanted) = match text.strip_prefix('-') {
            Some(wanted) => (true, wanted),
            None => (false, text),
        };
        let found = SORTS.iter().find(|sort| name(sort).contains(&wanted));
        found.map(|(by, ..)| {
            Self(BanOrder {
                by: *by,
                is_descending,
            })
        })
    }

    /// The order by a column of a list, if the daemon sorts by it.
    pub(crate) fn of_column(text: &str) -> Option<Self> {
        Self::found(text, |(_, name, column)| [name, column])
    }
}

impl FromStr for BanSort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::found(text, |(_, name, _)| [name, name]).ok_or_else(|| {
            let names = SORTS.map(|(_, name, _)| name).join(", ");
            format!("invalid sort key `{text}`: expected one of {names}")
        })
    }
}

impl fmt::Display for BanSort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(BanOrder { by, is_descending }) = self;
        let name = SORTS
            .iter()
            .find(|(key, ..)| key == by)
            .map_or("target", |(_, name, _)| name);
        write!(f, "{}{name}", if *is_descending { "-" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_said_by_name_in_the_api_and_by_column_in_lists() {
        for text in ["target", "-strikes", "expires", "-issued"] {
            assert_eq!(text.parse::<BanSort>().unwrap().to_string(), text);
        }
        let of_column = |column| BanSort::of_column(column).map(|sort| sort.to_string());
        assert_eq!(of_column("-expires_at").as_deref(), Some("-expires"));
        assert_eq!(of_column("note"), None);
        assert_eq!(
            "expires_at".parse::<BanSort>(),
            Err("invalid sort key `expires_at`: expected one of target, issued, expires, strikes".to_owned())
        );
    }
}
