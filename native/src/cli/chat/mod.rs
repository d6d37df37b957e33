//! `chanwire chat`: talk on channels.

mod completion;
mod input;
mod link;
mod outbox;
mod paint;
mod screen;
mod session;
mod tabs;
mod terminal;
mod view;

use std::{
    collections::BTreeMap,
    env,
    io::{self, IsTerminal as _},
    sync::Arc,
    time::Duration,
};

use chanwire_core::{
    Time,
    wire::{ChannelName, Request, StoredMessage},
};
use chanwire_inspect::visible;
use clap::Args;
use jiff::tz::TimeZone;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::sleep_until,
};

use super::{Failure, Outcome, link::runtime, sign_in::SignInOptions, trust::TrustOptions, user::User};
use crate::{
    client::{Connector, random_id},
    clock::BootClock,
    server_address::ServerAddress,
    tls::{KnownServers, Pin},
};
use input::UserInput;
use link::{Events, LinkEvent};
use paint::Painter;
use screen::Screen;
use session::{Link, Mention, Options, Output, Session, Shown, Verdict};
use view::Entry;

/// Time for which the screen may be behind before messages are skipped.
const WAIT_LIMIT: Duration = Duration::from_secs(2);

/// Talk on channels
///
/// Shows the last messages of a channel and new ones as they come, and sends the lines that are typed. `/join NAME`
/// joins another channel, too, up to 16 at once: one is shown, and a line above the input lists all of them with the
/// number of new messages (+) and of those that mention you (@). `/switch` and Alt with a number go from one to another.
///
/// PageUp reads older messages, with their numbers, on a screen of their own, and `/search TEXT` finds text in those that
/// were loaded. `/delete` deletes your last message, and `/delete ID` another one, after a question; in a pipe, without.
///
/// Asks the server where the channel is hosted and joins it there. When the connection is lost, it connects again,
/// misses no message, and sends again the lines that were not answered: each has an id, under which the server stores it
/// once. An older server knows no ids, and another host does not know those of the host before: of a line that was not
/// answered, it is said then that it may be stored, and it is not sent again. If the server fails to store a line, that
/// line is sent again before further ones; those on their way meanwhile may be stored before it. If messages come faster than the terminal shows them, it skips some and shows how many. `/help` shows the
/// commands.
///
/// A `tls://` server for whose certificate no authority vouches is trusted by its key, if the user says so at a
/// terminal: the key is then kept in `known_servers` in the configuration directory ($XDG_CONFIG_HOME/chanwire or
/// ~/.config/chanwire), for all commands, and the server is refused if it comes with another one.
///
/// Times are shown in the local time zone (`TZ`), names in colours on a terminal (not with `NO_COLOR`). Where standard
/// input is no terminal, each of its lines is sent, its end ends the chat once all are answered, messages go to
/// standard output and everything else to standard error.
#[derive(Debug, Args)]
pub(super) struct Chat {
    /// The channel's name
    channel: String,

    /// The server that lists the channel (HOST:PORT, tls://HOST:PORT or unix:/PATH)
    #[arg(long, value_name = "ADDR", env = "CHANWIRE_SERVER", default_value = "127.0.0.1:22236")]
    server: ServerAddress,

    #[command(flatten)]
    trust: TrustOptions,

    #[command(flatten)]
    sign_in: SignInOptions,

    #[command(flatten)]
    user: User,

    /// Ring the terminal's bell when somebody mentions your name
    #[arg(long)]
    bell: bool,

    /// Do not show who joins and leaves the channel
    #[arg(long)]
    no_presence: bool,
}

