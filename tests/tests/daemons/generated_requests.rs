//! The orchestrator's API under requests that Schemathesis makes of its description: no request fails the server, and every answer is
//! as described.

use secbeat_tests::lab::{
    executable::{Executable as _, TestProgram},
    host::Host,
    paths,
};

use super::api::{Lab, token};

/// How long the requests may take, in seconds.
const PATIENCE: &str = "120";
/// Requests per operation that are made up, beside those for each corner of its description.
const EXAMPLES: &str = "10";
/// What is looked at. That a request which the description allows is refused is no failure: the description knows of no prefixes.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,ignored_auth";

#[test]
fn generated_requests_are_answered_as_the_document_says() {
    let host = Host::new();
    let (token, table) = token(&host, "fuzzer", "admin");
    let mut lab = Lab::start(&table);
    let library = paths::schemathesis();
    let program = library.join("bin/schemathesis");
    assert!(
        program.is_file(),
        "no {}: run `cargo xtask setup`",
        program.display()
    );
    let folder = tempfile::tempdir().unwrap();
    let mut command = lab.host.namespace.command(TestProgram::Timeout);
    command
        .arg(PATIENCE)
        .arg(TestProgram::Python.file())
        .arg(&program)
        .args(["run", "http://127.0.0.1:3030/api/v1/openapi.json"])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        // Answers that have no end, and those to wrong tokens, which wait.
        .args(["--exclude-path", "/api/v1/events"])
        .args(["--exclude-path", "/api/v1/stream"])
        .args(["--exclude-path", "/api/v1/session"])
        // Files of other types than the description knows.
        .args(["--exclude-path", "/api/v1/reports"])
        .args(["--exclude-path", "/api/v1/bans/export"])
        .args([
            "--checks",
            CHECKS,
            "--max-examples",
            EXAMPLES,
            "--phases",
            "examples,coverage,fuzzing",
        ])
        .args(["--seed", "1", "--generation-deterministic", "--no-color"])
        .env("PYTHONPATH", &library)
        // It leaves notes where it runs.
        .current_dir(folder.path());
    let output = command.output().unwrap();
    let (said, failed) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{}\n{said}\n{failed}", output.status);
    assert!(lab.orchestrator.is_running(), "the orchestrator has ended");
}
