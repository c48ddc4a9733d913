//! What names of lists, keys and columns, and the words in them, say of clients: the one judgement of all readers.

/// What a list is for: some formats name whom to keep out, and whom to let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Bans,
    Allowlist,
}

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
const LET_IN_WORDS: [&str; 35] = [
    "tempallow",
    "protected",
    "immune",
    "clean",
    "released",
    "expired",
    "lifted",
    "delisted",
    "revoked",
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
const OWN: [&str; 40] = [
    "ours",
    "home",
    "customer",
    "customers",
    "employee",
    "employees",
    "uptime",
    "uptimerobot",
    "healthcheck",
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
    "kunden",
    "mitarbeiter",
    "büro",
    "oficina",
    "ufficio",
    "kantoor",
];
/// Words that say nothing beside those of [`OWN`].
const PLAIN: [&str; 21] = [
    "is",
    "ip",
    "ips",
    "ipv",
    "v",
    "list",
    "set",
    "addr",
    "address",
    "addresses",
    "net",
    "nets",
    "network",
    "networks",
    "range",
    "ranges",
    "host",
    "hosts",
    "my",
    "our",
    "the",
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
const KEEP_OUT_WORDS: [&str; 23] = [
    "tempban", "block", "blocks", "blocked", "blocking", "ban", "bans", "banned", "deny", "denied", "drop",
    "dropped", "reject", "rejected", "refuse", "refused", "bad", "black", "evil", "rogue", "jail", "discard",
    "shun",
];
/// Parts of words for them, without a border.
const KEEP_OUT_PARTS: [&str; 5] = ["blacklist", "blocklist", "denylist", "banlist", "droplist"];
/// Words for those that are listed no longer.
const OVER: [&str; 9] = [
    "released",
    "expired",
    "lifted",
    "delisted",
    "revoked",
    "deleted",
    "removed",
    "deletions",
    "removals",
];
/// Words for addresses in the names of columns.
const ADDRESSES: [&str; 27] = [
    "ip",
    "ips",
    "ipv",
    "ipaddress",
    "ipaddresses",
    "ipaddr",
    "ipcidr",
    "ipnetwork",
    "iprange",
    "cidr",
    "cidrs",
    "net",
    "nets",
    "network",
    "networks",
    "subnet",
    "subnets",
    "address",
    "addresses",
    "addr",
    "adresse",
    "adressen",
    "adresses",
    "adres",
    "dirección",
    "direccion",
    "indirizzo",
];
/// Words beside them for other hosts than clients.
const OTHER_HOSTS: [&str; 13] = [
    "server",
    "destination",
    "dest",
    "dst",
    "proxy",
    "nas",
    "device",
    "interface",
    "listen",
    "bind",
    "router",
    "switch",
    "self",
];
/// Beginnings of words for clients that may come in, in German, French, Spanish, Portuguese, Italian and Dutch.
const LET_IN_ELSEWHERE: [&str; 11] = [
    "erlaubt",
    "zugelassen",
    "freigegeben",
    "autorisé",
    "autorizad",
    "autorizzat",
    "permitid",
    "liberad",
    "consentit",
    "toegestaan",
    "sauber",
];
/// Beginnings of words for those that are kept out, in these languages.
const KEEP_OUT_ELSEWHERE: [&str; 12] = [
    "gesperrt",
    "sperrlist",
    "blockiert",
    "geblockt",
    "verboten",
    "bloqué",
    "interdit",
    "bloquead",
    "prohibid",
    "denegad",
    "bloccat",
    "geblokkeerd",
];
/// White in names of lists, in these languages: alone, it may be a name.
const WHITE_ELSEWHERE: [&str; 6] = ["weiße", "weisse", "blanche", "blanca", "branca", "bianca"];
/// Black in these.
const BLACK_ELSEWHERE: [&str; 3] = ["schwarze", "noire", "negra"];
/// Words that turn the next one round.
const NOT: [&str; 11] = [
    "not", "non", "no", "never", "dont", "without", "nicht", "kein", "keine", "niet", "pas",
];

impl Sense {
    /// Of a list by its name: `ip_whitelist`, `allowedIps`, `crowdsec-blacklists`, `office`.
    pub(super) fn of_list(name: &str) -> Self {
        match Self::of(name) {
            Self::Neither if is_own(name) => Self::LetsIn,
            sense => sense,
        }
    }

    /// Of a text by its first word that says something.
    pub(super) fn of_first(text: &str) -> Self {
        senses(text).next().unwrap_or(Self::Neither)
    }

    /// Of a name or a text by the words in it.
    pub(super) fn of(text: &str) -> Self {
        let (mut lets_in, mut keeps_out) = (false, false);
        for sense in senses(text) {
            lets_in |= sense == Self::LetsIn;
            keeps_out |= sense == Self::KeepsOut;
        }
        match (lets_in, keeps_out) {
            (true, true) => Self::Both,
            (true, false) => Self::LetsIn,
            (false, true) => Self::KeepsOut,
            (false, false) => Self::Neither,
        }
    }

    /// Returns why nobody is taken for `purpose` from what has this sense; `None` if everybody is.
    pub(super) const fn misfit(self, purpose: Purpose) -> Option<&'static str> {
        match (self, purpose) {
            (Self::LetsIn, Purpose::Bans) => Some("which lets clients in"),
            (Self::KeepsOut, Purpose::Allowlist) => Some("which keeps clients out"),
            (Self::Both, _) => Some("which says both that clients are let in and that they are kept out"),
            _ => None,
        }
    }
}

/// Returns what the words of a text say, each that says something.
fn senses(text: &str) -> impl Iterator<Item = Sense> {
    let words = parts(text).chain(is_split_positive(text).then(|| "falsepositive".to_owned()));
    let mut is_turned = false;
    words.filter_map(move |word| {
        let sense = match (of_part(&word), is_turned) {
            (Sense::LetsIn, false) | (Sense::KeepsOut, true) => Some(Sense::LetsIn),
            (Sense::KeepsOut, false) | (Sense::LetsIn, true) => Some(Sense::KeepsOut),
            _ => None,
        };
        is_turned = NOT.contains(&word.as_str());
        sense
    })
}

/// Whether a name is of the operator's own hosts, and says nothing else: `office`, `lan_ips`, and no `wp-admin`.
fn is_own(name: &str) -> bool {
    let is = |known: &[&str], part: &String| known.contains(&part.as_str());
    // `my_ips`, and no `my-list`.
    let is_mine = ["my", "our"]
        .iter()
        .any(|word| parts(name).next().as_deref() == Some(*word))
        && parts(name).nth(1).is_some()
        && !parts(name).any(|part| is(&["list", "set"], &part));
    (is_mine || parts(name).any(|part| is(&OWN, &part)))
        && parts(name).all(|part| is(&OWN, &part) || is(&PLAIN, &part))
}

/// Whether a column has, by its name in whatever language, addresses of clients.
pub(super) fn is_of_clients(name: &str) -> bool {
    let has = |words: &[&str]| parts(name).any(|part| words.contains(&part.as_str()));
    has(&ADDRESSES) && !has(&OTHER_HOSTS)
}

/// Whether a list has, by its name, those that are listed no longer.
pub(super) fn is_over(name: &str) -> bool {
    parts(name).any(|part| OVER.contains(&part.as_str()))
}

/// `false positives` and `false_positive`.
fn is_split_positive(text: &str) -> bool {
    let mut words = parts(text).skip_while(|word| word != "false");
    words.next().is_some() && words.next().is_some_and(|word| word.starts_with("positive"))
}

/// Of a word in lower case, in a language other than English.
pub(super) fn elsewhere(word: &str) -> Sense {
    let begins = |known: &[&str]| known.iter().any(|start| word.starts_with(start));
    if begins(&KEEP_OUT_ELSEWHERE) {
        Sense::KeepsOut
    } else if begins(&LET_IN_ELSEWHERE) {
        Sense::LetsIn
    } else {
        Sense::Neither
    }
}

fn of_part(word: &str) -> Sense {
    let begins = |known: &[&str]| known.iter().any(|start| word.starts_with(start));
    let holds = |known: &[&str]| known.iter().any(|part| word.contains(part));
    let is = |known: &[&str]| known.contains(&word);
    if begins(&KEEP_OUT) || is(&KEEP_OUT_WORDS) || is(&BLACK_ELSEWHERE) || holds(&KEEP_OUT_PARTS) {
        Sense::KeepsOut
    } else if begins(&LET_IN) || is(&LET_IN_WORDS) || is(&WHITE_ELSEWHERE) || holds(&LET_IN_PARTS) {
        Sense::LetsIn
    } else {
        elsewhere(word)
    }
}

/// The words of a name in lower case: between marks and digits, and where a capital follows a small letter.
pub(super) fn parts(name: &str) -> impl Iterator<Item = String> + use<> {
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
            ("office_ips", Sense::LetsIn),
            ("is_staff", Sense::LetsIn),
            ("my_ips", Sense::LetsIn),
            ("my_list", Sense::Neither),
            ("customers", Sense::LetsIn),
            ("protected", Sense::LetsIn),
            ("f2b-port-scan-protection", Sense::Neither),
            ("expired", Sense::LetsIn),
            ("csf.tempallow", Sense::LetsIn),
            ("f2b-wp-admin", Sense::Neither),
            ("vpn-providers", Sense::Neither),
            ("open-resolvers", Sense::Neither),
            ("sshd", Sense::Neither),
            ("Zugelassene IP", Sense::LetsIn),
            ("lista blanca", Sense::LetsIn),
            ("Kunden-IP", Sense::LetsIn),
            ("IP bloquée", Sense::KeepsOut),
            ("nicht erlaubt", Sense::KeepsOut),
            ("IP-Adresse", Sense::Neither),
        ] {
            assert_eq!(Sense::of_list(name), sense, "{name}");
        }
    }
}
