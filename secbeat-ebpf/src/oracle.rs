//! What must hold of the parser for every frame, in one place for all who feed it frames: the fuzzer, the replay of its
//! corpus below, and the comparison with the kernel.
//!
//! The expected answer is told a second time, in slice patterns instead of offsets and bounds, and shares no constant
//! with `parse`. For the host only.

use crate::parse::{self, Frame, NoSource, Source};

/// Bytes of the longest headers that are read: Ethernet, two tags, PPPoE, IPv6.
const LONGEST_HEADERS: usize = 14 + 2 * 4 + 8 + 40;

/// What the parser says of a frame in an ordinary slice.
///
/// # Errors
///
/// As [`parse::ethernet`].
pub fn source_of(frame: &[u8]) -> Result<Source, NoSource> {
    let range = frame.as_ptr_range();
    // SAFETY: the range of a slice that outlives the frame.
    parse::ethernet(&unsafe { Frame::new(range.start as usize, range.end as usize) })
        .map(|packet| packet.source)
}

/// Checks all that must hold of the parser's answer on `frame`.
///
/// # Panics
///
/// When something does not.
pub fn check(frame: &[u8]) {
    let answer = source_of(frame);
    assert_eq!(answer, expected(frame), "{frame:02x?}");
    match answer {
        Ok(Source::V4(octets)) => assert!(has(frame, &octets), "{octets:?} is not in {frame:02x?}"),
        Ok(Source::V6(octets)) => assert!(has(frame, &octets), "{octets:02x?} is not in {frame:02x?}"),
        Err(_) => {}
    }
    // A shorter frame has the same source or none, and what follows the headers does not matter.
    for len in 0..=frame.len().min(LONGEST_HEADERS) {
        let cut = source_of(&frame[..len]);
        assert!(
            cut.is_err() || cut == answer,
            "{cut:?} after {len} bytes, {answer:?} in all, of {frame:02x?}"
        );
        assert!(
            len < LONGEST_HEADERS || cut == answer,
            "more than the headers was read of {frame:02x?}"
        );
    }
}

fn has(frame: &[u8], octets: &[u8]) -> bool {
    frame.windows(octets.len()).any(|window| window == octets)
}

/// The source of `frame` by the standards that `parse` names.
fn expected(frame: &[u8]) -> Result<Source, NoSource> {
    match frame.split_at_checked(12) {
        Some((_mac_addresses, typed)) => expected_behind(0, typed),
        None => Err(NoSource::NotIp),
    }
}

/// The source in what starts with an EtherType, `tags` VLAN tags into the frame.
fn expected_behind(tags: u32, typed: &[u8]) -> Result<Source, NoSource> {
    match typed {
        [0x08, 0x00, packet @ ..] | [0x88, 0x64, 0x11, 0x00, _, _, _, _, 0x00, 0x21, packet @ ..] => {
            expected_v4(packet)
        }
        [0x86, 0xdd, packet @ ..] | [0x88, 0x64, 0x11, 0x00, _, _, _, _, 0x00, 0x57, packet @ ..] => {
            expected_v6(packet)
        }
        [0x81 | 0x91, 0x00, _, _, inner @ ..] | [0x88, 0xa8, _, _, inner @ ..] if tags < 2 => {
            expected_behind(tags + 1, inner)
        }
        _ => Err(NoSource::NotIp),
    }
}

fn expected_v4(packet: &[u8]) -> Result<Source, NoSource> {
    match packet {
        // Version 4, and a header of at least five words.
        [0x45..=0x4f, ..] => packet
            .first_chunk::<20>()
            .map(|header| {
                let [.., a, b, c, d, _, _, _, _] = *header;
                Source::V4([a, b, c, d])
            })
            .ok_or(NoSource::Malformed),
        _ => Err(NoSource::Malformed),
    }
}

fn expected_v6(packet: &[u8]) -> Result<Source, NoSource> {
    match packet {
        [0x60..=0x6f, ..] => packet
            .first_chunk::<40>()
            .and_then(|header| header[8..].first_chunk::<16>())
            .map(|octets| Source::V6(*octets))
            .ok_or(NoSource::Malformed),
        _ => Err(NoSource::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::check;

    /// Grown by `cargo xtask fuzz`.
    #[test]
    fn the_fuzzers_corpus_is_parsed_as_expected() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/parse");
        let mut replayed = 0;
        for file in fs::read_dir(&folder).unwrap() {
            check(&fs::read(file.unwrap().path()).unwrap());
            replayed += 1;
        }
        assert!(replayed > 20, "only {replayed} files in {}", folder.display());
    }
}
