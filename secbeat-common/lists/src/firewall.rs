//! Sets and rules of firewalls: ipset and iptables.

use std::collections::HashSet;

use secbeat_daemon::term::Term;

use super::{
    keys::Sense,
    list::{About, End, Found, Out, Purpose, Source},
    target, when,
    words::{after, words},
};

/// What `ipset save` and `ipset list` print.
pub(super) fn read_ipset(source: &Source<'_>, found: &mut Found) {
    // The set whose members are listed.
    let (mut are_members, mut name) = (false, String::new());
    let purpose = source.purpose;
    for (line, text) in source.lines() {
        let words = words(text);
        let commands = words
            .iter()
            .take_while(|word| matches!(**word, "sudo" | "ipset" | "-exist" | "-!"));
        match words[commands.count()..] {
            [] => {}
            ["create" | "-N" | "--create", ..] => found.is_certain = true,
            ["add" | "-A" | "--add", set, entry, ref options @ ..] => {
                member(line, set, entry, options, purpose, found);
            }
            ["del" | "flush" | "destroy" | "COMMIT", ..] => found.pass_over("commands that add nothing"),
            [word, ..] if word.starts_with('#') => {}
            ["Members:"] => (are_members, found.is_certain) = (true, true),
            ["Name:", ref set @ ..] => (are_members, name) = (false, set.join(" ")),
            [word, ..] if word.ends_with(':') && !are_members => {}
            ["Size" | "Number", ..] if !are_members => {}
            [entry, ref options @ ..] if are_members => member(line, &name, entry, options, purpose, found),
            _ => found.bad(line, "no line such as `add NAME 198.51.100.7`"),
        }
    }
}

fn member(line: u64, set: &str, entry: &str, options: &[&str], purpose: Purpose, found: &mut Found) {
    // Others have commands with these names, too.
    found.is_certain |= entry.split(',').next().is_some_and(target::is_network);
    if entry.contains(',') {
        return found.bad(line, format!("`{entry}` is more than an address"));
    }
    let sense = Sense::of_list(set);
    if found.is_misfit(&format!("the set `{set}`"), sense, purpose) {
        if purpose == Purpose::Bans {
            found.leave_out(Out::by(set), line, entry);
        }
        return;
    }
    if options.contains(&"nomatch") {
        found.except(line, entry);
        return found.pass_over("entries with `nomatch`, which are exceptions");
    }
    let end = match after(options, "timeout").map(str::parse::<i64>) {
        None => None,
        Some(Ok(0)) => Some(Ok(End::For(Term::Permanent))),
        Some(Ok(seconds)) => Some(when::seconds_long(seconds)),
        Some(Err(error)) => Some(Err(format!("timeout: {error}"))),
    };
    match end.transpose() {
        Ok(end) => {
            let note = after(options, "comment").unwrap_or_default().to_owned();
            found.take(
                line,
                entry,
                About {
                    end,
                    note,
                    ..About::default()
                },
            );
        }
        Err(why) => found.bad(line, why),
    }
}

/// Rules of `iptables-save`, commands of scripts, and what `iptables -L -n` shows: those that drop or reject a source, or accept one for
/// an allowlist.
pub(super) fn read_iptables(source: &Source<'_>, found: &mut Found) {
    let drops = dropping_chains(source);
    // The columns of rows that are shown, once there was a header, and their chain.
    let (mut shown, mut table, mut chain) = (None, TABLES[0], String::new());
    for (line, text) in source.lines() {
        let words = words(without_counters(text));
        let words = match words[..] {
            ["sudo", ref rest @ ..] => rest,
            _ => &words[..],
        };
        match words {
            [] => {}
            ["COMMIT"] => found.is_certain = true,
            ["Chain", name, what, ..] if what.starts_with('(') => {
                found.is_certain = true;
                (*name).clone_into(&mut chain);
                found.stand_in(table, name);
            }
            ["target" | "pkts" | "num", ..] if words.contains(&"source") => shown = Shown::of(words),
            _ if shown.is_some() && !words[0].starts_with('-') => {
                if let Some(shown) = &shown {
                    row(line, words, shown, &chain, (source.purpose, &drops), found);
                }
            }
            [name] if name.strip_prefix('*').is_some_and(|name| TABLES.contains(&name)) => {
                found.is_certain = true;
                table = name.trim_start_matches('*');
            }
            [word, ..] if word.starts_with([':', '#']) => {}
            [command, ..] if command.starts_with('-') || command.ends_with("tables") => {
                rule(line, words, table, (source.purpose, &drops), found)
            }
            _ => found.bad(line, "no rule such as `-A INPUT -s 198.51.100.7 -j DROP`"),
        }
    }
}

