//! Just enough of HTTP/1.1 to read an answer: status, headers, and a body by length, in chunks or to the end.

use std::io::{self, BufRead, Read};

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// In the order sent.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The first header called `name`, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether the connection can carry another request.
    #[must_use]
    pub fn keeps_alive(&self) -> bool {
        let says_close = self
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        !says_close
            && (has_no_body(self.status) || self.header("content-length").is_some() || self.is_chunked())
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }
}

fn has_no_body(status: u16) -> bool {
    status < 200 || status == 204 || status == 304
}

/// Reads one answer.
///
/// # Errors
///
/// When the connection ends, fails or carries something else before the answer is complete.
pub fn read_response(from: &mut impl BufRead, method: &str) -> io::Result<Response> {
    let status_line = read_line(from)?;
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| nonsense(&status_line))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(from)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| nonsense(&line))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut response = Response {
        status,
        headers,
        body: Vec::new(),
    };
    if method != "HEAD" && !has_no_body(status) {
        response.body = read_body(from, &response)?;
    }
    Ok(response)
}

fn read_body(from: &mut impl BufRead, head: &Response) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if head.is_chunked() {
        loop {
            let line = read_line(from)?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16).map_err(|_| nonsense(&line))?;
            let start = body.len();
            body.resize(start + size, 0);
            from.read_exact(&mut body[start..])?;
            if size == 0 {
                while !read_line(from)?.is_empty() {}
                return Ok(body);
            }
            read_line(from)?;
        }
    }
    match head.header("content-length") {
        Some(length) => {
            body.resize(length.parse().map_err(|_| nonsense(length))?, 0);
            from.read_exact(&mut body)?;
        }
        None => {
            from.read_to_end(&mut body)?;
        }
    }
    Ok(body)
}

fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    from.take(64 * 1024).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    line.pop_if(|last| *last == b'\r');
    String::from_utf8(line).map_err(|error| nonsense(&error.to_string()))
}

fn nonsense(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP/1.1: {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_bodies_by_length_in_chunks_and_to_the_end() {
        let answers: [(&str, bool); 3] = [
            (
                "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhellorest",
                true,
            ),
            (
                "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=1\r\nllo\r\n0\r\n\r\nrest",
                true,
            ),
            ("HTTP/1.1 404 Not Found\r\n\r\nhello", false),
        ];
        for (bytes, keeps_alive) in answers {
            let response = read_response(&mut bytes.as_bytes(), "GET").unwrap();
            assert_eq!(
                (response.status, response.body.as_slice()),
                (404, &b"hello"[..]),
                "{bytes:?}"
            );
            assert_eq!(response.keeps_alive(), keeps_alive, "{bytes:?}");
        }
    }

    #[test]
    fn half_an_answer_is_an_error() {
        for bytes in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab",
            "nonsense\r\n\r\n",
        ] {
            assert!(read_response(&mut bytes.as_bytes(), "GET").is_err(), "{bytes:?}");
        }
    }
}
