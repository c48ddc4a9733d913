//! Values between separators, with a header in any spelling or without one, and tables with borders.

mod csf;

use std::fmt::Write as _;

use super::{
    columns::Column,
    draft::Draft,
    keys::{self, Sense},
    list::{About, Found, Purpose, Source},
    logs::{self, LOG},
    target,
    verdict::{Verdict, is_other_action, label_sense, neither},
};

/// What separates values, the most usual one first.
const SEPARATORS: [u8; 6] = [b',', b';', b'\t', b'|', b'^', b'~'];
/// Records from which the columns are found out where no header names them.
const SAMPLE: usize = 100;

/// The columns of `audit`.
const AUDIT: [&str; 5] = ["at", "kind", "target", "by", "what"];

/// A record and the line that it begins on.
pub(super) type Record = (u64, Vec<String>);

pub(super) fn read(source: &Source<'_>, found: &mut Found) {
    let (mut text, mut separator) = (source.text, separator(source.text));
    // Excel's.
    if let Some(rest) = text.strip_prefix("sep=")
        && let Some(named) = rest.bytes().next()
    {
        separator = named;
        text = rest.get(1..).unwrap_or_default();
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .delimiter(separator)
        .from_reader(text.as_bytes());
    let mut records = Vec::new();
    let mut lines = Lines { text, at: 0, line: 1 };
    for record in reader.records() {
        match record {
            Ok(record) => {
                let line = lines.of(record.position());
                let fields: Vec<_> = record.iter().map(|field| unquoted(field).to_owned()).collect();
                if fields.iter().any(|field| !field.is_empty()) {
                    records.push((line, fields));
                }
            }
            Err(error) => found.bad(lines.of(error.position()), &error),
        }
    }
    let shown = match separator {
        b'\t' => "tab".to_owned(),
        other => char::from(other).to_string(),
    };
    let is_log = |line: &str| {
        let names = line.strip_prefix("#Fields:").map(str::split_whitespace);
        names.is_some_and(|names| logs::are_of_log(names.map(|name| name.strip_suffix(')').unwrap_or(name))))
    };
    if text.lines().take(SAMPLE).any(is_log) {
        found.refused = Some(LOG.to_owned());
        return;
    }
    if csf::are_temporary(&records) {
        return csf::read(&records, found);
    }
    entries(&format!("CSV with `{shown}`"), &records, source, found);
}

/// A value without the quotes that the reader leaves where a blank stands before them.
fn unquoted(field: &str) -> &str {
    let inner = field.strip_prefix('"').and_then(|field| field.strip_suffix('"'));
    inner.map_or(field, str::trim)
}

/// Counts the lines up to a record: the reader's own count begins a record with the end of the line before it, and with comments.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: u64,
}

impl Lines<'_> {
    fn of(&mut self, position: Option<&csv::Position>) -> u64 {
        let to = position.map_or(self.at, |position| position.byte() as usize);
        self.go_on(to.clamp(self.at, self.text.len()));
        while let Some(rest) = self.text.get(self.at..) {
            let len = rest.find('\n').map_or(rest.len(), |end| end + 1);
            let is_passed = rest.starts_with('#') || rest[..len].trim().is_empty();
            if len == 0 || !is_passed {
                break;
            }
            self.go_on(self.at + len);
        }
        self.line
    }

    fn go_on(&mut self, to: usize) {
        self.line += memchr::memchr_iter(b'\n', &self.text.as_bytes()[self.at..to]).count() as u64;
        self.at = to;
    }
}

/// Of the separators that stand in most lines, the most usual one that divides a network from what is beside it.
fn separator(text: &str) -> u8 {
    let lines = text.lines().filter(|line| !line.starts_with('#')).take(SAMPLE);
    let lines: Vec<_> = lines.collect();
    let in_lines = |separator: u8| {
        lines
            .iter()
            .filter(|line| line.as_bytes().contains(&separator))
            .count()
    };
    let most = SEPARATORS.map(in_lines).into_iter().max().unwrap_or_default();
    let mut usual = SEPARATORS
        .into_iter()
        .filter(|separator| in_lines(*separator) == most);
    // JSON in a column has commas, too.
    let divides = |separator: &u8| {
        let fields = lines.iter().flat_map(|line| line.split(char::from(*separator)));
        let mut fields = fields.map(|field| field.trim().trim_matches('"'));
        fields.any(target::is_network)
    };
    let best = usual.clone().find(divides).or_else(|| usual.next());
    best.filter(|_| most > 0).unwrap_or(b',')
}

