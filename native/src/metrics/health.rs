//! Health checks, and their text: a line `[+]NAME ok` or `[-]NAME REASON` for each, as Kubernetes writes them.

use std::fmt::Write as _;

/// A health check with its result.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    /// The reason why it fails; `None` if it does not.
    pub(crate) fault: Option<String>,
}

impl Check {
    pub(super) fn new(name: &str, fault: Option<String>) -> Self {
        Self { name: name.into(), fault }
    }
}

/// Returns the text of these checks: all of them if it is to be verbose, and those that fail otherwise.
pub(crate) fn write_checks(checks: &[Check], verbose: bool) -> String {
    let mut text = String::new();
    for Check { name, fault } in checks {
        let _ = match fault {
            Some(fault) => writeln!(text, "[-]{name} {fault}"),
            None if verbose => writeln!(text, "[+]{name} ok"),
            None => Ok(()),
        };
    }
    text += if checks.iter().all(|check| check.fault.is_none()) { "ok\n" } else { "failed\n" };
    text
}

/// Reads the checks of such a text. Other lines are skipped.
pub(crate) fn parse_checks(text: &str) -> Vec<Check> {
    let check = |line: &str| {
        let (is_failed, rest) = match line.strip_prefix("[+]") {
            Some(rest) => (false, rest),
            None => (true, line.strip_prefix("[-]")?),
        };
        let (name, reason) = rest.split_once(' ')?;
        Some(Check { name: name.into(), fault: is_failed.then(|| reason.into()) })
    };
    text.lines().filter_map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_each_check_and_is_read_back() {
        let checks = [Check::new("hub", None), Check::new("store", Some("commit fails, see the log".into()))];
        let text = write_checks(&checks, true);
        assert_eq!(text, "[+]hub ok\n[-]store commit fails, see the log\nfailed\n");
        assert_eq!(parse_checks(&text), checks);
        assert_eq!(write_checks(&checks, false), "[-]store commit fails, see the log\nfailed\n");
        assert_eq!(write_checks(&checks[..1], false), "ok\n");
    }
}
