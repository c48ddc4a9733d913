//! A client that writes whatever it likes into what a server logs of its request.

use std::net::{IpAddr, Ipv4Addr};

use super::super::Format;

/// Who sends every request.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 12));
const AT_MS: i64 = 1_696_928_816_000;
/// No client's text has it.
const STATUS: u16 = 418;

/// What a client sends, without line feeds.
#[derive(Debug, Default)]
struct Sent<'a> {
    host: &'a [u8],
    target: &'a [u8],
    agent: &'a [u8],
    referer: &'a [u8],
    user: &'a [u8],
    forwarded: &'a [u8],
}

impl<'a> Sent<'a> {
    fn of(input: &'a [u8]) -> Self {
        let mut fields = input.split(|byte| *byte == b'\n');
        // Servers trim headers.
        let mut next = || fields.next().unwrap_or_default().trim_ascii();
        Self {
            host: next(),
            target: next(),
            agent: next(),
            referer: next(),
            user: next(),
            forwarded: next(),
        }
    }
}

impl Sent<'_> {
    /// Whether it is what most clients send, which every format has to understand.
    fn is_plain(&self) -> bool {
        let fields = [self.host, self.target, self.agent, self.referer, self.user];
        let is_plain = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'/' | b'.');
        // No host has a slash.
        fields.iter().all(|field| field.iter().all(is_plain))
            && self.forwarded.is_empty()
            && !self.host.contains(&b'/')
    }
}

/// How a server writes what clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Nginx,
    Apache,
    Lighttpd,
    Haproxy,
    /// With the flag `+E`, which sets backslashes.
    HaproxyEscaped,
    /// Escapes nothing.
    Envoy,
    /// Writes `+` for spaces.
    Iis,
}

impl Server {
    fn escape(self, text: &[u8], to: &mut Vec<u8>) {
        for byte in text {
            let is_odd = *byte < b' ' || *byte == 0x7f;
            match (self, *byte) {
                (Self::Nginx, b'"' | b'\\' | 0x80..) => to.extend(format!("\\x{byte:02X}").bytes()),
                (Self::Apache | Self::Lighttpd, b'"' | b'\\') => to.extend([b'\\', *byte]),
                (Self::Apache, b'\t') => to.extend(b"\\t"),
                (Self::Haproxy, b'"' | b'{' | b'}' | b'|' | b'#' | 0x80..) => {
                    to.extend(format!("#{byte:02X}").bytes());
                }
                (Self::HaproxyEscaped, b'"' | b'\\' | b']') => to.extend([b'\\', *byte]),
                (Self::Haproxy, _) if is_odd => to.extend(format!("#{byte:02X}").bytes()),
                (Self::Nginx | Self::Apache | Self::Lighttpd, _) if is_odd => {
                    to.extend(format!("\\x{byte:02X}").bytes());
                }
                (Self::Iis, b' ') => to.push(b'+'),
                (Self::Iis, _) if is_odd => to.push(b'+'),
                (_, b'\n') => {}
                (_, byte) => to.push(byte),
            }
        }
    }
}

/// What a server writes, and the formats that read it. A format with a `?` is in doubt.
struct Log {
    server: Server,
    template: &'static str,
    formats: &'static [&'static str],
}

const COMBINED: &str =
    r#"$remote_addr - $remote_user [$time_local] "$request" $status 5 "$http_referer" "$http_user_agent""#;

