//! Deadlines and closing, also while the server does not read.

use super::*;

fn timed_op() -> impl Strategy<Value = Op> {
    let millis = prop_oneof![4 => 0..3_000_u64, 2 => 0..12_000_u64, 1 => 0..130_000_u64];
    prop_oneof![
        4 => prop_oneof![1..20_usize, 1..200_usize].prop_map(Op::Read),
        4 => any::<usize>().prop_map(Op::Respond),
        4 => prop_oneof![1..40_usize, Just(usize::MAX)].prop_map(Op::Write),
        5 => millis.prop_map(Op::Wait),
        1 => Just(Op::Eof),
        1 => Just(Op::Shutdown),
    ]
}

fn few_limits() -> impl Strategy<Value = Limits> {
    let some = |most: usize, default: usize| prop_oneof![2 => Just(default), 1 => 1..most];
    let limits = Limits::server();
    (some(4, limits.max_in_flight), some(200, limits.max_unsent)).prop_map(move |(in_flight, unsent)| {
        let mut limits = limits.clone();
        (limits.max_in_flight, limits.max_unsent) = (in_flight, unsent);
        limits
    })
}

proptest! {
    #![proptest_config(times(3500))]

    #[test]
    fn deadlines_and_closing_follow_from_the_history(
        stream in any_stream(), limits in few_limits(), ops in vec(timed_op(), 1..50), start in 0..1_000_000_u64
    ) {
        check_deadlines(&stream, &limits, &ops, start);
    }
}
