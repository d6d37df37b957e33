use serde::Deserialize;

use super::{
    joining::{is_emoji, scripts_of},
    tables::{SCRIPTS, VIRAMAS},
    *,
};

/// A text and how it is shown, by the terminal and by the page: its tests read the same file.
#[derive(Deserialize)]
struct Vector {
    name: String,
    text: String,
    shown: String,
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

#[test]
fn joiners_are_text_in_emoji_and_in_scripts_that_need_them_and_visible_elsewhere() {
    for Vector { name, text, shown } in vectors() {
        assert_eq!(visible(&text), shown, "{name}");
        assert_eq!(visible(&shown), shown, "{name}");
        assert_eq!(readable(&text), shown, "{name}");
        assert_eq!(one_line(usize::MAX, format_args!("{text}")), shown, "{name}");
    }
}

#[test]
fn a_line_is_cut_after_its_limit_and_says_so() {
    assert_eq!(one_line(3, format_args!("{}{}", "ab", "c")), "abc");
    assert_eq!(one_line(3, format_args!("{}{}", "ab", "cd")), "abc…");
    assert_eq!(one_line(2, format_args!("\n\u{7f}x")), r"\n\u{7f}…");
    assert_eq!(one_line(0, format_args!("")), "");
}

#[test]
fn a_cut_leaves_no_joiner_without_what_it_joins() {
    for Vector { name, text, .. } in vectors() {
        for limit in 0..text.chars().count() {
            let cut = one_line(limit, format_args!("{text}"));
            assert_eq!(visible(&cut), cut, "{name} after {limit}");
        }
    }
}

#[test]
fn blanks_and_tabs_stay_in_what_people_write() {
    assert_eq!(readable("日\u{3000}本\u{a0}!\tx"), "日\u{3000}本\u{a0}!\tx");
    assert_eq!(readable("a\r\n\u{2028}\u{b}b"), r"a\r\n\u{2028}\u{b}b");
    assert_eq!(visible("日\u{3000}\t"), r"日\u{3000}\t");
}

#[test]
fn hidden_characters_are_written_out_and_others_stay() {
    for hidden in
        "\0\u{1b}\u{7f}\u{85}\u{ad}\u{61c}\u{200b}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\
                   \u{2060}\u{2066}\u{2069}\u{feff}\u{e0041}\u{34f}\u{180b}\u{17b4}\u{fe0f}\u{e0100}\u{e01ef}\u{a0}\u{3000}\u{e000}\u{2800}"
            .chars()
    {
        let code = format!("\\u{{{:x}}}", u32::from(hidden));
        assert_eq!(visible(&format!("a{hidden}b")), format!("a{code}b"));
    }
    let shown = "a bé\u{301}日本\\ \u{2010}\u{2027}\u{fffd}\u{600}\u{378}";
    assert!(matches!(visible(shown), Cow::Borrowed(same) if same == shown));
}

/// Returns what stands between these in the page's source.
fn of_the_page(begin: &str, end: &str) -> &'static str {
    let source = concat!(
        include_str!("../../../../web/src/text/visible.ts"),
        include_str!("../../../../web/src/text/joining.ts")
    );
    source.split_once(begin).and_then(|(_, rest)| rest.split_once(end)).unwrap().0
}

fn each_char(mut look: impl FnMut(char, &str)) {
    let mut buffer = [0; 4];
    for char in '\0'..=char::MAX {
        look(char, char.encode_utf8(&mut buffer));
    }
}

#[test]
fn the_same_characters_hide_in_the_page_and_by_unicode() {
    let page = regex::Regex::new(of_the_page("const HIDDEN = /", "/u;")).unwrap();
    let unicode = regex::Regex::new(
        r"^[\p{Cc}\p{Co}\p{Z}\p{Default_Ignorable_Code_Point}\u{2800}\u{fff9}-\u{fffb}\u{13430}-\u{1343f}]$",
    )
    .unwrap();
    each_char(|char, text| {
        if char != ' ' {
            assert_eq!(is_hidden(char), unicode.is_match(text), "{char:?}");
            assert_eq!(is_hidden(char), page.is_match(text), "{char:?}");
        }
    });
    assert!(!is_hidden(' '));
}

#[test]
fn joiners_stand_beside_the_same_characters_in_the_page_and_by_unicode() {
    let emoji = regex::Regex::new(r"^[\p{Emoji}--[0-9#*\u{1f1e6}-\u{1f1ff}\u{1f3fb}-\u{1f3ff}]]$").unwrap();
    let scripts: Vec<_> = of_the_page("const SCRIPTS =\n  \"", "\"").split(' ').collect();
    assert_eq!(scripts, SCRIPTS);
    let letters = |scripts: &str| regex::Regex::new(&format!(r"^[[\p{{L}}\p{{M}}]&&[{scripts}]]$")).unwrap();
    let all = letters(&SCRIPTS.map(|script| format!(r"\p{{scx={script}}}")).concat());
    let each = SCRIPTS.map(|script| letters(&format!(r"\p{{scx={script}}}")));
    each_char(|char, text| {
        assert_eq!(is_emoji(char), emoji.is_match(text), "{char:?}");
        let mut scripts = 0;
        if !is_hidden(char) && all.is_match(text) {
            for (bit, letter) in each.iter().enumerate() {
                scripts |= u32::from(letter.is_match(text)) << bit;
            }
        }
        assert_eq!(scripts_of(char), scripts, "{char:?}");
    });
    let viramas = regex::Regex::new(of_the_page("const VIRAMA = /", "/u;")).unwrap();
    each_char(|char, text| assert_eq!(VIRAMAS.contains(&char), viramas.is_match(text), "{char:?}"));
}
