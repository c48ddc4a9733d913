//! Pages that say how to do something: their commands, one after the other, on a host that a namespace plays.

use std::{env, fmt::Write as _, fs, net::IpAddr, os::unix::fs::symlink, path::PathBuf, time::Duration};

use secbeat_tests::lab::{executable::TestProgram, one_host::OneHost, paths, wait::wait_until};
use tempfile::TempDir;

use super::readme::{LEFT_OUT, shape};

const SOON: Duration = Duration::from_secs(10);
/// `SIGHUP` of `signal.h`.
const SIGHUP: i32 = 1;
/// Errors that lead to a ban.
const ERRORS: u32 = 50;
/// Before a command, of which the page shows what it prints.
const PROMPT: &str = "$ ";
/// Before commands, in this order.
const RUNNERS: [&str; 3] = [PROMPT, "sudo ", "docker exec secbeat "];
/// Commands of a fleet, and what they are on one host.
const ON_ONE_HOST: [(&str, &str); 2] = [
    ("secbeat-orchestrator ", "secbeat "),
    ("secbeat-edge ", "secbeat "),
];
/// The client of the pages.
const CLIENT: &str = "198.51.100.7";

/// A reader, and the host on which the reader does what pages say.
struct Reader {
    host: OneHost,
    /// Log that stands for the log of the pages.
    log: PathBuf,
    folder: TempDir,
}

/// A command of a page, and what it printed.
struct Typed {
    command: String,
    printed: String,
}

impl Reader {
    /// Starts a host on which one client is banned.
    fn new() -> Self {
        let host = OneHost::start("");
        host.fail(OneHost::ATTACKER, ERRORS);
        wait_until("the kernel has the ban", SOON, || host.ban_of(OneHost::ATTACKER));
        let folder = tempfile::tempdir().unwrap();
        symlink(paths::daemon("secbeat"), folder.path().join("secbeat")).unwrap();
        let log = host.site_folder.access_log();
        Self { host, log, folder }
    }

    /// Types all commands of a page that are about this host, with some of its words replaced. Each has to succeed.
    fn follow(&mut self, page: &str, replaced: &[(&str, &str)]) -> Vec<Typed> {
        let text = fs::read_to_string(paths::workspace().join("docs").join(page)).unwrap();
        let text = replaced
            .iter()
            .fold(text, |text, (word, other)| text.replace(word, other));
        blocks(&text)
            .iter()
            .flat_map(|block| self.follow_block(block))
            .collect()
    }

    fn follow_block(&mut self, block: &[&str]) -> Vec<Typed> {
        if block[0].starts_with('[') {
            self.extend_copy(&block.join("\n"));
            return Vec::new();
        }
        let mut typed = Vec::new();
        for (at, line) in block.iter().enumerate() {
            let command = RUNNERS
                .iter()
                .fold(*line, |line, runner| line.strip_prefix(runner).unwrap_or(line));
            match command {
                "systemctl restart secbeat" => {
                    self.host.stop();
                    self.host.start_again();
                }
                "systemctl reload secbeat" => self.host.signal(SIGHUP),
                command if is_ours(command) => {
                    let printed = self.run(command);
                    if line.starts_with(PROMPT) {
                        assert_shown(&block[at..], &printed);
                    }
                    typed.push(Typed {
                        command: command.to_owned(),
                        printed,
                    });
                }
                _ => {}
            }
        }
        typed
    }

    /// Adds tables to the copy of the config, if the page has made one.
    fn extend_copy(&self, tables: &str) {
        let copy = self.folder.path().join("new.toml");
        if copy.exists() {
            let config = fs::read_to_string(&copy).unwrap();
            fs::write(copy, format!("{config}\n{tables}\n")).unwrap();
        }
    }

    /// Runs a line in a shell, and returns what it prints.
    fn run(&self, line: &str) -> String {
        let line = line
            .replace("ADDRESS", &OneHost::ATTACKER.to_string())
            .replace("/var/log/nginx/access.log", &self.log.to_string_lossy())
            .replace("/etc/secbeat/secbeat.toml", &self.host.config().to_string_lossy());
        let path = env::var("PATH").unwrap();
        let output = self
            .host
            .host
            .command(TestProgram::Bash)
            .args(["-ec", &line])
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", self.folder.path().display()))
            .env("SECBEAT_CONFIG", self.host.config())
            .env("SECBEAT_LOG", "off")
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        // `doctor` looks at the services of the machine, too, which the config does not name.
        let worst = if line.contains(" doctor") { 2 } else { 0 };
        let code = output.status.code();
        assert!(
            code.is_some_and(|code| (0..=worst).contains(&code)),
            "`{line}` ended with {code:?}:\n{printed}"
        );
        printed
    }
}

/// Whether the reader can type this here: `cp` only for a copy of the host's config.
fn is_ours(command: &str) -> bool {
    command.starts_with("secbeat ") || command.starts_with("cp ") && command.contains("/secbeat.toml")
}

fn is_code(line: &str) -> bool {
    line.starts_with("    ")
}

/// The blocks of code of a page, as lines without the spaces before them.
fn blocks(page: &str) -> Vec<Vec<&str>> {
    let lines: Vec<_> = page.lines().collect();
    lines
        .chunk_by(|one, next| is_code(one) == is_code(next))
        .filter(|chunk| is_code(chunk[0]))
        .map(|chunk| chunk.iter().map(|line| line.trim()).collect())
        .collect()
}

/// Asserts that the first command of these lines has printed the lines after it.
fn assert_shown(lines: &[&str], printed: &str) {
    let shown = lines[1..].iter().take_while(|line| !line.starts_with(PROMPT));
    let printed_lines: Vec<_> = printed.lines().map(|line| shape(line.trim())).collect();
    for line in shown.filter(|line| **line != LEFT_OUT) {
        assert!(
            printed_lines.contains(&shape(line)),
            "`{line}` is not what `{}` prints:\n{printed}",
            lines[0]
        );
    }
}

