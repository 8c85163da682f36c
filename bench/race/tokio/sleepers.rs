//! sleepers WORKERS TASKS - tasks that all sleep at the same moment, then wake over half a second.
use levity_race::{argument, on_runtime, resident_bytes, Stopwatch};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::{sleep, sleep_until, Instant};

static ASLEEP: AtomicU64 = AtomicU64::new(0);
static WOKEN: AtomicU64 = AtomicU64::new(0);

async fn sleeper(until: Instant) {
    ASLEEP.fetch_add(1, Relaxed);
    sleep_until(until).await;
    WOKEN.fetch_add(1, Relaxed);
}

fn main() {
    let tasks = argument(2);
    on_runtime(argument(1), async move {
        let before = resident_bytes();
        let watch = Stopwatch::start();
        let start = Instant::now() + Duration::from_secs(4);
        let mut sleepers = tokio::task::JoinSet::new();
        for i in 0..tasks {
            sleepers.spawn(sleeper(start + Duration::from_millis(i % 500)));
        }
        while ASLEEP.load(Relaxed) < tasks {
            sleep(Duration::from_millis(1)).await;
        }
        let parked = resident_bytes() - before;
        assert_eq!(WOKEN.load(Relaxed), 0, "the first tasks woke before the last ones slept; is the machine busy?");
        while sleepers.join_next().await.is_some() {}
        watch.print(tasks, WOKEN.load(Relaxed), &format!(", \"resident\": {parked}"));
    });
}
