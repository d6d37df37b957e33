//! `chanwire tls`

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use chanwire_inspect::visible;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, Outcome, text::print};
use crate::{
    clock::wall_time,
    config::absolute,
    tls::{Certificate, PemFile, SigningKey, check_name},
};

/// Make, renew and show certificates for TLS
#[derive(Debug, Subcommand)]
pub(super) enum Tls {
    New(New),
    Renew(Renew),
    Show(Show),
}

/// Make a key and a self-signed certificate for it
///
/// No client trusts it by itself: give people the pin that is printed, or the certificate. For a certificate that every
/// client trusts, use certbot or another client of a certificate authority.
#[derive(Debug, Args)]
pub(super) struct New {
    /// A DNS name or IP address at which clients reach the server; may be given more than once
    #[arg(long = "name", value_name = "NAME", required = true, value_parser = check_name)]
    names: Vec<String>,

    #[command(flatten)]
    pair: PairArgs,

    /// Replace the files where they exist: clients that know the pin will refuse the new key
    #[arg(long)]
    force: bool,
}

/// Renew a self-signed certificate, with the same names and the same key
///
/// Its pin stays the same. A running server serves the new certificate within a minute, or at once after SIGHUP.
#[derive(Debug, Args)]
pub(super) struct Renew {
    #[command(flatten)]
    pair: PairArgs,
}

/// Show the names, the dates and the pin of a certificate
///
/// The pin is a hash of the public key. It stays the same when a certificate is renewed with the same key.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The file of the certificate, or of a chain that begins with it (PEM)
    #[arg(long, value_name = "FILE", default_value = CERTIFICATE)]
    certificate: PathBuf,

    /// The same as --certificate
    #[arg(value_name = "CERTIFICATE", conflicts_with = "certificate", hide = true)]
    unnamed: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The usual file of a certificate.
const CERTIFICATE: &str = "chanwire.crt";

#[derive(Debug, Args)]
struct PairArgs {
    /// The file of the certificate
    #[arg(long, value_name = "FILE", default_value = CERTIFICATE)]
    certificate: PathBuf,

    /// The file of the key, which only this user may read
    #[arg(long, value_name = "FILE", default_value = "chanwire.key")]
    key: PathBuf,

    /// Days for which the certificate is valid, 1 to 36500
    #[arg(long, value_name = "N", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Tls {
    pub(super) fn run(&self) -> Result<Outcome, Failure> {
        match self {
            Self::New(new) => new.run(),
            Self::Renew(renew) => renew.run(),
            Self::Show(show) => show.run(),
        }
    }
}

impl New {
    fn run(&self) -> Result<Outcome, Failure> {
        let Self { names, pair, force } = self;
        pair.check_distinct()?;
        for path in [&pair.key, &pair.certificate] {
            if !force && path.symlink_metadata().is_ok() {
                return Err(exists(path).into());
            }
        }
        let cannot = |error| format!("cannot make a certificate: {error}");
        let key = SigningKey::generate().map_err(cannot)?;
        let certificate = key.certificate(names, wall_time(), pair.days).map_err(cannot)?;
        write(&pair.key, &key.to_pem(), 0o600, *force)?;
        write(&pair.certificate, &certificate, 0o644, *force)?;
        pair.show()
    }
}

