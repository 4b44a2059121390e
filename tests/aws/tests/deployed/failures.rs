//! Messages that cannot be looked at.

use aws_tests::bench::body;
use aws_tests::{alerts, eventually};
use jiff::SignedDuration;
use shared::store::intents::IntentState;

use crate::world::{SLACK, World};

const QUEUE: &str = "NotifyslackQueue";
const FAILURES: &str = "NotifyFailures";

#[test]
fn of_five_messages_four_are_done_once_and_the_poisonous_one_ends_in_the_dead_letter_queue() {
    World::run(async |world| {
        let (stack, store) = (&world.stack, &world.stack.store);
        // By the template it would be back after six minutes, and given up after half an hour.
        stack.come_back_after(QUEUE, 1).await;
        let due = store.clock().now() + SignedDuration::from_hours(1);
        let mut bodies = Vec::new();
        for number in 0..4 {
            let id = format!("batch-{number}");
            bodies.push(body(
                &alerts::open(store, &id, "stock-room", "slack", due).await,
            ));
        }
        let poison = "{\"alert\":\"cut off".to_owned();
        bodies.insert(2, poison.clone());
        stack.queue(QUEUE, &bodies).await;

        eventually("the others are delivered", async || {
            for number in 0..4 {
                let intents = store.intents_of(&format!("batch-{number}")).await.unwrap();
                if intents[0].state != IntentState::Delivered {
                    return None;
                }
            }
            Some(())
        })
        .await;
        let given_up = eventually("the poison is given up", async || {
            stack.take(FAILURES).await.pop()
        })
        .await;
        assert_eq!(given_up, poison);
        eventually("the queue is empty", async || {
            (stack.depth(QUEUE).await == 0).then_some(())
        })
        .await;
        assert_eq!(
            stack.depth(FAILURES).await,
            0,
            "and nothing else was given up"
        );
        assert_eq!(world.vendor.seen(SLACK).len(), 4, "each was said once");
    });
}
