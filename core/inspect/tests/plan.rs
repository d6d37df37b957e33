//! Laws of fault plans: nothing is sent but what was asked for, and it is cut where it was asked for.

#![cfg(test)]

use std::collections::BTreeMap;

use chanwire_inspect::{
    Problem,
    plan::{Cut, Drip, Faults, Finish, MAX_BYTES, MAX_STEPS, MAX_WAIT, Step},
};
use proptest::{collection::vec, option, prelude::*, sample::select, test_runner::Config};

fn joined(steps: &[Step]) -> Vec<u8> {
    pieces(steps).concat()
}

fn pieces(steps: &[Step]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    for step in steps {
        if let Step::Bytes(bytes) = step {
            pieces.push(bytes.as_slice());
        }
    }
    pieces
}

/// Returns the ends of the pieces, but for the last.
fn borders(steps: &[Step]) -> Vec<usize> {
    let mut at = 0;
    let mut borders: Vec<usize> = pieces(steps)
        .iter()
        .map(|piece| {
            at += piece.len();
            at
        })
        .collect();
    borders.pop();
    borders
}

fn waits(steps: &[Step]) -> u64 {
    steps.iter().map(|step| if let Step::Wait(wait) = step { *wait } else { 0 }).sum()
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![select(b"\r\n".to_vec()), any::<u8>()], 0..60)
}

fn cuts() -> impl Strategy<Value = Vec<Cut>> {
    let cut = (0_usize..80, prop_oneof![Just(0), 1..=MAX_WAIT]).prop_map(|(at, wait)| Cut { at, wait });
    vec(cut, 0..6)
}

fn faults() -> impl Strategy<Value = Faults> {
    let drip = (1_usize..12, prop_oneof![Just(0), 1..=MAX_WAIT]).prop_map(|(bytes, every)| Drip { bytes, every });
    let finish = select(vec![Finish::Nothing, Finish::End, Finish::Reset]);
    (any::<bool>(), 0_usize..3, option::of(0_usize..70), cuts(), option::of(drip), finish).prop_map(
        |(bare_lf, again, truncate, cuts, drip, finish)| Faults { bare_lf, again, truncate, cuts, drip, finish },
    )
}

proptest! {
    #![proptest_config(Config { cases: 1000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_pieces_joined_are_what_is_sent(bytes in bytes(), faults in faults()) {
        let text: Vec<u8> = bytes.iter().map(|byte| byte & 0x7f).collect();
        let bytes = if faults.bare_lf { &text } else { &bytes };
        let once = if faults.bare_lf {
            String::from_utf8(text.clone()).unwrap().replace("\r\n", "\n").into_bytes()
        } else {
            bytes.clone()
        };
        let all = once.repeat(faults.again + 1);
        let length = faults.truncate.unwrap_or(all.len());
        let outside = length > all.len() || faults.cuts.iter().any(|cut| cut.at > length);
        match faults.steps(bytes) {
            Err(Problem { field, .. }) => {
                prop_assert!(outside);
                prop_assert_eq!(field.unwrap(), if length > all.len() { "truncate" } else { "cut" });
            }
            Ok(steps) => {
                prop_assert!(!outside);
                prop_assert_eq!(joined(&steps), &all[..length]);
                prop_assert!(pieces(&steps).iter().all(|piece| !piece.is_empty()));
            }
        }
    }

    #[test]
    fn cuts_are_where_they_were_asked_for(bytes in bytes(), cuts in cuts()) {
        let faults = Faults { cuts: cuts.clone(), ..Faults::default() };
        let Ok(steps) = faults.steps(&bytes) else { return Ok(()) };
        let mut asked: Vec<usize> = cuts.iter().map(|cut| cut.at).filter(|at| (1..bytes.len()).contains(at)).collect();
        asked.sort_unstable();
        asked.dedup();
        prop_assert_eq!(borders(&steps), asked);
        prop_assert_eq!(waits(&steps), cuts.iter().map(|cut| cut.wait).sum::<u64>());
        // Each wait stands where its cut is.
        let mut sent = 0;
        for step in &steps {
            match step {
                Step::Bytes(bytes) => sent += bytes.len(),
                Step::Wait(wait) => {
                    let cut = Cut { at: sent, wait: *wait };
                    prop_assert!(cuts.contains(&cut));
                }
                Step::End | Step::Reset => prop_assert!(false, "nobody asked for {step:?}"),
            }
        }
    }

    #[test]
    fn a_drip_is_small_regular_and_keeps_the_cuts(bytes in bytes(), cuts in cuts(), size in 1_usize..12, every in 1_u64..9) {
        let faults = Faults { cuts: cuts.clone(), drip: Some(Drip { bytes: size, every }), ..Faults::default() };
        let Ok(steps) = faults.steps(&bytes) else { return Ok(()) };
        prop_assert!(pieces(&steps).iter().all(|piece| piece.len() <= size));
        let borders = borders(&steps);
        for cut in &cuts {
            prop_assert!(cut.at == 0 || cut.at >= bytes.len() || borders.contains(&cut.at));
        }
        // Between two pieces some time passes: the cut's own, or the drip's.
        for pair in steps.windows(2) {
            prop_assert!(!matches!(pair, [Step::Bytes(_), Step::Bytes(_)]));
        }
        let plain = Faults { drip: Some(Drip { bytes: size, every: 0 }), ..Faults::default() }.steps(&bytes).unwrap();
        prop_assert_eq!(pieces(&plain).len(), bytes.len().div_ceil(size));
        prop_assert_eq!(waits(&plain), 0);
    }

    #[test]
    fn the_end_is_last_and_there_is_one_at_most(bytes in bytes(), faults in faults()) {
        let Ok(steps) = faults.steps(&bytes) else { return Ok(()) };
        let ends: Vec<usize> =
            (0..steps.len()).filter(|at| matches!(steps[*at], Step::End | Step::Reset)).collect();
        let expected = match (faults.finish, faults.truncate) {
            (Finish::Nothing, None) => None,
            (Finish::Reset, _) => Some(&Step::Reset),
            _ => Some(&Step::End),
        };
        prop_assert_eq!(ends.len(), usize::from(expected.is_some()));
        if expected.is_some() {
            prop_assert_eq!(steps.last(), expected);
        }
    }

    #[test]
    fn a_plan_does_what_was_typed(faults in faults()) {
        let mut typed: BTreeMap<String, String> = BTreeMap::new();
        let mut put = |field: &str, text: String| typed.insert(field.into(), text);
        put("bare_lf", if faults.bare_lf { "yes" } else { "" }.into());
        put("again", if faults.again == 0 { String::new() } else { faults.again.to_string() });
        put("truncate", faults.truncate.map(|at| format!(" {at} ")).unwrap_or_default());
        let cuts: Vec<String> = faults.cuts.iter().map(|cut| match cut.wait {
            0 => cut.at.to_string(),
            wait if wait % 2 == 0 => format!("{}+{wait}ms", cut.at),
            wait => format!("{}+{wait}", cut.at),
        }).collect();
        put("cut", cuts.join(if faults.again == 0 { ", " } else { " " }));
        put("drip", faults.drip.map(|drip| drip.bytes.to_string()).unwrap_or_default());
        put("every", faults.drip.map(|drip| drip.every.to_string()).unwrap_or_default());
        put("finish", match faults.finish {
            Finish::Nothing => "",
            Finish::End => "end",
            Finish::Reset => "reset",
        }.into());
        prop_assert_eq!(Faults::read(&typed), Ok(faults));
    }
}

