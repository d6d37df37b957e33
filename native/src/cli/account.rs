//! `chanwire account`

use std::time::Duration;

use chanwire_core::wire::{AccountName, Timestamp};
use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use super::{
    Failure, Outcome,
    backup::DataDir,
    password::NewPassword,
    text::{note, print},
};
use crate::{
    accounts::{self, Account as Entry, Accounts, Contents, Editor, PasswordHash, Secret, check_account, check_word},
    clock::wall_time,
    config::duration,
};

const NEXT: &str = "\
A server that runs reads its accounts at SIGHUP: `systemctl reload chanwire`, or
`kill -HUP` with its process id. It closes the connections of accounts that were
removed or changed.";

/// Add, change, remove and list the accounts of a server
#[derive(Debug, Subcommand)]
#[command(after_help = NEXT)]
pub(super) enum Account {
    Add(Add),
    Passwd(Passwd),
    Remove(Remove),
    List(List),
    #[command(subcommand)]
    Token(Token),
}

/// Add an account
///
/// Its password is asked for, or read from a file. Its groups and operator's rights can be changed later in
/// `accounts.toml` in the data directory.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// The account's name: 1 to 32 of a-z, 0-9, `.`, `_` and `-`
    #[arg(value_parser = check_account)]
    name: AccountName,

    /// Put it into this group, which rules name as @GROUP; may be given more than once
    #[arg(long = "group", value_name = "GROUP", value_parser = check_word)]
    groups: Vec<String>,

    /// Give it all rights
    #[arg(long)]
    operator: bool,

    #[command(flatten)]
    password: NewPassword,

    /// Add it without a password: only its tokens sign in
    #[arg(long, conflicts_with = "password_file")]
    no_password: bool,

    #[command(flatten)]
    data_dir: DataDir,
}

/// Change the password of an account
#[derive(Debug, Args)]
pub(super) struct Passwd {
    /// The account's name
    #[arg(value_parser = check_account)]
    name: AccountName,

    #[command(flatten)]
    password: NewPassword,

    #[command(flatten)]
    data_dir: DataDir,
}

/// Remove an account, with its tokens
#[derive(Debug, Args)]
pub(super) struct Remove {
    /// The account's name
    #[arg(value_parser = check_account)]
    name: AccountName,

    #[command(flatten)]
    data_dir: DataDir,
}

/// List the accounts
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    data_dir: DataDir,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Make, list and revoke tokens, with which programs sign in
#[derive(Debug, Subcommand)]
pub(super) enum Token {
    New(NewToken),
    List(ListTokens),
    Revoke(Revoke),
}

/// Make a token and print it, once
///
/// The file keeps only its hash.
#[derive(Debug, Args)]
pub(super) struct NewToken {
    /// The account's name
    #[arg(value_parser = check_account)]
    account: AccountName,

    /// The token's name, by which it is revoked
    #[arg(value_parser = check_word)]
    name: String,

    /// The time from which it is refused: a time such as 12h or 30d from now, a moment such as 2027-01-01T00:00:00Z, or
    /// `never`
    #[arg(long, value_name = "TIME", default_value = "365d", value_parser = expiry)]
    expires: Expiry,

    #[command(flatten)]
    data_dir: DataDir,
}

/// List the tokens of an account
#[derive(Debug, Args)]
pub(super) struct ListTokens {
    /// The account's name
    #[arg(value_parser = check_account)]
    account: AccountName,

    #[command(flatten)]
    data_dir: DataDir,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Revoke a token
#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The account's name
    #[arg(value_parser = check_account)]
    account: AccountName,

    /// The token's name
    #[arg(value_parser = check_word)]
    name: String,

    #[command(flatten)]
    data_dir: DataDir,
}

/// The end of a new token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    After(Duration),
    At(Timestamp),
    Never,
}

fn expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" {
        return Ok(Expiry::Never);
    }
    match text.parse() {
        Ok(at) => Ok(Expiry::At(at)),
        Err(_) => duration(text)
            .map(Expiry::After)
            .map_err(|_| "expected a time such as 12h or 30d, a moment such as 2027-01-01T00:00:00Z, or never".into()),
    }
}

impl Expiry {
    fn from(self, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
        match self {
            Self::Never => Ok(None),
            Self::At(at) if at <= now => Err(Failure::usage(format!("--expires: {at} is over"))),
            Self::At(at) => Ok(Some(at)),
            Self::After(time) => {
                let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
                Ok(Some(Timestamp::from_unix(now.as_unix().saturating_add(seconds))))
            }
        }
    }
}

