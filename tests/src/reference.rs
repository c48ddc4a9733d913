//! The reference of the configs among the docs, written of the types that read them, in the order in which the shipped files show
//! their keys.

use std::fmt::Write as _;

use secbeat_daemon::{
    cli::words::{EVERYWHERE, FIREWALL, rows},
    config::schema::schema_of,
};
use serde_json::Value;

/// The page on lists, below `docs`.
pub const LISTS: &str = "lists.md";

/// `page`, that on lists, with the table of formats that the code has.
///
/// # Panics
///
/// When the page has no place for it.
#[must_use]
pub fn with_formats(page: &str) -> String {
    let (before, rest) = page.split_once("| `--format` |").expect("a table of formats");
    let (_, after) = rest.split_once("\n\n").expect("text behind it");
    format!("{before}{}\n{after}", secbeat_lists::table())
}

/// The page on feeds, below `docs`.
pub const FEEDS: &str = "feeds.md";

/// `page`, that on feeds, with the table of presets that the code has.
///
/// # Panics
///
/// When the page has no place for it.
#[must_use]
pub fn with_presets(page: &str) -> String {
    let (before, rest) = page.split_once("| `preset` |").expect("a table of presets");
    let (_, after) = rest.split_once("\n\n").expect("text behind it");
    format!("{before}{}\n{after}", secbeat_orchestrator::feeds::table())
}

/// The page on other programs' words, below `docs`.
pub const MIGRATING: &str = "migrating.md";

/// `page`, that on other programs' words, with the tables that the code has.
///
/// # Panics
///
/// When the page has no place for one.
#[must_use]
pub fn with_words(page: &str) -> String {
    let of_program = |program, words| {
        let after = format!("after `{program}`, or instead of it");
        (after, rows(program, EVERYWHERE) + &rows(program, words))
    };
    let tables = [
        of_program("secbeat-orchestrator", secbeat_orchestrator::cli::WORDS),
        of_program("secbeat-edge", secbeat_edge::cli::WORDS),
        of_program("secbeat", secbeat::words::WORDS),
        (
            "of a firewall, after `secbeat`".to_owned(),
            rows("secbeat", FIREWALL),
        ),
    ];
    tables.into_iter().fold(page.to_owned(), |page, (after, rows)| {
        let header = format!("| you type {after} | it is here |\n|---|---|\n");
        let (before, rest) = page.split_once(&header).expect("a table of words");
        let (_, after) = rest.split_once("\n\n").expect("text behind it");
        format!("{before}{header}{rows}\n{}", after.trim_start_matches('\n'))
    })
}

/// A daemon's config file.
#[derive(Clone, Debug)]
pub struct Reference {
    schema: Value,
    shipped: Shipped,
    daemon: &'static str,
}

/// The file that is shipped: what shows all keys to people.
#[derive(Clone, Debug)]
struct Shipped {
    text: String,
    values: Value,
}

/// A table, `[a.b]` or `[[a.b]]`, or the keys before the first.
struct Section<'a> {
    path: Vec<&'a str>,
    schema: &'a Value,
    is_array: bool,
    description: String,
}

impl Reference {
    /// Of `edge.toml` and `orchestrator.toml`; `shipped` reads one by its name.
    ///
    /// # Panics
    ///
    /// When a shipped file is no TOML.
    #[must_use]
    pub fn all(shipped: impl Fn(&str) -> String) -> [Self; 2] {
        [
            ("edge", schema_of::<secbeat_edge::config::Config>()),
            (
                "orchestrator",
                schema_of::<secbeat_orchestrator::config::Config>(),
            ),
        ]
        .map(|(daemon, schema)| {
            let text = shipped(&format!("{daemon}.toml"));
            let values = as_json(text.parse::<toml::Table>().expect("TOML").into());
            Self {
                schema,
                shipped: Shipped { text, values },
                daemon,
            }
        })
    }

    /// The schema itself.
    #[must_use]
    pub const fn schema(&self) -> &Value {
        &self.schema
    }