/// Tables as people read them, with borders of ASCII or of lines: those of `cscli`, of databases, and our own.
pub(super) fn read_table(source: &Source<'_>, found: &mut Found) {
    let is_border = |line: &str| {
        line.chars()
            .all(|c| "+-=|─│┌┐└┘├┤┬┴┼╭╮╰╯═╞╡╪╔╗╚╝╠╣╦╩╬║┆╌ ".contains(c))
    };
    let is_bar = |c: char| "|│║┆".contains(c);
    let mut records: Vec<Record> = Vec::new();
    if let Some(records) = aligned(source) {
        return entries("table", &records, source, found);
    }
    for (line, text) in source.lines().filter(|(_, text)| !is_border(text)) {
        let cells: Vec<_> = text.trim_matches(is_bar).split(is_bar).collect();
        if cells.len() > 1 {
            records.push((
                line,
                cells.into_iter().map(|cell| cell.trim().to_owned()).collect(),
            ));
        } else if !is_count(text) {
            found.bad(line, "no row of a table");
        }
    }
    let has_header = records
        .first()
        .is_some_and(|(_, fields)| header(fields).is_some());
    if !has_header {
        found.bad(1, "no header names a column for addresses");
        return;
    }
    // The rest of a row that needs several lines has no target.
    let columns = records
        .first()
        .map(|(_, fields)| fields.clone())
        .unwrap_or_default();
    let target = columns
        .iter()
        .position(|name| Column::of(name).is_some_and(Column::is_target));
    let is_row = |(_, fields): &Record| {
        target
            .and_then(|at| fields.get(at))
            .is_none_or(|cell| !cell.is_empty())
    };
    records.retain(is_row);
    entries("table", &records, source, found);
}

/// The rows of a table without borders, whose columns begin below their names, as `bans` prints it.
fn aligned(source: &Source<'_>) -> Option<Vec<Record>> {
    let mut lines = (1..)
        .zip(source.text.lines())
        .filter(|(_, text)| !text.trim().is_empty());
    let (first, names) = lines.next()?;
    let mut begins: Vec<usize> = Vec::new();
    let mut blanks = 2;
    for (at, c) in names.chars().enumerate() {
        match c {
            ' ' => blanks += 1,
            _ => {
                if blanks >= 2 {
                    begins.push(at);
                }
                blanks = 0;
            }
        }
    }
    let cells = |text: &str| -> Vec<String> {
        let chars: Vec<char> = text.chars().collect();
        let ends = begins.iter().skip(1).copied().chain([usize::MAX]);
        let cell = |(from, to): (usize, usize)| chars.get(from.min(chars.len())..to.min(chars.len()));
        let cells = begins.iter().copied().zip(ends).map(cell);
        cells
            .map(|cell| {
                cell.unwrap_or_default()
                    .iter()
                    .collect::<String>()
                    .trim()
                    .to_owned()
            })
            .collect()
    };
    let header_cells = cells(names);
    // Other tables of ours are about other clients than banned ones.
    let is_of_bans = ["TARGET", "REASON", "LAYER"]
        .iter()
        .all(|name| header_cells.iter().any(|cell| cell == name));
    (is_of_bans && header(&header_cells).is_some()).then(|| {
        [(first, header_cells)]
            .into_iter()
            .chain(lines.map(|(line, text)| (line, cells(text))))
            .collect()
    })
}

/// `(3 rows)`, as databases end a table, and `3 duplicated entries skipped`.
fn is_count(text: &str) -> bool {
    text.starts_with('(') || text.ends_with("skipped")
}

/// The columns, if `fields` are their names.
fn header(fields: &[String]) -> Option<Vec<Option<Column>>> {
    let columns: Vec<_> = fields.iter().map(|name| Column::of(name)).collect();
    let names_target = columns.iter().flatten().any(|column| column.is_target());
    (names_target && !fields.iter().any(|field| target::is_network(field))).then_some(columns)
}

