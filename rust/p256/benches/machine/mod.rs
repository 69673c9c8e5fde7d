//! What a figure was measured on, and how fast its clock ran meanwhile.

use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

/// Processor, compiler, and the versions of what is compared.
pub(crate) fn describe() {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split(':').nth(1).unwrap_or("unknown").trim().to_owned()
    };
    let first_line = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).lines().next().unwrap_or("unknown").to_owned()
    };
    let lock = include_str!("../../../../Cargo.lock");
    let peer = lock.split("[[package]]").find(|package| package.contains("name = \"aws-lc-rs\"")).unwrap_or_default();
    let peer = peer.lines().find_map(|line| line.strip_prefix("version = ")).unwrap_or("unknown");
    println!("processor  {}, family {}, model {}", of("model name"), of("cpu family"), of("model"));
    println!("clock      {:.2} GHz, by a chain of multiplications of three cycles each", gigahertz());
    println!("compiler   {}", first_line("rustc", &["--version"]));
    println!("peer       aws-lc-rs {}", peer.trim_matches('"'));
    println!("revision   {}", first_line("git", &["describe", "--always", "--dirty"]));
    println!("load       {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
    println!();
}

/// The clock, from the 64-bit multiplication's latency, which is three cycles on every x86-64 of the last fifteen years.
pub(crate) fn gigahertz() -> f64 {
    const STEPS: u32 = 2_000_000;
    let one = || {
        let (start, mut product) = (Instant::now(), black_box(0x9e37_79b9_7f4a_7c15_u64));
        for _ in 0..STEPS {
            product = product.wrapping_mul(product);
        }
        black_box(product);
        3.0 * f64::from(STEPS) / start.elapsed().as_secs_f64() / 1e9
    };
    (0..15).map(|_| one()).fold(0.0, f64::max)
}

/// The quartiles.
pub(crate) fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [values.len() / 4, values.len() / 2, values.len() * 3 / 4].map(|index| values[index])
}
