//! The measured work, and its reference: the same work done by this crate and by `serde_json`.

mod service;

use std::hint::black_box;

use chanwire_core::wire::{Address, Channel, Command, Decoder, Item, Request, Response, StartLine, Status};
use serde::{Deserialize, de::IgnoredAny};
pub(crate) use service::Service;

/// The size of one read, in bytes: the server's.
pub(crate) const READ: usize = 64 * 1024;

/// A kind of payload, and a stream of frames with it that fills one read, or a single frame that needs many.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) frames: usize,
    /// Whether the frames are answers to LIST, and not requests.
    pub(crate) listing: bool,
    /// The frames, as they come over a connection.
    pub(crate) stream: Vec<u8>,
    /// Their payloads alone: what a parser of JSON is given.
    pub(crate) payloads: Vec<u8>,
}

impl Shape {
    /// Makes each of the shapes, smallest first.
    pub(crate) const ALL: [fn() -> Self; 5] = [
        || Self::requests("57 B message", br#"{"username": "user1", "message_content": "Hello, World!"}"#.to_vec()),
        || Self::requests("4 KiB plain text", message(&"The quick brown fox jumps over the lazy dog. ".repeat(100))),
        || Self::requests("4 KiB escapes", message(&"nineteen plain byte\\n".repeat(300))),
        || Self::requests("4 KiB small members", small_members()),
        Self::listing,
    ];

    fn requests(name: &'static str, payload: Vec<u8>) -> Self {
        let frames = READ / (b"MESSAGE\r\n".len() + payload.len());
        let stream = [&b"MESSAGE\r\n"[..], &payload].concat().repeat(frames);
        Self { name, frames, listing: false, stream, payloads: payload.repeat(frames) }
    }

    fn listing() -> Self {
        let channel = |number: u32| {
            let [_, a, b, c] = number.to_be_bytes();
            let address = Address::new(format!("10.{a}.{b}.{c}"), 22_236).expect("a private address");
            Channel { channel_name: format!("channel-{number}").parse().expect("a name"), address }
        };
        let mut stream = Vec::new();
        Response::Channels((1..=112_000).map(channel).collect()).encode(&mut stream);
        let payloads = stream[b"OK\r\n".len()..].to_vec();
        Self { name: "10 MB LIST answer", frames: 1, listing: true, stream, payloads }
    }
}

/// Returns a message of 4096 bytes, its content cut from this.
fn message(content: &str) -> Vec<u8> {
    let (before, after) = (r#"{"username": "user1", "message_content": ""#, r#""}"#);
    let mut room = 4096 - before.len() - after.len();
    // Not between a backslash and what it escapes.
    while content[..room].ends_with('\\') {
        room -= 1;
    }
    [before, &content[..room], after].concat().into_bytes()
}

/// Returns a message of about 4096 bytes with as many members as fit, of every kind, most of them unknown.
fn small_members() -> Vec<u8> {
    let mut payload = String::from(r#"{"username": "user1", "message_content": "hi""#);
    let values = ["1", "true", "\"x\"", "null", "[]", "-2.5", "{\"a\": 1}"];
    for (number, value) in values.iter().cycle().enumerate() {
        payload += &format!(", \"k{number}\": {value}");
        if payload.len() > 4080 {
            break;
        }
    }
    payload.push('}');
    payload.into_bytes()
}

/// The equivalents of [`Request`] and [`Response`] for `serde_json`.
#[derive(Deserialize)]
#[expect(dead_code, reason = "values are made and dropped")]
pub(crate) struct PlainMessage {
    pub(crate) username: String,
    pub(crate) message_content: String,
    pub(crate) channel_name: Option<String>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "values are made and dropped")]
pub(crate) struct PlainListing {
    pub(crate) channels: Vec<PlainChannel>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "values are made and dropped")]
pub(crate) struct PlainChannel {
    pub(crate) channel_name: String,
    pub(crate) peer_server_ip: String,
    pub(crate) peer_server_port: u16,
}

/// Feeds the stream one read at a time, and passes each frame of it to `take`.
fn frames<H: StartLine>(stream: &[u8], mut take: impl FnMut(H, &[u8])) -> usize {
    let mut decoder = Decoder::<H>::new(64 * 1024 * 1024);
    let mut count = 0;
    for mut read in stream.chunks(READ) {
        while let Some(item) = decoder.next_item_of(&mut read) {
            let Item::Frame(frame) = item else { panic!("{item:?}") };
            take(frame.start_line, frame.payload);
            count += 1;
        }
    }
    count
}

/// Finds the ends of this shape's frames with this crate.
pub(crate) fn ends(shape: &Shape) {
    let mut last = 0;
    let count = if shape.listing {
        frames::<Status>(&shape.stream, |_, payload| last = payload.len())
    } else {
        frames::<Command>(&shape.stream, |_, payload| last = payload.len())
    };
    black_box(last);
    assert_eq!(count, shape.frames);
}

/// Finds the ends of this shape's payloads with `serde_json`, which builds nothing.
pub(crate) fn serde_ends(shape: &Shape) {
    let mut values = serde_json::Deserializer::from_slice(&shape.payloads).into_iter::<IgnoredAny>();
    let mut count = 0;
    for value in values.by_ref() {
        value.expect("valid JSON");
        count += 1;
    }
    assert_eq!((count, values.byte_offset()), (shape.frames, shape.payloads.len()));
}

/// Decodes frames to typed values, by this crate.
pub(crate) fn decode(shape: &Shape) {
    if shape.listing {
        frames(&shape.stream, |status, payload| {
            black_box(Response::decode(Command::List, status, payload).expect("a valid answer"));
        });
    } else {
        frames(&shape.stream, |command, payload| {
            black_box(Request::decode(command, payload).expect("a valid request"));
        });
    }
}

/// Decodes frames to typed values: the ends by this crate, the values by `serde_json`.
pub(crate) fn serde_decode(shape: &Shape) {
    if shape.listing {
        frames::<Status>(&shape.stream, |_, payload| {
            black_box(serde_json::from_slice::<PlainListing>(payload).expect("a valid answer"));
        });
    } else {
        frames::<Command>(&shape.stream, |_, payload| {
            black_box(serde_json::from_slice::<PlainMessage>(payload).expect("a valid request"));
        });
    }
}

/// A frame of this many bytes, its payload full of escapes and brackets, in pieces of `step` bytes.
pub(crate) struct Drip {
    frame: Vec<u8>,
}

impl Drip {
    /// The sizes to compare.
    pub(crate) const SIZES: [usize; 6] = [64, 256, 1024, 4096, 16_384, 65_536];

    pub(crate) fn new(size: usize) -> Self {
        let mut frame = b"MESSAGE\r\n{\"username\": \"u\", \"x\": [".to_vec();
        while frame.len() + 14 < size {
            frame.extend_from_slice(br#"{"a\n": "b"}, "#);
        }
        frame.extend_from_slice(b"0]}");
        while frame.len() < size {
            // White space in the object, so that the size is exact.
            frame.insert(frame.len() - 1, b' ');
        }
        Self { frame }
    }

    /// Feeds it `times` times, and looks for an item after every piece.
    pub(crate) fn feed(&self, step: usize, times: usize) {
        let mut decoder = Decoder::<Command>::new(READ);
        let mut count = 0;
        for _ in 0..times {
            for mut piece in self.frame.chunks(step) {
                while let Some(item) = decoder.next_item_of(&mut piece) {
                    assert!(matches!(item, Item::Frame(_)));
                    count += 1;
                }
            }
        }
        assert_eq!(count, times);
    }
}
