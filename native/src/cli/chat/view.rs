//! Reading back: a channel's messages in pages, on a screen of their own, and the search through them.

mod wrap;

use std::{collections::VecDeque, mem};

use chanwire_inspect::readable;

use super::tabs::cut;
use wrap::{plain, wrap};

/// The most messages that are kept, and their bytes.
const KEPT: usize = 5000;
const KEPT_BYTES: usize = 8 << 20;

/// Columns of the text that is searched, as far as it is shown.
const SEARCHED: usize = 12;

/// A message as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: u64,
    /// The line of its day.
    pub(super) day: String,
    /// Its lines.
    pub(super) text: String,
    /// The text that a search looks through, with its letters [folded](fold).
    pub(super) searched: String,
}

impl Entry {
    fn size(&self) -> usize {
        size_of::<Self>() + self.day.len() + self.text.len() + self.searched.len()
    }
}

/// Removes the differences of case, by the rules of Unicode for single characters.
pub(super) fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// A window over a channel's messages, the oldest first.
#[derive(Debug)]
pub(super) struct View {
    channel: String,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The rows of the messages, for the present width.
    rows: Vec<Row>,
    columns: usize,
    height: usize,
    /// The first row that is on the screen.
    top: usize,
    /// Rows to scroll back once there are older messages.
    owed: usize,
    /// Whether older messages were requested and have not come.
    is_loading: bool,
    /// Whether no older messages are kept.
    is_complete: bool,
    /// The reason for which no older messages came.
    failure: Option<String>,
    /// Whether the newest messages were dropped.
    is_cut: bool,
    searching: Option<Searching>,
}

#[derive(Debug)]
struct Row {
    /// The index of its message.
    entry: usize,
    text: String,
}

#[derive(Debug)]
struct Searching {
    text: String,
    folded: String,
    /// The id of the message that was found.
    found: Option<u64>,
    /// Whether there was no further one.
    is_over: bool,
}

impl Searching {
    fn status(&self) -> String {
        let text = cut(&readable(&self.text), SEARCHED);
        match self {
            Self { found: None, .. } => format!("\"{text}\" not loaded"),
            Self { is_over: true, .. } => format!("\"{text}\": no further one loaded"),
            Self { found: Some(id), .. } => format!("\"{text}\": message {id}"),
        }
    }
}

impl View {
    /// Begins at the end of these messages.
    pub(super) fn new(channel: String, entries: Vec<Entry>, columns: usize, height: usize) -> Self {
        let mut view = Self {
            channel,
            bytes: entries.iter().map(Entry::size).sum(),
            entries: entries.into(),
            rows: Vec::new(),
            columns,
            height,
            top: 0,
            owed: 0,
            is_loading: false,
            is_complete: false,
            failure: None,
            is_cut: false,
            searching: None,
        };
        view.lay_out();
        view.top = view.last_top();
        view
    }

    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    /// Sets the size of the screen. The first message on it stays.
    pub(super) fn resize(&mut self, columns: usize, height: usize) {
        if (self.columns, self.height) == (columns, height) {
            return;
        }
        let was_at_end = self.top >= self.last_top();
        let found = self.found().filter(|index| self.is_shown(*index));
        self.height = height;
        let index = self.rows.get(self.top).map(|row| row.entry);
        if self.columns != columns {
            self.columns = columns;
            self.lay_out();
        }
        let top = self.rows.iter().position(|row| Some(row.entry) == index).unwrap_or(0);
        self.top = if was_at_end { self.last_top() } else { top.min(self.last_top()) };
        found.into_iter().for_each(|index| self.reveal(index));
    }

    /// Scrolls towards older messages, by a page less one row, or by one row.
    pub(super) fn back(&mut self, page: bool) {
        self.failure = None;
        let step = self.step(page);
        self.owed = step.saturating_sub(self.top);
        self.top = self.top.saturating_sub(step);
    }

    /// Scrolls towards newer messages. Returns `false` where these are the newest.
    pub(super) fn forth(&mut self, page: bool) -> bool {
        self.owed = 0;
        let last = self.last_top();
        let moves = self.top < last;
        self.top = (self.top + self.step(page)).min(last);
        moves
    }

    /// Scrolls to the oldest message.
    pub(super) fn home(&mut self) {
        (self.failure, self.owed) = (None, 0);
        self.top = 0;
    }

    fn step(&self, page: bool) -> usize {
        if page { self.height.saturating_sub(1).max(1) } else { 1 }
    }

    fn last_top(&self) -> usize {
        self.rows.len().saturating_sub(self.height)
    }