impl Chat {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let user = self.user.name(self.sign_in.account())?;
        let channel = ChannelName::try_from(self.channel).map_err(|error| Failure::usage(error.to_string()))?;
        let known = if self.trust.is_chosen() { None } else { KnownServers::of_user().map(Arc::new) };
        let connector = self.sign_in.connector(self.server.clone(), self.trust.trust_beside(known.as_ref())?)?;
        let seed = getrandom::u64().map_err(|error| format!("no random numbers: {error}"))?;
        let verdict = runtime()?.block_on(async {
            let screen = Screen::open()?;
            let options = Options {
                user,
                interactive: screen.is_interactive(),
                shows_presence: !self.no_presence,
                signs_in: connector.signs_in(),
                new_id: || random_id().map_err(|kind| kind.to_string()),
            };
            let session = Session::new(self.server, channel, options, seed);
            Shell::new(screen, connector, known, self.bell).run(session).await
        })?;
        match verdict {
            Verdict { code: 0, .. } => Ok(Outcome::Done),
            Verdict { code, reason } => Err(Failure { words: visible(&reason.unwrap_or_default()).into_owned(), code }),
        }
    }
}

/// Returns whether standard output shows colours.
fn colours() -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stdout().is_terminal() && !set("NO_COLOR") && !dumb
}

/// The I/O of a session: carries out its outputs, and reports events to it.
struct Shell {
    screen: Screen,
    connector: Connector,
    /// The servers that the user trusts by their keys, unless the trust was chosen.
    known: Option<Arc<KnownServers>>,
    painter: Painter,
    /// It goes on during suspend, as the servers' windows for repeated messages do.
    clock: BootClock,
    links: BTreeMap<Link, mpsc::UnboundedSender<Request>>,
    events: Events,
    received: mpsc::UnboundedReceiver<(Link, LinkEvent)>,
    /// The time since which the screen has not kept up.
    behind: Option<Time>,
}

impl Shell {
    fn new(screen: Screen, connector: Connector, known: Option<Arc<KnownServers>>, bell: bool) -> Self {
        let is_terminal = screen.is_interactive();
        let painter = Painter::new(colours(), is_terminal, TimeZone::system()).with_bell(bell && is_terminal);
        let (events, received) = mpsc::unbounded_channel();
        let (clock, links) = (BootClock::start(), BTreeMap::new());
        Self { screen, connector, known, painter, clock, links, events, received, behind: None }
    }

    async fn run(mut self, mut session: Session) -> Result<Verdict, String> {
        let result = self.chat(&mut session).await;
        self.screen.close().await;
        result
    }

