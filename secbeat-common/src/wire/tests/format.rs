//! What is not exactly one message is refused, each fault by its name.

use uuid::Uuid;

use super::{
    super::{
        codec::{append, exactly},
        *,
    },
    samples,
};

/// A ban without evidence, which ends with the number of its parts.
fn bare() -> Vec<u8> {
    let command = BlockCommand {
        evidence: None,
        ..samples::ban()
    };
    encode(&command).unwrap()
}

/// A ban whose message goes on with `count` parts, which are `parts`.
fn with_parts(count: u8, parts: &[u8]) -> Result<BlockCommand, WireError> {
    let mut bytes = bare();
    *bytes.last_mut().unwrap() = count;
    decode(&[&bytes[..], parts].concat())
}

#[test]
fn what_does_not_begin_as_this_message_is_refused() {
    let mut good = bare();
    assert_eq!(decode::<BlockCommand>(&[]), Err(WireError::Empty));
    for format in [0, 1, FORMAT + 1] {
        good[0] = format;
        assert_eq!(decode::<BlockCommand>(&good), Err(WireError::Format(format)));
    }
    good[0] = FORMAT;
    assert_eq!(
        decode::<Lift>(&good),
        Err(WireError::WrongKind {
            expected: Kind::Lift,
            found: Kind::Ban
        })
    );
    good[1] = 99;
    assert_eq!(decode::<BlockCommand>(&good), Err(WireError::UnknownKind(99)));
    assert_eq!(
        WireError::Format(1).to_string(),
        "message format 1; this release reads format 2"
    );
}

#[test]
fn what_does_not_end_as_a_message_is_refused() {
    for sample in samples::all() {
        let (read, good) = (sample.read, sample.bytes);
        for len in 1..good.len() {
            assert_eq!(read(&good[..len]), Err(WireError::Truncated), "{len} bytes");
        }
        assert_eq!(
            read(&[&good[..], &[0, 0]].concat()),
            Err(WireError::TrailingBytes(2))
        );
    }
}

#[test]
fn what_is_too_large_is_neither_written_nor_read() {
    let fill = |len| Lease {
        holder: Some("x".repeat(len)),
        since_ms: 0,
        ..Lease::default()
    };
    // Format, kind, an option, a length of 1 and 4 bytes, a time, the number of parts.
    let largest = MAX_MESSAGE - 10;
    assert_eq!(encode(&fill(largest)).unwrap().len(), MAX_MESSAGE);
    assert_eq!(
        encode(&fill(largest + 1)),
        Err(WireError::TooLarge(MAX_MESSAGE + 1))
    );
    assert_eq!(
        decode::<BlockCommand>(&vec![FORMAT; MAX_MESSAGE + 1]),
        Err(WireError::TooLarge(MAX_MESSAGE + 1))
    );
}

#[test]
fn each_fault_of_parts_has_its_error() {
    const EVIDENCE: &[u8] = &[1, 0, 3, 0, 0, 0, 50, 60, 2];
    const OPTIONAL: &[u8] = &[5, 0, 1, 0, 0, 0, 9];
    const CRITICAL: &[u8] = &[4, 0, 0, 0, 0, 0];
    const LIST: &[u8] = &[
        3, 0, 17, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7,
    ];
    let evidence = Some(Evidence {
        count: 50,
        window_ms: 60,
        at_ms: 1,
    });
    let ban = |evidence| BlockCommand {
        evidence,
        ..samples::ban()
    };
    let of_list = BlockCommand {
        list: Some(Uuid::from_u128(7)),
        ..ban(evidence)
    };
    let part = |why: &str| WireError::Part {
        tag: 1,
        why: why.to_owned(),
    };
    for (count, parts, outcome) in [
        (0, vec![], Ok(ban(None))),
        (1, EVIDENCE.to_vec(), Ok(ban(evidence))),
        (2, [EVIDENCE, OPTIONAL].concat(), Ok(ban(evidence))),
        (2, [OPTIONAL, EVIDENCE].concat(), Err(WireError::PartOrder(1))),
        (2, [EVIDENCE, EVIDENCE].concat(), Err(WireError::PartOrder(1))),
        (
            3,
            [EVIDENCE, OPTIONAL, OPTIONAL].concat(),
            Err(WireError::PartOrder(5)),
        ),
        (2, [EVIDENCE, LIST].concat(), Ok(of_list)),
        (2, [EVIDENCE, CRITICAL].concat(), Err(WireError::CriticalPart(4))),
        (1, CRITICAL.to_vec(), Err(WireError::CriticalPart(4))),
        (1, vec![0, 0, 0, 0, 0, 0], Err(WireError::CriticalPart(0))),
        (2, EVIDENCE.to_vec(), Err(WireError::Truncated)),
        (1, [EVIDENCE, OPTIONAL].concat(), Err(WireError::TrailingBytes(7))),
        (1, OPTIONAL[..6].to_vec(), Err(WireError::Truncated)),
        (1, vec![5, 0, 0xff, 0xff, 0xff, 0xff], Err(WireError::Truncated)),
        (
            1,
            vec![1, 0, 2, 0, 0, 0, 50, 60],
            Err(part("the message is cut short")),
        ),
        (
            1,
            vec![1, 0, 4, 0, 0, 0, 50, 60, 2, 0],
            Err(part("1 bytes after the end of the message")),
        ),
    ] {
        assert_eq!(with_parts(count, &parts), outcome, "{count} parts {parts:?}");
    }
}

#[test]
fn a_column_has_a_value_for_each_item() {
    let mut batch = samples::telemetry();
    batch.events.push(batch.events[0].clone());
    let column = |agents: &[&str]| {
        let mut short = batch.clone();
        short.events.iter_mut().for_each(|event| event.user_agent.clear());
        let mut bytes = encode(&short).unwrap();
        *bytes.last_mut().unwrap() = 1;
        let mut content = Vec::new();
        append(&agents, &mut content).unwrap();
        bytes.extend([1, 0, content.len() as u8, 0, 0, 0]);
        decode::<TelemetryBatch>(&[bytes, content].concat())
    };
    assert_eq!(column(&["a", "a"]), Ok(batch.clone()));
    for agents in [&["a"][..], &["a", "a", "a"]] {
        let error = WireError::Part {
            tag: 1,
            why: format!("{} values for 2 items", agents.len()),
        };
        assert_eq!(column(agents), Err(error));
    }
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    // A text that claims 2^60 bytes, where the edge id's length is read.
    let bytes = [FORMAT, Kind::Telemetry as u8, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0x10];
    assert!(matches!(
        decode::<TelemetryBatch>(&bytes),
        Err(WireError::Malformed(_))
    ));
    // The same of a column.
    assert!(exactly::<Vec<String>>(&bytes[2..]).is_err());
}

#[test]
fn text_is_cut_between_characters() {
    let text = "é".repeat(MAX_TEXT);
    assert_eq!(cut(&text).len(), MAX_TEXT);
    assert_eq!(cut("short"), "short");
    assert_eq!(cut(&format!("x{text}")).len(), MAX_TEXT - 1);
}
