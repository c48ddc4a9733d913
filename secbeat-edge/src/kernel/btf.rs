//! The field names that a map carries: enough BTF to read the values of a map that another release laid out.
//!
//! Format: the kernel's `Documentation/bpf/btf.rst`, "BTF Type and String Encoding".

use std::collections::HashMap;

const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;
/// Typedefs and qualifiers in a row before a field's type is given up.
const MAX_REFERENCES: usize = 16;

const KIND_INT: u32 = 1;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

/// The unsigned integer fields of a struct: name → where in its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(HashMap<String, (usize, usize)>);

impl FromIterator<(String, (usize, usize))> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, (usize, usize))>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl Fields {
    /// The fields of struct `type_id` in `btf`, as `BPF_OBJ_GET_INFO_BY_FD` gives it; `None` if there is no such struct or
    /// the bytes make no sense.
    pub(super) fn of_struct(btf: &[u8], type_id: u32) -> Option<Self> {
        let (types, strings) = sections(btf)?;
        let types = Types::parse(types)?;
        let outer = types.resolve(type_id)?;
        if outer.kind != KIND_STRUCT {
            return None;
        }
        let mut fields = HashMap::new();
        for member in outer.data.chunks_exact(12) {
            let (name, field_type, bits) = (word(member, 0)?, word(member, 4)?, word(member, 8)?);
            // With the kind flag, the upper byte is the size of a bit field, of which maps have none.
            let offset = (bits & 0x00ff_ffff) as usize / 8;
            if let Some(field) = types.resolve(field_type).filter(|field| field.kind == KIND_INT) {
                fields.insert(string(strings, name)?, (offset, field.size as usize));
            }
        }
        Some(Self(fields))
    }

    /// Whether there is a field `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The field `name` of `value`; `None` if there is none.
    pub(super) fn read(&self, name: &str, value: &[u8]) -> Option<u64> {
        let (offset, size) = *self.0.get(name)?;
        let bytes = value.get(offset..offset + size)?;
        match *bytes {
            [a] => Some(u64::from(a)),
            [a, b] => Some(u64::from(u16::from_ne_bytes([a, b]))),
            [a, b, c, d] => Some(u64::from(u32::from_ne_bytes([a, b, c, d]))),
            [a, b, c, d, e, f, g, h] => Some(u64::from_ne_bytes([a, b, c, d, e, f, g, h])),
            _ => None,
        }
    }
}

struct Type<'a> {
    kind: u32,
    /// Of a struct or integer in bytes; of a reference, the type referred to.
    size: u32,
    /// What follows the three words that every type has.
    data: &'a [u8],
}

/// All types; the first one has number 1.
struct Types<'a>(Vec<Type<'a>>);

impl<'a> Types<'a> {
    fn parse(mut bytes: &'a [u8]) -> Option<Self> {
        let mut types = Vec::new();
        while !bytes.is_empty() {
            let (info, size) = (word(bytes, 4)?, word(bytes, 8)?);
            let (kind, entries) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            let len = match kind {
                KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
                KIND_ARRAY => 12,
                KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => 12 * entries,
                KIND_ENUM | KIND_FUNC_PROTO => 8 * entries,
                _ => 0,
            };
            types.push(Type {
                kind,
                size,
                data: bytes.get(12..12 + len)?,
            });
            bytes = bytes.get(12 + len..)?;
        }
        Some(Self(types))
    }

    /// The type behind typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<&Type<'a>> {
        for _ in 0..MAX_REFERENCES {
            let found = self.0.get(usize::try_from(id).ok()?.checked_sub(1)?)?;
            match found.kind {
                KIND_TYPEDEF..=KIND_RESTRICT | KIND_TYPE_TAG => id = found.size,
                _ => return Some(found),
            }
        }
        None
    }
}

/// The type and the string section.
fn sections(btf: &[u8]) -> Option<(&[u8], &[u8])> {
    if u16::from_ne_bytes([*btf.first()?, *btf.get(1)?]) != MAGIC {
        return None;
    }
    let header = usize::try_from(word(btf, 4)?).ok().filter(|len| *len >= HEADER)?;
    let section = |offset: u32, len: u32| {
        let start = header.checked_add(offset as usize)?;
        btf.get(start..start.checked_add(len as usize)?)
    };
    Some((
        section(word(btf, 8)?, word(btf, 12)?)?,
        section(word(btf, 16)?, word(btf, 20)?)?,
    ))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

fn string(strings: &[u8], at: u32) -> Option<String> {
    let bytes = strings.get(at as usize..)?.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `typedef unsigned long u64; struct { u64 end; char pad[4]; unsigned char why; }`.
    fn sample() -> Vec<u8> {
        let strings = b"\0u64\0end\0why\0pad\0";
        let words: Vec<u32> = [
            // 1: an integer of 8 bytes; 2: a typedef of it; 3: an integer of 1 byte; 4: an array.
            [0, KIND_INT << 24, 8, 64].as_slice(),
            &[1, KIND_TYPEDEF << 24, 1],
            &[0, KIND_INT << 24, 1, 8],
            &[0, KIND_ARRAY << 24, 0, 3, 3, 4],
            &[0, KIND_STRUCT << 24 | 3, 16, 5, 2, 0, 13, 4, 64, 9, 3, 96],
        ]
        .concat();
        let types: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut btf = [MAGIC.to_ne_bytes().as_slice(), &[1, 0]].concat();
        for word in [
            HEADER as u32,
            0,
            types.len() as u32,
            types.len() as u32,
            strings.len() as u32,
        ] {
            btf.extend(word.to_ne_bytes());
        }
        btf.extend(types);
        btf.extend(strings);
        btf
    }

    #[test]
    fn integer_fields_are_found_by_name() {
        let fields = Fields::of_struct(&sample(), 5).unwrap();
        let mut value = [0; 16];
        value[..8].copy_from_slice(&77_u64.to_ne_bytes());
        value[12] = 9;
        assert_eq!(fields.read("end", &value), Some(77));
        assert_eq!(fields.read("why", &value), Some(9));
        assert_eq!(fields.read("pad", &value), None);
        assert_eq!(fields.read("end", &value[..4]), None);
    }

    #[test]
    fn what_is_no_struct_or_no_btf_has_no_fields() {
        let btf = sample();
        assert_eq!(Fields::of_struct(&btf, 1), None);
        assert_eq!(Fields::of_struct(&btf, 0), None);
        assert_eq!(Fields::of_struct(&btf, 6), None);
        for len in 0..btf.len() {
            assert!(Fields::of_struct(&btf[..len], 5).is_none(), "cut at {len}");
        }
    }
}
