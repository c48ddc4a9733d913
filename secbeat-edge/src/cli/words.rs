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
    word("", "status ADDRESS …", Runs("test ADDRESS …")),
    word(
        "",
        "why ADDRESS …",
        Hint(
            "`secbeat-edge test ADDRESS` says what the kernel does with its packets, `secbeat-orchestrator why ADDRESS` what the fleet knows of it",
        ),
    ),
    word("", "whitelist", Runs("allowed")),
    word("", "allowlist", Runs("allowed")),
    word(
        "",
        "whitelist ADDRESS …",
        Hint(
            "`secbeat-edge allowlist add ADDRESS` lets it through on this host, `secbeat-orchestrator allowlist add ADDRESS` on every edge, and `[protect]` of the config file for good",
        ),
    ),
    word(
        "",
        "reload …",
        Hint(
            "`systemctl reload secbeat-edge` has the daemon read its config again; `secbeat-edge check` looks at it first",
        ),
    ),
    word(
        "",
        "stop …",
        Hint(
            "`systemctl stop secbeat-edge` stops the daemon, and the kernel keeps its bans; `secbeat-edge detach` is the kill switch",
        ),
    ),
    word(
        "",
        "alerts …",
        Hint(
            "`secbeat-edge status` shows this host, and fails if an interface is not protected; `secbeat-orchestrator alerts` has the fleet",
        ),
    ),
    word(FAIL2BAN, "status", Runs("status")),
    word(FAIL2BAN, "unban ADDRESS …", Runs("unban ADDRESS …")),
    word(FAIL2BAN, "unban --all", Runs("unban --all")),
    word(FAIL2BAN, "ignoreip", Runs("allowed")),
    word(
        FAIL2BAN,
        "set JAIL banip ADDRESS …",
        Hint(
            "there are no jails: `secbeat-edge ban ADDRESS` bans it on this host, `secbeat-orchestrator ban ADDRESS` on every edge",
        ),
    ),
    word(
        FAIL2BAN,
        "set JAIL unbanip ADDRESS …",
        Hint(
            "there are no jails: `secbeat-edge unban ADDRESS` unbans it on this host, `secbeat-orchestrator unban ADDRESS` on every edge",
        ),
    ),
    word(
        FAIL2BAN,
        "get JAIL banned …",
        Hint("there are no jails: `secbeat-edge bans` lists the bans in force on this host"),
    ),
    word(
        FAIL2BAN,
        "get JAIL banip …",
        Hint("there are no jails: `secbeat-edge bans` lists the bans in force on this host"),
    ),
    word(
        FAIL2BAN,
        "status JAIL …",
        Hint(
            "there are no jails: `secbeat-edge bans` lists the bans in force on this host, `secbeat-orchestrator rules` the rules",
        ),
    ),
    word(CSCLI, "decisions list …", Runs("bans …")),
    word(
        CSCLI,
        "decisions add --ip ADDRESS …",
        Hint(
            "a decision is a ban here: `secbeat-edge ban ADDRESS` bans it on this host, `secbeat-orchestrator ban ADDRESS` on every edge",
        ),
    ),
    word(
        CSCLI,
        "decisions delete --ip ADDRESS …",
        Hint(
            "a decision is a ban here: `secbeat-edge unban ADDRESS` unbans it on this host, `secbeat-orchestrator unban ADDRESS` on every edge",
        ),
    ),
    word(
        CSCLI,
        "decisions …",
        Hint(
            "a decision is a ban here: `secbeat-edge ban ADDRESS` and `secbeat-edge unban ADDRESS` for this host, `secbeat-orchestrator ban ADDRESS` for every edge",
        ),
    ),
    word(CSCLI, "allowlists list …", Runs("allowlist list …")),
    word(
        CSCLI,
        "allowlists add NAME ADDRESS …",
        Hint(
            "`secbeat-edge allowlist add ADDRESS --comment NAME` lets it through on this host, `secbeat-orchestrator allowlist add ADDRESS --comment NAME` on every edge",
        ),
    ),
    word(
        CSCLI,
        "allowlists remove NAME ADDRESS …",
        Hint(
            "`secbeat-edge allowlist remove ADDRESS` for this host, `secbeat-orchestrator allowlist remove ADDRESS` for every edge",
        ),
    ),
    word(CSCLI, "completion SHELL", Runs("completions SHELL")),
];
