//! Passwords from a prompt, a file or standard input; never from an argument, which others can see.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use rustix::{
    io::Errno,
    termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr},
};
use zeroize::Zeroizing;

use super::Failure;

/// The longest password, in bytes.
const LONGEST: usize = 1024;

/// The fewest characters of a new password, by the advice of NIST SP 800-63B.
const FEWEST: usize = 8;

/// A password or a token, which is erased from memory when it is dropped.
pub(super) type Secret = Zeroizing<String>;

/// The source of a new password.
#[derive(Debug, Args)]
pub(super) struct NewPassword {
    /// Read the password from this file, or from standard input (-), instead of asking for it
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl NewPassword {
    /// Reads the password of an account. A prompt asks twice.
    pub(super) fn read(&self, account: &str) -> Result<Secret, Failure> {
        let password = match &self.password_file {
            Some(path) => secret_in(path, "--password-file")?,
            None => {
                let terminal = Terminal::open().map_err(no_terminal)?;
                let password = terminal.ask(&format!("New password of '{account}': ")).map_err(Failure::from)?;
                let again = terminal.ask("The same again: ").map_err(Failure::from)?;
                if *password != *again {
                    return Err("the two passwords differ; nothing is changed".into());
                }
                password
            }
        };
        check_password(&password)?;
        if password.chars().count() < FEWEST {
            return Err(format!("the password is too short: take at least {FEWEST} characters").into());
        }
        Ok(password)
    }
}

fn check_password(password: &str) -> Result<(), String> {
    if password.is_empty() {
        return Err("the password is empty".into());
    }
    if password.len() > LONGEST {
        return Err(format!("the password has more than {LONGEST} bytes"));
    }
    if password.contains(char::is_control) {
        return Err("the password has a control character, such as the end of a line".into());
    }
    Ok(())
}

/// Asks for the password of an account on the terminal.
pub(super) fn ask(prompt: &str) -> Result<Secret, Failure> {
    let password = Terminal::open().map_err(no_terminal)?.ask(prompt)?;
    check_password(&password)?;
    Ok(password)
}

/// Reads a password or a token from the file of this option, or from standard input for `-`. The end of its line is no
/// part of it.
pub(super) fn secret_in(path: &Path, flag: &str) -> Result<Secret, Failure> {
    let read = || {
        let mut text = Zeroizing::new(String::with_capacity(LONGEST + 3));
        // As much as fits, so that no copy is left behind by a reallocation.
        let limit = LONGEST as u64 + 3;
        if path.as_os_str() == "-" {
            io::stdin().lock().take(limit).read_to_string(&mut text)?;
        } else {
            File::open(path)?.take(limit).read_to_string(&mut text)?;
        }
        Ok::<_, io::Error>(text)
    };
    let cannot = |error: &dyn std::fmt::Display| Failure::usage(format!("{flag} {}: {error}", path.display()));
    let text = read().map_err(|error| cannot(&error))?;
    let secret = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    check_password(secret).map_err(|error| cannot(&error))?;
    Ok(Zeroizing::new(secret.into()))
}

fn no_terminal(error: io::Error) -> Failure {
    Failure::usage(format!("there is no terminal to ask for the password ({error}); name a file with --password-file"))
}

/// The terminal of this process, whatever standard input is.
struct Terminal(File);

impl Terminal {
    fn open() -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).open("/dev/tty").map(Self)
    }

    /// Asks for a line that is not shown.
    fn ask(&self, prompt: &str) -> Result<Secret, String> {
        let cannot = |error: &dyn std::fmt::Display| format!("cannot ask for the password: {error}");
        let hidden = Hidden::enter(&self.0).map_err(|error| cannot(&error))?;
        (&self.0).write_all(prompt.as_bytes()).map_err(|error| cannot(&error))?;
        let line = read_line(&self.0);
        // Before the message of an error.
        let _ = (&self.0).write_all(b"\n");
        drop(hidden);
        line.map_err(|error| cannot(&error))?.ok_or_else(|| "interrupted; nothing is changed".into())
    }
}

/// Reads a line key by key. `None`: it was interrupted.
fn read_line(mut terminal: impl Read) -> io::Result<Option<Secret>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    let mut key = [0];
    loop {
        match terminal.read(&mut key) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        match key {
            [b'\r' | b'\n'] => break,
            // Ctrl-C, Ctrl-\.
            [3 | 28] => return Ok(None),
            // Ctrl-D.
            [4] if line.is_empty() => return Ok(None),
            [4] => break,
            // Backspace removes a character, which may have several bytes.
            [8 | 127] => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            // Ctrl-U.
            [21] => line.clear(),
            [byte] if line.len() <= LONGEST => line.push(byte),
            [_] => {}
        }
    }
    let text = std::str::from_utf8(&line).map_err(|_| io::Error::other("the password is not UTF-8"))?;
    Ok(Some(Zeroizing::new(text.into())))
}

/// A terminal that does not show its keys, until this is dropped.
struct Hidden<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn enter(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut modes = before.clone();
        // Without signals by keys: one would end this process, and leave the terminal like this.
        modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        set(terminal, &modes)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = set(self.terminal, &self.before);
    }
}

/// Sets the modes, and drops the keys typed before.
fn set(terminal: &File, modes: &Termios) -> io::Result<()> {
    loop {
        match tcsetattr(terminal, OptionalActions::Flush, modes) {
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn typed(keys: &[u8]) -> Option<String> {
        read_line(keys).unwrap().map(|line| line.to_string())
    }

    #[test]
    fn a_line_is_typed_and_corrected_without_being_shown() {
        for (keys, line) in [
            (&b"secret\n"[..], Some("secret")),
            (b"secret\rmore", Some("secret")),
            (b"sex\x7fcret\n", Some("secret")),
            ("sé\x08ecret\n".as_bytes(), Some("secret")),
            (b"\x7f\x7fsecret\n", Some("secret")),
            (b"wrong\x15secret\n", Some("secret")),
            (b"secret\x04", Some("secret")),
            (b"secret\x03\n", None),
            (b"\x04", None),
        ] {
            assert_eq!(typed(keys).as_deref(), line, "{keys:?}");
        }
        assert!(read_line(&b"\xff\n"[..]).is_err());
        assert_eq!(typed(&[b'a'; 5000]).unwrap().len(), LONGEST + 1);
    }

    #[test]
    fn a_file_has_one_line_and_its_end_is_no_part_of_the_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            secret_in(&path, "--password-file").map(|secret| secret.to_string()).map_err(|failure| failure.words)
        };
        for text in ["a secret", "a secret\n", "a secret\r\n"] {
            assert_eq!(read(text).as_deref(), Ok("a secret"), "{text:?}");
        }
        let longest = "a".repeat(LONGEST);
        assert_eq!(read(&format!("{longest}\r\n")).unwrap(), longest);
        for (text, words) in [
            ("", "the password is empty"),
            ("\n", "the password is empty"),
            ("a\nb\n", "control character"),
            (&format!("{longest}a"), "more than 1024 bytes"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words) && error.contains("--password-file"), "{text:?}: {error}");
        }
    }
}
