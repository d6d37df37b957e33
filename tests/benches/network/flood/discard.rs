//! A socket that accepts every connection and discards what comes.

use std::{io::ErrorKind, net::SocketAddr, sync::atomic::Ordering, time::Duration};

use chanwire_tests::process::Background;
use mio::{Events, Interest, Poll, Token, net::TcpListener};

use super::hostile::discard;

/// The token of the listener; the others are places of connections.
const LISTENER: Token = Token(usize::MAX);

/// Starts one. It runs on a thread of the machine that this is called on.
pub(super) fn start(address: SocketAddr) -> Background<()> {
    let mut listener = TcpListener::bind(address).expect("a free port");
    Background::start(move |stop| {
        let (mut poll, mut events) = (Poll::new().expect("a poll"), Events::with_capacity(1024));
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).expect("a registration");
        let (mut connections, mut free) = (Vec::new(), Vec::new());
        let mut scratch = vec![0; 64 * 1024];
        while !stop.load(Ordering::Relaxed) {
            match poll.poll(&mut events, Some(Duration::from_millis(50))) {
                Err(error) if error.kind() != ErrorKind::Interrupted => panic!("cannot wait: {error}"),
                _ => {}
            }
            for event in &events {
                if event.token() == LISTENER {
                    // A connection may be gone before it is accepted.
                    while let Ok((mut stream, _)) = listener.accept() {
                        let place = free.pop().unwrap_or_else(|| {
                            connections.push(None);
                            connections.len() - 1
                        });
                        poll.registry()
                            .register(&mut stream, Token(place), Interest::READABLE)
                            .expect("a registration");
                        connections[place] = Some(stream);
                    }
                    continue;
                }
                let place = event.token().0;
                if connections[place].as_ref().is_some_and(|stream| !discard(stream, &mut scratch)) {
                    connections[place] = None;
                    free.push(place);
                }
            }
        }
    })
}
