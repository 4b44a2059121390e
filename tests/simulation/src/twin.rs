//! G3 once more: a world's twin is the same plan without faults. Faults make events late, repeat them
//! and change their order, so in the end both must have the same stock, whatever the model says.
//!
//! Two kinds of position may differ. What people ask the API for is accepted or refused by what is
//! there at that moment, which is another moment in the twin. And how often a vehicle's sale is
//! counted depends on whether anybody heard of the vehicle first; where it stands does not.

use std::collections::BTreeSet;

use crate::check::{Guarantee, Shown, Violation};
use crate::model::{Place, Stock};
use crate::places::FEED_NUMBER;
use crate::plan::{Act, Plan};

/// One world in so many has a twin: two worlds take twice as long.
const EVERY: u64 = 24;

/// Whether this plan's world is compared with a twin.
pub(crate) fn has_one(plan: &Plan) -> bool {
    plan.seed.is_multiple_of(EVERY) && !plan.faults.kinds.is_empty()
}

/// The plan without faults. Senders' clocks stay as wrong as they were: that is in what they say.
pub(crate) fn of(plan: &Plan) -> Plan {
    let mut twin = plan.clone();
    for kind in &plan.faults.kinds {
        twin.faults = twin.faults.without(*kind);
    }
    twin
}

/// The positions that came to something else without the faults.
pub(crate) fn differing(plan: &Plan, shown: &Shown, twin: Option<&Shown>) -> Vec<Violation> {
    let Some(twin) = twin else {
        return vec![Violation {
            guarantee: Guarantee::Settles,
            detail: "the same plan without faults does not settle".to_owned(),
        }];
    };
    let asked = asked_for(plan);
    let places: BTreeSet<&Place> = shown.keys().chain(twin.keys()).collect();
    let places = places.into_iter().filter(|(product, _)| {
        !asked.contains(product.as_str()) && product.as_str() != FEED_NUMBER
    });
    let state = |of: &Shown, place: &Place| {
        let (stock, sold) = of.get(place).copied().unwrap_or_default();
        // What nobody speaks of any more is none, shown or not.
        let stock = stock.filter(|stock| *stock != Stock::default());
        let vehicle = place.0.starts_with("line:");
        (stock, if vehicle { 0 } else { sold })
    };
    places
        .filter(|place| state(shown, place) != state(twin, place))
        .map(|place| Violation {
            guarantee: Guarantee::G3,
            detail: format!(
                "{place:?} came to {:?}, and without faults to {:?}",
                state(shown, place),
                state(twin, place)
            ),
        })
        .collect()
}

/// What people ask the API for, and may be refused.
fn asked_for(plan: &Plan) -> BTreeSet<&str> {
    let requests = plan.steps.iter().filter_map(|step| match &step.act {
        Act::Movement(request) => request.body["product"].as_str(),
        _ => None,
    });
    requests.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(product: &str, on_hand: i64) -> Shown {
        let place = (product.to_owned(), "north".to_owned());
        Shown::from([(place, (Some(Stock::of(on_hand, 0)), 0))])
    }

    #[test]
    fn only_what_does_not_depend_on_the_moment_is_compared() {
        let plan = Plan::of(1, &[]);
        let differ = |shown: &Shown, twin: &Shown| differing(&plan, shown, Some(twin)).len();
        let asked = *asked_for(&plan).first().unwrap();
        assert_eq!(differ(&at("T", 3), &at("T", 3)), 0);
        assert_eq!(differ(&at("T", 3), &at("T", 2)), 1);
        assert_eq!(differ(&at("T", 3), &Shown::new()), 1);
        assert_eq!(differ(&at("T", 0), &Shown::new()), 0);
        assert_eq!(differ(&at(asked, 3), &at(asked, 2)), 0);
        assert_eq!(differing(&plan, &at("T", 3), None).len(), 1);
    }
}
