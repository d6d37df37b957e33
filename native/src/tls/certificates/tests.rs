use std::fs;

use super::*;
use crate::tls::pair::tests::write_pair;

/// Returns the first certificate in force.
fn served(certificates: &Certificates) -> Vec<u8> {
    certificates.in_force.load().certified().cert[0].to_vec()
}

/// Looks at the files as the watch does, and returns whether they were read.
fn look(certificates: &Certificates, last: &mut Reading, is_asked: bool) -> bool {
    let reading = certificates.look(last, is_asked);
    reading.map(|reading| *last = reading).is_some()
}

#[test]
fn a_new_pair_is_served_once_both_files_have_changed() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = write_pair(here.path(), &["old.example"], 30);
    let certificates = Certificates::load(files.clone()).unwrap();
    let old = served(&certificates);
    let mut last = Reading { stamp: Some(Stamp::of(&files)), fault: None };
    assert!(!look(&certificates, &mut last, false), "nothing has changed");
    assert!(look(&certificates, &mut last, true), "it was asked for");

    let new = write_pair(there.path(), &["new.example"], 30);
    fs::copy(&new.key, &files.key).unwrap();
    assert!(look(&certificates, &mut last, false));
    assert_eq!((served(&certificates), certificates.is_read()), (old.clone(), false));
    assert!(matches!(last.fault, Some(PairFault::Key(_))), "{last:?}");
    // A failure is tried again, though nothing has changed.
    assert!(look(&certificates, &mut last, false));

    fs::copy(&new.certificate, &files.certificate).unwrap();
    assert!(look(&certificates, &mut last, false));
    assert!(certificates.is_read() && last.fault.is_none());
    assert_ne!(served(&certificates), old);
    assert!(!look(&certificates, &mut last, false));
}

#[test]
fn files_that_are_missing_at_the_first_look_are_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    let files = write_pair(directory.path(), &["a"], 1);
    let certificates = Certificates::load(files.clone()).unwrap();
    fs::remove_file(&files.key).unwrap();
    fs::remove_file(&files.certificate).unwrap();
    let mut last = Reading { stamp: None, fault: None };
    assert!(look(&certificates, &mut last, false));
    assert!(last.fault.is_some() && !certificates.is_read());
}

#[test]
fn a_certificate_whose_time_is_over_is_a_fault_of_readiness() {
    let directory = tempfile::tempdir().unwrap();
    let fault = |days| Certificates::load(write_pair(directory.path(), &["a"], days)).unwrap().fault();
    assert_eq!(fault(1), None);
    assert!(fault(0).unwrap().starts_with("it expired at "));
}

#[tokio::test(start_paused = true)]
async fn the_files_are_looked_at_each_minute() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = write_pair(here.path(), &["old.example"], 30);
    let certificates = Certificates::load(files.clone()).unwrap();
    let old = served(&certificates);
    let (stop, stopping) = watch::channel(false);
    let watching = tokio::spawn(certificates.clone().watch(stopping));
    let new = write_pair(there.path(), &["new.example"], 30);
    fs::copy(&new.key, &files.key).unwrap();
    fs::copy(&new.certificate, &files.certificate).unwrap();
    while served(&certificates) == old {
        sleep(LOOK).await;
    }
    stop.send(true).unwrap();
    watching.await.unwrap();
}

#[tokio::test]
async fn a_reload_is_done_once_the_new_pair_is_served() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = write_pair(here.path(), &["old.example"], 30);
    let certificates = Certificates::load(files.clone()).unwrap();
    let old = served(&certificates);
    let new = write_pair(there.path(), &["new.example"], 30);
    fs::copy(&new.key, &files.key).unwrap();
    fs::copy(&new.certificate, &files.certificate).unwrap();
    // Asked for before anything watches the files, and once more meanwhile.
    let early = certificates.reload();
    let (_stop, stopping) = watch::channel(false);
    tokio::spawn(certificates.clone().watch(stopping));
    let late = certificates.reload();
    early.await;
    assert_ne!(served(&certificates), old);
    late.await;
    certificates.reload().await;
}
