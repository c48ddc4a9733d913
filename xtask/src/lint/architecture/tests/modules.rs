use super::{NONE, violations};
use crate::lint::floors::Table;

#[test]
fn lower_modules_do_not_import_the_presentation_layer() {
    let table = Table {
        presentation: &[("one", &["cli", "api", "view"])],
        ..NONE
    };
    let files = [
        ("src/lib.rs", "mod api; mod cli; mod engine; mod view;"),
        (
            "src/cli.rs",
            "fn show(view: crate::view::View, api: crate::api::Api) {}",
        ),
        ("src/api.rs", "pub struct Api(crate::engine::Engine);"),
        (
            "src/view.rs",
            "pub struct View;\nimpl View { fn api(&self) -> crate::api::Status {} }",
        ),
        ("src/engine.rs", "mod query; pub struct Engine;"),
        ("src/engine/query.rs", "use crate::view::View;"),
    ];
    assert_eq!(
        violations(&[("one", "", &files)], &table),
        [
            "one/src/engine/query.rs:1 imports crate::view::View of one/src/view.rs: above this module in xtask/src/lint/floors.rs",
            "one/src/view.rs:2 imports crate::api::Status of one/src/api.rs: above this module in xtask/src/lint/floors.rs",
        ]
    );
}

const TWO: Table = Table {
    floors: &[&["user"], &["one"]],
    ..NONE
};
const ONE: &[(&str, &str)] = &[
    (
        "src/lib.rs",
        "pub mod a;\npub mod b { pub mod c { pub struct C; } }\nmod private; pub use private::P;",
    ),
    ("src/a.rs", "pub struct A(crate::b::c::C);"),
    ("src/private.rs", "pub struct P; pub mod inner {}"),
];

#[test]
fn a_public_module_that_no_other_crate_names_is_reported() {
    assert_eq!(
        violations(&[("one", "", ONE)], &TWO),
        [
            "one/src/lib.rs:1: no other crate names the public module `a`: make it private",
            "one/src/lib.rs:2: no other crate names the public module `b`: make it private",
            "one/src/lib.rs:2: no other crate names the public module `b::c`: make it private",
        ]
    );
}

#[test]
fn programs_and_tests_and_other_crates_are_users() {
    let program = ("src/main.rs", "use one::a::A; use one::b; fn main() { b::c::C; }");
    let of_package: Vec<_> = ONE.iter().copied().chain([program]).collect();
    assert_eq!(violations(&[("one", "", &of_package)], &TWO), [""; 0]);

    let user = (
        "user",
        "[dependencies]\none = { path = \"../one\" }",
        &[
            ("src/lib.rs", "#[cfg(test)] mod tests { use one::{P, a::A}; }"),
            ("tests/all.rs", "fn all() { one::b::c::C; }"),
        ][..],
    );
    assert_eq!(violations(&[("one", "", ONE), user], &TWO), [""; 0]);
}

#[test]
fn a_path_through_a_curated_list_names_no_module() {
    let user = (
        "user",
        "[dependencies]\none = { path = \"../one\" }",
        &[("src/lib.rs", "use one::C;")][..],
    );
    let one = [("src/lib.rs", "pub mod b { pub struct C; }\npub use b::C;")];
    assert_eq!(
        violations(&[("one", "", &one), user], &TWO),
        ["one/src/lib.rs:1: no other crate names the public module `b`: make it private"]
    );
}
