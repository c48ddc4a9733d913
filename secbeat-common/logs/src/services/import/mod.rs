//! Filters of fail2ban, translated as far as they can be.
//!
//! An expression of fail2ban is searched for in a line without its date, and may look ahead, or make one part depend on another.
//! A filter of ours has expressions that a line is read by in linear time, and names where the client's address stands. So
//! what cannot be said here is named, and the rest is a filter as any other: with exact places of the address, it
//! counts a line against nobody where fail2ban takes the first address that fits.

mod date;
mod expression;
mod ini;
mod structure;

use std::{collections::BTreeMap, fmt::Write as _, net::IpAddr};

use self::ini::Definition;
use super::{Filter, is_unit, lazy::Compile, pattern::Pattern};

/// What a filter of fail2ban became.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Translation {
    /// The text of a filter without lines of its own; `None` if no expression could be translated.
    pub filter: Option<String>,
    /// Expressions that are in it.
    pub translated: usize,
    /// What could not be translated and why, a sentence each.
    pub left_out: Vec<String>,
    /// What a client could do to others by an expression as it was written, a sentence each.
    pub cautions: Vec<String>,
}

/// A time as most services write it at the begin of a line.
const TIME: &str = r"(?P<time>\d{4}[-/]\d\d[-/]\d\d[T ] ?\d{1,2}:\d\d:\d\d(?:[.,]\d+)?(?:Z| UTC| ?[+-]\d\d:?\d\d)?|(?:\w{3} )?\w{3} [ \d]\d (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d+)?(?: \d{4})?|\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d(?: [+-]\d{4})?|\d\d[-/.]\d\d[-/.]\d{4} \d\d:\d\d:\d\d|\d{10}(?:\.\d+)?)";
/// What stands in the place of syslog's head while a filter is translated.
const PREFIX: &str = "\u{1}";

/// Translates `text`, the file `name`.conf. `include` reads a file beside it: one that it includes, or `name`.local.
#[must_use]
pub fn translate(name: &str, text: &str, include: &dyn Fn(&str) -> Option<String>) -> Translation {
    let mut translation = Translation::default();
    let definition = match Definition::read(&format!("{name}.conf"), text, include) {
        Ok(definition) => definition,
        Err(what) => {
            translation.left_out.push(what);
            return translation;
        }
    };
    let prefix = match definition.value("prefregex") {
        Ok(prefix) => prefix.filter(|prefix| !prefix.is_empty()),
        Err(what) => {
            translation.left_out.push(format!("prefregex: {what}"));
            return translation;
        }
    };
    if definition
        .value("maxlines")
        .is_ok_and(|lines| lines.is_some_and(|lines| lines.trim() != "1"))
    {
        translation
            .left_out
            .push("maxlines: lines are read one by one".to_owned());
        return translation;
    }
    let mut forms = Forms::default();
    let ignored = definition.expressions("ignoreregex");
    for (number, expression) in (1..).zip(ignored) {
        match expression.and_then(|text| expression::ignored(&text)) {
            Ok(text) => forms.ignore.push(text),
            Err(what) => translation.left_out.push(format!(
                "ignoreregex {number}: {what}; without it, the filter would blame more clients than fail2ban does"
            )),
        }
    }
    if !translation.left_out.is_empty() {
        return translation;
    }
    let expressions = definition.expressions("failregex");
    for (number, expression) in (1..).zip(expressions) {
        let told = expression.and_then(|text| expression::patterns(prefix.as_deref(), &text));
        let checked = told.and_then(|found| {
            let checked = found.iter().try_for_each(|pattern| {
                Pattern::new(&pattern.text, &BTreeMap::new(), Compile::Now).map(drop)
            });
            checked.map(|()| found)
        });
        match checked {
            Ok(found) => {
                translation.translated += 1;
                if found.iter().any(|pattern| begins_with_any(&pattern.text)) {
                    translation.cautions.push(format!(
                        "failregex {number} begins with any text: a client that writes its rest into a line, as in a path or a name, has \
                         another banned; begin it with `^` and what the service itself writes"
                    ));
                }
                forms.note(&found);
                let named = found
                    .iter()
                    .filter_map(|pattern| expression::by_name(&pattern.text));
                forms.open.extend(named);
                forms
                    .patterns
                    .push((number, found.into_iter().map(|pattern| pattern.text).collect()));
            }
            Err(what) => translation.left_out.push(format!("failregex {number}: {what}")),
        }
    }
    if !forms.patterns.is_empty() {
        translation.left_out.extend(forms.unread_dates(&definition));
        let text = forms.write(name, &definition);
        match Filter::parse(&with_lines(&text, &[], &[])) {
            Ok(_) => translation.filter = Some(text),
            Err(error) => translation.left_out.push(error.to_string()),
        }
    }
    translation
}

/// Whether any text may stand before what an expression looks for.
fn begins_with_any(pattern: &str) -> bool {
    let bare = pattern.strip_prefix("(?i)").unwrap_or(pattern);
    bare.starts_with(".*")
}

