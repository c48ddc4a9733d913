//! Hosts as network namespaces, joined by veth pairs with no route out.

use std::{
    fs::{File, Permissions},
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    os::{
        fd::AsRawFd,
        unix::{fs::PermissionsExt as _, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::lab::{
    executable::{Executable, Program},
    wait::wait_until,
};

/// How long the kernel may take to give a network card back.
const CARD_RETURNS: Duration = Duration::from_secs(20);

/// A named network namespace. Clones share it; the last one dropped deletes it.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<Named>);

#[derive(Debug)]
struct Named {
    name: String,
    /// What is `/run` for the daemons' sockets.
    runtime: TempDir,
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "delete", &self.name]) {
            eprintln!("namespace {} stays behind: {error}", self.name);
        }
    }
}

/// One end of a link: an interface of a namespace and its addresses with prefix length.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    pub namespace: &'a Namespace,
    pub interface: &'a str,
    pub addresses: &'a [&'a str],
}

/// Joins two namespaces by a veth pair, gives both ends their addresses and waits for nothing: IPv6 duplicate address
/// detection is skipped, so that addresses work at once.
pub fn link(a: End<'_>, b: End<'_>) {
    let (a_name, b_name) = (a.namespace.name(), b.namespace.name());
    let add = ["link", "add", a.interface, "netns", a_name, "type", "veth"];
    let peer = ["peer", "name", b.interface, "netns", b_name];
    ip(&[&add[..], &peer[..]].concat()).expect("adding a veth pair");
    a.configure();
    b.configure();
}

impl End<'_> {
    /// Gives the interface its addresses and sets it up.
    pub fn configure(self) {
        for address in self.addresses {
            self.namespace.add_address(self.interface, address);
        }
        self.namespace.ip(&["link", "set", self.interface, "up"]);
    }
}

impl Namespace {
    /// Creates `secbeat-ROLE-RANDOM` with its loopback interface up.
    #[must_use]
    pub fn new(role: &str) -> Self {
        let name = format!("secbeat-{role}-{}", random_suffix());
        ip(&["netns", "add", &name]).expect("creating a network namespace (this needs root)");
        let runtime = tempfile::Builder::new()
            .prefix("secbeat-run-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir()
            .expect("making a folder for sockets");
        let namespace = Self(Arc::new(Named { name, runtime }));
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// Its name for `ip netns`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The folder in which daemons make the folders of their sockets.
    #[must_use]
    pub fn runtime_dir(&self) -> &Path {
        self.0.runtime.path()
    }

    /// The file that stands for it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(self.name())
    }

    /// Runs `work` inside, on a thread of its own, and returns its result.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.move_this_thread();
                work()
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Starts `work` inside, on a thread of its own.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let namespace = self.clone();
        thread::spawn(move || {
            namespace.move_this_thread();
            work()
        })
    }

    fn move_this_thread(&self) {
        let file = File::open(self.path()).expect("opening a network namespace");
        // SAFETY: a live descriptor; the call changes nothing but this thread's network namespace.
        let answer = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
        assert_eq!(
            answer,
            0,
            "entering {}: {}",
            self.name(),
            io::Error::last_os_error()
        );
    }

    /// A command that will run inside. `nsenter` and not `ip netns exec`, which would hide the BPF file system.
    #[must_use]
    pub fn command(&self, program: impl Executable) -> Command {
        let mut command = Program::Nsenter.command();
        command
            .arg(format!("--net={}", self.path().display()))
            .arg("--")
            .arg(program.file())
            .env("SECBEAT_RUNTIME_DIR", self.runtime_dir());
        command
    }

    /// Runs `ip ARGUMENTS` on this namespace.
    pub fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", self.name()], arguments].concat()).expect("configuring a namespace");
    }

    /// Gives `interface` one more address, as `198.51.100.7/24`.
    pub fn add_address(&self, interface: &str, address: &str) {
        let nodad: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
        self.ip(&[&["address", "add", address, "dev", interface], nodad].concat());
    }

    /// Moves a network card here from the initial namespace. The kernel moves it back a moment after this namespace is gone,
    /// so one that an earlier test had may still be on its way.
    pub fn take_card(&self, card: &str) {
        let sysfs = Path::new("/sys/class/net").join(card);
        wait_until(
            &format!("{card} is in the initial namespace"),
            CARD_RETURNS,
            || sysfs.exists(),
        );
        ip(&["link", "set", card, "netns", self.name()]).expect("moving a network card");
    }

    /// The kernel's number of the XDP program on `interface`, in whatever mode, as `ip` shows it.
    #[must_use]
    pub fn xdp_on(&self, interface: &str) -> Option<u32> {
        let shown = self
            .command(Program::Ip)
            .args(["-details", "link", "show", interface])
            .output()
            .expect("asking for an interface");
        let shown = String::from_utf8_lossy(&shown.stdout);
        let id = shown.split("prog/xdp id ").nth(1)?.split_whitespace().next()?;
        id.parse().ok()
    }

    /// The kernel's number of `interface`.
    #[must_use]
    pub fn ifindex(&self, interface: &str) -> u32 {
        let name = std::ffi::CString::new(interface).expect("an interface name");
        // SAFETY: a string that lives through the call.
        let index = self.enter(|| unsafe { libc::if_nametoindex(name.as_ptr()) });
        assert_ne!(index, 0, "no interface {interface} in {}", self.name());
        index
    }

    /// A socket of this namespace. It stays one whatever thread uses it.
    #[must_use]
    pub fn socket(&self, family_of: IpAddr, kind: Type) -> Socket {
        let domain = if family_of.is_ipv4() {
            Domain::IPV4
        } else {
            Domain::IPV6
        };
        self.enter(|| Socket::new(domain, kind, None))
            .expect("creating a socket")
    }

    /// A TCP port of `address` that nobody listens on at the moment.
    #[must_use]
    pub fn free_port(&self, address: IpAddr) -> u16 {
        self.enter(|| {
            TcpListener::bind(SocketAddr::new(address, 0)).and_then(|listener| listener.local_addr())
        })
        .expect("looking for a free port")
        .port()
    }
}

/// Eight hexadecimal digits that differ from call to call and from process to process.
fn random_suffix() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:08x}", RandomState::new().hash_one(std::process::id()) as u32)
}

/// Runs `ip` to its end, which a Ctrl-C at the terminal does not hasten.
fn ip(arguments: &[&str]) -> io::Result<()> {
    let output = Program::Ip.command().args(arguments).process_group(0).output()?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "ip {}: {}",
        arguments.join(" "),
        complaint.trim()
    )))
}
