//! Meaning of fields and labels about a verdict for their entries.

use super::keys::{Purpose, Sense, elsewhere, parts};

/// What a field about a verdict says of its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Listed,
    /// It lets the client in, or keeps it out, and the list is for the other.
    Other,
    /// It is not in force.
    Over,
    /// Nobody knows.
    Unknown,
}

/// Words that say nothing but that an entry is there.
const THERE: [&str; 53] = [
    "active",
    "enabled",
    "enforced",
    "issued",
    "listed",
    "add",
    "added",
    "new",
    "current",
    "valid",
    "confirmed",
    "open",
    "online",
    "offline",
    "unknown",
    "suspicious",
    "low",
    "medium",
    "high",
    "critical",
    "permanent",
    "temporary",
    "manual",
    "automatic",
    "auto",
    "ip",
    "ipv",
    "cidr",
    "net",
    "network",
    "range",
    "address",
    "host",
    "subnet",
    "src",
    "set",
    "phishing",
    "c",
    "cc",
    "trojan",
    "tor",
    "proxy",
    "verified",
    "reported",
    "up",
    "down",
    "bot",
    "compromised",
    "sinkhole",
    "tarpit",
    "reset",
    "ransomware",
    "webshell",
];
/// Labels that stand alone behind an entry that is let in: access(5) of Postfix, Sendmail's, and what people write.
const LABELS_IN: [&str; 20] = [
    "ok",
    "relay",
    "dunno",
    "permit",
    "pass",
    "allow",
    "allowed",
    "accept",
    "accepted",
    "whitelist",
    "whitelisted",
    "allowlist",
    "allowlisted",
    "trusted",
    "exempt",
    "exempted",
    "ignore",
    "ignored",
    "unban",
    "unbanned",
];
/// Further words that say so in fields that others use for something else, and as tags.
const KINDS_IN: [&str; 10] = [
    "good",
    "white",
    "clean",
    "benign",
    "harmless",
    "legit",
    "legitimate",
    "safe",
    "bypass",
    "known-good",
];
/// Words that say the opposite there, and mean something else as labels.
const KINDS_OUT: [&str; 5] = ["bad", "malicious", "evil", "hostile", "abusive"];
/// Of [`KINDS_IN`], words that are tags of attacks, too.
const UNSURE_TAGS: [&str; 4] = ["good", "white", "clean", "bypass"];
/// Words for what neither lets a client in nor keeps it out.
const TESTS: [&str; 4] = ["captcha", "challenge", "js_challenge", "managed_challenge"];
/// Actions of Postfix that neither let a client in nor keep it out, as its manual writes them.
const LABELS_ELSE: [&str; 10] = [
    "WARN",
    "PREPEND",
    "FILTER",
    "HOLD",
    "REDIRECT",
    "BCC",
    "INFO",
    "DEFER",
    "DEFER_IF_PERMIT",
    "DEFER_IF_REJECT",
];
/// Operations that take an entry off a list.
const TAKES_OFF: [&str; 10] = [
    "-", "remove", "removed", "delete", "deleted", "del", "rm", "withdraw", "unban", "unblock",
];
/// Labels behind an entry that is kept out.
const LABELS_OUT: [&str; 16] = [
    "reject",
    "rejected",
    "deny",
    "denied",
    "drop",
    "discard",
    "block",
    "blocked",
    "ban",
    "banned",
    "refuse",
    "blacklist",
    "blacklisted",
    "blocklist",
    "blocklisted",
    "quarantine",
];
/// Words of a `type` or `state` that say that an entry is not in force; others are of ports, decisions or parts of countries.
const OVER_KINDS: [&str; 10] = [
    "inactive",
    "disabled",
    "expired",
    "revoked",
    "deleted",
    "removed",
    "lifted",
    "not listed",
    "not_listed",
    "unlisted",
];
/// Words that say that an entry is not in force.
const OVER: [&str; 19] = [
    "inactive",
    "disabled",
    "expired",
    "ended",
    "revoked",
    "lifted",
    "released",
    "cleared",
    "resolved",
    "closed",
    "delisted",
    "withdrawn",
    "stale",
    "simulated",
    "suppressed",
    "observed",
    "deleted",
    "removed",
    "archived",
];

