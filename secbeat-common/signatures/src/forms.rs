//! The forms of a text in which servers may understand it.

use crate::{normal, signature::Field};

/// Most bytes of a field that are looked at. Servers take request lines of about half of it.
pub(crate) const MAX_FIELD: usize = 16 * 1024;
/// Most forms of a field.
const MAX_FORMS: usize = 4;

/// All in lower case: as it came, decoded once, decoded twice, and resolved; what equals the one before it is left out. The buffers
/// are used again and again.
#[derive(Debug, Default)]
pub(crate) struct Forms {
    texts: [Vec<u8>; MAX_FORMS],
    len: usize,
}

impl Forms {
    /// Those of `text`, which is of `field`.
    pub(crate) fn fill(&mut self, field: Field, text: &[u8]) {
        let text = &text[..text.len().min(MAX_FIELD)];
        self.len = 1;
        let form = &mut self.texts[0];
        form.clear();
        form.extend_from_slice(text);
        form.make_ascii_lowercase();
        if !normal::is_marked(text, field) {
            return;
        }
        self.add(|text, form| normal::decode(text, field == Field::Query, form));
        match field {
            Field::Path => {
                self.add(|text, form| normal::decode(text, false, form));
                self.add(normal::resolve_path);
            }
            Field::Query => {
                self.add(|text, form| normal::decode(text, false, form));
                self.add(normal::resolve_query);
            }
            _ => {}
        }
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.texts[..self.len].iter().map(Vec::as_slice)
    }

    /// The one that is resolved furthest.
    pub(crate) fn last(&self) -> Option<&[u8]> {
        self.iter().last()
    }

    /// Makes a further form of the last one.
    fn add(&mut self, make: impl FnOnce(&[u8], &mut Vec<u8>)) {
        let (done, free) = self.texts.split_at_mut(self.len);
        if let (Some(last), Some(form)) = (done.last(), free.first_mut()) {
            form.clear();
            make(last, form);
            self.len += usize::from(form != last);
        }
    }
}
