//! AUTH: its answers, its limits, and the requests that wait for it.

use chanwire_core::wire::Credentials;
use chanwire_tests::accounts::{self, ACCOUNTS, TOKEN};

use super::*;

fn auth(credentials: Credentials) -> Request {
    Request::Auth(credentials)
}

fn ann() -> Request {
    let [(name, password), ..] = ACCOUNTS;
    auth(accounts::password(name, password))
}

fn wrong(account: &str) -> Request {
    auth(accounts::password(account, "wrong"))
}

/// Returns the names of errors, and the statuses of other answers.
fn outline(answers: &[Response]) -> Vec<String> {
    let outline = |answer: &Response| match answer {
        Response::Error(error) => error.error.to_string(),
        Response::Authenticated { account } => format!("authenticated {account}"),
        Response::Channels(_) => "channels".into(),
        Response::Delivered { .. } => "delivered".into(),
        other => panic!("{other:?}"),
    };
    answers.iter().map(outline).collect()
}

fn start() -> (Trial, u64) {
    let mut trial = trial();
    let id = trial.connect(ip(ADA), 0);
    (trial, id)
}

#[test]
fn every_failure_has_the_same_words() {
    let (mut trial, id) = start();
    let [failed] = ["Authentication failed"]
        .map(|error| Response::Error(ErrorResponse::request(error, "Unknown account, or wrong password or token")));
    for request in [wrong("ann"), wrong("nobody"), auth(accounts::token("wrong"))] {
        assert_eq!(ask(&mut trial, id, &request), std::slice::from_ref(&failed));
    }
    assert_eq!(
        outline(&ask(&mut trial, id, &ann())),
        ["authenticated ann"],
        "a failure leaves the connection as it was"
    );
}

#[test]
fn an_authenticated_connection_stays_the_accounts() {
    let (mut trial, id) = start();
    assert_eq!(outline(&ask(&mut trial, id, &auth(accounts::token(TOKEN)))), ["authenticated ann"]);
    for request in [ann(), wrong("bob")] {
        let details = "This connection is authenticated as 'ann'";
        let again = Response::Error(ErrorResponse::request("Already authenticated", details));
        assert_eq!(ask(&mut trial, id, &request), [again]);
    }
}

#[test]
fn requests_behind_an_auth_wait_for_its_result_and_others_do_not() {
    let (mut trial, id) = start();
    let other = trial.connect(ip(BOB), 0);
    for request in [Request::List, ann(), Request::List, wrong("bob"), Request::List] {
        trial.ask(id, &request, 0);
    }
    trial.drain();
    assert_eq!(outline(&trial.answers(id)), ["channels"]);
    assert_eq!(outline(&ask_without_results(&mut trial, other, &Request::List)), ["channels"]);
    assert_eq!(trial.verifications(), 1);
    trial.verify();
    let rest = ["authenticated ann", "channels", "Already authenticated", "channels"];
    assert_eq!(outline(&trial.answers(id)), rest);
}

fn ask_without_results(trial: &mut Trial, id: u64, request: &Request) -> Vec<Response> {
    trial.ask(id, request, 0);
    trial.drain();
    trial.answers(id)
}

#[test]
fn an_auth_waits_for_the_messages_before_it() {
    let (mut trial, ada, _) = two_channels();
    for request in [say("as a guest", Some("here")), ann(), say("as ann", Some("here"))] {
        trial.ask(ada, &request, 0);
    }
    trial.drain();
    assert_eq!(trial.verifications(), 0);
    trial.store(Fate::Done);
    assert_eq!((outline(&trial.answers(ada)), trial.verifications()), (vec!["delivered".into()], 1));
    trial.verify();
    trial.store(Fate::Done);
    assert_eq!(outline(&trial.answers(ada)), ["authenticated ann", "delivered"]);
}

#[test]
fn attempts_are_limited_for_each_address_and_come_back_with_time() {
    let (mut trial, id) = start();
    let same_address = trial.connect(ip(ADA), 0);
    for number in 0..5 {
        let asker = if number % 2 == 0 { id } else { same_address };
        assert_eq!(outline(&ask(&mut trial, asker, &wrong("ann"))), ["Authentication failed"]);
    }
    let refused = Response::Error(ErrorResponse::request("Too many attempts", "Try again in 10 seconds"));
    assert_eq!(ask(&mut trial, id, &ann()), [refused]);
    trial.say_hello(id);
    trial.pass(9);
    let refused = ErrorResponse::request("Too many attempts", "Try again in 1 second");
    let refused = Response::Error(ErrorResponse { retry_after: Some(1), ..refused });
    assert_eq!(ask(&mut trial, id, &ann()), [refused]);
    // A right password from another address is not refused for them.
    let other = trial.connect(ip(BOB), 0);
    assert_eq!(outline(&ask(&mut trial, other, &ann())), ["authenticated ann"]);
    trial.pass(1);
    assert_eq!(outline(&ask(&mut trial, id, &ann())), ["authenticated ann"]);
}

#[test]
fn any_number_of_people_may_sign_in_from_one_address() {
    let mut trial = trial();
    for _ in 0..50 {
        let id = trial.connect(ip(ADA), 0);
        assert_eq!(outline(&ask(&mut trial, id, &ann())), ["authenticated ann"]);
    }
}