impl Verdict {
    /// Of the word in a field such as `action` or `status`. Of several words the first that decides counts: `block (not in the
    /// allowlist)`.
    pub(super) fn of_word(text: &str, purpose: Purpose) -> Self {
        let first = parts(text).next();
        let is = |known: &[&str]| first.as_deref().is_some_and(|word| known.contains(&word));
        if let Some(truth) = truth(text) {
            return if truth { Self::Listed } else { Self::Over };
        }
        match Sense::of_first(text) {
            _ if is(&OVER) => Self::Over,
            // Of mail servers those that relay for everybody are meant.
            Sense::LetsIn if text.to_ascii_lowercase().contains("relay") => match is(&["open"]) {
                true => Self::Listed,
                false => Self::Unknown,
            },
            Sense::Neither if is(&THERE) => Self::Listed,
            Sense::Neither => Self::Unknown,
            sense if sense.misfit(purpose).is_some() => Self::Other,
            _ => Self::Listed,
        }
    }

    /// Of a `type` or a `state`, where other programs have words of their own: only plain words for verdicts count.
    pub(super) fn of_kind(text: &str, purpose: Purpose) -> Self {
        let word = text.trim().to_ascii_lowercase();
        let word = word.as_str();
        let sense = match label_sense(word) {
            Sense::LetsIn if ["ok", "relay", "pass"].contains(&word) => Sense::Neither,
            Sense::Neither if KINDS_IN.contains(&word) => Sense::LetsIn,
            Sense::Neither if KINDS_OUT.contains(&word) => Sense::KeepsOut,
            sense => sense,
        };
        match sense.misfit(purpose) {
            _ if OVER_KINDS.contains(&word) => Self::Over,
            Some(_) => Self::Other,
            None => Self::Listed,
        }
    }

    /// Of tags or a remark: a tag may be a plain word for a verdict.
    pub(super) fn of_tags(text: &str, purpose: Purpose) -> Self {
        if purpose == Purpose::Bans && excuses(text) {
            return Self::Other;
        }
        let tags = text.split([',', ';', '|']).map(str::trim);
        let is_unsure = |tag: &str| UNSURE_TAGS.iter().any(|known| tag.eq_ignore_ascii_case(known));
        let words = tags.filter(|tag| !tag.contains(char::is_whitespace) && !is_unsure(tag));
        let mut said = words.map(|word| Self::of_kind(word, purpose));
        said.find(|verdict| *verdict != Self::Listed)
            .unwrap_or(Self::Listed)
    }

    /// Of what happens to the entry: those that are taken off a list are on it no longer.
    pub(super) fn of_operation(text: &str) -> Self {
        match TAKES_OFF.contains(&text.trim().to_ascii_lowercase().as_str()) {
            true => Self::Over,
            false => Self::Listed,
        }
    }

    /// Of the direction of a rule's packets: on their way out, an address is where they go.
    pub(super) fn of_direction(text: &str) -> Self {
        let text = text.trim().to_ascii_lowercase();
        // `outside` is an interface of firewalls, from which attackers come.
        let is_out = text.starts_with("out") && !text.starts_with("outside");
        match is_out || text.starts_with("egress") {
            true => Self::Over,
            false => Self::Listed,
        }
    }

    /// Of a label behind an entry: `RELAY`, `REJECT spam`, `550 go away`. Clients choose parts of some labels (their host's name), so
    /// others say nothing.
    pub(super) fn of_label(label: &str, purpose: Purpose) -> Self {
        match label_sense(label).misfit(purpose) {
            Some(_) => Self::Other,
            None => Self::Listed,
        }
    }

