//! What fields and labels about a verdict say of their entries.

use super::keys::{Purpose, Sense, parts};

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
const THERE: [&str; 36] = [
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
    /// Of the word in a field such as `action` or `status`.
    pub(super) fn of_word(text: &str, purpose: Purpose) -> Self {
        let first = parts(text).next();
        let is = |known: &[&str]| first.as_deref().is_some_and(|word| known.contains(&word));
        if let Some(truth) = truth(text) {
            return if truth { Self::Listed } else { Self::Over };
        }
        match Sense::of(text) {
            _ if is(&OVER) => Self::Over,
            Sense::Neither if is(&THERE) => Self::Listed,
            Sense::Neither => Self::Unknown,
            sense if sense.misfit(purpose).is_some() => Self::Other,
            _ => Self::Listed,
        }
    }

    /// Of a label behind an entry, by its first word: `RELAY`, `REJECT spam`, `550 go away`. Others say nothing.
    pub(super) fn of_label(label: &str, purpose: Purpose) -> Self {
        let word = label.split_whitespace().next().unwrap_or_default();
        let is_code = word.len() == 3 && matches!(word.parse(), Ok(400..=599_u16));
        let sense = if is_code { Sense::KeepsOut } else { Sense::of(word) };
        match sense.misfit(purpose) {
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
            None => match Sense::of(value) {
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

/// A truth value as programs write it.
fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "t" | "1" | "on" | "x" => Some(true),
        "false" | "no" | "n" | "f" | "0" | "off" | "-" | "null" | "none" => Some(false),
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
        ] {
            assert_eq!(
                Verdict::of_flag(sense, value, Purpose::Bans),
                verdict,
                "{sense:?} {value}"
            );
        }
    }
}
