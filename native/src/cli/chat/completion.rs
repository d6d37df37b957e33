//! Completion of commands, channels and names.

use super::session::COMMANDS;

/// Texts that may stand for the end of what is typed before the cursor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Completion {
    /// The length of the end that they replace, in bytes.
    pub(super) replaced: usize,
    /// The likeliest first.
    pub(super) candidates: Vec<String>,
}

/// Completes the text before the cursor: its last word as one of the names, or where it is a command, as the command or
/// its channel.
pub(super) fn complete<'a>(
    before: &str,
    names: impl Iterator<Item = &'a str>,
    channels: impl Iterator<Item = &'a str>,
) -> Completion {
    let start = before.rfind(char::is_whitespace).map_or(0, |at| at + before.get(at..).map_or(0, first_length));
    let word = before.get(start..).unwrap_or_default();
    let candidates = match before.split_once(' ') {
        _ if word.is_empty() => Vec::new(),
        None if start == 0 && word.starts_with('/') => {
            let commands = COMMANDS.iter().filter(|command| begins_with(command, word));
            commands.map(|command| format!("{command} ")).collect()
        }
        Some(("/join", _)) => channels.filter(|channel| begins_with(channel, word)).map(Into::into).collect(),
        _ => {
            // Someone may be addressed as @ann, too.
            let (mark, begin) = word.strip_prefix('@').map_or(("", word), |begin| ("@", begin));
            let end = if start == 0 && mark.is_empty() { ": " } else { " " };
            names.filter(|name| begins_with(name, begin)).map(|name| format!("{mark}{name}{end}")).collect()
        }
    };
    Completion { replaced: word.len(), candidates }
}

fn first_length(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

/// Returns whether the text begins so, whatever the case of its letters.
fn begins_with(text: &str, begin: &str) -> bool {
    text.to_lowercase().starts_with(&begin.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_completed_as_what_it_can_be() {
        for (before, candidates) in [
            ("an", &["Anna: ", "ann: "][..]),
            ("hi AN", &["Anna ", "ann "]),
            ("hi @an", &["@Anna ", "@ann "]),
            ("@b", &["@Bob B. "]),
            ("first\nb", &["Bob B. "]),
            ("ä", &["Ärger: "]),
            ("x", &[]),
            ("", &[]),
            ("ann ", &[]),
            ("/wh", &["/who "]),
            ("/h", &["/history ", "/help "]),
            ("//wh", &[]),
            ("/who b", &["Bob B. "]),
            ("/join g", &["general", "Gaming"]),
            ("/join an", &[]),
            ("\u{3000}b", &["Bob B. "]),
        ] {
            let names = ["Anna", "ann", "Bob B.", "Ärger"].into_iter();
            let completion = complete(before, names, ["general", "Gaming", "other"].into_iter());
            assert_eq!(completion.candidates, candidates, "{before:?}");
            assert!(before.len() >= completion.replaced);
        }
        assert_eq!(complete("hi @an", ["ann"].into_iter(), [].into_iter()).replaced, "@an".len());
    }
}
