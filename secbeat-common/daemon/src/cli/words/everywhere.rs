//! Words that people type anywhere.

use super::{Here::Runs, Word, word};

/// The same in every program.
pub const EVERYWHERE: &[Word] = &[
    word("", "bans list …", Runs("bans …")),
    word("", "banned …", Runs("bans …")),
    word("", "block …", Runs("ban …")),
    word("", "unblock …", Runs("unban …")),
    word("", "blocklist ADDRESS …", Runs("ban ADDRESS …")),
    word("", "blocklist", Runs("bans")),
    word("", "blacklist ADDRESS …", Runs("ban ADDRESS …")),
    word("", "blacklist", Runs("bans")),
    word("", "denylist ADDRESS …", Runs("ban ADDRESS …")),
    word("", "denylist", Runs("bans")),
    word("", "banip ADDRESS …", Runs("ban ADDRESS …")),
    word("", "unbanip ADDRESS …", Runs("unban ADDRESS …")),
    word("", "deny …", Runs("ban …")),
    word("", "drop …", Runs("ban …")),
];
