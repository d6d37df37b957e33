//! Keys and pastes in the bytes of a terminal.

use std::mem;

/// The longest paste that is kept, in bytes.
pub(in crate::cli) const MAX_PASTE: usize = 1 << 20;

/// The longest control sequence that a key sends; a longer one is skipped.
const MAX_SEQUENCE: usize = 32;

const PASTE_END: &[u8] = b"\x1b[201~";

/// An action at the keyboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Key {
    Char(char),
    /// A bracketed paste, with its line ends as `\n`.
    Paste(String),
    /// A paste of more bytes than are kept.
    PasteTooLong(usize),
    Enter,
    /// Enter with Alt or Shift.
    LineBreak,
    Backspace,
    Delete,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    Up,
    Down,
    PageUp,
    PageDown,
    KillWord,
    KillToStart,
    KillToEnd,
    Redraw,
    /// Alt with a digit from 1 to 9.
    AltDigit(u8),
    /// Ctrl-R.
    Search,
    Interrupt,
    EndOfInput,
    Suspend,
}

/// An incremental decoder of keys and pastes. Its memory is bounded.
#[derive(Debug, Default)]
pub(in crate::cli) struct Keys {
    state: State,
    /// The bytes of a character, control sequence or paste that is not complete.
    held: Vec<u8>,
    /// The bytes of a paste that are not held.
    dropped: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    /// After `ESC O`.
    Single,
    /// After `ESC [`.
    Sequence,
    Paste,
}

impl Keys {
    /// Decodes the next bytes.
    pub(in crate::cli) fn feed(&mut self, bytes: &[u8], mut found: impl FnMut(Key)) {
        for &byte in bytes {
            match self.state {
                State::Ground => self.ground(byte, &mut found),
                State::Escape => {
                    self.state = State::Ground;
                    match byte {
                        b'[' => self.state = State::Sequence,
                        b'O' => self.state = State::Single,
                        0x1b => self.state = State::Escape,
                        b'\r' | b'\n' => found(Key::LineBreak),
                        b'b' => found(Key::WordLeft),
                        b'f' => found(Key::WordRight),
                        b'1'..=b'9' => found(Key::AltDigit(byte - b'0')),
                        0x08 | 0x7f => found(Key::KillWord),
                        _ => self.ground(byte, &mut found),
                    }
                }
                State::Single => {
                    self.state = State::Ground;
                    letter(byte, false).into_iter().for_each(&mut found);
                }
                State::Sequence => self.sequence(byte, &mut found),
                State::Paste => self.paste(byte, &mut found),
            }
        }
    }

    fn ground(&mut self, byte: u8, found: &mut impl FnMut(Key)) {
        if !self.held.is_empty() {
            if byte & 0xc0 == 0x80 {
                self.held.push(byte);
                return self.character(found);
            }
            self.held.clear();
            found(Key::Char(char::REPLACEMENT_CHARACTER));
        }
        match byte {
            0x01 => found(Key::Home),
            0x02 => found(Key::Left),
            0x03 => found(Key::Interrupt),
            0x04 => found(Key::EndOfInput),
            0x05 => found(Key::End),
            0x06 => found(Key::Right),
            0x08 | 0x7f => found(Key::Backspace),
            b'\r' | b'\n' => found(Key::Enter),
            0x0b => found(Key::KillToEnd),
            0x0c => found(Key::Redraw),
            0x0e => found(Key::Down),
            0x10 => found(Key::Up),
            0x12 => found(Key::Search),
            0x15 => found(Key::KillToStart),
            0x17 => found(Key::KillWord),
            0x1a => found(Key::Suspend),
            0x1b => self.state = State::Escape,
            b'\t' | b' '..=b'~' => found(Key::Char(char::from(byte))),
            // Other control keys do nothing.
            0x00..=0x1f => {}
            _ => {
                self.held.push(byte);
                self.character(found);
            }
        }
    }

    /// Reports the held character, if it is complete or invalid.
    fn character(&mut self, found: &mut impl FnMut(Key)) {
        match str::from_utf8(&self.held) {
            Ok(text) => text.chars().map(Key::Char).for_each(found),
            Err(error) if error.error_len().is_none() => return,
            Err(_) => found(Key::Char(char::REPLACEMENT_CHARACTER)),
        }
        self.held.clear();
    }

    fn sequence(&mut self, byte: u8, found: &mut impl FnMut(Key)) {
        if !matches!(byte, 0x40..=0x7e) {
            // A control character, or too great a length, ends the sequence.
            if byte < 0x20 || self.held.len() >= MAX_SEQUENCE {
                self.held.clear();
                self.state = State::Ground;
                return self.ground(byte, found);
            }
            return self.held.push(byte);
        }
        self.state = State::Ground;
        let held = mem::take(&mut self.held);
        let mut numbers = held.split(|byte| *byte == b';').map(|number| str::from_utf8(number).unwrap_or_default());
        let (first, modifier, third) = (numbers.next().unwrap_or_default(), numbers.next(), numbers.next());
        let key = match (byte, first) {
            (b'~', "200") => {
                self.state = State::Paste;
                None
            }
            (b'~', "1" | "7") => Some(Key::Home),
            (b'~', "4" | "8") => Some(Key::End),
            (b'~', "3") => Some(Key::Delete),
            (b'~', "5") => Some(Key::PageUp),
            (b'~', "6") => Some(Key::PageDown),
            (b'~', "27") if third == Some("13") => Some(Key::LineBreak),
            (b'u', "13") => {
                Some(if modifier.is_some_and(|modifier| modifier != "1") { Key::LineBreak } else { Key::Enter })
            }
            _ => letter(byte, modifier.is_some()),
        };
        key.into_iter().for_each(found);
    }