/// Tables of `iptables-save`, each behind a `*`.
const TABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];

/// A rule without the `[12:720]` before it, which `iptables-save -c` writes.
fn without_counters(text: &str) -> &str {
    let rule = text
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
        .filter(|(counters, _)| counters.bytes().all(|byte| byte.is_ascii_digit() || byte == b':'));
    rule.map_or(text, |(_, rule)| rule)
}

/// Where rows have the verdict and the source.
struct Shown {
    verdict: usize,
    /// Columns from the verdict to the source.
    to_source: usize,
}

impl Shown {
    fn of(header: &[&str]) -> Option<Self> {
        let at = |name: &str| header.iter().position(|column| *column == name);
        let (verdict, source) = (at("target")?, at("source")?);
        Some(Self {
            verdict,
            to_source: source.checked_sub(verdict)?,
        })
    }

    /// The verdict of a row, its source and what stands behind it. Without options, IPv6 has an empty column before the source.
    fn row<'a, 'w>(&self, words: &'a [&'w str]) -> Option<(&'w str, &'w str, &'a [&'w str])> {
        let (verdict, rest) = words.get(self.verdict..)?.split_first()?;
        let has_options = rest
            .get(1)
            .is_some_and(|word| matches!(*word, "--" | "-f" | "!f"));
        let at = self.to_source.checked_sub(if has_options { 1 } else { 2 })?;
        let (source, behind) = rest.get(at..)?.split_first()?;
        Some((verdict, source, behind))
    }
}

