//! The requests that clients make.

use std::collections::BTreeMap;

use chanwire_core::wire::{CHANNELS_LIMIT, ChannelName, HISTORY_LIMIT, HistoryRange, Host, JoinFrom, Request, Role};
use fastrand::Rng;

use super::{judge::Judge, plan::Plan};

/// Draws a request for connection `link`, of a client that has seen the messages of these channels up to these ids.
pub(super) fn request(
    plan: &Plan,
    judge: &mut Judge,
    link: u64,
    seen: &BTreeMap<ChannelName, u64>,
    rng: &mut Rng,
) -> Request {
    if rng.u8(0..100) < plan.living {
        return living(plan, seen, rng);
    }
    match rng.u8(0..8) {
        0 | 1 => Request::List,
        2 | 3 => Request::Host(Host { channel: plan.channel(rng), lease: plan.lease(rng) }),
        _ => {
            let name = (rng.u8(0..3) > 0).then(|| plan.name(rng));
            let id = plan.client_message_id(rng);
            judge.compose(link, plan.username(link, rng), name, &plan.filler(rng), id)
        }
    }
}

/// Returns a request of a client that knows more than LIST, HOST and MESSAGE.
fn living(plan: &Plan, seen: &BTreeMap<ChannelName, u64>, rng: &mut Rng) -> Request {
    let channel_name = plan.name(rng);
    if plan.is_moderated && rng.u8(0..3) == 0 {
        return moderating(plan, channel_name, seen, rng);
    }
    match rng.u8(0..18) {
        0..=4 => {
            let from = match (rng.u8(0..8), seen.get(&channel_name)) {
                (0, _) => JoinFrom::After(rng.u64(0..8)),
                (1, _) => JoinFrom::Last(0),
                (2, _) | (_, None) => JoinFrom::Last(rng.u16(0..=20)),
                (_, Some(seen)) => JoinFrom::After(*seen),
            };
            let username = (rng.u8(0..3) > 0).then(|| plan.username(rng.u64(0..4), rng));
            Request::Join { channel_name, from, username }
        }
        5 => Request::Leave { channel_name },
        6 => Request::Unhost { channel_name },
        7 => Request::Hello { notices: rng.bool() },
        8 => Request::Who { channel_name },
        9 => Request::Channels {
            after: rng.u64(0..8),
            limit: if rng.bool() { CHANNELS_LIMIT } else { rng.u16(1..=4) },
            contains: rng.bool().then(|| channel_name.chars().rev().take(1).collect::<String>().to_uppercase()),
        },
        10..=12 => Request::Auth(plan.credentials(rng)),
        13 | 14 => {
            Request::Delete { id: rng.u64(1..=seen.get(&channel_name).map_or(3, |seen| seen + 1)), channel_name }
        }
        _ => history(channel_name, rng),
    }
}

/// Returns a ROLE or a SETTINGS. Most roles keep somebody out for a short time.
fn moderating(plan: &Plan, channel_name: ChannelName, seen: &BTreeMap<ChannelName, u64>, rng: &mut Rng) -> Request {
    if rng.u8(0..4) == 0 {
        let members_only = (rng.u8(0..2) == 0).then(|| rng.bool());
        let slow_mode = (rng.u8(0..3) == 0).then(|| if rng.bool() { 0 } else { rng.u16(1..=3) });
        return Request::Settings { channel_name, members_only, slow_mode };
    }
    let target = plan.role_target(seen.get(&channel_name).copied().unwrap_or(1), rng);
    let role = match rng.u8(0..8) {
        0 => None,
        1 => Some(Role::Moderator),
        2 => Some(Role::Member),
        3 | 4 => Some(Role::Muted),
        _ => Some(Role::Banned),
    };
    let seconds = (rng.u8(0..4) > 0).then(|| rng.u32(1..=6));
    Request::Role { channel_name, target, role, seconds }
}

/// A look at what is stored.
pub(super) fn history(channel_name: ChannelName, rng: &mut Rng) -> Request {
    let range = match rng.u8(0..3) {
        0 => HistoryRange::Last,
        1 => HistoryRange::After(rng.u64(0..10)),
        _ => HistoryRange::Before(rng.u64(1..10)),
    };
    let limit = if rng.bool() { HISTORY_LIMIT } else { rng.u16(1..=4) };
    Request::History { channel_name, range, limit }
}
