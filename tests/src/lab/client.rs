//! An HTTP/1.1 client that lives in a namespace and may choose its source address.

use std::{
    io::{self, BufReader, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use socket2::Type;

pub use crate::lab::http::Response;
use crate::lab::{http::read_response, netns::Namespace};

/// Whether connections are reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connections {
    KeepAlive,
    OnePerRequest,
}

/// One HTTP client with at most one connection.
#[derive(Debug)]
pub struct Client {
    namespace: Namespace,
    source: Option<IpAddr>,
    connections: Connections,
    timeout: Duration,
    open: Option<(SocketAddr, BufReader<TcpStream>)>,
}

impl Client {
    /// A client with keep-alive and a timeout of 2 s for each step: connecting, writing, reading.
    #[must_use]
    pub fn new(namespace: &Namespace) -> Self {
        Self {
            namespace: namespace.clone(),
            source: None,
            connections: Connections::KeepAlive,
            timeout: Duration::from_secs(2),
            open: None,
        }
    }

    /// Connects from `source`, an address of its namespace.
    #[must_use]
    pub fn with_source(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Opens a new connection for every request.
    #[must_use]
    pub fn without_keep_alive(mut self) -> Self {
        self.connections = Connections::OnePerRequest;
        self
    }

    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// GETs `url` (`http://ADDRESS:PORT/PATH`) and returns the status.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn get(&mut self, url: &str) -> io::Result<u16> {
        self.request("GET", url, &[], b"").map(|response| response.status)
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// When connecting, writing or reading fails or times out. As browsers do, a request whose *reused* connection
    /// turns out to be closed, before a single byte of an answer, is sent once more on a new one.
    pub fn request(
        &mut self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let (address, path) = split(url)?;
        let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\n").into_bytes();
        for (name, value) in headers {
            write!(bytes, "{name}: {value}\r\n")?;
        }
        if !body.is_empty() {
            write!(bytes, "content-length: {}\r\n", body.len())?;
        }
        if self.connections == Connections::OnePerRequest {
            bytes.extend(b"connection: close\r\n");
        }
        bytes.extend(b"\r\n");
        bytes.extend(body);

        if let Some((_, mut reused)) = self.open.take_if(|(peer, _)| *peer == address) {
            match self.exchange(&mut reused, method, &bytes) {
                Ok(response) => return Ok(self.keep(address, reused, response)),
                Err(error) if is_stale(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let mut fresh = BufReader::new(self.connect(address)?);
        let response = self.exchange(&mut fresh, method, &bytes)?;
        Ok(self.keep(address, fresh, response))
    }

    /// Closes the open connection, if any.
    pub fn disconnect(&mut self) {
        self.open = None;
    }

    fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.namespace.socket(address.ip(), Type::STREAM);
        if let Some(source) = self.source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        socket.connect_timeout(&address.into(), self.timeout)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_read_timeout(Some(self.timeout))?;
        socket.set_write_timeout(Some(self.timeout))?;
        Ok(socket.into())
    }

    fn exchange(
        &self,
        stream: &mut BufReader<TcpStream>,
        method: &str,
        bytes: &[u8],
    ) -> io::Result<Response> {
        stream.get_mut().write_all(bytes)?;
        read_response(stream, method)
    }

    fn keep(&mut self, address: SocketAddr, stream: BufReader<TcpStream>, response: Response) -> Response {
        if self.connections == Connections::KeepAlive && response.keeps_alive() {
            self.open = Some((address, stream));
        }
        response
    }
}

fn is_stale(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// `http://ADDRESS:PORT/PATH` as its address and its path.
fn split(url: &str) -> io::Result<(SocketAddr, &str)> {
    let wrong = || {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("not http://ADDRESS:PORT/PATH: {url}"),
        )
    };
    let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
    let path = rest.find('/').unwrap_or(rest.len());
    let address = rest[..path].parse().map_err(|_| wrong())?;
    Ok((address, if path == rest.len() { "/" } else { &rest[path..] }))
}