fn typed(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
    fields.iter().map(|(field, text)| ((*field).into(), (*text).into())).collect()
}

#[test]
fn the_steps_of_an_example() {
    let faults = Faults::read(&typed(&[("cut", "7+500, 4"), ("truncate", "9"), ("bare_lf", "yes")])).unwrap();
    let steps = faults.steps(b"HOST\r\n{\"channel_name\": 1}").unwrap();
    let expected = [
        Step::Bytes(b"HOST".to_vec()),
        Step::Bytes(b"\n{\"".to_vec()),
        Step::Wait(500),
        Step::Bytes(b"ch".to_vec()),
        Step::End,
    ];
    assert_eq!(steps, expected);
    let shown: Vec<String> = steps.iter().map(|step| serde_json::to_string(step).unwrap()).collect();
    assert_eq!(shown[1..], [r#"{"bytes":[10,123,34]}"#, r#"{"wait":500}"#, r#"{"bytes":[99,104]}"#, r#"{"end":true}"#]);
}

#[test]
fn problems_are_reported_field_by_field() {
    let problems = Faults::read(&typed(&[
        ("bare_lf", "no"),
        ("again", "0"),
        ("truncate", "-1"),
        ("cut", "7, x, 9+, +5, 600001, 1+600001"),
        ("drip", "0"),
        ("every", "600001"),
        ("finish", "explode"),
    ]))
    .unwrap_err();
    let fields: Vec<_> = problems.iter().filter_map(|problem| problem.field.as_deref()).collect();
    assert_eq!(
        fields,
        ["bare_lf", "again", "truncate", "cut", "cut", "cut", "cut", "every", "drip", "finish"],
        "{problems:?}"
    );
    let problems = Faults::read(&typed(&[("every", "5")])).unwrap_err();
    assert_eq!(problems[0].field.as_deref(), Some("drip"));
}

#[test]
fn a_plan_is_bounded() {
    let twice = Faults { again: 1, ..Faults::default() };
    assert_eq!(joined(&twice.steps(&vec![b'x'; MAX_BYTES / 2]).unwrap()).len(), MAX_BYTES);
    assert_eq!(twice.steps(&vec![b'x'; MAX_BYTES / 2 + 1]).unwrap_err().field.as_deref(), Some("again"));
    assert_eq!(Faults::default().steps(&vec![b'x'; MAX_BYTES + 1]).unwrap_err().field, None);

    let drip = Faults { drip: Some(Drip { bytes: 1, every: 1 }), ..Faults::default() };
    assert_eq!(drip.steps(&vec![b'x'; MAX_STEPS / 2]).unwrap().len(), MAX_STEPS - 1);
    assert_eq!(drip.steps(&vec![b'x'; MAX_STEPS / 2 + 1]).unwrap_err().field.as_deref(), Some("drip"));
}