    fn paste(&mut self, byte: u8, found: &mut impl FnMut(Key)) {
        self.held.push(byte);
        if !self.held.ends_with(PASTE_END) {
            if self.held.len() > MAX_PASTE + PASTE_END.len() {
                // Of a paste that is too long, only bytes that may be part of its end mark are kept.
                let kept = self.held.split_off(self.held.len() - PASTE_END.len());
                self.dropped += self.held.len();
                self.held = kept;
            }
            return;
        }
        self.state = State::Ground;
        let mut held = mem::take(&mut self.held);
        held.truncate(held.len() - PASTE_END.len());
        match mem::take(&mut self.dropped) {
            0 => {
                let text = String::from_utf8_lossy(&held);
                found(Key::Paste(text.replace("\r\n", "\n").replace('\r', "\n")));
            }
            dropped => found(Key::PasteTooLong(dropped + held.len())),
        }
    }
}

/// Decodes a sequence that ends in a letter; with a modifier, arrows move by words.
const fn letter(byte: u8, modified: bool) -> Option<Key> {
    Some(match (byte, modified) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', false) => Key::Right,
        (b'C', true) => Key::WordRight,
        (b'D', false) => Key::Left,
        (b'D', true) => Key::WordLeft,
        (b'F', _) => Key::End,
        (b'H', _) => Key::Home,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys_of(pieces: &[&[u8]]) -> Vec<Key> {
        let (mut keys, mut found) = (Keys::default(), Vec::new());
        pieces.iter().for_each(|piece| keys.feed(piece, |key| found.push(key)));
        found
    }

    #[test]
    fn keys_are_the_same_however_their_bytes_are_cut() {
        let bytes = "é\t👩\x1b[A\x1bOH\x1b[1;5C\x1b[3~\r\x1b\r\x17\x1b[200~a\r\nb\rc\x1b[2J\x03\x1b[201~x\x1b[13;2u\x1b\x7f\x12\x1b7\x1b[5~\x1b[6;5~";
        let expected = [
            Key::Char('é'),
            Key::Char('\t'),
            Key::Char('👩'),
            Key::Up,
            Key::Home,
            Key::WordRight,
            Key::Delete,
            Key::Enter,
            Key::LineBreak,
            Key::KillWord,
            Key::Paste("a\nb\nc\u{1b}[2J\u{3}".into()),
            Key::Char('x'),
            Key::LineBreak,
            Key::KillWord,
            Key::Search,
            Key::AltDigit(7),
            Key::PageUp,
            Key::PageDown,
        ];
        assert_eq!(keys_of(&[bytes.as_bytes()]), expected);
        let single: Vec<_> = bytes.as_bytes().chunks(1).collect();
        assert_eq!(keys_of(&single), expected);
        for cut in 0..bytes.len() {
            let (first, second) = bytes.as_bytes().split_at(cut);
            assert_eq!(keys_of(&[first, second]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn wrong_bytes_and_endless_sequences_are_no_harm() {
        assert_eq!(
            keys_of(&[b"\xffa\xe2\x82b"]),
            [0xfffd, 0x61, 0xfffd, 0x62].map(|code| Key::Char(char::from_u32(code).unwrap()))
        );
        let mut keys = Keys::default();
        keys.feed(b"\x1b[", drop);
        keys.feed(&[b'1'; 1000], drop);
        assert!(keys.held.len() <= MAX_SEQUENCE);
        let mut found = Vec::new();
        keys.feed(b"\x1b\x1b[A\x1bx", |key| found.push(key));
        assert_eq!(found, [Key::Up, Key::Char('x')]);
    }

    #[test]
    fn a_paste_is_whole_up_to_its_limit_and_beyond_it_is_counted() {
        for length in [0, 1024, 65_536, MAX_PASTE] {
            let paste = [b"\x1b[200~", &*vec![b'a'; length], PASTE_END, b"\r"].concat();
            assert_eq!(keys_of(&[&paste]), [Key::Paste("a".repeat(length)), Key::Enter], "{length}");
        }
        let mut keys = Keys::default();
        let mut found = Vec::new();
        keys.feed(b"\x1b[200~", drop);
        for _ in 0..3000 {
            keys.feed(&[b'a'; 1024], |key| found.push(key));
            assert!(keys.held.capacity() <= 3 * MAX_PASTE);
        }
        keys.feed(b"\x1b[201~x", |key| found.push(key));
        assert_eq!(found, [Key::PasteTooLong(3000 * 1024), Key::Char('x')]);
    }
}
