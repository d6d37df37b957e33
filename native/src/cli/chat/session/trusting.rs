//! Servers of unknown keys: asking the user, and going on with the answer.

use chanwire_core::Time;

use super::{Output, Phase, Question, Session, Shown, Untrusted};

impl Session {
    /// Asks whether to trust a server, to which there is no connection yet. Returns `false`, and asks
    /// nothing, where nobody can answer: without a terminal, or when the chat is ending.
    pub(super) fn ask_for_trust(&mut self, server: Untrusted) -> bool {
        if !self.options.interactive || self.leaving.is_some() {
            return false;
        }
        let Untrusted { to, pin, .. } = &server;
        let question = format!(
            "{to}: no trusted authority vouches for the server's certificate. Its key has the pin {pin}. If its owner says \
             the same (chanwire tls show), trust it from now on? y/n"
        );
        self.outputs.push_back(Output::Show(Shown::Trouble(question)));
        // Another question is asked again after this one.
        self.asking = Some(Question::Trust);
        self.outputs.push_back(Output::Asking(true));
        self.phase = Phase::Untrusted(server);
        true
    }

    /// Handles the answer: connects again, or gives up. Returns whether the line was an answer.
    pub(super) fn answer_about_trust(&mut self, now: Time, answer: &str) -> bool {
        let Phase::Untrusted(server) = &self.phase else { return false };
        let server = server.clone();
        match answer {
            "y" | "yes" => {
                self.outputs.push_back(Output::Trust { server: server.to.clone(), pin: server.pin });
                if server.to.same_place(&self.tracker) {
                    self.find_host();
                } else {
                    let connection = self.connect(server.to);
                    self.phase = Phase::Joining(connection);
                }
            }
            "n" | "no" => {
                // Otherwise the next try would go to the same server, and ask again.
                if let Some(room) = &mut self.room {
                    room.host = None;
                }
                self.try_again(now, format!("{}: its certificate is not trusted", server.to), 1, None);
            }
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use chanwire_core::wire::ClientMessageId;

    use super::{
        super::{Link, Lost, Options, Verdict},
        *,
    };
    use crate::tls::Pin;

    const TRACKER: &str = "tls://192.0.2.1:22236";

    fn session(interactive: bool) -> Session {
        let new_id = || Ok(ClientMessageId::from_random(7));
        let options =
            Options { user: "ann".parse().unwrap(), interactive, shows_presence: true, signs_in: false, new_id };
        Session::new(TRACKER.parse().unwrap(), "general".parse().unwrap(), options, 7)
    }

    /// Fails the connection for want of trust, and returns the outputs.
    fn refuse(session: &mut Session, link: u64) -> Vec<Output> {
        let lost = Lost {
            retry_after: None,
            untrusted: Some(Pin::of(b"key")),
            is_final: false,
            reason: "unknown issuer".into(),
        };
        session.handle_lost(Time::default(), Link(link), lost);
        outputs(session)
    }

    fn outputs(session: &mut Session) -> Vec<Output> {
        std::iter::from_fn(|| session.poll_output()).collect()
    }

    fn connect(link: u64) -> Output {
        Output::Connect { link: Link(link), to: TRACKER.parse().unwrap() }
    }

    #[test]
    fn a_user_who_trusts_an_unknown_server_is_connected_again() {
        let mut session = session(true);
        assert_eq!(outputs(&mut session), [connect(1)]);
        let [Output::Show(Shown::Trouble(question)), Output::Asking(true)] = &refuse(&mut session, 1)[..] else {
            panic!("nothing is asked")
        };
        assert!(question.contains(TRACKER) && question.contains(&Pin::of(b"key").to_string()), "{question}");
        // Anything but an answer is a line to send later.
        session.handle_line(Time::default(), "yellow");
        assert!(outputs(&mut session).iter().all(|output| matches!(output, Output::Show(Shown::Note(_)))));
        session.handle_line(Time::default(), "y");
        let trust = Output::Trust { server: TRACKER.parse().unwrap(), pin: Pin::of(b"key") };
        assert_eq!(outputs(&mut session), [trust, connect(2), Output::Asking(false)]);
    }

    #[test]
    fn a_server_that_is_not_trusted_ends_the_chat() {
        let mut session = session(true);
        refuse(&mut session, 1);
        session.handle_line(Time::default(), "n");
        let reason = Some(format!("{TRACKER}: its certificate is not trusted"));
        assert!(outputs(&mut session).contains(&Output::Quit(Verdict { code: 1, reason })));
    }

    #[test]
    fn nobody_is_asked_without_a_terminal() {
        let mut session = session(false);
        outputs(&mut session);
        let reason = Some(format!("{TRACKER}: unknown issuer"));
        assert_eq!(refuse(&mut session, 1), [Output::Quit(Verdict { code: 1, reason })]);
    }
}
