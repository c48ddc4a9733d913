//! A host on which nothing runs yet, for commands and daemons that are refused.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use aya::programs::loaded_programs;
use tempfile::TempDir;

use crate::lab::{
    executable::{Executable, TestProgram},
    netns::{End, Namespace, link},
    paths,
    pin_folder::PinFolder,
    process::Daemon,
};

/// How long a daemon may take to refuse to run, in seconds.
const PATIENCE: &str = "20";

/// A namespace with the interfaces `eth-a` and `eth-b`, a folder for files and an edge's config.
#[derive(Debug)]
pub struct Host {
    pins: PinFolder,
    folder: TempDir,
    pub namespace: Namespace,
    has_tcx: bool,
}

impl Host {
    #[must_use]
    pub fn new() -> Self {
        let namespace = Namespace::new("host");
        for (interface, peer) in [("eth-a", "peer-a"), ("eth-b", "peer-b")] {
            link(
                End {
                    namespace: &namespace,
                    interface,
                    addresses: &[],
                },
                End {
                    namespace: &namespace,
                    interface: peer,
                    addresses: &[],
                },
            );
        }
        let folder = tempfile::Builder::new()
            .prefix("secbeat-host-")
            .tempdir()
            .expect("making a folder for files");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))
            .expect("opening a folder to everybody");
        let pins = PinFolder {
            path: Path::new("/sys/fs/bpf").join(namespace.name()),
            config: folder.path().join("edge.toml"),
        };
        let host = Self {
            pins,
            folder,
            namespace,
            has_tcx: true,
        };
        host.write("edge.toml", &host.edge_config());
        host
    }

    /// A host on which the edge believes the kernel to have no links in the stack's ingress hook.
    #[must_use]
    pub fn without_tcx() -> Self {
        Self {
            has_tcx: false,
            ..Self::new()
        }
    }

    /// A config that the edge takes; nobody listens on its NATS address.
    #[must_use]
    pub fn edge_config(&self) -> String {
        format!(
            r#"edge_id = "edge-1"
enforcement = "both"
state_dir = "{}"
[kernel]
interfaces = ["eth-a"]
attach = "xdp"
pin_dir = "{}"
ban_slots = 4096
[proxy]
listen = "127.0.0.1:8443"
upstream = "http://127.0.0.1:8000"
[nats]
url = "nats://127.0.0.1:4222"
"#,
            self.file("state").display(),
            self.pin_folder().display()
        )
    }

    /// Writes the edge's config anew, with `from` replaced by `to`.
    #[track_caller]
    pub fn reconfigure(&self, from: &str, to: &str) {
        let config = self.edge_config();
        assert!(config.contains(from), "no {from} in the config");
        self.write("edge.toml", &config.replace(from, to));
    }

    /// Writes a file that everybody may read.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, text).expect("writing a file");
        path
    }

    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the edge pins.
    #[must_use]
    pub fn pin_folder(&self) -> &Path {
        &self.pins.path
    }

    /// The names in the pin folder, sorted; empty if there is none.
    #[must_use]
    pub fn pinned(&self) -> Vec<String> {
        let entries = fs::read_dir(self.pin_folder()).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// Runs a command of a daemon to its end. Its standard error holds no logs.
    #[must_use]
    pub fn run(&self, daemon: &str, arguments: &[&str]) -> Output {
        self.run_through(None, &paths::daemon(daemon), arguments)
    }

    /// Runs `secbeat-edge` with the config to its end, with the XDP object where it takes one.
    #[must_use]
    pub fn edge(&self, arguments: &[&str]) -> Output {
        let (config, object) = (self.file("edge.toml"), paths::bpf_object());
        let mut all = arguments.to_vec();
        if arguments == ["run"] {
            all.extend(["--bpf-object", object.to_str().expect("a path in UTF-8")]);
        }
        all.extend(["--config", config.to_str().expect("a path in UTF-8")]);
        self.run("secbeat-edge", &all)
    }

    /// Runs `program` by way of `wrapper`, a program that runs another, with arguments of its own.
    #[must_use]
    pub fn run_through(
        &self,
        wrapper: Option<(TestProgram, &[&str])>,
        program: &Path,
        arguments: &[&str],
    ) -> Output {
        let mut command = self.command(TestProgram::Timeout);
        command.arg(PATIENCE);
        if let Some((wrapper, arguments)) = wrapper {
            command.arg(wrapper.file()).args(arguments);
        }
        command.arg(program).args(arguments);
        command
            .env("SECBEAT_LOG", "off")
            .output()
            .expect("running a command")
    }

    /// How an interface is protected, as `status` says.
    ///
    /// # Errors
    ///
    /// Why not, if it is not.
    ///
    /// # Panics
    ///
    /// When `status` says nothing.
    pub fn protection(&self, interface: &str) -> Result<String, String> {
        let output = self.edge(&["status", "-o", "json"]);
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a status");
        let attached = status["attached"].as_array().expect("the interfaces");
        let Some(of) = attached.iter().find(|of| of["interface"] == interface) else {
            return Err(format!("nothing of {interface} in {status}"));
        };
        let text = |key: &str| of[key].as_str().expect("a text").to_owned();
        match of["protected"].as_bool() {
            Some(true) => Ok(text("mode")),
            _ => Err(text("why")),
        }
    }

    /// The name of the XDP program on `interface`, if there is one.
    ///
    /// # Panics
    ///
    /// When the kernel does not tell.
    #[must_use]
    pub fn xdp_program_on(&self, interface: &str) -> Option<String> {
        let id = self.namespace.xdp_on(interface)?;
        loaded_programs()
            .flatten()
            .find(|program| program.id() == id)
            .and_then(|program| program.name_as_str().map(str::to_owned))
    }

    /// Starts the edge with the config.
    #[must_use]
    pub fn start_edge(&self) -> Daemon {
        self.start(self.command(paths::daemon("secbeat-edge")))
    }

    /// Starts the edge with the capabilities that its unit grants.
    #[must_use]
    pub fn start_edge_as_unit(&self) -> Daemon {
        const GRANTED: &str =
            "--bounding-set=-all,+bpf,+perfmon,+net_admin,+net_bind_service,+dac_read_search";
        let mut command = self.command(TestProgram::Setpriv);
        command.arg(GRANTED).arg(paths::daemon("secbeat-edge"));
        self.start(command)
    }

    fn start(&self, mut command: Command) -> Daemon {
        command.arg("run").arg("--bpf-object").arg(paths::bpf_object());
        command.arg("--config").arg(self.file("edge.toml"));
        command
            .env("SECBEAT_LOG", "info,async_nats=warn")
            .env("NO_COLOR", "1");
        Daemon::spawn("secbeat-edge", &mut command)
    }

    fn command(&self, program: impl Executable) -> Command {
        let mut command = self.namespace.command(program);
        if !self.has_tcx {
            command.env("SECBEAT_WITHOUT_TCX", "1");
        }
        command
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

/// Demands that a command was refused with `code` and one line on standard error that has all of `parts`.
///
/// # Panics
///
/// When it was not.
#[track_caller]
pub fn assert_refused(output: &Output, code: i32, parts: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert_eq!(error.lines().count(), 1, "not one line:\n{error}");
    for part in parts {
        assert!(error.contains(part), "no `{part}` in: {error}");
    }
    for (at, _) in error.match_indices("(os error") {
        assert!(!error[at + 1..].contains("(os error"), "says it twice: {error}");
    }
}
