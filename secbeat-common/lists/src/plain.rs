//! Lists with an address, a network or a range on each line.

use std::{borrow::Cow, iter};

use super::{
    keys::Sense,
    list::{About, Found, Out, Purpose, Source},
    logs::{self, LOG},
    target,
    verdict::{Verdict, excuses, is_other_action, label_sense, neither, truth},
};

/// Lines that are looked at for requests.
const SAMPLE: usize = 200;
/// What a comment begins with, alone on a line or behind an entry.
const COMMENTS: [&str; 3] = ["#", ";", "//"];

fn is_comment(line: &str) -> bool {
    COMMENTS.iter().any(|mark| line.starts_with(mark))
}

/// `line` without the comment behind it, and the comment.
fn divided(line: &str) -> (&str, &str) {
    let at = COMMENTS.iter().filter_map(|mark| line.find(mark)).min();
    let (entry, comment) = line.split_at(at.unwrap_or(line.len()));
    (entry.trim(), comment.trim_start_matches(['#', ';', '/']).trim())
}

/// Entries with semicolons between them, as one line of entries; `None` if one begins a comment.
fn separated(line: &str) -> Option<String> {
    let parts = || line.split(';').map(str::trim).filter(|part| !part.is_empty());
    let are_entries = line.contains(';') && parts().count() > 1 && parts().all(target::is_network);
    are_entries.then(|| parts().collect::<Vec<_>>().join(" "))
}

/// Returns what stands behind the mark of an item of a list: `- 198.51.100.7`, `* 198.51.100.7`.
fn item(text: &str) -> &str {
    let marks = ["- ", "* ", "+ ", "• "];
    marks
        .into_iter()
        .find_map(|mark| text.strip_prefix(mark))
        .unwrap_or(text)
        .trim_start()
}

/// Returns what stands between quotes, if all does.
fn unquoted(text: &str) -> &str {
    let between = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    ['"', '\'', '`'].into_iter().find_map(between).unwrap_or(text)
}

/// An entry a line, with a comment or a label behind it; or several entries.
pub(super) fn read_list(source: &Source<'_>, found: &mut Found) {
    let (mut pairs, mut others, mut first_pair) = (0, 0, 0);
    // The heading above, if it says something of those below it.
    let mut heading: Option<(String, Sense)> = None;
    let mut is_map = None;
    let first = source
        .lines()
        .map(|(_, text)| divided(text).0)
        .filter(|text| !text.is_empty());
    if logs::are_requests(first.take(SAMPLE)) {
        found.refused = Some(LOG.to_owned());
        return;
    }
    let has = |mark: &str| source.lines().any(|(_, text)| text.starts_with(mark));
    let is_difference = has("+ ") && has("- ");
    for (line, text) in source.lines() {
        if is_difference && text.starts_with("- ") {
            found.pass_over("lines with `-`, since others have `+`: the list takes them off");
            continue;
        }
        let (text, comment) = match separated(text) {
            Some(entries) => (Cow::Owned(entries), ""),
            None => {
                let (text, comment) = divided(text);
                (Cow::Borrowed(text), comment)
            }
        };
        // Begin and end of a document of YAML.
        if matches!(&*text, "---" | "...") {
            continue;
        }
        if text.is_empty() {
            if let Some(sense) = commented(comment) {
                heading = Some((comment.to_owned(), sense));
            }
            continue;
        }
        let text = unquoted(item(&text));
        if text == "}" && heading.as_ref().is_some_and(|(name, _)| name.ends_with('{')) {
            heading = None;
            continue;
        }
        if let Some((exception, label)) = exception(text) {
            others += 1;
            found.except(line, exception);
            // Postfix means all others.
            match Verdict::of_label(label, Purpose::Allowlist) {
                Verdict::Other => {
                    found.bad(line, format!("`!{exception}` with `{label}` is about all others"))
                }
                _ => found.pass_over("entries with `!`, which are exceptions"),
            }
            continue;
        }
        match entry(text) {
            Ok((targets, label)) => {
                match targets.len() {
                    2 if label.is_empty() => {
                        (pairs, first_pair) = (pairs + 1, if pairs == 0 { line } else { first_pair })
                    }
                    _ => others += 1,
                }
                if let Some((name, sense)) = &heading
                    && found.is_misfit(&format!("what stands below `{name}`"), *sense, source.purpose)
                {
                    let how = Out::by(name);
                    targets
                        .iter()
                        .for_each(|target| found.leave_out(how, line, target));
                    continue;
                }
                if source.purpose == Purpose::Bans && is_excused(comment) {
                    targets.iter().for_each(|target| found.except(line, target));
                    let why = "says that it is not to be banned: remove the line, or the comment";
                    found.bad(line, format!("its comment, `{comment}`, {why}"));
                    continue;
                }
                if is_other_action(label) {
                    found.bad(line, neither(label.split_whitespace().next().unwrap_or_default()));
                    continue;
                }
                // As maps of HAProxy have it.
                if ["0", "false", "no", "off"].contains(&label)
                    && *is_map.get_or_insert_with(|| are_truths(source))
                {
                    found.pass_over(format!("entries with `{label}`"));
                    continue;
                }
                if Verdict::of_label(label, source.purpose) == Verdict::Other {
                    let verdict = label.split_whitespace().next().unwrap_or_default();
                    found.pass_over(format!("entries with `{verdict}`"));
                    for target in &targets {
                        found.except_from_now_on(line, target);
                    }
                    continue;
                }
                let note = if comment.is_empty() { label } else { comment };
                for target in targets {
                    found.take(line, &target, About::noting(note));
                }
            }
            Err(why) => match heading_of(text) {
                Some(sense) => heading = Some((text.to_owned(), sense)),
                None => {
                    others += 1;
                    found.bad(line, why);
                    // `Whitelist`, `<!-- allowed -->`: what stands below is not taken when the line is skipped.
                    if let Some(sense) = commented(text) {
                        heading = Some((text.to_owned(), sense));
                    }
                }
            },
        }
    }
    if pairs > 1 && others == 0 {
        found.entries.clear();
        found.bad(
            first_pair,
            "each line has two addresses, which may be a range or not: write `a-b`, or an address a line",
        );
    }
}

