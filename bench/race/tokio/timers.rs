//! timers WORKERS OPERATIONS ARMED - a timer is made, armed for a moment in 30 s and taken away, beside ARMED others. A timer
//! is armed when it is polled first.
use levity_race::{argument, on_runtime, Stopwatch};
use std::future::{poll_fn, Future};
use std::pin::{pin, Pin};
use std::task::Poll;
use std::time::Duration;
use tokio::time::{sleep, Sleep};

async fn arm(mut timer: Pin<&mut Sleep>) -> u64 {
    poll_fn(|context| Poll::Ready(timer.as_mut().poll(context).is_pending() as u64)).await
}

fn main() {
    let (operations, armed) = (argument(2), argument(3));
    on_runtime(argument(1), async move {
        let mut others = Vec::new();
        for i in 0..armed {
            others.push(Box::pin(sleep(Duration::from_secs(3600) + Duration::from_millis(i))));
            arm(others.last_mut().expect("just pushed").as_mut()).await;
        }
        let watch = Stopwatch::start();
        let mut cancelled = 0;
        for i in 0..operations {
            let mut each = pin!(sleep(Duration::from_secs(30) + Duration::from_micros(i % 1_000_000)));
            cancelled += arm(each.as_mut()).await;
        }
        watch.print(operations, cancelled, "");
        std::process::exit(0);
    });
}
