//! Whether the logs that were found can be read, and who is in them.

mod alike;

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    net::IpAddr,
    path::{Path, PathBuf},
};

use secbeat_edge::unit_user::UnitUser;
use secbeat_logs::{Caution, Detection, Formats, LogError, LogLine};

pub(crate) use self::alike::Alike;
use self::alike::{of_server, rotated};
use super::servers;

/// As much of a log's end is looked at.
pub(super) const LOOKED_AT: u64 = 256 * 1024;
/// From so many requests on, clients say something about what stands in front.
const ENOUGH: u64 = 200;
/// One client that has so many of a hundred requests is a proxy, or the only visitor.
const MOST: u64 = 60;

/// A log, and what its end says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundLog {
    pub(super) server: &'static str,
    pub(super) path: PathBuf,
    pub(super) why: String,
    pub(super) state: State,
}

/// What the end of a log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// There is no line yet.
    Empty {
        /// Which other log says what will be in it.
        alike: Option<Alike>,
    },
    Understood {
        format: String,
        /// Of the lines that were looked at.
        understood: u64,
        lines: u64,
        /// A client that has most of the requests.
        crowd: Option<Crowd>,
        /// What its server has to mend.
        caution: Option<Caution>,
    },
    /// More lines are of another layout, or lines have two readings; why.
    NotUnderstood(String),
    /// The reason why the file cannot be read.
    Unreadable(String),
}

/// One client that has most of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crowd {
    pub(super) client: IpAddr,
    pub(super) percent: u64,
    pub(super) requests: u64,
}

impl FoundLog {
    /// Returns what the lines are read as; of a log without any, what others of its server have, or what that writes by default.
    /// `None` if it is left out.
    pub(super) fn format(&self) -> Option<&str> {
        match &self.state {
            State::Understood { format, .. } => Some(format),
            State::Empty { alike: Some(alike) } => Some(&alike.format),
            State::Empty { alike: None } => servers::default_format(self.server, &self.path),
            State::NotUnderstood(_) | State::Unreadable(_) => None,
        }
    }
}

/// Finds the logs below `root`, and looks at their ends with the rights of `reader`, if that is another one.
pub(super) fn find(root: &Path, reader: Option<&UnitUser>) -> anyhow::Result<Vec<FoundLog>> {
    let places = servers::places(root, is_understood);
    let look_at = || all(places);
    let Some(user) = reader else {
        return Ok(look_at());
    };
    let mut found: Vec<FoundLog> = user.act(look_at)?;
    for log in &mut found {
        if let State::Unreadable(why) = &mut log.state {
            let name = user.name();
            let path = log.path.display();
            let _ = write!(
                why,
                ", by the user `{name}` of the unit; `setfacl -m u:{name}:r {path}` lets it, its folders need rx"
            );
        }
    }
    Ok(found)
}

/// Looks at the ends of logs, with the rights of this process.
pub(super) fn all(places: impl IntoIterator<Item = servers::Place>) -> Vec<FoundLog> {
    let mut logs: Vec<_> = places.into_iter().map(found).collect();
    let others: Vec<_> = logs.iter().map(|log| of_server(&logs, log)).collect();
    for (log, other) in logs.iter_mut().zip(others) {
        if let State::Empty { alike } = &mut log.state {
            *alike = alike.take().or(other);
        }
    }
    logs
}

/// Looks at the end of a log, with the rights of this process.
pub(super) fn found(servers::Place { server, path, why }: servers::Place) -> FoundLog {
    let state = match look(&path) {
        State::Empty { .. } => State::Empty {
            alike: rotated(&path),
        },
        state => state,
    };
    FoundLog {
        server,
        path,
        why,
        state,
    }
}

/// Whether most of the last lines are requests, as far as this process may read.
pub(super) fn is_understood(path: &Path) -> bool {
    matches!(look(path), State::Understood { understood, lines, .. } if understood * 2 > lines)
}

fn look(path: &Path) -> State {
    match end_of(path) {
        Ok(end) if end.is_empty() => State::Empty { alike: None },
        Ok(end) => read(&end),
        Err(error) => State::Unreadable(error.to_string()),
    }
}

/// The last whole lines.
fn end_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(LOOKED_AT);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.take(LOOKED_AT).read_to_end(&mut end)?;
    if start > 0 {
        // The first line was cut.
        let cut = end
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(end.len(), |at| at + 1);
        end.drain(..cut);
    }
    cut_half_a_line(&mut end);
    Ok(end)
}

pub(super) fn cut_half_a_line(text: &mut Vec<u8>) {
    let whole = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    text.truncate(whole);
}

