use chanwire_core::wire::{Address, ErrorResponse};

use super::*;

const LEASE: u32 = 300;

fn registration(random: fn() -> u32) -> Registration {
    let channel = |name: &str| Channel {
        channel_name: name.parse().unwrap(),
        address: Address::new("192.0.2.7", 22240).unwrap(),
    };
    Registration::new(vec![channel("a"), channel("b")], LEASE, random)
}

fn at(seconds: u64) -> Time {
    Time::from_millis(seconds * 1000)
}

/// Returns the requests due now, as `+` for HOST and `-` for UNHOST with the channel's name.
fn requests(registration: &mut Registration, now: Time) -> Vec<String> {
    let text = |request| match request {
        Request::Host(Host { channel, lease: Some(LEASE) }) => format!("+{}", channel.channel_name),
        Request::Unhost { channel_name } => format!("-{channel_name}"),
        other => panic!("{other:?}"),
    };
    std::iter::from_fn(|| registration.poll_request(now)).map(text).collect()
}

fn listed(registration: &mut Registration, now: Time) -> Option<Notice> {
    registration.handle_answer(now, &Response::Hosted { channel_name: "any".parse().unwrap() })
}

fn removed(registration: &mut Registration, now: Time) -> Option<Notice> {
    registration.handle_answer(now, &Response::Removed { channel_name: "any".parse().unwrap() })
}

fn refused(registration: &mut Registration, now: Time, error: ErrorResponse) -> Option<Notice> {
    registration.handle_answer(now, &Response::Error(error))
}

/// Returns a registration whose first round succeeded at this time.
fn registered(random: fn() -> u32, now: Time) -> Registration {
    let mut registration = registration(random);
    registration.handle_connected(now);
    assert_eq!(requests(&mut registration, now), ["+a", "+b"]);
    assert_eq!(listed(&mut registration, now), Some(Notice::Listed("a".parse().unwrap())));
    assert_eq!(listed(&mut registration, now), Some(Notice::Listed("b".parse().unwrap())));
    registration
}

#[test]
fn rounds_begin_at_once_and_repeat_after_about_a_third_of_the_lease() {
    let cases: [(fn() -> u32, u64); 2] = [(|| 0, 100), (|| u32::MAX, 80)];
    for (random, third) in cases {
        let mut registration = registered(random, at(5));
        for round in 1..4 {
            let due = at(5 + round * third);
            assert_eq!(registration.poll_timeout(), Some(due));
            assert_eq!(requests(&mut registration, Time::from_millis(due.as_millis() - 1)), [""; 0]);
            assert_eq!(requests(&mut registration, due), ["+a", "+b"]);
            // No next round is scheduled while one is pending.
            assert_eq!((listed(&mut registration, due), registration.poll_timeout()), (None, None));
            assert_eq!(listed(&mut registration, due), None);
        }
    }
}

#[test]
fn a_lost_connection_is_reported_once_and_retried_with_backoff() {
    let mut registration = registered(|| 0, at(0));
    let mut now = at(10);
    assert_eq!(registration.handle_lost(now, Loss::Temporary, "gone".into()), Some(Notice::Lost("gone".into())));
    let mut waits = Vec::new();
    for _ in 0..9 {
        assert_eq!(requests(&mut registration, at(1000)), [""; 0], "there is no connection");
        let next = registration.poll_timeout().unwrap();
        waits.push(next.since(now).as_millis());
        now = next;
        assert_eq!(registration.handle_lost(now, Loss::Temporary, "still".into()), None);
    }
    assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    // A connection alone does not reset the backoff.
    registration.handle_connected(now);
    assert_eq!(requests(&mut registration, now), ["+a", "+b"]);
    assert_eq!(registration.handle_lost(now, Loss::Temporary, "busy".into()), None);
    assert_eq!(registration.poll_timeout().unwrap().since(now), Duration::from_secs(30));
    // Listing is reported again, and so is the next loss.
    registration.handle_connected(now);
    assert_eq!(requests(&mut registration, now), ["+a", "+b"]);
    assert_eq!(listed(&mut registration, now), Some(Notice::Listed("a".parse().unwrap())));
    assert_eq!(listed(&mut registration, now), Some(Notice::Listed("b".parse().unwrap())));
    assert_eq!(registration.handle_lost(now, Loss::Temporary, "again".into()), Some(Notice::Lost("again".into())));
    assert_eq!(registration.poll_timeout().unwrap().since(now), Duration::from_secs(30));
}

#[test]
fn a_permanent_failure_is_reported_after_a_temporary_one() {
    let mut registration = registered(|| 0, at(0));
    let mut lose = |loss, reason: &str| registration.handle_lost(at(10), loss, reason.into()).is_some();
    assert!(lose(Loss::Temporary, "closed"));
    assert!(!lose(Loss::Temporary, "refused"));
    assert!(lose(Loss::Permanent, "another key"));
    assert!(!lose(Loss::Permanent, "another key"));
    assert!(!lose(Loss::Temporary, "closed"));
    assert!(!lose(Loss::Permanent, "another key"), "each is reported once until the tracker answers");
}

