//! What was measured: names and numbers, in the order in which they are shown.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// Figures under their names, units included.
#[derive(Debug, Default)]
pub(super) struct Figures {
    named: Vec<(&'static str, Value)>,
    faults: u64,
}

impl Figures {
    pub(super) fn count(mut self, name: &'static str, count: u64) -> Self {
        self.named.push((name, json!(count)));
        self
    }

    /// Something that should not be, counted.
    pub(super) fn fault(mut self, name: &'static str, count: u64) -> Self {
        self.faults += count;
        self.count(name, count)
    }

    pub(super) fn number(mut self, name: &'static str, number: f64) -> Self {
        // Two places: the machine does not repeat itself any closer.
        self.named
            .push((name, json!((number * 100.0).round() / 100.0)));
        self
    }

    pub(super) fn optional(self, name: &'static str, number: Option<f64>) -> Self {
        match number {
            Some(number) => self.number(name, number),
            None => self,
        }
    }

    /// Several of a kind, in words.
    pub(super) fn list(mut self, name: &'static str, each: Vec<String>) -> Self {
        self.named.push((name, each.into()));
        self
    }

    /// p50, p90, p99 and the longest, in milliseconds.
    pub(super) fn latencies(mut self, mut each: Vec<Duration>) -> Self {
        each.sort_unstable();
        for (name, percent) in [
            ("p50_ms", 50),
            ("p90_ms", 90),
            ("p99_ms", 99),
            ("max_ms", 100),
        ] {
            if let Some(latency) = percentile(&each, percent) {
                self = self.number(name, latency.as_secs_f64() * 1_000.0);
            }
        }
        self
    }

    pub(super) fn all_is_well(&self) -> bool {
        self.faults == 0
    }

    pub(super) fn json(&self) -> Value {
        let named = self.named.iter();
        let object: Map<_, _> = named
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        Value::Object(object)
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let width = self.named.iter().map(|(name, _)| name.len()).max();
        let width = width.unwrap_or_default();
        let mut lines = Vec::new();
        for (name, value) in &self.named {
            match value.as_array() {
                Some(each) => {
                    let words = each.iter().filter_map(Value::as_str);
                    lines.extend(words.map(|words| format!("{name:width$}  {words}")));
                }
                None => lines.push(format!("{name:width$}  {value}")),
            }
        }
        lines
    }
}

/// The value that so many percent do not exceed. The list is sorted.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

/// How many of them there were in a second.
pub(super) fn per_second(count: u64, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of a bench, for people")]
    let count = count as f64;
    count / took.as_secs_f64()
}

/// The most memory this process has held so far, in megabytes; Linux alone tells.
pub(super) fn peak_memory_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1_024.0)
}

/// What this process has had written to disks so far, in kilobytes; Linux alone tells.
pub(super) fn written_kb() -> Option<f64> {
    let counts = std::fs::read_to_string("/proc/self/io").ok()?;
    let line = counts
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes:"))?;
    let bytes: f64 = line.trim().parse().ok()?;
    Some(bytes / 1_000.0)
}

/// Counts the most memory anew from here on, where the system lets us: what came before was not
/// what is measured.
pub(super) fn forget_peak_memory() {
    std::fs::write("/proc/self/clear_refs", "5").ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let each: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        let at = |percent| percentile(&each, percent).unwrap().as_millis();
        assert_eq!([at(50), at(90), at(99), at(100)], [100, 180, 198, 200]);
        assert_eq!(percentile(&[Duration::ZERO], 1), Some(Duration::ZERO));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn what_should_not_be_is_found() {
        assert!(
            Figures::default()
                .count("events", 3)
                .fault("lost", 0)
                .all_is_well()
        );
        assert!(!Figures::default().fault("lost", 1).all_is_well());
    }
}