    /// The page's name below `docs`.
    #[must_use]
    pub fn page(&self) -> String {
        format!("config-{}.md", self.daemon)
    }

    /// The page: Markdown.
    ///
    /// # Panics
    ///
    /// When the shipped file does not show a key, or shows another default than the types have.
    #[must_use]
    pub fn markdown(&self) -> String {
        let daemon = self.daemon;
        let mut text = format!(
            "<!-- Written by `cargo xtask docs --reference`. -->\n\n# `{daemon}.toml`\n\nEvery key of \
             `/etc/secbeat/{daemon}.toml`, with its default. `secbeat-{daemon} schema` prints a JSON Schema of the file.\n"
        );
        let mut sections = Vec::new();
        self.find_sections(
            Section {
                path: Vec::new(),
                schema: &self.schema,
                is_array: false,
                description: String::new(),
            },
            &mut sections,
        );
        sections.sort_by_key(|section| self.shipped.at(section));
        for section in &sections {
            self.write_section(section, &mut text);
        }
        let _ = write!(
            text,
            "\n## The shipped file\n\n```toml\n{}\n```\n",
            self.shipped.text.trim_end()
        );
        text
    }

    /// This one and those below it.
    fn find_sections<'a>(&self, section: Section<'a>, found: &mut Vec<Section<'a>>) {
        for (key, value) in properties(section.schema) {
            let path = [&section.path[..], &[key]].concat();
            for (schema, is_array) in tables(value) {
                if self.shipped.header(&path, is_array).is_some() {
                    let below = Section {
                        path: path.clone(),
                        schema,
                        is_array,
                        description: described(value),
                    };
                    self.find_sections(below, found);
                }
            }
        }
        found.push(section);
    }

    fn write_section(&self, section: &Section<'_>, text: &mut String) {
        if !section.path.is_empty() {
            let header = header(&section.path, section.is_array);
            let _ = write!(text, "\n## `{header}`\n\n{}\n", section.description);
        }
        let mut rows = Vec::new();
        self.find_rows(section, &[], &[], section.schema, &mut rows);
        if rows.is_empty() {
            return;
        }
        rows.sort_by_key(|(at, _)| *at);
        text.push_str("\n| key | type | default | description |\n|---|---|---|---|\n");
        for (_, row) in rows {
            text.push_str(&row);
        }
    }

    /// The rows of the keys that have no section of their own, those of inline tables included. `inline` are the tables around
    /// them, and `outer` what the page calls these.
    fn find_rows(
        &self,
        section: &Section<'_>,
        inline: &[&str],
        outer: &[&str],
        schema: &Value,
        rows: &mut Vec<([usize; 2], String)>,
    ) {
        for (key, value) in properties(schema) {
            let (inline, shown) = ([inline, &[key]].concat(), [outer, &[key]].concat());
            let path = [&section.path[..], &inline].concat();
            let below: Vec<_> = tables(value).collect();
            let has_section = below
                .iter()
                .any(|(_, is_array)| self.shipped.header(&path, *is_array).is_some());
            if below.len() == 1 && has_section && value.get("anyOf").is_none() {
                continue;
            }
            let is_required = schema["required"]
                .as_array()
                .is_some_and(|names| names.contains(&key.into()));
            let default = match self.default_of(section, &path, value) {
                _ if is_required && inline.len() > 1 => "required there".to_owned(),
                _ if is_required => "required".to_owned(),
                Some(default) => format!("`{default}`"),
                None => String::new(),
            };
            let said = cell(value);
            let (default, said) = match default.is_empty() {
                true => with_default(&said),
                false => (default, said),
            };
            let name = shown.join(".");
            let row = format!("| `{name}` | {} | {default} | {said} |\n", kind(value));
            rows.push((self.shipped.key_at(section, &inline), row));
            if let ([(table, is_array)], false) = (&below[..], has_section) {
                let inner = if *is_array {
                    format!("{key}[]")
                } else {
                    key.to_owned()
                };
                self.find_rows(section, &inline, &[outer, &[&inner]].concat(), table, rows);
            }
        }
    }

    /// As the types have it, or as shipped: those files are tested to change nothing.
    fn default_of(&self, section: &Section<'_>, path: &[&str], schema: &Value) -> Option<Value> {
        // What stands in arrays is an example.
        let shipped = if section.is_array {
            None
        } else {
            self.shipped.value(path)
        };
        let own = schema.get("default").cloned();
        let own = own.or_else(|| self.default_from_above(path));
        if let (Some(own), Some(shipped)) = (&own, &shipped) {
            assert!(
                same(own, shipped),
                "{}.toml: {} = {shipped}, and unless stated it is {own}",
                self.daemon,
                path.join(".")
            );
        }
        shipped.or(own).filter(|value| !value.is_object())
    }

    /// The default that a table around the key has for all of its keys.
    fn default_from_above(&self, path: &[&str]) -> Option<Value> {
        let (key, above) = path.split_last()?;
        let mut schema = &self.schema;
        for part in above {
            schema = schema.get("properties")?.get(part)?;
        }
        schema.get("default")?.get(key).cloned()
    }
}

