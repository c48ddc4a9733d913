//! Files of fail2ban: sections, included files, and values that name others.

use std::collections::BTreeMap;

use super::PREFIX;

/// Values that may be within each other.
const MAX_NESTED: usize = 24;
/// Values that one value may be made of.
const MAX_STEPS: usize = 500;
/// Where values are looked for that no section is named for.
const SECTIONS: [&str; 3] = ["Definition", "Init", "DEFAULT"];
/// The file in which fail2ban says what syslog's head is, and the value that does.
const COMMON: (&str, &str) = ("common.conf", "__prefix_line");

/// The values of a filter, by section and key.
#[derive(Debug, Default)]
pub(super) struct Definition {
    values: BTreeMap<(String, String), String>,
}

impl Definition {
    /// Reads a file, those that it includes, and the `.local` beside each: jail.conf(5) has it override the `.conf`.
    ///
    /// # Errors
    ///
    /// Returns an error if a file that it needs is not there.
    pub(super) fn read(
        file: &str,
        text: &str,
        include: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let mut definition = Self::default();
        definition.add(file, text, include, 0)?;
        definition.add_local(file, include, 0)?;
        Ok(definition)
    }

    /// Reads the `.local` beside `file`, if there is one.
    fn add_local(
        &mut self,
        file: &str,
        include: &dyn Fn(&str) -> Option<String>,
        depth: usize,
    ) -> Result<(), String> {
        let Some(local) = local_of(file) else {
            return Ok(());
        };
        match include(&local) {
            Some(text) => self.add(&local, &text, include, depth + 1),
            None => Ok(()),
        }
    }

    fn add(
        &mut self,
        file: &str,
        text: &str,
        include: &dyn Fn(&str) -> Option<String>,
        depth: usize,
    ) -> Result<(), String> {
        if depth > MAX_NESTED {
            return Err("files include each other".to_owned());
        }
        let own = sections(text);
        let included = |key: &str| own.get(&("INCLUDES".to_owned(), key.to_owned()));
        for name in included("before")
            .into_iter()
            .flat_map(|names| names.split_whitespace())
        {
            let before = include(name).ok_or_else(|| format!("{name}, which it includes, cannot be read"))?;
            self.add(name, &before, include, depth + 1)?;
            if name.rsplit('/').next() == Some(COMMON.0) {
                let key = ("DEFAULT".to_owned(), COMMON.1.to_owned());
                self.values.insert(key, PREFIX.to_owned());
            }
            self.add_local(name, include, depth + 1)?;
        }
        for ((section, key), value) in &own {
            // What an included file said of the same key.
            if SECTIONS.contains(&section.as_str())
                && let Some(known) = self.unnamed(key).cloned()
            {
                self.values.insert(("known".to_owned(), key.clone()), known);
            }
            self.values.insert((section.clone(), key.clone()), value.clone());
        }
        // Those are for changes of the host, and mostly not there.
        let local = local_of(file);
        for name in included("after")
            .into_iter()
            .flat_map(|names| names.split_whitespace())
            // Which is read behind it at any rate.
            .filter(|name| Some(*name) != local.as_deref())
        {
            if let Some(text) = include(name) {
                self.add(name, &text, include, depth + 1)?;
            }
            self.add_local(name, include, depth + 1)?;
        }
        Ok(())
    }

    /// A value with all that it names; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Returns an error if it names what there is not.
    pub(super) fn value(&self, key: &str) -> Result<Option<String>, String> {
        match self.raw(key) {
            Some(raw) => self.expand(raw, 0, &mut 0).map(Some),
            None => Ok(None),
        }
    }

