//! channel WORKERS VALUES CAPACITY PAIRS - PAIRS tasks send, PAIRS tasks receive. One pair goes through tokio's own channel,
//! which has one receiver; more go through the crate async-channel.
use levity_race::{argument, on_runtime, Stopwatch};

async fn one_pair(values: u64, capacity: usize) -> u64 {
    let (into, mut from) = tokio::sync::mpsc::channel(capacity);
    let sender = tokio::spawn(async move {
        for i in 1..=values {
            into.send(i).await.expect("the channel is open");
        }
    });
    let receiver = tokio::spawn(async move {
        let mut sum = 0;
        for _ in 0..values {
            sum += from.recv().await.expect("a value");
        }
        sum
    });
    sender.await.expect("the sender ends well");
    receiver.await.expect("the receiver ends well")
}

async fn many_pairs(values: u64, capacity: usize, pairs: u64) -> u64 {
    let (into, from) = async_channel::bounded(capacity);
    let mut receivers = Vec::new();
    for _ in 0..pairs {
        let (into, from) = (into.clone(), from.clone());
        tokio::spawn(async move {
            for i in 1..=values / pairs {
                into.send(i).await.expect("the channel is open");
            }
        });
        receivers.push(tokio::spawn(async move {
            let mut sum: u64 = 0;
            for _ in 0..values / pairs {
                sum += from.recv().await.expect("a value");
            }
            sum
        }));
    }
    let mut total = 0;
    for receiver in receivers {
        total += receiver.await.expect("the receiver ends well");
    }
    total
}

async fn moves(values: u64, capacity: usize, pairs: u64) -> u64 {
    match pairs {
        1 => one_pair(values, capacity).await,
        _ => many_pairs(values, capacity, pairs).await,
    }
}

fn main() {
    let (values, capacity, pairs) = (argument(2), argument(3) as usize, argument(4));
    on_runtime(argument(1), async move {
        moves(values / 10, capacity, pairs).await;
        let watch = Stopwatch::start();
        let total = moves(values, capacity, pairs).await;
        watch.print(values, total, "");
    });
}
