//! Writer of the forms of a text.

use crate::blocks::{PLACES, WORD};

/// Where a form is written: into memory that is there already, since a form is no longer than what it is made of.
pub(crate) struct Writer<'a> {
    form: &'a mut Vec<u8>,
    len: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(form: &'a mut Vec<u8>, most: usize) -> Self {
        form.clear();
        form.resize(most, 0);
        Self { form, len: 0 }
    }

    #[inline]
    pub(crate) fn push(&mut self, byte: u8) {
        if let Some(place) = self.form.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    #[inline]
    pub(crate) fn push_block(&mut self, block: &[u8; PLACES]) {
        if let Some(place) = self.form[self.len..].first_chunk_mut() {
            *place = *block;
            self.len += PLACES;
        }
    }

    /// Writes the first `count` bytes of a word, if there is room for all of it.
    #[inline]
    pub(crate) fn push_of_word(&mut self, word: &[u8; WORD], count: usize) {
        if let Some(place) = self.form[self.len..].first_chunk_mut() {
            *place = *word;
            self.len += count;
        }
    }

    /// Forgets the last `byte` and what follows it, or all that there is without it.
    pub(crate) fn cut_at_last(&mut self, byte: u8) {
        self.len = memchr::memrchr(byte, &self.form[..self.len]).unwrap_or(0);
    }

    /// Forgets the last bytes that are such ones.
    pub(crate) fn drop_last(&mut self, is_such: impl Fn(u8) -> bool) {
        while self.last().is_some_and(&is_such) {
            self.len -= 1;
        }
    }

    pub(crate) fn last(&self) -> Option<u8> {
        self.form[..self.len].last().copied()
    }

    pub(crate) fn finish(self) {
        self.form.truncate(self.len);
    }
}
