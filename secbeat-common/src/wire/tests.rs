mod format;
mod json;
mod newer;
mod older;
mod properties;
mod samples;

use serde::{Deserialize, Serialize};

use super::{Kind, Message, PartWriter, WireError};
use crate::sign::Command;

/// A message as a later release writes it, with more parts than this one knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Newer<M> {
    pub(crate) message: M,
    /// Tags, higher than those of `message`, and contents.
    #[serde(skip)]
    pub(crate) more: Vec<(u16, Vec<u8>)>,
}

impl<M: Message> Message for Newer<M> {
    const KIND: Kind = M::KIND;
    const PARTS: &'static [u16] = M::PARTS;

    fn write_parts(&self, parts: &mut PartWriter<'_>) -> Result<(), WireError> {
        self.message.write_parts(parts)?;
        self.more
            .iter()
            .try_for_each(|(tag, content)| parts.put(*tag, content))
    }
}

impl<M: Command> Command for Newer<M> {}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The inverse of [`hex`]; blanks do not matter.
fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.chars().filter(|digit| *digit != ' ');
    let digits: Vec<_> = digits.map(|digit| digit.to_digit(16).unwrap()).collect();
    let pairs = digits.chunks(2);
    pairs.map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}
