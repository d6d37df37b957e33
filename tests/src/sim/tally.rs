//! Counters of the events in runs: a simulator that never meets a fault proves nothing.

use std::{fmt, ops::AddAssign};

macro_rules! tally {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The number of times each event happened.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Tally {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Tally {
            /// Each name with its count.
            #[must_use]
            pub fn counts(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }

        impl AddAssign<&Self> for Tally {
            fn add_assign(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

tally! {
    /// Steps of the simulation.
    steps,
    /// Virtual time, in seconds.
    seconds,
    /// Connections that were opened.
    connections,
    /// Requests that reached a hub.
    requests,
    /// Answers that an honest client received.
    answers,
    /// Requests of honest clients that were never answered because their connection ended.
    unknown,
    /// Messages that became durable.
    stored,
    /// Changes of the directory that became durable.
    listed,
    /// Answers OK to MESSAGE.
    delivered,
    /// Messages that honest clients sent again.
    retries,
    /// Answers OK to a MESSAGE that had been answered so before.
    repeated,
    /// Answers `Message id reused`.
    reused,
    /// Messages that became durable again when their id was no longer kept.
    stored_again,
    /// Answers OK to HOST.
    hosted,
    /// Answers OK to LIST.
    lists,
    /// Answers OK to CHANNELS.
    pages,
    /// Answers OK to WHO.
    whos,
    /// Notices that connections were sent.
    notices,
    /// Notices that clients received.
    notices_received,
    /// Answers OK to LIST that a connection's endpoint gave at once.
    lists_at_once,
    /// Lists that were withdrawn while they were sent.
    withdrawn,
    /// Answers OK to JOIN.
    joins,
    /// Answers OK to JOIN of clients that continue after their last id.
    rejoins,
    /// Answers OK to LEAVE.
    leaves,
    /// Answers OK to HISTORY.
    histories,
    /// Answers OK to UNHOST.
    unhosted,
    /// Answers OK to AUTH.
    signed_in,
    /// Answers to AUTH with credentials that were wrong.
    wrong_credentials,
    /// Answers to AUTH that came too often.
    too_many_attempts,
    /// Requests without the right to them that were answered `Not allowed`.
    not_allowed,
    /// Requests about channels that their clients may not read.
    hidden,
    /// Connections that ended because their rights had changed.
    revoked,
    /// Messages whose deletion became durable.
    deleted,
    /// Answers OK to DELETE.
    deletes,
    /// Acts of moderation that were logged.
    acts,
    /// Roles that became durable.
    roles,
    /// Roles that had ended and were removed or given again.
    ended_roles,
    /// Settings that became durable.
    settings,
    /// Answers OK to ROLE.
    roles_set,
    /// Answers OK to SETTINGS.
    settings_shown,
    /// Requests that a role or a setting forbade.
    refused_by_role,
    /// Connections that ended because a role or a setting kept them out.
    ended_joins,
    /// Answers `Slow mode`.
    slow_downs,
    /// Live messages that a hub pushed to subscribers.
    pushes,
    /// Pages of stored messages that a hub sent to subscribers.
    replays,
    /// Messages that an honest client was pushed.
    received,
    /// Pages that could not be read.
    failed_reads,
    /// Subscribers that left too much unread.
    slow_readers,
    /// Subscribers that were closed because their next page could not be read.
    unread_replays,
    /// Subscribers that were closed because their channel was removed.
    removed_readers,
    /// Peers that had joined, ended their stream, and were given all that was promised.
    finished_readers,
    /// Leases that ended.
    ended_leases,
    /// Answers REQUEST_ERROR of the hub.
    refused,
    /// Answers SERVER_ERROR.
    server_errors,
    /// Faults that a server's endpoint answered by itself.
    faults,
    /// Frames that took too long.
    frame_timeouts,
    /// Connections that were reset because their peer took nothing.
    write_timeouts,
    /// Connections that were answered `Server busy`.
    busy,
    /// Those of them that an address had too many of, or made too fast.
    busy_addresses,
    /// Connections whose requests waited for their own rate.
    waited_for_connection,
    /// Connections whose requests waited for their address's rate.
    waited_for_address,
    /// Commits that succeeded.
    commits,
    /// Commits that failed and left nothing.
    lost_commits,
    /// Commits that failed and were kept.
    denied_commits,
    /// Commits that were refused before they began.
    refused_commits,
    /// States that were reloaded.
    loads,
    /// States that could not be reloaded.
    failed_loads,
    /// Commands that stalled.
    stalls,
    /// Crashes of the server.
    crashes,
    /// Commits that the last crash before their outcome kept.
    crashes_that_kept,
    /// Orderly stops of the server.
    stops,
    /// Connections that were told that the server stops.
    told_of_stops,
    /// Connections that the network cut.
    cuts,
    /// Connections on which nothing came through for a while.
    freezes,
    /// Jumps of wall time.
    clock_jumps,
    /// Replacements of the server's limits.
    reconfigured,
    /// Replacements of the accounts and rules.
    reloads,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.counts() {
            writeln!(f, "{count:>14}  {}", name.replace('_', " "))?;
        }
        Ok(())
    }
}
