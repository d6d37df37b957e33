//! Passwords and tokens: masked wherever traffic is shown or written, unless they are asked for.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use chanwire_inspect::{
    Direction, ExportFormat, ExportRequest, ExportScope, Listing, Viewer,
    plan::Step,
    sandbox::{Happening, Sandbox, Settings},
};

const SECRET: &str = "hunter2";

/// Traffic with a secret in frames that are right and wrong, in skipped objects, and in a frame that is cut off.
const TRAFFIC: &str = concat!(
    "AUTH\r\n{\"account\": \"ann\", \"password\": \"hunter2\"}",
    "AUTH\r\n{\"token\": \"hunter2\"}",
    "AUTH\r\n{\"account\": \"ann\", \"password\": [\"hunter2\"], \"token\": \"hunter2\"}",
    "AUTH\r\n{\"account\": \"ann\", \"password\": hunter2}",
    "auth\r\n{\"account\": \"ann\", \"password\": \"hunter2\"}",
    "{\"token\": \"hunter2\"}",
    "AUTH\r\n{\"account\": \"ann\", \"password\": \"hunter2",
);

fn viewer() -> Viewer {
    let mut viewer = Viewer::new(1 << 20);
    let capture = viewer.capture_mut();
    capture.open(1, "client");
    capture.bytes(1, Direction::Out, 0.0, TRAFFIC.as_bytes());
    capture.end(1, Direction::Out, 1.0);
    capture.close(1, 2.0);
    while viewer.advance() {}
    viewer
}

fn export(format: ExportFormat, with_secrets: bool) -> Vec<u8> {
    let direction = (format == ExportFormat::Bin).then_some(Direction::Out);
    let request = ExportRequest { format, scope: ExportScope::All, connection: Some(1), direction, with_secrets };
    viewer().export(request, None).unwrap().bytes
}

fn count(bytes: &[u8]) -> usize {
    bytes.windows(SECRET.len()).filter(|window| *window == SECRET.as_bytes()).count()
}

#[test]
fn exports_have_secrets_only_if_they_are_asked_for() {
    for format in [ExportFormat::JsonL, ExportFormat::Bin, ExportFormat::Test, ExportFormat::PcapNg] {
        assert_eq!(count(&export(format, false)), 0, "{format:?}");
        assert_eq!(count(&export(format, true)), count(TRAFFIC.as_bytes()), "{format:?}");
    }
    assert_eq!(export(ExportFormat::Bin, false).len(), TRAFFIC.len());
    assert_eq!(export(ExportFormat::Bin, true), TRAFFIC.as_bytes());
}

#[test]
fn rows_show_no_secret() {
    let viewer = viewer();
    let capture = viewer.capture();
    let numbers = capture.first()..capture.end_number();
    let mut shown = serde_json::to_string(&viewer.rows(0, 100)).unwrap();
    for number in numbers.clone() {
        shown += &serde_json::to_string(&viewer.frame(number)).unwrap();
        shown += &serde_json::to_string(&capture.describe(number)).unwrap();
        for piece in viewer.stream(number, 10, 10) {
            assert_eq!(count(&piece.bytes), 0, "row {number}");
        }
    }
    assert!(shown.contains("\"ann\"") && shown.contains("********"), "{shown}");
    assert_eq!(count(shown.as_bytes()), 0, "{shown}");
    let whole: Vec<u8> =
        numbers.clone().flat_map(|number| capture.entry(number).unwrap().masked_bytes().into_owned()).collect();
    assert_eq!((whole.len(), count(&whole)), (TRAFFIC.len(), 0));
    let with_secrets = serde_json::to_string(&capture.describe_for(1, true)).unwrap();
    assert_eq!(count(with_secrets.as_bytes()), 1, "{with_secrets}");
}

#[test]
fn the_rows_of_a_stream_show_no_secret() {
    let rows = |with_secrets| {
        let mut listing = Listing::new(Direction::Out, None).with_secrets(with_secrets);
        listing.feed(TRAFFIC.as_bytes());
        listing.finish();
        let rows: Vec<_> = std::iter::from_fn(|| listing.next_row()).collect();
        serde_json::to_string(&rows).unwrap()
    };
    assert_eq!(count(rows(false).as_bytes()), 0);
    assert!(count(rows(true).as_bytes()) > 0);
}

#[test]
fn the_first_bytes_of_an_arriving_frame_show_no_secret() {
    let mut viewer = Viewer::new(1 << 20);
    viewer.capture_mut().open(1, "client");
    viewer.capture_mut().bytes(1, Direction::Out, 0.0, b"AUTH\r\n{\"token\":\"hunter2");
    let arriving = viewer.status().arriving;
    assert_eq!(arriving.len(), 1);
    assert!(arriving.iter().all(|frame| count(&frame.bytes) == 0 && frame.bytes.ends_with(b"**")), "{arriving:?}");
}

#[test]
fn the_sandbox_has_accounts_to_authenticate_as() {
    let mut sandbox = Sandbox::new(Settings { cut_reads: false, ..Settings::default() });
    let client = sandbox.connect("192.0.2.7".parse().unwrap()).unwrap();
    let requests = concat!(
        "AUTH\r\n{\"account\": \"ann\", \"password\": \"wrong\"}",
        "AUTH\r\n{\"account\": \"ann\", \"password\": \"correct horse battery staple\"}",
        "AUTH\r\n{\"token\": \"token-of-bob\"}",
    );
    sandbox.push(client, Step::Bytes(requests.into()));
    sandbox.run(1000);
    let read = sandbox.take_events().into_iter().filter_map(|event| match event.event {
        Happening::Bytes { direction: Direction::In, bytes } => Some(bytes),
        _ => None,
    });
    let read = String::from_utf8(read.collect::<Vec<_>>().concat()).unwrap();
    let answers = ["Authentication failed", "\"authenticated\", \"account\": \"ann\"", "Already authenticated"];
    let places: Vec<_> = answers.iter().map(|answer| read.find(answer)).collect();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{read}");
}