impl Account {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        match self {
            Self::Add(add) => add.run(),
            Self::Passwd(passwd) => passwd.run(),
            Self::Remove(remove) => remove.run(),
            Self::List(list) => list.run(),
            Self::Token(Token::New(new)) => new.run(),
            Self::Token(Token::List(list)) => list.run(),
            Self::Token(Token::Revoke(revoke)) => revoke.run(),
        }
    }
}

impl Add {
    fn run(self) -> Result<Outcome, Failure> {
        let Self { name, mut groups, operator, password, no_password, data_dir } = self;
        let data_dir = data_dir.path()?;
        let exists = |accounts: &Accounts| match accounts.contains_key(&name) {
            true => {
                Err(format!("there is an account '{name}' already; `chanwire account passwd` changes its password"))
            }
            false => Ok(()),
        };
        // Before the password is asked for; the file is locked only after it is known.
        exists(&Contents::read(&data_dir).accounts)?;
        let password = if no_password { None } else { Some(hash(&password.read(&name)?)?) };
        groups.sort();
        groups.dedup();
        let mut editor = Editor::open(&data_dir)?;
        exists(editor.accounts())?;
        for other in accounts::look_alikes(&name, editor.accounts().keys()) {
            note(&format!("'{name}' looks like the account '{other}'; people may take one for the other"));
        }
        editor.add(&name, &Entry { password, groups, is_operator: operator, tokens: Vec::new() });
        save(editor, &format!("added the account '{name}'"))
    }
}

impl Passwd {
    fn run(self) -> Result<Outcome, Failure> {
        let data_dir = self.data_dir.path()?;
        let contents = Contents::read(&data_dir);
        let before = find(&contents.accounts, &self.name)?.password.as_ref();
        let password = self.password.read(&self.name)?;
        if let Some(before) = before
            && before.matches(&password).map_err(|error| error.to_string())?
        {
            note("the password is the one that it has already");
        }
        let password = hash(&password)?;
        let mut editor = Editor::open(&data_dir)?;
        find(editor.accounts(), &self.name)?;
        editor.set_password(&self.name, &password);
        save(editor, &format!("changed the password of '{}'", self.name))
    }
}

impl Remove {
    fn run(self) -> Result<Outcome, Failure> {
        let mut editor = existing(self.data_dir)?;
        find(editor.accounts(), &self.name)?;
        editor.remove(&self.name);
        save(editor, &format!("removed the account '{}'", self.name))
    }
}

impl List {
    fn run(self) -> Result<Outcome, Failure> {
        let accounts = read(self.data_dir)?;
        let now = wall_time();
        let text: String = match self.json {
            true => accounts.iter().map(|(name, account)| format!("{}\n", as_json(name, account, now))).collect(),
            false if accounts.is_empty() => "no accounts\n".into(),
            false => {
                let width = accounts.keys().map(|name| name.len()).max().unwrap_or_default();
                accounts.iter().map(|(name, account)| format!("{name:width$}  {}\n", described(account, now))).collect()
            }
        };
        print(&text)?;
        Ok(Outcome::Done)
    }
}

/// Describes an account in words.
fn described(account: &Entry, now: Timestamp) -> String {
    let mut parts = Vec::new();
    if account.is_operator {
        parts.push("operator".into());
    }
    parts.extend(account.groups.iter().map(|group| format!("@{group}")));
    parts.push(if account.password.is_some() { "password" } else { "no password" }.into());
    let valid = account.tokens.iter().filter(|token| !token.has_expired(now)).count();
    match valid {
        0 => {}
        1 => parts.push("1 token".into()),
        valid => parts.push(format!("{valid} tokens")),
    }
    match account.tokens.len() - valid {
        0 => {}
        1 => parts.push("1 expired token".into()),
        expired => parts.push(format!("{expired} expired tokens")),
    }
    parts.join(", ")
}

fn as_json(name: &AccountName, account: &Entry, now: Timestamp) -> Json {
    let tokens: Vec<Json> = account.tokens.iter().map(|token| token_json(token, now)).collect();
    json!({
        "account": **name,
        "operator": account.is_operator,
        "groups": account.groups,
        "password": account.password.is_some(),
        "tokens": tokens,
    })
}

fn token_json(token: &accounts::Token, now: Timestamp) -> Json {
    let expires = token.expires.map(|expires| expires.to_string());
    json!({"name": token.name, "expires": expires, "expired": token.has_expired(now)})
}