    /// The lines of a value, each an expression with all that it names.
    pub(super) fn expressions(&self, key: &str) -> Vec<Result<String, String>> {
        let mut expressions = Vec::new();
        let raw = self.raw(key).unwrap_or_default();
        for line in raw.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match self.expand(line, 0, &mut 0) {
                Ok(lines) => {
                    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
                    expressions.extend(lines.map(|line| Ok(line.to_owned())));
                }
                Err(what) => expressions.push(Err(what)),
            }
        }
        expressions
    }

    /// Units that `journalmatch` names.
    pub(super) fn units(&self) -> Vec<String> {
        let matched = self.value("journalmatch").ok().flatten().unwrap_or_default();
        let units = matched
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("_SYSTEMD_UNIT="));
        let mut units: Vec<_> = units.map(str::to_owned).collect();
        units.dedup();
        units
    }

    fn raw(&self, key: &str) -> Option<&str> {
        if let Some((section, key)) = key.split_once('/') {
            return self
                .values
                .get(&(section.to_owned(), key.to_owned()))
                .map(String::as_str);
        }
        self.unnamed(key).map(String::as_str)
    }

    /// The value of a key without a section.
    fn unnamed(&self, key: &str) -> Option<&String> {
        let found = |section: &str| self.values.get(&(section.to_owned(), key.to_owned()));
        SECTIONS.into_iter().find_map(found)
    }

    fn expand(&self, text: &str, depth: usize, steps: &mut usize) -> Result<String, String> {
        *steps += 1;
        if depth > MAX_NESTED || *steps > MAX_STEPS {
            return Err("values name each other".to_owned());
        }
        let mut expanded = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['%', '<']) {
            expanded.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("%%") {
                expanded.push('%');
                rest = after;
                continue;
            }
            match self.named(rest, depth, steps)? {
                Some((value, after)) => {
                    expanded.push_str(&self.expand(&value, depth + 1, steps)?);
                    rest = after;
                }
                None => {
                    expanded.push_str(&rest[..1]);
                    rest = &rest[1..];
                }
            }
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    /// The value that `text` begins with the name of, `%(name)s` or `<name>`, and what follows.
    fn named<'t>(
        &self,
        text: &'t str,
        depth: usize,
        steps: &mut usize,
    ) -> Result<Option<(String, &'t str)>, String> {
        if let Some(after) = text.strip_prefix("%(") {
            let Some((name, after)) = after.split_once(")s") else {
                return Ok(None);
            };
            let value = self
                .raw(name)
                .ok_or_else(|| format!("%({name})s is defined nowhere"))?;
            return Ok(Some((value.to_owned(), after)));
        }
        let Some(after) = text.strip_prefix('<') else {
            return Ok(None);
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-/<>".contains(&byte);
        // As `<mdre-<mode>>`: a name that has a name in it.
        let mut nested = 1;
        let end = after.bytes().position(|byte| {
            nested += i32::from(byte == b'<') - i32::from(byte == b'>');
            nested == 0 || !is_name(byte)
        });
        let Some(end) = end.filter(|_| nested == 0) else {
            return Ok(None);
        };
        let name = self.expand(&after[..end], depth + 1, steps)?;
        Ok(self.raw(&name).map(|value| (value.to_owned(), &after[end + 1..])))
    }
}

/// The file that overrides `file`.
fn local_of(file: &str) -> Option<String> {
    file.strip_suffix(".conf").map(|name| format!("{name}.local"))
}

/// The values of one file by section and key. A line that begins with a space goes on with the value before it.
fn sections(text: &str) -> BTreeMap<(String, String), String> {
    let mut values = BTreeMap::new();
    let (mut section, mut last) = (String::new(), None::<(String, String)>);
    for line in text.lines() {
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            if let Some(value) = last.as_ref().and_then(|last| values.get_mut(last)) {
                let value: &mut String = value;
                value.push('\n');
                value.push_str(line.trim());
            }
            continue;
        }
        if let Some(name) = line
            .trim()
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            section = name.to_owned();
            last = None;
        } else if let Some((key, value)) = line.split_once('=') {
            let key = (section.clone(), key.trim().to_owned());
            values.insert(key.clone(), value.trim().to_owned());
            last = Some(key);
        }
    }
    values
}
