//! A store that a second process wants to open: SQLite's locks hold between processes only.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use rusqlite::{Connection, OpenFlags};

use super::*;

/// The path of the store, for the process that has it.
const STORE: &str = "SECBEAT_TEST_STORE";
const THERE: &str = "the store has its bans";
const BANS: u64 = 50;

/// What the other process does until it is killed.
#[tokio::test]
#[ignore = "it is the other process of the next test"]
async fn who_has_the_store() {
    let path = env::var_os(STORE).expect("the next test starts this");
    let server = LocalServer::open(Path::new(&path)).unwrap();
    let bucket = server.join().bucket("bans");
    bucket.make(settings()).await.unwrap();
    for n in 0..BANS {
        bucket
            .write(Write::put(format!("key.{n}"), n.to_string()))
            .await
            .unwrap();
        // As after each checkpoint.
        let renewed = server.join();
        renewed
            .call("room", |store| {
                store.reserve.renew();
                Ok(())
            })
            .await
            .unwrap();
    }
    println!("{THERE}");
    std::io::stdout().flush().unwrap();
    std::future::pending::<()>().await;
}

fn start(path: &Path) -> Child {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--ignored",
            "--nocapture",
            "--exact",
            "local::tests::other_process::who_has_the_store",
        ])
        .env(STORE, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.as_mut().unwrap());
    let said: Vec<_> = said
        .lines()
        .map(Result::unwrap)
        .take_while(|line| !line.contains(THERE))
        .collect();
    assert!(child.try_wait().unwrap().is_none(), "{said:?}");
    child
}

#[tokio::test]
async fn a_reader_gets_no_lock_and_a_killed_process_leaves_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut child = start(&path);
    // Any other program, which only reads.
    for flags in [OpenFlags::default(), OpenFlags::SQLITE_OPEN_READ_ONLY] {
        let reader = Connection::open_with_flags(&path, flags).unwrap();
        reader.busy_timeout(Duration::ZERO).unwrap();
        let read = reader.query_row("SELECT count(*) FROM entries", [], |row| row.get::<_, u64>(0));
        let error = read.expect_err("the store was open to a reader");
        assert_eq!(
            error.sqlite_error_code(),
            Some(rusqlite::ErrorCode::DatabaseBusy),
            "{error}"
        );
    }
    assert_eq!(refusal(LocalServer::open(&path)), "another process has it open");
    child.kill().unwrap();
    child.wait().unwrap();
    let server = LocalServer::open(&path).unwrap();
    let status = server.join().bucket("bans").status().await.unwrap();
    assert_eq!((status.last_revision, status.keys), (BANS, BANS));
}
