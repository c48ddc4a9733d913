//! Words that people type who know other programs.

use secbeat_daemon::cli::words::{
    Here::{Hint, Runs},
    Word, word,
};

const CSCLI: &str = "cscli";
const FAIL2BAN: &str = "fail2ban-client";

/// The first one that fits holds.
pub const WORDS: &[Word] = &[
    word("", "list …", Runs("bans …")),
    word("", "ls …", Runs("bans …")),
    word("", "ban list …", Runs("bans …")),
    word("", "delete …", Runs("unban …")),
    word("", "remove …", Runs("unban …")),
    word("", "rm …", Runs("unban …")),
    word("", "flush", Runs("unban --all")),
    word("", "allow ADDRESS …", Runs("allowlist add ADDRESS …")),
    word("", "stats …", Runs("status …")),
    word("", "get ADDRESS …", Runs("why ADDRESS …")),
    word("", "status ADDRESS …", Runs("why ADDRESS …")),
    word("", "show ADDRESS …", Runs("why ADDRESS …")),
    word("", "info ADDRESS …", Runs("why ADDRESS …")),
    word("", "search ADDRESS …", Runs("why ADDRESS …")),
    word("", "history ADDRESS …", Runs("why ADDRESS …")),
    word("", "check ADDRESS …", Runs("why ADDRESS …")),
    word("", "whitelist", Runs("allowlist list")),
    word("", "whitelist ADDRESS …", Runs("allowlist add ADDRESS …")),
    word(
        "",
        "whitelist remove ADDRESS …",
        Runs("allowlist remove ADDRESS …"),
    ),
    word("", "allowlist ADDRESS …", Runs("allowlist add ADDRESS …")),
    word("", "allowlist", Runs("allowlist list")),
    word("", "nodes …", Runs("edges …")),
    word("", "feed", Runs("feed list")),
    word("", "feeds", Runs("feed list")),
    word("", "signatures", Runs("signatures list")),
    word("", "rules list", Runs("rules")),
    word(
        "",
        "reload …",
        Hint(
            "`systemctl reload secbeat-orchestrator` has the daemon read its config again; `secbeat-orchestrator check` looks at it first",
        ),
    ),
    word(
        "",
        "restart …",
        Hint("`systemctl restart secbeat-orchestrator` does; bans stay in force meanwhile"),
    ),
    word(
        "",
        "start …",
        Hint(
            "`systemctl start secbeat-orchestrator` starts the daemon; `secbeat-orchestrator run` runs it in the foreground",
        ),
    ),
    word(
        "",
        "stop …",
        Hint("`systemctl stop secbeat-orchestrator` stops the daemon; bans stay in force and expire"),
    ),
    word(
        "",
        "logs …",
        Hint(
            "`journalctl -u secbeat-orchestrator` has the daemon's log; `secbeat-orchestrator watch` follows bans and findings",
        ),
    ),
    word(
        "",
        "log …",
        Hint(
            "`journalctl -u secbeat-orchestrator` has the daemon's log; `secbeat-orchestrator audit` what was decided",
        ),
    ),
    word(
        "",
        "ban ADDRESS -1",
        Hint("`secbeat-orchestrator ban ADDRESS --duration -1` bans it permanently"),
    ),
    word(
        "",
        "jails …",
        Hint("there are no jails, but rules, which hold for all edges: `secbeat-orchestrator rules`"),
    ),
    word(
        "",
        "add ADDRESS …",
        Hint(
            "`secbeat-orchestrator ban ADDRESS` bans it, `secbeat-orchestrator allowlist add ADDRESS` lets it through",
        ),
    ),
    word(
        "",
        "ban --country COUNTRY …",
        Hint(
            "bans are of addresses and networks: `country` of a [[list]] in the config of an edge drops the networks of countries, `secbeat-orchestrator import FILE` bans those of a list",
        ),
    ),
    word(FAIL2BAN, "status", Runs("status")),
    word(
        FAIL2BAN,
        "status JAIL",
        Hint(
            "there are no jails: `secbeat-orchestrator rules` lists the rules, `secbeat-orchestrator bans --rule RULE` whom one banned",
        ),
    ),
    word(FAIL2BAN, "banned …", Runs("bans …")),
    word(FAIL2BAN, "unban ADDRESS …", Runs("unban ADDRESS …")),
    word(FAIL2BAN, "unban --all", Runs("unban --all")),
    word(
        FAIL2BAN,
        "set JAIL banip ADDRESS …",
        Hint(
            "there are no jails: `secbeat-orchestrator ban ADDRESS` bans it on every edge, for 4h unless `--duration` says otherwise",
        ),
    ),
    word(
        FAIL2BAN,
        "set JAIL unbanip ADDRESS …",
        Hint("there are no jails: `secbeat-orchestrator unban ADDRESS` unbans it on every edge"),
    ),
    word(
        FAIL2BAN,
        "set JAIL unbanip --report-absent ADDRESS …",
        Hint(
            "there are no jails: `secbeat-orchestrator unban ADDRESS` unbans it on every edge, and fails if it is not banned",
        ),
    ),
    word(
        FAIL2BAN,
        "get JAIL banned …",
        Hint(
            "there are no jails: `secbeat-orchestrator bans` lists all bans, `secbeat-orchestrator bans --rule RULE` those of a rule",
        ),
    ),
    word(
        FAIL2BAN,
        "get JAIL banip …",
        Hint(
            "there are no jails: `secbeat-orchestrator bans` lists all bans, `secbeat-orchestrator bans --rule RULE` those of a rule",
        ),
    ),
    word(
        FAIL2BAN,
        "set JAIL addignoreip ADDRESS …",
        Hint(
            "there are no jails: `secbeat-orchestrator allowlist add ADDRESS` holds for every rule on every edge",
        ),
    ),
    word(
        FAIL2BAN,
        "set JAIL delignoreip ADDRESS …",
        Hint("there are no jails: `secbeat-orchestrator allowlist remove ADDRESS`"),
    ),
    word(
        FAIL2BAN,
        "get JAIL ignoreip …",
        Hint(
            "there are no jails: `secbeat-orchestrator allowlist list` has the fleet's allowlist, `secbeat-edge allowed` that of a host",
        ),
    ),
    word(FAIL2BAN, "ignoreip", Runs("allowlist list")),
    word(FAIL2BAN, "ignoreip ADDRESS …", Runs("allowlist add ADDRESS …")),
    word(
        FAIL2BAN,
        "set JAIL OPTION …",
        Hint(
            "there are no jails: a rule's threshold, window and duration are in the config file, in a table `[[rule]]`, and `systemctl reload secbeat-orchestrator` takes them over",
        ),
    ),
    word(
        FAIL2BAN,
        "get JAIL OPTION …",
        Hint(
            "there are no jails: `secbeat-orchestrator rules` shows each rule with its threshold, window and duration",
        ),
    ),
    word(
        FAIL2BAN,
        "get OPTION",
        Hint("`secbeat-orchestrator check` shows the config"),
    ),
    word(
        FAIL2BAN,
        "add JAIL …",
        Hint("there are no jails: a rule is a table `[[rule]]` of the config file, and holds for all edges"),
    ),
    word(
        FAIL2BAN,
        "status JAIL …",
        Hint(
            "there are no jails: `secbeat-orchestrator bans --rule RULE` lists the bans of a rule, `secbeat-orchestrator rules` the rules, `secbeat-orchestrator why ADDRESS` says what is known of a client",
        ),
    ),
    word(CSCLI, "decisions list …", Runs("bans …")),
    word(CSCLI, "decisions add …", Runs("ban …")),
    word(
        CSCLI,
        "decisions delete --id NUMBER …",
        Hint("bans have no numbers: `secbeat-orchestrator unban ADDRESS` lifts the ban of an address"),
    ),
    word(CSCLI, "decisions delete …", Runs("unban …")),
    word(
        CSCLI,
        "decisions import …",
        Hint("`secbeat-orchestrator import FILE` reads lists in many formats, CrowdSec's among them"),
    ),
    word(
        CSCLI,
        "decisions …",
        Hint(
            "a decision is a ban here: `secbeat-orchestrator bans`, `secbeat-orchestrator ban ADDRESS`, `secbeat-orchestrator unban ADDRESS`",
        ),
    ),
    word(CSCLI, "alerts list …", Runs("findings …")),
    word(
        CSCLI,
        "alerts inspect …",
        Hint(
            "`secbeat-orchestrator why ADDRESS` shows what a client did; `secbeat-orchestrator findings` lists what rules found",
        ),
    ),
    word(
        CSCLI,
        "alerts delete …",
        Hint(
            "findings are kept as they are; `secbeat-orchestrator unban ADDRESS` removes a ban and resets the client's counters",
        ),
    ),
    word(CSCLI, "allowlists list …", Runs("allowlist list …")),
    word(CSCLI, "allowlists inspect NAME", Runs("allowlist list")),
    word(
        CSCLI,
        "allowlists add NAME ADDRESS …",
        Hint("the fleet has one allowlist: `secbeat-orchestrator allowlist add ADDRESS --comment NAME`"),
    ),
    word(
        CSCLI,
        "allowlists remove NAME ADDRESS …",
        Hint("the fleet has one allowlist: `secbeat-orchestrator allowlist remove ADDRESS`"),
    ),
    word(CSCLI, "bouncers list …", Runs("edges …")),
    word(
        CSCLI,
        "bouncers …",
        Hint(
            "edges enforce bans: `secbeat-orchestrator edges` lists them, `secbeat-orchestrator enroll NAME` adds one",
        ),
    ),
    word(
        CSCLI,
        "machines …",
        Hint(
            "edges report and enforce: `secbeat-orchestrator edges` lists them, `secbeat-orchestrator members` who was enrolled, `secbeat-orchestrator enroll NAME` adds one",
        ),
    ),
    word(CSCLI, "scenarios list …", Runs("rules …")),
    word(
        CSCLI,
        "scenarios …",
        Hint("there is no hub: `secbeat-orchestrator rules` lists the rules, which are in the config file"),
    ),
    word(
        CSCLI,
        "hub …",
        Hint("there is no hub: `secbeat-orchestrator rules` lists the rules, which are in the config file"),
    ),
    word(
        CSCLI,
        "collections …",
        Hint("there is no hub: `secbeat-orchestrator rules` lists the rules, which are in the config file"),
    ),
    word(
        CSCLI,
        "parsers …",
        Hint("formats of logs are built in: `secbeat-edge explain LOG` shows how each line of a log is read"),
    ),
    word(
        CSCLI,
        "explain …",
        Hint(
            "`secbeat-edge explain LOG` shows how each line of a log is read, `secbeat-orchestrator replay LOG` who would be banned",
        ),
    ),
    word(
        CSCLI,
        "simulation …",
        Hint(
            "`action = \"observe\"` in a rule of the config file bans no client, and records which ones it would have banned",
        ),
    ),
    word(CSCLI, "lapi status", Runs("ping")),
    word(
        CSCLI,
        "console …",
        Hint("there is no service behind SecBeat: `secbeat-orchestrator top` has the fleet on one screen"),
    ),
    word(CSCLI, "config show …", Runs("check …")),
    word(
        "",
        "config …",
        Hint("`secbeat-orchestrator check` reads the config file, and says what is wrong with it"),
    ),
    word(CSCLI, "completion SHELL", Runs("completions SHELL")),
];
