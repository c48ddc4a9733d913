use super::{NONE, violations};

/// What breaks a rule in a crate `one` with these files.
fn of_files(files: &[(&str, &str)]) -> Vec<String> {
    violations(&[("one", "", files)], &NONE)
}

#[test]
fn files_that_import_one_way_are_fine() {
    let files = [
        ("src/lib.rs", "mod ban; mod ledger; pub use ledger::Ledger;"),
        ("src/ban.rs", "pub struct Ban;"),
        (
            "src/ledger.rs",
            "use crate::ban::Ban; pub struct Ledger(Vec<Ban>);",
        ),
    ];
    assert_eq!(of_files(&files), [""; 0]);
}

#[test]
fn a_module_and_those_in_it_may_import_each_other() {
    let files = [
        ("src/lib.rs", "mod ledger;"),
        (
            "src/ledger/mod.rs",
            "mod query; mod strikes; pub struct Ledger(strikes::Strikes);",
        ),
        (
            "src/ledger/query.rs",
            "use super::strikes::Strikes; impl Strikes { fn all(&self) {} }",
        ),
        (
            "src/ledger/strikes.rs",
            "pub struct Strikes; impl super::Ledger { fn strike(&self) {} }",
        ),
    ];
    assert_eq!(of_files(&files), [""; 0]);
}

#[test]
fn a_circle_of_siblings_is_named_with_its_files_and_imports() {
    let files = [
        ("src/lib.rs", "mod ban;\nmod ledger;\nmod rule;"),
        ("src/ban.rs", "use crate::{rule::Rule};\npub struct Ban(Rule);"),
        ("src/ledger.rs", "\nuse crate::ban::Ban;\npub struct Ledger(Ban);"),
        (
            "src/rule.rs",
            "pub struct Rule;\nfn last(ledger: &super::ledger::Ledger) {}",
        ),
    ];
    assert_eq!(
        of_files(&files),
        ["one: 3 files import each other in circles: one/src/ban.rs, one/src/ledger.rs, one/src/rule.rs. The shortest circle:
    one/src/ban.rs:1 imports crate::rule::Rule of one/src/rule.rs
    one/src/rule.rs:2 imports super::ledger::Ledger of one/src/ledger.rs
    one/src/ledger.rs:2 imports crate::ban::Ban of one/src/ban.rs"]
    );
}

#[test]
fn a_circle_through_a_module_and_one_in_it_is_named() {
    let files = [
        ("src/lib.rs", "mod config; mod ledger;"),
        ("src/config.rs", "pub struct Config(crate::ledger::Ledger);"),
        ("src/ledger.rs", "mod limits;\npub struct Ledger(limits::Limits);"),
        (
            "src/ledger/limits.rs",
            "pub struct Limits; impl Limits { fn new(config: &crate::config::Config) {} }",
        ),
    ];
    assert_eq!(
        of_files(&files),
        ["one: 3 files import each other in circles: one/src/config.rs, one/src/ledger.rs, one/src/ledger/limits.rs. The shortest circle:
    one/src/config.rs:1 imports crate::ledger::Ledger of one/src/ledger.rs
    one/src/ledger.rs:2 imports limits::Limits of one/src/ledger/limits.rs
    one/src/ledger/limits.rs:1 imports crate::config::Config of one/src/config.rs"]
    );
}

#[test]
fn an_import_leads_to_the_file_that_defines_it() {
    // `ban` imports through `ledger`, which uses `ban`, but needs `amount` only.
    let files = [
        ("src/lib.rs", "mod amount; mod ban; mod ledger;"),
        ("src/amount.rs", "pub struct Amount;"),
        (
            "src/ban.rs",
            "use crate::ledger::{self, Amount as Number}; pub struct Ban(Number, ledger::Amount);",
        ),
        (
            "src/ledger.rs",
            "pub use crate::amount::*; pub struct Ledger(crate::ban::Ban);",
        ),
    ];
    assert_eq!(of_files(&files), [""; 0]);
}

#[test]
fn imports_in_functions_macros_and_attributes_count() {
    for import in [
        "fn make() { use crate::a::A; }",
        "fn make() { println!(\"{:?}\", crate::a::A); }",
        "fn make() -> Option<crate::a::A> { None }",
        "#[serde(with = \"crate::a::A\")] struct B;",
        "use crate::a as x; fn make() { x::A; }",
    ] {
        let files = [
            ("src/lib.rs", "mod a; mod b;"),
            ("src/a.rs", "pub struct A; fn b() { crate::b::b() }"),
            ("src/b.rs", &format!("pub fn b() {{}} {import}")),
        ];
        let found = of_files(&files);
        assert!(
            matches!(&found[..], [circle] if circle.starts_with("one: 2 files import each other")),
            "{import}: {found:?}"
        );
    }
}

#[test]
fn imports_of_tests_do_not_count() {
    for import in [
        "#[cfg(test)] mod tests { use crate::a::A; }",
        "#[cfg(all(test, unix))] use crate::a::A;",
        "impl B { #[cfg(test)] fn a() -> crate::a::A {} }",
        "#[cfg(test)] mod tests;",
    ] {
        let files = [
            ("src/lib.rs", "mod a; mod b;"),
            ("src/a.rs", "pub struct A(crate::b::B);"),
            ("src/b.rs", &format!("pub struct B; {import}")),
            ("src/b/tests.rs", "use crate::a::A;"),
        ];
        assert_eq!(of_files(&files), [""; 0], "{import}");
    }
}