const LOGS: &[Log] = &[
    Log {
        server: Server::Nginx,
        template: COMBINED,
        formats: &["combined", "common", "combined?", "vhost-combined?", COMBINED],
    },
    Log {
        server: Server::Apache,
        template: COMBINED,
        formats: &["combined", "common", "combined?", "vhost-combined?", COMBINED],
    },
    // A host with spaces, as nginx takes it before 1.21.1.
    Log {
        server: Server::Nginx,
        template: r#"$host $remote_addr - $remote_user [$time_local] "$request" $status 5 "$http_referer" "$http_user_agent""#,
        formats: &[
            "vhost-combined",
            "vhost-combined?",
            "combined?",
            r#"$host $remote_addr - $remote_user [$time_local] "$request" $status"#,
        ],
    },
    // The client's own list, which nginx extends.
    Log {
        server: Server::Nginx,
        template: r#"$list - $remote_user [$time_local] "$request" $status 5 "$http_referer" "$http_user_agent""#,
        formats: &["combined?", "vhost-combined?"],
    },
    Log {
        server: Server::Nginx,
        template: r#"[$time_iso8601] "$list" "$request" $status "$http_host" $remote_user"#,
        formats: &[r#"[$time_iso8601] "$proxy_add_x_forwarded_for" "$request" $status "$http_host""#],
    },
    Log {
        server: Server::Nginx,
        template: r#"$remote_addr - $remote_user [$time_local] "$request_method $scheme://$host$request_uri" $status"#,
        formats: &[
            r#"$remote_addr - $remote_user [$time_local] "$request_method $scheme://$host$request_uri" $status"#,
        ],
    },
    Log {
        server: Server::Nginx,
        template: "$http_host\t$remote_user\t$remote_addr\t$time_local\t$status\t$request",
        formats: &["$http_host\t$remote_user\t$remote_addr\t$time_local\t$status\t$request"],
    },
    Log {
        server: Server::Nginx,
        template: r#"$http_host $remote_user $status $remote_addr [$time_local] "$request""#,
        formats: &[r#"$http_host $remote_user $status $remote_addr [$time_local] "$request""#],
    },
    Log {
        server: Server::Nginx,
        template: r#"[$time_local] - 502, 404 $status - GET https $host "$request_uri" [Client $remote_addr] [Length 5] [Gzip -] [Sent-to app] "$http_user_agent" "$http_referer""#,
        formats: &["nginx-proxy-manager"],
    },
    Log {
        server: Server::Nginx,
        template: r#"[$time_local] $status - GET https $host "$request_uri" [Client $remote_addr] [Length 5] [Gzip -] "$http_user_agent" "$http_referer""#,
        formats: &["nginx-proxy-manager"],
    },
    Log {
        server: Server::Nginx,
        template: r#"$remote_addr - $remote_user [$time_local] $http_host "$request" $status 5 0.1 "$http_referer" "$http_user_agent" 10.0.0.1:80 404 0.1 "http://$http_host""#,
        formats: &["apisix"],
    },
    Log {
        server: Server::Lighttpd,
        template: r#"$remote_addr $http_host $remote_user [$time_local] "$request" $status 5 "$http_referer" "$http_user_agent""#,
        formats: &[
            "lighttpd",
            r#"%h %V %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i""#,
        ],
    },
    Log {
        server: Server::Apache,
        template: r#"$remote_addr:4711 - $remote_user [$time_local] "$request" $status 5 "$http_host" "$list""#,
        formats: &[r#"%a:%{remote}p %l %u %t "%r" %>s %b "%{Host}i""#],
    },
    Log {
        server: Server::Apache,
        template: r#"$host $remote_addr - $remote_user [$time_local] "$request" $status 5"#,
        formats: &[r#"%V %h %l %u %t "%r" %>s %b"#],
    },
    Log {
        server: Server::Envoy,
        template: r#"[$time_iso8601] "$request" $status - 0 5 1 1 "$list" "$http_user_agent" "id" "$http_host" "10.0.0.1:80""#,
        formats: &["envoy", "istio"],
    },
    Log {
        server: Server::Envoy,
        template: r#"[$time_iso8601] "$request" $status NR route_not_found - "-" 0 5 1 - "$forwarded" "$http_user_agent" "id" "$http_host" "-" - - 10.0.0.1:80 $remote_addr:4711 $http_host default"#,
        formats: &["envoy", "istio"],
    },
    Log {
        server: Server::Haproxy,
        template: r#"$remote_addr:4711 [10/Oct/2023:09:06:56.000] www~ app/web1 0/0/1/2/3 $status 5 - - ---- 1/1/0/0/0 0/0 {$http_host|$http_user_agent} "$request""#,
        formats: &[
            "haproxy",
            "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r",
        ],
    },
    // What a cookie or an expression says is not encoded; neither stands before what is trusted.
    Log {
        server: Server::Haproxy,
        template: r#"$remote_addr:4711 [10/Oct/2023:09:06:56.000] www~ app/web1 0/0/1/2/3 $status 5 $raw - ---- 1/1/0/0/0 0/0 "$request""#,
        formats: &[
            "haproxy",
            "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %{+Q}r",
        ],
    },
    Log {
        server: Server::HaproxyEscaped,
        template: r#""$http_user_agent" $http_host $remote_addr:4711 [10/Oct/2023:09:06:56.000] $status 5 "$request""#,
        formats: &[
            "%{+Q,+E}[capture.req.hdr(0)] %{+E}[req.hdr(host)] %ci:%cp [%tr] %ST %B %{+Q,+E}r",
            r#""%[capture.req.hdr(0),json(utf8s)]" %[req.hdr(host),json(utf8s)] %ci:%cp [%tr] %ST %B %{+Q,+E}r"#,
        ],
    },
    Log {
        server: Server::Nginx,
        template: r#"$http_host "$request" $status [$time_local] "$http_host" $remote_addr [$time_local] $http_host"#,
        formats: &[
            r#"$content_length "$request" $status [$time_local] "$req_id" $remote_addr [$time_iso8601] $content_length"#,
        ],
    },
    Log {
        server: Server::Nginx,
        template: r#"https 2023-10-10T09:06:56Z app/lb/50dc $remote_addr:4711 10.0.0.66:9000 0.0 0.1 0.0 $status 404 34 5 "GET https://$http_host:443$request_uri HTTP/2.0" "$http_user_agent" - - arn:aws:x "Root=1" "$http_host" "arn" 1"#,
        formats: &["aws-alb"],
    },
    Log {
        server: Server::Haproxy,
        template: "1696928816.000     12 $remote_addr TCP_MISS/$status 5 GET http://$http_host$request_uri $remote_user HIER_DIRECT/10.0.0.5 text/html",
        formats: &["squid"],
    },
    Log {
        server: Server::Envoy,
        template: r#"79a5 shop [$time_local] $remote_addr - 3E57 REST.GET.OBJECT $request_uri "$request" $status NoSuchKey 243 - 7 - "$http_referer" "$http_user_agent" - id= SigV4 TLS"#,
        formats: &["aws-s3"],
    },
    Log {
        server: Server::Envoy,
        template: "[pid: 1234|app: 0|req: 1/1] $remote_addr () {28 vars in 300 bytes} [Tue Oct 10 09:06:56 2023] GET $request_uri => \
                   generated 5 bytes in 3 msecs (HTTP/1.1 $status) 2 headers in 80 bytes (1 switches on core 0)",
        formats: &["uwsgi"],
    },
    // Go's quotes in a path are escaped; whatever stands there, it is behind the rest.
    Log {
        server: Server::Envoy,
        template: "[GIN] 2023/10/10 - 09:06:56 | $status |       1.234µs |   $remote_addr | GET      \"$request_uri\"",
        formats: &["gin"],
    },
    Log {
        server: Server::Iis,
        template: "2023-10-10 09:06:56 10.0.0.1 GET /$request_uri - 443 $remote_user $remote_addr $http_user_agent $http_referer $status 0 2 15",
        formats: &["iis"],
    },
];

/// Whatever a client puts into its host, target, user agent, referer, user name and list of forwarded addresses (lines of
/// the input), the client that is read is the connection's, or the line is not understood.
///
/// # Panics
///
/// When that is not so.
pub fn check_attack(input: &[u8]) {
    let sent = Sent::of(input);
    for log in LOGS {
        let line = log.write(&sent);
        for name in log.formats {
            let (name, doubt) = name.strip_suffix('?').map_or((*name, false), |name| (name, true));
            let format: Format = name.parse().expect("a format");
            let format = if doubt { format.with_doubt() } else { format };
            let parsed = format.parse(&line);
            assert!(
                parsed.is_ok() || doubt || !sent.is_plain() && log.is_ambiguous(),
                "{format} of {}",
                line.escape_ascii()
            );
            if let Ok(parsed) = parsed {
                let shown = line.escape_ascii();
                assert_eq!(parsed.client, CLIENT, "{format} of {shown}");
                assert_eq!(parsed.status, STATUS, "{format} of {shown}");
                // A client may write a time beside APISIX's own.
                let is_time = parsed.at_ms == AT_MS || name == "apisix" && parsed.at_ms > AT_MS;
                assert!(is_time, "{format} of {shown}: {}", parsed.at_ms);
            }
        }
    }
}

impl Log {
    /// Whether a client can make its own lines unreadable: where a host with a space stands before the client, and where
    /// quotes are not escaped.
    fn is_ambiguous(&self) -> bool {
        self.server == Server::Envoy
            || self.template.starts_with("$host ")
            || self.template.starts_with("$list ")
    }

    fn write(&self, sent: &Sent<'_>) -> Vec<u8> {
        let mut line = Vec::new();
        let mut parts = self.template.split('$');
        line.extend(parts.next().unwrap_or_default().bytes());
        for part in parts {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let (name, then) = part.split_at(end.unwrap_or(part.len()));
            self.write_field(name, sent, &mut line);
            line.extend(then.bytes());
        }
        line
    }

    fn write_field(&self, name: &str, sent: &Sent<'_>, line: &mut Vec<u8>) {
        let or_dash = |text: &[u8], line: &mut Vec<u8>| match text {
            b"" => line.push(b'-'),
            text => self.server.escape(text, line),
        };
        match name {
            "remote_addr" => line.extend(CLIENT.to_string().bytes()),
            "remote_port" => line.extend(b"4711"),
            "time_local" => line.extend(b"10/Oct/2023:11:06:56 +0200"),
            "time_iso8601" => line.extend(b"2023-10-10T09:06:56Z"),
            "status" => line.extend(STATUS.to_string().bytes()),
            "scheme" => line.extend(b"https"),
            "request_method" => line.extend(b"GET"),
            "request_time" => line.extend(b"0.003"),
            "request" => {
                line.extend(b"GET ");
                self.server.escape(sent.target, line);
                line.extend(b" HTTP/1.1");
            }
            "request_uri" => or_dash(sent.target, line),
            "host" | "http_host" => or_dash(sent.host, line),
            "http_user_agent" => or_dash(sent.agent, line),
            "forwarded" => or_dash(sent.forwarded, line),
            "http_referer" => or_dash(sent.referer, line),
            "raw" => Server::Envoy.escape(sent.user, line),
            "remote_user" if sent.user.is_empty() && self.server == Server::Apache => line.extend(b"\"\""),
            "remote_user" => or_dash(sent.user, line),
            "list" => {
                if !sent.forwarded.is_empty() {
                    self.server.escape(sent.forwarded, line);
                    line.extend(b", ");
                }
                line.extend(CLIENT.to_string().bytes());
            }
            name => panic!("${name} is not a field of this test"),
        }
    }
}