    /// Of the value of a field that says whether something of this sense is so: `blocked`, `isWhitelisted`.
    pub(super) fn of_flag(sense: Sense, value: &str, purpose: Purpose) -> Self {
        let is_meant = sense.misfit(purpose).is_none();
        match truth(value) {
            Some(true) if is_meant => Self::Listed,
            Some(true) => Self::Other,
            Some(false) if is_meant => Self::Over,
            Some(false) => Self::Listed,
            // A count, or the time at which it happened.
            None if sense == Sense::KeepsOut
                && value.trim_start().starts_with(|c: char| c.is_ascii_digit()) =>
            {
                match is_meant {
                    true => Self::Listed,
                    false => Self::Other,
                }
            }
            None => match Sense::of_first(value) {
                Sense::Neither => Self::Unknown,
                word if word.misfit(purpose).is_some() => Self::Other,
                _ => Self::Listed,
            },
        }
    }

    /// Of the value of a field that says whether an entry is in force (`enabled`), or whether it is over (`expired`).
    pub(super) fn of_state(is_over: bool, value: &str) -> Self {
        match truth(value) {
            Some(truth) if truth == is_over => Self::Over,
            Some(_) => Self::Listed,
            None => Self::Unknown,
        }
    }
}

/// Returns what a label says that stands behind an entry. That a client is let in is said by a label alone; behind other words
/// there may be a text.
pub(super) fn label_sense(label: &str) -> Sense {
    let label = label.trim().to_lowercase();
    let word = label.split_whitespace().next().unwrap_or_default();
    let word = word.split_once(':').map_or(word, |(word, _)| word);
    let is_code = word.len() == 3 && matches!(word.parse(), Ok(400..=599_u16));
    let is_word = label.chars().all(char::is_alphabetic);
    if is_code || LABELS_OUT.contains(&word) {
        Sense::KeepsOut
    } else if LABELS_IN.contains(&label.as_str()) || label.starts_with("permit_") {
        Sense::LetsIn
    } else if is_word {
        elsewhere(&label)
    } else {
        Sense::Neither
    }
}

/// Whether a label is an action of Postfix that neither lets in nor keeps out.
pub(super) fn is_other_action(label: &str) -> bool {
    let word = label.split([' ', '\t', ':']).next().unwrap_or_default();
    LABELS_ELSE.contains(&word)
}

/// Beginnings of remarks by which people say that an entry is not to be banned.
const EXCUSES: [&str; 18] = [
    "do not ban",
    "do not block",
    "don't ban",
    "don't block",
    "never ban",
    "never block",
    "false positive",
    "dont ban",
    "dont block",
    "nicht sperren",
    "nicht blockieren",
    "nicht bannen",
    "ne pas bloquer",
    "ne pas bannir",
    "no bloquear",
    "não bloquear",
    "non bloccare",
    "niet blokkeren",
];

/// Whether a remark says that the entry is not to be banned.
pub(super) fn excuses(remark: &str) -> bool {
    let remark = remark.to_lowercase().replace('’', "'");
    EXCUSES.iter().any(|phrase| remark.starts_with(phrase))
}

/// Whether a word says that the client is tested, as Cloudflare and Imunify do.
pub(super) fn is_test(text: &str) -> bool {
    TESTS.contains(&text.trim().to_ascii_lowercase().as_str())
}

/// Returns what is said of an action of Postfix that is for neither purpose.
pub(super) fn neither(action: &str) -> String {
    format!("`{action}` neither lets the client in nor keeps it out")
}

