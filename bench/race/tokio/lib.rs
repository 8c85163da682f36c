//! What every program of the races in Rust prints, and the clocks it reads.

use std::future::Future;
use std::time::Instant;

fn cpu_ns() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

pub struct Stopwatch {
    cpu: i64,
    wall: Instant,
}

impl Stopwatch {
    pub fn start() -> Self {
        Stopwatch { cpu: cpu_ns(), wall: Instant::now() }
    }

    pub fn print(&self, operations: u64, result: u64, more: &str) {
        println!(
            "{{\"operations\": {operations}, \"cpu_ns\": {}, \"wall_ns\": {}, \"result\": {result}{more}}}",
            cpu_ns() - self.cpu,
            self.wall.elapsed().as_nanos()
        );
    }
}

/// The number at a place of the command line.
pub fn argument(at: usize) -> u64 {
    std::env::args().nth(at).and_then(|text| text.parse().ok()).expect("an argument is missing; see bench/race/README.md")
}

/// What memory of this process is resident, in bytes.
pub fn resident_bytes() -> i64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("Rss:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<i64>().ok()).unwrap_or(-1) * 1024
}

/// One worker is the runtime for one thread, more are the runtime that steals. The work is a task, not the thread that waits.
pub fn on_runtime<F>(workers: u64, work: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut builder = match workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(workers as usize).enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::spawn(work).await.expect("the work ends well") });
}
