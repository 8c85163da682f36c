//! spinner_echo PORT COUNT - the echo service, and from SIGUSR1 on so many tasks that compute for a second at a time: the program of
//! the row steady/one_spinner_peers of the bench.
use levity_race::argument;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::signal::unix::{signal, SignalKind};

async fn spin() {
    loop {
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {}
        tokio::task::yield_now().await;
    }
}

#[tokio::main]
async fn main() {
    let mut told = signal(SignalKind::user_defined1()).expect("SIGUSR1 can be caught");
    tokio::spawn(async move {
        told.recv().await;
        for _ in 0..argument(2) {
            tokio::spawn(spin());
        }
    });
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
