//! What names of lists, keys and columns, and the words in them, say of clients: the one judgement of all readers.

use super::list::Purpose;

/// What a name or a word says of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sense {
    /// They may come in, so they are not to be banned.
    LetsIn,
    /// They are kept out, so they are not to be allowlisted.
    KeepsOut,
    /// Words for either are in it.
    Both,
    Neither,
}

/// Beginnings of words for clients that may come in.
const LET_IN: [&str; 12] = [
    "allow", "white", "safe", "trust", "ignor", "permit", "accept", "except", "exclu", "exempt", "unban",
    "unblock",
];
/// Whole words for them.
const LET_IN_WORDS: [&str; 26] = [
    "ok",
    "dunno",
    "relay",
    "pass",
    "passed",
    "skip",
    "good",
    "friend",
    "friends",
    "friendly",
    "legit",
    "legitimate",
    "benign",
    "harmless",
    "bypass",
    "noban",
    "deleted",
    "removed",
    "deletions",
    "removals",
    "goodlist",
    "passlist",
    "welcomelist",
    "allowance",
    "vetted",
    "innocent",
];
/// Parts of words for them, without a border: `ipwhitelist`, `isallowed`.
const LET_IN_PARTS: [&str; 5] = ["whitelist", "allowlist", "safelist", "allowed", "falsepositive"];
/// Words for those who belong to the operator; a word for keeping out is stronger.
const OWN: [&str; 25] = [
    "admin",
    "admins",
    "administrator",
    "administrators",
    "office",
    "offices",
    "lan",
    "local",
    "internal",
    "intranet",
    "vpn",
    "nameserver",
    "nameservers",
    "resolver",
    "resolvers",
    "gateway",
    "gateways",
    "management",
    "mgmt",
    "monitoring",
    "private",
    "own",
    "staff",
    "partner",
    "partners",
];
/// Beginnings of words for clients that are kept out.
const KEEP_OUT: [&str; 20] = [
    "attack",
    "abus",
    "spam",
    "malic",
    "malware",
    "scann",
    "botnet",
    "threat",
    "hostile",
    "infect",
    "brute",
    "hack",
    "offend",
    "blackhole",
    "quarantin",
    "forbid",
    "prohibit",
    "disallow",
    "untrust",
    "exploit",
];
/// Whole words for them.
const KEEP_OUT_WORDS: [&str; 22] = [
    "block", "blocks", "blocked", "blocking", "ban", "bans", "banned", "deny", "denied", "drop", "dropped",
    "reject", "rejected", "refuse", "refused", "bad", "black", "evil", "rogue", "jail", "discard", "shun",
];
/// Parts of words for them, without a border.
const KEEP_OUT_PARTS: [&str; 5] = ["blacklist", "blocklist", "denylist", "banlist", "droplist"];
/// Words that turn the next one round.
const NOT: [&str; 6] = ["not", "non", "no", "never", "dont", "without"];

impl Sense {
    /// Of a list by its name: `ip_whitelist`, `allowedIps`, `crowdsec-blacklists`, `office`.
    pub(super) fn of_list(name: &str) -> Self {
        match Self::of(name) {
            Self::Neither if parts(name).any(|part| OWN.contains(&part.as_str())) => Self::LetsIn,
            sense => sense,
        }
    }

    /// Of a name or a text by the words in it.
    pub(super) fn of(text: &str) -> Self {
        let (mut lets_in, mut keeps_out, mut is_turned) = (false, false, false);
        let words = parts(text).chain(is_split_positive(text).then(|| "falsepositive".to_owned()));
        for word in words {
            match (of_part(&word), is_turned) {
                (Self::LetsIn, false) | (Self::KeepsOut, true) => lets_in = true,
                (Self::KeepsOut, false) | (Self::LetsIn, true) => keeps_out = true,
                _ => {}
            }
            is_turned = NOT.contains(&word.as_str());
        }
        match (lets_in, keeps_out) {
            (true, true) => Self::Both,
            (true, false) => Self::LetsIn,
            (false, true) => Self::KeepsOut,
            (false, false) => Self::Neither,
        }
    }

    /// Why nobody is taken for `purpose` from what has this sense; `None` if everybody is.
    pub(super) const fn misfit(self, purpose: Purpose) -> Option<&'static str> {
        match (self, purpose) {
            (Self::LetsIn, Purpose::Bans) => Some("which lets clients in"),
            (Self::KeepsOut, Purpose::Allowlist) => Some("which keeps clients out"),
            (Self::Both, _) => Some("which says both that clients are let in and that they are kept out"),
            _ => None,
        }
    }
}

/// `false positives` and `false_positive`.
fn is_split_positive(text: &str) -> bool {
    let mut words = parts(text).skip_while(|word| word != "false");
    words.next().is_some() && words.next().is_some_and(|word| word.starts_with("positive"))
}

fn of_part(word: &str) -> Sense {
    let begins = |known: &[&str]| known.iter().any(|start| word.starts_with(start));
    let holds = |known: &[&str]| known.iter().any(|part| word.contains(part));
    if begins(&KEEP_OUT) || KEEP_OUT_WORDS.contains(&word) || holds(&KEEP_OUT_PARTS) {
        Sense::KeepsOut
    } else if begins(&LET_IN) || LET_IN_WORDS.contains(&word) || holds(&LET_IN_PARTS) {
        Sense::LetsIn
    } else {
        Sense::Neither
    }
}

/// The words of a name in lower case: between marks and digits, and where a capital follows a small letter.
fn parts(name: &str) -> impl Iterator<Item = String> + use<> {
    let mut parts: Vec<String> = Vec::new();
    let (mut is_inside, mut was_lower) = (false, false);
    for c in name.chars() {
        // `don't`
        if c == '\'' {
            continue;
        }
        if !c.is_alphabetic() {
            (is_inside, was_lower) = (false, false);
            continue;
        }
        if !is_inside || (was_lower && c.is_uppercase()) {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.extend(c.to_lowercase());
        }
        (is_inside, was_lower) = (true, c.is_lowercase());
    }
    parts.into_iter()
}

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