/// Returns the columns where no name is known, with the name of the one for clients: it is called after addresses, and holds
/// networks alone.
fn header_in_other_words(records: &[Record]) -> Option<(Vec<Option<Column>>, &str)> {
    let ((_, names), rows) = records.split_first()?;
    if names.len() < 2 || rows.is_empty() || names.iter().any(|name| target::is_network(name)) {
        return None;
    }
    let holds_networks = |at: usize| {
        let mut fields = rows.iter().take(SAMPLE).map(|(_, fields)| fields.get(at));
        fields.all(|field| field.is_some_and(|field| target::is_network(field)))
    };
    let mut columns: Vec<_> = names.iter().map(|name| Column::of(name)).collect();
    let is_target =
        |at: &usize| columns[*at].is_none() && keys::is_of_clients(&names[*at]) && holds_networks(*at);
    let targets: Vec<_> = (0..names.len()).filter(is_target).collect();
    let [target] = targets[..] else {
        return None;
    };
    columns[target] = Some(Column::Target(0));
    Some((columns, &names[target]))
}

fn entries(kind: &str, records: &[Record], source: &Source<'_>, found: &mut Found) {
    let Some((_, first)) = records.first() else {
        return;
    };
    let other_words = || header_in_other_words(records);
    let known = header(first).map(|columns| {
        let named = first.iter().zip(&columns);
        let targets = named.filter_map(|(name, column)| match column {
            Some(Column::Target(rank)) => Some((*rank, name.as_str())),
            _ => None,
        });
        let clients = targets.min().map_or("", |(_, name)| name);
        (columns, clients)
    });
    let Some((mut columns, clients)) = known.or_else(other_words) else {
        return without_header(kind, records, source, found);
    };
    if let Some(why) = Sense::of_list(clients).misfit(source.purpose) {
        found.refused = Some(format!("the addresses are in the column `{clients}`, {why}"));
        return;
    }
    // A column of verdicts is one whatever it is called, but numbers may be anything.
    let is_number = |field: &String| field.bytes().all(|byte| byte.is_ascii_digit());
    for (at, column) in columns.iter_mut().enumerate() {
        let mut fields = records[1..].iter().filter_map(|(_, fields)| fields.get(at));
        if column.is_none() && !fields.all(is_number) && are_verdicts(&records[1..], at) {
            *column = Some(Column::Word);
        }
    }
    if logs::are_of_log(first.iter().map(String::as_str)) {
        found.refused = Some(LOG.to_owned());
        return;
    }
    if first.iter().map(|name| keys::plain(name)).eq(AUDIT) {
        found.refused =
            Some("it is an audit, which tells what happened; `export` writes the bans in force".to_owned());
        return;
    }
    let has = |known: &str| first.iter().any(|name| keys::plain(name) == known);
    if has("decisions") && has("value") {
        let why = "it is a list of CrowdSec's alerts, which does not say whose ban is still in force: \
                   `cscli decisions list -o json` does";
        found.refused = Some(why.to_owned());
        return;
    }
    let is_ours = has("target") && has("strikes");
    let other = match source.purpose {
        Purpose::Bans if has("network") && has("addedby") => {
            Some("it is an allowlist of SecBeat; `allowlist import` takes it")
        }
        Purpose::Allowlist if is_ours => Some("these are bans of SecBeat; `import` takes them"),
        _ => None,
    };
    if let Some(other) = other {
        found.refused = Some(other.to_owned());
        return;
    }
    if columns.len() > 1 {
        found.is_certain = true;
    }
    found.what = Some(described(kind, first, &columns));
    for (line, fields) in records.iter().skip(1) {
        let mut draft = Draft::new(is_ours);
        let is_whole = fields.len() == columns.len()
            || (fields.len() > columns.len() && fields[columns.len()..].iter().all(String::is_empty));
        if !is_whole {
            found.bad(
                *line,
                format!("it has {} fields, and the header {}", fields.len(), columns.len()),
            );
            continue;
        }
        let known = columns
            .iter()
            .zip(fields)
            .filter_map(|(column, field)| Some(((*column)?, field)));
        let filled: Result<(), String> = known
            .into_iter()
            .try_for_each(|(column, field)| draft.fill(column, field, source.zone));
        match filled {
            Ok(()) => draft.finish(*line, None, source.purpose, found),
            Err(why) => found.bad(*line, why),
        }
    }
}

