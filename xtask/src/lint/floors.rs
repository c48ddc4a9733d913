//! The table of "may import": which crate may depend on which, and which module may import from which.
//!
//! `cargo xtask lint` compares the manifests and the sources with it. A new crate needs a row here.

/// The rows for SecBeat.
pub(super) const TABLE: Table = Table {
    floors: &[
        &["xtask", "secbeat-tests"],
        &["secbeat"],
        &["secbeat-edge", "secbeat-orchestrator", "secbeat-ebpf"],
        &["secbeat-lists"],
        &[
            "secbeat-edge-core",
            "secbeat-orchestrator-core",
            "secbeat-daemon",
            "secbeat-bus",
        ],
        &["secbeat-logs", "secbeat-signatures"],
        &["secbeat-common", "secbeat-programs"],
    ],
    exceptions: &[],
    pure: &["secbeat-edge-core", "secbeat-orchestrator-core"],
    impure: &["async-nats", "axum", "aya", "hyper", "tokio"],
    clocks: &[
        "std::time::Instant::now",
        "std::time::SystemTime::now",
        "jiff::Timestamp::now",
        "jiff::Zoned::now",
        "uuid::Uuid::new_v4",
        "uuid::Uuid::now_v7",
    ],
    presentation: &[
        ("secbeat-edge", &["app", "cli", "api", "view"]),
        (
            "secbeat-orchestrator",
            &["app", "cli", "api", "overview", "exchange", "view"],
        ),
    ],
};

/// The table's rows. Tests have tables of their own.
pub(super) struct Table {
    /// Crates by floor, from the top down. A crate may depend on crates of lower floors only, not on those above or beside it.
    /// Dependencies of tests and of build scripts count too.
    pub(super) floors: &'static [&'static [&'static str]],
    /// Dependencies that the floors forbid and that are allowed all the same.
    pub(super) exceptions: &'static [Exception],
    /// Crates without I/O and without a clock: the cores.
    pub(super) pure: &'static [&'static str],
    /// Crates that a pure crate depends on neither directly nor through others.
    pub(super) impure: &'static [&'static str],
    /// Functions that the `clippy.toml` of a pure crate has to disallow.
    pub(super) clocks: &'static [&'static str],
    /// Top-level modules of a crate that are its presentation layer, from the top down. Each may import from those after it; the
    /// other modules import from none of them.
    pub(super) presentation: &'static [(&'static str, &'static [&'static str])],
}

/// A dependency that is allowed although the floors forbid it.
pub(super) struct Exception {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    /// Whether only the tests of `from` may depend on `to`.
    pub(super) only_tests: bool,
}
