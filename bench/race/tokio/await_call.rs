//! await_call WORKERS CALLS - a coroutine that does not wait, awaited again and again. A future lies in the one that awaits it:
//! there is no frame to obtain.
use levity_race::{argument, on_runtime, Stopwatch};

#[inline(never)]
async fn callee(x: u64) -> u64 {
    x.wrapping_mul(31).wrapping_add(7)
}

fn main() {
    let calls = argument(2);
    on_runtime(argument(1), async move {
        let mut x = 1;
        let watch = Stopwatch::start();
        for _ in 0..calls {
            x = std::hint::black_box(callee(std::hint::black_box(x))).await;
        }
        watch.print(calls, x, "");
    });
}