impl Shipped {
    /// Where the table's header stands, also in a comment.
    fn header(&self, path: &[&str], is_array: bool) -> Option<usize> {
        let header = header(path, is_array);
        self.headers()
            .find(|(_, found)| *found == header)
            .map(|(at, _)| at)
    }

    fn headers(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut at = 0;
        let lines = self.text.split_inclusive('\n').map(move |line| {
            let start = at;
            at += line.len();
            (start, line.trim_start_matches("# ").trim_end())
        });
        lines.filter(|(_, line)| line.starts_with('[') && line.ends_with(']') && !line.contains(' '))
    }

    fn at(&self, section: &Section<'_>) -> usize {
        match section.path.is_empty() {
            true => 0,
            false => self.header(&section.path, section.is_array).unwrap_or_default(),
        }
    }

    /// Where the section first shows a key, and where that shows one within.
    fn key_at(&self, section: &Section<'_>, inline: &[&str]) -> [usize; 2] {
        let name = section.path.join(".");
        let is_own = |header: &str| header.trim_matches(['[', ']']) == name;
        let headers: Vec<_> = [(0, "")].into_iter().chain(self.headers()).collect();
        let ends = headers.iter().skip(1).map(|(at, _)| *at).chain([self.text.len()]);
        for ((start, header), end) in headers.iter().zip(ends) {
            let text = &self.text[*start..end];
            let Some(at) = position(text, inline[0]).filter(|_| is_own(header)) else {
                continue;
            };
            let within = inline.get(1).map_or(Some(0), |key| position(&text[at..], key));
            if let Some(within) = within {
                return [start + at, within];
            }
        }
        panic!("the shipped file does not show {} in [{name}]", inline.join("."));
    }

    fn value(&self, path: &[&str]) -> Option<Value> {
        let mut value = &self.values;
        for part in path {
            value = value.get(part)?;
        }
        Some(value.clone())
    }
}

/// A table's header, as TOML has it.
fn header(path: &[&str], is_array: bool) -> String {
    let name = path.join(".");
    match is_array {
        true => format!("[[{name}]]"),
        false => format!("[{name}]"),
    }
}

/// Where `text` sets `key`, also in a comment or in an inline table.
fn position(text: &str, key: &str) -> Option<usize> {
    let is_key = |at: &usize| {
        let before = text[..*at].chars().next_back();
        before.is_none_or(|before| "\n {".contains(before))
    };
    let set = format!("{key} = ");
    text.match_indices(&set).map(|(at, _)| at).find(is_key)
}

/// The keys of a table.
fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let keys = schema.get("properties").and_then(Value::as_object);
    keys.into_iter().flatten().map(|(key, value)| (&**key, value))
}