/// A rule as `iptables -L` shows it.
fn row(
    line: u64,
    words: &[&str],
    shown: &Shown,
    chain: &str,
    meant: (Purpose, &Chains<'_>),
    found: &mut Found,
) {
    let Some((verdict, source, rest)) = shown.row(words) else {
        return found.pass_over("rules without a source or a verdict");
    };
    let is_all = |network: &&str| matches!(*network, "0.0.0.0/0" | "::/0" | "anywhere");
    if is_all(&source) {
        return found.pass_over("rules without a source or a verdict");
    }
    let protocol = words.get(shown.verdict + 1).copied().unwrap_or_default();
    if !is_meant(verdict, meant) {
        let is_bare = rest.first().is_some_and(is_all) && rest.get(1).is_none_or(|next| *next == "/*");
        if LETS_IN.contains(&verdict) && is_bare && matches!(protocol, "all" | "0") && !is_of_output(chain) {
            except(line, source, verdict, chain, found);
        }
        return found.pass_over(format!("rules with `-j {verdict}`"));
    }
    if is_of_output(chain) {
        return found.pass_over(of_output(chain));
    }
    if protocol.contains("icmp") || protocol.starts_with('!') {
        return found.pass_over(format!("rules that hold for some packets only (`{protocol}`)"));
    }
    // What `-L` shows of matches that hold for some packets only.
    const SOME: [&str; 11] = [
        "ADDRTYPE",
        "limit:",
        "#conn",
        "recent:",
        "INVALID",
        "STRING",
        "TIME",
        "quota:",
        "statistic",
        "match-set",
        "owner",
    ];
    if let Some(some) = rest.iter().find(|word| SOME.contains(word)) {
        return found.pass_over(format!("rules that hold for some packets only (`{some}`)"));
    }
    if let Some(source) = source.strip_prefix('!') {
        return found.bad(line, format!("the rule is for all but {source}"));
    }
    if !target::is_network(source) {
        return found.bad(
            line,
            format!("the source is the name `{source}`: `iptables -L -n` shows addresses"),
        );
    }
    let comment = rest.iter().position(|word| *word == "/*");
    let note = comment.map(|at| {
        rest[at + 1..]
            .split(|word| *word == "*/")
            .next()
            .unwrap_or_default()
    });
    found.take(line, source, About::noting(note.unwrap_or_default().join(" ")));
}

/// Whether a chain is about packets that this host sends, as `OUTPUT` and ufw's `ufw-user-output`.
pub(super) fn is_of_output(chain: &str) -> bool {
    let chain = chain.to_ascii_lowercase();
    chain.contains("output") || chain.contains("postrouting")
}

pub(super) fn of_output(chain: &str) -> String {
    format!("rules of the chain {chain}, whose sources are this host's addresses")
}

/// Verdicts after which no other rule counts that would drop the packet.
const LETS_IN: [&str; 2] = ["ACCEPT", "RETURN"];

/// Whether the kernel begins with a chain of this name when packets come in; other chains are called by rules.
pub(super) fn is_first(chain: &str) -> bool {
    const FIRST: [&str; 3] = ["input", "forward", "prerouting"];
    FIRST.iter().any(|first| chain.eq_ignore_ascii_case(first))
}

/// Excepts `source` from the rules that follow in the table. `RETURN` leaves its chain only, and others that called it go on.
fn except(line: u64, source: &str, verdict: &str, chain: &str, found: &mut Found) {
    match verdict == "RETURN" && !is_first(chain) {
        true => found.except_in_chain(line, source),
        false => found.except_from_now_on(line, source),
    }
}

/// Whether an interface is one of this host's own networks: of containers, virtual machines and tunnels.
pub(super) fn is_inner(interface: &str) -> bool {
    const INNER: [&str; 9] = ["br-", "docker", "virbr", "veth", "lxc", "lxd", "cni", "wg", "tun"];
    interface == "lo" || INNER.iter().any(|start| interface.starts_with(start))
}

/// Names of chains.
type Chains<'a> = HashSet<&'a str>;

fn is_meant(verdict: &str, (purpose, drops): (Purpose, &Chains<'_>)) -> bool {
    match purpose {
        Purpose::Bans => is_drop(verdict) || drops.contains(verdict),
        Purpose::Allowlist => verdict == "ACCEPT",
    }
}

fn is_drop(verdict: &str) -> bool {
    matches!(verdict, "DROP" | "REJECT")
}

/// The chains that drop or reject all packets, and at most log them before, such as csf's `LOGDROPIN`.
fn dropping_chains<'a>(source: &Source<'a>) -> Chains<'a> {
    /// Commands after which it is not known which of a chain's rules comes first.
    const CHANGES: [&str; 7] = ["--append", "-I", "--insert", "-D", "--delete", "-R", "--replace"];
    const JUMPS: [&str; 3] = ["--jump", "-g", "--goto"];
    let (mut all, mut others) = (HashSet::new(), HashSet::new());
    let (mut shown, mut of_rows) = (None, "");
    for (_, text) in source.lines() {
        let words = words(without_counters(text));
        if let Some(chain) = CHANGES.iter().find_map(|command| after(&words, command)) {
            others.insert(chain);
            continue;
        }
        let is_all = |network: &&str| matches!(*network, "0.0.0.0/0" | "::/0" | "anywhere");
        let (chain, verdict, is_of_all) = match words[..] {
            ["Chain", name, ..] => {
                of_rows = name;
                continue;
            }
            ["target" | "pkts" | "num", ..] => {
                shown = Shown::of(&words);
                continue;
            }
            _ => match (after(&words, "-A"), after(&words, "-j"), &shown) {
                (Some(chain), None, _) if words.iter().any(|word| JUMPS.contains(word)) => {
                    others.insert(chain);
                    continue;
                }
                (Some(chain), Some(verdict), _) => {
                    const PLAIN: [&str; 4] = ["-A", "-j", "--reject-with", "sudo"];
                    let is_plain = |word: &&str| !word.starts_with('-') || PLAIN.contains(word);
                    (
                        chain,
                        verdict,
                        words.iter().all(is_plain) && !words.contains(&"!"),
                    )
                }
                (None, None, Some(shown)) => {
                    let Some((verdict, source, rest)) = shown.row(&words) else {
                        continue;
                    };
                    let protocol = words.get(shown.verdict + 1).copied().unwrap_or_default();
                    let ends = rest.first().is_some_and(is_all)
                        && rest.get(1).is_none_or(|word| *word == "reject-with");
                    // With `-v`, the interfaces stand before the source.
                    let mut interfaces = words.iter().rev().skip(rest.len() + 1).take(2);
                    let is_everywhere =
                        shown.to_source < 5 || interfaces.all(|name| matches!(*name, "*" | "any"));
                    let is_plain = is_all(&source) && matches!(protocol, "all" | "0") && is_everywhere;
                    (of_rows, verdict, is_plain && ends)
                }
                _ => continue,
            },
        };
        let is_log = matches!(verdict, "LOG" | "NFLOG" | "ULOG");
        if is_drop(verdict) && is_of_all {
            all.insert(chain);
        } else if !is_drop(verdict) && !is_log {
            others.insert(chain);
        }
    }
    all.retain(|chain| !others.contains(chain) && !is_first(chain));
    all
}

