//! Invisible characters that affect how their neighbours are displayed: joiners, variation selectors and flag tags.

use super::tables::{EMOJI, LETTERS, VIRAMAS};

/// The tags of the flags of England, Scotland and Wales, the only ones in general use.
const FLAGS: [&str; 3] = ["gbeng", "gbsct", "gbwls"];

/// Returns whether an invisible character has a meaning between these texts: a joiner between letters of a script that
/// needs it, after a virama, or inside an emoji sequence; a selector that belongs to an emoji; the tags of a flag.
pub(super) fn is_text(before: &str, char: char, after: &str) -> bool {
    match char {
        '\u{200c}' => joins_letters(before, after),
        '\u{200d}' => joins_letters(before, after) || joins_emoji(before, after),
        '\u{fe0e}' | '\u{fe0f}' => match before.chars().next_back() {
            Some('0'..='9' | '#' | '*') => char == '\u{fe0f}' && after.starts_with('\u{20e3}'),
            Some(before) => is_emoji(before),
            None => false,
        },
        '\u{e0020}'..='\u{e007f}' => is_in_flag(before, char, after),
        _ => false,
    }
}

fn joins_letters(before: &str, after: &str) -> bool {
    let Some(before) = before.chars().next_back() else { return false };
    let after = after.chars().next();
    VIRAMAS.contains(&before) && !matches!(after, Some('\u{200c}' | '\u{200d}'))
        || after.is_some_and(|after| scripts_of(before) & scripts_of(after) != 0)
}

/// Returns whether they are elements of a ZWJ sequence (UTS #51): the first may have a selector or a skin tone.
fn joins_emoji(before: &str, after: &str) -> bool {
    let base = before.strip_suffix(|char| matches!(char, '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}')).unwrap_or(before);
    base.chars().next_back().is_some_and(is_emoji) && after.chars().next().is_some_and(is_emoji)
}

fn is_in_flag(before: &str, char: char, after: &str) -> bool {
    const LONGEST: usize = 6;
    let is_tag = |char: &char| matches!(char, '\u{e0020}'..='\u{e007f}');
    let earlier = before.chars().rev().take_while(is_tag).take(LONGEST).count();
    let mut run: Vec<char> = before.chars().rev().take(earlier).collect();
    run.reverse();
    run.push(char);
    run.extend(after.chars().take_while(is_tag).take(LONGEST));
    let is_flag = |flag: &str| {
        let tags = flag.chars().filter_map(|letter| char::from_u32(0xe0000 + u32::from(letter)));
        tags.chain(['\u{e007f}']).eq(run.iter().copied())
    };
    before.chars().rev().nth(earlier) == Some('\u{1f3f4}') && FLAGS.iter().any(|flag| is_flag(flag))
}

/// Returns the scripts with this letter or mark, among those that need joiners, as a set of bits.
pub(super) fn scripts_of(char: char) -> u32 {
    let code = u32::from(char);
    let index = LETTERS.partition_point(|&(_, last, _)| last < code);
    LETTERS.get(index).filter(|(first, ..)| *first <= code).map_or(0, |(.., scripts)| *scripts)
}

pub(super) fn is_emoji(char: char) -> bool {
    let code = u32::from(char);
    let index = EMOJI.partition_point(|&(_, last)| last < code);
    EMOJI.get(index).is_some_and(|&(first, _)| first <= code)
}
