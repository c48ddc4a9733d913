//! Access rules in configs of web servers: nginx and Apache.

use std::collections::BTreeSet;

use super::{
    keys::Sense,
    list::{About, Found, Purpose, Source},
    target,
    verdict::{Verdict, truth},
};

/// nginx: `deny 198.51.100.7;` and `allow …;`, and blocks of `geo` and `map`.
pub(super) fn read_nginx(source: &Source<'_>, found: &mut Found) {
    // What the variable of the block around is called: `geo $whitelist {`.
    let mut block = String::new();
    for (line, text) in source.lines() {
        let (text, comment) = text.split_once('#').unwrap_or((text, ""));
        let comment = comment.trim();
        for statement in text.split_inclusive([';', '{', '}']).map(str::trim) {
            let Some(words) = statement.strip_suffix(';') else {
                if let Some(words) = statement.strip_suffix('{') {
                    let variable = words
                        .split_whitespace()
                        .rev()
                        .find_map(|word| word.strip_prefix('$'));
                    variable.unwrap_or_default().clone_into(&mut block);
                } else if statement.ends_with('}') {
                    block.clear();
                }
                let is_block = statement.is_empty() || statement.ends_with(['{', '}']);
                if !is_block {
                    found.bad(line, "no statement such as `deny 198.51.100.7;`");
                }
                continue;
            };
            let words: Vec<_> = words.split_whitespace().collect();
            statement_of(line, &words, &block, comment, source.purpose, found);
        }
    }
}

fn statement_of(line: u64, words: &[&str], block: &str, comment: &str, purpose: Purpose, found: &mut Found) {
    let (meant, other) = match purpose {
        Purpose::Bans => ("deny", "allow"),
        Purpose::Allowlist => ("allow", "deny"),
    };
    match *words {
        [verb, "all"] if verb == meant => {
            found.is_certain = true;
            found.bad(line, format!("`{verb} all` covers all clients"));
        }
        [verb, "unix:"] if verb == meant => found.pass_over(format!("`{verb} unix:`")),
        [verb, network] if verb == meant => {
            found.is_certain = true;
            found.take(line, network, About::noting(comment));
        }
        [verb, network] if verb == other => {
            found.is_certain = true;
            found.except_from_now_on(line, network);
            found.pass_over(format!("`{verb}`"));
        }
        [
            "default" | "ranges" | "proxy" | "volatile" | "hostnames" | "include",
            ..,
        ] => found.pass_over(format!("`{}`", words[0])),
        // Of `geo` and `map`: 0 and nothing is whom they do not mean.
        [network, value] if target::is_network(network.trim_matches('"')) => match value.trim_matches('"') {
            value if value.is_empty() || truth(value) == Some(false) => {
                found.pass_over("entries of `geo` and `map` with the value 0");
            }
            // `geo $country`, with `DE`.
            value
                if Sense::of_list(block) == Sense::Neither
                    && Verdict::of_word(value, purpose) == Verdict::Unknown =>
            {
                found.is_certain = true;
                found.bad(
                    line,
                    format!("neither `${block}` nor `{value}` says whether the client is kept out or let in"),
                );
            }
            value => {
                found.is_certain = true;
                let network = network.trim_matches('"');
                let by_value = found.is_misfit(&format!("entries with `{value}`"), Sense::of(value), purpose);
                let by_name = !by_value
                    && found.is_misfit(&format!("entries of `${block}`"), Sense::of_list(block), purpose);
                if by_value || by_name {
                    return found.except(line, network);
                }
                let note = if value == "1" { comment } else { value };
                found.take(line, network, About::noting(note));
            }
        },
        _ => found.bad(line, "no statement such as `deny 198.51.100.7;`"),
    }
}

