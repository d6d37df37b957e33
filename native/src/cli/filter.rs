//! A filter on the command line.

use chanwire_inspect::Filter;

use super::Failure;

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
