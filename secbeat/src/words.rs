//! Words that people type who know other programs.

use secbeat_daemon::cli::words::{
    Here::{Hint, Runs},
    Word, word,
};

const CSCLI: &str = "cscli";
const FAIL2BAN: &str = "fail2ban-client";

/// The first one that fits holds.
pub const WORDS: &[Word] = &[
    word("", "ban list …", Runs("bans …")),
    word("", "get ADDRESS …", Runs("why ADDRESS …")),
    word("", "delete …", Runs("unban …")),
    word("", "remove …", Runs("unban …")),
    word("", "flush", Runs("unban --all")),
    word("", "allow ADDRESS …", Runs("allowlist add ADDRESS …")),
    word("", "stats …", Runs("status …")),
    word("", "status ADDRESS …", Runs("why ADDRESS …")),
    word("", "show ADDRESS …", Runs("why ADDRESS …")),
    word("", "info ADDRESS …", Runs("why ADDRESS …")),
    word("", "search ADDRESS …", Runs("why ADDRESS …")),
    word("", "history ADDRESS …", Runs("why ADDRESS …")),
    word("", "whitelist", Runs("allowlist list")),
    word("", "whitelist ADDRESS …", Runs("allowlist add ADDRESS …")),
    word(
        "",
        "whitelist remove ADDRESS …",
        Runs("allowlist remove ADDRESS …"),
    ),
    word("", "allowlist ADDRESS …", Runs("allowlist add ADDRESS …")),
    word("", "allowlist", Runs("allowlist list")),
    word("", "feed", Runs("feed list")),
    word("", "feeds", Runs("feed list")),
    word("", "signatures", Runs("signatures list")),
    word("", "rules list", Runs("rules")),
    word(
        "",
        "reload …",
        Hint(
            "`systemctl reload secbeat` has the daemon read its config again; `secbeat doctor` looks at it first",
        ),
    ),
    word(
        "",
        "restart …",
        Hint("`systemctl restart secbeat` does; bans stay in force meanwhile"),
    ),
    word(
        "",
        "start …",
        Hint("`systemctl start secbeat` starts the daemon; `secbeat run` runs it in the foreground"),
    ),
    word(
        "",
        "stop …",
        Hint(
            "`systemctl stop secbeat` stops the daemon, and the kernel keeps its bans; `secbeat detach` is the kill switch",
        ),
    ),
    word(
        "",
        "logs …",
        Hint("`journalctl -u secbeat` has the daemon's log; `secbeat watch` follows bans and findings"),
    ),
    word(
        "",
        "log …",
        Hint("`journalctl -u secbeat` has the daemon's log; `secbeat audit` what was banned and by whom"),
    ),
    word(
        "",
        "enable …",
        Hint(
            "`systemctl enable --now secbeat` starts the daemon at each boot; `secbeat mode enforce` drops packets",
        ),
    ),
    word(
        "",
        "edges …",
        Hint("this host is the only one: `secbeat status` shows it"),
    ),
    word(
        "",
        "fail2ban-regex …",
        Hint(
            "`secbeat filter test FILTER --log FILE` shows whom the lines of a log blame, `secbeat explain FILE` how an access log is read",
        ),
    ),
    word(
        "",
        "jails …",
        Hint("there are no jails, but rules: `secbeat rules`"),
    ),
    word("", "import --from fail2ban …", Runs("migrate fail2ban …")),
    word("", "import --from crowdsec …", Runs("migrate crowdsec …")),
    word(
        "",
        "import --dry-run --from fail2ban …",
        Runs("migrate --dry-run fail2ban …"),
    ),
    word(
        "",
        "import --dry-run --from crowdsec …",
        Runs("migrate --dry-run crowdsec …"),
    ),
    word(
        "",
        "add ADDRESS …",
        Hint("`secbeat ban ADDRESS` bans it, `secbeat allowlist add ADDRESS` lets it through"),
    ),
    word(
        "",
        "ban --country COUNTRY …",
        Hint(
            "bans are of addresses and networks: `country` of a [[list]] in the config drops the networks of countries, `secbeat import FILE` bans those of a list",
        ),
    ),
    word(FAIL2BAN, "status …", Runs("status …")),
    word(FAIL2BAN, "banned …", Runs("bans …")),
    word(FAIL2BAN, "unban ADDRESS …", Runs("unban ADDRESS …")),
    word(FAIL2BAN, "unban --all", Runs("unban --all")),
    word(
        FAIL2BAN,
        "set JAIL banip ADDRESS …",
        Hint("there are no jails: `secbeat ban ADDRESS` bans it, for 4h unless `--duration` says otherwise"),
    ),
    word(
        FAIL2BAN,
        "set JAIL unbanip ADDRESS …",
        Hint("there are no jails: `secbeat unban ADDRESS` unbans it"),
    ),
    word(
        FAIL2BAN,
        "set JAIL unbanip --report-absent ADDRESS …",
        Hint("there are no jails: `secbeat unban ADDRESS` unbans it, and fails if it is not banned"),
    ),
    word(
        FAIL2BAN,
        "get JAIL banned …",
        Hint("`secbeat status JAIL` shows whom the rules about a service banned, `secbeat bans` all bans"),
    ),
    word(
        FAIL2BAN,
        "get JAIL banip …",
        Hint("`secbeat status JAIL` shows whom the rules about a service banned, `secbeat bans` all bans"),
    ),
    word(
        FAIL2BAN,
        "set JAIL addignoreip ADDRESS …",
        Hint("there are no jails: `secbeat allowlist add ADDRESS` holds for every rule"),
    ),
    word(
        FAIL2BAN,
        "set JAIL delignoreip ADDRESS …",
        Hint("there are no jails: `secbeat allowlist remove ADDRESS`"),
    ),
    word(FAIL2BAN, "get JAIL ignoreip …", Runs("allowed …")),
    word(FAIL2BAN, "ignoreip", Runs("allowed")),
    word(FAIL2BAN, "ignoreip ADDRESS …", Runs("allowlist add ADDRESS …")),
    word(
        FAIL2BAN,
        "set JAIL OPTION …",
        Hint(
            "there are no jails: a rule's threshold, window and duration are in the config file, in a table `[[rule]]`, and `systemctl reload secbeat` takes them over",
        ),
    ),
    word(
        FAIL2BAN,
        "get JAIL OPTION …",
        Hint("there are no jails: `secbeat rules` shows each rule with its threshold, window and duration"),
    ),
    word(
        FAIL2BAN,
        "add JAIL …",
        Hint(
            "there are no jails: a table `[[service_log]]` of the config file has a log watched, a table `[[rule]]` has it counted",
        ),
    ),
    word(CSCLI, "decisions list …", Runs("bans …")),
    word(CSCLI, "decisions add …", Runs("ban …")),
    word(
        CSCLI,
        "decisions delete --id NUMBER …",
        Hint("bans have no numbers: `secbeat unban ADDRESS` lifts the ban of an address"),
    ),
    word(CSCLI, "decisions delete …", Runs("unban …")),
    word(
        CSCLI,
        "decisions import …",
        Hint("`secbeat import FILE` reads lists in many formats, CrowdSec's among them"),
    ),
    word(
        CSCLI,
        "decisions …",
        Hint("a decision is a ban here: `secbeat bans`, `secbeat ban ADDRESS`, `secbeat unban ADDRESS`"),
    ),
    word(CSCLI, "alerts list …", Runs("findings …")),
    word(
        CSCLI,
        "alerts inspect …",
        Hint("`secbeat why ADDRESS` shows what a client did; `secbeat findings` lists what rules found"),
    ),
    word(
        CSCLI,
        "alerts delete …",
        Hint(
            "findings are kept as they are; `secbeat unban ADDRESS` removes a ban and resets the client's counters",
        ),
    ),
    word(CSCLI, "allowlists list …", Runs("allowlist list …")),
    word(CSCLI, "allowlists inspect NAME", Runs("allowlist list")),
    word(
        CSCLI,
        "allowlists add NAME ADDRESS …",
        Hint("there is one allowlist: `secbeat allowlist add ADDRESS --comment NAME`"),
    ),
    word(
        CSCLI,
        "allowlists remove NAME ADDRESS …",
        Hint("there is one allowlist: `secbeat allowlist remove ADDRESS`"),
    ),
    word(
        CSCLI,
        "bouncers …",
        Hint("the kernel of this host enforces bans: `secbeat status` shows where"),
    ),
    word(
        CSCLI,
        "machines …",
        Hint("this host is the only one: `secbeat status` shows it"),
    ),
    word(CSCLI, "scenarios list …", Runs("rules …")),
    word(
        CSCLI,
        "scenarios …",
        Hint("there is no hub: `secbeat rules` lists the rules, which are in the config file"),
    ),
    word(
        CSCLI,
        "hub …",
        Hint("there is no hub: `secbeat rules` lists the rules, which are in the config file"),
    ),
    word(
        CSCLI,
        "collections …",
        Hint("there is no hub: `secbeat setup --add` finds services that are not watched"),
    ),
    word(
        CSCLI,
        "parsers …",
        Hint("formats of logs are built in, and filters of services: `secbeat filter list`"),
    ),
    word(
        CSCLI,
        "simulation …",
        Hint(
            "`action = \"observe\"` in a rule of the config file bans no client, and records which ones it would have banned",
        ),
    ),
    word(
        CSCLI,
        "metrics show …",
        Hint("`secbeat status` shows what was read and dropped, `secbeat top` the same as it changes"),
    ),
    word(CSCLI, "metrics …", Runs("metrics …")),
    word(
        CSCLI,
        "explain --file FILE …",
        Hint("`secbeat explain FILE` shows how each line of a log is read"),
    ),
    word(
        CSCLI,
        "explain --log LINE …",
        Hint("`secbeat explain -` shows how lines of standard input are read"),
    ),
    word(CSCLI, "explain …", Runs("explain …")),
    word(CSCLI, "lapi status", Runs("doctor")),
    word(CSCLI, "completion SHELL", Runs("completions SHELL")),
];
