//! The fields of JOIN, LEAVE, HISTORY and UNHOST, and of a lease.

use super::*;

/// Returns each payload of these commands, whose fields are all optional but the first.
fn of(command: Command, payloads: &[&str]) -> String {
    let read = |payload: &[u8]| Request::decode(command, payload);
    let payloads: Vec<&[u8]> = payloads.iter().map(|payload| payload.as_bytes()).collect();
    format!("{}\n{}", command.name(), table(&payloads, read))
}

#[test]
fn the_fields_of_a_readable_channel_come_in_their_order() {
    let join = of(
        Command::Join,
        &[
            r#"{}"#,
            r#"{"after": -1, "history": 1001}"#,
            r#"{"channel_name": "", "after": -1}"#,
            r#"{"channel_name": "a"}"#,
            r#"{"channel_name": "a", "after": null, "history": null}"#,
            r#"{"channel_name": "a", "after": 5, "history": null}"#,
            r#"{"channel_name": "a", "after": null, "history": 5}"#,
            r#"{"channel_name": "a", "after": 5, "history": 5}"#,
            r#"{"history": 0, "after": 0, "channel_name": "a"}"#,
            // Each field is looked at before they are looked at together.
            r#"{"channel_name": "a", "after": 5, "history": 1001}"#,
            r#"{"channel_name": "a", "after": "5", "history": 5}"#,
            r#"{"channel_name": "a", "history": 1, "history": 1}"#,
            r#"{"channel_name": "a", "before": 7, "limit": "none"}"#,
        ],
    );
    let history = of(
        Command::History,
        &[
            r#"{"limit": 0, "before": 0, "after": -1}"#,
            r#"{"channel_name": "a", "limit": 0, "before": 0, "after": -1}"#,
            r#"{"channel_name": "a", "limit": 0, "before": 0}"#,
            r#"{"channel_name": "a", "limit": 0}"#,
            r#"{"channel_name": "a", "limit": null, "before": null, "after": null}"#,
            r#"{"channel_name": "a", "before": 5, "after": null}"#,
            r#"{"channel_name": "a", "before": null, "after": 5}"#,
            r#"{"channel_name": "a", "before": 5, "after": 5}"#,
            r#"{"channel_name": "a", "after": 5, "before": 5, "limit": 1001}"#,
            r#"{"channel_name": "a", "history": "none", "lease": 5}"#,
        ],
    );
    let named = [Command::Unhost, Command::Leave].map(|command| {
        of(
            command,
            &[
                r#"{}"#,
                r#"{"channel_name": null}"#,
                r#"{"channel_name": " a"}"#,
                r#"{"channel_name": "a", "after": []}"#,
            ],
        )
    });
    let host = of(
        Command::Host,
        &[
            r#"{"channel_name": "a", "peer_server_ip": "::1", "lease": 5}"#,
            r#"{"channel_name": "a", "peer_server_ip": "::1", "peer_server_port": 0, "lease": 5}"#,
            r#"{"channel_name": "a", "peer_server_ip": "::1", "peer_server_port": 1, "lease": 5}"#,
            r#"{"channel_name": "a", "peer_server_ip": "::1", "peer_server_port": 1, "lease": null}"#,
            r#"{"lease": 10, "lease": 10, "channel_name": "a", "peer_server_ip": "::1", "peer_server_port": 1}"#,
        ],
    );
    insta::assert_snapshot!([join, history, named.concat(), host].join("\n"));
}

/// A field, the payload around it, and the integers that it may be.
const RANGES: [(Command, &str, u64, u64); 6] = [
    (Command::Join, "{\"channel_name\": \"a\", \"after\": ", 0, (1 << 53) - 1),
    (Command::Join, "{\"channel_name\": \"a\", \"history\": ", 0, 1000),
    (Command::History, "{\"channel_name\": \"a\", \"after\": ", 0, (1 << 53) - 1),
    (Command::History, "{\"channel_name\": \"a\", \"before\": ", 1, (1 << 53) - 1),
    (Command::History, "{\"channel_name\": \"a\", \"limit\": ", 1, 1000),
    (
        Command::Host,
        "{\"channel_name\": \"a\", \"peer_server_ip\": \"::1\", \"peer_server_port\": 1, \"lease\": ",
        10,
        86_400,
    ),
];

proptest! {
    #![proptest_config(times(1500))]

    #[test]
    fn integers_have_their_ranges_and_neither_fraction_nor_exponent(
        row in 0..RANGES.len(), offset in -2..3_i128, from_most in any::<bool>(),
        tail in proptest::sample::select(vec!["", "", "", ".0", "e0", "E1"]),
    ) {
        let (command, before, least, most) = RANGES[row];
        let number = i128::from(if from_most { most } else { least }) + offset;
        let payload = format!("{before}{number}{tail}}}");
        let right = tail.is_empty() && (i128::from(least)..=i128::from(most)).contains(&number);
        match Request::decode(command, payload.as_bytes()) {
            Ok(_) => prop_assert!(right, "{payload}"),
            Err(fault) => {
                let range = format!("an integer from {least} to {most}");
                prop_assert!(!right && fault.reply().details.contains(&range), "{payload}: {fault}");
                prop_assert_eq!(fault.at, Some(before.len()));
            }
        }
    }
}
