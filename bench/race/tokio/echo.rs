//! echo PORT - the echo service, with as many workers as there are CPUs.
use levity_race::argument;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() {
    let listener = TcpListener::bind(("127.0.0.1", argument(1) as u16)).await.expect("the port is free");
    while let Ok((mut peer, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut data = [0; 4096];
            while let Ok(size @ 1..) = peer.read(&mut data).await {
                if peer.write_all(&data[..size]).await.is_err() {
                    return;
                }
            }
        });
    }
}
