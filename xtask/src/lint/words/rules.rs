//! The rules, after the style guide in CONTRIBUTING.md. Few, and without false alarms: what a rule cannot judge, a reader does.

use super::{Kind, Text};

/// Most words of a sentence in the docs.
const LONGEST: usize = 40;

/// Words that the docs and the programs do not use, and what they say instead.
const BANNED: [(&str, &str); 16] = [
    ("anew", "again"),
    ("basically", "nothing"),
    ("garbage", "invalid messages"),
    ("in order to", "to"),
    ("obey", "accept"),
    ("obeyed", "accepted"),
    ("obeys", "accepts"),
    ("obviously", "nothing"),
    ("of course", "nothing"),
    ("sign of life", "heartbeat"),
    ("signs of life", "heartbeats"),
    ("simply", "nothing"),
    ("takeover", "failover"),
    ("unless stated", "default"),
    ("utilize", "use"),
    ("whoever", "who it is: a client, an operator, anyone who …"),
];

/// Words of pages and messages that name no actor.
const UNNAMED: [(&str, &str); 3] = [
    ("anybody", "who it is: any client, anyone who …"),
    ("everybody", "who it is: all clients, all users of the host"),
    ("somebody", "who it is: a client, an operator, an attacker"),
];

/// The rules that `text` breaks, each as a sentence.
pub(super) fn broken(text: &Text) -> Vec<String> {
    let words = text.words.split_whitespace().collect::<Vec<_>>();
    let mut broken = calques(&words);
    broken.extend(banned(&words, &BANNED));
    match text.kind {
        Kind::Prose => {
            broken.extend(banned(&words, &UNNAMED));
            broken.extend(long(&text.words));
            broken.extend(doubled(&text.words));
        }
        // One word is a code of the API.
        Kind::Message if words.len() > 1 => broken.extend(banned(&words, &UNNAMED)),
        Kind::Message => {}
        Kind::Doc => {
            broken.extend(question(&text.words));
            broken.extend(pointing(&text.words));
        }
    }
    broken
}

/// "X is no Y", which says neither what X is nor what was expected.
fn calques(words: &[&str]) -> Vec<String> {
    let windows = words.windows(3).enumerate();
    let found = windows.filter(|(at, window)| {
        let [verb, no, next] = window[..] else {
            return false;
        };
        let is_verb = matches!(verb, "is" | "are" | "was" | "were");
        let before = at.checked_sub(1).and_then(|before| words.get(before));
        let is_of_there = before.is_some_and(|before| matches!(bare(before).as_str(), "there" | "really"));
        let is_calque = match no {
            "no" => !matches!(bare(next).as_str(), "longer" | "more" | "matter" | "one"),
            "none" => next == "of",
            _ => false,
        };
        is_verb && is_calque && !is_of_there
    });
    found
        .map(|(_, window)| {
            format!(
                "\"{}\": say \"is not a …\", or \"invalid …: expected …\"",
                window.join(" ")
            )
        })
        .collect()
}

fn banned(words: &[&str], list: &[(&str, &str)]) -> Vec<String> {
    let words: Vec<_> = words.iter().map(|word| bare(word)).collect();
    let text = format!(" {} ", words.join(" "));
    let found = list
        .iter()
        .filter(|(word, _)| text.contains(&format!(" {word} ")));
    found
        .map(|(word, instead)| format!("\"{word}\": say {instead}"))
        .collect()
}

/// Without the punctuation around it, in lower case.
fn bare(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
}

fn long(text: &str) -> Option<String> {
    let mut length = 0;
    for word in text.split_whitespace() {
        length += 1;
        if length > LONGEST {
            return Some(format!(
                "a sentence of more than {LONGEST} words: make it two, or a list"
            ));
        }
        let end = word.trim_end_matches(['"', '*', ')', '_']);
        if end.ends_with(['.', ':', ';', '!', '?']) {
            length = 0;
        }
    }
    None
}

fn question(text: &str) -> Option<String> {
    let is_question = text.trim_end().ends_with('?');
    is_question.then(|| format!("\"{}\": say what it is, not what is asked", text.trim()))
}

/// "The same, but …", which only a reader of the item above understands.
fn pointing(text: &str) -> Option<String> {
    let text = text.trim();
    text.starts_with("The same, ")
        .then(|| format!("\"{text}\": name what it is, readers do not come from the item above"))
}

fn doubled(text: &str) -> Option<String> {
    text.contains("  ").then(|| "two spaces in a row".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &str) -> Vec<String> {
        of_kind(Kind::Prose, words)
    }

    fn of_kind(kind: Kind, words: &str) -> Vec<String> {
        broken(&Text {
            line: 1,
            words: words.to_owned(),
            kind,
        })
    }

    #[test]
    fn what_something_is_not_is_said_with_not() {
        for wrong in [
            "`a b` is no name",
            "these are no bans.",
            "that was no answer",
            "it is none of the crawler's",
        ] {
            assert_eq!(of(wrong).len(), 1, "{wrong}");
        }
        for right in [
            "there is no name",
            "There are no jails",
            "it is no longer there",
            "if there really is no list",
            "no edge is up",
            "the default is none",
        ] {
            assert_eq!(of(right), [""; 0], "{right}");
        }
    }

    #[test]
    fn a_banned_word_is_one_whatever_stands_around_it() {
        for wrong in [
            "Simply start it.",
            "(whoever asks)",
            "\"sign of life\", every 5 s",
        ] {
            assert_eq!(of(wrong).len(), 1, "{wrong}");
        }
        assert_eq!(of("a simplyname, disobeyed"), [""; 0]);
        assert!(of("Start anew.")[0].ends_with("say again"));
    }

    #[test]
    fn sentences_end_and_are_short() {
        let short = "word ".repeat(LONGEST - 1);
        assert_eq!(of(&format!("{short}end. {short}end.")), [""; 0]);
        assert_eq!(of(&format!("{short}no end {short}end.")).len(), 1);
    }

    #[test]
    fn spaces_stand_alone() {
        assert_eq!(of("one  two"), ["two spaces in a row"]);
        assert_eq!(of_kind(Kind::Message, "one  two"), [""; 0]);
    }

    #[test]
    fn pages_and_messages_name_their_actors() {
        for kind in [Kind::Prose, Kind::Message] {
            let broken = of_kind(kind, "Somebody is banned.");
            assert!(broken.len() == 1 && broken[0].contains("a client"), "{broken:?}");
        }
        assert_eq!(of_kind(Kind::Message, "everybody"), [""; 0]);
        assert_eq!(of_kind(Kind::Doc, "Somebody waits."), [""; 0]);
    }

    #[test]
    fn a_doc_comment_asks_nothing() {
        assert_eq!(of_kind(Kind::Doc, " Which bans are in force?").len(), 1);
        assert_eq!(of_kind(Kind::Doc, " Returns the bans in force."), [""; 0]);
        assert_eq!(of("Which interface?"), [""; 0]);
    }

    #[test]
    fn a_doc_comment_points_at_no_other() {
        assert_eq!(of_kind(Kind::Doc, " The same, but line breaks stay.").len(), 1);
        assert_eq!(of_kind(Kind::Doc, " [`code`], but line breaks stay."), [""; 0]);
        assert_eq!(of_kind(Kind::Message, "The same, as before."), [""; 0]);
    }
}
