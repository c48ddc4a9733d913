//! The examples of the REST API's reference, run as a reader would.

use std::{fs, time::Duration};

use secbeat_tests::{
    lab::{executable::TestProgram, local::socket, paths, wait::wait_until},
    rest::{OPERATIONS, SOCKET, Shown, shown},
};

use super::api::Lab;

const START: Duration = Duration::from_secs(20);
/// What curl prints behind a response.
const STATUS: &str = "\\n%{http_code}";

/// Those of a browser: they take its cookie, a token that the reader has, or the id of a session.
const OF_A_BROWSER: [&str; 3] = [
    "GET /api/v1/session",
    "POST /api/v1/session",
    "DELETE /api/v1/sessions/{id}",
];

/// The status, and all that curl printed.
fn run(lab: &Lab, example: &Shown) -> (u16, String) {
    let here = socket(&lab.host.namespace, "secbeat-orchestrator");
    let mut curl = lab.host.namespace.command(TestProgram::Curl);
    for argument in &example.arguments {
        match argument.as_str() {
            SOCKET => curl.arg(&here),
            argument => curl.arg(argument),
        };
    }
    let output = curl.args(["-w", STATUS]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let (_, status) = printed.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), printed)
}

#[test]
fn the_examples_of_the_rest_reference_answer_as_the_page_says() {
    let lab = Lab::start("[[feed]]\nname = \"drop\"\nfile = \"drop.txt\"\n");
    wait_until("the orchestrator has looked around", START, || {
        lab.order("GET", "/api/v1/overview", "").status == 200
            && lab.order("GET", "/readyz", "").status == 200
    });
    let page = fs::read_to_string(paths::workspace().join("docs").join(OPERATIONS)).unwrap();
    let examples = shown(&page);
    assert!(examples.len() > 35, "{}", examples.len());
    let (mut untrue, mut apart) = (Vec::new(), 0);
    for example in examples {
        if OF_A_BROWSER.contains(&&*example.operation) {
            apart += 1;
            continue;
        }
        let (status, printed) = run(&lab, &example);
        if status != example.status {
            untrue.push(format!("{}: {printed}", example.operation));
        }
    }
    assert_eq!(untrue, [""; 0]);
    assert_eq!(apart, OF_A_BROWSER.len());
}
