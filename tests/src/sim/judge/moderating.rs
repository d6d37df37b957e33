//! Checks roles and settings: who may set them, what they keep from whom, and when they end.

use super::*;

impl Judge {
    /// Returns one who asks on a connection, by the roles and settings since a version and the directory since one.
    pub(super) fn asking(&self, link: u64, name: &str, (version, directory): (usize, usize), from: Time) -> Asking<'_> {
        let ledger = self.ledgers.get(&link);
        let (account, ip) = (self.account_of(link), ledger.and_then(|ledger| ledger.peer).map(canonical));
        let hosts = |record: &ChannelRecord| ip.is_some_and(|ip| is_host(record, ip, account));
        let may_be = |is_host: bool| {
            let is_it = |version: &Version| version.record(name).is_some_and(hosts) == is_host;
            self.versions.find(directory, is_it).is_some()
        };
        Asking { account, ip, host: (may_be(true), may_be(false)), version, from, to: self.now }
    }

    /// Returns one who asks for what becomes durable now, by all that was stored before.
    pub(super) fn asking_now(&self, from: From, at: Time, now: Time, name: &str) -> Asking<'_> {
        let account = self.account_of(from.link);
        let is_host = self.versions.last().record(name).is_some_and(|record| is_host(record, from.ip, account));
        let version = self.moderation.latest();
        Asking { account, ip: Some(from.ip), host: (is_host, !is_host), version, from: at, to: now }
    }

    /// Checks that a message which is stored is of one who may write, not sooner after its last one than it may.
    pub(super) fn check_moderated(&mut self, stored: &StoredMessage, number: usize, now: Time) {
        let name = &stored.channel_name;
        let sender = Sender::of(stored.account.as_ref(), &stored.username);
        let before = self.last_sent.insert((name.clone(), sender), number);
        let Some(fact) = self.messages.get(number) else { return };
        let Some(ip) = self.ledgers.get(&fact.link).and_then(|ledger| ledger.peer) else {
            panic!("{stored:?} came from nowhere")
        };
        let from = From { link: fact.link, ip: canonical(ip) };
        let asking = self.asking_now(from, fact.at, now, name);
        let may_write = self.moderation.is_allowed(ChannelAction::Write, name, asking);
        assert!(may_write, "{stored:?} is stored, and connection {} may not write: {asking:?}", fact.link);
        let Some(before) = before.and_then(|before| self.messages.get(before)) else { return };
        // The hub knows of it, and there was slow mode all the time.
        let (least, _) = self.moderation.slow_mode(name, before.moderation);
        let since = Asking { version: before.moderation, ..self.asking(fact.link, name, (0, 0), before.at) };
        let may_be_fast = self.moderation.is_allowed(ChannelAction::WriteFast, name, since);
        if before.delivered.is_some() && !may_be_fast {
            let passed = fact.at.since(before.at);
            assert!(passed >= Duration::from_secs(least.into()), "{stored:?} is stored {passed:?} after {before:?}");
        }
    }

    /// Checks that a role or a setting was asked for by one who may set it.
    pub(super) fn check_moderating(&mut self, write: &Write, now: Time, disk: &Disk) {
        match write {
            Write::SetRole { channel_name: name, subject, role } => {
                let before = self.moderation.last().role(name, subject).copied();
                let is_over = before.is_some_and(|given| !self.moderation.is_in_force(&given, now));
                let asked = self.moderating.iter().any(|asked| self.may_give(asked, (name, subject, role), now, disk));
                assert!(asked || is_over && role.is_none(), "{write:?} is stored, and nobody asked for it who may");
                self.tally.roles += u64::from(asked);
                self.tally.ended_roles += u64::from(is_over);
            }
            Write::SetSettings { channel_name: name, settings } => {
                let before = self.moderation.last().settings(name);
                let asked = |(request, from, at): &(Request, From, Time)| {
                    let Request::Settings { channel_name, members_only, slow_mode } = request else { return false };
                    let set = ChannelSettings {
                        members_only: members_only.unwrap_or(before.members_only),
                        slow_mode: slow_mode.unwrap_or(before.slow_mode),
                    };
                    let asking = self.asking_now(*from, *at, now, name);
                    (channel_name, set) == (name, *settings)
                        && self.moderation.is_allowed(ChannelAction::Set, name, asking)
                };
                assert!(self.moderating.iter().any(asked), "{write:?} is stored, and nobody asked for it who may");
                let is_kept = !settings.members_only || before.members_only || self.owners.contains_key(name);
                assert!(is_kept, "'{name}' is for members, and belongs to no account");
                self.tally.settings += 1;
            }
            Write::DropModeration(name) => {
                assert!(!self.owners.contains_key(name), "'{name}' loses its roles, and belongs to an account");
            }
            other => panic!("{other:?} is of no moderation"),
        }
        self.moderation.write(write);
    }

    /// Returns whether this was asked for: a role of a subject, by one who may give it.
    fn may_give(
        &self,
        (request, from, at): &(Request, From, Time),
        (name, subject, role): (&ChannelName, &RoleSubject, &Option<GivenRole>),
        now: Time,
        disk: &Disk,
    ) -> bool {
        let Request::Role { channel_name, target, role: asked, seconds } = request else { return false };
        if channel_name != name
            || *asked != role.map(|given| given.role)
            || !self.is_subject(target, name, subject, disk)
        {
            return false;
        }
        let until = role.and_then(|given| given.until);
        let seconds = seconds.filter(|_| role.is_some());
        let ends = seconds.map(|seconds| self.moderation.until(*at, seconds)..=self.moderation.until(now, seconds));
        if until.is_some() != ends.is_some() || until.zip(ends).is_some_and(|(until, ends)| !ends.contains(&until)) {
            return false;
        }
        let is_host = |account: Option<&AccountName>, ip: Option<IpAddr>| {
            let record = self.versions.last().record(name);
            record.is_some_and(|record| match (&record.account, ip) {
                (Some(owner), _) => account == Some(owner),
                (None, Some(ip)) => is_host(record, ip, None),
                (None, None) => false,
            })
        };
        let to_host = match subject {
            RoleSubject::Account(account) => is_host(Some(account), None),
            RoleSubject::Address(ip) => is_host(None, Some(*ip)),
        };
        let before = self.moderation.last().role(name, subject);
        // It may have ended meanwhile.
        let standings = [*at, now].map(|time| match before.filter(|given| self.moderation.is_in_force(given, time)) {
            _ if to_host => Standing::Host,
            Some(given) => Standing::Role(given.role),
            None => Standing::Other,
        });
        let asking = self.asking_now(*from, *at, now, name);
        standings.into_iter().any(|to| {
            let action = ChannelAction::Give { role: *asked, to };
            self.moderation.is_allowed(action, name, asking)
        })
    }

    /// Returns whether one who is named is this subject.
    fn is_subject(&self, target: &RoleTarget, name: &ChannelName, subject: &RoleSubject, disk: &Disk) -> bool {
        match (target, subject) {
            (RoleTarget::Account(account), RoleSubject::Account(other)) => account == other,
            (RoleTarget::Address(ip), RoleSubject::Address(other)) => of_subscriber(*ip) == *other,
            (RoleTarget::SenderOf(id), _) => {
                if self.moderation.last().role(name, subject).is_some_and(|given| given.sender_of == Some(*id)) {
                    return true;
                }
                let stored = usize::try_from(*id - 1).ok().and_then(|index| disk.messages(name).get(index));
                let Some(stored) = stored else { return false };
                match (subject, &stored.account) {
                    (RoleSubject::Account(account), Some(sender)) => account == sender,
                    (RoleSubject::Address(ip), None) => self.came_from(stored, *ip, disk),
                    _ => false,
                }
            }
            _ => false,
        }
    }

    /// Returns whether a guest's message came from an address, as far as that is known.
    fn came_from(&self, stored: &StoredMessage, ip: IpAddr, disk: &Disk) -> bool {
        let original = disk.original(&stored.channel_name, stored.id).unwrap_or(stored);
        let number = original.message_content.split(' ').next().and_then(|number| number.parse::<usize>().ok());
        let Some(fact) = number.and_then(|number| self.messages.get(number)) else { return false };
        let peer = self.ledgers.get(&fact.link).and_then(|ledger| ledger.peer).map(of_subscriber);
        // One with an id may have been sent again on another connection.
        fact.message.client_message_id.is_some() || peer == Some(ip)
    }

    /// Checks the roles and settings that are stored after a commit: those of an address's channel go with it.
    pub(super) fn check_kept(&self, writes: &[Write], disk: &Disk) {
        for write in writes {
            if let Write::RemoveChannel(name) = write
                && !self.owners.contains_key(name)
            {
                assert_eq!(disk.moderation(name), None, "'{name}' is removed");
            }
        }
        for record in self.moderation.last().records() {
            let name = &record.channel_name;
            assert_eq!(disk.moderation(name), Some(record), "the roles and settings of '{name}'");
        }
    }

    /// Checks that an act of giving roles or of settings is one that was asked for.
    pub(super) fn acted_on(&self, Act { channel_name, kind, peer, account, connection }: &Act) {
        let asked = |(request, from, _): &(Request, From, Time)| {
            let is_it = match (request, kind) {
                (Request::Role { channel_name: name, role, .. }, ActKind::RoleSet { role: given, .. }) => {
                    name == channel_name && *role == given.map(|given| given.role)
                }
                (Request::Settings { channel_name: name, .. }, ActKind::SettingsChanged(_)) => name == channel_name,
                _ => false,
            };
            is_it && (Peer::Address(from.ip), from.link) == (*peer, connection.0)
        };
        assert!(self.moderating.iter().any(asked), "{peer:?} is said to have done {kind:?} in '{channel_name}'");
        assert_eq!(account.as_ref(), self.account_of(connection.0), "who did {kind:?} in '{channel_name}'");
    }

    /// Checks an answer OK to ROLE: it is stored.
    pub(super) fn role_set(
        &self,
        (name, target, role, seconds): (&ChannelName, &RoleTarget, Option<Role>, Option<u32>),
        disk: &Disk,
    ) {
        let stored = disk.moderation(name).map_or(&[][..], |record| &record.roles);
        let is_it = |(subject, given): &(RoleSubject, GivenRole)| {
            self.is_subject(target, name, subject, disk) && Some(given.role) == role
        };
        let is_other = |(subject, given): &(RoleSubject, GivenRole)| match target {
            // Which address that is may not be known.
            RoleTarget::SenderOf(_) => false,
            _ => self.is_subject(target, name, subject, disk) && self.moderation.is_in_force(given, self.now),
        };
        let is_stored = match role {
            Some(_) => stored.iter().any(is_it) || seconds.is_some(),
            None => !stored.iter().any(is_other),
        };
        assert!(is_stored, "{target:?} is said to be {role:?} in '{name}', and {stored:?} is stored");
    }

    /// Checks that a request which a role or a setting forbids was refused for it. Returns `None` if it was for another
    /// reason.
    pub(super) fn refused_by_role(
        &self,
        request: &Request,
        error: &ErrorResponse,
        link: u64,
        since: (usize, usize),
        at: Time,
    ) -> Option<bool> {
        let name = &named(error.details.split('\'').nth(1)?);
        let is_refused = |action| self.moderation.is_refused(action, name, self.asking(link, name, since, at));
        let is_about = |words: &str| error.details.starts_with(words);
        Some(match request {
            Request::Join { .. } | Request::History { .. }
                if is_about("Only members") || is_about("This connection is") =>
            {
                is_refused(ChannelAction::Read)
            }
            Request::Message(_) if is_about("Only members") || is_about("This connection is") => {
                is_refused(ChannelAction::Write)
            }
            Request::Role { role, .. } => match () {
                () if is_about("Only the host and") => is_refused(ChannelAction::ShowRoles),
                () if is_about("Only accounts") => *role == Some(Role::Member),
                () if is_about("The host of") => true,
                () => is_refused(ChannelAction::Set),
            },
            Request::Settings { members_only, .. } => match () {
                () if is_about("Only the host") => is_refused(ChannelAction::Set),
                () => *members_only == Some(true),
            },
            _ => return None,
        })
    }

    /// Checks that a message which came too early was refused for it.
    pub(super) fn slowed_down(
        &mut self,
        message: &Message,
        error: &ErrorResponse,
        (version, after_hello): (usize, bool),
    ) {
        let name = error.details.split('\'').nth(1).unwrap_or_default();
        let left = error.details.split(' ').nth(1).and_then(|left| left.parse::<u16>().ok()).unwrap_or(0);
        let (_, most) = self.moderation.slow_mode(name, version);
        assert!((1..=most).contains(&left), "{message:?} is answered {error}, in slow mode of {most} s");
        assert_eq!(error.retry_after, after_hello.then_some(left.into()), "{error:?}");
        let is_in_it = |stored: &StoredMessage| &*stored.channel_name == name;
        let has_sent = self.messages.iter().any(|fact| fact.stored.as_ref().is_some_and(is_in_it));
        assert!(has_sent, "{message:?} is answered {error}, and nothing was sent before");
        self.tally.slow_downs += 1;
    }
}
