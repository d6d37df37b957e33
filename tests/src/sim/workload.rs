//! What clients ask for.

use chanwire_core::wire::Request;
use fastrand::Rng;

use super::{judge::Judge, plan::Plan};

/// Something to ask on connection `link`.
pub(super) fn request(plan: &Plan, judge: &mut Judge, link: u64, rng: &mut Rng) -> Request {
    match rng.u8(0..8) {
        0 | 1 => Request::List,
        2 | 3 => Request::Host(plan.channel(rng)),
        _ => {
            let name = (rng.u8(0..3) > 0).then(|| plan.name(rng));
            judge.compose(link, name, &plan.filler(rng))
        }
    }
}
