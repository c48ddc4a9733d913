//! What servers take for the same name, each signature recognises: what is put behind a name, and the ways round to it.

use super::matcher;
use crate::Scratch;

/// Other paths under which a server finds what is under `path`, each with who does.
fn ways(path: &str) -> Vec<String> {
    // Windows drops these, programs that trim names do, and those in C see nothing behind a NUL.
    const BEHIND: [&str; 14] = [
        "%20",
        "%09",
        "%0a",
        "%0d%0a",
        ".",
        "..%20",
        "%2e",
        "%00",
        "%00.jpg",
        "%c0%80.png",
        "%3f",
        "%3f.html",
        "%23",
        "%20%2e%20",
    ];
    // Parameters of a segment, and slashes and dots of one.
    const PARAMETERS: [&str; 3] = [";", ";x=1", "%3bx"];
    let mut ways: Vec<_> = [&BEHIND[..], &PARAMETERS]
        .concat()
        .iter()
        .map(|behind| format!("{path}{behind}"))
        .collect();
    let is_script = [".php", ".phtml", ".cgi", ".asp", ".aspx", ".cfm", ".pl"]
        .iter()
        .any(|script| path.to_ascii_lowercase().ends_with(script));
    if is_script {
        ways.extend(["/", "/x", "/x.css", "/.", "//", "/x/y.js"].map(|info| format!("{path}{info}")));
    }
    if !path.ends_with('/') {
        ways.extend(["/", "/.", "//", "/./", "/x/..", "\\", "%2f"].map(|behind| format!("{path}{behind}")));
    }
    ways.extend(
        [
            "//",
            "/./",
            "/x/../",
            "/%2e/",
            "/;/",
            "/x;y/../",
            "\\",
            "/\\",
            "/%20/",
            "/.%20/../",
            "///",
            "/%2e%2e/",
        ]
        .map(|before| format!("{before}{}", &path[1..])),
    );
    for between in [
        "//", "/./", "/x/../", "%2f", "%5c", "\\", "/;x/", ";x/", "./", "%20/", "%252f",
    ] {
        ways.push(format!("/{}", path[1..].replace('/', between)));
    }
    ways.extend([
        format!("http://host{path}"),
        format!("https://u@host:8443{path}"),
        path.to_uppercase(),
    ]);
    ways
}

#[test]
fn what_names_a_file_is_found_on_each_way_to_it() {
    let matcher = matcher();
    let mut scratch = Scratch::new();
    let mut wrong = Vec::new();
    for (index, signature) in matcher.signatures().iter().enumerate() {
        for sample in &signature.must {
            let (path, query) = match sample.target.split_once('?') {
                Some((path, query)) => (path, format!("?{query}")),
                None => (sample.target.as_str(), String::new()),
            };
            // What looks for a spelling is found by no other.
            let is_spelling = ["%", "\\", ";", "..", "//", "/./"]
                .iter()
                .any(|part| path.contains(part));
            if is_spelling || !path.starts_with('/') {
                continue;
            }
            for way in ways(path) {
                let mut sample = sample.clone();
                sample.target = format!("{way}{query}");
                let hits = sample.with(|request| matcher.find(request, &mut scratch));
                if !hits.contains(&(index as u32)) && !hits.is_full() {
                    wrong.push(format!("{}: {}", signature.id, sample.target));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}
