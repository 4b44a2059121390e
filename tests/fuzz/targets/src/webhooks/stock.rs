//! The stock that events leave, applied to the pure domain: order does not matter, what was applied
//! changes nothing when it is applied again, and no quantity leaves its bounds.

use jiff::civil::Date;
use shared::domain::message::Stock;
use shared::domain::position::{PositionChange, Refusal, Sources};
use shared::domain::unit::UnitReport;
use shared::domain::{
    Authority, Change, ConnectorName, LocationId, Position, ProductId, StockEvent, Unit,
};

/// Fewer than are folded together, after which a late event is no longer told from an early one.
const MOST: usize = 12;

pub(super) fn check(events: &[StockEvent]) {
    let events = &events[..events.len().min(MOST)];
    positions(events);
    units(events);
}

fn positions(events: &[StockEvent]) {
    let changes: Vec<_> = events.iter().filter_map(change).collect();
    for (product, location, _) in &changes {
        let here: Vec<_> = changes
            .iter()
            .filter(|(p, l, _)| (p, l) == (product, location))
            .map(|(_, _, change)| change)
            .collect();
        let sources = Sources::default();
        let start = Position::unknown(product.clone(), location.clone());
        let forward = after(&start, here.iter().copied(), &sources);
        let backward = after(&start, here.iter().rev().copied(), &sources);
        let (stock, other) = (forward.stock(&sources), backward.stock(&sources));
        assert_eq!(stock, other, "the order matters: {here:?}");
        assert_eq!(forward.sold, backward.sold, "the order matters: {here:?}");
        stock.iter().for_each(within_bounds);
        // A statement that stands is no news. (Movements are told apart by their event's marker.)
        for change in here {
            if matches!(change, PositionChange::Level { .. }) {
                assert_eq!(forward.after(change, &sources), Ok(None), "{change:?}");
            }
        }
    }
}

fn after<'a>(
    start: &Position,
    changes: impl Iterator<Item = &'a PositionChange>,
    sources: &Sources,
) -> Position {
    changes.fold(start.clone(), |position, change| {
        match position.after(change, sources) {
            Ok(next) => next.unwrap_or(position),
            Err(Refusal::Impossible { .. }) => position,
            Err(other) => panic!("a webhook's event is refused: {other}"),
        }
    })
}

fn within_bounds(stock: &Stock) {
    assert!(stock.on_hand >= 0 && stock.backordered >= 0, "{stock:?}");
    assert!(stock.reserved <= stock.on_hand, "{stock:?}");
    assert_eq!(
        stock.available,
        stock.on_hand - stock.reserved - stock.unavailable
    );
    assert!(stock.available >= 0, "{stock:?}");
}

/// What an event changes of which position; nothing for vehicles and descriptions.
fn change(event: &StockEvent) -> Option<(ProductId, LocationId, PositionChange)> {
    let at = event.at;
    let (product, location, change) = match event.change.clone() {
        Change::LevelSet {
            product,
            location,
            level,
            version,
            called,
        } => {
            let source = event.source.clone();
            (
                product,
                location,
                PositionChange::Level {
                    source,
                    level,
                    version,
                    called,
                },
            )
        }
        Change::Moved {
            product,
            location,
            delta,
            ..
        } => (product, location, PositionChange::Move { at, delta }),
        Change::Sold {
            product,
            location,
            quantity,
            deducts,
            ..
        } => {
            let day = day(event);
            (
                product,
                location,
                PositionChange::Sale {
                    at,
                    day,
                    quantity,
                    deducts,
                },
            )
        }
        Change::Item(said) => {
            let source = event.source.clone();
            let (product, location) = (said.product.clone(), said.location.clone());
            let said = *said;
            (product, location, PositionChange::Item { source, said })
        }
        Change::SourceGone {
            product,
            location,
            called,
        } => {
            let source = event.source.clone();
            (product, location, PositionChange::Gone { source, called })
        }
        Change::LevelEnded {
            product,
            location,
            version,
        } => {
            let source = event.source.clone();
            (product, location, PositionChange::Ended { source, version })
        }
        Change::Missing {
            product,
            location,
            version,
        } => {
            let source = event.source.clone();
            (
                product,
                location,
                PositionChange::Missing { source, version },
            )
        }
        Change::OrderLine(_) | Change::Offered(_) | Change::Unit(_) | Change::Described(_) => {
            return None;
        }
    };
    Some((product, location, change))
}

fn day(event: &StockEvent) -> Date {
    event.at.to_zoned(jiff::tz::TimeZone::UTC).date()
}

fn units(events: &[StockEvent]) {
    let reports: Vec<(&ConnectorName, &UnitReport)> = events
        .iter()
        .filter_map(|event| match &event.change {
            Change::Unit(report) => Some((&event.source, &**report)),
            _ => None,
        })
        .collect();
    for (_, first) in &reports {
        let here: Vec<_> = reports
            .iter()
            .filter(|(_, report)| report.vin == first.vin)
            .collect();
        let heard = |unit: Unit, (source, report): &(&ConnectorName, &UnitReport)| {
            unit.after(source, report, 0).unwrap_or(unit)
        };
        let unknown = || Unit::unknown(first.vin.clone());
        let forward = here.iter().copied().fold(unknown(), heard);
        let backward = here.iter().copied().rev().fold(unknown(), heard);
        assert_eq!(forward, backward, "the order matters: {here:?}");
        let counts = forward
            .count(&Authority::default())
            .map(|counted| format!("{counted:?}"));
        assert_eq!(
            counts,
            backward
                .count(&Authority::default())
                .map(|counted| format!("{counted:?}"))
        );
        for (source, report) in here {
            assert_eq!(
                forward.after(source, report, 0),
                None,
                "heard twice: {report:?}"
            );
        }
    }
}
