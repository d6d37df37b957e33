use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use tempfile::TempDir;

use super::*;
use crate::{
    clock::wall_time,
    tls::{SigningKey, issue::check_name},
};

/// Writes a pair for these names, and returns the pair's files.
pub(crate) fn write_pair(directory: &Path, names: &[&str], days: u32) -> TlsFiles {
    let files = TlsFiles { certificate: directory.join("chat.crt"), key: directory.join("chat.key") };
    let key = SigningKey::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
    fs::write(&files.certificate, key.certificate(&names, wall_time(), days).unwrap()).unwrap();
    fs::write(&files.key, key.to_pem()).unwrap();
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
    files
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_pair_has_its_names_dates_and_pin() {
    let directory = directory();
    let names = ["chat.example", "192.0.2.7", "2001:db8::1", "*.chat.example"];
    let files = write_pair(directory.path(), &names, 30);
    let pair = Pair::load(&files).unwrap();
    let certificate = pair.certificate();
    assert_eq!(certificate.names, names);
    let (now, month) = (wall_time().as_unix(), 30 * 86_400);
    assert!((now + month - 60..=now + month).contains(&certificate.not_after.as_unix()), "{certificate:?}");
    assert_eq!(certificate.expiry(wall_time()), None);
    assert!(certificate.is_self_signed);
}

#[test]
fn a_certificate_that_is_over_or_soon_over_is_warned_of() {
    let directory = directory();
    let certificate = |days| Pair::load(&write_pair(directory.path(), &["a"], days)).unwrap().certificate().clone();
    for (days, words) in [(0, "it expired at "), (13, "it expires at ")] {
        let warning = certificate(days).expiry(wall_time()).unwrap();
        assert!(warning.starts_with(words), "{warning}");
    }
    assert_eq!(certificate(15).expiry(wall_time()), None);
    let early = certificate(15).expiry(chanwire_core::wire::Timestamp::from_unix(0)).unwrap();
    assert!(early.starts_with("it is not valid before "), "{early}");
}

#[test]
fn a_pair_is_read_through_symbolic_links() {
    let directory = directory();
    let files = write_pair(directory.path(), &["a"], 30);
    let link = |path: &Path, name: &str| {
        let link = directory.path().join(name);
        symlink(path, &link).unwrap();
        link
    };
    let links = TlsFiles { certificate: link(&files.certificate, "live.crt"), key: link(&files.key, "live.key") };
    Pair::load(&links).unwrap();
}

#[test]
fn each_fault_names_its_file_and_cause() {
    let (one, other) = (directory(), directory());
    let fault = |change: &dyn Fn(&TlsFiles)| {
        let files = write_pair(one.path(), &["a"], 30);
        change(&files);
        Pair::load(&files).unwrap_err().to_string()
    };
    let others = write_pair(other.path(), &["a"], 30);
    assert_eq!(
        fault(&|files| fs::remove_file(&files.certificate).unwrap()),
        "cannot use the certificate: No such file or directory (os error 2)"
    );
    assert_eq!(
        fault(&|files| fs::write(&files.certificate, "x").unwrap()),
        "cannot use the certificate: it has no certificate (BEGIN CERTIFICATE)"
    );
    assert_eq!(
        fault(&|files| fs::remove_file(&files.key).unwrap()),
        "cannot use the key: No such file or directory (os error 2)"
    );
    assert_eq!(
        fault(&|files| assert!(fs::copy(&files.certificate, &files.key).is_ok())),
        "cannot use the key: everybody may read it; run `chmod o-rwx` on it"
    );
    assert_eq!(
        fault(&|files| fs::write(&files.key, "x").unwrap()),
        "cannot use the key: it has no private key (BEGIN PRIVATE KEY)"
    );
    assert_eq!(
        fault(&|files| assert!(fs::copy(&others.key, &files.key).is_ok())),
        "cannot use the key: it is the key of another certificate; are both files of the same renewal?"
    );
    assert_eq!(
        fault(&|files| fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap()),
        "cannot use the key: everybody may read it; run `chmod o-rwx` on it"
    );
}

#[test]
fn a_certificate_is_for_dns_names_and_addresses_alone() {
    for name in ["chat.example", "*.chat.example", "192.0.2.7", "::1", "localhost"] {
        assert_eq!(check_name(name).as_deref(), Ok(name));
    }
    for name in ["", "chat example", "chat.example:22236", "[::1]", "*", "ch\u{e4}t.example"] {
        check_name(name).unwrap_err();
    }
}
