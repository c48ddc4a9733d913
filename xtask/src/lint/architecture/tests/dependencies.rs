use super::{Fixture, NONE, violations};
use crate::lint::floors::{Exception, Table};

const FLOORS: Table = Table {
    floors: &[&["edge", "orchestrator"], &["core"], &["common"]],
    ..NONE
};
const EMPTY: &[(&str, &str)] = &[("src/lib.rs", "")];
const COMMON: Fixture<'static> = ("common", "", EMPTY);

#[test]
fn dependencies_may_point_down() {
    let edge = (
        "edge",
        "[dependencies]\ncore = { path = \"../core\" }\ncommon = { path = \"../common\" }",
        EMPTY,
    );
    let core = ("core", "[dependencies]\ncommon = { path = \"../common\" }", EMPTY);
    assert_eq!(violations(&[edge, core, COMMON], &FLOORS), [""; 0]);
}

#[test]
fn dependencies_may_not_point_up_or_to_the_side() {
    let edge = (
        "edge",
        "[dependencies]\norchestrator = { path = \"../orchestrator\" }",
        EMPTY,
    );
    let orchestrator = ("orchestrator", "", EMPTY);
    let common = (
        "common",
        "[dev-dependencies]\nedge = { path = \"../edge\" }",
        EMPTY,
    );
    assert_eq!(
        violations(&[edge, orchestrator, common], &FLOORS),
        [
            "crate `edge` depends on `orchestrator`, which is beside it in xtask/src/lint/floors.rs",
            "crate `common` depends in tests on `edge`, which is above it in xtask/src/lint/floors.rs",
        ]
    );
}

#[test]
fn an_exception_may_be_for_tests_alone() {
    let table = Table {
        exceptions: &[Exception {
            from: "edge",
            to: "orchestrator",
            only_tests: true,
        }],
        ..FLOORS
    };
    let orchestrator = ("orchestrator", "", EMPTY);
    let with = |kind: &str| format!("[{kind}]\norchestrator = {{ path = \"../orchestrator\" }}");
    let (tests, normal) = (with("dev-dependencies"), with("dependencies"));
    assert_eq!(
        violations(&[("edge", &tests, EMPTY), orchestrator], &table),
        [""; 0]
    );
    assert_eq!(
        violations(&[("edge", &normal, EMPTY), orchestrator], &table),
        ["crate `edge` depends on `orchestrator`, which is beside it in xtask/src/lint/floors.rs"]
    );
}

#[test]
fn a_crate_needs_a_floor() {
    assert_eq!(
        violations(&[COMMON, ("extra", "", EMPTY)], &FLOORS),
        ["crate `extra` has no floor: add it to xtask/src/lint/floors.rs"]
    );
}

/// A workspace's own `tokio` stands for the real one, so that nothing is fetched.
const PURE: Table = Table {
    floors: &[&["core"], &["helper"], &["common"], &["tokio"]],
    pure: &["core"],
    impure: &["tokio"],
    ..NONE
};

#[test]
fn a_pure_crate_has_no_io_below_it() {
    let core = (
        "core",
        "[dependencies]\nhelper = { path = \"../helper\" }",
        &[("src/lib.rs", ""), ("clippy.toml", "")][..],
    );
    let tokio = ("tokio", "", EMPTY);
    let with = |kind: &str| format!("[{kind}]\ntokio = {{ path = \"../tokio\" }}");
    let (tests, normal) = (with("dev-dependencies"), with("dependencies"));
    assert_eq!(
        violations(&[core, ("helper", &tests, EMPTY), tokio], &PURE),
        [""; 0]
    );
    assert_eq!(
        violations(&[core, ("helper", &normal, EMPTY), tokio], &PURE),
        ["crate `core` is pure, but depends on I/O: core → helper → tokio"]
    );
}

/// Another crate may switch on what a pure one leaves off.
#[test]
fn features_that_others_switch_on_do_not_make_a_crate_impure() {
    let table = Table {
        floors: &[&["edge"], &["core"], &["common"], &["tokio"]],
        ..PURE
    };
    let edge = (
        "edge",
        "[dependencies]\ncommon = { path = \"../common\", features = [\"tokio\"] }",
        EMPTY,
    );
    let core = (
        "core",
        "[dependencies]\ncommon = { path = \"../common\" }",
        &[("src/lib.rs", ""), ("clippy.toml", "")][..],
    );
    let common = (
        "common",
        "[dependencies]\ntokio = { path = \"../tokio\", optional = true }",
        EMPTY,
    );
    assert_eq!(
        violations(&[edge, core, common, ("tokio", "", EMPTY)], &table),
        [""; 0]
    );
}

#[test]
fn a_pure_crate_disallows_clocks() {
    let table = Table {
        clocks: &["std::time::Instant::now", "std::time::SystemTime::now"],
        ..PURE
    };
    let without = ("core", "", EMPTY);
    assert_eq!(
        violations(&[without], &table),
        ["crate `core` is pure, but has no clippy.toml that disallows clocks"]
    );
    let with_one = (
        "core",
        "",
        &[
            ("src/lib.rs", ""),
            (
                "clippy.toml",
                "disallowed-methods = [\"std::time::Instant::now\"]",
            ),
        ][..],
    );
    assert_eq!(
        violations(&[with_one], &table),
        ["crate `core` is pure, but its clippy.toml does not disallow `std::time::SystemTime::now`"]
    );
}
