//! Bans as sets of firewalls, with what is left of their time.

use std::io::{self, Write};

use secbeat_common::prefix::Prefix;
use secbeat_daemon::cli::printable;

use super::BanEntry;

/// What loads the sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Ipset,
    Nft,
}

/// Longest timeout of ipset, in seconds: its kernel part counts milliseconds in 31 bits.
const IPSET_MAX: i64 = 2_147_483;
/// Longest comments, in bytes.
const IPSET_COMMENT: usize = 255;
const NFT_COMMENT: usize = 127;

struct Member {
    network: Prefix,
    /// Seconds; `None` for ever.
    left: Option<i64>,
    note: String,
}

impl Member {
    fn outlasts(&self, other: &Self) -> bool {
        self.left.unwrap_or(i64::MAX) > other.left.unwrap_or(i64::MAX)
    }
}

pub(super) struct Sets {
    tool: Tool,
    now_ms: i64,
    v4: Vec<Member>,
    v6: Vec<Member>,
}

impl Sets {
    pub(super) const fn new(tool: Tool, now_ms: i64) -> Self {
        Self {
            tool,
            now_ms,
            v4: Vec::new(),
            v6: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, ban: &BanEntry) {
        let Ok(network) = ban.target.parse::<Prefix>() else {
            return;
        };
        let ms = ban.expires_at.map(|at| at.as_millisecond() - self.now_ms);
        let left = ms.map(|ms| ms.max(0).unsigned_abs().div_ceil(1000) as i64);
        if left == Some(0) {
            return;
        }
        let set = if network.addr().is_ipv4() {
            &mut self.v4
        } else {
            &mut self.v6
        };
        set.push(Member {
            network,
            left,
            note: ban.note.clone(),
        });
    }

    /// Returns what the tool's sets cannot say.
    pub(super) fn write(self, to: &mut impl Write) -> io::Result<Vec<String>> {
        match self.tool {
            Tool::Ipset => self.write_ipset(to),
            Tool::Nft => self.write_nft(to),
        }
    }

    fn write_ipset(self, to: &mut impl Write) -> io::Result<Vec<String>> {
        let mut shortened = 0;
        for (name, family, set) in [("secbeat4", "inet", self.v4), ("secbeat6", "inet6", self.v6)] {
            let size = set.len().max(65_536);
            writeln!(
                to,
                "create {name} hash:net family {family} maxelem {size} timeout 0 comment"
            )?;
            for Member { network, left, note } in &set {
                shortened += u64::from(left.is_some_and(|left| left > IPSET_MAX));
                let timeout = left.map_or(0, |left| left.min(IPSET_MAX));
                write!(to, "add {name} {network} timeout {timeout}")?;
                writeln!(to, "{}", comment(note, IPSET_COMMENT))?;
            }
        }
        let unsaid = (shortened > 0)
            .then(|| format!("{shortened} bans end earlier in ipset, whose longest timeout is 24 days"));
        Ok(unsaid.into_iter().collect())
    }

    fn write_nft(self, to: &mut impl Write) -> io::Result<Vec<String>> {
        let mut unsaid = Vec::new();
        writeln!(to, "table inet secbeat {{")?;
        for (name, kind, set) in [("bans4", "ipv4_addr", self.v4), ("bans6", "ipv6_addr", self.v6)] {
            let (set, cut) = apart(set);
            unsaid.extend(cut.into_iter().map(|network| {
                format!("{network} ends with the network around it in nft, whose sets hold no network within another")
            }));
            writeln!(
                to,
                "\tset {name} {{\n\t\ttype {kind}\n\t\tflags interval, timeout"
            )?;
            if !set.is_empty() {
                writeln!(to, "\t\telements = {{")?;
                for Member { network, left, note } in &set {
                    let timeout = left.map(|left| format!(" timeout {left}s")).unwrap_or_default();
                    writeln!(to, "\t\t\t{network}{timeout}{},", comment(note, NFT_COMMENT))?;
                }
                writeln!(to, "\t\t}}")?;
            }
            writeln!(to, "\t}}")?;
        }
        writeln!(to, "}}")?;
        Ok(unsaid)
    }
}

/// Only networks that lie within no other, and those of the others that last longer than what is around them.
fn apart(mut set: Vec<Member>) -> (Vec<Member>, Vec<Prefix>) {
    set.sort_by_key(|member| (member.network.addr(), member.network.len()));
    let (mut kept, mut cut): (Vec<Member>, _) = (Vec::new(), Vec::new());
    for member in set {
        match kept.last() {
            Some(wider) if wider.network.covers(&member.network) => {
                if member.outlasts(wider) {
                    cut.push(member.network);
                }
            }
            _ => kept.push(member),
        }
    }
    (kept, cut)
}

/// ` comment "…"`, in which nothing ends the quotes or the line.
fn comment(note: &str, longest: usize) -> String {
    if note.is_empty() {
        return String::new();
    }
    let mut text = printable(note).replace('"', "'").replace('\\', "/");
    text.truncate(text.floor_char_boundary(longest));
    format!(" comment \"{text}\"")
}
