//! Known signatures by their ids.

use std::sync::{Arc, LazyLock};

use secbeat_common::wire::{FleetSignatures, SignatureText};
use secbeat_signatures::{Matcher, Problem, Signature, SignatureFile, shipped as files};

static SHIPPED: LazyLock<Matcher> = LazyLock::new(|| Matcher::build(&files(), &[]).0);

/// A matcher of those that SecBeat ships: what edges without signatures of their own look for.
pub(crate) fn shipped() -> &'static Matcher {
    &SHIPPED
}

/// The signatures that SecBeat ships, and those that the fleet published. Edges may have others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalogue {
    published: Arc<Vec<Signature>>,
}

impl Catalogue {
    /// With what `set` published.
    pub(crate) fn of(set: &FleetSignatures) -> Self {
        let (_, published) = check(&set.files);
        Self {
            published: Arc::new(published),
        }
    }

    /// The one called `id`.
    pub(crate) fn get(&self, id: &str) -> Option<&Signature> {
        let mut all = self.all();
        all.find(|(signature, _)| signature.id == id)
            .map(|(signature, _)| signature)
    }

    /// All of them, each with whether the fleet published it.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Signature, bool)> {
        let shipped = SHIPPED.signatures().iter().map(|signature| (signature, false));
        shipped.chain(self.published.iter().map(|signature| (signature, true)))
    }

    /// Returns how many the fleet published.
    pub(crate) fn published(&self) -> usize {
        self.published.len()
    }
}

/// Returns what is wrong with `published`, beside the shipped signatures, and those in it that are right.
pub(super) fn check(published: &[SignatureText]) -> (Vec<Problem>, Vec<Signature>) {
    let own = published.iter().map(|file| SignatureFile {
        name: file.name.clone(),
        text: file.text.clone(),
    });
    let shipped = files();
    let is_own = |file: &str| !shipped.iter().any(|shipped| shipped.name == file);
    let own: Vec<_> = own
        .map(|file| SignatureFile {
            // No file of an operator is taken for a shipped one.
            name: match is_own(&file.name) {
                true => file.name,
                false => format!("fleet:{}", file.name),
            },
            ..file
        })
        .collect();
    let names: Vec<_> = own.iter().map(|file| file.name.clone()).collect();
    let (matcher, mut problems) = Matcher::build(&[shipped, own].concat(), &[]);
    problems.extend(matcher.verify());
    let signatures = matcher.signatures().iter();
    let signatures = signatures.filter(|signature| names.contains(&signature.file));
    let signatures: Vec<_> = signatures.cloned().collect();
    for file in names {
        let is_empty = !signatures.iter().any(|signature| signature.file == file);
        if is_empty && !problems.iter().any(|problem| problem.file == file) {
            problems.push(Problem {
                file,
                line: None,
                id: None,
                message: "it has no signature; `signatures withdraw` takes back what was published"
                    .to_owned(),
            });
        }
    }
    (problems, signatures)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, id: &str, must: &str) -> SignatureText {
        let text = format!(
            "[[signature]]\nid = \"{id}\"\ntitle = \"Ours\"\nclass = \"other\"\nseverity = \"low\"\nreference = \"r\"\n\
             any = [{{ in = \"path\", contains = \"/ours\" }}]\nmust = [\"GET {must}\"]\n"
        );
        SignatureText {
            name: name.to_owned(),
            text,
        }
    }

    #[test]
    fn published_signatures_are_known_beside_the_shipped_ones() {
        let files = vec![text("sqli.toml", "ours", "/ours")];
        assert_eq!(check(&files).0, []);
        let catalogue = Catalogue::of(&FleetSignatures {
            files,
            ..FleetSignatures::default()
        });
        assert_eq!(catalogue.published(), 1);
        assert_eq!(catalogue.get("ours").unwrap().title, "Ours");
        assert!(catalogue.get("env-file").is_some());
        assert!(catalogue.get("nobodys").is_none());
        let published = catalogue.all().filter(|(_, is_published)| *is_published);
        assert_eq!(published.count(), 1);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_file() {
        for (file, expected) in [
            (
                text("a.toml", "env-file", "/ours"),
                "another signature has this id",
            ),
            (text("a.toml", "Ours", "/ours"), "an id has 1 to 40"),
            (text("a.toml", "ours", "/theirs"), "/theirs"),
        ] {
            let (problems, _) = check(&[file]);
            let [problem] = &problems[..] else {
                panic!("{problems:?}");
            };
            assert_eq!(problem.file, "a.toml");
            assert!(problem.message.contains(expected), "{problem}");
        }
    }
}
