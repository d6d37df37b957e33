//! A blocking client in plain `std`: it asks for the channels, sends a message to one of them, and prints the answers.
//!
//! `cargo run --example client -- 127.0.0.1:22236 general ann 'Hello, World!'`

mod blocking;

use std::{error::Error, net::TcpStream};

use blocking::{Clock, step};
use chanwire_core::{
    Limits,
    endpoint::{Client, ClientEvent, Endpoint as _},
    wire::{Message, Request, Response},
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, channel_name, username, message_content] =
        arguments.try_into().map_err(|_| "four arguments are needed: ADDRESS CHANNEL USERNAME MESSAGE")?;
    let message = Message {
        username: username.try_into()?,
        message_content,
        channel_name: Some(channel_name.try_into()?),
        client_message_id: None,
    };
    for response in ask(&mut TcpStream::connect(address)?, &[Request::List, Request::Message(message)])? {
        match response {
            Response::Channels(channels) => {
                for channel in channels {
                    println!("{:?} is at {}", channel.channel_name, channel.address);
                }
            }
            Response::Hosted { channel_name } => println!("{channel_name:?} is hosted"),
            Response::Delivered { timestamp, .. } => println!("delivered at {timestamp}"),
            // What a peer says is shown escaped, so that it cannot steer a terminal.
            Response::Error(error) => println!("refused: {:?}", error.to_string()),
            _ => println!("an answer to something else"),
        }
    }
    Ok(())
}

/// Sends all requests at once, waits for their answers, and closes. The answers are in the order of the requests.
pub(crate) fn ask(stream: &mut TcpStream, requests: &[Request]) -> Result<Vec<Response>, Box<dyn Error>> {
    let (clock, mut client) = (Clock::start(), Client::new(Limits::client()));
    for request in requests {
        client.send(clock.now(), request)?;
    }
    // Nothing more will be asked: it closes when all is answered.
    client.shutdown(clock.now());
    let mut answers = Vec::new();
    loop {
        while let Some(event) = client.poll_event() {
            match event {
                ClientEvent::Answer { response, .. } => answers.push(response),
                ClientEvent::Notice(_) => {}
                ClientEvent::Closing(error) => return Err(error.to_string().into()),
                ClientEvent::Broken(violation) => return Err(violation.into()),
                ClientEvent::Ended { unanswered: 0 } => return Ok(answers),
                ClientEvent::Ended { unanswered } => {
                    return Err(format!("the connection ended with {unanswered} requests unanswered").into());
                }
                // This client joins no channel.
                ClientEvent::Push(_) => {}
            }
        }
        step(&mut client, stream, clock)?;
    }
}
