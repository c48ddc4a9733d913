//! Fields of the JSON that appear in more than one shape.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// Text that borrows from the entry where it has no escapes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// A number, which some write as text; `None` if it is neither, or negative.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Number(pub(super) Option<u32>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfNumber;
        impl<'de> Visitor<'de> for OfNumber {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number(u32::try_from(number).ok()))
            }

            fn visit_i64<E>(self, _negative: i64) -> Result<Number, E> {
                Ok(Number(None))
            }

            fn visit_str<E>(self, text: &str) -> Result<Number, E> {
                Ok(Number(text.parse().ok()))
            }

            fn visit_unit<E>(self) -> Result<Number, E> {
                Ok(Number(None))
            }
        }
        deserializer.deserialize_any(OfNumber)
    }
}

/// Of a request's headers, `Host`: the first, where there are several. Header names have no case (RFC 9110 §5.1).
#[derive(Clone, Debug, Default)]
pub(super) struct Host<'a>(pub(super) Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Host<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfHost;
        impl<'de> Visitor<'de> for OfHost {
            type Value = Host<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("headers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut headers: A) -> Result<Self::Value, A::Error> {
                let mut host = None;
                while let Some(name) = headers.next_key::<Text<'de>>()? {
                    if host.is_none() && name.0.eq_ignore_ascii_case("host") {
                        host = headers.next_value::<First<'de>>()?.0;
                    } else {
                        headers.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Host(host))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Host(None))
            }
        }
        deserializer.deserialize_any(OfHost)
    }
}

/// A text, or the first of several.
struct First<'a>(Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for First<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfFirst;
        impl<'de> Visitor<'de> for OfFirst {
            type Value = First<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or several")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(First(Some(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(First(Some(Cow::Owned(text.to_owned()))))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Self::Value, A::Error> {
                let first = texts.next_element::<Text<'de>>()?.map(|text| text.0);
                while texts.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }
        deserializer.deserialize_any(OfFirst)
    }
}
