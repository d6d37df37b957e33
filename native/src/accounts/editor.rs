//! Changes of the file of accounts: one at a time, each whole, and everything else in the file stays.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use chanwire_core::wire::AccountName;
use rustix::fs::{Gid, Uid, fchown};
use toml_edit::{Array, ArrayOfTables, Datetime, DocumentMut, InlineTable, Item, Table, Value};

use super::{Account, Accounts, Contents, NAME, PasswordHash, Token};

/// The file, locked against other changes until this is dropped.
pub(crate) struct Editor {
    path: PathBuf,
    /// The locked directory.
    directory: File,
    document: DocumentMut,
    accounts: Accounts,
}

impl Editor {
    /// Locks and reads the file of a data directory, which is created if it is missing. Waits while another process
    /// changes the file.
    ///
    /// # Errors
    ///
    /// In words, among others every fault of the file.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, String> {
        let path = data_dir.join(NAME);
        let cannot = |error: io::Error| format!("cannot change {}: {error}", path.display());
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(cannot)?;
        let directory = File::open(data_dir).map_err(cannot)?;
        directory.lock().map_err(cannot)?;
        let contents = Contents::read(data_dir);
        if contents.has_faults() {
            let words: Vec<String> = contents.findings.iter().map(ToString::to_string).collect();
            return Err(format!("nothing is changed, since the file has faults\n{}", words.join("\n")));
        }
        let text = contents.text.as_deref().unwrap_or_default();
        let document = text.parse().map_err(|error| format!("cannot change {}: {error}", path.display()))?;
        Ok(Self { accounts: contents.accounts, document, directory, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the accounts as they were when the file was read.
    pub(crate) const fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Adds an account.
    pub(crate) fn add(&mut self, name: &AccountName, account: &Account) {
        let mut table = Table::new();
        if !self.document.is_empty() {
            table.decor_mut().set_prefix("\n");
        }
        if let Some(password) = &account.password {
            table.insert("password", toml_edit::value(password.to_string()));
        }
        if !account.groups.is_empty() {
            table.insert("groups", toml_edit::value(account.groups.iter().collect::<Array>()));
        }
        if account.is_operator {
            table.insert("operator", toml_edit::value(true));
        }
        self.document.insert(name, Item::Table(table));
    }

    /// Replaces the password of an account.
    pub(crate) fn set_password(&mut self, name: &AccountName, password: &PasswordHash) {
        if let Some(table) = self.table(name) {
            let item = table.entry("password").or_insert(Item::None);
            let mut value = Value::from(password.to_string());
            if let Some(before) = item.as_value() {
                // A comment behind it stays.
                *value.decor_mut() = before.decor().clone();
            }
            *item = Item::Value(value);
        }
    }

    /// Removes an account. A comment directly above it goes with it, those before that stay.
    pub(crate) fn remove(&mut self, name: &AccountName) {
        let Some(item) = self.document.remove(name) else { return };
        let above = item.as_table().and_then(|table| table.decor().prefix()?.as_str()).unwrap_or_default();
        let Some((kept, _)) = above.rsplit_once("\n\n").filter(|(kept, _)| !kept.trim().is_empty()) else { return };
        let kept = format!("{kept}\n");
        let is_after = |table: &Table| table.position() > item.as_table().and_then(Table::position);
        let tables = self.document.iter_mut().filter_map(|(_, item)| item.as_table_mut());
        match tables.filter(|table| is_after(table)).min_by_key(|table| table.position()) {
            Some(next) => {
                let prefix = next.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
                let prefix = format!("{kept}{}{prefix}", if prefix.starts_with('\n') { "" } else { "\n" });
                next.decor_mut().set_prefix(prefix);
            }
            None => {
                let trailing = format!("{kept}{}", self.document.trailing().as_str().unwrap_or_default());
                self.document.set_trailing(trailing);
            }
        }
    }

    /// Adds a token to an account.
    pub(crate) fn add_token(&mut self, name: &AccountName, token: &Token) {
        let Some(table) = self.table(name) else { return };
        let hex: String = token.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut of_token = InlineTable::new();
        of_token.insert("name", token.name.as_str().into());
        of_token.insert("sha256", hex.into());
        if let Some(expires) = token.expires.and_then(|expires| expires.to_string().parse::<Datetime>().ok()) {
            of_token.insert("expires", expires.into());
        }
        match table.entry("tokens").or_insert_with(|| toml_edit::value(Array::new())) {
            Item::ArrayOfTables(tokens) => tokens.push(of_token.into_table()),
            item => {
                if let Some(tokens) = item.as_array_mut() {
                    tokens.push(of_token);
                }
            }
        }
    }

    /// Removes a token of an account.
    pub(crate) fn remove_token(&mut self, name: &AccountName, token: &str) {
        let Some(tokens) = self.table(name).and_then(|table| table.get_mut("tokens")) else { return };
        let is_it = |item: Option<&str>| item == Some(token);
        match tokens {
            Item::ArrayOfTables(tokens) => {
                let kept = tokens.iter().filter(|of| !is_it(of.get("name").and_then(Item::as_str))).cloned();
                *tokens = kept.collect::<ArrayOfTables>();
            }
            item => {
                if let Some(tokens) = item.as_array_mut() {
                    tokens.retain(|of| !is_it(of.as_inline_table().and_then(|of| of.get("name")?.as_str())));
                }
            }
        }
    }

    fn table(&mut self, name: &AccountName) -> Option<&mut dyn toml_edit::TableLike> {
        self.document.get_mut(name)?.as_table_like_mut()
    }

    /// Writes the file: beside its place, and then renamed, so that a server reads all of it or nothing.
    ///
    /// # Errors
    ///
    /// In words. The file is as it was then.
    pub(crate) fn save(self) -> Result<(), String> {
        let path = self.path.display().to_string();
        self.replace().map_err(|error| format!("cannot write {path}: {error}"))
    }

    fn replace(self) -> io::Result<()> {
        let mut beside = self.path.clone();
        // Nobody else has a file of this name.
        beside.set_extension(format!("toml.{}-{:08x}", std::process::id(), getrandom::u32().unwrap_or_default()));
        let replaced = self.write(&beside).and_then(|()| fs::rename(&beside, &self.path));
        if replaced.is_err() {
            // There is nothing more to do about it.
            let _ = fs::remove_file(&beside);
        }
        replaced?;
        self.directory.sync_all()
    }

    fn write(&self, beside: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
        // Written by root, it must stay readable for the server.
        let owner = match self.path.symlink_metadata() {
            Ok(before) => before,
            Err(_) => self.directory.metadata()?,
        };
        let new = file.metadata()?;
        if (owner.uid(), owner.gid()) != (new.uid(), new.gid()) {
            fchown(&file, Some(Uid::from_raw(owner.uid())), Some(Gid::from_raw(owner.gid())))?;
        }
        file.write_all(self.document.to_string().as_bytes())?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests;
