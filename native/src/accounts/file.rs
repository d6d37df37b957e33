//! The file of accounts: reading it whole, with every fault at once.

use std::{
    fs::OpenOptions,
    io::{self, Read as _},
    ops::Range,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
};

use chanwire_core::wire::{AccountName, Timestamp};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Account, Accounts, PasswordHash, Token};
use crate::{
    config::{Finding, Origin, Place, TomlText, closest},
    files,
};

/// The file's name in the data directory.
pub(crate) const NAME: &str = "accounts.toml";

/// The largest file that is read.
const LARGEST: u64 = 16 << 20;

/// The keys of an account, and of a token.
const KEYS: [&str; 4] = ["password", "groups", "operator", "tokens"];
const TOKEN_KEYS: [&str; 3] = ["name", "sha256", "expires"];

/// Names that mean something else in rules.
const RESERVED: [&str; 2] = ["accounts", "guests"];

const WORD: &str = "expected 1 to 32 characters of a-z, 0-9, '.', '_' and '-', the first of them a letter or a digit";

/// The accounts of a file, as far as they are right, with everything that is not.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) accounts: Accounts,
    /// In the order of the file.
    pub(crate) findings: Vec<Finding>,
    /// The text; `None` if there is no file.
    pub(super) text: Option<String>,
}

impl Contents {
    /// Reads the accounts of a data directory. Without a file there are none.
    pub(crate) fn read(data_dir: &Path) -> Self {
        let path: Arc<Path> = data_dir.join(NAME).into();
        let start = || Place { file: path.clone(), line: 1, column: 1 };
        let failed = |error: &dyn std::fmt::Display| {
            let finding = Finding::of_file(start(), format!("cannot read the accounts: {error}"));
            Self { findings: vec![finding], ..Self::default() }
        };
        let (text, mode) = match text(&path) {
            Ok(read) => read,
            // Without the directory, there is nothing in it either: the store reports it.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Self::default();
            }
            Err(error) => return failed(&error),
        };
        let mut contents = Self::parse(&path, &text);
        if mode & 0o040 != 0 {
            let message = "its group may read it, and can guess passwords by their hashes; run `chmod 600` on it";
            contents.findings.insert(0, Finding::of_file(start(), message).warning());
        }
        contents.text = Some(text);
        contents
    }

    /// Returns whether there is a file.
    pub(crate) const fn exists(&self) -> bool {
        self.text.is_some()
    }

    /// Returns whether the accounts are not to be used.
    pub(crate) fn has_faults(&self) -> bool {
        self.findings.iter().any(Finding::is_fault)
    }

    fn parse(path: &Arc<Path>, text: &str) -> Self {
        let text = TomlText { file: path, text };
        let mut reader = Reader { text, accounts: Accounts::new(), findings: Vec::new() };
        let mut findings = text.read(|table| {
            reader.accounts(table);
            std::mem::take(&mut reader.findings)
        });
        findings.sort_by_key(Finding::order);
        Self { accounts: reader.accounts, findings, text: None }
    }
}

/// Reads a file that nobody else can have written, and its mode.
fn text(path: &Path) -> io::Result<(String, u32)> {
    let file = files::open_regular(OpenOptions::new().read(true), path)?;
    let metadata = file.metadata()?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o006 != 0 {
        return Err(io::Error::other("everybody may read or write it; run `chmod 600` on it"));
    }
    if mode & 0o020 != 0 {
        return Err(io::Error::other("its group may write it; run `chmod 600` on it"));
    }
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it has more than {LARGEST} bytes")));
    }
    Ok((text, mode))
}

/// Checks the name of an account.
pub(crate) fn check_account(name: &str) -> Result<AccountName, String> {
    match AccountName::try_from(name) {
        Ok(name) if RESERVED.contains(&&*name) => Err(format!("'{name}' means something else in rules; take another")),
        Ok(name) => Ok(name),
        Err(_) => Err(WORD.into()),
    }
}

/// Checks the name of a group or a token.
pub(crate) fn check_word(name: &str) -> Result<String, String> {
    AccountName::try_from(name).map(|_| name.to_owned()).map_err(|_| WORD.into())
}