/// Returns what lines say.
pub(super) fn read(end: &[u8]) -> State {
    let detection = match Detection::of(end) {
        Ok((detection, _)) => detection,
        Err(error) => return State::Unreadable(error.to_string()),
    };
    if let Some(conflict) = detection.conflict() {
        return State::NotUnderstood(conflict.to_string());
    }
    let format = detection.likeliest();
    let (name, formats) = (format.to_string(), Formats::from(format));
    let (mut lines, mut understood, mut first_error) = (0, 0, None);
    let mut caution = Caution::of_formats(&formats);
    let mut of_other_layout = 0;
    let mut requests: HashMap<IpAddr, u64> = HashMap::new();
    for line in end.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        lines += 1;
        let parsed = formats.parse(line);
        caution = caution.or_else(|| Caution::of_line(line, &parsed));
        match parsed {
            Ok(LogLine { client, .. }) => {
                understood += 1;
                *requests.entry(client).or_default() += 1;
            }
            Err(error) => {
                of_other_layout += u64::from(matches!(error, LogError::OtherLayout(_)));
                first_error.get_or_insert_with(|| error.to_string());
            }
        }
    }
    // The few that are read otherwise may be what clients wrote.
    if understood <= of_other_layout {
        let why = first_error.unwrap_or_else(|| "no line is a request".to_owned());
        return State::NotUnderstood(why);
    }
    State::Understood {
        format: name,
        understood,
        lines,
        crowd: crowd(&requests, understood),
        caution,
    }
}

fn crowd(requests: &HashMap<IpAddr, u64>, all: u64) -> Option<Crowd> {
    let (client, most) = requests
        .iter()
        .max_by_key(|(client, count)| (**count, **client))?;
    let percent = most * 100 / all;
    (all >= ENOUGH && percent >= MOST && !client.is_loopback()).then_some(Crowd {
        client: *client,
        percent,
        requests: all,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(client: &str, n: usize) -> String {
        format!(
            "{client} - - [01/Jan/2026:00:00:{:02} +0000] \"GET /{n} HTTP/1.1\" 200 5 \"-\" \"curl\"\n",
            n % 60
        )
    }

    fn state(log: &str) -> State {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        std::fs::write(&path, log).unwrap();
        look(&path)
    }

    #[test]
    fn the_end_of_a_log_shows_its_format() {
        let log: String = (0..50).map(|n| line(&format!("192.0.2.{n}"), n)).collect();
        let State::Understood {
            format,
            understood,
            lines,
            crowd,
            caution,
        } = state(&(log + "what is this\nhalf a li"))
        else {
            panic!("not understood");
        };
        assert_eq!(
            (format.as_str(), understood, lines, crowd, caution),
            ("combined", 50, 51, None, None)
        );
        let log = line("192.0.2.1", 1).replace("\"curl\"", "\"curl\" 1 \"a@docker\" \"http://b\" 1ms");
        let State::Understood { caution, .. } = state(&log) else {
            panic!("not understood");
        };
        assert_eq!(caution, Some(Caution::Traefik));
    }

    #[test]
    fn a_long_log_is_looked_at_from_a_whole_line_on() {
        let log: String = (0..10_000)
            .map(|n| line(&format!("192.0.{}.{}", n % 7, n % 250), n))
            .collect();
        assert!(log.len() > 2 * usize::try_from(LOOKED_AT).unwrap());
        assert!(matches!(state(&log), State::Understood { understood, lines, .. } if understood == lines));
    }

    #[test]
    fn a_log_without_lines_is_no_problem_and_nonsense_is_one() {
        assert_eq!(state(""), State::Empty { alike: None });
        assert!(matches!(state("one\ntwo\n"), State::NotUnderstood(_)));
        assert!(matches!(look(Path::new("/nowhere")), State::Unreadable(_)));
    }

    #[test]
    fn a_log_that_few_lines_fit_is_of_another_layout() {
        let honest = line("unix:", 1).replace("unix: ", "www.example.org unix: ");
        let forged = line("unix:", 1).replace("unix: ", "198.51.100.66 unix: ");
        let usual = line("198.51.100.66", 1);
        for few in [forged.repeat(60), usual.repeat(60)] {
            assert!(
                matches!(
                    state(&(few.clone() + &honest.repeat(300))),
                    State::NotUnderstood(_)
                ),
                "{few}"
            );
        }
        // Neither other programs' lines, nor what comes over a Unix socket, nor clients without a header or with a name say so.
        for others in [
            "a notice\n".to_owned(),
            line("unix:", 1),
            line("-", 1),
            line("ip6-localhost", 1),
        ] {
            let log = usual.repeat(60) + &others.repeat(300);
            assert!(
                matches!(state(&log), State::Understood { understood: 60, .. }),
                "{others}"
            );
        }
    }

    #[test]
    fn one_client_with_most_requests_is_told() {
        let log: String = (0..400)
            .map(|n| line(if n % 4 == 0 { "192.0.2.9" } else { "172.18.0.1" }, n))
            .collect();
        let State::Understood {
            crowd: Some(crowd), ..
        } = state(&log)
        else {
            panic!("nobody");
        };
        assert_eq!(
            (crowd.client.to_string().as_str(), crowd.percent),
            ("172.18.0.1", 75)
        );
        // A few requests say nothing.
        let log: String = (0..50).map(|n| line("172.18.0.1", n)).collect();
        assert!(matches!(state(&log), State::Understood { crowd: None, .. }));
    }
}