/// A truth value as programs write it.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "true" | "yes" | "y" | "t" | "1" | "on" | "x" | "ja" | "oui" | "si" | "sí" | "sì" | "sim" => {
            Some(true)
        }
        "false" | "no" | "n" | "f" | "0" | "off" | "null" | "none" | "nein" | "non" | "nee" | "não" => {
            Some(false)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_a_column_of_verdicts_are_judged() {
        for (word, verdict) in [
            ("block", Verdict::Listed),
            ("Blocked", Verdict::Listed),
            ("malicious", Verdict::Listed),
            ("active", Verdict::Listed),
            ("online", Verdict::Listed),
            ("allow", Verdict::Other),
            ("Unblocked", Verdict::Other),
            ("whitelist", Verdict::Other),
            ("benign", Verdict::Other),
            ("unban", Verdict::Other),
            ("suppressed", Verdict::Over),
            ("expired", Verdict::Over),
            ("0", Verdict::Over),
            ("Blocked (not in whitelist)", Verdict::Listed),
            ("banned by trusted source", Verdict::Listed),
            ("not blocked", Verdict::Other),
            ("false positive", Verdict::Other),
            ("phishing", Verdict::Listed),
            ("open relay", Verdict::Listed),
            ("relay", Verdict::Unknown),
            ("captcha", Verdict::Unknown),
            ("404", Verdict::Unknown),
        ] {
            assert_eq!(Verdict::of_word(word, Purpose::Bans), verdict, "{word}");
        }
        assert_eq!(Verdict::of_word("block", Purpose::Allowlist), Verdict::Other);
        assert_eq!(Verdict::of_word("allow", Purpose::Allowlist), Verdict::Listed);
        for (sense, value, verdict) in [
            (Sense::KeepsOut, "1", Verdict::Listed),
            (Sense::KeepsOut, "0", Verdict::Over),
            (Sense::LetsIn, "true", Verdict::Other),
            (Sense::LetsIn, "false", Verdict::Listed),
            (Sense::LetsIn, "2024-01-01", Verdict::Unknown),
            (Sense::KeepsOut, "1530", Verdict::Listed),
            (Sense::KeepsOut, "2025-01-18 04:14:46", Verdict::Listed),
        ] {
            assert_eq!(
                Verdict::of_flag(sense, value, Purpose::Bans),
                verdict,
                "{sense:?} {value}"
            );
        }
    }

    #[test]
    fn labels_and_kinds_that_clients_or_others_choose_let_nobody_in() {
        for label in [
            "relay1.hoster.example",
            "relay.evil.example",
            "trusted.evil.example",
            "TRUSTPOWER-NZ",
            "MirukiiRelay",
            "US-OK",
            "Whitestone",
            "Ignored robots.txt",
            "Exclusive hosting",
            "relay spam",
            "open relay",
            "Safe-T",
        ] {
            assert_eq!(
                Verdict::of_label(label, Purpose::Bans),
                Verdict::Listed,
                "{label}"
            );
            assert_eq!(Verdict::of_kind(label, Purpose::Bans), Verdict::Listed, "{label}");
        }
        for label in [
            "OK",
            "RELAY",
            "DUNNO",
            "permit_mynetworks",
            "allow",
            "whitelisted",
        ] {
            assert_eq!(Verdict::of_label(label, Purpose::Bans), Verdict::Other, "{label}");
        }
        for label in ["REJECT spam", "550 go away", "ERROR:5.7.1 no", "ban"] {
            assert_eq!(
                Verdict::of_label(label, Purpose::Bans),
                Verdict::Listed,
                "{label}"
            );
        }
        assert_eq!(
            Verdict::of_label("REJECT spam", Purpose::Allowlist),
            Verdict::Other
        );
        for (kind, verdict) in [
            ("OK", Verdict::Listed),
            ("0", Verdict::Listed),
            ("NO", Verdict::Listed),
            ("closed", Verdict::Listed),
            ("not listed", Verdict::Over),
            ("Autorisé", Verdict::Other),
            ("bloqué", Verdict::Listed),
            ("allow", Verdict::Other),
            ("Whitelist", Verdict::Other),
            ("white", Verdict::Other),
            ("clean", Verdict::Other),
            ("expired", Verdict::Over),
        ] {
            assert_eq!(Verdict::of_kind(kind, Purpose::Bans), verdict, "{kind}");
        }
        for (kind, verdict) in [("bad", Verdict::Other), ("scanner", Verdict::Listed)] {
            assert_eq!(Verdict::of_kind(kind, Purpose::Allowlist), verdict, "{kind}");
        }
        for (tags, verdict) in [
            ("whitelist,office", Verdict::Other),
            ("ssh; trusted", Verdict::Other),
            ("ssh,bruteforce", Verdict::Listed),
            ("sqli,bypass", Verdict::Listed),
            ("bypass,whitelist", Verdict::Other),
            ("ignore the robots", Verdict::Listed),
            ("do not block: our VPN", Verdict::Other),
            ("False positive", Verdict::Other),
        ] {
            assert_eq!(Verdict::of_tags(tags, Purpose::Bans), verdict, "{tags}");
        }
    }
}
