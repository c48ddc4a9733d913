//! Access logs of one JSON object a line: which key says what is in [`tables`](super::tables).
//!
//! Text need not be UTF-8, since a client could otherwise make its own lines unreadable.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    LogError, LogLine, address,
    quoted::{parse_status, some_text, split_request},
    time::{self, Zone},
};

/// What a key says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot {
    Text(Text),
    Time,
    Status,
    /// An object with keys of its own.
    Inside(&'static [Entry]),
}

/// What the text of a key is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Text {
    Client,
    /// A whole request line.
    Request,
    Method,
    Path,
    Host,
    UserAgent,
    /// What the line is about.
    Message,
}

const TEXTS: usize = Text::Message as usize + 1;

/// A key and what it says; of several that say the same, the first one that is there and not empty counts.
pub(super) type Entry = (&'static str, Slot);

/// A server's JSON.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) entries: &'static [Entry],
    /// What the message is, where one is logged, if the line is about a request that was answered.
    pub(super) message: Option<&'static [u8]>,
}

/// A value, with the place of its key in the table.
type Found<T> = Option<(usize, T)>;

/// What was found so far.
#[derive(Debug, Default)]
struct Values<'a> {
    texts: [Found<Cow<'a, [u8]>>; TEXTS],
    time: Found<Scalar<'a>>,
    status: Found<Scalar<'a>>,
}

#[derive(Debug)]
enum Scalar<'a> {
    Number(f64),
    Text(Cow<'a, [u8]>),
    Null,
}

/// Parses one line without surrounding space.
pub(super) fn parse<'a>(line: &'a [u8], table: &Table, zone: &Zone) -> Result<LogLine<'a>, LogError> {
    let mut values = Values::default();
    let mut json = serde_json::Deserializer::from_slice(line);
    let object = Object {
        entries: table.entries,
        values: &mut values,
    };
    object
        .deserialize(&mut json)
        .and_then(|()| json.end())
        .map_err(|error| LogError::Json(error.column()))?;
    values.finish(table, zone)
}

impl<'a> Values<'a> {
    fn take(&mut self, text: Text) -> Option<Cow<'a, [u8]>> {
        self.texts[text as usize].take().map(|(_, value)| value)
    }

    fn finish(mut self, table: &Table, zone: &Zone) -> Result<LogLine<'a>, LogError> {
        if let (Some(expected), Some(message)) = (table.message, self.take(Text::Message))
            && *message != *expected
        {
            return Err(LogError::Message);
        }
        let client = self
            .take(Text::Client)
            .ok_or(LogError::Missing("client address"))?;
        let (_, time) = self.time.take().ok_or(LogError::Missing("time"))?;
        let (_, status) = self.status.take().ok_or(LogError::Missing("status"))?;
        let (method, path) = match (self.take(Text::Method), self.take(Text::Path)) {
            (None, None) => self
                .take(Text::Request)
                .map_or_else(Default::default, split_owned),
            (method, path) => (method.unwrap_or_default(), path.unwrap_or_default()),
        };
        Ok(LogLine {
            client: address::parse_last(&client).ok_or(LogError::Client)?,
            at_ms: time.time(zone)?,
            method,
            path,
            status: status.status()?,
            forwarded: address::is_list(&client).then_some(client),
            host: self.take(Text::Host),
            user_agent: self.take(Text::UserAgent),
        })
    }
}

/// Splits a request line and keeps what is borrowed so.
fn split_owned(request: Cow<'_, [u8]>) -> (Cow<'_, [u8]>, Cow<'_, [u8]>) {
    match request {
        Cow::Borrowed(request) => {
            let (method, path) = split_request(request);
            (method.into(), path.into())
        }
        Cow::Owned(request) => {
            let (method, path) = split_request(&request);
            (method.to_vec().into(), path.to_vec().into())
        }
    }
}

impl Scalar<'_> {
    fn time(&self, zone: &Zone) -> Result<i64, LogError> {
        match self {
            Self::Number(number) => time::from_epoch(*number).ok_or(LogError::BadTime),
            Self::Text(text) => time::parse_any(text, zone).ok_or(LogError::BadTime),
            Self::Null => Err(LogError::Missing("time")),
        }
    }

    fn status(&self) -> Result<u16, LogError> {
        match self {
            Self::Number(number) if *number == 0.0 => Ok(0),
            Self::Number(number) if (100.0..1000.0).contains(number) => Ok(*number as u16),
            Self::Number(_) => Err(LogError::BadStatus),
            Self::Text(text) => parse_status(text).ok_or(LogError::BadStatus),
            Self::Null => Ok(0),
        }
    }
}

/// Puts a value into its place unless a key of higher rank has been there.
fn put<T>(place: &mut Found<T>, rank: usize, value: T) {
    if place.as_ref().is_none_or(|(before, _)| rank < *before) {
        *place = Some((rank, value));
    }
}

/// Fills in what an object says.
struct Object<'v, 'a> {
    entries: &'static [Entry],
    values: &'v mut Values<'a>,
}

impl<'a> DeserializeSeed<'a> for Object<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Object<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        let Self { entries, values } = self;
        while let Some(rank) = map.next_key_seed(Rank(entries))? {
            let Some((rank, slot)) = rank else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            match slot {
                Slot::Text(text) => {
                    if let Some(value) = map.next_value_seed(OptionalText)? {
                        put(&mut values.texts[text as usize], rank, value);
                    }
                }
                Slot::Time => put(&mut values.time, rank, map.next_value_seed(AnyScalar)?),
                Slot::Status => put(&mut values.status, rank, map.next_value_seed(AnyScalar)?),
                Slot::Inside(entries) => {
                    let values = &mut *values;
                    map.next_value_seed(Object { entries, values })?;
                }
            }
        }
        Ok(())
    }
}

/// The place of a key in a table.
struct Rank(&'static [Entry]);

impl<'a> DeserializeSeed<'a> for Rank {
    type Value = Option<(usize, Slot)>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Rank {
    type Value = Option<(usize, Slot)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        let mut entries = self.0.iter().enumerate();
        let found = entries.find(|(_, (name, _))| *name == key);
        Ok(found.map(|(rank, (_, slot))| (rank, *slot)))
    }
}

/// Text that is there, or the first of a list of texts.
struct OptionalText;

impl<'a> DeserializeSeed<'a> for OptionalText {
    type Value = Option<Cow<'a, [u8]>>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'a> Visitor<'a> for OptionalText {
    type Value = Option<Cow<'a, [u8]>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }

    fn visit_borrowed_bytes<E>(self, text: &'a [u8]) -> Result<Self::Value, E> {
        Ok(some_text(text).map(Cow::Borrowed))
    }

    fn visit_bytes<E>(self, text: &[u8]) -> Result<Self::Value, E> {
        Ok(some_text(text).map(|text| Cow::Owned(text.to_vec())))
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut list: S) -> Result<Self::Value, S::Error> {
        let first = list.next_element_seed(Self)?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first.flatten())
    }
}

/// A number, text or null.
struct AnyScalar;

impl<'a> DeserializeSeed<'a> for AnyScalar {
    type Value = Scalar<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for AnyScalar {
    type Value = Scalar<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a string")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number as f64))
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(text.as_bytes().into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(text.as_bytes().to_vec().into()))
    }
}
