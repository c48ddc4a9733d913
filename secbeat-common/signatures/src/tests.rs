mod around;
mod attacks;
mod corpus;
mod evasion;
mod files;
mod ordinary;
mod readings;
mod remembered;
mod shipped;

use std::sync::OnceLock;

use crate::{Matcher, Problem, shipped as shipped_files};

/// A matcher of the shipped set, of which nothing is wrong.
fn matcher() -> &'static Matcher {
    static MATCHER: OnceLock<Matcher> = OnceLock::new();
    MATCHER.get_or_init(|| {
        let (matcher, problems) = Matcher::build(&shipped_files(), &[]);
        assert_eq!(texts(&problems), Vec::<String>::new());
        matcher
    })
}

fn texts(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}
