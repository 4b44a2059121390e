//! Vehicles that are sold and back, by systems that do not hear of it at once: what whoever runs the yard
//! says is so, and who is to be asked.

use UnitState::{InStock, InTransit, Removed, Reserved, Sold};

use super::tests::{authority, heard, name, orders, report};
use super::*;

type Told = (&'static str, UnitReport);

/// What a source says at a time in January, and the day since which it has the vehicle.
fn says(source: &'static str, time: &str, state: UnitState, since: Option<i8>) -> Told {
    let (day, time) = time.split_once(' ').unwrap();
    let mut said = report(0, state, "london");
    said.version = Version::at(format!("2026-01-{day}T{time}Z").parse().unwrap());
    said.since = since.map(|day| Date::constant(2026, 1, day));
    (source, said)
}

fn at(place: &str, (source, mut said): Told) -> Told {
    said.location = Some(place.parse().unwrap());
    (source, said)
}

/// The dealer's own system and a marketplace have it since the 10th.
fn listed() -> Vec<Told> {
    vec![
        says("dms", "10 12:00", InStock, Some(10)),
        says("market", "11 12:00", InStock, Some(10)),
    ]
}

struct Life {
    name: &'static str,
    told: Vec<Told>,
    state: UnitState,
    /// The days on which it was sold.
    sales: &'static [i8],
    /// Who has it although another has sold it, and does not only lag.
    claimed_by: &'static [&'static str],
    /// Whose word does not count though it is the later one.
    unheeded: &'static [&'static str],
}

/// It is in stock, or sold; and nobody contradicts that.
fn life(name: &'static str, more: Vec<Told>, state: UnitState, sales: &'static [i8]) -> Life {
    Life {
        name,
        told: [listed(), more].concat(),
        state,
        sales,
        claimed_by: &[],
        unheeded: &[],
    }
}

