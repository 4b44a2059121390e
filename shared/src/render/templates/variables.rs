//! What a template may name, for people who write one.

/// Each variable with what it holds. One that is not known is `none`, and prints as nothing.
pub const VARIABLES: &[(&str, &str)] = &[
    ("alert", "The alert's id."),
    (
        "at",
        "When it was so, by the clocks of the people concerned: `2026-01-15 10:30 CET`.",
    ),
    ("available", "Units on hand less reserved and unavailable."),
    ("backordered", "Units promised beyond what is there."),
    (
        "basis",
        "Which quantity the rule compares: `on_hand`, `available` or `projected`.",
    ),
    (
        "before_available",
        "The same as `available`, before the change.",
    ),
    (
        "before_backordered",
        "The same as `backordered`, before the change.",
    ),
    (
        "before_incoming",
        "The same as `incoming`, before the change.",
    ),
    (
        "before_on_hand",
        "The same as `on_hand`, before the change.",
    ),
    (
        "before_projected",
        "The same as `projected`, before the change.",
    ),
    (
        "before_quantity",
        "The same as `quantity`, before the change.",
    ),
    (
        "before_reserved",
        "The same as `reserved`, before the change.",
    ),
    (
        "before_unavailable",
        "The same as `unavailable`, before the change.",
    ),
    ("change", "`opened`, `updated`, `escalated` or `resolved`."),
    (
        "days_of_supply",
        "How many days what is available lasts at the rate of sale of the last 30 days, or of as many as the item has been known for.",
    ),
    ("incoming", "Units on the way."),
    ("kind", "The kind of alert, as `low_stock`."),
    ("link", "A page about it, where `link_base` is set."),
    ("location", "The location's name."),
    (
        "notes",
        "What else matters, a list of sentences: `{{ notes | join(\" \") }}`.",
    ),
    ("on_hand", "Units that are there."),
    (
        "product",
        "The product's name, or what stands in its place: a vehicle, a source, a channel.",
    ),
    (
        "projected",
        "Units available and on the way, less backordered.",
    ),
    (
        "quantity",
        "The units that the rule compares with its threshold: what `basis` names, else `available`.",
    ),
    ("reserved", "Units promised."),
    ("revision", "Counts the alert's revisions from 1."),
    ("rule", "The rule's name."),
    ("severity", "`info`, `warning` or `critical`."),
    ("sku", "The SKU; `none` for model lines and vehicles."),
    ("sold", "Units sold in the rule's window, of `high_demand`."),
    (
        "subject",
        "What it is about, in short names: `OIL-5W40 at milano`.",
    ),
    (
        "threshold",
        "Units: of stock, or of `high_demand` units sold.",
    ),
    (
        "unavailable",
        "Units that are there and not for sale: damaged, in quality control, safety stock.",
    ),
    ("vin", "The vehicle's number, of `conflict`."),
    (
        "why",
        "Why this rule applies, in words; of `feed_stale` what keeps its webhooks out, if that is known.",
    ),
];
