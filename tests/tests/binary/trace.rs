//! A reader for the output of `strace -f -yy`.

use std::{collections::HashMap, path::Path};

use chanwire_tests::process::{Server, wait_for};

/// Returns the strace command that records `calls` of a whole run in the file `trace`, with at most `max_text` bytes of
/// each buffer. With `-D`, the server is the direct child of the test, and strace runs detached.
pub(crate) fn strace(trace: &Path, max_text: usize, calls: &str) -> Vec<std::ffi::OsString> {
    let strace = chanwire_tests::process::program("strace").into_os_string();
    let (max_text, calls) = (max_text.to_string(), format!("-etrace={calls}"));
    let options = ["-D", "-f", "-yy", "-s", &max_text, &calls, "-o"].map(Into::into);
    [strace].into_iter().chain(options).chain([trace.into()]).collect()
}

/// Stops a traced server gracefully, and waits until all of its trace is written.
pub(crate) fn whole_trace(mut server: Server, trace: &Path) -> String {
    server.signal(chanwire_tests::process::Signal::TERM);
    assert!(server.wait(chanwire_tests::process::DEADLINE).success(), "{}", server.log());
    let id = server.id().to_string();
    wait_for("the end of the trace", || {
        let text = String::from_utf8_lossy(&std::fs::read(trace).unwrap()).into_owned();
        let mut ends = text.lines().filter_map(|line| line.strip_suffix("+++ exited with 0 +++"));
        ends.any(|thread| thread.trim_end() == id).then_some(text)
    })
}

/// One system call on a file or socket.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// The descriptor's target: a path, or the two ends of a connection; empty if there is none.
    pub(crate) on: String,
    /// All that is between its brackets.
    pub(crate) arguments: String,
    pub(crate) result: i64,
    /// The lines of the trace at which the call began and ended.
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

    /// Returns whether it is a write to a file at this offset.
    pub(crate) fn is_write_at(&self, file: &Path, offset: u64) -> bool {
        let written = self.arguments.trim_end().strip_suffix(')').unwrap_or(&self.arguments);
        self.is_write_to(file) && written.rsplit(", ").next().is_some_and(|last| last.parse() == Ok(offset))
    }

    /// Returns whether it gave a file this name.
    pub(crate) fn names(&self, file: &Path) -> bool {
        let quoted = format!("\"{}\"", file.display());
        let gives = matches!(self.name.as_str(), "link" | "linkat" | "rename" | "renameat" | "renameat2");
        gives
            && self.result == 0
            && self.arguments.rsplit_once(&quoted).is_some()
            && !self.arguments.split(", ").next().is_some_and(|first| first.contains(&quoted))
    }
}

/// Returns the finished calls of a trace, in the order in which they began.
pub(crate) fn calls(trace: &str) -> Vec<Call> {
    let mut begun: HashMap<&str, (usize, String)> = HashMap::new();
    let mut calls = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((thread, text)) = line.split_once(' ') else { continue };
        let text = text.trim_start();
        if let Some(text) = text.strip_suffix("<unfinished ...>") {
            begun.insert(thread, (number, text.to_owned()));
        } else if text.starts_with("<... ") {
            let (begin, first) = begun.remove(thread).unwrap_or_else(|| panic!("never begun: {line}"));
            let (_, rest) = text.split_once(" resumed>").unwrap_or_else(|| panic!("{line}"));
            calls.extend(call(&(first + rest), begin, number));
        } else {
            calls.extend(call(text, number, number));
        }
    }
    calls.sort_by_key(|call| call.begin);
    calls
}

fn call(text: &str, begin: usize, end: usize) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let result = result.split(' ').next()?.parse().ok()?;
    let on = match arguments.split_once('<') {
        None => String::new(),
        Some((_, on)) => {
            // The arrow of a connection has a `>` too.
            let close = [">,", ">)", "> "].iter().filter_map(|close| on.find(close)).min()?;
            on[..close].to_owned()
        }
    };
    Some(Call { name: name.into(), on, arguments: arguments.into(), result, begin, end })
}

#[test]
fn calls_on_one_line_or_two_are_parsed() {
    let trace = r#"1 fsync(12</d/a b.db-wal> <unfinished ...>
2 recvfrom(17<TCP:[127.0.0.1:1->127.0.0.1:2]>,  <unfinished ...>
3 --- SIGINT {si_signo=SIGINT} ---
1     <... fsync resumed>)              = 0
2 <... recvfrom resumed>"x = 1", 65536, 0, NULL, NULL) = 5
1 fdatasync(12</d/c>) = -1 EIO (Input/output error)
1 pwrite64(9</d/a b.db-wal>, "7\177\6\202, 4", 32, 0) = 32
1 linkat(AT_FDCWD</d>, "/d/a.part", AT_FDCWD</d>, "/d/a", 0) = 0
1 link("/d/a.part", "/d/a") = -1 EEXIST (File exists)
"#;
    let calls = calls(trace);
    let [sync, receive, failed, write, named, refused] = &calls[..] else { panic!("{calls:?}") };
    assert!(write.is_write_at(Path::new("/d/a b.db-wal"), 0) && !write.is_write_at(Path::new("/d/a b.db-wal"), 32));
    assert!(named.names(Path::new("/d/a")) && !refused.names(Path::new("/d/a")), "{named:?}");
    assert!(sync.is_sync_of(Path::new("/d/a b.db-wal")) && (sync.begin, sync.end) == (0, 3), "{sync:?}");
    assert_eq!((receive.on.as_str(), receive.result), ("TCP:[127.0.0.1:1->127.0.0.1:2]", 5));
    assert_eq!((receive.begin, receive.end), (1, 4));
    assert!(receive.arguments.contains("x = 1"), "{receive:?}");
    assert!(!failed.is_sync_of(Path::new("/d/c")), "{failed:?}");
}