/// Apache: `Require not ip`, `Deny from`, and for an allowlist `Require ip`, `Allow from`.
pub(super) fn read_apache(source: &Source<'_>, found: &mut Found) {
    let winning = winning(source);
    // Blocks of what must not be so, of which each turns its lines round.
    let mut nones = 0_usize;
    for (line, text) in source.lines().filter(|(_, text)| !text.starts_with('#')) {
        // Apache has no comments behind a directive, but people write them.
        let words = text.split_whitespace().take_while(|word| !word.starts_with('#'));
        let words: Vec<_> = words.collect();
        let lower: Vec<_> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
        let lower: Vec<_> = lower.iter().map(String::as_str).collect();
        let (purpose, at) = match lower[..] {
            ["<requirenone>"] => {
                nones += 1;
                continue;
            }
            ["</requirenone>"] => {
                nones = nones.saturating_sub(1);
                continue;
            }
            ["require", "not", "ip", ..] => (Purpose::Bans, 3),
            ["deny", "from", ..] => (Purpose::Bans, 2),
            ["require", "ip", ..] if nones > 0 => (Purpose::Bans, 2),
            ["require", "ip", ..] => (Purpose::Allowlist, 2),
            ["allow", "from", ..] => (Purpose::Allowlist, 2),
            ["order" | "require" | "satisfy", ..] => {
                found.pass_over(format!("`{}`", words[0]));
                continue;
            }
            [tag, ..] if tag.starts_with('<') && !tag.starts_with("<!") && !tag.starts_with("<html") => {
                continue;
            }
            _ => {
                found.bad(line, "no line such as `Require not ip 198.51.100.7`");
                continue;
            }
        };
        found.is_certain = true;
        if purpose != source.purpose {
            if winning.contains(&line) {
                for client in &words[at..] {
                    match target::partial(client) {
                        _ if client.eq_ignore_ascii_case("all") => {
                            found.bad(
                                line,
                                "`Allow from all` allows all clients without `Order Allow,Deny`",
                            );
                        }
                        Some(network) => found.except(line, &network.to_string()),
                        None => found.except(line, client),
                    }
                }
            }
            found.pass_over(format!("`{}`", words[..at].join(" ")));
            continue;
        }
        for client in &words[at..] {
            match target::partial(client) {
                _ if client.eq_ignore_ascii_case("all") => found.bad(line, "`all` covers all clients"),
                Some(network) => found.take(line, &network.to_string(), About::default()),
                None => found.take(line, client, About::default()),
            }
        }
    }
}

/// A block of a config of Apache.
#[derive(Default)]
struct Block {
    /// Whether its `Order` has `Allow` behind `Deny`.
    order: Option<bool>,
    /// The lines with `Allow` of which its order decides.
    allows: Vec<u64>,
}

/// The lines at which `Allow from` wins over `Deny from`. So it does without an `Order`, and with `Order Deny,Allow`. Each block has its
/// own order, or that of the block around it.
fn winning(source: &Source<'_>) -> BTreeSet<u64> {
    let (mut blocks, mut winning) = (vec![Block::default()], BTreeSet::new());
    for (line, text) in source.lines() {
        let text = text.to_ascii_lowercase();
        let mut words = text.split_whitespace();
        let (first, second) = (words.next().unwrap_or_default(), words.next());
        // What stands under these is a part of the block around it.
        const CONDITIONS: [&str; 3] = ["ifmodule", "ifversion", "ifdefine"];
        let tag = first.trim_start_matches(['<', '/']);
        if first.starts_with('<') && CONDITIONS.iter().any(|name| tag.starts_with(name)) {
            continue;
        }
        if first.starts_with("</") {
            // The end of a block that the text does not begin.
            if blocks.len() > 1 {
                close(&mut blocks, &mut winning);
            }
        } else if first.starts_with('<') {
            blocks.push(Block::default());
        } else if let Some(block) = blocks.last_mut() {
            match (first, second) {
                ("order", Some(order)) => block.order = Some(order.starts_with("deny")),
                ("allow", _) => block.allows.push(line),
                _ => {}
            }
        }
    }
    while !blocks.is_empty() {
        close(&mut blocks, &mut winning);
    }
    winning
}

/// Closes the innermost block.
fn close(blocks: &mut Vec<Block>, winning: &mut BTreeSet<u64>) {
    let Some(block) = blocks.pop() else {
        return;
    };
    match (block.order, blocks.last_mut()) {
        (None, Some(outer)) => outer.allows.extend(block.allows),
        (None | Some(true), _) => winning.extend(block.allows),
        (Some(false), _) => {}
    }
}
