//! What a person has counted is of the variant that alone had the SKU then.

use super::{FAR, NORTH, adjusts, comes_to, comes_to_after, counts, has, is, is_alone, sells};
use crate::shopify::{ITEM, OTHER_ITEM};

const SUM: &str = "same_sku = \"sum\"";

#[tokio::test(start_paused = true)]
async fn variants_that_exchange_their_skus_keep_what_was_counted_of_each() {
    let told = [
        counts("A", 20, 10),
        counts("B", 50, 12),
        is(ITEM, "B", 200),
        is(OTHER_ITEM, "A", 201),
    ];
    let right = [("A", "north", Some(50), 0), ("B", "north", Some(20), 0)];
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn variants_that_exchange_their_skus_keep_what_was_counted_beside_their_levels() {
    let before = [
        has(ITEM, NORTH, 19, 5),
        has(OTHER_ITEM, NORTH, 49, 6),
        counts("A", 20, 10),
        counts("B", 50, 12),
    ];
    let halves = [is(ITEM, "B", 200), is(OTHER_ITEM, "A", 201)];
    let right = [("A", "north", Some(50), 0), ("B", "north", Some(20), 0)];
    for setting in ["", SUM] {
        comes_to_after(setting, &before, &halves, &right).await;
    }
    let told = [&before[..], &halves].concat();
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn a_sku_that_is_passed_on_leaves_what_was_counted_with_each_variant() {
    let told = [
        counts("A", 20, 10),
        counts("B", 50, 12),
        is(OTHER_ITEM, "D", 200),
        is(ITEM, "B", 201),
    ];
    let right = [("B", "north", Some(20), 0), ("D", "north", Some(50), 0)];
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_sold_after_a_count_goes_with_that() {
    let told = [
        counts("A", 20, 10),
        counts("B", 50, 12),
        sells("A", 1, 20),
        sells("B", 4, 21),
    ];
    for halves in [
        [is(OTHER_ITEM, "D", 200), is(ITEM, "B", 201)],
        [is(ITEM, "B", 201), is(OTHER_ITEM, "D", 200)],
    ] {
        let right = [("B", "north", Some(19), 1), ("D", "north", Some(46), 4)];
        comes_to_after("", &told, &halves, &right).await;
    }
    let halves = [is(OTHER_ITEM, "D", 200), is(ITEM, "B", 201)];
    let right = [("B", "north", Some(19), 1), ("D", "north", Some(46), 4)];
    let told = [&told[..], &halves].concat();
    comes_to("", &told, &right).await;
}

/// Each of the shop's webhooks says it once more.
#[tokio::test(start_paused = true)]
async fn what_was_counted_stays_where_a_variant_is_told_of_twice() {
    let before = [counts("A", 20, 10), counts("B", 50, 12)];
    let told = [
        is_alone(OTHER_ITEM, "D", 200),
        is_alone(ITEM, "B", 201),
        is(OTHER_ITEM, "D", 200),
        is(ITEM, "B", 201),
    ];
    let right = [("B", "north", Some(20), 0), ("D", "north", Some(50), 0)];
    comes_to_after("", &before, &told, &right).await;
    // It is counted once more, after the new SKUs were heard of by one of the webhooks, or one of them.
    let right = [("B", "north", Some(7), 0), ("D", "north", Some(50), 0)];
    for (counted, first) in [
        (&before[..], &told[..2]),
        (&before[1..], &told[..2]),
        (&before[..], &told[1..2]),
    ] {
        let heard = [counted, first, &[counts("B", 7, 300)]].concat();
        let rest: Vec<_> = told[..1].iter().chain(&told[2..]).copied().collect();
        comes_to_after("", &heard, &rest, &right).await;
    }
}

/// The SKU is a new product's by then.
#[tokio::test(start_paused = true)]
async fn what_is_counted_of_a_new_product_with_an_old_sku_is_its_own() {
    let third = ITEM + 2;
    let before = [
        counts("B", 50, 12),
        is_alone(OTHER_ITEM, "D", 200),
        is(third, "B", 250),
    ];
    let told = [counts("B", 7, 300), is(OTHER_ITEM, "D", 200)];
    let right = [("B", "north", Some(7), 0), ("D", "north", Some(50), 0)];
    comes_to_after("", &before, &told, &right).await;
}

/// The shop states both: of a variant of which it never did nobody knows that it has the SKU too.
#[tokio::test(start_paused = true)]
async fn what_was_counted_of_two_variants_is_theirs_again_where_one_had_the_others_sku_for_a_while()
{
    let before = [has(ITEM, NORTH, 19, 5), has(OTHER_ITEM, NORTH, 49, 6)];
    let told = [
        counts("A", 20, 10),
        counts("B", 50, 12),
        is(OTHER_ITEM, "A", 200),
        is(OTHER_ITEM, "B", 300),
    ];
    let right = [("A", "north", Some(20), 0), ("B", "north", Some(50), 0)];
    for setting in ["", SUM] {
        comes_to_after(setting, &before, &told, &right).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_goes_along_with_a_variant_that_is_renamed_twice() {
    let told = [
        counts("A", 20, 10),
        is(ITEM, "C", 200),
        counts("C", 17, 250),
        sells("C", 2, 260),
        is(ITEM, "D", 300),
    ];
    comes_to("", &told, &[("D", "north", Some(15), 2)]).await;
    let told = [
        counts("A", 20, 10),
        is(ITEM, "C", 200),
        is(ITEM, "D", 300),
        counts("D", 9, 400),
    ];
    comes_to("", &told, &[("D", "north", Some(9), 0)]).await;
}

/// It was counted under the SKU before, so its sales are told from the other's by when they were: by the days of
/// the place, and no more of a day than was sold.
#[tokio::test(start_paused = true)]
async fn what_a_variant_sold_before_another_got_its_sku_goes_along_by_the_days_of_its_place() {
    let before = [
        counts("A", 20, 10),
        counts("B", 50, 12),
        is(ITEM, "C", 200),
        sells("C", 2, 260),
        adjusts("C", -5, 262),
    ];
    let told = [is(OTHER_ITEM, "C", 280), is(ITEM, "D", 300)];
    let right = [("C", "north", Some(50), 0), ("D", "north", Some(13), 2)];
    for setting in ["", FAR] {
        comes_to_after(setting, &before, &told, &right).await;
    }
}
