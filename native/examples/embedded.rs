//! A server inside another program: `cargo run --example embedded -- DIRECTORY`. It ends with standard input.

use std::{env, error::Error};

use chanwire::{Channel, ChannelName, Client, JoinFrom, Message, Server, ServerConfig};
use tokio::io::{AsyncReadExt as _, stdin};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = env::args().nth(1).ok_or("an argument is needed: DIRECTORY")?;
    let mut server = Server::start(ServerConfig::new(directory)).await?;
    let address = server.address();
    println!("listening on {address}");

    // The program itself is a client like any other.
    let client = Client::connect(address.into()).await?;
    let channel: ChannelName = "news".parse()?;
    client.host(Channel { channel_name: channel.clone(), address: address.to_string().parse()? }, None).await?;
    let (username, message_content) = ("news".parse()?, "the server is up".into());
    client
        .send(Message { username, message_content, channel_name: Some(channel.clone()), client_message_id: None })
        .await?;
    let mut news = client.join(&channel, JoinFrom::Last(1)).await?;
    if let Some(message) = news.next_message().await {
        println!("{}", message?.message_content);
    }
    news.leave().await;
    client.close().await;

    tokio::select! {
        error = server.failed() => eprintln!("{error}"),
        // Bytes mean nothing here, their end does.
        _ = async { stdin().read_to_end(&mut Vec::new()).await } => {}
    }
    Ok(server.stop().await?)
}
