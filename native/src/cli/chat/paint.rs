//! Output of a chat as lines of text. All that others send is escaped here.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use chanwire_core::wire::{StoredMessage, Timestamp};
use chanwire_inspect::readable;
use jiff::{Zoned, civil::Date, tz::TimeZone};

use super::{
    session::{Mention, Shown},
    view::{Entry, fold},
};
use crate::cli::text::{channel_lines, sender};

const PLAIN: &str = "\u{1b}[0m";
const DIM: &str = "\u{1b}[2m";
const YELLOW: &str = "\u{1b}[33m";
/// The text of a message that mentions the user.
const MENTION: &str = "\u{1b}[1;33m";

const BELL: &str = "\u{7}";

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
    /// Whether a new mention of the user rings the bell.
    rings: bool,
    /// The day of the message before.
    day: Option<Date>,
}

impl Painter {
    pub(super) const fn new(colours: bool, breaks: bool, zone: TimeZone) -> Self {
        Self { colours, breaks, zone, rings: false, day: None }
    }

    /// Sets whether a new mention of the user rings the bell.
    pub(super) fn with_bell(self, rings: bool) -> Self {
        Self { rings, ..self }
    }

    /// Returns the bell, if the user wants it.
    pub(super) const fn bell(&self) -> &'static str {
        if self.rings { BELL } else { "" }
    }

    /// Returns the name of the time zone of the times.
    pub(super) fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("local time")
    }

    /// Returns the day of a message as a line, before the first message and where the day changes.
    pub(super) fn day(&mut self, shown: &Shown) -> Option<String> {
        let Shown::Message(message, _) = shown else { return None };
        let day = self.when(message.timestamp).0?;
        let is_new = self.day.replace(day) != Some(day);
        is_new.then(|| self.aside(DIM, &day.to_string()))
    }

    /// Formats a message to be read back, with its id.
    pub(super) fn entry(&self, message: &StoredMessage, mention: Mention) -> Entry {
        let day = self.when(message.timestamp).0.map(|day| self.aside(DIM, &day.to_string()));
        let mention = if mention == Mention::No { mention } else { Mention::Earlier };
        let text = format!("{} {}", self.in_colour(DIM, &message.id.to_string()), self.message(message, mention));
        let searched = fold(&format!("{}: {}", sender(message), message.message_content));
        Entry { id: message.id, day: day.unwrap_or_default(), text, searched }
    }

    /// Formats output as one line or more, each with its end.
    pub(super) fn lines(&self, shown: &Shown) -> String {
        match shown {
            Shown::Message(message, mention) => self.message(message, *mention),
            Shown::Channels { of, channels } if channels.is_empty() => self.aside(DIM, &format!("no channels at {of}")),
            Shown::Channels { of, channels } => {
                let title = self.aside(DIM, &format!("channels at {of}:"));
                title + &channel_lines(channels).map(|line| format!("  {line}\n")).collect::<String>()
            }
            Shown::Note(text) => self.aside(DIM, &readable(text)),
            Shown::Trouble(text) => self.aside(YELLOW, &readable(text)),
        }
    }

    fn message(&self, message: &StoredMessage, mention: Mention) -> String {
        let (_, time) = self.when(message.timestamp);
        let name = sender(message);
        let row = |text: &str| match mention {
            Mention::No => readable(text).into_owned(),
            Mention::Earlier | Mention::New => self.in_colour(MENTION, &readable(text)),
        };
        let text = match self.breaks {
            true => {
                let rows = message.message_content.split('\n');
                rows.map(|text| row(text.strip_suffix('\r').unwrap_or(text))).collect::<Vec<_>>().join(INDENT)
            }
            false => row(&message.message_content),
        };
        let bell = if mention == Mention::New { self.bell() } else { "" };
        let (mark, name) = name.split_at(1);
        format!("{bell}{}{mark}{}: {text}\n", self.in_colour(DIM, &time), self.in_colour(&colour_of(name), name))
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
        mentioned(username, message_content, unix, Mention::No)
    }

    fn mentioned(username: &str, message_content: &str, unix: i64, mention: Mention) -> Shown {
        let message = StoredMessage::new(
            "general".parse().unwrap(),
            1,
            username.parse().unwrap(),
            message_content.into(),
            Timestamp::from_unix(unix),
        );
        Shown::Message(message, mention)
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
    fn an_account_stands_behind_an_at_sign_where_a_guest_has_a_blank() {
        let Shown::Message(mut message, mention) = said("ann", "a", 0) else { unreachable!("it is a message") };
        message.account = Some("ann".parse().unwrap());
        assert_eq!(painter(false, 0).lines(&Shown::Message(message.clone(), mention)), "00:00@ann: a\n");
        message.username = "Ann B.".parse().unwrap();
        assert_eq!(painter(false, 0).lines(&Shown::Message(message, mention)), "00:00@ann Ann B.: a\n");
        assert_eq!(painter(false, 0).lines(&said("@ann", "a", 0)), "00:00 @ann: a\n");
    }

    #[test]
    fn colours_come_only_where_they_are_wanted() {
        let shown = said("ann", "a", 0);
        let coloured = painter(true, 0).lines(&shown);
        assert!(coloured.starts_with("\u{1b}[2m00:00\u{1b}[0m \u{1b}[1;"), "{coloured:?}");
        assert!(!painter(false, 0).lines(&shown).contains('\u{1b}'));
    }

    #[test]
    fn a_mention_is_highlighted_row_by_row_and_a_new_one_rings_where_it_is_wanted() {
        let painter = Painter::new(true, true, TimeZone::UTC);
        let lines = painter.lines(&mentioned("bob", "ann:\nhi", 0, Mention::Earlier));
        assert!(lines.ends_with(": \u{1b}[1;33mann:\u{1b}[0m\n      \u{1b}[1;33mhi\u{1b}[0m\n"), "{lines:?}");
        for (rings, mention, bells) in
            [(true, Mention::New, 1), (true, Mention::Earlier, 0), (true, Mention::No, 0), (false, Mention::New, 0)]
        {
            let painter = Painter::new(true, true, TimeZone::UTC).with_bell(rings);
            let lines = painter.lines(&mentioned("bob", "ann", 0, mention));
            assert_eq!(lines.matches('\u{7}').count(), bells, "{lines:?}");
        }
    }
}