impl Renew {
    fn run(&self) -> Result<Outcome, Failure> {
        let Self { pair } = self;
        pair.check_distinct()?;
        if PemFile::read(&pair.certificate).is_ok_and(|file| file.has_key()) {
            let path = pair.certificate.display();
            return Err(format!("{path} has a key as well, which would be lost; keep it in a file of its own").into());
        }
        let old = first(&pair.certificate)?;
        if !old.is_self_signed {
            let path = pair.certificate.display();
            return Err(format!("{path} is signed by a certificate authority, which has to renew it").into());
        }
        let key = || SigningKey::try_from(PemFile::read(&pair.key).map_err(|error| error.to_string())?.key()?);
        let key = key().map_err(|error| format!("cannot read the key {}: {error}", pair.key.display()))?;
        let renewed = key
            .certificate(&old.names, wall_time(), pair.days)
            .map_err(|error| format!("cannot renew the certificate: {error}"))?;
        if parsed(&PemFile::of(renewed.as_str()))?.pin != old.pin {
            let (key, certificate) = (pair.key.display(), pair.certificate.display());
            return Err(format!("{key} is not the key of {certificate}").into());
        }
        write(&pair.certificate, &renewed, 0o644, true)?;
        pair.show()
    }
}

impl Show {
    fn run(&self) -> Result<Outcome, Failure> {
        show(self.unnamed.as_ref().unwrap_or(&self.certificate), self.json)
    }
}

impl PairArgs {
    /// Refuses one file for both: the second write would replace the first.
    fn check_distinct(&self) -> Result<(), Failure> {
        let Self { certificate, key, .. } = self;
        let is_same = match (certificate.metadata(), key.metadata()) {
            (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
            _ => absolute(certificate) == absolute(key),
        };
        if is_same {
            let (certificate, key) = (certificate.display(), key.display());
            let words = format!("{certificate} and {key} are the same file; name another one for the key");
            return Err(Failure::usage(words));
        }
        Ok(())
    }

    fn show(&self) -> Result<Outcome, Failure> {
        show(&self.certificate, self.json)
    }
}

/// Writes a file beside its place, and then gives it its name: a server that runs reads all of it or nothing.
/// `may_replace`: a file that has the name is replaced, otherwise it stays.
fn write(path: &Path, text: &str, mode: u32, may_replace: bool) -> Result<(), String> {
    let mut beside = path.as_os_str().to_owned();
    // Nobody else has a file of this name.
    beside.push(format!(".{}-{:08x}", std::process::id(), getrandom::u32().unwrap_or_default()));
    let beside = PathBuf::from(beside);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        let named = written.and_then(|()| {
            // Unlike a rename, a link never replaces a file.
            if may_replace { fs::rename(&beside, path) } else { fs::hard_link(&beside, path) }
        });
        if named.is_err() || !may_replace {
            fs::remove_file(&beside)?;
        }
        named
    };
    write().map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists if !may_replace => exists(path),
        _ => format!("cannot write {}: {error}", path.display()),
    })
}

fn exists(path: &Path) -> String {
    format!("{} exists; choose another file, or replace it with --force", path.display())
}

fn show(path: &Path, json: bool) -> Result<Outcome, Failure> {
    let certificate = first(path)?;
    print(&if json { as_json(&certificate) } else { as_text(&certificate) })?;
    Ok(Outcome::Done)
}

/// Reads the first certificate of a file, which is the server's.
fn first(path: &Path) -> Result<Certificate, Failure> {
    let certificate = || parsed(&PemFile::read(path).map_err(|error| error.to_string())?);
    certificate().map_err(|error| format!("cannot read the certificate {}: {error}", path.display()).into())
}

fn parsed(file: &PemFile) -> Result<Certificate, String> {
    Certificate::parse(file.certificates()?.first().map_or(&[], |first| first))
}

fn as_text(certificate: &Certificate) -> String {
    let Certificate { names, not_before, not_after, pin, .. } = certificate;
    let names = if names.is_empty() { "none".into() } else { names.join(", ") };
    format!("names: {}\nnot_before: {not_before}\nnot_after: {not_after}\npin: {pin}\n", visible(&names))
}

fn as_json(certificate: &Certificate) -> String {
    let Certificate { names, not_before, not_after, pin, .. } = certificate;
    let object = json!({
        "names": names,
        "not_before": not_before.to_string(),
        "not_after": not_after.to_string(),
        "pin": pin.to_string(),
    });
    format!("{object}\n")
}
