//! The server: answers to LIST, which it shares with all others that are sent them.

use chanwire_core::{
    endpoint::Listing,
    hub::{Effect, Hub, HubLimits, Moment, Peer, Snapshot, StoreCommand, StoreOutcome},
    wire::{Address, Channel, Host},
};

use super::*;

/// A hub with so many channels, and the list that it has published.
struct Lister {
    hub: Hub,
    published: Option<Listing>,
    tickets: End<Server>,
}

impl Lister {
    fn new(channels: u32, max_past_lists: usize) -> Self {
        let mut limits = HubLimits::default();
        limits.max_past_lists = max_past_lists;
        let mut hub = Hub::new(limits, Snapshot::default(), Moment { time: at(0), ..Moment::default() });
        hub.connect(ConnectionId(0), Peer::Operator, None, at(0)).unwrap();
        let mut lister = Self { hub, published: None, tickets: limited(|limits| limits.max_in_flight = ALL) };
        lister.host(0..channels, 1);
        lister
    }

    /// Hosts these channels at this port, with one commit, and takes what is published.
    fn host(&mut self, numbers: impl IntoIterator<Item = u32>, port: u16) {
        for number in numbers {
            let address = Address::new("192.0.2.7", port).unwrap();
            let channel = Channel { channel_name: format!("channel {number}").parse().unwrap(), address };
            feed(&mut self.tickets, at(0), b"LIST\r\n");
            let (ticket, now) = (one_ticket(&mut self.tickets), Moment { time: at(0), wall: Timestamp::from_unix(0) });
            self.hub
                .handle_request(ConnectionId(0), ticket, Request::Host(Host { channel, lease: None }), now)
                .unwrap();
        }
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Publish(listing) => self.published = Some(listing),
                Effect::Store(StoreCommand::Commit(_)) => {
                    self.hub.handle_outcome(StoreOutcome::Committed, at(0)).unwrap();
                }
                Effect::Send(_, command) => {
                    self.tickets.endpoint.handle_command(at(0), command).unwrap();
                    self.tickets.endpoint.handle_written(at(0), ALL);
                }
                other => unreachable!("nobody has joined or read anything: {other:?}"),
            }
        }
    }

    fn published(&self) -> Listing {
        self.published.clone().unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        self.published().to_vec().unwrap()
    }

    /// Answers a connection's LIST at once, or returns its event.
    fn answer(&self, end: &mut End<Server>) -> Option<ServerEvent> {
        let event = end.endpoint.poll_event().unwrap();
        end.endpoint.list_at_once(at(0), event, || self.published.clone())
    }
}

#[test]
fn a_list_is_written_unchanged_in_any_pieces_beside_any_output() {
    for channels in [0, 1, 5, 40, 3000] {
        let lister = Lister::new(channels, 0);
        for (ahead, step) in [(0, 1), (1, 100), (100, 7), (5000, 3001), (65_536, 65_536), (65_536, ALL)] {
            if channels == 3000 && step < 100 {
                continue;
            }
            let mut end = limited(|limits| limits.list_ahead = ahead);
            feed(&mut end, at(0), &b"LIST\r\n".repeat(5));
            let mut tickets = tickets(&mut end);
            // Given in any order.
            respond(&mut end, at(0), tickets.remove(3), lister.published());
            respond(&mut end, at(0), tickets.remove(1), hosted("x"));
            for ticket in tickets {
                respond(&mut end, at(0), ticket, lister.published());
            }
            let (list, hosted) = (lister.bytes(), bytes(&hosted("x")));
            while !end.write(at(0), step).is_empty() {}
            let all = [&*list, &hosted, &list, &list, &list].concat();
            assert!(end.written == all, "{channels} channels, {ahead} held ahead, {step} taken at a time");
            assert!(end.endpoint.wants_read());
        }
    }
}

#[test]
fn a_list_counts_as_unsent_with_all_its_bytes_and_no_other_request_is_read_behind_it() {
    let mut lister = Lister::new(4000, ALL);
    let size = lister.bytes().len();
    assert!(size > 256 * 1024);
    let mut end = End::new(Server::new(ConnectionId(0), Limits::server()));
    feed(&mut end, at(0), &b"LIST\r\n".repeat(10));
    assert_eq!((tickets(&mut end).len(), end.endpoint.wants_read()), (1, false), "whoever answers it");
    let mut end = End::new(Server::new(ConnectionId(0), Limits::server()));
    feed(&mut end, at(0), &b"LIST\r\n".repeat(10));
    let mut lists = 0;
    while lists < 10 {
        assert_eq!(lister.answer(&mut end), None);
        lists += 1;
        assert_eq!(end.endpoint.poll_event(), None, "another one is read before this one has left");
        assert!(!end.endpoint.wants_read());
        let mut taken = 0;
        while size - taken >= 256 * 1024 {
            assert_eq!(end.endpoint.poll_event(), None);
            let most = 64 * 1024 + 2048;
            assert!(end.unsent() <= most, "{} bytes are held", end.unsent());
            taken += end.write(at(0), 10_000).len();
        }
        // Its rest leaves before the next: they show different channels.
        lister.host([lists], 7);
        while end.endpoint.in_flight() == 0 && !end.write(at(0), 10_000).is_empty() {}
    }
    assert_eq!(lister.hub.lists_answered(), 10);
}