/// What is said of a log in place of a list.
pub(super) const LOG: &str = "it looks like a line of an access log: each of its clients would be listed";

/// Whether fields with these names are a line of a log of requests or of connections, in JSON, CSV or behind `#Fields:`.
pub(super) fn are_of_log<'a>(keys: impl Iterator<Item = &'a str>) -> bool {
    const ANSWER: [&str; 12] = [
        "status",
        "statuscode",
        "responsecode",
        "downstreamstatus",
        "originstatus",
        "edgeresponsestatus",
        "originresponsestatus",
        "scstatus",
        "httpstatus",
        "elbstatuscode",
        "responsestatus",
        "code",
    ];
    const REQUEST: [&str; 26] = [
        "request",
        "requesturi",
        "requestmethod",
        "requestpath",
        "requesturl",
        "method",
        "httpmethod",
        "uri",
        "url",
        "path",
        "verb",
        "clientrequestmethod",
        "clientrequesturi",
        "clientrequestpath",
        "clientrequesthost",
        "csmethod",
        "csuri",
        "csuristem",
        "useragent",
        "csuseragent",
        "referer",
        "bytessent",
        "scbytes",
        "latency",
        "responsetime",
        "msg",
    ];
    const FROM: [&str; 7] = [
        "srcip",
        "sourceip",
        "srcaddr",
        "sourceaddress",
        "src",
        "sourceipaddress",
        "clientip",
    ];
    const TO: [&str; 7] = [
        "destip",
        "dstip",
        "dstaddr",
        "destinationaddress",
        "dst",
        "destinationip",
        "serverip",
    ];
    let names: Vec<_> = keys.map(plain).collect();
    let has = |known: &[&str]| names.iter().any(|name| known.contains(&name.as_str()));
    (has(&ANSWER) && has(&REQUEST)) || (has(&FROM) && has(&TO))
}

/// Whether most of `lines` are requests: a method and a status, or the version of HTTP, are among their words.
pub(super) fn are_requests<'a>(lines: impl Iterator<Item = &'a str>) -> bool {
    const METHODS: [&str; 9] = [
        "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "CONNECT",
    ];
    let is_status = |word: &str| word.len() == 3 && matches!(word.parse(), Ok(100..=599_u16));
    let is_request = |line: &str| {
        let words = || line.split(|c: char| c.is_whitespace() || ",;|\"'".contains(c));
        words().any(|word| METHODS.contains(&word))
            && words().any(|word| is_status(word) || word.starts_with("HTTP/"))
    };
    let (mut all, mut requests) = (0, 0);
    for line in lines {
        all += 1;
        requests += usize::from(is_request(line));
    }
    requests * 2 > all
}

/// A key without what different spellings of it differ by.
pub(super) fn plain(key: &str) -> String {
    let letters = key.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_who_is_in_a_list() {
        for (name, sense) in [
            ("whitelist", Sense::LetsIn),
            ("ip_whitelist", Sense::LetsIn),
            ("ipwhitelist4", Sense::LetsIn),
            ("allowedIps", Sense::LetsIn),
            ("allowed_admins", Sense::LetsIn),
            ("office-allow-list", Sense::LetsIn),
            ("trusted_proxies", Sense::LetsIn),
            ("ignore_ips", Sense::LetsIn),
            ("ignoreip", Sense::LetsIn),
            ("nameservers", Sense::LetsIn),
            ("LAN", Sense::LetsIn),
            ("GOOD", Sense::LetsIn),
            ("never_ban", Sense::LetsIn),
            ("notBlocked", Sense::LetsIn),
            ("unbanned", Sense::LetsIn),
            ("false_positives", Sense::LetsIn),
            ("isWhitelisted", Sense::LetsIn),
            ("blacklist", Sense::KeepsOut),
            ("crowdsec-blacklists-0", Sense::KeepsOut),
            ("local-blacklist", Sense::KeepsOut),
            ("not_allowed", Sense::KeepsOut),
            ("untrusted", Sense::KeepsOut),
            ("disallowed", Sense::KeepsOut),
            ("BAD", Sense::KeepsOut),
            ("blocked_except_office", Sense::Both),
            ("addresses", Sense::Neither),
            ("prefixes", Sense::Neither),
            ("hooks", Sense::Neither),
            ("sshd", Sense::Neither),
        ] {
            assert_eq!(Sense::of_list(name), sense, "{name}");
        }
    }

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

    #[test]
    fn logs_are_known_by_their_names_and_by_their_words() {
        let names = |text: &'static str| are_of_log(text.split([',', ' ']));
        assert!(names(
            "ClientIP,ClientRequestMethod,ClientRequestURI,EdgeResponseStatus"
        ));
        assert!(names("date c-ip cs-method cs-uri-stem sc-status"));
        assert!(names("time,level,msg,remote_ip,latency,code"));
        assert!(names("event_type,src_ip,dest_ip"));
        assert!(!names("IP Address,Status,Last Seen"));
        assert!(!names("first_seen_utc,dst_ip,dst_port,c2_status"));
        assert!(are_requests(["192.0.2.100|-|GET / HTTP/1.1|200|612"].into_iter()));
        assert!(are_requests(
            ["2024-01-01T00:00:00+00:00\t192.0.2.100\tGET\t/\t200"].into_iter()
        ));
        assert!(!are_requests(
            ["198.51.100.7,scanner", "198.51.100.8,GET"].into_iter()
        ));
    }
}