/// Whether each label behind an entry is a truth value. Elsewhere, `no` is Norway.
fn are_truths(source: &Source<'_>) -> bool {
    source.lines().all(|(_, text)| {
        let entry = entry(unquoted(item(divided(text).0))).ok();
        entry.is_none_or(|(_, label)| label.is_empty() || truth(label).is_some())
    })
}

/// Returns what a comment says of the entries below it, if it is a verdict alone: `whitelist`, `=== ALLOWED HOSTS ===`. Comments
/// are names of companies and towns, too, so only whole words count.
fn commented(comment: &str) -> Option<Sense> {
    const FILL: [&str; 9] = [
        "",
        "list",
        "ip",
        "ips",
        "hosts",
        "addresses",
        "networks",
        "clients",
        "countries",
    ];
    let name = comment.trim_matches(|c: char| c.is_whitespace() || "[]{}:=-*#/~+<>!".contains(c));
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("rem ").unwrap_or(&name);
    // As csf writes above its lists.
    if let Some(name) = name.strip_prefix("the following ip addresses will be ") {
        let sense = Sense::of_first(name);
        return (sense != Sense::Neither).then_some(sense);
    }
    let (first, rest) = name.split_once(' ').unwrap_or((name, ""));
    let sense = plain_sense(first);
    (FILL.contains(&rest.trim()) && sense != Sense::Neither).then_some(sense)
}

/// As [`label_sense`], without words that comments have for something else.
fn plain_sense(word: &str) -> Sense {
    match word {
        "ok" | "relay" | "pass" | "dunno" | "permit" => Sense::Neither,
        word => label_sense(word),
    }
}

/// Whether the comment behind an entry says that it is not to be banned.
fn is_excused(comment: &str) -> bool {
    const WORDS: [&str; 2] = ["unblocked", "delisted"];
    let is_phrase = excuses(comment);
    let comment = comment.to_ascii_lowercase();
    let first = comment.split_whitespace().next().unwrap_or_default();
    let first = first.trim_end_matches(|c: char| c.is_ascii_punctuation());
    plain_sense(first) == Sense::LetsIn || WORDS.contains(&first) || is_phrase
}

