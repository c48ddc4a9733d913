//! Sessions and links that begin, end and give way.

use super::*;

fn root() -> Holder {
    Holder {
        name: "root".to_owned(),
        role: Role::Admin,
        token: None,
    }
}

fn token(text: &str, role: Role) -> Token {
    Token {
        name: "ci".parse().unwrap(),
        role,
        hash: TokenHash::of(text),
    }
}

#[test]
fn a_link_opens_one_session_and_only_for_a_while() {
    let sessions = Sessions::default();
    let (code, ends_ms) = sessions.link(root(), 0).unwrap();
    assert_eq!(sessions.redeem("another", &[], 1), None);
    assert_eq!(sessions.redeem(&code, &[], 1), Some(root()));
    assert_eq!(sessions.redeem(&code, &[], 1), None, "it was used");
    let (late, _) = sessions.link(root(), 0).unwrap();
    assert_eq!(sessions.redeem(&late, &[], ends_ms), None, "it is too old");
}

#[test]
fn a_session_ends_unused_at_its_end_or_when_it_is_ended() {
    let sessions = Sessions::default();
    let (secret, session) = sessions.open(root(), true, "a browser", 0).unwrap();
    let (life, idle) = (millis(LIFE), millis(IDLE));
    assert!(sessions.find(&secret, &[], idle - 1).is_some());
    assert!(
        sessions.find(&secret, &[], 2 * idle - 2).is_some(),
        "it was used meanwhile"
    );
    assert_eq!(sessions.find(&secret, &[], 3 * idle), None, "nobody used it");
    let (secret, _) = sessions.open(root(), true, "", 0).unwrap();
    let mut now_ms = 0;
    while now_ms + idle / 2 < life {
        now_ms += idle / 2;
        assert!(sessions.find(&secret, &[], now_ms).is_some());
    }
    assert_eq!(sessions.find(&secret, &[], life), None, "it is over");
    let (secret, ended) = sessions.open(root(), false, "", 0).unwrap();
    assert_ne!(ended.id, session.id);
    assert!(sessions.goes_on(ended.id, &[], 1));
    assert_eq!(
        sessions.end(ended.id, 1).map(|session| session.id),
        Some(ended.id)
    );
    assert_eq!(sessions.find(&secret, &[], 1), None);
    assert!(!sessions.goes_on(ended.id, &[], 1));
}

#[test]
fn a_session_lasts_as_its_token_does_and_has_its_role() {
    let sessions = Sessions::default();
    let holder = Holder {
        token: Some(TokenHash::of("x")),
        ..root()
    };
    let (secret, _) = sessions.open(holder, false, "", 0).unwrap();
    let role = |tokens: &[Token]| Some(sessions.find(&secret, tokens, 1)?.holder.role);
    assert_eq!(role(&[token("x", Role::Admin)]), Some(Role::Admin));
    assert_eq!(role(&[token("x", Role::Read)]), Some(Role::Read));
    assert_eq!(role(&[token("y", Role::Admin)]), None);
    assert_eq!(role(&[token("x", Role::Admin)]), None, "it ended with its token");
}

#[test]
fn sessions_outlast_the_daemon_in_a_file_without_secrets_and_not_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("api.sessions");
    let again = |started_ms| Sessions::kept_in(file.clone(), started_ms, 100);
    let sessions = again(0);
    let (secret, session) = sessions.open(root(), true, "a browser", 1).unwrap();
    let holder = Holder {
        token: Some(TokenHash::of("x")),
        ..root()
    };
    let (with_token, _) = sessions.open(holder, false, "", 2).unwrap();
    let (ended, Session { id, .. }) = sessions.open(root(), true, "", 3).unwrap();
    sessions.end(id, 4);

    let sessions = again(1000);
    let tokens = [token("x", Role::Read)];
    let kept = sessions.list(&tokens, 100);
    assert_eq!(kept.len(), 2, "one was ended");
    assert_eq!(kept.last(), Some(&session));
    assert!(sessions.find(&secret, &tokens, 100).is_some());
    assert_eq!(sessions.find(&ended, &tokens, 100), None);
    let held = sessions.find(&with_token, &tokens, 100).unwrap().holder;
    assert_eq!(held.role, Role::Read, "as its token has it now");
    assert_eq!(
        again(0).find(&with_token, &[], 100),
        None,
        "it ended with its token"
    );
    let used_ms = 100 + millis(IDLE) / 2;
    sessions.find(&secret, &tokens, used_ms);
    let later = Sessions::kept_in(file.clone(), 0, used_ms);
    assert!(
        later.find(&secret, &[], 100 + millis(IDLE)).is_some(),
        "it was used since"
    );
    assert!(
        again(0).find(&secret, &[], 100 + millis(IDLE)).is_none(),
        "the future is none"
    );

    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains(&secret), "{text}");
    let started = Sessions::kept_in(file.clone(), 3_600_000, used_ms);
    assert!(
        started.list(&tokens, used_ms).is_empty(),
        "the host was started again"
    );
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let others = Sessions::kept_in(file.clone(), 0, used_ms);
    assert!(
        others.list(&tokens, used_ms).is_empty(),
        "others may have read it"
    );
}

#[test]
fn a_token_ends_its_own_sessions_and_links_not_those_of_others() {
    let sessions = Sessions::default();
    let reader = || Holder {
        name: "reader".to_owned(),
        role: Role::Read,
        token: Some(TokenHash::of("x")),
    };
    let (admin, _) = sessions.open(root(), false, "", 0).unwrap();
    let (link, _) = sessions.link(root(), 0).unwrap();
    let (first, _) = sessions.open(reader(), false, "", 1).unwrap();
    for n in 0..2 * MAX_SESSIONS as i64 {
        sessions.open(reader(), false, "", 2 + n).unwrap();
        sessions.link(reader(), 1).unwrap();
    }
    let tokens = [token("x", Role::Read)];
    assert_eq!(sessions.list(&tokens, 1000).len(), MAX_SESSIONS);
    assert!(sessions.find(&admin, &tokens, 1000).is_some());
    assert_eq!(sessions.find(&first, &tokens, 1000), None);
    assert_eq!(sessions.redeem(&link, &tokens, 1000), Some(root()));
}

#[test]
fn there_are_so_many_sessions_and_links() {
    let sessions = Sessions::default();
    let (first, _) = sessions.open(root(), false, "", 0).unwrap();
    for n in 0..MAX_SESSIONS as i64 {
        sessions.open(root(), false, "", 1 + n).unwrap();
    }
    assert_eq!(sessions.list(&[], 300).len(), MAX_SESSIONS);
    assert_eq!(sessions.find(&first, &[], 300), None);
    let (first, _) = sessions.link(root(), 0).unwrap();
    for _ in 0..MAX_LINKS {
        sessions.link(root(), 0).unwrap();
    }
    assert_eq!(sessions.redeem(&first, &[], 1), None);
}
