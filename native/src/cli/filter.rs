//! A filter on the command line.

use chanwire_inspect::Filter;

use super::Failure;

/// Help on filters, for `--help`.
pub(super) const HELP: &str = "\
Filters:
  A word, or a text in quotes, is looked for in the frame. Fields are compared:
    no len conn     number of the row, length in bytes, number of the connection
    time delta      since the first event, and since the row before
    rtt             round trip of an answer: rtt > 50ms
    dir push        dir == in, dir == out; whether the server pushed it
    cmd status      cmd == HOST, status in (OK, REQUEST_ERROR)
    err             err == \"Invalid payload\"; alone it is anything bad
    text bytes      text ~ \"gener.l\", bytes contains 0x0d0a
    json.NAME       json.peer_server_port > 1024
  by == != < <= > >= ~ contains in; put together by && || ! and parentheses";

/// Reads what was given to `--filter`; a mistake is shown where it is.
pub(super) fn parse(text: &str) -> Result<Filter, Failure> {
    Filter::parse(text).map_err(|mistake| {
        let before = text.get(..mistake.at).unwrap_or(text).chars().count();
        let wrong = text.get(mistake.at..mistake.at + mistake.length).unwrap_or_default().chars().count();
        let caret = format!("{}{}", " ".repeat(before), "^".repeat(wrong.max(1)));
        let shown: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
        Failure::usage(format!("--filter: {}\n  {shown}\n  {caret}", mistake.message))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_in_help_are_valid() {
        for example in [
            "rtt > 50ms",
            "dir == in",
            "cmd == HOST",
            "status in (OK, REQUEST_ERROR)",
            "err == \"Invalid payload\"",
            "text ~ \"gener.l\"",
            "bytes contains 0x0d0a",
            "json.peer_server_port > 1024",
        ] {
            assert!(HELP.contains(example), "{example}");
            assert!(Filter::parse(example).is_ok(), "{example}");
        }
    }
}
