//! Output of a chat as lines of text. All that others send is escaped here.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use chanwire_core::wire::{StoredMessage, Timestamp};
use chanwire_inspect::{readable, visible};
use jiff::{Zoned, civil::Date, tz::TimeZone};

use super::session::Shown;
use crate::cli::text::channel_lines;

const PLAIN: &str = "\u{1b}[0m";
const DIM: &str = "\u{1b}[2m";
const YELLOW: &str = "\u{1b}[33m";

/// The beginning of a message's further rows: they are indented, so that no row looks like a message.
const INDENT: &str = "\n      ";

/// Colours that differ on light and on dark backgrounds: green, blue, magenta, cyan and their bright kinds.
const NAMES: [u8; 8] = [32, 34, 35, 36, 92, 94, 95, 96];

/// Formats output as lines.
pub(super) struct Painter {
    colours: bool,
    /// Whether a message's line breaks are shown as such; else it stays on its line.
    breaks: bool,
    zone: TimeZone,
    /// The day of the message before.
    day: Option<Date>,
}

impl Painter {
    pub(super) const fn new(colours: bool, breaks: bool, zone: TimeZone) -> Self {
        Self { colours, breaks, zone, day: None }
    }

    /// Returns the name of the time zone of the times.
    pub(super) fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("local time")
    }

    /// Returns the day of a message as a line, before the first message and where the day changes.
    pub(super) fn day(&mut self, shown: &Shown) -> Option<String> {
        let Shown::Message(message) = shown else { return None };
        let day = self.when(message.timestamp).0?;
        let is_new = self.day.replace(day) != Some(day);
        is_new.then(|| self.aside(DIM, &day.to_string()))
    }

    /// Formats output as one line or more, each with its end.
    pub(super) fn lines(&self, shown: &Shown) -> String {
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

    fn message(&self, message: &StoredMessage) -> String {
        let (_, time) = self.when(message.timestamp);
        let name = visible(&message.username);
        let text = match self.breaks {
            true => {
                let rows = message.message_content.split('\n');
                rows.map(|row| readable(row.strip_suffix('\r').unwrap_or(row))).collect::<Vec<_>>().join(INDENT)
            }
            false => readable(&message.message_content).into_owned(),
        };
        format!("{} {}: {text}\n", self.in_colour(DIM, &time), self.in_colour(&colour_of(&name), &name))
    }

    /// Returns the day and the time, where the time zone's rules know them.
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

/// Returns the colour of a name, which is the same for all users of this version.
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
        Painter::new(colours, false, TimeZone::fixed(jiff::tz::offset(hours)))
    }

    fn said(username: &str, message_content: &str, unix: i64) -> Shown {
        Shown::Message(StoredMessage {
            channel_name: "general".parse().unwrap(),
            id: 1,
            username: username.parse().unwrap(),
            message_content: message_content.into(),
            timestamp: Timestamp::from_unix(unix),
        })
    }

    #[test]
    fn text_of_others_cannot_control_the_terminal() {
        let hostile = "\u{1b}[2J\u{1b}]0;title\u{7}\u{202e}txet\r\n\u{9b}1A";
        let visible = r"\u{1b}[2J\u{1b}]0;title\u{7}\u{202e}txet\r\n\u{9b}1A";
        // A name has no control characters, but the marks of writing direction.
        for (shown, visible) in [
            (said("ann", hostile, 0), visible),
            (said("\u{202e}txet", "x", 0), r"\u{202e}txet"),
            (Shown::Note(hostile.into()), visible),
            (Shown::Trouble(hostile.into()), visible),
        ] {
            let lines = painter(false, 0).lines(&shown);
            let line = lines.strip_suffix('\n').unwrap();
            assert!(!line.contains(|char: char| char.is_control() || char == '\u{202e}'), "{line:?}");
            let rows = Painter::new(false, true, TimeZone::UTC).lines(&shown);
            assert!(!rows.contains(|char: char| char != '\n' && (char.is_control() || char == '\u{202e}')), "{rows:?}");
            assert!(rows.lines().skip(1).all(|row| row.starts_with("      ")), "{rows:?}");
            assert!(line.contains(visible), "{line}");
        }
    }

    #[test]
    fn times_and_days_are_of_the_zone() {
        let mut painter = painter(false, 2);
        let mut both = |unix| {
            let shown = said("ann", "a", unix);
            (painter.day(&shown), painter.lines(&shown))
        };
        // The day stands before the first message, and at each change, back as well.
        for (unix, day, time) in [
            (0, Some("* 1970-01-01\n"), "02:00"),
            (79_199, None, "23:59"),
            (79_200, Some("* 1970-01-02\n"), "00:00"),
            (79_300, None, "00:01"),
            (79_199, Some("* 1970-01-01\n"), "23:59"),
        ] {
            assert_eq!(both(unix), (day.map(str::to_owned), format!("{time} ann: a\n")));
        }
        let (_, far) = both(i64::MAX);
        assert!(far.ends_with(" ann: a\n"), "{far}");
    }

    #[test]
    fn line_breaks_are_shown_where_they_cannot_be_taken_for_messages() {
        let shown = said("ann", "a\n00:00 bob: b\r\n\tc\rd\n", 0);
        let broken = Painter::new(false, true, TimeZone::UTC);
        assert_eq!(broken.lines(&shown), "00:00 ann: a\n      00:00 bob: b\n      \tc\\rd\n      \n");
        assert_eq!(painter(false, 0).lines(&shown), "00:00 ann: a\\n00:00 bob: b\\r\\n\tc\\rd\\n\n");
    }

    #[test]
    fn colours_come_only_where_they_are_wanted() {
        let shown = said("ann", "a", 0);
        let coloured = painter(true, 0).lines(&shown);
        assert!(coloured.starts_with("\u{1b}[2m00:00\u{1b}[0m \u{1b}[1;"), "{coloured:?}");
        assert!(!painter(false, 0).lines(&shown).contains('\u{1b}'));
    }
}