/// What the first command that begins like this has printed.
fn printed<'typed>(typed: &'typed [Typed], command: &str) -> &'typed str {
    let found = typed.iter().find(|typed| typed.command.starts_with(command));
    let found = found.unwrap_or_else(|| panic!("the page has no `{command}`"));
    &found.printed
}

#[test]
fn a_reader_tests_that_it_works() {
    let typed = Reader::new().follow("verify.md", &[]);
    assert!(typed.len() >= 6, "{}", typed.len());
    assert!(printed(&typed, "secbeat test").contains("was banned for 1s"));
    assert!(printed(&typed, "secbeat test 198.51.100.7").contains("the kernel passes"));
    assert!(printed(&typed, "secbeat bans").contains("203.0.113.7/32"));
    assert!(printed(&typed, "secbeat why").contains("203.0.113.7 is banned"));
}

#[test]
fn a_reader_unbans_a_client_and_bans_it_again() {
    let mut reader = Reader::new();
    reader.run(&format!("secbeat ban {CLIENT}"));
    let typed = reader.follow("unban.md", &[]);
    assert!(typed.len() >= 6, "{}", typed.len());
    assert!(printed(&typed, "secbeat why").contains("is banned"));
    assert!(printed(&typed, "secbeat test").contains("the kernel passes"));
    let client: IpAddr = CLIENT.parse().unwrap();
    wait_until("the client is banned again", SOON, || reader.host.ban_of(client));
}

#[test]
fn a_reader_lets_a_client_back_in() {
    let mut reader = Reader::new();
    reader.run(&format!("secbeat ban {CLIENT}"));
    let typed = reader.follow("operations.md", &ON_ONE_HOST);
    assert!(typed.len() >= 2, "{}", typed.len());
    assert!(printed(&typed, "secbeat unban").contains("unbanned 198.51.100.7/32"));
}

#[test]
fn a_reader_finds_false_positives() {
    let mut reader = Reader::new();
    let typed = reader.follow("false-positives.md", &[]);
    assert!(typed.len() >= 7, "{}", typed.len());
    assert!(printed(&typed, "secbeat replay").contains("error-flood"));
    assert!(printed(&typed, "secbeat audit").contains("203.0.113.7/32"));
    wait_until("the client is let through", SOON, || {
        reader.host.ban_of(OneHost::ATTACKER).is_none()
    });
}

#[test]
fn a_reader_avoids_a_lockout() {
    let typed = Reader::new().follow("lockout.md", &ON_ONE_HOST);
    assert!(typed.len() >= 4, "{}", typed.len());
    assert!(printed(&typed, "secbeat allowlist list").contains("a test of mine"));
}

#[test]
fn a_reader_chooses_an_interface() {
    let [orchestrator, edge] = ON_ONE_HOST;
    let mut reader = Reader::new();
    let typed = reader.follow("interfaces.md", &[orchestrator, edge, ("eth1", "eth0")]);
    assert!(typed.len() >= 8, "{}", typed.len());
    let mode = printed(&typed, "secbeat mode  ");
    assert!(mode.contains("only observed on eth0"), "{mode}");
}

#[test]
fn a_reader_checks_what_is_behind_a_proxy() {
    let [orchestrator, edge] = ON_ONE_HOST;
    let files = [
        (" edge.toml", " /etc/secbeat/secbeat.toml"),
        (" LOG", " /var/log/nginx/access.log"),
    ];
    let typed = Reader::new().follow("trusted-proxies.md", &[orchestrator, edge, files[0], files[1]]);
    assert!(typed.len() >= 4, "{}", typed.len());
    assert!(printed(&typed, "secbeat explain").contains("combined"));
    assert!(printed(&typed, "secbeat replay").contains("203.0.113.7/32"));
}

#[test]
fn a_reader_writes_a_rule() {
    let mut reader = Reader::new();
    let mut lines = String::new();
    for client in ["192.0.2.20", "203.0.113.7"] {
        for request in 0..100 {
            let second = request * 40 / 100;
            let _ = writeln!(
                lines,
                "{client} - - [29/Nov/2026:10:00:{second:02} +0000] \"GET /search?q={request} HTTP/1.1\" 200 153 \"-\" \"-\""
            );
        }
    }
    reader.log = reader.folder.path().join("old.log");
    fs::write(&reader.log, lines).unwrap();
    let typed = reader.follow("first-rule.md", &[]);
    assert!(typed.len() >= 9, "{}", typed.len());
    let rules = printed(&typed, "secbeat rules");
    assert!(rules.contains("search-scraper"), "{rules}");
}

#[test]
fn a_reader_saves_bans_and_imports_them() {
    let mut reader = Reader::new();
    let typed = reader.follow("backup.md", &[]);
    assert!(typed.len() >= 5, "{}", typed.len());
    let saved = fs::read_to_string(reader.folder.path().join("bans.json")).unwrap();
    assert!(saved.contains("203.0.113.7"), "{saved}");
}

#[test]
fn a_reader_takes_the_program_off_as_in_a_container() {
    let mut reader = Reader::new();
    let typed = reader.follow("docker.md", &[]);
    assert!(typed.len() >= 3, "{}", typed.len());
    assert_eq!(printed(&typed, "secbeat mode"), "enforce\n");
    let url = reader.host.url(OneHost::ATTACKER, "/");
    let answer = reader.host.client(OneHost::ATTACKER).get(&url);
    assert!(answer.is_ok(), "{answer:?}");
}
