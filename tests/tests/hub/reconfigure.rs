//! New limits while a hub works.

use std::sync::Arc;

use chanwire_core::Limits;

use super::*;

fn limits() -> Arc<Limits> {
    let mut limits = Limits::server();
    limits.max_payload = 300;
    Arc::new(limits)
}

#[test]
fn new_limits_decide_the_next_request_and_end_nothing() {
    let (mut trial, ada, _) = two_channels();
    assert_eq!(ask(&mut trial, ada, &listen("here")), [joined("here", 1, 0)]);
    trial.reconfigure(|setup| (setup.joins, setup.limit) = (1, 1), &limits());
    assert_eq!((trial.hub.joins(), listed(&mut trial).len()), (1, 2));
    let full = refused("Limit reached", "A tracker lists at most 1 channels");
    assert_eq!(ask(&mut trial, ada, &host("more", "10.0.0.1", 22236)), [full]);
    trial.reconfigure(|setup| setup.limit = 3, &limits());
    assert_eq!(ask(&mut trial, ada, &host("more", "10.0.0.1", 22236)), [hosted("more")]);
    let joins = refused("Limit reached", "A connection may join at most 1 channels");
    assert_eq!(ask(&mut trial, ada, &listen("more")), [joins]);
    trial.reconfigure(|setup| setup.joins = 2, &limits());
    assert_eq!(ask(&mut trial, ada, &listen("more")), [joined("more", 1, 0)]);
}

#[test]
fn a_request_that_waits_for_the_store_is_decided_by_the_limits_of_then() {
    let (mut trial, ada, bob) = two_channels();
    // The first is with the store, so the second is not decided yet.
    trial.ask(ada, &host("a", "10.0.0.1", 22236), 0);
    trial.drain();
    trial.ask(bob, &host("b", BOB, 22240), 0);
    trial.reconfigure(|setup| setup.limit = 3, &limits());
    trial.settle();
    assert_eq!(trial.answers(ada), [hosted("a")]);
    assert_eq!(trial.answers(bob), [refused("Limit reached", "A tracker lists at most 3 channels")]);
}

#[test]
fn every_open_connection_is_given_the_limits_once() {
    let (mut trial, ada, bob) = two_channels();
    let closed = trial.connect(ip(BOB), 0);
    trial.disconnect(closed);
    let limits = limits();
    trial.reconfigure(|_| {}, &limits);
    assert_eq!(trial.reconfigured, [(ada, limits.clone()), (bob, limits)]);
}
