//! Entries that may be added to an allowlist at run time, on that of the fleet as on that of a host.

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use secbeat_common::{
    prefix::Prefix,
    wire::{AllowEntry, PERMANENT},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    api::{Failure, bad_request, named_target},
    term::Term,
    time::{ms_to_end, rfc3339},
};

/// Longest comment, in bytes.
pub const MAX_COMMENT: usize = 256;
/// Farthest end, in milliseconds from now: a NATS server counts nanoseconds in 63 bits.
const MAX_MS: i64 = 100 * 366 * 24 * 3_600_000;

/// An entry of the allowlist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AllowView {
    /// CIDR.
    pub network: String,
    /// The reason why it is there; empty if nothing was said.
    pub comment: String,
    /// RFC 3339; missing if it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Milliseconds until it ends; missing if it never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_in_ms: Option<i64>,
    /// The user or daemon that added it.
    pub added_by: String,
    /// RFC 3339.
    pub added_at: String,
}

impl AllowView {
    /// The entry as of `now_ms`.
    #[must_use]
    pub fn new(entry: &AllowEntry, now_ms: i64) -> Self {
        Self {
            network: entry.network.to_string(),
            comment: entry.comment.clone(),
            until: entry.until_ms.map(rfc3339),
            ends_in_ms: entry.until_ms.and_then(|until_ms| ms_to_end(until_ms, now_ms)),
            added_by: entry.added_by.clone(),
            added_at: rfc3339(entry.added_at_ms),
        }
    }
}

/// `POST /api/v1/allowlist`. Without `duration` and `until` the entry does not expire.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowRequest {
    /// An address, which stands for its source, or a CIDR.
    pub network: String,
    /// The reason why it is there; at most 256 bytes.
    pub comment: String,
    /// As `4h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Of many entries that are added together; `POST /api/v1/lists` tells their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<Uuid>,
}

/// The answer to `DELETE /api/v1/allowlist/…`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Disallowed {
    /// The entry that was removed.
    pub network: String,
}

impl AllowRequest {
    /// The entry that it asks for.
    ///
    /// # Errors
    ///
    /// Returns an error if it is invalid.
    pub fn entry(self, added_by: String, now_ms: i64) -> Result<AllowEntry, Failure> {
        let network = named_target("network", &self.network, false)?;
        check(&network)?;
        if self.comment.len() > MAX_COMMENT {
            let bytes = self.comment.len();
            return Err(bad_request(
                "comment",
                format!("{bytes} bytes, {MAX_COMMENT} at most"),
            ));
        }
        Ok(AllowEntry {
            network,
            until_ms: self.until_ms(now_ms)?,
            comment: self.comment,
            added_by,
            added_at_ms: now_ms,
        })
    }

    fn until_ms(&self, now_ms: i64) -> Result<Option<i64>, Failure> {
        let (key, until_ms) = match (&self.duration, &self.until) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err(bad_request("until", "there is a duration already")),
            (Some(duration), None) => {
                let term: Term = duration.parse().map_err(|error| bad_request("duration", error))?;
                ("duration", term.end(now_ms))
            }
            (None, Some(until)) => {
                let until: Timestamp = until.parse().map_err(|_| {
                    bad_request(
                        "until",
                        format!("invalid time `{until}`: expected one such as 2026-11-20T10:00:00Z"),
                    )
                })?;
                ("until", until.as_millisecond())
            }
        };
        if until_ms == PERMANENT {
            return Ok(None);
        }
        if until_ms <= now_ms {
            return Err(bad_request(key, "it is in the past"));
        }
        if until_ms - now_ms > MAX_MS {
            return Err(bad_request(
                key,
                "over a hundred years away; leave it out for an entry without end",
            ));
        }
        Ok(Some(until_ms))
    }
}

/// Whether `network` may be on an allowlist.
fn check(network: &Prefix) -> Result<(), Failure> {
    if network.is_empty() {
        return Err(bad_request(
            "network",
            format!("{network} covers all addresses: no client could be banned any more"),
        ));
    }
    if network.holds_ipv4() {
        return Err(bad_request(
            "network",
            format!(
                "{network} holds addresses that stand for IPv4 clients (::ffff:0:0/96, 64:ff9b::/96), and with them all of IPv4"
            ),
        ));
    }
    Ok(())
}