fn rule(line: u64, words: &[&str], table: &str, meant: (Purpose, &Chains<'_>), found: &mut Found) {
    /// Matches that hold for all packets of a source, or for those to a port.
    const PLAIN: [&str; 5] = ["tcp", "udp", "comment", "multiport", "iprange"];
    const ADD: [&str; 4] = ["-A", "--append", "-I", "--insert"];
    let is_command = |word: &&&str| {
        matches!(
            **word,
            "-D" | "--delete" | "-C" | "--check" | "-R" | "--replace" | "-X" | "-F" | "-Z" | "-N" | "-P"
        )
    };
    if let Some(command) = words.iter().take(6).find(is_command) {
        found.is_certain |= words.contains(&"-j") || words.contains(&"--jump");
        return found.pass_over(format!("commands with `{command}`, which add no rule"));
    }
    let verdict = after(words, "-j").or_else(|| after(words, "--jump"));
    let sources = after(words, "-s").or_else(|| after(words, "--source"));
    let range = after(words, "--src-range");
    let (Some(verdict), Some(sources)) = (verdict, sources.or(range)) else {
        return found.pass_over("rules without a source or a verdict");
    };
    found.is_certain = true;
    let values = |name: &'static str| {
        words
            .windows(2)
            .filter(move |pair| pair[0] == name)
            .map(|pair| pair[1])
    };
    let is_whole = values("-m").all(|module| module == "comment")
        && !words
            .iter()
            .any(|word| matches!(*word, "-p" | "--protocol" | "--match" | "!" | "-d"));
    let chain = ADD.iter().find_map(|name| after(words, name)).unwrap_or_default();
    let table = after(words, "-t")
        .or_else(|| after(words, "--table"))
        .unwrap_or(table);
    found.stand_in(table, chain);
    if !is_meant(verdict, meant) {
        // What is not translated, or goes out, may be dropped where it comes in.
        let is_elsewhere = table == "nat" || is_of_output(chain);
        if is_whole && LETS_IN.contains(&verdict) && !is_elsewhere {
            // An inserted rule comes before those that stand above it.
            let is_first = words.iter().any(|word| matches!(*word, "-I" | "--insert"));
            for source in sources.split(',') {
                match is_first {
                    true => found.except(line, source),
                    false => except(line, source, verdict, chain, found),
                }
            }
        }
        return found.pass_over(format!("rules with `-j {verdict}`"));
    }
    if is_of_output(chain) {
        return found.pass_over(of_output(chain));
    }
    let has = |names: &[&str]| names.iter().any(|name| words.contains(name));
    if chain == "FORWARD" && has(&["-d", "--destination"]) {
        return found.pass_over("rules of the chain FORWARD from one network to another");
    }
    let is_some = |module: &&str| !PLAIN.contains(module) && !matches!(*module, "state" | "conntrack");
    let some = values("-m").chain(values("--match")).find(is_some);
    let of_state = values("--state")
        .chain(values("--ctstate"))
        .find(|states| !states.contains("NEW"));
    let option = ["--tcp-flags", "-f", "--fragment"]
        .into_iter()
        .find(|option| has(&[*option]));
    let of_protocol = values("-p")
        .chain(values("--protocol"))
        .find(|protocol| protocol.contains("icmp"));
    let of_interface = words.windows(3).find_map(|words| match *words {
        ["!", ..] => None,
        [_, "-i" | "--in-interface", interface] => Some(interface).filter(|name| is_inner(name)),
        _ => None,
    });
    let is_but = |pair: &&[&str]| pair[0] == "!" && matches!(pair[1], "-p" | "--protocol");
    let others = words.windows(2).find(is_but).map(|_| "! -p");
    let some = some
        .or(of_state)
        .or(option)
        .or(of_protocol)
        .or(of_interface)
        .or(others);
    if let Some(some) = some {
        return found.pass_over(format!("rules that hold for some packets only (`{some}`)"));
    }
    let is_inverse = words
        .windows(2)
        .any(|pair| pair[0] == "!" && matches!(pair[1], "-s" | "--source" | "--src-range"));
    if is_inverse {
        return found.bad(line, format!("the rule is for all but {sources}"));
    }
    let note = after(words, "--comment").unwrap_or_default();
    for source in sources.split(',') {
        found.take(line, source, About::noting(note));
    }
}