/// Returns what a heading such as `allowed:`, `[block]`, `acl "trusted" {` or `-- whitelist --` says of those below it, if it
/// says something. Without marks, it may be the name of a host.
fn heading_of(text: &str) -> Option<Sense> {
    let text = &text.replace('"', "");
    let is_marked = text.ends_with([':', ']', '{']) || text.starts_with("--") || text.starts_with("==");
    let name = text.trim_matches(|c: char| c.is_whitespace() || "[]{:=-*".contains(c));
    let are_words = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || " _-".contains(c));
    let sense = Sense::of_list(name);
    (is_marked && are_words && name.split_whitespace().count() <= 3 && sense != Sense::Neither)
        .then_some(sense)
}

/// The network of `!198.51.100.7`, and what stands behind it.
fn exception(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('!')?.trim_start();
    let (network, label) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    target::is_network(network).then(|| (network, label.trim()))
}

/// The entries that `text` begins with, and what stands behind them.
fn entry(text: &str) -> Result<(Vec<String>, &str), String> {
    let is_between = |c: char| c.is_whitespace() || c == ',';
    let word = |text: &'_ str| text.find(is_between).unwrap_or(text.len());
    let (first, rest) = text.split_at(word(text));
    let rest = rest.trim_matches(is_between);
    // `a - b` and `a to b`, as some write ranges.
    let range = ["- ", "to ", "through ", "– ", "— "]
        .into_iter()
        .find_map(|mark| Some((mark, rest.strip_prefix(mark)?.trim_start())));
    if let Some((mark, last)) = range
        && target::address(first).is_some()
    {
        let (last, label) = last.split_at(word(last));
        match target::address(last) {
            Some(_) => return Ok((vec![format!("{first}-{last}")], label.trim_matches(is_between))),
            None if mark == "- " => return Err(LOG.to_owned()),
            None => {}
        }
    }
    // `192.0.2.0 /24`
    let (len, label) = rest.split_at(word(rest));
    let is_len = |text: &str| {
        text.strip_prefix('/')
            .is_some_and(|len| len.parse::<u8>().is_ok())
    };
    if target::address(first).is_some() && is_len(len) {
        return Ok((vec![format!("{first}{len}")], label.trim_matches(is_between)));
    }
    // A network and its mask.
    if rest.starts_with("255.") && target::mask_len(rest).is_some() {
        return Ok((vec![format!("{first}/{rest}")], ""));
    }
    // As `uniq -c` counts.
    if !first.is_empty()
        && first.len() <= 9
        && first.bytes().all(|byte| byte.is_ascii_digit())
        && target::is_network(rest)
    {
        return Ok((vec![rest.to_owned()], first));
    }
    target::networks(first)?;
    let words = || rest.split(is_between).filter(|word| !word.is_empty());
    if words().all(target::is_network) {
        let all = iter::once(first).chain(words());
        return Ok((all.map(str::to_owned).collect(), ""));
    }
    // `192.0.2.0/24 except 192.0.2.7`, `192.0.2.0/24 !192.0.2.7`
    let mut pairs = words().zip(words().skip(1));
    let is_exception = |word: &str| word.strip_prefix('!').is_some_and(target::is_network);
    let marks = ["except", "excluding", "without"];
    let excepts = |word: &str| marks.iter().any(|mark| word.eq_ignore_ascii_case(mark));
    if words().any(is_exception) || pairs.any(|(word, next)| excepts(word) && target::is_network(next)) {
        return Err("an exception behind a network: write `!192.0.2.7` on a line of its own".to_owned());
    }
    // Marks between them do not say what the second one is.
    let is_mark = |word: &&str| word.bytes().all(|byte| byte.is_ascii_punctuation());
    let behind = words().find(|word| !is_mark(word));
    if behind.is_some_and(target::is_network) {
        return Err(
            "two addresses, which may be a range or not: write `a-b`, or an address a line".to_owned(),
        );
    }
    Ok((vec![first.to_owned()], rest))
}

/// IPsum: an address, a tab, and on how many lists it is.
pub(super) fn read_ipsum(source: &Source<'_>, found: &mut Found) {
    for (line, text) in source.lines().filter(|(_, text)| !is_comment(text)) {
        match text.split_once('\t') {
            Some((address, count)) if count.bytes().all(|byte| byte.is_ascii_digit()) => {
                found.take(line, address, About::noting(format!("on {count} lists")));
            }
            _ => found.bad(line, "no address with a tab and a count behind it"),
        }
    }
}

