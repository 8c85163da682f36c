//! spawn_join WORKERS BATCHES - a thousand empty tasks, joined, and the next thousand.
use levity_race::{argument, on_runtime, Stopwatch};

const BATCH: u64 = 1000;

async fn batches(count: u64) {
    let mut children = Vec::with_capacity(BATCH as usize);
    for _ in 0..count {
        for _ in 0..BATCH {
            children.push(tokio::spawn(async {}));
        }
        for child in children.drain(..) {
            child.await.expect("a child ends well");
        }
    }
}

fn main() {
    let count = argument(2);
    on_runtime(argument(1), async move {
        batches(count / 10).await;
        let watch = Stopwatch::start();
        batches(count).await;
        watch.print(count * BATCH, count * BATCH, "");
    });
}