impl NewToken {
    fn run(self) -> Result<Outcome, Failure> {
        let Self { account, name, expires, data_dir } = self;
        let expires = expires.from(wall_time())?;
        let mut editor = existing(data_dir)?;
        if find(editor.accounts(), &account)?.tokens.iter().any(|token| token.name == name) {
            return Err(format!("the account '{account}' has a token named '{name}' already; revoke it first").into());
        }
        let (token, Secret(secret)) = accounts::Token::new(name, expires)?;
        editor.add_token(&account, &token);
        let path = editor.path().display().to_string();
        editor.save()?;
        let until = expires.map_or_else(|| "it never expires".into(), |expires| format!("it expires at {expires}"));
        note(&format!("made the token '{}' of '{account}' in {path}; {until}; it is shown only here", token.name));
        note(RELOAD);
        if !print(&format!("{}\n", *secret))? {
            return Err("the token could not be shown; revoke it and make another".into());
        }
        Ok(Outcome::Done)
    }
}

impl ListTokens {
    fn run(self) -> Result<Outcome, Failure> {
        let accounts = read(self.data_dir)?;
        let tokens = &find(&accounts, &self.account)?.tokens;
        let now = wall_time();
        let text: String = match self.json {
            true => tokens.iter().map(|token| format!("{}\n", token_json(token, now))).collect(),
            false if tokens.is_empty() => "no tokens\n".into(),
            false => {
                let width = tokens.iter().map(|token| token.name.len()).max().unwrap_or_default();
                let end = |token: &accounts::Token| match token.expires {
                    None => "never expires".into(),
                    Some(expires) if token.has_expired(now) => format!("expired at {expires}"),
                    Some(expires) => format!("expires at {expires}"),
                };
                tokens.iter().map(|token| format!("{:width$}  {}\n", token.name, end(token))).collect()
            }
        };
        print(&text)?;
        Ok(Outcome::Done)
    }
}

impl Revoke {
    fn run(self) -> Result<Outcome, Failure> {
        let Self { account, name, data_dir } = self;
        let mut editor = existing(data_dir)?;
        if !find(editor.accounts(), &account)?.tokens.iter().any(|token| token.name == name) {
            return Err(format!("the account '{account}' has no token named '{name}'").into());
        }
        editor.remove_token(&account, &name);
        save(editor, &format!("revoked the token '{name}' of '{account}'"))
    }
}

const RELOAD: &str =
    "a server that runs learns of it at SIGHUP: `systemctl reload chanwire`, or `kill -HUP` with its process id";

/// Saves a change and tells of it.
fn save(editor: Editor, done: &str) -> Result<Outcome, Failure> {
    let path = editor.path().display().to_string();
    editor.save()?;
    print(&format!("{done} in {path}\n"))?;
    note(RELOAD);
    Ok(Outcome::Done)
}

/// Opens the file of a data directory, which must have one.
fn existing(data_dir: DataDir) -> Result<Editor, Failure> {
    let data_dir = data_dir.path()?;
    // The editor would make the directory.
    if let Err(error) = data_dir.metadata() {
        return Err(format!("cannot use the data directory {}: {error}", data_dir.display()).into());
    }
    Ok(Editor::open(&data_dir)?)
}

/// Reads the accounts of a data directory.
fn read(data_dir: DataDir) -> Result<Accounts, Failure> {
    let contents = Contents::read(&data_dir.path()?);
    contents.findings.iter().for_each(|finding| note(&finding.to_string()));
    if contents.has_faults() { Err("the accounts cannot be read".into()) } else { Ok(contents.accounts) }
}

fn find<'a>(accounts: &'a Accounts, name: &AccountName) -> Result<&'a Entry, Failure> {
    accounts.get(name).ok_or_else(|| format!("there is no account '{name}'; `chanwire account list` lists them").into())
}

fn hash(password: &str) -> Result<PasswordHash, Failure> {
    Ok(PasswordHash::new(password).map_err(|error| error.to_string())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_expires_after_a_time_at_a_moment_or_never() {
        let now = Timestamp::from_unix(1_000);
        let end = |text: &str| expiry(text).unwrap().from(now).map_err(|failure| failure.words);
        assert_eq!(end("2m"), Ok(Some(Timestamp::from_unix(1_120))));
        assert_eq!(end("1970-01-01T01:00:00Z"), Ok(Some(Timestamp::from_unix(3_600))));
        assert_eq!(end("never"), Ok(None));
        assert_eq!(end("1970-01-01T00:00:00Z"), Err("--expires: 1970-01-01T00:00:00Z is over".into()));
        assert!(expiry("tomorrow").unwrap_err().contains("30d"));
    }
}