    /// Returns the id before which to request older messages, if they will be needed soon.
    pub(super) fn wants_older(&mut self) -> Option<u64> {
        if self.top >= self.height || self.is_loading || self.is_complete || self.failure.is_some() {
            return None;
        }
        let first = self.entries.front()?.id;
        self.is_loading = true;
        Some(first)
    }

    /// Adds the messages before an id, or the reason for which there are none now. Drops the newest ones that are too
    /// many.
    pub(super) fn add_older(&mut self, before: u64, older: Result<Vec<Entry>, String>) {
        if self.entries.front().is_none_or(|first| first.id != before) {
            // They were requested earlier, for others.
            return;
        }
        self.is_loading = false;
        let older = match older {
            Ok(older) => older,
            Err(reason) => {
                // The next key that goes back asks again.
                self.failure = Some(reason);
                return;
            }
        };
        self.is_complete = older.last().is_none_or(|last| last.id >= before);
        if self.is_complete {
            return;
        }
        let place = self.place();
        for entry in older.into_iter().rev() {
            self.bytes += entry.size();
            self.entries.push_front(entry);
        }
        while self.entries.len() > KEPT || self.bytes > KEPT_BYTES {
            let Some(entry) = self.entries.pop_back() else { break };
            self.bytes -= entry.size();
            self.is_cut = true;
        }
        self.lay_out();
        self.go_to(place);
        self.top = self.top.saturating_sub(mem::take(&mut self.owed));
    }

    /// Searches for the last message up to the end of the screen that contains a text.
    pub(super) fn search(&mut self, text: String) {
        let folded = fold(&text);
        self.searching = Some(Searching { text, folded, found: None, is_over: false });
        let end = self.rows.get((self.top + self.height).min(self.rows.len()).saturating_sub(1));
        let before = end.map_or(0, |row| row.entry + 1);
        let found = self.matches().take_while(|index| *index < before).last();
        self.find(found);
    }

    /// Goes to the next older message with the text, or the next newer one. Returns `false` if there is no search.
    pub(super) fn search_on(&mut self, newer: bool) -> bool {
        let Some(searching) = &self.searching else { return false };
        let found = searching.found;
        let id_of = |index: &usize| self.entries.get(*index).map(|entry| entry.id);
        let next = if newer {
            self.matches().find(|index| id_of(index) > found)
        } else {
            self.matches().take_while(|index| found.is_none_or(|found| id_of(index) < Some(found))).last()
        };
        self.find(next);
        true
    }

    /// Returns the indices of the messages that contain the text.
    fn matches(&self) -> impl Iterator<Item = usize> {
        let folded = self.searching.as_ref().map(|searching| searching.folded.as_str());
        let has = move |entry: &Entry| folded.is_some_and(|folded| entry.searched.contains(folded));
        self.entries.iter().enumerate().filter(move |(_, entry)| has(entry)).map(|(index, _)| index)
    }

    /// Marks a message as found, and scrolls to it.
    fn find(&mut self, index: Option<usize>) {
        let found = index.and_then(|index| self.entries.get(index)).map(|entry| entry.id);
        let Some(searching) = &mut self.searching else { return };
        searching.is_over = found.is_none();
        searching.found = found.or(searching.found);
        index.into_iter().for_each(|index| self.reveal(index));
    }

    /// Returns the index of the message that was found.
    fn found(&self) -> Option<usize> {
        let id = self.searching.as_ref()?.found?;
        self.entries.iter().position(|entry| entry.id == id)
    }

    /// Returns whether all rows of a message are on the screen.
    fn is_shown(&self, index: usize) -> bool {
        let mut rows = self.rows.iter().enumerate().filter(|(_, row)| row.entry == index);
        rows.all(|(row, _)| (self.top..self.top + self.height).contains(&row))
    }

    /// Scrolls to the middle of the screen with a message, unless it is on the screen.
    fn reveal(&mut self, index: usize) {
        if !self.is_shown(index) {
            let first = self.rows.iter().position(|row| row.entry == index).unwrap_or(0);
            self.top = first.saturating_sub(self.height / 2).min(self.last_top());
        }
    }

    /// Returns the rows on the screen.
    pub(super) fn shown(&self) -> impl Iterator<Item = String> {
        let found = self.searching.as_ref().and_then(|searching| searching.found);
        self.rows.iter().skip(self.top).take(self.height).map(move |row| {
            let is_found = found.is_some() && self.entries.get(row.entry).map(|entry| entry.id) == found;
            // In reverse.
            if is_found { format!("\u{1b}[7m{}\u{1b}[0m", plain(&row.text)) } else { row.text.clone() }
        })
    }

