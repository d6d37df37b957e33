//! The row above the input line that lists the channels.

use chanwire_inspect::visible;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::session::Tab;

/// The blanks between two channels.
const GAP: &str = "  ";

/// Marks channels that are left out.
const MORE: &str = "…";

/// Lists channels on a row of so many columns, less one, each with its number: `[1 general]  2 dev +3 @1  3 lab ?`. The
/// one that is shown is in brackets, `+` counts new messages, `@` those of them that mention the user, and `?` says that
/// there is no connection. Where there is no room for all, those without news are left out first.
pub(super) fn row_of_tabs(tabs: &[Tab], columns: usize) -> String {
    // A row that fills the terminal would break.
    let room = columns.saturating_sub(1);
    let every: Vec<_> = tabs.iter().enumerate().map(|(index, tab)| text(index + 1, tab)).collect();
    let row = every.join(GAP);
    if row.width() <= room {
        return row;
    }
    let matters = |tab: &Tab| tab.is_shown || tab.unread > 0;
    let those = tabs.iter().zip(&every).filter(|(tab, _)| matters(tab)).map(|(_, text)| text.as_str());
    let those: Vec<_> = those.chain((!tabs.iter().all(matters)).then_some(MORE)).collect();
    cut(&those.join(GAP), room)
}

fn text(number: usize, tab: &Tab) -> String {
    let mut text = format!("{number} {}", visible(&tab.name));
    if tab.unread > 0 {
        text += &format!(" +{}", tab.unread);
    }
    if tab.mentions > 0 {
        text += &format!(" @{}", tab.mentions);
    }
    if !tab.is_live {
        text += " ?";
    }
    if tab.is_shown { format!("[{text}]") } else { text }
}

/// Cuts a text that is wider than this many columns.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.into();
    }
    let mut left = columns.saturating_sub(MORE.width());
    let fits = |char: &char| {
        let width = char.width().unwrap_or(0);
        let fits = width <= left;
        left = if fits { left - width } else { 0 };
        fits
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    if columns > 0 {
        cut += MORE;
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tab(name: &str, unread: usize, mentions: usize) -> Tab {
        Tab { name: name.parse().unwrap(), is_shown: false, is_live: true, unread, mentions }
    }

    #[test]
    fn a_row_counts_what_is_new_and_leaves_out_what_is_not_where_it_is_narrow() {
        let mut tabs =
            [tab("general", 0, 0), tab("dev", 3, 1), tab("quiet", 0, 0), tab("世界", 12, 0), tab("lab", 0, 0)];
        tabs[0].is_shown = true;
        tabs[4].is_live = false;
        let whole = "[1 general]  2 dev +3 @1  3 quiet  4 世界 +12  5 lab ?";
        for (columns, row) in [
            (120, whole),
            (55, whole),
            (whole.width(), "[1 general]  2 dev +3 @1  4 世界 +12  …"),
            (30, "[1 general]  2 dev +3 @1  4 …"),
            (31, "[1 general]  2 dev +3 @1  4 …"),
            (32, "[1 general]  2 dev +3 @1  4 世…"),
            (5, "[1 …"),
            (2, "…"),
            (1, ""),
            (0, ""),
        ] {
            assert_eq!(row_of_tabs(&tabs, columns), row, "{columns}");
        }
    }

    #[test]
    fn no_row_is_as_wide_as_the_terminal() {
        let name = |length: usize| format!("{}{}", "é世a".repeat(length), "b");
        for columns in 1..100 {
            for length in 0..10 {
                let tabs: Vec<_> = (0..length).map(|index| tab(&name(index), index % 3, index % 2)).collect();
                assert!(row_of_tabs(&tabs, columns).width() < columns, "{columns} {length}");
            }
        }
    }
}
