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

/// Words that completions are made of.
#[derive(Debug, Default)]
pub(super) struct Known<'a> {
    /// The names of users, the likeliest first.
    pub(super) names: Vec<&'a str>,
    /// The channels on the tracker's list.
    pub(super) listed: Vec<&'a str>,
    /// The user's channels.
    pub(super) joined: Vec<&'a str>,
}

/// Completes the text before the cursor: its last word as one of the names, or where it is a command, as the command or
/// its channel.
pub(super) fn complete(before: &str, known: &Known<'_>) -> Completion {
    let start = before.rfind(char::is_whitespace).map_or(0, |at| at + before.get(at..).map_or(0, first_length));
    let word = before.get(start..).unwrap_or_default();
    let candidates = match before.split_once(' ') {
        _ if word.is_empty() => Vec::new(),
        None if start == 0 && word.starts_with('/') => {
            let commands = COMMANDS.iter().filter(|command| begins_with(command, word));
            commands.map(|command| format!("{command} ")).collect()
        }
        Some(("/join", _)) => beginning_with(&known.listed, word).map(Into::into).collect(),
        Some(("/switch" | "/leave", _)) => beginning_with(&known.joined, word).map(Into::into).collect(),
        _ => {
            // Someone may be addressed as @ann, too.
            let (mark, begin) = word.strip_prefix('@').map_or(("", word), |begin| ("@", begin));
            let end = if start == 0 && mark.is_empty() { ": " } else { " " };
            beginning_with(&known.names, begin).map(|name| format!("{mark}{name}{end}")).collect()
        }
    };
    Completion { replaced: word.len(), candidates }
}

fn first_length(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

fn beginning_with<'a>(words: &[&'a str], begin: &str) -> impl Iterator<Item = &'a str> {
    words.iter().copied().filter(move |word| begins_with(word, begin))
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
        let known = Known {
            names: vec!["Anna", "ann", "Bob B.", "Ärger"],
            listed: vec!["general", "Gaming", "other"],
            joined: vec!["other", "gates"],
        };
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
            ("/switch ", &[]),
            ("/switch G", &["gates"]),
            ("/leave o", &["other"]),
            ("\u{3000}b", &["Bob B. "]),
        ] {
            let completion = complete(before, &known);
            assert_eq!(completion.candidates, candidates, "{before:?}");
            assert!(before.len() >= completion.replaced);
        }
        assert_eq!(complete("hi @an", &known).replaced, "@an".len());
    }
}