/// PeerGuardian's `label:a-b`, and eMule's `a - b , level , label`.
pub(super) fn read_p2p(source: &Source<'_>, found: &mut Found) {
    /// From this level on, eMule lets a range in.
    const LET_IN: u32 = 127;
    for (line, text) in source.lines().filter(|(_, text)| !is_comment(text)) {
        let fields: Vec<_> = text.splitn(3, ',').map(str::trim).collect();
        if let [range, level, label] = fields[..]
            && let (Some((first, last)), Ok(level)) = (range.split_once('-'), level.parse::<u32>())
        {
            match level < LET_IN {
                true => found.take(
                    line,
                    &format!("{}-{}", decimal(first), decimal(last)),
                    About::noting(label),
                ),
                false => {
                    found.except(line, &format!("{}-{}", decimal(first), decimal(last)));
                    found.pass_over(format!("ranges of a level from {LET_IN} on, which eMule lets in"));
                }
            }
            continue;
        }
        match labelled(text) {
            Some((label, range)) => found.take(line, range, About::noting(label)),
            None => found.bad(line, "no `label:first-last`"),
        }
    }
}

/// The label and the range of `label:a-b`; labels have colons and dashes, and IPv6 addresses have colons.
fn labelled(text: &str) -> Option<(&str, &str)> {
    /// Of the longest address: `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`, with a blank on either side.
    const LONGEST: usize = 47;
    let (before, last) = text.rsplit_once('-')?;
    target::address(last)?;
    // A range of IPv6 without a label.
    if target::address(before).is_some() {
        return None;
    }
    let colons = before.rmatch_indices(':').map(|(at, _)| at);
    let near = colons.take_while(|at| before.len() - at <= LONGEST);
    let begins = near.filter(|at| target::address(&before[at + 1..]).is_some());
    let at = begins.last()?;
    Some((text[..at].trim(), text[at + 1..].trim()))
}

/// An address without the zeros with which eMule fills its numbers up to three digits.
fn decimal(address: &str) -> String {
    let octets: Vec<_> = address.trim().split('.').collect();
    if octets.len() != 4 || octets.iter().any(|octet| octet.len() != 3) {
        return address.trim().to_owned();
    }
    let octets = octets.iter().map(|octet| match octet.trim_start_matches('0') {
        "" => "0",
        octet => octet,
    });
    octets.collect::<Vec<_>>().join(".")
}

/// DShield's: first and last address, the length of the prefix, attacks, name, country, mail.
pub(super) fn read_dshield(source: &Source<'_>, found: &mut Found) {
    for (line, text) in source.lines().filter(|(_, text)| !is_comment(text)) {
        let fields: Vec<_> = text.split('\t').map(str::trim).collect();
        let [first, last, len, rest @ ..] = &fields[..] else {
            found.bad(
                line,
                "no first and last address and length of a prefix between tabs",
            );
            continue;
        };
        if first.eq_ignore_ascii_case("start") {
            found.is_certain = true;
            continue;
        }
        let network = format!("{first}/{len}");
        let range = target::networks(&format!("{first}-{last}"));
        match (range, target::networks(&network)) {
            (Ok(range), Ok(named)) if range == named => {
                let note: Vec<_> = rest
                    .iter()
                    .skip(1)
                    .take(2)
                    .filter(|word| !word.is_empty())
                    .copied()
                    .collect();
                found.take(line, &network, About::noting(note.join(", ")));
            }
            (Ok(_), Ok(_)) => found.bad(line, format!("{first} to {last} is not {network}")),
            (Err(why), _) | (_, Err(why)) => found.bad(line, why),
        }
    }
}

/// The Tor Project's `exit-addresses`.
pub(super) fn read_tor(source: &Source<'_>, found: &mut Found) {
    let mut node = "";
    for (line, text) in source.lines().filter(|(_, text)| !is_comment(text)) {
        let mut words = text.split_whitespace();
        match (words.next(), words.next()) {
            (Some("ExitNode"), Some(name)) => node = name,
            (Some("ExitAddress"), Some(address)) => {
                found.take(
                    line,
                    address,
                    About::noting(format!("Tor exit {node}").trim_end()),
                );
            }
            (Some("Published" | "LastStatus"), _) => {}
            _ => found.bad(
                line,
                "no line such as `ExitAddress 198.51.100.7 2026-11-28 01:02:03`",
            ),
        }
    }
}