    /// Returns the row below them: what is shown, and the keys.
    pub(super) fn status(&self) -> String {
        let ids = |index: usize| self.rows.get(index).and_then(|row| self.entries.get(row.entry)).map(|entry| entry.id);
        let last = (self.top + self.height).min(self.rows.len()).saturating_sub(1);
        let shown = match (&self.searching, ids(self.top), ids(last)) {
            (Some(searching), ..) => searching.status(),
            (None, Some(first), Some(last)) => format!("messages {first} to {last}"),
            (None, ..) => "no messages".into(),
        };
        let more = match self.top {
            0 if self.is_loading => ", loading",
            0 if self.is_complete => ", the first",
            top if self.is_cut && top >= self.last_top() => ", newer ones after q",
            _ => "",
        };
        let failure =
            self.failure.as_ref().map_or(String::new(), |reason| format!(" -- no older ones: {}", readable(reason)));
        let keys = if self.searching.is_some() { "n older, N newer, q returns" } else { "PgUp PgDn, q returns" };
        cut(&format!("-- {shown}{more} -- {keys}{failure}"), self.columns.saturating_sub(1))
    }

    /// Returns the message of the first row on the screen, and how many rows before its end that is.
    fn place(&self) -> Option<(u64, usize)> {
        let index = self.rows.get(self.top)?.entry;
        let end = self.rows.iter().rposition(|row| row.entry == index)?;
        Some((self.entries.get(index)?.id, end - self.top))
    }

    /// Scrolls to a place, or to the end if it was dropped.
    fn go_to(&mut self, place: Option<(u64, usize)>) {
        let top = place.and_then(|(id, before_end)| {
            let index = self.entries.iter().position(|entry| entry.id == id)?;
            let end = self.rows.iter().rposition(|row| row.entry == index)?;
            Some(end.saturating_sub(before_end))
        });
        self.top = top.unwrap_or(usize::MAX).min(self.last_top());
    }

