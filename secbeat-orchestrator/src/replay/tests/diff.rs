//! Two configs over the same lines.

use super::{super::diff::DiffSummary, *};

/// What the change from one count of errors to another changes.
fn compared(logs: &[&[u8]], before: &DetectConfig, after: &DetectConfig) -> (Diff, DiffSummary) {
    let mut trials = [before, after].map(|detect| Trial::new(detect.clone(), LedgerConfig::default()));
    let mut found = [Vec::new(), Vec::new()];
    let reading = Replay::of(inputs(logs), &ReadAs::default(), false, ProgressBar::hidden())
        .unwrap()
        .run(&mut trials, |n, record| {
            found[n].push(record);
            Ok(())
        })
        .unwrap();
    let [before, after] = found;
    let diff = Diff::of(before, after);
    let summary = diff.summary(reading, trials.map(Trial::finish));
    (diff, summary)
}

fn written(diff: &Diff, format: Format) -> String {
    let mut output = Vec::new();
    diff.write(format, &mut output).unwrap();
    String::from_utf8(output).unwrap()
}

/// Clients with 10, 5 and 2 errors within 10 s, and one from loopback.
fn clients() -> Vec<u8> {
    let mut lines = Vec::new();
    for second in 0..10 {
        lines.push(("203.0.113.1", second, 404));
        lines.push(("127.0.0.1", second, 404));
        if second < 5 {
            lines.push(("203.0.113.2", second, 404));
        }
        if second < 2 {
            lines.push(("203.0.113.3", second, 404));
        }
    }
    log(&lines)
}

#[test]
fn a_stricter_config_bans_earlier_and_more() {
    let (diff, summary) = compared(&[&clients()], &errors(6), &errors(4));
    assert_eq!(
        written(&diff, Format::Table),
        "   AT                        TARGET                    RULE            COUNT  STRIKES  BANNED UNTIL\n\
         +  2026-11-20T10:00:03.000Z  203.0.113.2/32            error-flood         4        0  2026-11-20T10:05:03.000Z\n\
         ~- 2026-11-20T10:00:05.000Z  203.0.113.1/32            error-flood         6        0  2026-11-20T10:05:05.000Z\n\
         ~+ 2026-11-20T10:00:03.000Z  203.0.113.1/32            error-flood         4        0  2026-11-20T10:05:03.000Z\n"
    );
    assert_eq!(
        summary.to_string(),
        "27 lines read, 27 parsed, 0 rejected\n\
         before:\n  error-flood: 2 findings of 2 sources, 1 ban, 0 observed, 1 suppressed\n4 sources, 2 findings, 1 of them suppressed\n\
         after:\n  error-flood: 4 findings of 3 sources, 2 bans, 0 observed, 2 suppressed\n4 sources, 4 findings, 2 of them suppressed\n\
         1 ban appears, 0 vanish, 1 differ, 0 are the same"
    );
}

#[test]
fn a_milder_config_makes_bans_vanish() {
    let (diff, summary) = compared(&[&clients()], &errors(4), &errors(11));
    assert_eq!(
        written(&diff, Format::Json),
        "{\"change\":\"vanishes\",\"before\":{\"at\":\"2026-11-20T10:00:03.000Z\",\"target\":\"203.0.113.1/32\",\
         \"rule\":\"error-flood\",\"count\":4,\"expires_at\":\"2026-11-20T10:05:03.000Z\",\"strikes\":0},\"after\":null}\n\
         {\"change\":\"vanishes\",\"before\":{\"at\":\"2026-11-20T10:00:03.000Z\",\"target\":\"203.0.113.2/32\",\
         \"rule\":\"error-flood\",\"count\":4,\"expires_at\":\"2026-11-20T10:05:03.000Z\",\"strikes\":0},\"after\":null}\n"
    );
    assert_eq!(
        (summary.appear, summary.vanish, summary.differ, summary.same),
        (0, 2, 0, 0)
    );
}

#[test]
fn the_same_config_changes_nothing() {
    let (diff, summary) = compared(&[SITE, PROBING, FLOOD], &errors(3), &errors(3));
    assert_eq!(written(&diff, Format::Table), "");
    assert_eq!(diff.changes, []);
    assert_eq!(diff.same, summary.before.bans);
    assert!(diff.same > 10, "{summary}");
    assert_eq!(summary.before, summary.after);
}

#[test]
fn every_ban_of_either_config_is_accounted_for() {
    for (before, after) in [(2, 3), (3, 2), (5, 20), (20, 5), (10, 11)] {
        let (_, summary) = compared(&[SITE, PROBING], &errors(before), &errors(after));
        let kept = summary.differ as u64 + summary.same;
        assert_eq!(summary.before.bans, kept + summary.vanish as u64, "{summary}");
        assert_eq!(summary.after.bans, kept + summary.appear as u64, "{summary}");
    }
}
