//! Questions to the user, of which one is open at a time.

use chanwire_core::Time;

use super::{Output, Room, RoomId, Session, Shown, Untrusted, count, room::Phase};

/// A question that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Whether to send the lines that were pasted.
    Paste(RoomId),
    /// Whether to trust the server of a channel.
    Trust(RoomId),
    /// Whether to delete the message of this id.
    Delete(RoomId, u64),
}

impl Session {
    /// Asks the next question, if none is open.
    pub(super) fn ask(&mut self) {
        if self.asking.is_some() {
            return;
        }
        let untrusted = self.rooms.iter().find_map(|room| match &room.phase {
            Phase::Untrusted(server) => Some((Question::Trust(room.id), about_trust(server))),
            _ => None,
        });
        let several = self.rooms.len() > 1;
        let pasted = || {
            let room = self.current()?;
            let lines = count(room.pastes.to_confirm()?, "line");
            let to = if several { format!(" to {}", room.name) } else { String::new() };
            Some((Question::Paste(room.id), format!("send {lines}{to}? y/n (o: as one message)")))
        };
        if let Some((question, text)) = untrusted.or_else(pasted) {
            self.asking = Some(question);
            self.outputs.push_back(Output::Show(Shown::Trouble(text)));
            self.outputs.push_back(Output::Asking(true));
        }
    }

    /// Handles a line as the answer to an open question. Returns whether it was one.
    pub(super) fn answer(&mut self, now: Time, line: &str) -> bool {
        let answer = line.trim().to_ascii_lowercase();
        let answered = match self.asking {
            Some(Question::Paste(id)) => self.room(id).is_some_and(|room| room.answer_about_a_paste(&answer)),
            Some(Question::Delete(id, message)) => self.answer_about_deletion(id, message, &answer),
            Some(Question::Trust(id)) => self.answer_about_trust(now, id, &answer),
            None => false,
        };
        if answered {
            self.stop_asking();
            self.rooms.iter_mut().for_each(|room| room.settle(now));
            self.collect(now);
        }
        answered
    }

    /// Handles the answer about a server, for all channels that wait for it. Returns whether the line was an answer.
    fn answer_about_trust(&mut self, now: Time, id: RoomId, answer: &str) -> bool {
        let Some(Phase::Untrusted(server)) = self.room(id).map(|room| &room.phase) else { return false };
        let Untrusted { to, pin } = server.clone();
        let is_trusted = match answer {
            "y" | "yes" => true,
            "n" | "no" => false,
            _ => return false,
        };
        if is_trusted {
            self.outputs.push_back(Output::Trust { server: to.clone(), pin });
        }
        let waits = |room: &&mut Room| matches!(&room.phase, Phase::Untrusted(of) if of.pin == pin && of.to == to);
        self.rooms.iter_mut().filter(waits).for_each(|room| room.handle_trust(now, is_trusted));
        true
    }

    /// Asks whether to delete a message of the shown channel: of this number, or else the user's last one.
    pub(super) fn delete(&mut self, now: Time, number: &str) {
        const HINT: &str = "/delete takes the number of a message, which PageUp shows";
        let is_asked = self.options.interactive;
        let Some(room) = self.current_mut() else {
            return self.trouble("on no channel; /join NAME goes to one");
        };
        let message = match number {
            "" => room.last_own(),
            _ => number.parse().ok().filter(|number| *number > 0),
        };
        let Some(message) = message else {
            return self.trouble(if number.is_empty() {
                format!("no message of yours was loaded; {HINT}")
            } else {
                HINT.into()
            });
        };
        if !is_asked {
            room.delete(message);
            return self.collect(now);
        }
        let (id, question) = (room.id, format!("delete message {message}{}? y/n", room.excerpt(message)));
        if self.asking.is_some() {
            return self.trouble("nothing is deleted; answer the question before that");
        }
        self.asking = Some(Question::Delete(id, message));
        self.outputs.push_back(Output::Show(Shown::Trouble(question)));
        self.outputs.push_back(Output::Asking(true));
    }

    fn answer_about_deletion(&mut self, id: RoomId, message: u64, answer: &str) -> bool {
        match (answer, self.room(id)) {
            ("y" | "yes", Some(room)) => room.delete(message),
            ("n" | "no", _) => {}
            _ => return false,
        }
        true
    }

    /// Closes the question about a channel that is left.
    pub(super) fn forget_question(&mut self, of: RoomId) {
        if let Some(Question::Paste(id) | Question::Trust(id) | Question::Delete(id, _)) = self.asking
            && id == of
        {
            self.stop_asking();
        }
    }

    /// Closes the open question.
    pub(super) fn stop_asking(&mut self) {
        if self.asking.take().is_some() {
            self.outputs.push_back(Output::Asking(false));
        }
    }
}

fn about_trust(server: &Untrusted) -> String {
    let Untrusted { to, pin } = server;
    format!(
        "{to}: no trusted authority vouches for the server's certificate. Its key has the pin {pin}. If its owner says the \
         same (chanwire tls show), trust it from now on? y/n"
    )
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
        session.handle_lost(Time::default(), link_of(link), lost);
        outputs(session)
    }

    fn outputs(session: &mut Session) -> Vec<Output> {
        std::iter::from_fn(|| session.poll_output()).collect()
    }

    const fn link_of(number: u64) -> Link {
        Link { room: RoomId(1), number }
    }

    fn connect(link: u64) -> Output {
        Output::Connect { link: link_of(link), to: TRACKER.parse().unwrap() }
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
        assert_eq!(outputs(&mut session), [trust, Output::Asking(false), connect(2)]);
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
