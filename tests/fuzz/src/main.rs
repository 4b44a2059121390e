//! Every target in one fuzzer. Which one it is for, the environment says: `TARGET=feeds`.
#![no_main]

use std::sync::LazyLock;

use fuzz_targets::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    #[expect(
        clippy::disallowed_methods,
        reason = "libFuzzer has the command line for itself"
    )]
    let asked = std::env::var("TARGET").unwrap_or_default();
    let known = TARGETS.iter().find(|(name, _)| *name == asked);
    let (_, target) = known.unwrap_or_else(|| panic!("TARGET={asked} is none of the targets"));
    *target
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET(bytes));

/// In place of the system's: hash maps are keyed with it, and what they do is counted as coverage.
/// With keys of their own, two runs would make different inputs.
#[unsafe(no_mangle)]
extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    // SAFETY: callers hand over a buffer of this length, as they would to the system.
    unsafe { buffer.write_bytes(0x5a, length) };
    length.cast_signed()
}
