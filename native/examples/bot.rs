//! A bot: `cargo run --example bot -- 127.0.0.1:22236 general`

use std::{env, error::Error};

use chanwire::{ChannelName, Client, JoinFrom, Message, Username};

const NAME: &str = "echo-bot";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(server), Some(channel)) = (arguments.next(), arguments.next()) else {
        return Err("two arguments are needed: SERVER CHANNEL".into());
    };
    let (channel, name): (ChannelName, Username) = (channel.parse()?, NAME.parse()?);
    let client = Client::connect(server.parse()?).await?;
    // It survives the loss of its connection, and misses nothing.
    let mut messages = client.join(&channel, JoinFrom::Last(0)).await?;
    while let Some(message) = messages.next_message().await {
        let message = message?;
        if let Some(text) = message.message_content.strip_prefix("!echo ")
            && message.username != name
        {
            let (username, channel_name) = (name.clone(), Some(channel.clone()));
            client
                .send(Message { username, message_content: text.into(), channel_name, client_message_id: None })
                .await?;
        }
    }
    Ok(())
}
