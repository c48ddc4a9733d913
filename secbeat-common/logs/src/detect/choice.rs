//! A format that somebody states, or that is to be detected.

use std::{fmt, str::FromStr};

use crate::{Format, FormatError, Formats};

/// Formats, or that the one is to be detected. Names may have commas between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FormatChoice {
    /// Called `auto`.
    #[default]
    Auto,
    Is(Formats),
}

impl FormatChoice {
    /// Returns what several choices come to; [`Auto`](Self::Auto) if there are none.
    ///
    /// # Errors
    ///
    /// Returns an error if one of several is `auto`.
    pub fn of(choices: impl IntoIterator<Item = Self>) -> Result<Self, FormatError> {
        let choices: Vec<Self> = choices.into_iter().collect();
        if let [Self::Auto] = choices.as_slice() {
            return Ok(Self::Auto);
        }
        let mut formats = Vec::new();
        for choice in choices {
            match choice {
                Self::Auto => return Err(FormatError::AutoAmongOthers),
                Self::Is(some) => formats.extend(some.iter().cloned()),
            }
        }
        Ok(Formats::of(formats).map_or(Self::Auto, Self::Is))
    }
}

impl FromStr for FormatChoice {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            // Patterns may have commas.
            names if names.contains(',') && !names.contains(['$', '%']) => {
                let names = names.split(',').map(|name| name.trim().parse::<Self>());
                Self::of(names.collect::<Result<Vec<_>, _>>()?)
            }
            format => Ok(Self::Is(format.parse::<Format>()?.into())),
        }
    }
}

impl fmt::Display for FormatChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Is(formats) => formats.fmt(f),
        }
    }
}
