//! A host whose proxy gets its certificates itself.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::SystemTime,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD};
use rcgen::KeyPair;
use secbeat_tests::lab::{client::Client, host::Host, nginx::Nginx};
use serde_json::Value;

/// A host with a server behind the proxy of its edge.
pub(super) struct Web {
    pub(super) host: Host,
    nginx: Nginx,
}

impl Web {
    pub(super) fn new() -> Self {
        let host = Host::new();
        let nginx = Nginx::start(&host.namespace, SocketAddr::from(([127, 0, 0, 1], 0)));
        Self { host, nginx }
    }

    /// Has the edge get certificates for `a.test` and `www.a.test`.
    pub(super) fn configure(&self, directory: &str, ca: &Path, acme: &str) {
        let proxy = format!(
            r#"
            upstream = "http://{}"
            [proxy.acme]
            domains = ["a.test", "www.a.test"]
            accept_terms = true
            directory = "{directory}"
            ca_file = "{}"
            {acme}
            [[proxy.listener]]
            address = "127.0.0.1:80"
            redirect_to_https = true
            [[proxy.listener]]
            address = "127.0.0.1:443"
            acme = true
            "#,
            self.nginx.address(),
            ca.display()
        );
        let config = self.host.edge_config();
        let config = config.replace("enforcement = \"both\"", "enforcement = \"l7\"");
        let before = "listen = \"127.0.0.1:8443\"\nupstream = \"http://127.0.0.1:8000\"\n";
        assert!(config.contains(before), "{config}");
        self.host.write("edge.toml", &config.replace(before, &proxy));
    }

    /// One name is enough.
    pub(super) fn want_one_name(&self) {
        let path = self.host.file("edge.toml");
        let config = fs::read_to_string(&path).unwrap();
        fs::write(&path, config.replace(", \"www.a.test\"", "")).unwrap();
    }

    pub(super) fn get(&self, url: &str) -> (u16, String) {
        let answer = Client::new(&self.host.namespace)
            .request("GET", url, &[], b"")
            .unwrap();
        (answer.status, String::from_utf8(answer.body).unwrap())
    }

    pub(super) fn metrics(&self) -> String {
        self.get("http://127.0.0.1:8080/metrics").1
    }

    /// What the edge's API says of the first certificate.
    pub(super) fn certificate(&self) -> Value {
        let (_, stats) = self.get("http://127.0.0.1:8080/api/v1/stats");
        let stats: Value = serde_json::from_str(&stats).unwrap();
        stats["proxy"]["certificates"][0].clone()
    }

    pub(super) fn check(&self) -> String {
        let output = self.host.edge(&["check"]);
        String::from_utf8(output.stdout).unwrap()
    }

    pub(super) fn status(&self) -> String {
        let output = self.host.edge(&["status"]);
        String::from_utf8(output.stdout).unwrap()
    }

    pub(super) fn folder(&self, directory: &str) -> PathBuf {
        self.host.file("state").join("acme").join(directory)
    }
}

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// Leaves an account at `directory`, the one with this URL, made some time ago.
pub(super) fn leave_account(web: &Web, folder: &str, directory: &str, url: &str) {
    let key = URL_SAFE_NO_PAD.encode(KeyPair::generate().unwrap().serialize_der());
    let account = serde_json::json!({
        "contact": [],
        "credentials": {
            "id": url,
            "key_pkcs8": key,
            "directory": directory,
        },
    });
    fs::create_dir_all(web.folder(folder)).unwrap();
    fs::write(web.folder(folder).join("account.json"), account.to_string()).unwrap();
}