/// Returns which columns are read and which are not.
fn described(kind: &str, names: &[String], columns: &[Option<Column>]) -> String {
    let listed = |are_read: bool| {
        let named = names
            .iter()
            .zip(columns)
            .filter(|(_, column)| column.is_some() == are_read);
        named
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut text = format!("{kind} and a header, of which it reads {}", listed(true));
    let unread = listed(false);
    if !unread.is_empty() {
        let _ = write!(text, ", but not {unread}");
    }
    text
}

/// Whether a column has nothing but words for verdicts, or clients could choose a name that frees them.
fn are_verdicts(records: &[Record], at: usize) -> bool {
    let said = || {
        let fields = records.iter().filter_map(|(_, fields)| fields.get(at));
        fields.filter(|field| !field.is_empty())
    };
    let is_verdict = |field: &String| label_sense(field) != Sense::Neither;
    said().all(|field| is_verdict(field) || is_other_action(field)) && said().any(is_verdict)
}

/// Whether a field ends in an address or a network: `allow 192.0.2.1`, `remoteip=192.0.2.0/24`, `trusted:192.0.2.1`.
fn ends_in_network(field: &str) -> bool {
    let is_mark = |c: char| c.is_whitespace() || "=\"'([{<@".contains(c);
    let field = field.trim_end_matches(['"', '\'', ')', ']', '}', '>']);
    let last = field.rsplit(is_mark).next().unwrap_or(field);
    let behind_colon = last.rsplit_once(':').map(|(_, rest)| rest);
    target::is_network(last) || behind_colon.is_some_and(target::is_network)
}

fn has_braces(records: &[Record]) -> bool {
    let mut fields = records.iter().take(SAMPLE).flat_map(|(_, fields)| fields);
    fields.any(|field| field == "}" || field.ends_with('{') || field.contains("{ "))
}

/// The one column that holds a network in every record is the target, and the others are the note.
fn without_header(kind: &str, records: &[Record], source: &Source<'_>, found: &mut Found) {
    let sample = records.len().min(SAMPLE);
    let joined: Vec<_> = records
        .iter()
        .take(sample)
        .map(|(_, fields)| fields.join("\t"))
        .collect();
    if logs::are_requests(joined.iter().map(String::as_str)) {
        found.refused = Some(LOG.to_owned());
        return;
    }
    let columns = records
        .iter()
        .map(|(_, fields)| fields.len())
        .min()
        .unwrap_or_default();
    let in_column = |column: usize| {
        let fields = records
            .iter()
            .take(sample)
            .map(|(_, fields)| fields[column].as_str());
        fields.filter(|field| target::is_network(field)).count()
    };
    let most = (0..columns).map(in_column).max().unwrap_or_default();
    let targets: Vec<_> = (0..columns)
        .filter(|column| most * 2 > sample && in_column(*column) == most)
        .collect();
    let first_line = records.first().map_or(1, |(line, _)| *line);
    match targets[..] {
        _ if columns < 2 => found.bad(first_line, "one column, and no header"),
        // Some program's config, in which more than one field may hold an address.
        _ if has_braces(records) => found.bad(first_line, "braces, and no header"),
        [] => found.bad(first_line, "no header names a column for addresses, and no column holds them"),
        [column] => {
            found.what = Some(format!("{kind} without a header; column {} has the addresses", column + 1));
            let others = (0..columns).filter(|at| *at != column);
            let verdicts: Vec<_> = others.filter(|at| are_verdicts(records, *at)).collect();
            for (line, fields) in records {
                let others = || (0..).zip(fields).filter(|(at, field)| *at != column && !field.is_empty());
                let is_other = |field: &&str| Verdict::of_label(field, source.purpose) == Verdict::Other;
                let said = || verdicts.iter().map(|at| fields[*at].as_str());
                if let Some(action) = said().find(|field| is_other_action(field)) {
                    found.bad(*line, neither(action));
                    continue;
                }
                if let Some(verdict) = said().find(is_other) {
                    found.except(*line, &fields[column]);
                    found.pass_over(format!("entries with `{verdict}`"));
                    continue;
                }
                // `ALLOWED_IPS=192.0.2.1,192.0.2.2`: what is said of the second address is in front of the first one.
                if column > 0 && ends_in_network(&fields[column - 1]) {
                    found.bad(
                        *line,
                        format!("`{}` names an address, too: write an address a line", fields[column - 1]),
                    );
                    continue;
                }
                let note: Vec<_> = others().map(|(_, field)| field.as_str()).collect();
                found.take(*line, &fields[column], About::noting(note.join(", ")));
            }
        }
        [one, other, ..] => found.bad(
            first_line,
            format!(
                "columns {} and {} hold addresses; a header such as `start,end` or `ip,note` says what they are",
                one + 1,
                other + 1
            ),
        ),
    }
}
