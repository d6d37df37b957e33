//! What `strace -f -yy` writes, read back.

use std::{collections::HashMap, path::Path};

/// One system call on a file or socket.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// What the descriptor stands for: a path, or the two ends of a connection.
    pub(crate) on: String,
    /// All that is between its brackets.
    pub(crate) arguments: String,
    pub(crate) result: i64,
    /// When it began and ended, as places in the trace.
    pub(crate) begin: usize,
    pub(crate) end: usize,
}

impl Call {
    pub(crate) fn is_sync_of(&self, file: &Path) -> bool {
        matches!(self.name.as_str(), "fsync" | "fdatasync") && self.result == 0 && Path::new(&self.on) == file
    }

    pub(crate) fn is_write_to(&self, file: &Path) -> bool {
        self.name == "pwrite64" && Path::new(&self.on) == file
    }
}

/// Every call of a trace that ended, by its beginning.
pub(crate) fn calls(trace: &str) -> Vec<Call> {
    let mut begun: HashMap<&str, (usize, String)> = HashMap::new();
    let mut calls = Vec::new();
    for (place, line) in trace.lines().enumerate() {
        let Some((thread, text)) = line.split_once(' ') else { continue };
        let text = text.trim_start();
        if let Some(text) = text.strip_suffix("<unfinished ...>") {
            begun.insert(thread, (place, text.to_owned()));
        } else if text.starts_with("<... ") {
            let (begin, first) = begun.remove(thread).unwrap_or_else(|| panic!("never begun: {line}"));
            let (_, rest) = text.split_once(" resumed>").unwrap_or_else(|| panic!("{line}"));
            calls.extend(call(&(first + rest), begin, place));
        } else {
            calls.extend(call(text, place, place));
        }
    }
    calls.sort_by_key(|call| call.begin);
    calls
}

fn call(text: &str, begin: usize, end: usize) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let result = result.split(' ').next()?.parse().ok()?;
    let (_, on) = arguments.split_once('<')?;
    // The arrow of a connection has a `>` too.
    let close = [">,", ">)", "> "].iter().filter_map(|close| on.find(close)).min()?;
    let on = on[..close].to_owned();
    Some(Call { name: name.into(), on, arguments: arguments.into(), result, begin, end })
}

#[test]
fn calls_are_read_whole_or_in_two_parts() {
    let trace = "\
1 fsync(12</d/a b.db-wal> <unfinished ...>
2 recvfrom(17<TCP:[127.0.0.1:1->127.0.0.1:2]>,  <unfinished ...>
3 --- SIGINT {si_signo=SIGINT} ---
1     <... fsync resumed>)              = 0
2 <... recvfrom resumed>\"x = 1\", 65536, 0, NULL, NULL) = 5
1 fdatasync(12</d/c>) = -1 EIO (Input/output error)
";
    let calls = calls(trace);
    let [sync, receive, failed] = &calls[..] else { panic!("{calls:?}") };
    assert!(sync.is_sync_of(Path::new("/d/a b.db-wal")) && (sync.begin, sync.end) == (0, 3), "{sync:?}");
    assert_eq!((receive.on.as_str(), receive.result), ("TCP:[127.0.0.1:1->127.0.0.1:2]", 5));
    assert_eq!((receive.begin, receive.end), (1, 4));
    assert!(receive.arguments.contains("x = 1"), "{receive:?}");
    assert!(!failed.is_sync_of(Path::new("/d/c")), "{failed:?}");
}
