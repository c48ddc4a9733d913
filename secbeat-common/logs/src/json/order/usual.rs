//! Objects whose keys are those of the line before, in the same order, each with a string that needs no reading: most of a server's are.
//! They are read in one pass, without what any other object may need.

use super::{KnownKey, begins_with};
use crate::{
    LogLine, address,
    json::{
        Table,
        keys::{ROLES, Role, Tree},
        peer::Of,
        values::{MAX_VALUE, is_address, lacks_slash, parse_time},
    },
    marks::Specials,
    quoted::{parse_status, some_text, split_request},
    time::Zone,
};

/// After a line that is not as usual, so many are not tried, and twice as many after each further one.
const FEWEST_PASSED: u32 = 1;
const MOST_PASSED: u32 = 64;

/// The members that lines have.
#[derive(Debug, Default)]
pub(in crate::json) struct Usual {
    /// None, if they are not known or not of this kind.
    members: Vec<Member>,
    /// Keys that they were made of; `None` if these are others now.
    count: Option<usize>,
    /// Lines that are still to be passed.
    passed: u32,
    next_passed: u32,
}

#[derive(Debug)]
struct Member {
    /// From the byte before the quote that opens the key to the quote that opens the value.
    text: Vec<u8>,
    role: Option<Role>,
    /// By its name.
    of: Of,
}

impl Member {
    fn new(n: usize, key: &KnownKey, tree: &Tree) -> Option<Self> {
        let role = match key.place.map(|place| tree.entry(place).roles.as_slice()) {
            None | Some([]) => None,
            Some([(role, _)]) if is_usual(*role) => Some(*role),
            Some(_) => return None,
        };
        let before = if n == 0 { b"{\"" } else { b",\"" };
        (key.node == 0).then(|| Self {
            text: [before, &key.text[..], b"\""].concat(),
            role,
            of: key.of,
        })
    }
}

/// The members of an object, if no key has another's role.
fn members(keys: &[KnownKey], tree: &Tree) -> Option<Vec<Member>> {
    let members = keys.iter().enumerate();
    let members: Vec<_> = members
        .map(|(n, key)| Member::new(n, key, tree))
        .collect::<Option<_>>()?;
    let mut seen = [false; ROLES];
    let mut roles = members.iter().filter_map(|member| member.role);
    let are_apart = roles.all(|role| !std::mem::replace(&mut seen[role as usize], true));
    are_apart.then_some(members)
}

/// Whether a role has nothing to do with others.
const fn is_usual(role: Role) -> bool {
    use Role::{Client, Host, Method, Path, Referer, Request, Status, Time, UserAgent};
    matches!(
        role,
        Client | Time | Status | Request | Method | Path | Host | UserAgent | Referer
    )
}

impl Usual {
    /// Forgets the members: a key has changed.
    pub(super) fn forget(&mut self) {
        self.count = None;
    }

    /// Takes the keys of a whole object that was read otherwise.
    pub(super) fn learn(&mut self, keys: &[KnownKey], tree: &Tree) {
        if self.passed > 0 {
            return;
        }
        self.next_passed = (2 * self.next_passed).clamp(FEWEST_PASSED, MOST_PASSED);
        self.passed = self.next_passed - FEWEST_PASSED;
        if self.count != Some(keys.len()) {
            self.count = Some(keys.len());
            self.members = members(keys, tree).unwrap_or_default();
        }
    }

    /// Reads a line; `None` if anything is not as usual, and it has to be read otherwise.
    #[inline]
    pub(in crate::json) fn read<'a>(
        &mut self,
        line: &'a [u8],
        table: &Table,
        zone: &Zone,
    ) -> Option<LogLine<'a>> {
        if self.passed > 0 {
            self.passed -= 1;
            return None;
        }
        let texts = self.texts(line, table)?;
        let read = request(&texts, table, zone)?;
        self.next_passed = 0;
        Some(read)
    }

    /// The text of each role, empty if there is none.
    #[inline]
    fn texts<'a>(&self, line: &'a [u8], table: &Table) -> Option<[&'a [u8]; ROLES]> {
        if self.members.is_empty() || table.needs_mark || line.len() > MAX_VALUE {
            return None;
        }
        let mut texts: [&[u8]; ROLES] = [b""; ROLES];
        let (mut specials, mut at) = (Specials::default(), 0);
        for Member {
            text: known,
            role,
            of,
        } in &self.members
        {
            if !begins_with(&line[at..], known) {
                return None;
            }
            let begin = at + known.len();
            let end = specials.find(line, begin)?;
            if line[end] != b'"' {
                return None;
            }
            let text = &line[begin..end];
            match role {
                Some(role) => texts[*role as usize] = text,
                // That a client has this address, or another one, may count.
                None if table.keys.has_forwarded && *of != Of::Others && is_address(text) => return None,
                None => {}
            }
            at = end + 1;
        }
        (line[at..] == *b"}").then_some(texts)
    }
}

/// The request that is told by texts of which no other takes the place.
#[inline]
fn request<'a>(texts: &[&'a [u8]; ROLES], table: &Table, zone: &Zone) -> Option<LogLine<'a>> {
    let text = |role| texts[role as usize];
    let client = address::parse_v4(text(Role::Client))?;
    let at_ms = parse_time(text(Role::Time), zone)?;
    let status = parse_status(text(Role::Status))?;
    let (method, path) = match (some_text(text(Role::Method)), some_text(text(Role::Path))) {
        (Some(method), Some(path)) => (method, path),
        (None, None) => split_request(some_text(text(Role::Request))?),
        _ => return None,
    };
    if method.iter().any(u8::is_ascii_lowercase) || table.bare_paths && lacks_slash(path) {
        return None;
    }
    let some = |role| some_text(text(role)).map(Into::into);
    Some(LogLine {
        client: client.into(),
        forwarded: None,
        at_ms,
        method: method.into(),
        path: path.into(),
        status,
        host: some(Role::Host),
        user_agent: some(Role::UserAgent),
        referer: some(Role::Referer),
        unreadable: false,
        ends_in_user: false,
    })
}
