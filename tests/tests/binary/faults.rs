//! Every clause of the protocol's fault table over TCP: the answers, and whether the connection goes on.

use chanwire_core::wire::{Command, Decoder, Item, Request};
use chanwire_tests::{
    fault_table::{self, Clause, LIMIT},
    process::{Launch, Peer, Server, answers},
};
use tempfile::tempdir;

use crate::requests::LIST;

/// The answers to a stream: the protocol's name of each error, and `None` for a request that the hub decides.
struct Expected {
    answers: Vec<Option<String>>,
    /// Whether a fault closes the connection before the stream has ended.
    closes: bool,
}

/// Decodes a stream that the fault table's own test has compared with a naive decoder.
fn expected(stream: &[u8]) -> Expected {
    let mut decoder = Decoder::<Command>::new(LIMIT);
    decoder.feed(stream);
    let mut answers = Vec::new();
    let mut take = |decoder: &mut Decoder<Command>| {
        while let Some(item) = decoder.next_item() {
            match item {
                Item::Fault(fault) => answers.push(Some(fault.error().to_owned())),
                Item::Frame(frame) => {
                    let is_request = Request::decode(frame.start_line, frame.payload).is_ok();
                    answers.push((!is_request).then(|| "Invalid payload".to_owned()));
                }
                Item::Skipped(..) => {}
            }
        }
    };
    take(&mut decoder);
    let closes = decoder.is_closed();
    decoder.finish();
    take(&mut decoder);
    Expected { answers, closes }
}

fn check(server: &Server, row: &str, clause: &Clause) {
    let Clause { title, stream, .. } = clause;
    let Expected { answers: wanted, closes } = expected(stream);
    let mut peer: Peer = server.connect();
    peer.send(stream);
    if closes {
        // The server closes the connection, whatever still comes, though the peer does not.
        peer.send("LIST\r\nLIST\r\n");
    } else {
        peer.finish();
    }
    let got = answers(&peer.read_to_end());
    assert_eq!(got.len(), wanted.len(), "{row}, {title}: {got:?} for {wanted:?}");
    for (got, wanted) in got.iter().zip(&wanted) {
        match wanted {
            Some(error) => {
                assert_eq!((got.status.as_str(), got.error()), ("REQUEST_ERROR", error.as_str()), "{row}, {title}");
            }
            None => assert!(got.is_ok() || got.error() == "Channel not found", "{row}, {title}: {}", got.raw),
        }
    }
}

#[test]
fn every_clause_of_the_fault_table_is_answered_over_tcp() {
    let data = tempdir().unwrap();
    let server = Launch::serve(data.path()).start();
    let mut count = 0;
    for (row, clauses) in fault_table::all() {
        for clause in clauses.iter().filter(|clause| clause.limit == LIMIT) {
            check(&server, row, clause);
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
    // No fault of one connection is another's.
    assert!(server.connect().ask(LIST).is_ok());
    server.stop();
}