    async fn chat(&mut self, session: &mut Session) -> Result<Verdict, String> {
        let wait_for = |kind| signal(kind).map_err(|error| format!("cannot wait for signals: {error}"));
        let (mut interrupt, mut terminate) = (wait_for(SignalKind::interrupt())?, wait_for(SignalKind::terminate())?);
        if self.screen.is_interactive() {
            let zone = format!("times are {}", self.painter.zone());
            self.show(&Shown::Note(zone)).map_err(|error| format!("cannot print: {error}"))?;
        }
        loop {
            match self.carry_out(session) {
                Ok(None) => {}
                Ok(Some(verdict)) => return Ok(verdict),
                // The reader of the messages has closed standard output.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Ok(Verdict { code: 0, reason: None });
                }
                Err(error) => return Err(format!("cannot print: {error}")),
            }
            let behind = self.watch_screen(session);
            if session.has_output() {
                continue;
            }
            let wait = [session.poll_timeout(), behind].into_iter().flatten().min().map(|at| self.clock.instant(at));
            let wants_input = session.wants_input();
            let takes = !self.screen.is_behind() || session.is_skipping();
            tokio::select! {
                Some((link, event)) = self.received.recv(), if takes => self.handle(session, link, event),
                typed = self.screen.next_input(), if wants_input || self.screen.is_interactive() => match typed? {
                    UserInput::Line(line) => session.handle_line(self.clock.now(), &line),
                    UserInput::Paste(text) => session.handle_paste(self.clock.now(), text),
                    UserInput::Switch(number) => session.handle_switch(self.clock.now(), number),
                    UserInput::ReadBack => session.handle_read_back(),
                    UserInput::Older(before) => session.handle_older(self.clock.now(), before),
                    UserInput::ReadOn => session.handle_read_on(),
                    UserInput::Complete(before) => self.screen.complete(session.complete(&before)),
                    UserInput::Drawn => {}
                    UserInput::Unreadable(reason) => session.handle_unreadable(&reason),
                    UserInput::End => session.handle_end(self.clock.now()),
                },
                () = async { sleep_until(wait.unwrap_or_else(tokio::time::Instant::now)).await }, if wait.is_some() => {
                    session.handle_timeout(self.clock.now());
                }
                _ = interrupt.recv() => session.handle_end(self.clock.now()),
                _ = terminate.recv() => session.handle_end(self.clock.now()),
            }
        }
    }

    /// Reports to the session whether the screen keeps up. Returns the time to look again, if nothing happens before.
    fn watch_screen(&mut self, session: &mut Session) -> Option<Time> {
        let now = self.clock.now();
        if self.screen.is_behind() {
            self.behind.get_or_insert(now);
        } else if self.behind.is_some() && self.screen.has_caught_up() {
            self.behind = None;
            session.handle_caught_up();
        }
        let wait_ends = self.behind?.after(WAIT_LIMIT);
        if wait_ends > now {
            return Some(wait_ends);
        }
        session.handle_behind();
        None
    }

    /// Carries out all outputs of the session. Returns the verdict if it has ended.
    fn carry_out(&mut self, session: &mut Session) -> io::Result<Option<Verdict>> {
        while let Some(output) = session.poll_output() {
            match output {
                Output::Connect { link, to } => {
                    let (sender, requests) = mpsc::unbounded_channel();
                    self.links.insert(link, sender);
                    let (connector, events) = (self.connector.clone(), self.events.clone());
                    tokio::spawn(link::run(link, connector, to, events, requests));
                }
                Output::Send { link, request } => {
                    if let Some(sender) = self.links.get(&link) {
                        // If it has ended, that is reported soon.
                        let _ = sender.send(request);
                    }
                }
                Output::Close { link } => drop(self.links.remove(&link)),
                Output::Trust { server, pin } => {
                    let shown = self.remember(&server, &pin);
                    self.show(&shown)?;
                }
                Output::Show(shown) => self.show(&shown)?,
                Output::Ring => self.screen.ring(self.painter.bell()),
                Output::Tabs(tabs) => self.screen.set_tabs(tabs),
                Output::ReadBack { channel, messages, search } => {
                    self.screen.read_back(channel.to_string(), self.entries(&messages), search);
                }
                Output::Older { channel, before, messages } => {
                    let older = messages.map(|messages| self.entries(&messages));
                    self.screen.add_older(&channel, before, older);
                }
                Output::Moved => self.screen.hold_line(),
                Output::Asking(question) => self.screen.ask(question),
                Output::Quit(verdict) => return Ok(Some(verdict)),
            }
        }
        Ok(None)
    }

    /// Writes a server's key into the file of known servers.
    fn remember(&self, server: &ServerAddress, pin: &Pin) -> Shown {
        let written = match &self.known {
            Some(known) => known.add(server, pin).map(|()| format!("trusted from now on: {}", known.path().display())),
            None => Err(io::Error::other("there is no home directory")),
        };
        written.map_or_else(
            |error| Shown::Trouble(format!("cannot remember the server's key: {error}; start with --tls-pin {pin}")),
            Shown::Note,
        )
    }

    fn entries(&self, messages: &[(StoredMessage, Mention)]) -> Vec<Entry> {
        messages.iter().map(|(message, mention)| self.painter.entry(message, *mention)).collect()
    }

    fn show(&mut self, shown: &Shown) -> io::Result<()> {
        if let Some(day) = self.painter.day(shown) {
            self.screen.show(&day, true)?;
        }
        let lines = self.painter.lines(shown);
        self.screen.show(&lines, matches!(shown, Shown::Note(_) | Shown::Trouble(_)))
    }

    fn handle(&mut self, session: &mut Session, link: Link, event: LinkEvent) {
        let now = self.clock.now();
        match event {
            LinkEvent::Connected => session.handle_connected(link),
            LinkEvent::Hello(hello) => session.handle_hello(link, hello),
            LinkEvent::Event(event, _held) => session.handle_event(now, link, event),
            LinkEvent::Lost(mut lost) => {
                self.links.remove(&link);
                if self.known.is_none() {
                    // The answer could not be kept, or stands against the chosen trust.
                    lost.untrusted = None;
                }
                session.handle_lost(now, link, lost);
            }
        }
    }
}
