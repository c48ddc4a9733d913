//! The layouts that have names.

use std::sync::{Arc, LazyLock};

use super::{Layout, Quotes, compile, nginx};

/// A text format with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Row {
    NginxProxyManager,
    Apisix,
    Lighttpd,
    /// The default text of both.
    Envoy,
    Istio,
    AwsAlb,
    /// Amazon CloudFront's standard log, unless a header names other fields.
    Cloudfront,
    /// The default fields of IIS, unless a header names others.
    Iis,
    /// Squid's own log, in which a time is padded to six places.
    Squid,
    /// Amazon S3's server access log.
    AwsS3,
}

const ROWS: [Row; 10] = [
    Row::NginxProxyManager,
    Row::Apisix,
    Row::Lighttpd,
    Row::Envoy,
    Row::Istio,
    Row::AwsAlb,
    Row::Cloudfront,
    Row::Iis,
    Row::Squid,
    Row::AwsS3,
];

static COMPILED: LazyLock<[Arc<[Layout]>; ROWS.len()]> = LazyLock::new(|| ROWS.map(compile_row));

/// Of a line that several layouts of a row understand, the first counts.
pub(in super::super) fn rows(row: Row) -> Arc<[Layout]> {
    Arc::clone(&COMPILED[row as usize])
}

fn compile_row(row: Row) -> Arc<[Layout]> {
    const ENVOY: &str = r#"[$time_iso8601] "$request" $status $flags "$http_x_forwarded_for" "$http_user_agent" "$id" "$http_host" "$upstream""#;
    // The address of the connection, or what a trusted proxy forwarded.
    const ISTIO: &str = r#"[$time_iso8601] "$request" $status $flags "$failure" $token $token $token $token "$forwarded" "$http_user_agent" "$id" "$http_host" "$upstream" $token $token $token $remote_addr $sni"#;
    let (quotes, texts): (Quotes, &[&str]) = match row {
        Row::NginxProxyManager => (
            Quotes::Escaped,
            &[
                r#"[$time_local] $upstream_cache_status $upstream_status $status - $request_method $scheme $host "$request_uri" [Client $remote_addr] [Length $body_bytes_sent] [Gzip $gzip_ratio] [Sent-to $server] "$http_user_agent" "$http_referer""#,
                r#"[$time_local] $status - $request_method $scheme $host "$request_uri" [Client $remote_addr] [Length $body_bytes_sent] [Gzip $gzip_ratio] "$http_user_agent" "$http_referer""#,
            ],
        ),
        Row::Apisix => (
            Quotes::Escaped,
            &[
                r#"$remote_addr - $remote_user [$time_local] $http_host "$request" $status $body_bytes_sent $request_time "$http_referer" "$http_user_agent" $rest"#,
            ],
        ),
        Row::Lighttpd => (
            Quotes::Escaped,
            &[
                r#"$remote_ip $host $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#,
            ],
        ),
        Row::Envoy => (Quotes::Bare, &[ENVOY, ISTIO]),
        Row::Istio => (Quotes::Bare, &[ISTIO, ENVOY]),
        Row::AwsAlb => (
            Quotes::Escaped,
            &[
                r#"$token $time_iso8601 $token $remote_addr $token $token $token $token $status $token $token $token "$request_url" "$http_user_agent" $rest"#,
                r#"$time_iso8601 $token $remote_addr $token $token $token $token $status $token $token $token "$request_url" "$http_user_agent" $rest"#,
            ],
        ),
        Row::Squid => (
            Quotes::Encoded,
            &[
                "$msec      $token $remote_addr $token/$status $token $request_method $url $rest",
                "$msec     $token $remote_addr $token/$status $token $request_method $url $rest",
                "$msec    $token $remote_addr $token/$status $token $request_method $url $rest",
                "$msec   $token $remote_addr $token/$status $token $request_method $url $rest",
                "$msec  $token $remote_addr $token/$status $token $request_method $url $rest",
                "$msec $token $remote_addr $token/$status $token $request_method $url $rest",
            ],
        ),
        // It does not say how it writes a quote of a client.
        Row::AwsS3 => (
            Quotes::Bare,
            &[
                r#"$token $token [$time_local] $remote_addr $token $token $token $key "$request" $status $token $token $token $token $token "$http_referer" "$http_user_agent" $rest"#,
            ],
        ),
        Row::Cloudfront => return header(CLOUDFRONT),
        Row::Iis => return header(IIS),
    };
    let layouts = texts.iter().filter_map(|text| {
        let parts = nginx::parse(text).ok()?;
        let layout = compile::compile(text, parts, quotes).ok()?;
        Some(Layout {
            // A number is that of another program, which has other fields.
            needs_date: row == Row::AwsAlb,
            ..layout
        })
    });
    layouts.collect()
}

const CLOUDFRONT: &str = "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie)";
const IIS: &str = "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken";

fn header(fields: &str) -> Arc<[Layout]> {
    let tabs = if fields == CLOUDFRONT { '\t' } else { ' ' };
    super::w3c::layout_without_header(fields, tabs)
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_compiles() {
        let layouts = ROWS.map(|row| (rows(row), compile_row(row)));
        assert!(layouts.iter().all(|(rows, compiled)| rows == compiled));
        assert_eq!(
            layouts.map(|(rows, _)| rows.len()),
            [2, 1, 1, 2, 2, 2, 1, 1, 6, 1]
        );
    }
}