    fn lay_out(&mut self) {
        let mut day = "";
        self.rows.clear();
        for (index, entry) in self.entries.iter().enumerate() {
            let date = (entry.day != day).then_some(entry.day.as_str());
            day = &entry.day;
            let lines = date.into_iter().flat_map(str::lines).chain(entry.text.lines());
            let rows = lines.flat_map(|line| wrap(line, self.columns));
            self.rows.extend(rows.map(|text| Row { entry: index, text }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u64, text: &str) -> Entry {
        Entry { id, day: format!("* day {}\n", id / 100), text: format!("{id} {text}\n"), searched: fold(text) }
    }

    fn entries(ids: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
        ids.map(|id| entry(id, &format!("text {id}"))).collect()
    }

    fn shown(view: &View) -> Vec<String> {
        view.shown().collect()
    }

    /// Returns the first and the last row on the screen.
    fn ends(view: &View) -> (String, String) {
        let rows = shown(view);
        (rows.first().unwrap().clone(), rows.last().unwrap().clone())
    }

    fn pair(first: &str, last: &str) -> (String, String) {
        (first.into(), last.into())
    }

    #[test]
    fn pages_overlap_by_a_row_and_end_at_both_ends() {
        let mut view = View::new("general".into(), entries(101..=130), 80, 10);
        assert_eq!(ends(&view), pair("121 text 121", "130 text 130"));
        assert!(!view.forth(true));
        view.back(true);
        assert_eq!(ends(&view), pair("112 text 112", "121 text 121"));
        assert_eq!(view.wants_older(), None);
        view.back(true);
        view.back(true);
        assert_eq!(ends(&view), pair("* day 1", "109 text 109"));
        assert!(view.forth(false));
        assert_eq!(ends(&view), pair("101 text 101", "110 text 110"));
        assert!(view.forth(true) && view.forth(true) && view.forth(true) && !view.forth(true));
        view.home();
        assert_eq!(shown(&view)[0], "* day 1");
    }

    #[test]
    fn older_messages_come_above_and_the_screen_stays() {
        let mut view = View::new("general".into(), entries(251..=280), 80, 10);
        view.home();
        view.forth(false);
        assert_eq!(view.wants_older(), Some(251));
        assert_eq!(view.wants_older(), None);
        // Others than those that were asked for are not taken.
        view.add_older(250, Ok(entries(151..=249)));
        view.add_older(251, Ok(entries(151..=250)));
        assert_eq!(ends(&view), pair("251 text 251", "260 text 260"));
        view.back(true);
        view.back(true);
        assert_eq!(view.wants_older(), None);
        view.home();
        assert_eq!(shown(&view)[..2], ["* day 1", "151 text 151"]);
        assert_eq!(view.wants_older(), Some(151));
        view.add_older(151, Err("no connection".into()));
        assert!(view.status().contains("no older ones: no connection"), "{}", view.status());
        assert_eq!(view.wants_older(), None);
        view.back(false);
        assert_eq!(view.wants_older(), Some(151));
        view.add_older(151, Ok(Vec::new()));
        assert_eq!((view.entries.len(), view.wants_older()), (130, None));
        assert!(view.status().contains("the first"), "{}", view.status());
    }

    #[test]
    fn a_page_that_is_not_loaded_yet_is_shown_when_it_is() {
        let mut view = View::new("general".into(), entries(381..=400), 80, 10);
        view.back(true);
        view.back(true);
        assert_eq!(view.wants_older(), Some(381));
        assert_eq!(shown(&view)[0], "* day 3");
        view.add_older(381, Ok(entries(301..=380)));
        // Of 21 rows, 11 were above the first page, and of the 18 to go back to, 7 were missing.
        assert_eq!(ends(&view), pair("374 text 374", "383 text 383"));
    }

    #[test]
    fn the_newest_messages_are_dropped_where_too_many_are_loaded() {
        let mut view = View::new("general".into(), entries(100_001..=101_000), 80, 10);
        let mut first = 100_001;
        for _ in 0..50 {
            view.home();
            assert_eq!(view.wants_older(), Some(first));
            view.add_older(first, Ok(entries(first - 1000..=first - 1)));
            first -= 1000;
        }
        assert_eq!((view.entries.len(), view.entries.front().unwrap().id), (KEPT, first));
        while view.forth(true) {}
        assert!(view.status().contains("newer ones after q"), "{}", view.status());
        assert_eq!(view.bytes, view.entries.iter().map(Entry::size).sum::<usize>());
        view.home();
        view.wants_older();
        let large: Vec<_> = (1..=first - 1).rev().take(1000).map(|id| entry(id, &"x".repeat(60_000))).collect();
        view.add_older(first, Ok(large.into_iter().rev().collect()));
        assert!(view.bytes <= KEPT_BYTES && view.entries.len() > 10);
    }

    #[test]
    fn a_search_goes_back_and_forth_whatever_the_case_of_the_letters() {
        let mut all = entries(1..=90);
        all[4] = entry(5, "die STRASSE");
        all[30] = entry(31, "die Straße");
        all[60] = entry(61, "ὈΔΥΣΣΕΎΣ");
        let mut view = View::new("general".into(), all, 80, 10);
        assert!(!view.search_on(false));
        view.search("STRAßE".into());
        let found = |view: &View| shown(view).into_iter().find(|row| row.starts_with("\u{1b}[7m"));
        assert_eq!(found(&view).unwrap(), "\u{1b}[7m31 die Straße\u{1b}[0m");
        assert!(view.search_on(false));
        assert_eq!(found(&view).unwrap(), "\u{1b}[7m5 die STRASSE\u{1b}[0m");
        view.search_on(false);
        assert!(view.status().contains("no further one"), "{}", view.status());
        assert_eq!(found(&view).unwrap(), "\u{1b}[7m5 die STRASSE\u{1b}[0m");
        view.search_on(true);
        assert_eq!(found(&view).unwrap(), "\u{1b}[7m31 die Straße\u{1b}[0m");
        assert!(!view.status().contains("no further"), "{}", view.status());
        view.search("ὀδυσσεύς".into());
        assert_eq!(found(&view), None);
        while view.forth(true) {}
        view.search("ὀδυσσεύς".into());
        assert!(found(&view).unwrap().contains("61"));
        view.search("nothing".into());
        assert!(view.status().contains("not loaded"), "{}", view.status());
    }

    #[test]
    fn any_size_shows_the_same_message_at_the_top_and_no_row_too_wide() {
        let mut view = View::new("general".into(), entries(1..=90), 80, 10);
        view.back(true);
        view.back(true);
        let first = ends(&view).0;
        for (columns, height) in [(20, 10), (7, 3), (120, 12), (1, 1), (80, 10), (80, 0), (80, 10)] {
            view.resize(columns, height);
            let rows = shown(&view);
            assert!(rows.len() <= height && view.status().chars().count() < columns.max(1), "{columns} {height}");
        }
        assert_eq!(ends(&view).0, first);
        assert_eq!(shown(&View::new("empty".into(), Vec::new(), 80, 10)), [""; 0]);
    }
}
