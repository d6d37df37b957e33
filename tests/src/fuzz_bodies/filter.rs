//! Filters of any text, over any rows.

use chanwire_inspect::{Capture, Direction, Filter, View, complete};

use super::Input;

/// Applies any text as a filter over any bytes in both directions, by turns.
///
/// # Panics
///
/// If a mistake stands outside the text, if a filter does not read back from its own print, if its opposite or its
/// doubling says something else, or if the search by bytes alone loses a row.
pub fn filter(data: &[u8]) {
    let mut input = Input::new(data);
    let feeds = input.pairs(8);
    let length = input.byte();
    let rest = input.rest();
    let (text, mut stream) = rest.split_at(rest.len().min(length.into()));
    let text = String::from_utf8_lossy(text);
    let mut capture = Capture::new(1 << 20);
    capture.open(1, "fuzz");
    for (index, (direction, length)) in feeds.iter().enumerate() {
        let direction = if direction % 2 == 0 { Direction::Out } else { Direction::In };
        let (bytes, rest) = stream.split_at(stream.len().min((*length).into()));
        stream = rest;
        capture.bytes(1, direction, index as f64, bytes);
    }
    capture.bytes(1, Direction::Out, 9.0, stream);
    capture.note(1, 10.0, "note", &text, false);
    check(&text, &capture);
    let completions = complete(&text, usize::from(length) / 2, &capture);
    assert!(text.get(completions.start..completions.end).is_some(), "{completions:?} in {text:?}");
}

fn check(text: &str, capture: &Capture) {
    let filter = match Filter::parse(text) {
        Ok(filter) => filter,
        Err(mistake) => {
            assert!(text.get(mistake.at..mistake.at + mistake.length).is_some(), "{mistake:?} in {text:?}");
            return;
        }
    };
    let printed = filter.to_string();
    let Ok(again) = Filter::parse(&printed) else {
        // A filter that is printed in full may be too long to be parsed.
        assert!(printed.len() > chanwire_inspect::MAX_FILTER, "{printed}");
        return;
    };
    assert_eq!(again.to_string(), printed);
    let opposite = Filter::parse(&format!("!({printed})"));
    let mut expected = Vec::new();
    for entry in capture.entries(capture.first(), capture.end_number()) {
        let matches = filter.matches(&entry);
        assert_eq!(again.matches(&entry), matches, "{printed}");
        assert_eq!(filter.and(&again).matches(&entry), matches, "{printed}");
        if let Ok(opposite) = &opposite {
            assert_ne!(opposite.matches(&entry), matches, "{printed}");
        }
        if matches {
            expected.push(entry.number());
        }
    }
    let mut view = View::new();
    view.set_filter(Some(filter), capture);
    while view.advance(capture) {}
    let shown: Vec<u64> = (view.begin()..view.end()).map(|position| view.number_at(position).unwrap()).collect();
    assert_eq!(shown, expected, "{printed}");
}
