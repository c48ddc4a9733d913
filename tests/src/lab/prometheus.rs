//! A real Prometheus with SecBeat's own rules, and promtool.

use std::{fs, net::IpAddr, path::PathBuf, time::Duration};

use serde_json::Value;
use tempfile::TempDir;

use crate::lab::{
    client::Client,
    executable::{Executable as _, TestProgram},
    netns::Namespace,
    process::Daemon,
};

const START: Duration = Duration::from_secs(20);

/// One that scrapes both daemons' APIs twice a second.
#[derive(Debug)]
pub struct Prometheus {
    _daemon: Daemon,
    namespace: Namespace,
    port: u16,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one in `namespace` with the config and the rules that SecBeat ships, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn start(namespace: &Namespace) -> Self {
        let folder = tempfile::tempdir().expect("making a folder");
        let config = fs::read_to_string(shipped("prometheus.yml")).expect("the shipped config");
        let config = config.replace(
            "scrape_interval: 15s",
            "scrape_interval: 500ms\n  evaluation_interval: 500ms",
        );
        fs::write(folder.path().join("prometheus.yml"), config).expect("writing a config");
        fs::copy(shipped("alerts.yml"), folder.path().join("alerts.yml")).expect("copying the rules");
        let port = namespace.free_port(IpAddr::from([127, 0, 0, 1]));
        let mut command = namespace.command(TestProgram::Prometheus);
        command
            .arg(format!(
                "--config.file={}",
                folder.path().join("prometheus.yml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let mut daemon = Daemon::spawn("prometheus", &mut command);
        daemon.wait_for_log("Server is ready to receive web requests", START);
        Self {
            _daemon: daemon,
            namespace: namespace.clone(),
            port,
            _folder: folder,
        }
    }

    /// The series that `expression` gives right now, each with its labels and its value.
    ///
    /// # Panics
    ///
    /// When Prometheus does not take the expression.
    #[must_use]
    pub fn query(&self, expression: &str) -> Vec<(Value, f64)> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let url = format!("http://127.0.0.1:{}/api/v1/query?query={encoded}", self.port);
        let answer = Client::new(&self.namespace)
            .request("GET", &url, &[], b"")
            .expect("an answer");
        let answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(answer["status"], "success", "{answer}");
        let series = answer["data"]["result"].as_array().expect("series");
        let value = |series: &Value| series["value"][1].as_str().and_then(|value| value.parse().ok());
        series
            .iter()
            .map(|series| (series["metric"].clone(), value(series).expect("a value")))
            .collect()
    }
}

/// Runs promtool with what SecBeat ships for it, and `input`.
///
/// # Panics
///
/// When it finds something wrong.
pub fn promtool(arguments: &[&str], input: &str) {
    let mut command = TestProgram::Promtool.command();
    command
        .args(arguments)
        .current_dir(shipped("."))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().expect("running promtool");
    let mut stdin = child.stdin.take().expect("its input");
    std::io::Write::write_all(&mut stdin, input.as_bytes()).expect("writing to promtool");
    drop(stdin);
    let output = child.wait_with_output().expect("waiting for promtool");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

fn shipped(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging/prometheus")
        .join(name)
}