/// What the translated expressions need.
#[derive(Default)]
struct Forms {
    /// Each with the number of its expression.
    patterns: Vec<(usize, Vec<String>)>,
    ignore: Vec<String>,
    /// What names a host where the address stands, and may name an address behind it.
    open: Vec<String>,
    /// Some begin with syslog's head.
    of_syslog: bool,
    /// Some begin with brackets that held the date.
    in_brackets: bool,
    /// Some begin with what follows the date.
    bare: bool,
    /// In some, the date stands within the line.
    whole: bool,
}

impl Forms {
    fn note(&mut self, found: &[expression::Translated]) {
        for pattern in found {
            match pattern.begin {
                expression::Begin::Syslog => self.of_syslog = true,
                expression::Begin::Brackets => self.in_brackets = true,
                expression::Begin::Bare => self.bare = true,
                expression::Begin::Whole => self.whole = true,
            }
        }
    }

    /// Returns what is told of dates that stand elsewhere than lines do that are read.
    fn unread_dates(&self, definition: &Definition) -> Vec<String> {
        let dates = definition.value("datepattern").ok().flatten().unwrap_or_default();
        let unread = (1..).zip(dates.lines()).filter(|(_, pattern)| {
            let is_before_message = self.bare || self.of_syslog;
            // Those in the midst of a line that has brackets around them are read with it.
            let is_in_line = self.whole && pattern.contains(r"\[({DATE}");
            is_before_message && !is_in_line && !date::is_usual(pattern) && date::head(pattern).is_none()
        });
        let told = |(number, pattern): (usize, &str)| {
            let pattern = pattern.trim();
            format!("datepattern {number}: lines with a date as `{pattern}` has it are not read")
        };
        unread.map(told).collect()
    }

    /// The text of the filter.
    fn write(&self, name: &str, definition: &Definition) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let list = |texts: &[String]| toml::Value::from(texts.to_vec()).to_string();
        let mut text = String::new();
        let mut own = name.to_ascii_lowercase().replace(['_', '.'], "-");
        if !own.starts_with(|first: char| first.is_ascii_lowercase()) {
            own.insert_str(0, "f2b-");
        }
        let _ = writeln!(text, "# Translated from fail2ban's filter {name}.");
        let _ = writeln!(
            text,
            "name = {}\ntitle = {}",
            quoted(&own),
            quoted(&format!("{name} (from fail2ban)"))
        );
        let mut heads = Vec::new();
        if self.of_syslog {
            let programs = definition.value("_daemon").ok().flatten();
            let programs = programs.and_then(|daemon| structure::words(&daemon));
            if let Some(programs) = &programs {
                // In a log of the service's own that looks like syslog's, with another time.
                let words = programs
                    .iter()
                    .map(|program| regex_syntax::escape(program).replace(r"\*", r"\S*"));
                let words: Vec<_> = words.collect();
                heads.push(format!(
                    r"\[?{TIME}\]? (?:\S+ )?(?:{})(?:\[(?P<pid>\d+)\])?:? ",
                    words.join("|")
                ));
            }
            let _ = writeln!(
                text,
                "programs = {}",
                list(&programs.unwrap_or_else(|| vec!["*".to_owned()]))
            );
        }
        if self.of_syslog || self.in_brackets {
            heads.push(format!(r"\[{TIME}\]"));
        }
        let dates = definition.value("datepattern").ok().flatten().unwrap_or_default();
        heads.extend(dates.lines().filter_map(date::head));
        if self.of_syslog || self.bare {
            heads.push(TIME.to_owned());
        }
        if self.whole {
            heads.push(String::new());
        }
        let _ = writeln!(text, "heads = {}", list(&heads));
        if !self.ignore.is_empty() {
            let _ = writeln!(text, "ignore = {}", list(&self.ignore));
        }
        if !self.open.is_empty() {
            let _ = writeln!(text, "open = {}", list(&self.open));
        }
        text.push_str("must_not = []\nmust = []\n");
        let mut units = definition.units();
        units.retain(|unit| is_unit(unit));
        if !units.is_empty() {
            let _ = writeln!(text, "journald.units = {}", list(&units));
        }
        text.push_str("rule = { threshold = 5, window = \"10m\" }\n");
        for (number, patterns) in &self.patterns {
            let _ = writeln!(
                text,
                "\n[[pattern]]\nkind = \"failregex-{number}\"\nevent = \"auth-failure\"\nmatch = {}",
                list(patterns)
            );
        }
        text
    }
}

/// The text of a filter that [`translate`] made, with lines as its own tests. Of lines that blame nobody, the first twenty.
#[must_use]
pub fn with_lines(text: &str, must: &[(String, IpAddr)], must_not: &[String]) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut blaming: Vec<String> = Vec::new();
    for (line, client) in must {
        blaming.push(format!(
            "    {{ line = {}, client = \"{client}\" }},\n",
            quoted(line)
        ));
    }
    let blameless: String = must_not
        .iter()
        .take(20)
        .map(|line| format!("    {},\n", quoted(line)))
        .collect();
    let list = |lines: &str| match lines {
        "" => "[]".to_owned(),
        lines => format!("[\n{lines}]"),
    };
    text.replacen(
        "must_not = []\n",
        &format!("must_not = {}\n", list(&blameless)),
        1,
    )
    .replacen(
        "\nmust = []\n",
        &format!("\nmust = {}\n", list(&blaming.concat())),
        1,
    )
}
