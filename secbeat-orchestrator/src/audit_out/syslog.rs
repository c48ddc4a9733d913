//! A connection with a syslog server.

use std::{io, path::Path, time::Duration};

use anyhow::Context as _;
use futures::FutureExt as _;
use secbeat_daemon::tls::{ClientTls, Duplex};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket, UnixDatagram, lookup_host},
    time::timeout,
};

use super::{
    record::OutRecord,
    settings::{AuditSyslog, Format, SyslogServer},
};

/// How long connecting, and writing, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest datagram, in bytes: rsyslog and journald take as much.
const MAX_DATAGRAM: usize = 8192;

/// A connection.
pub(super) enum Connection {
    Stream(Box<dyn Duplex>),
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Connection {
    pub(super) async fn open(settings: &AuditSyslog) -> anyhow::Result<Self> {
        let connecting = timeout(PATIENCE, connect(settings)).await;
        let connected = connecting.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
        connected.with_context(|| format!("connecting to {}", settings.server))
    }

    /// Whether what it was sent is in the server's hands as long as it does not break: a datagram is gone at once.
    pub(super) const fn can_break(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Sends `records`, all or some of them if it fails.
    pub(super) async fn send(
        &mut self,
        records: &[OutRecord],
        format: Format,
        host: &str,
    ) -> anyhow::Result<()> {
        timeout(PATIENCE, self.send_all(records, format, host))
            .await
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
            .context("sending")
    }

    async fn send_all(&mut self, records: &[OutRecord], format: Format, host: &str) -> io::Result<()> {
        match self {
            Self::Stream(stream) => {
                let mut frames = String::new();
                for record in records {
                    let message = record.syslog(format, host);
                    // Octet counting: RFC 5425, section 4.3, and RFC 6587, section 3.4.1.
                    frames.push_str(&format!("{} {message}", message.len()));
                }
                stream.write_all(frames.as_bytes()).await?;
                stream.flush().await
            }
            Self::Udp(socket) => {
                for record in records {
                    socket.send(datagram(record, format, host).as_bytes()).await?;
                }
                Ok(())
            }
            Self::Unix(socket) => {
                for record in records {
                    socket.send(datagram(record, format, host).as_bytes()).await?;
                }
                Ok(())
            }
        }
    }

    /// Fails if the server has closed it.
    pub(super) fn look(&mut self) -> anyhow::Result<()> {
        let Self::Stream(stream) = self else {
            return Ok(());
        };
        let mut buffer = [0; 256];
        match stream.read(&mut buffer).now_or_never() {
            None | Some(Ok(1..)) => Ok(()),
            Some(Ok(0)) => Err(anyhow::anyhow!("the server closed the connection")),
            Some(Err(error)) => Err(error).context("the connection broke"),
        }
    }
}

fn datagram(record: &OutRecord, format: Format, host: &str) -> String {
    let message = record.syslog(format, host);
    match message.len() > MAX_DATAGRAM {
        true => record.clone().without_events().syslog(format, host),
        false => message,
    }
}

async fn connect(settings: &AuditSyslog) -> anyhow::Result<Connection> {
    Ok(match &settings.server {
        SyslogServer::Tcp { host, port } => {
            Connection::Stream(Box::new(TcpStream::connect((host.as_str(), *port)).await?))
        }
        SyslogServer::Tls { host, port } => {
            let tls = ClientTls::new(settings.ca_file.as_deref())?;
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            Connection::Stream(tls.connect(host, stream).await?)
        }
        SyslogServer::Udp { host, port } => {
            let mut addresses = lookup_host((host.as_str(), *port)).await?;
            let address = addresses.next().context("there is no host of that name")?;
            let own = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(own).await?;
            socket.connect(address).await?;
            Connection::Udp(socket)
        }
        SyslogServer::Unix(path) => Connection::Unix(unix(path)?),
    })
}

fn unix(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}
