//! Deadlines and closing. The limits are large here, so that what was read is decoded at once.

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

proptest! {
    #![proptest_config(times(3500))]

    #[test]
    fn deadlines_and_closing_are_what_the_history_says(
        stream in any_stream(), ops in vec(timed_op(), 1..50), start in 0..1_000_000_u64
    ) {
        check_deadlines(&stream, &ops, start);
    }
}