#[test]
fn loopback_and_unix_sockets_are_limited_for_each_account() {
    let mut trial = trial();
    for connect in
        [|trial: &mut Trial| trial.connect(ip("127.0.0.1"), 0), |trial: &mut Trial| trial.connect_without_rights(0)]
    {
        for account in ["ann", "bob"] {
            let id = connect(&mut trial);
            let failed = (0..8).map(|_| outline(&ask(&mut trial, id, &wrong(account)))).collect::<Vec<_>>();
            assert!(failed[..5].iter().all(|answer| *answer == ["Authentication failed"]), "{failed:?}");
            assert!(failed[5..].iter().all(|answer| *answer == ["Too many attempts"]), "{failed:?}");
        }
    }
}

#[test]
fn no_more_than_64_passwords_wait_and_half_of_them_from_one_machine() {
    let mut trial = trial();
    let mut local = Vec::new();
    for number in 0..40 {
        let id = trial.connect(ip("127.0.0.1"), 0);
        trial.ask(id, &wrong(&format!("a{number}")), 0);
        local.push(id);
    }
    trial.drain();
    assert_eq!(trial.verifications(), 32);
    let refused = Response::Error(ErrorResponse::request("Too many attempts", "Try again in 2 seconds"));
    assert_eq!(trial.answers(local[32]), std::slice::from_ref(&refused));
    for number in 0..40 {
        let id = trial.connect(ip(&format!("10.1.0.{number}")), 0);
        trial.ask(id, &ann(), 0);
        local.push(id);
    }
    trial.drain();
    assert_eq!(trial.verifications(), 64);
    assert_eq!(trial.answers(local[72]), [refused]);
    // A token is verified without hashing.
    let bot = trial.connect(ip("10.2.0.1"), 0);
    trial.ask(bot, &auth(accounts::token(TOKEN)), 0);
    trial.drain();
    assert_eq!(trial.verifications(), 65);
    trial.settle();
    assert_eq!(outline(&trial.answers(bot)), ["authenticated ann"]);
}

#[test]
fn a_disconnected_client_costs_no_verification_and_holds_no_state() {
    let (mut trial, id) = start();
    trial.ask(id, &ann(), 0);
    trial.ask(id, &wrong("bob"), 0);
    trial.drain();
    trial.disconnect(id);
    assert!(!trial.released.contains(&id));
    assert!(trial.verify());
    assert_eq!(trial.verifications(), 0);
    assert!(trial.released.contains(&id));
}

#[test]
fn results_are_counted() {
    let (mut trial, id) = start();
    for request in [wrong("ann"), ann(), ann()] {
        ask(&mut trial, id, &request);
    }
    let other = trial.connect(ip(BOB), 0);
    for _ in 0..6 {
        ask(&mut trial, other, &wrong("ann"));
    }
    let counts: Vec<_> =
        trial.hub.counters().authentications.iter().map(|(result, count)| (result.as_str(), *count)).collect();
    let expected = [("authenticated", 1), ("failed", 6), ("already_authenticated", 1), ("too_many_attempts", 1)];
    assert_eq!(counts, expected);
}

#[test]
fn a_stopped_hub_waits_for_no_verification() {
    let (mut trial, id) = start();
    trial.ask(id, &ann(), 0);
    let mut verifications = Vec::new();
    while let Some(effect) = trial.hub.poll_effect() {
        if let Effect::Verify(verification, ..) = effect {
            verifications.push(verification);
        }
    }
    assert!(!trial.hub.is_idle());
    trial.hub.stop();
    assert!(trial.hub.is_idle());
    assert_eq!(trial.hub.handle_verified(verifications[0], None), Ok(()));
}

#[test]
fn a_result_that_was_not_asked_for_is_a_misuse() {
    let (mut trial, id) = start();
    trial.ask(id, &ann(), 0);
    let Some(verification) = std::iter::from_fn(|| trial.hub.poll_effect()).find_map(|effect| match effect {
        Effect::Verify(verification, ..) => Some(verification),
        _ => None,
    }) else {
        panic!("nothing is verified")
    };
    assert_eq!(trial.hub.handle_verified(verification, None), Ok(()));
    assert_eq!(trial.hub.handle_verified(verification, None), Err(Misuse::UnexpectedOutcome));
}

#[test]
fn no_secret_is_in_the_debug_output_of_requests_events_and_effects() {
    let secret = "hunter2-correct";
    for credentials in [accounts::password("ann", secret), accounts::token(secret)] {
        let (mut trial, id) = start();
        let mut server = Server::new(ConnectionId(id), chanwire_core::Limits::server()).with_local_peer();
        let mut bytes = Vec::new();
        Request::Auth(credentials.clone()).encode(&mut bytes);
        server.handle_input(Time::default(), &bytes);
        let event = server.poll_event().unwrap();
        let mut shown = vec![format!("{event:?}"), format!("{credentials:#?}")];
        trial.hub.handle_event(ConnectionId(id), event, Moment::default()).unwrap();
        shown.push(format!("{:?}", trial.hub));
        while let Some(effect) = trial.hub.poll_effect() {
            shown.push(format!("{effect:#?}"));
        }
        assert!(shown.iter().any(|shown| shown.contains("Verify")), "{shown:?}");
        for text in shown {
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
