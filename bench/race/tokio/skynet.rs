//! skynet WORKERS SIZE - a tree of tasks with ten children each down to SIZE leaves, a power of ten; adds up their numbers.
use levity_race::{argument, on_runtime, Stopwatch};
use std::future::Future;
use std::pin::Pin;

fn node(number: u64, size: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if size == 1 {
            return number;
        }
        let children: [_; 10] = std::array::from_fn(|i| tokio::spawn(node(number + i as u64 * (size / 10), size / 10)));
        let mut sum = 0;
        for child in children {
            sum += child.await.expect("a child ends well");
        }
        sum
    })
}

fn main() {
    let size = argument(2);
    on_runtime(argument(1), async move {
        node(0, size / 10).await;
        let watch = Stopwatch::start();
        let sum = node(0, size).await;
        watch.print(size, sum, "");
    });
}
