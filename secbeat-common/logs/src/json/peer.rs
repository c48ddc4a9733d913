//! Which keys that nobody asks for have the address of a client, by their names: values say nothing, since clients write some of them.

use memchr::memmem;

use super::values::{MAX_ADDRESS, is_address};

/// Whose address the value of a key may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Of {
    /// That of a client, or of the other end of the connection.
    Peer,
    /// As [`Peer`](Self::Peer), but a client may have written it, or a header have replaced it in another key.
    Header,
    /// Nothing speaks for an address.
    #[default]
    Unknown,
    /// A server's, or what a client writes.
    Others,
}

impl Of {
    /// By a key's name, as it is written.
    pub(super) fn name(name: &[u8]) -> Self {
        const OTHERS: [&[u8]; 28] = [
            b"server",
            b"upstream",
            b"backend",
            b"listen",
            b"local",
            b"host",
            b"dest",
            b"dst",
            b"user",
            b"agent",
            b"arg",
            b"query",
            b"cookie",
            b"header",
            b"refer",
            b"resource",
            b"node",
            b"pod",
            b"container",
            b"instance",
            b"bind",
            b"interface",
            b"vip",
            b"virtual",
            b"mail",
            b"accept",
            b"content",
            b"lang",
        ];
        const PEERS: [&[u8]; 6] = [b"addr", b"client", b"remote", b"peer", b"source", b"src"];
        // As a whole, the ends of a connection.
        const ENDS: [&[u8]; 6] = [b"client", b"remote", b"peer", b"peers", b"source", b"src"];
        const FORWARDED: [&[u8]; 7] = [
            b"real",
            b"true",
            b"connecting",
            b"forward",
            b"fastly",
            b"cdn_client",
            b"original",
        ];
        // As a whole: of a server, or written by clients.
        const WHOLE: [&[u8]; 17] = [
            b"ua", b"q", b"sni", b"domain", b"path", b"uri", b"url", b"body", b"login", b"email", b"token",
            b"message", b"msg", b"search", b"origin", b"srv", b"machine",
        ];
        // A header, as nginx and others name it.
        const HEADERS: [&[u8]; 4] = [b"http_", b"http-", b"x_", b"x-"];
        if name.len() > MAX_ADDRESS {
            return Self::Unknown;
        }
        let mut lower = [0; MAX_ADDRESS];
        let lower = &mut lower[..name.len()];
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let name = &*lower;
        let has = |part: &&[u8]| memmem::find(name, part).is_some();
        if OTHERS.iter().any(has)
            || WHOLE.contains(&name)
            || HEADERS.iter().any(|begin| name.starts_with(begin))
            || name.ends_with(b"id")
            || name.ends_with(b"name")
        {
            return Self::Others;
        }
        if !(has_ip(name) || PEERS.iter().any(has)) {
            return Self::Unknown;
        }
        // `utm_source` and `client_version` are what a client writes.
        let is_of_address = has_ip(name) || has(&&b"addr"[..]) || ENDS.contains(&name);
        match is_of_address && !FORWARDED.iter().any(has) {
            true => Self::Peer,
            false => Self::Header,
        }
    }
}

/// Whether a word of a name ends with `ip` or `ips`.
fn has_ip(name: &[u8]) -> bool {
    let mut words = name.split(|byte| !byte.is_ascii_alphabetic());
    words.any(|word| word.ends_with(b"ip") || word.ends_with(b"ips"))
}

/// What is passed over of a value, a list or an object.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passed {
    /// By the key that it is the value of.
    outer: Of,
    /// By the last key within.
    inner: Of,
    /// By the last string if that is a key, and whether it is an address if it is a value: a colon behind it will say.
    last: Option<(Of, bool)>,
}

impl Passed {
    pub(super) const fn begin(outer: Of) -> Self {
        Self {
            outer,
            inner: Of::Unknown,
            last: None,
        }
    }

    pub(super) fn string(&mut self, text: &[u8]) {
        self.last = Some((Of::name(text), is_address(text)));
    }

    /// The last string was a key.
    pub(super) fn colon(&mut self) {
        if let Some((of, _)) = self.last.take() {
            self.inner = of;
        }
    }

    /// The last string was a value, if there was one: whether it is the address of a client.
    pub(super) fn was_address(&mut self) -> bool {
        let of = [self.outer, self.inner];
        let is_peers = (of.contains(&Of::Peer) || of.contains(&Of::Header)) && !of.contains(&Of::Others);
        self.last.take().is_some_and(|(_, is_address)| is_address) && is_peers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whose_address_it_is() {
        for (of, names) in [
            (
                Of::Peer,
                "ip remote_address downstream_remote_address source_ip srcip clientIp socketIp peers proxy_protocol_addr ips \
                 proxy_remote_ip slb_ip slbip lb_ip elb_ips alb_ip nlb_ip clb_ip proxy_ip waf_ip cdn_ip client_addr source src",
            ),
            (
                Of::Header,
                "realip_remote_addr cf_connecting_ip cdn_client_ip waf_real_ip true_client_ip forwarded_ip fastly_client_ip \
                 utm_source client_version",
            ),
            (
                Of::Others,
                "server_addr upstream_addr local_ip remote_user http_x_real_ip x-real-ip args http_cookie request_id client_id \
                 clientName headers host_ip userIp resource dest_ip pod_ip node_ip ua domain node url bind_address \
                 email_address accept_language vip virtual_ip",
            ),
            (Of::Unknown, "x time bytes status cf scheme tls iptables"),
        ] {
            for name in names.split_whitespace() {
                assert_eq!(Of::name(name.as_bytes()), of, "{name}");
            }
        }
        assert_eq!(Of::name(&[b'a'; MAX_ADDRESS + 1]), Of::Unknown);
    }
}
