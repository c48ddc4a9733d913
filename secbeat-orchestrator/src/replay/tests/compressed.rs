//! Logs that were compressed when they were rotated.

use std::{fs, io::Write};

use flate2::{Compression, write::GzEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

fn gzip(log: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(log).unwrap();
    encoder.finish().unwrap()
}

fn zstd(log: &[u8]) -> Vec<u8> {
    compress_to_vec(log, CompressionLevel::Fastest)
}

/// Past what the format is detected from, and past any buffer.
fn long() -> Vec<u8> {
    let log: Vec<u8> = SITE.iter().copied().cycle().take(SITE.len() * 2).collect();
    assert!(log.len() > 2_000_000);
    log
}

#[test]
fn compressed_logs_are_read_by_what_is_in_them() {
    let log = long();
    let half = log.len() / 2;
    let skippable = [&0x184D_2A50_u32.to_le_bytes()[..], &[3, 0, 0, 0], b"any"].concat();
    let expected = replay(&[&log], &errors(3), Format::Json);
    assert!(expected.1.verdicts.findings >= 10);
    for (what, compressed) in [
        ("gzip", gzip(&log)),
        (
            "gzip, two members",
            [gzip(&log[..half]), gzip(&log[half..])].concat(),
        ),
        ("zstd", zstd(&log)),
        (
            "zstd, two frames and one to skip",
            [zstd(&log[..half]), skippable, zstd(&log[half..])].concat(),
        ),
    ] {
        let found = replay(&[&compressed], &errors(3), Format::Json);
        assert!(found == expected, "{what}: {}", found.1);
    }
}

#[test]
fn a_file_is_read_like_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    let expected = replay(&[&long()], &errors(3), Format::Json);
    // Neither is called what it is.
    for (name, bytes) in [("access.log.gz", long()), ("access.log", gzip(&long()))] {
        let path = folder.path().join(name);
        fs::write(&path, &bytes).unwrap();
        let (input, len) = Input::at(&path).unwrap();
        assert_eq!(len, Some(bytes.len() as u64));
        let logs = vec![(name.to_owned(), input)];
        let found = try_replay(logs, &errors(3), Format::Json, &ReadAs::default());
        assert!(found.unwrap() == expected, "{name}");
    }
}

#[test]
fn a_damaged_file_is_an_error() {
    let refused = |log: &[u8]| {
        let logs = inputs(&[log]);
        let detect = DetectConfig::default();
        let error = try_replay(logs, &detect, Format::Json, &ReadAs::default()).unwrap_err();
        assert_eq!(error.to_string(), "reading log-0");
        std::error::Error::source(&error).unwrap().to_string()
    };
    for compressed in [gzip(&long()), zstd(&long())] {
        let cut = &compressed[..compressed.len() / 2];
        assert!(!refused(cut).is_empty());
        let mut wrong = compressed.clone();
        let last = wrong.len() - 1;
        wrong[last] ^= 0x55;
        refused(&wrong);
    }
}
