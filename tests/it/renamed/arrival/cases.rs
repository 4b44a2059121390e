//! What a shop does, told in any order.

use super::{
    NORTH, Order, SOUTH, Told, comes_to, comes_to_after, has, is, is_alone, ordered, sells, states,
};
use crate::shopify::{ITEM, OTHER_ITEM};

/// A variant of which nothing is known at first.
const NEW_ITEM: i64 = 503;

#[tokio::test(start_paused = true)]
async fn what_another_system_states_is_its_own_and_the_orders_of_a_variant_go_with_that() {
    let told = [
        states("A", "south", 31, 19),
        has(ITEM, SOUTH, 30, 20),
        ordered(1, ITEM, "A", 2, 56).at(SOUTH).placed(),
        is(ITEM, "C", 85),
    ];
    let right = [("A", "south", Some(31), 0), ("C", "south", Some(28), 2)];
    comes_to("", &told, &right).await;
}

/// What the other system states is all that is there, and the order has taken some of it: it is not back on
/// sale because the shop renames the variant first.
#[tokio::test(start_paused = true)]
async fn what_was_ordered_stays_taken_from_the_one_system_that_states_it() {
    let before = [states("A", "south", 31, 19)];
    let told = [
        ordered(1, ITEM, "A", 2, 56).at(SOUTH).placed(),
        is(ITEM, "C", 85),
    ];
    let right = [("A", "south", Some(29), 2)];
    comes_to_after("", &before, &told, &right).await;
}

/// For a while the shop seems to have two variants of the SKU, as it is heard late what the other is called.
#[tokio::test(start_paused = true)]
async fn orders_go_with_their_variant_whose_first_level_clashes_with_another_for_a_while() {
    let before = [
        states("A", "south", 31, 19),
        is(OTHER_ITEM, "C", 20),
        has(OTHER_ITEM, SOUTH, 10, 30),
    ];
    let told = [
        ordered(1, ITEM, "A", 2, 56).at(SOUTH).placed(),
        is(ITEM, "C", 85),
        has(ITEM, SOUTH, 30, 50),
        is(OTHER_ITEM, "D", 80),
    ];
    let right = [
        ("A", "south", Some(31), 0),
        ("C", "south", Some(28), 2),
        ("D", "south", Some(10), 0),
    ];
    comes_to_after("", &before, &told, &right).await;
}

