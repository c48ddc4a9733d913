//! `[[list]]`: static lists of this host.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use secbeat_common::lists::MAX_LISTS;
use secbeat_daemon::{
    config::schema,
    geo::{Area, GeoConfig, Select, is_code},
};
use serde::Deserialize;

use super::{ListName, ListVerdict, Origin};

/// A static list of prefixes, of any length and number up to two million, for which one verdict holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListConfig {
    /// Its name in commands, metrics and the log: 1 to 32 letters, digits, `-`, `_` or `.`.
    #[schemars(with = "String")]
    pub(crate) name: ListName,
    /// The file, in any format that `import` reads. The edge takes it again when it changes. Instead of it, one of the next three keys
    /// says what is on the list.
    #[serde(default)]
    #[schemars(with = "Option<schema::File>")]
    pub(crate) file: Option<PathBuf>,
    /// Countries, two letters each: all their networks in the file `geo.country`.
    #[serde(default)]
    pub(crate) country: Vec<String>,
    /// Numbers of AS, the networks of providers: all their networks in the file `geo.asn`.
    #[serde(default)]
    pub(crate) asn: Vec<u32>,
    /// Countries, two letters each: all networks in the file `geo.country` of every other country. With `verdict = "ban"`, only clients of these
    /// countries get in, and those of which the file names no country.
    #[serde(default)]
    pub(crate) except_country: Vec<String>,
    /// What becomes of packets of its addresses: `"ban"` drops them, `"allow"` never drops them whatever bans them, `"observe"` only
    /// counts them.
    pub(crate) verdict: ListVerdict,
}

impl ListConfig {
    /// Returns which networks of a file with countries or providers are on it; `None` if it is a file of prefixes.
    pub(crate) fn select(&self) -> Option<Select> {
        let countries = self.country.iter().cloned().map(Area::Country);
        let areas: Vec<_> = countries.chain(self.asn.iter().copied().map(Area::Asn)).collect();
        match (self.file.is_some(), self.except_country.is_empty()) {
            (true, _) => None,
            (false, true) => Some(Select::In(areas)),
            (false, false) => Some(Select::Except(self.except_country.clone())),
        }
    }

    /// The file that says what is on it.
    ///
    /// # Errors
    ///
    /// The key that names none.
    pub(crate) fn path<'a>(&'a self, geo: &'a GeoConfig) -> Result<&'a Path, &'static str> {
        let (path, key) = match (&self.file, self.asn.is_empty()) {
            (Some(file), _) => return Ok(file),
            (None, true) => (&geo.country, "geo.country"),
            (None, false) => (&geo.asn, "geo.asn"),
        };
        path.as_deref().ok_or(key)
    }

    /// Returns whom it comes from.
    pub(crate) const fn origin(&self) -> Origin {
        if self.file.is_some() {
            Origin::File
        } else {
            Origin::Geo
        }
    }

    /// Returns why it cannot be.
    fn wrong(&self, geo: &GeoConfig) -> Option<String> {
        let name = &self.name;
        let says = [
            self.file.is_some(),
            !self.country.is_empty(),
            !self.asn.is_empty(),
            !self.except_country.is_empty(),
        ];
        if says.into_iter().filter(|says| *says).count() != 1 {
            return Some(format!(
                "list `{name}`: state one of `file`, `country`, `asn` and `except_country`"
            ));
        }
        let mut countries = self.country.iter().chain(&self.except_country);
        if let Some(code) = countries.find(|code| !is_code(code)) {
            return Some(format!(
                "list `{name}`: invalid country `{code}`: expected two letters, upper case, such as DE"
            ));
        }
        let key = self.path(geo).err()?;
        Some(format!("list `{name}`: {key} names no file"))
    }
}

/// Why lists cannot be together, with the files of `geo`.
///
/// # Errors
///
/// In words.
pub(crate) fn check(lists: &[ListConfig], geo: &GeoConfig) -> Result<(), String> {
    if let Some(why) = lists.iter().find_map(|list| list.wrong(geo)) {
        return Err(why);
    }
    if lists.len() > MAX_LISTS {
        return Err(format!(
            "{} lists; at most {MAX_LISTS} can be in force",
            lists.len()
        ));
    }
    for (number, list) in lists.iter().enumerate() {
        if lists[..number].iter().any(|other| other.name == list.name) {
            return Err(format!("two lists are called `{}`", list.name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        list: Vec<ListConfig>,
        #[serde(default)]
        geo: GeoConfig,
    }

    fn checked(keys: &str) -> Result<Option<Select>, String> {
        let text = format!("[[list]]\nname = \"one\"\nverdict = \"ban\"\n{keys}\n");
        let file: File = toml::from_str(&text).unwrap();
        check(&file.list, &file.geo)?;
        Ok(file.list[0].select())
    }

    #[test]
    fn a_list_is_of_one_kind_and_its_file_is_named() {
        let geo = "[geo]\ncountry = \"/c.mmdb\"\n";
        let countries = |keys: &str| checked(&format!("{keys}\n{geo}"));
        let germany = || vec!["DE".to_owned()];
        assert_eq!(checked("file = \"/list.txt\""), Ok(None));
        let of = Select::In(vec![Area::Country("DE".to_owned())]);
        assert_eq!(countries("country = [\"DE\"]"), Ok(Some(of)));
        let others = Select::Except(germany());
        assert_eq!(countries("except_country = [\"DE\"]"), Ok(Some(others)));
        for (keys, expected) in [
            ("", "list `one`: state one of"),
            ("country = [\"DE\"]\nasn = [64500]", "list `one`: state one of"),
            ("country = [\"Germany\"]", "list `one`: invalid country `Germany`"),
            ("asn = [64500]", "list `one`: geo.asn names no file"),
        ] {
            let why = countries(keys).unwrap_err();
            assert!(why.starts_with(expected), "{why}");
        }
    }
}