#[test]
fn backoff_resets_after_two_rounds_on_one_connection() {
    let mut registration = registration(|| 0);
    let mut now = at(0);
    let mut waits_after = |rounds: u32| {
        registration.handle_connected(now);
        for _ in 0..rounds {
            now = registration.poll_timeout().unwrap();
            assert_eq!(requests(&mut registration, now), ["+a", "+b"]);
            listed(&mut registration, now);
            listed(&mut registration, now);
        }
        registration.handle_lost(now, Loss::Temporary, "gone".into());
        let wait = registration.poll_timeout().unwrap().since(now);
        now = registration.poll_timeout().unwrap();
        wait.as_millis()
    };
    // A tracker that serves one round and then disconnects meets growing waits.
    assert_eq!([1, 1, 0, 1, 1].map(&mut waits_after), [500, 1000, 2000, 4000, 8000]);
    assert_eq!([2, 1, 3].map(&mut waits_after), [500, 1000, 500]);
}

#[test]
fn waits_have_jitter_and_are_never_longer_than_a_third_of_the_lease() {
    let mut shorter = registration(|| u32::MAX);
    shorter.handle_lost(at(0), Loss::Temporary, "gone".into());
    assert_eq!(shorter.poll_timeout(), Some(Time::from_millis(250)));
    let mut short_lease = Registration::new(Vec::new(), 10, || 0);
    for _ in 0..20 {
        short_lease.handle_lost(at(0), Loss::Temporary, "gone".into());
    }
    assert_eq!(short_lease.poll_timeout(), Some(Time::from_millis(3333)));
}

#[test]
fn a_refusal_is_reported_once_and_requested_again_in_each_round() {
    let taken = || ErrorResponse::request("Channel already exists", "The channel 'a' is hosted at 192.0.2.8:1");
    let mut registration = registration(|| 0);
    registration.handle_connected(at(0));
    assert_eq!(requests(&mut registration, at(0)), ["+a", "+b"]);
    let reason = "Channel already exists: The channel 'a' is hosted at 192.0.2.8:1".to_owned();
    let notice = Notice::Refused { channel_name: "a".parse().unwrap(), reason };
    assert_eq!(refused(&mut registration, at(0), taken()), Some(notice));
    assert_eq!(listed(&mut registration, at(0)), Some(Notice::Listed("b".parse().unwrap())));
    assert_eq!(registration.poll_timeout(), Some(at(100)));
    assert_eq!(requests(&mut registration, at(100)), ["+a", "+b"]);
    assert_eq!(refused(&mut registration, at(100), taken()), None);
    assert_eq!(listed(&mut registration, at(100)), None);
    // The name belongs to another server, so no UNHOST is sent for it.
    registration.stop();
    assert_eq!(requests(&mut registration, at(101)), ["-b"]);
}

#[test]
fn a_round_with_a_server_error_is_retried_with_backoff() {
    let unable = || ErrorResponse::server("Database connection failed", "Unable to store message in channel database");
    let mut registration = registration(|| 0);
    registration.handle_connected(at(0));
    for wait in [500, 1000, 2000] {
        let now = registration.poll_timeout().unwrap();
        assert_eq!(requests(&mut registration, now), ["+a", "+b"]);
        listed(&mut registration, now);
        refused(&mut registration, now, unable());
        assert_eq!(registration.poll_timeout().unwrap().since(now), Duration::from_millis(wait));
    }
    // The tracker may have stored it all the same.
    registration.stop();
    assert_eq!(requests(&mut registration, at(60)), ["-a", "-b"]);
}

#[test]
fn stopping_unhosts_every_channel_that_may_be_listed() {
    let mut registration = registered(|| 0, at(0));
    assert_eq!(requests(&mut registration, at(100)), ["+a", "+b"]);
    registration.stop();
    assert!(!registration.is_done());
    assert_eq!(requests(&mut registration, at(100)), ["-a", "-b"]);
    // The answers to the earlier requests come first.
    assert_eq!((listed(&mut registration, at(100)), listed(&mut registration, at(100))), (None, None));
    assert_eq!(removed(&mut registration, at(100)), Some(Notice::Removed("a".parse().unwrap())));
    assert!(!registration.is_done());
    assert_eq!(removed(&mut registration, at(100)), Some(Notice::Removed("b".parse().unwrap())));
    assert!(registration.is_done());
    assert_eq!((requests(&mut registration, at(200)), registration.poll_timeout()), (vec![], None));
}

#[test]
fn stopping_without_a_connection_tries_once_if_a_channel_may_be_listed() {
    let mut fresh = registration(|| 0);
    fresh.stop();
    assert!(fresh.is_done());

    let mut registration = registered(|| 0, at(0));
    registration.handle_lost(at(1), Loss::Temporary, "gone".into());
    registration.stop();
    assert!(!registration.is_done());
    registration.handle_connected(at(1));
    assert_eq!(requests(&mut registration, at(1)), ["-a", "-b"]);
    assert_eq!(registration.handle_lost(at(1), Loss::Temporary, "gone".into()), None);
    assert!(registration.is_done());
}

#[test]
fn a_failed_unhost_is_left_to_the_lease() {
    let mut registration = registered(|| 0, at(0));
    registration.stop();
    assert_eq!(requests(&mut registration, at(1)), ["-a", "-b"]);
    let gone = ErrorResponse::request("Channel not found", "The requested channel 'a' does not exist");
    assert_eq!(refused(&mut registration, at(1), gone), None);
    let unable = ErrorResponse::server("Database connection failed", "Unable to store message in channel database");
    assert_eq!(refused(&mut registration, at(1), unable), None);
    assert!(registration.is_done());
}