/// What is left is stated for the order's sake.
#[tokio::test(start_paused = true)]
async fn an_order_of_the_second_in_which_a_level_is_stated_is_in_that_in_either_order() {
    let order = ordered(1, ITEM, "A", 4, 30).placed();
    for level in [has(ITEM, NORTH, 16, 30), states("A", "north", 16, 30)] {
        let right = [("A", "north", Some(16), 4)];
        comes_to("", &[level, order], &right).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_placed_and_cancelled_in_one_second_is_none_in_either_order() {
    let order = ordered(1, ITEM, "A", 4, 30);
    let before = [has(ITEM, NORTH, 20, 10)];
    let right = [("A", "north", Some(20), 0)];
    comes_to_after("", &before, &[order.placed(), order.cancelled(30)], &right).await;
}

#[tokio::test(start_paused = true)]
async fn a_sale_is_of_the_variant_that_had_the_sku_when_it_was_sold() {
    let told = [
        has(ITEM, NORTH, 56, 51),
        is(ITEM, "C", 105),
        sells("C", 3, 172),
        is(OTHER_ITEM, "C", 248),
        has(OTHER_ITEM, NORTH, 47, 289),
    ];
    let right = [("C", "north", Some(56 - 3 + 47), 3)];
    comes_to("same_sku = \"sum\"", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn variants_that_pass_a_sku_on_keep_their_levels_whatever_was_ordered_before() {
    let told = [
        has(ITEM, NORTH, 50, 5),
        has(OTHER_ITEM, NORTH, 60, 6),
        ordered(1, ITEM, "A", 2, 10).placed(),
        ordered(2, OTHER_ITEM, "B", 3, 20).placed(),
        is(ITEM, "C", 30),
        is(OTHER_ITEM, "A", 40),
    ];
    let right = [("A", "north", Some(57), 3), ("C", "north", Some(48), 2)];
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn what_another_system_states_stays_with_a_sku_that_another_variant_takes() {
    let told = [
        ordered(1, ITEM, "A", 2, 10).placed(),
        is(ITEM, "C", 30),
        is(OTHER_ITEM, "A", 40),
        states("A", "north", 31, 7),
        has(OTHER_ITEM, NORTH, 60, 6),
        has(ITEM, NORTH, 50, 5),
    ];
    let right = [("A", "north", Some(31), 0), ("C", "north", Some(48), 2)];
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn variants_that_exchange_their_skus_keep_their_levels_whatever_was_ordered_before() {
    let told = [
        has(ITEM, NORTH, 50, 50),
        has(OTHER_ITEM, NORTH, 60, 60),
        ordered(1, ITEM, "A", 2, 10).placed(),
        ordered(2, OTHER_ITEM, "B", 3, 70).placed(),
        is(ITEM, "B", 30),
        is(OTHER_ITEM, "A", 40),
    ];
    let right = [("A", "north", Some(57), 3), ("B", "north", Some(50), 2)];
    for setting in ["", "same_sku = \"sum\""] {
        comes_to(setting, &told, &right).await;
    }
}

#[tokio::test(start_paused = true)]
async fn demand_is_of_the_variant_where_two_exchange_their_skus_and_nobody_states_them() {
    let first = ordered(1, ITEM, "A", 4, 10);
    let told = [
        first.placed(),
        first.edited(3, 50),
        ordered(2, OTHER_ITEM, "B", 5, 15).placed(),
        is(ITEM, "B", 30),
        is(OTHER_ITEM, "A", 40),
    ];
    let right = [("A", "north", None, 5), ("B", "north", None, 3)];
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn an_edited_order_is_of_its_variant_where_two_exchange_their_skus() {
    let first = ordered(1, ITEM, "A", 4, 10);
    let told = [
        has(ITEM, NORTH, 50, 5),
        has(OTHER_ITEM, NORTH, 20, 6),
        first.placed(),
        first.edited(3, 50),
        is(ITEM, "B", 30),
        is(OTHER_ITEM, "A", 40),
    ];
    let right = [("A", "north", Some(20), 0), ("B", "north", Some(47), 3)];
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn an_edited_order_is_of_its_variant_where_another_system_states_the_sku_it_names() {
    let first = ordered(1, ITEM, "A", 4, 10);
    let told = [
        states("A", "north", 31, 5),
        first.placed(),
        is(ITEM, "C", 30),
        first.edited(3, 50),
        has(ITEM, NORTH, 40, 20),
    ];
    let right = [("A", "north", Some(31), 0), ("C", "north", Some(41), 3)];
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn a_variant_that_is_renamed_twice_has_all_its_orders() {
    let told = [
        has(ITEM, NORTH, 50, 5),
        ordered(1, ITEM, "A", 2, 10).placed(),
        is(ITEM, "C", 20),
        ordered(2, ITEM, "C", 3, 25).placed(),
        is(ITEM, "D", 30),
    ];
    comes_to("", &told, &[("D", "north", Some(45), 5)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_variant_that_is_renamed_and_back_has_the_orders_of_between() {
    let told = [
        states("A", "north", 31, 1),
        has(ITEM, NORTH, 50, 5),
        is(ITEM, "C", 20),
        ordered(2, ITEM, "C", 3, 25).placed(),
        is(ITEM, "A", 30),
    ];
    comes_to("", &told, &[("A", "north", Some(47), 3)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_variant_that_had_the_sku_of_another_for_a_while_has_its_orders_of_before() {
    let told = [
        has(ITEM, NORTH, 91, 41),
        is(OTHER_ITEM, "A", 31),
        is(OTHER_ITEM, "B", 51),
        ordered(1, OTHER_ITEM, "B", 2, 21).placed(),
    ];
    let right = [("A", "north", Some(91), 0), ("B", "north", None, 2)];
    comes_to("same_sku = \"sum\"", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn two_variants_that_are_merged_on_one_sku_are_one_stock_with_all_orders() {
    let told = [
        has(ITEM, NORTH, 50, 5),
        has(OTHER_ITEM, NORTH, 20, 16),
        ordered(1, ITEM, "A", 2, 10).placed(),
        ordered(2, OTHER_ITEM, "B", 3, 12).placed(),
        is(ITEM, "M", 20),
        is(OTHER_ITEM, "M", 25),
    ];
    let right = [("M", "north", Some(48 + 20), 5)];
    comes_to("same_sku = \"sum\"", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_order_of_a_renamed_variant_is_back_with_that() {
    let first = ordered(1, ITEM, "A", 4, 10);
    let told = [
        states("A", "north", 31, 7),
        has(ITEM, NORTH, 50, 8),
        first.placed(),
        is(ITEM, "C", 20),
        first.cancelled(30),
    ];
    let right = [("A", "north", Some(31), 0), ("C", "north", Some(50), 0)];
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn a_refund_of_a_renamed_variant_is_back_with_that_at_another_place() {
    let first = ordered(1, ITEM, "A", 4, 10);
    let told = [
        has(ITEM, NORTH, 50, 5),
        has(ITEM, SOUTH, 10, 5),
        first.placed(),
        is(ITEM, "C", 20),
        first.refunded(1, SOUTH, 30),
    ];
    let right = [("C", "north", Some(46), 3), ("C", "south", Some(11), 0)];
    comes_to("", &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn all_of_it_at_once_comes_to_the_same() {
    let first = ordered(1, ITEM, "A", 2, 56);
    let told = [
        states("A", "north", 31, 19),
        has(ITEM, NORTH, 30, 20),
        has(OTHER_ITEM, NORTH, 70, 21),
        first.placed(),
        ordered(2, OTHER_ITEM, "B", 5, 57).placed(),
        is(ITEM, "B", 85),
        is(OTHER_ITEM, "A", 95),
        first.edited(1, 100),
    ];
    let right = [("A", "north", Some(65), 5), ("B", "north", Some(29), 1)];
    comes_to("", &told, &right).await;
}

/// Which of its webhooks is heard first is nothing to an order, which says the new SKU.
#[tokio::test(start_paused = true)]
async fn an_order_is_of_its_variant_where_only_the_inventory_items_have_told_their_new_skus() {
    let before = [has(ITEM, NORTH, 50, 5), has(OTHER_ITEM, NORTH, 60, 6)];
    let told = [
        is_alone(ITEM, "C", 30),
        is_alone(OTHER_ITEM, "A", 40),
        ordered(1, ITEM, "C", 2, 50).placed(),
    ];
    let right = [("A", "north", Some(60), 0), ("C", "north", Some(48), 2)];
    comes_to_after("", &before, &told, &right).await;
    // Nor where the shop states none of them.
    comes_to("", &told, &[("C", "north", None, 2)]).await;
}

/// A variant has left the SKU, and a new one has it that is ordered before anything is told of it.
const PASSED_ON: [Told; 3] = [
    has(ITEM, NORTH, 9, 1),
    ordered(2, ITEM, "A", 2, 5).placed(),
    is(ITEM, "C", 10),
];

async fn of_a_new_variant(more: &[Told], right: &[(&str, &str, Option<i64>, i64)]) {
    let new = [
        is(NEW_ITEM, "A", 20),
        has(NEW_ITEM, NORTH, 30, 21),
        FIRST.placed(),
    ];
    let right = [right, &[("C", "north", Some(7), 2)]].concat();
    comes_to_after("", &PASSED_ON, &[&new, more].concat(), &right).await;
}

const FIRST: Order = ordered(1, NEW_ITEM, "A", 6, 25);

#[tokio::test(start_paused = true)]
async fn an_order_of_a_sku_that_a_new_variant_has_from_another_is_the_new_one_s() {
    of_a_new_variant(&[], &[("A", "north", Some(24), 6)]).await;
    let paid = FIRST.edited(6, 60);
    of_a_new_variant(&[paid], &[("A", "north", Some(24), 6)]).await;
}

#[tokio::test(start_paused = true)]
async fn an_order_of_a_new_variant_is_edited_where_the_variant_is() {
    let fewer = FIRST.edited(4, 60);
    of_a_new_variant(&[fewer], &[("A", "north", Some(26), 4)]).await;
}

#[tokio::test(start_paused = true)]
async fn an_order_of_a_new_variant_is_cancelled_where_the_variant_is() {
    let cancelled = [FIRST.edited(6, 60), FIRST.cancelled(70)];
    of_a_new_variant(&cancelled, &[("A", "north", Some(30), 0)]).await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_of_an_order_of_a_new_variant_is_the_variants() {
    let back = FIRST.refunded(2, SOUTH, 70);
    let told = [has(NEW_ITEM, SOUTH, 3, 22), FIRST.edited(6, 60), back];
    let right = [("A", "north", Some(24), 4), ("A", "south", Some(2 + 3), 0)];
    of_a_new_variant(&told, &right).await;
}

/// The same, and the first variant's other name is heard as late as anything.
#[tokio::test(start_paused = true)]
async fn an_order_of_a_sku_that_is_passed_on_is_the_one_s_that_has_it_whatever_is_heard_first() {
    let before = [has(ITEM, NORTH, 9, 1)];
    let first = ordered(1, NEW_ITEM, "A", 6, 25);
    let told = [
        is(ITEM, "C", 10),
        is(NEW_ITEM, "A", 20),
        has(NEW_ITEM, NORTH, 30, 21),
        first.placed(),
    ];
    let right = [("A", "north", Some(24), 6), ("C", "north", Some(9), 0)];
    comes_to_after("", &before, &told, &right).await;
    let told = [&told[..], &[first.edited(5, 60)]].concat();
    let right = [("A", "north", Some(25), 5), ("C", "north", Some(9), 0)];
    comes_to_after("", &before, &told, &right).await;
}

#[tokio::test(start_paused = true)]
async fn an_order_of_a_sku_that_was_passed_on_is_the_new_one_s_however_far_the_old_one_went() {
    let before = [has(ITEM, NORTH, 9, 1), is(ITEM, "C", 10), is(ITEM, "D", 12)];
    let first = ordered(1, NEW_ITEM, "A", 6, 25);
    let told = [
        first.placed(),
        is(NEW_ITEM, "A", 20),
        has(NEW_ITEM, NORTH, 30, 21),
        is(ITEM, "E", 40),
    ];
    let right = [("A", "north", Some(24), 6), ("E", "north", Some(9), 0)];
    comes_to_after("", &before, &told, &right).await;
}

/// Where nobody states anything it is demand.
#[tokio::test(start_paused = true)]
async fn demand_for_a_sku_that_was_passed_on_is_the_new_one_s() {
    let before = [ordered(2, ITEM, "A", 2, 5).placed(), is(ITEM, "C", 10)];
    let first = ordered(1, NEW_ITEM, "A", 6, 25);
    let told = [first.placed(), is(NEW_ITEM, "A", 20), first.edited(5, 60)];
    let right = [("A", "north", None, 5), ("C", "north", None, 2)];
    comes_to_after("", &before, &told, &right).await;
}

/// What it was called when it was ordered is not told by anybody else: by the next that is heard of the order
/// it is all back where it was booked.
#[tokio::test(start_paused = true)]
async fn an_order_is_taken_back_where_it_was_booked_although_its_sku_has_passed_on_since() {
    let first = ordered(1, NEW_ITEM, "A", 6, 15);
    let before = [
        has(ITEM, NORTH, 9, 1),
        is(ITEM, "C", 10),
        first.placed(),
        is(OTHER_ITEM, "A", 20),
        is(NEW_ITEM, "D", 20),
        has(NEW_ITEM, NORTH, 30, 12),
    ];
    let right = [("C", "north", Some(9), 0), ("D", "north", Some(26), 4)];
    comes_to_after("", &before, &[first.edited(4, 60)], &right).await;
}

/// Another system has the SKU by then, and nobody ever tells of the variant.
#[tokio::test(start_paused = true)]
async fn an_edited_order_is_whole_at_what_has_the_sku_it_names() {
    let first = ordered(1, NEW_ITEM, "A", 6, 25);
    let before = [
        has(ITEM, NORTH, 9, 1),
        is(ITEM, "C", 10),
        first.placed(),
        states("A", "north", 31, 20),
    ];
    let right = [("A", "north", Some(27), 4), ("C", "north", Some(9), 0)];
    comes_to_after("", &before, &[first.edited(4, 60)], &right).await;
}
