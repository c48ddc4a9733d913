use secbeat_common::sign::{SecretKey, Signer};
use secbeat_orchestrator_core::{analyzers::DetectConfig, ledger::LedgerConfig};

use super::*;

fn orders() -> Orders {
    Orders {
        detect: DetectConfig {
            max_sources: 1_000,
            ..DetectConfig::default()
        },
        ledger: LedgerConfig::default(),
        protected: Vec::new(),
        max_age: std::time::Duration::from_secs(120),
        cleanup_interval: std::time::Duration::from_secs(300),
        unban_grace: std::time::Duration::ZERO,
    }
}

#[test]
fn what_was_heard_is_kept_and_believed_only_if_somebody_trusted_signed_it() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept::in_folder(folder.path());
    let key = SecretKey::generate().unwrap();
    let trust: Trust = [key.public()].into_iter().collect();
    assert!(kept.detection(&trust).is_none() && kept.allowlist().is_none());
    let sealed = Signer::from(Some(key))
        .seal(&orders().tell().unwrap(), 0)
        .unwrap();
    kept.keep_detection(&DetectionRecord::open(&sealed, &trust).unwrap());
    assert_eq!(kept.detection(&trust).unwrap().orders, orders());
    let others: Trust = [SecretKey::generate().unwrap().public()].into_iter().collect();
    assert!(kept.detection(&others).is_none());
    let forged = Signer::default().seal(&orders().tell().unwrap(), 0).unwrap();
    std::fs::write(folder.path().join("detection.sealed"), forged).unwrap();
    assert!(kept.detection(&trust).is_none());
}

#[test]
fn where_the_detector_is_off_nothing_is_shown_to_it() {
    let (tap, _) = Tap::new(Local::Off, "web-1", &Labels::new());
    tap.see(|| panic!("nobody looks"));
    assert!(tap.status().is_none());
    let (tap, _wanted) = Tap::new(Local::Fallback, "web-1", &Labels::new());
    assert_eq!(tap.status(), Some(Status::default()));
}
