//! fib WORKERS N - Fibonacci's number by recursion: one half a task of its own, the other awaited, then joined.
use levity_race::{argument, on_runtime, Stopwatch};
use std::future::Future;
use std::pin::Pin;

fn fib(n: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if n < 2 {
            return n;
        }
        let left = tokio::spawn(fib(n - 1));
        let right = fib(n - 2).await;
        left.await.expect("a child ends well") + right
    })
}

fn main() {
    let n = argument(2);
    on_runtime(argument(1), async move {
        fib(n - 5).await;
        let watch = Stopwatch::start();
        let sum = fib(n).await;
        watch.print(sum, sum, "");
    });
}
