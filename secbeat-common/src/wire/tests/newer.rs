//! A made-up release after this one: with more parts, some of them critical, and with words that this one does not know.

use super::{super::*, Newer, bytes, samples};
use crate::sign::{Opened, Signer, Trust, Untrusted};

/// A batch whose client's address was learned in the way number 7, with a column 3 beside that of user agents.
const BATCH: &str = "02 01 0165 10 00000000000000000000000000000007 09 04 01 01 0175 01 01 20010db8000000000000000000000001 02 fb9401 00 07 03474554 022f78 0168 01 20010db8000000000000000000000000 40 02 00 07 03 01 00 02 0100 03000000 01 0161 0300 02000000 01 2a";
/// The same with a part 4 instead.
const CRITICAL_BATCH: &str = "02 01 0165 10 00000000000000000000000000000007 09 04 01 01 0175 01 01 20010db8000000000000000000000001 02 fb9401 00 07 03474554 022f78 0168 01 20010db8000000000000000000000000 40 02 00 07 03 01 00 02 0100 03000000 01 0161 0400 02000000 01 2a";
/// A ban by a rule `tls-flood`, with a part 5.
const BAN: &str = "02 06 10 01920000000070008000000000000001 00 00000000000000000000ffffc6336407 80 09 746c732d666c6f6f64 10 3530206572726f727320696e20363073 00 01 fbd007 fc902f0900 0c 6f7263686573747261746f72 00 03 02 0100 07000000 32 fb60ea fbd007 0500 01000000 2a";
/// An acknowledgement whose outcome has the number 9.
const ACKS: &str = "02 04 0165 fbd607 01 10 01920000000070008000000000000001 00000000000000000000ffffc6336407 80 fbd007 09 05 6c61746572 00";
/// A firewall's event with an outcome of number 3.
const WAF: &str = "02 03 0165 10 00000000000000000000000000000007 09 04 01 01 01 20010db8000000000000000000000001 02 01 03 02 fc14600e00 01 02 07 00 01 05 016d 022f78 0168 00";
const SERVICE: &str = "02 0d 0165 10 00000000000000000000000000000007 09 04 01 01 01 20010db8000000000000000000000001 02 01 03 0473736864 016b 0175 00";

#[test]
fn reports_are_read_but_for_what_is_unknown() {
    let mut batch = samples::telemetry();
    batch.events[0].learned_from = LearnedFrom::Unknown;
    batch.counts[0].learned_from = LearnedFrom::Unknown;
    let read = Decoded {
        message: batch,
        skipped: 1,
    };
    assert_eq!(decode_counted(&bytes(BATCH)), Ok(read));
    assert_eq!(LearnedFrom::Unknown.layer(), Layer::L7);

    let mut waf = samples::waf();
    waf.events[0].outcome = WafOutcome::Unknown;
    assert_eq!(decode(&bytes(WAF)), Ok(waf));

    let mut service = samples::service();
    service.events[0].class = ServiceClass::Unknown;
    assert_eq!(decode(&bytes(SERVICE)), Ok(service));

    let mut acks = samples::acks();
    acks.acks = vec![Ack {
        outcome: Enforcement::Failed("later".to_owned()),
        ..acks.acks.remove(0)
    }];
    assert_eq!(decode(&bytes(ACKS)), Ok(acks));
}

#[test]
fn a_message_with_an_unknown_critical_part_is_refused() {
    assert_eq!(
        decode::<TelemetryBatch>(&bytes(CRITICAL_BATCH)),
        Err(WireError::CriticalPart(4))
    );
}

#[test]
fn an_unknown_reason_keeps_its_name() {
    let reason = Reason::Rule("tls-flood".parse().unwrap());
    let ban = BlockCommand {
        reason,
        ..samples::ban()
    };
    let read = Decoded {
        message: ban,
        skipped: 1,
    };
    assert_eq!(decode_counted(&bytes(BAN)), Ok(read));
    assert_eq!(reason.code(), crate::maps::reason::OWN_RULE);
}

#[test]
fn an_order_of_which_anything_is_unknown_is_not_obeyed() {
    let good = encode(&samples::ban()).unwrap();
    let malformed = |at: usize, from: u8, to: u8| {
        let mut bytes = good.clone();
        assert_eq!(std::mem::replace(&mut bytes[at], to), from);
        let error = decode::<BlockCommand>(&bytes).unwrap_err();
        assert!(matches!(error, WireError::Malformed(_)), "{error}");
    };
    // After format, kind and a command id of a length and 16 bytes comes the action.
    malformed(19, 0, 1);
    // From the end: the evidence's part, the number of parts, epoch, layer; before it the issuer, two times, strikes, scope.
    let evidence = 6 + 7;
    let layer = good.len() - evidence - 3;
    malformed(layer, 0, 2);
    let issuer = 1 + "orchestrator".len();
    let times = 3 + 5;
    let scope = layer - issuer - times - 2;
    malformed(scope, 0, 2);
}

#[test]
fn signatures_cover_parts_that_the_reader_skips() {
    let signer = Signer::from(Some(samples::key()));
    let trust: Trust = [samples::key().public()].into_iter().collect();
    let newer = Newer {
        message: samples::ban(),
        more: vec![(5, b"more".to_vec()), (9, Vec::new())],
    };
    let sealed = signer.seal(&newer, 9).unwrap();
    let opened = Opened {
        command: samples::ban(),
        after: 9,
        skipped: 2,
    };
    assert_eq!(trust.open(&sealed), Ok(opened.clone()));
    assert_eq!(
        trust.open_all(&[&sealed, &sealed]),
        [Ok(opened.clone()), Ok(opened)]
    );

    let at = sealed.windows(4).position(|bytes| bytes == b"more").unwrap();
    let mut bent = sealed.clone();
    bent[at] ^= 1;
    assert_eq!(trust.open::<BlockCommand>(&bent), Err(Untrusted::Forged));

    // The number of parts is the last byte of what has none.
    let mut extended = sealed;
    *extended.last_mut().unwrap() = 1;
    extended.extend([1, 0, 0, 0, 0, 0]);
    assert_eq!(trust.open::<BlockCommand>(&extended), Err(Untrusted::Uncovered));
    assert_eq!(
        Trust::default().open::<BlockCommand>(&extended),
        Err(Untrusted::Uncovered)
    );

    let critical = Newer {
        message: samples::ban(),
        more: vec![(4, Vec::new())],
    };
    let sealed = signer.seal(&critical, 9).unwrap();
    assert_eq!(
        trust.open::<BlockCommand>(&sealed),
        Err(Untrusted::Wire(WireError::CriticalPart(4)))
    );
}
