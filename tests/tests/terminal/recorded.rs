//! Commands whose exchanges were recorded with the first release: `exchanges/commands.md`.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use chanwire_tests::{
    process::{DEADLINE, Launch},
    show,
    wire_examples::{Example, Step, examples},
};

use crate::{
    fake::{HELLO, UNKNOWN},
    running::Running,
};

const PAGE: &str = include_str!("../exchanges/commands.md");

/// A command line, its standard input, and what it exchanges with a server.
struct Recorded {
    arguments: Vec<String>,
    input: Vec<u8>,
    exchange: Example,
}

/// Splits a command line at spaces outside of single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (part, text) in line.split('\'').enumerate() {
        if part % 2 == 1 {
            words.push(text.to_owned());
        } else {
            words.extend(text.split_whitespace().map(String::from));
        }
    }
    words
}

fn recorded() -> Vec<Recorded> {
    let titles = PAGE.lines().filter_map(|line| line.strip_prefix("`chanwire ")?.strip_suffix("`:"));
    let commands = titles.map(|title| match title.split_once("` with standard input `") {
        None => (words(title), Vec::new()),
        Some((line, input)) => (words(line), input.replace("\\n", "\n").into_bytes()),
    });
    let exchanges = examples(PAGE).unwrap();
    assert_eq!(PAGE.lines().filter(|line| line.starts_with("`chanwire ")).count(), exchanges.len());
    commands.zip(exchanges).map(|((arguments, input), exchange)| Recorded { arguments, input, exchange }).collect()
}

/// Requires this HELLO of the client. A server of then does not know the command, skips the payload, and goes on.
fn introduce(stream: &mut TcpStream, hello: &str) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut sent = vec![0; hello.len()];
    stream.read_exact(&mut sent).unwrap();
    assert_eq!(show::bytes(&sent), show::bytes(hello.as_bytes()));
    stream.write_all(UNKNOWN.as_bytes()).unwrap();
}

/// Plays the server of an exchange up to the client's end of stream, and requires of the client the recorded bytes.
fn play(mut stream: TcpStream, exchange: &[(usize, Step)]) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    for (line, step) in exchange {
        match step {
            Step::Send(_, bytes) => {
                let mut sent = vec![0; bytes.len()];
                stream.read_exact(&mut sent).unwrap();
                assert_eq!(show::bytes(&sent), show::bytes(bytes), "commands.md:{line}");
            }
            Step::Receive(_, bytes) => stream.write_all(bytes).unwrap(),
            Step::EndOfStream(_) => {
                let mut more = Vec::new();
                stream.read_to_end(&mut more).unwrap();
                assert_eq!(show::bytes(&more), "", "commands.md:{line}");
            }
            Step::Closed(_) => return,
            other => panic!("commands.md:{line}: {other:?}"),
        }
    }
}

#[test]
fn the_commands_of_the_first_release_send_what_they_sent() {
    let mut ran = 0;
    for Recorded { arguments, input, exchange } in recorded() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        if arguments.first() == Some(&"join") {
            // It was killed, which ended its stream.
            let join = Running::start(address, &arguments);
            let (mut stream, _) = listener.accept().unwrap();
            // It asks for notices first.
            introduce(&mut stream, HELLO);
            let ends = exchange.iter().position(|(_, step)| matches!(step, Step::EndOfStream(_))).unwrap();
            play(stream, exchange.split_at(ends).0);
            drop(join);
        } else {
            let launch = Launch::new(&arguments).args(["--server", &address.to_string()]).input(&input);
            let running = thread::spawn(move || launch.run());
            let (mut stream, _) = listener.accept().unwrap();
            if arguments.first() == Some(&"send") {
                // It asks first whether the server knows ids.
                introduce(&mut stream, "HELLO\r\n{}");
            }
            play(stream, &exchange);
            running.join().unwrap();
        }
        ran += 1;
    }
    assert!(ran >= 16, "only {ran} commands");
}