fn lives() -> Vec<Life> {
    let sold = || says("dms", "13 12:00", Sold, None);
    let back = || says("dms", "14 12:00", InStock, Some(14));
    let late = || says("market", "14 02:24", Sold, None);
    let later = || says("market", "14 16:48", Sold, None);
    let claimed = |life: Life| Life {
        claimed_by: &["dms"],
        ..life
    };
    let market_claims_it = |life: Life| Life {
        claimed_by: &["market"],
        ..life
    };
    let market_is_not_heeded = |life: Life| Life {
        unheeded: &["market"],
        ..life
    };
    let without_days = |life: Life| {
        let told = life.told.into_iter();
        let told = told.map(|(source, said)| {
            (
                source,
                UnitReport {
                    since: None,
                    ..said
                },
            )
        });
        let told = told.collect();
        Life { told, ..life }
    };
    vec![
        life(
            "sold and back, by one of them",
            vec![sold(), back()],
            InStock,
            &[13],
        ),
        life(
            "the other reports the sale on its day",
            vec![sold(), says("market", "13 19:00", Sold, None), back()],
            InStock,
            &[13],
        ),
        life(
            "the other reports it the next day, before it is back",
            vec![sold(), late(), back()],
            InStock,
            &[13],
        ),
        market_is_not_heeded(life(
            "the other reports it the next day, when it is back",
            vec![sold(), back(), later()],
            InStock,
            &[13],
        )),
        life(
            "the same, and then promised",
            vec![
                sold(),
                back(),
                later(),
                says("dms", "18 12:00", Reserved, None),
            ],
            Reserved,
            &[13],
        ),
        life(
            "the other lists it on until it hears of the sale",
            vec![
                sold(),
                says("market", "13 20:00", InStock, Some(10)),
                late(),
                back(),
            ],
            InStock,
            &[13],
        ),
        life(
            "the other's list does not have it any more",
            vec![sold(), says("market", "14 02:24", Removed, None), back()],
            InStock,
            &[13],
        ),
        life(
            "a third one has it back",
            vec![sold(), late(), says("feed", "14 12:00", InStock, Some(14))],
            InStock,
            &[13],
        ),
        life(
            "on its way back",
            vec![sold(), late(), says("dms", "14 12:00", InTransit, Some(14))],
            InTransit,
            &[13],
        ),
        life(
            "back, and gone otherwise",
            vec![
                sold(),
                late(),
                back(),
                says("dms", "16 12:00", Removed, None),
            ],
            Removed,
            &[13],
        ),
        life(
            "sold again",
            vec![sold(), late(), back(), says("dms", "16 12:00", Sold, None)],
            Sold,
            &[13, 16],
        ),
        life(
            "sold again on the day that it is back",
            vec![sold(), late(), back(), says("dms", "14 18:00", Sold, None)],
            Sold,
            &[13, 14],
        ),
        life(
            "listed anew and sold again by the other, of which the first has not heard",
            vec![
                sold(),
                back(),
                says("market", "14 13:00", InStock, Some(14)),
                says("market", "14 18:00", Sold, None),
            ],
            Sold,
            &[13, 14],
        ),
        claimed(life(
            "the other reports a sale days later: the same, or another?",
            vec![sold(), back(), says("market", "15 16:48", Sold, None)],
            Sold,
            &[13, 15],
        )),
        claimed(life(
            "one that never lists reports a sale: the same, or another?",
            vec![sold(), back(), says("crm", "14 16:48", Sold, None)],
            Sold,
            &[13, 14],
        )),
        claimed(life(
            "the deal fell through, of which the other has not heard",
            vec![sold(), late(), says("dms", "14 12:00", InStock, Some(10))],
            Sold,
            &[14],
        )),
        life(
            "the deal fell through, by both",
            vec![
                sold(),
                late(),
                says("dms", "14 12:00", InStock, Some(10)),
                says("market", "15 02:24", InStock, Some(10)),
            ],
            InStock,
            &[],
        ),
        claimed(without_days(life(
            "nobody says since when",
            vec![sold(), late(), back()],
            Sold,
            &[14],
        ))),
        claimed(life(
            "traded in on the day of the sale, of which the other has not heard",
            vec![
                sold(),
                says("market", "13 16:00", Sold, None),
                says("dms", "13 18:00", InStock, Some(13)),
            ],
            Sold,
            &[13],
        )),
        life(
            "sold by the other, and by the first only the next day, when it comes in again",
            vec![
                says("market", "13 12:00", Sold, None),
                says("dms", "14 09:00", Sold, None),
                says("dms", "14 15:00", InStock, Some(14)),
            ],
            InStock,
            &[13],
        ),
        life(
            "an old list goes on as it was",
            vec![
                sold(),
                back(),
                says("market", "15 12:00", InStock, Some(10)),
            ],
            InStock,
            &[13],
        ),
        market_claims_it(life(
            "days later it is still listed where it was sold",
            vec![sold(), says("market", "16 12:00", InStock, Some(10))],
            Sold,
            &[13],
        )),
        claimed(life(
            "a marketplace sold it, and the dealer's own system goes on for days",
            vec![
                says("market", "13 12:00", Sold, None),
                says("dms", "16 12:00", InStock, Some(10)),
            ],
            Sold,
            &[13],
        )),
        Life {
            claimed_by: &["portal"],
            ..life(
                "an advert that is placed after the sale",
                vec![sold(), says("portal", "13 13:00", InStock, Some(10))],
                Sold,
                &[13],
            )
        },
        life(
            "two sales, by both",
            vec![
                sold(),
                late(),
                says("dms", "16 12:00", InStock, Some(16)),
                says("dms", "20 12:00", Sold, None),
                says("market", "21 02:24", Sold, None),
            ],
            Sold,
            &[13, 20],
        ),
        // It is 23:00 of the 13th in Sydney, then 01:00 and 07:00 of the 14th.
        Life {
            told: [
                listed(),
                vec![sold(), says("market", "13 14:00", Sold, None)],
            ]
            .concat()
            .into_iter()
            .chain([says("dms", "13 20:00", InStock, Some(14))])
            .map(|told| at("sydney", told))
            .collect(),
            ..life("on the other side of midnight", vec![], InStock, &[13])
        },
    ]
}

#[test]
fn a_vehicle_that_is_back_is_in_stock_though_another_hears_late_of_its_sale_or_somebody_is_asked() {
    for Life {
        name: of,
        told,
        state,
        sales,
        claimed_by,
        unheeded,
    } in lives()
    {
        let unit = heard(&told);
        for order in orders(&told) {
            assert_eq!(heard(&order), unit, "{of}: {order:?}");
        }
        for ranked in [&[][..], &["dms"]] {
            let authority = authority(ranked);
            let resolved = unit.resolve(&authority);
            assert_eq!(resolved.state, state, "{of}");
            let days = unit.demand(&authority).into_iter();
            let days: Vec<_> = days.map(|sale| sale.day.day()).collect();
            assert_eq!(days, sales, "{of}");
            let rivals: Vec<_> = resolved.rivals.iter().map(|(it, _)| it.clone()).collect();
            let expected: Vec<_> = claimed_by.iter().map(|it| name(it)).collect();
            assert_eq!(rivals, expected, "{of}");
            let others = unit.unheeded(&resolved).into_iter();
            let others: Vec<_> = others.map(|(it, _)| it.as_str()).collect();
            assert_eq!(others, unheeded, "{of}");
        }
    }
}