/// The tables that a value may be, and whether it is an array of them.
fn tables(schema: &Value) -> impl Iterator<Item = (&Value, bool)> {
    let either = schema.get("anyOf").and_then(Value::as_array);
    let each = either.map_or(std::slice::from_ref(schema), Vec::as_slice);
    each.iter().filter_map(|schema| {
        let of_array = schema.get("items");
        let table = of_array.unwrap_or(schema);
        table.get("properties").map(|_| (table, of_array.is_some()))
    })
}

/// What a value looks like.
fn kind(schema: &Value) -> String {
    if let Some(Value::Array(either)) = schema.get("anyOf") {
        let each: Vec<_> = either.iter().map(kind).collect();
        return each.join(", or ");
    }
    if let Some(values) = words(schema) {
        let words: Vec<_> = values.iter().map(|(word, _)| format!("`{word}`")).collect();
        return words.join(", ");
    }
    if let Some(Value::String(title)) = schema.get("title") {
        return title.clone();
    }
    let number = |key| schema.get(key).map(ToString::to_string);
    let range = match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) if least != "0" => format!(", {least} or more"),
        (None, Some(most)) => format!(", up to {most}"),
        (None | Some(_), None) => String::new(),
    };
    match schema.get("type").and_then(Value::as_str) {
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("integer") => format!("whole number{range}"),
        Some("number") => format!("number{range}"),
        Some("array") => match tables(schema).next() {
            Some(_) => "tables".to_owned(),
            None => format!("list: {}", kind(&schema["items"])),
        },
        Some("object") => "table".to_owned(),
        Some("string") => "text".to_owned(),
        _ => panic!("a reader would not know what this is: {schema}"),
    }
}

/// The values of a choice, and what each means.
fn words(schema: &Value) -> Option<Vec<(String, String)>> {
    if let Some(Value::Array(words)) = schema.get("enum") {
        return Some(
            words
                .iter()
                .map(|word| (word.to_string(), String::new()))
                .collect(),
        );
    }
    let choice = schema.get("oneOf")?.as_array()?;
    let each = choice.iter().flat_map(|one| match one.get("const") {
        Some(word) => vec![(word.to_string(), described(one))],
        None => words(one).unwrap_or_default(),
    });
    Some(each.collect())
}

/// The default that a description says in a sentence of its own (`Default: one for each core.`), and the description without it.
fn with_default(said: &str) -> (String, String) {
    let Some((before, rest)) = said.split_once("Default: ") else {
        return (String::new(), said.to_owned());
    };
    let (default, after) = rest
        .split_once(". ")
        .unwrap_or((rest.strip_suffix('.').unwrap_or(rest), ""));
    (
        default.to_owned(),
        format!("{before}{after}").trim_end().to_owned(),
    )
}

/// The last column.
fn cell(schema: &Value) -> String {
    let mut text = described(schema);
    for (word, meaning) in words(schema).unwrap_or_default() {
        if !meaning.is_empty() {
            let _ = write!(text, " `{word}`: {}", lowered(&meaning));
        }
    }
    text.replace('|', "\\|")
}

fn lowered(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters.next().map(|first| first.to_lowercase().to_string());
    // What begins with an abbreviation keeps it.
    match sentence.chars().nth(1) {
        Some(second) if second.is_uppercase() => sentence.to_owned(),
        _ => first.unwrap_or_default() + letters.as_str(),
    }
}

fn described(schema: &Value) -> String {
    let text = schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// TOML as the JSON that a schema is about: times are texts.
#[must_use]
pub fn as_json(value: toml::Value) -> Value {
    match value {
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(values) => values.into_iter().map(as_json).collect(),
        toml::Value::Table(table) => {
            let entries = table.into_iter().map(|(key, value)| (key, as_json(value)));
            Value::Object(entries.collect())
        }
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(is) => is.into(),
    }
}

/// Whether both say the same: `"5m"` is `"300s"`.
fn same(one: &Value, other: &Value) -> bool {
    let duration = |value: &Value| {
        let text = value.as_str()?;
        text.parse::<secbeat_daemon::config::HumanDuration>().ok()
    };
    one == other || duration(one).is_some_and(|one| duration(other) == Some(one))
}
