//! What the user sees, as lines of text. All that others send is made harmless here.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use chanwire_core::wire::{StoredMessage, Timestamp};
use chanwire_inspect::{readable, visible};
use jiff::{Zoned, civil::Date, tz::TimeZone};

use super::session::Shown;
use crate::cli::text::channel_lines;

const PLAIN: &str = "\u{1b}[0m";
const DIM: &str = "\u{1b}[2m";
const YELLOW: &str = "\u{1b}[33m";

/// Those that can be told apart on light and on dark: green, blue, magenta, cyan and their bright kinds.
const NAMES: [u8; 8] = [32, 34, 35, 36, 92, 94, 95, 96];

/// Makes lines.
pub(super) struct Painter {
    colours: bool,
    zone: TimeZone,
    /// The day of the message before.
    day: Option<Date>,
}

impl Painter {
    pub(super) const fn new(colours: bool, zone: TimeZone) -> Self {
        Self { colours, zone, day: None }
    }

    /// The name of the time zone that times are shown in.
    pub(super) fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("local time")
    }

    /// One line or more, each with its end.
    pub(super) fn lines(&mut self, shown: &Shown) -> String {
        match shown {
            Shown::Message(message) => self.message(message),
            Shown::Channels { of, channels } if channels.is_empty() => self.aside(DIM, &format!("no channels at {of}")),
            Shown::Channels { of, channels } => {
                let title = self.aside(DIM, &format!("channels at {of}:"));
                title + &channel_lines(channels).map(|line| format!("  {line}\n")).collect::<String>()
            }
            Shown::Note(text) => self.aside(DIM, &readable(text)),
            Shown::Trouble(text) => self.aside(YELLOW, &readable(text)),
        }
    }

    fn message(&mut self, message: &StoredMessage) -> String {
        let (day, time) = self.when(message.timestamp);
        let mut lines = String::new();
        if let Some(day) = day
            && self.day.replace(day).is_some_and(|before| before != day)
        {
            lines = self.aside(DIM, &day.to_string());
        }
        let (name, text) = (visible(&message.username), readable(&message.message_content));
        lines + &format!("{} {}: {text}\n", self.in_colour(DIM, &time), self.in_colour(&colour_of(&name), &name))
    }

    /// The day and the time, where the time zone's rules know them.
    fn when(&self, timestamp: Timestamp) -> (Option<Date>, String) {
        let at = jiff::Timestamp::from_second(timestamp.as_unix()).ok();
        let Some(at) = at.map(|at| at.to_zoned(self.zone.clone())) else { return (None, timestamp.to_string()) };
        let time = |at: &Zoned| format!("{:02}:{:02}", at.hour(), at.minute());
        (Some(at.date()), time(&at))
    }

    fn aside(&self, colour: &str, text: &str) -> String {
        self.in_colour(colour, &format!("* {text}")) + "\n"
    }

    fn in_colour(&self, colour: &str, text: &str) -> String {
        if self.colours { format!("{colour}{text}{PLAIN}") } else { text.into() }
    }
}

/// The same name has the same colour for everybody who runs this version.
fn colour_of(name: &str) -> String {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let index = usize::try_from(hasher.finish() % 8).unwrap_or(0);
    format!("\u{1b}[1;{}m", NAMES.get(index).copied().unwrap_or(36))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painter(colours: bool, hours: i8) -> Painter {
        Painter::new(colours, TimeZone::fixed(jiff::tz::offset(hours)))
    }

    fn said(username: &str, message_content: &str, unix: i64) -> Shown {
        Shown::Message(StoredMessage {
            channel_name: "general".into(),
            id: 1,
            username: username.into(),
            message_content: message_content.into(),
            timestamp: Timestamp::from_unix(unix),
        })
    }

    #[test]
    fn what_others_send_cannot_act() {
        let hostile = "\u{1b}[2J\u{1b}]0;title\u{7}\u{202e}txet\r\n\u{9b}1A";
        for shown in [
            said("ann", hostile, 0),
            said(hostile, "x", 0),
            Shown::Note(hostile.into()),
            Shown::Trouble(hostile.into()),
        ] {
            let lines = painter(false, 0).lines(&shown);
            let line = lines.strip_suffix('\n').unwrap();
            assert!(!line.contains(|char: char| char.is_control() || char == '\u{202e}'), "{line:?}");
            assert!(line.contains(r"\u{1b}[2J\u{1b}]0;title\u{7}\u{202e}txet\r\n\u{9b}1A"), "{line}");
        }
    }

    #[test]
    fn times_are_of_the_zone_and_a_new_day_is_told() {
        let mut painter = painter(false, 2);
        assert_eq!(painter.lines(&said("ann", "a", 0)), "02:00 ann: a\n");
        assert_eq!(painter.lines(&said("ann", "b", 79_199)), "23:59 ann: b\n");
        assert_eq!(painter.lines(&said("ann", "c", 79_200)), "* 1970-01-02\n00:00 ann: c\n");
        let far = painter.lines(&said("ann", "d", i64::MAX));
        assert!(far.ends_with(" ann: d\n"), "{far}");
    }

    #[test]
    fn colours_come_only_where_they_are_wanted() {
        let shown = said("ann", "a", 0);
        let coloured = painter(true, 0).lines(&shown);
        assert!(coloured.starts_with("\u{1b}[2m00:00\u{1b}[0m \u{1b}[1;"), "{coloured:?}");
        assert!(!painter(false, 0).lines(&shown).contains('\u{1b}'));
    }
}