struct Reader<'a> {
    text: TomlText<'a>,
    accounts: Accounts,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    fn fault(&mut self, span: Range<usize>, key: &str, message: impl Into<String>) {
        let at = Origin::File(self.text.place(span));
        self.findings.push(Finding::fault(at, key, message));
    }

    fn wrong_type(&mut self, value: &Spanned<DeValue<'_>>, key: &str, expected: &str) {
        let found = value.get_ref().type_str();
        let article = if found.starts_with(['a', 'i']) { "an" } else { "a" };
        self.fault(value.span(), key, format!("expected {expected}, found {article} {found}"));
    }

    fn unknown(&mut self, span: Range<usize>, key: &str, name: &str, keys: &[&str]) {
        let at = Origin::File(self.text.place(span));
        let suggestion = closest(&name.to_lowercase(), keys.iter().copied()).map(Into::into);
        self.findings.push(Finding::fault(at, key, "is no key").suggest(suggestion));
    }

    fn accounts(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            let DeValue::Table(keys) = value.get_ref() else {
                self.fault(name.span(), name.get_ref(), format!("an account is a section: write [{}]", name.get_ref()));
                continue;
            };
            let checked = check_account(name.get_ref());
            if let Err(message) = &checked {
                self.fault(name.span(), name.get_ref(), format!("is no name of an account: {message}"));
            }
            let account = self.account(name.get_ref(), keys);
            if let Ok(checked) = checked {
                self.accounts.insert(checked, account);
            }
        }
    }

    fn account(&mut self, of: &str, keys: &DeTable<'_>) -> Account {
        let mut account = Account::default();
        for (name, value) in keys {
            let key = format!("{of}.{}", name.get_ref());
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("password", DeValue::String(text)) => match text.parse::<PasswordHash>() {
                    Ok(hash) => account.password = Some(hash),
                    Err(message) => self.fault(value.span(), &key, message),
                },
                ("password", _) => self.wrong_type(value, &key, "a string"),
                ("groups", DeValue::Array(_)) => account.groups = self.groups(value, &key),
                ("groups", _) => self.wrong_type(value, &key, "a list, as in [\"staff\"]"),
                ("operator", DeValue::Boolean(is_operator)) => account.is_operator = *is_operator,
                ("operator", _) => self.wrong_type(value, &key, "true or false"),
                ("tokens", DeValue::Array(tokens)) => {
                    for token in tokens.iter() {
                        match token.get_ref() {
                            DeValue::Table(table) => self.token(&key, table, token.span(), &mut account.tokens),
                            _ => self.wrong_type(token, &key, TOKEN),
                        }
                    }
                }
                ("tokens", _) => self.wrong_type(value, &key, &format!("a list of them, [{TOKEN}]")),
                (other, _) => self.unknown(name.span(), &key, other, &KEYS),
            }
        }
        account
    }

    fn groups(&mut self, value: &Spanned<DeValue<'_>>, key: &str) -> Vec<String> {
        let DeValue::Array(items) = value.get_ref() else { return Vec::new() };
        let mut groups = Vec::new();
        for item in items.iter() {
            let DeValue::String(name) = item.get_ref() else {
                self.wrong_type(item, key, "the name of a group");
                continue;
            };
            match check_word(name.strip_prefix('@').unwrap_or(name)) {
                Ok(_) if name.starts_with('@') => {
                    self.fault(item.span(), key, "write the name without @, as in \"staff\"")
                }
                Ok(group) if groups.contains(&group) => {
                    self.fault(item.span(), key, format!("the group '{group}' is named more than once"));
                }
                Ok(group) => groups.push(group),
                Err(message) => self.fault(item.span(), key, message),
            }
        }
        groups
    }

    fn token(&mut self, of: &str, keys: &DeTable<'_>, span: Range<usize>, tokens: &mut Vec<Token>) {
        let before = self.findings.len();
        let (mut token_name, mut sha256, mut expires) = (None, None, None);
        for (name, value) in keys {
            let key = format!("{of}.{}", name.get_ref());
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("name", DeValue::String(text)) => match check_word(text) {
                    Ok(name) if tokens.iter().any(|token| token.name == name) => {
                        self.fault(value.span(), &key, format!("the account has another token named '{name}'"));
                    }
                    Ok(name) => token_name = Some(name),
                    Err(message) => self.fault(value.span(), &key, message),
                },
                ("sha256", DeValue::String(text)) => match hex(text) {
                    Some(hash) => sha256 = Some(hash),
                    None => self.fault(value.span(), &key, "expected 64 hexadecimal digits"),
                },
                ("expires", DeValue::Datetime(time)) => match timestamp(&time.to_string()) {
                    Some(time) => expires = Some(time),
                    None => self.fault(value.span(), &key, EXPIRES),
                },
                ("name" | "sha256", _) => self.wrong_type(value, &key, "a string"),
                ("expires", _) => self.wrong_type(value, &key, "a time without quotes, such as 2027-01-01T00:00:00Z"),
                (other, _) => self.unknown(name.span(), &key, other, &TOKEN_KEYS),
            }
        }
        match (token_name, sha256) {
            (Some(name), Some(sha256)) => tokens.push(Token { name, sha256, expires }),
            // Its fault is reported, or it may be misspelled.
            _ if self.findings.len() > before => {}
            (None, _) => self.fault(span, of, "it has no name"),
            (_, None) => self.fault(span, of, "it has no sha256"),
        }
    }
}

const TOKEN: &str = "{ name = \"…\", sha256 = \"…\" }";

const EXPIRES: &str = "expected a date with a time and an offset, such as 2027-01-01T00:00:00Z";

/// Parses a time of TOML, whose zone must be said.
fn timestamp(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_unix(time.as_second()))
}

/// Parses a SHA-256.
fn hex(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, index) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(index..index + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests;
