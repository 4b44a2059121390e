//! Every target in one fuzzer. Which one it is for, the environment says: `TARGET=feeds`.
#![no_main]

use std::sync::LazyLock;

use fuzz_targets::{TARGETS, Target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let asked = std::env::var("TARGET").unwrap_or_default();
    let known = TARGETS.iter().find(|(name, _)| *name == asked);
    let (_, target) = known.unwrap_or_else(|| panic!("TARGET={asked} is none of the targets"));
    *target
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET(bytes));
