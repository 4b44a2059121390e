//! A count that can be waited on. Who waits first is woken first: tokio's `watch` draws lots among its
//! receivers, and a run on a virtual clock has to repeat exactly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Counts up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    count: AtomicU64,
    changed: Notify,
}

/// Sees a counter change.
#[derive(Debug)]
pub(crate) struct Watcher {
    counter: Counter,
    seen: u64,
}

impl Counter {
    /// One more.
    pub(crate) fn increment(&self) {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }

    /// Watches it from now on.
    pub(crate) fn watch(&self) -> Watcher {
        Watcher {
            counter: self.clone(),
            seen: self.count(),
        }
    }

    fn count(&self) -> u64 {
        self.0.count.load(Ordering::SeqCst)
    }
}

impl Watcher {
    /// The count now; what was before is seen.
    pub(crate) fn see(&mut self) -> u64 {
        self.seen = self.counter.count();
        self.seen
    }

    /// Whether it has changed since it was last seen.
    pub(crate) fn has_changed(&self) -> bool {
        self.seen != self.counter.count()
    }

    /// Waits until it has changed since it was last seen, and sees that.
    pub(crate) async fn changed(&mut self) {
        loop {
            let mut changed = std::pin::pin!(self.counter.0.changed.notified());
            changed.as_mut().enable();
            let count = self.counter.count();
            if self.seen != count {
                self.seen = count;
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_change_is_seen_once_and_wakes_in_the_order_of_waiting() {
        let counter = Counter::default();
        let mut early = counter.watch();
        counter.increment();
        assert!(early.has_changed());
        early.changed().await;
        assert_eq!((early.has_changed(), early.see()), (false, 1));

        let (woken, mut order) = tokio::sync::mpsc::unbounded_channel();
        for name in 0..20 {
            let (mut watcher, woken) = (counter.watch(), woken.clone());
            tokio::spawn(async move {
                watcher.changed().await;
                woken.send(name).unwrap();
            });
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        counter.increment();
        for name in 0..20 {
            assert_eq!(order.recv().await, Some(name));
        }
    }
}