#[test]
fn a_list_is_answered_at_once_only_if_all_before_it_is_answered() {
    let lister = Lister::new(3, 0);
    let mut end = server();
    feed(&mut end, at(0), b"LIST\r\nLIST\r\nLEAVE\r\n{\"channel_name\": \"general\"}LIST\r\nLIST\r\n");
    assert_eq!((lister.answer(&mut end), lister.answer(&mut end)), (None, None));
    let Some(ServerEvent::Request { ticket: leave, .. }) = lister.answer(&mut end) else { panic!("a LEAVE") };
    let Some(ServerEvent::Request { ticket: list, request: Request::List }) = lister.answer(&mut end) else {
        panic!("a LIST that waits for what was asked before it")
    };
    respond(&mut end, at(0), leave, hosted("x"));
    // The one before it is with the hub still.
    let Some(ServerEvent::Request { ticket: last, .. }) = lister.answer(&mut end) else { panic!("a LIST that waits") };
    respond(&mut end, at(0), list, lister.published());
    respond(&mut end, at(0), last, lister.published());
    feed(&mut end, at(0), b"LIST\r\n");
    // As long as nothing is published, the hub is asked.
    let event = end.endpoint.poll_event().unwrap();
    let given_back = end.endpoint.list_at_once(at(0), event, || None);
    let Some(ServerEvent::Request { ticket, request: Request::List }) = given_back else { panic!("a LIST") };
    respond(&mut end, at(0), ticket, lister.published());
    let (list, left) = (String::from_utf8(lister.bytes()).unwrap(), String::from_utf8(bytes(&hosted("x"))).unwrap());
    assert_eq!(written(&mut end, at(0)), [&*list, &*list, &*left, &*list, &*list, &*list].concat());
}

#[test]
fn a_list_that_is_withdrawn_is_never_continued_with_another() {
    for taken in [0, 1, 70_000, 150_000] {
        let mut lister = Lister::new(4000, 0);
        let list = lister.bytes();
        let mut end = server();
        feed(&mut end, at(0), b"LIST\r\n");
        assert_eq!(lister.answer(&mut end), None);
        while end.written.len() < taken {
            end.write(at(0), taken - end.written.len());
        }
        lister.host(0..4000, 7);
        lister.host(0..4000, 8);
        assert_eq!((end.endpoint.poll_event(), end.endpoint.action()), (None, ConnectionAction::Open));
        while !end.write(at(0), 10_000).is_empty() {}
        assert_eq!(end.endpoint.action(), ConnectionAction::Reset);
        assert_eq!(end.endpoint.poll_event(), Some(ServerEvent::Withdrawn));
        assert!(list.starts_with(&end.written), "something else is written behind the list's first bytes");
        assert!(end.written.len() < list.len() && end.written.len() >= taken);
    }
}

/// Four hundred connections that read nothing ask for lists that have nothing in common.
#[test]
fn peers_that_stop_reading_hold_little_memory_while_the_list_changes() {
    const CHANNELS: u32 = 12_000;
    const READERS: u32 = 400;
    let mut lister = Lister::new(CHANNELS, HubLimits::default().max_past_lists);
    let size = lister.bytes().len();
    let mut readers = Vec::new();
    let held = allocation_counter::measure(|| {
        for number in 0..READERS {
            let mut end = End::new(Server::new(ConnectionId(0), Limits::server()));
            // As many pairs as it likes: one list is all that it is given.
            feed(&mut end, at(0), &b"LIST\r\n".repeat(16));
            assert_eq!(lister.answer(&mut end), None);
            assert_eq!(end.endpoint.poll_event(), None);
            readers.push(end);
            // Every fourth piece: none that was there four readers ago still is.
            let (first, port) = (number * 27 % 100, u16::try_from(1000 + number).unwrap());
            lister.host((first..CHANNELS).step_by(100), port);
        }
    });
    let most = usize::try_from(held.bytes_max).unwrap();
    assert!(size * READERS as usize > 300_000_000, "the lists alone have {size} bytes");
    assert!(most < 64_000_000, "{most} bytes are held for readers that read nothing");
    let (_, past) = lister.hub.list_memory();
    // Beyond the limit by what one commit changes.
    assert!(past <= HubLimits::default().max_past_lists + 2 * size, "{past}");
    // Those who came last can still have what they asked for; the first were withdrawn.
    let (mut first, mut last) = (readers.remove(0), readers.pop().unwrap());
    while !first.write(at(0), ALL).is_empty() {}
    assert_eq!(first.endpoint.action(), ConnectionAction::Reset);
    while last.endpoint.action() == ConnectionAction::Open && last.written.len() < size {
        assert!(!last.write(at(0), ALL).is_empty());
    }
    assert!(last.written.len() >= size - 20_000 && last.endpoint.action() == ConnectionAction::Open);
}
