//! How much there is, and where.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::domain::position::{Holding, Sources};
use shared::domain::{Position, ProductId};
use shared::store::{Page, Store, StoreError};

use super::explain::{beside, configured};
use crate::Context;
use crate::answer::Answer;
use crate::fields::Fields;
use crate::paging::{Wanted, fill};
use crate::problem::Problem;

pub(super) async fn list(context: &Context<'_>) -> Result<Answer, Problem> {
    let mut query = Fields::of_query(context.request);
    let product: Option<ProductId> = query.parsed("product");
    let location: Option<String> = query.parsed("location");
    let wanted = Wanted::read(context.request, &mut query)?;
    query.finish(|| Some(()))?;
    let installation = context.installation().await?;
    let location = location.map(|location| configured(&installation, &location));
    let location = location.transpose()?;
    let sources = installation.authority().quantities;
    let store = context.store;
    let Some(product) = product else {
        let here =
            |position: &Position| location.as_ref().is_none_or(|it| *it == position.location);
        return fill(
            context,
            &wanted,
            |cursor: Option<String>, room| async move {
                let page = store.positions(cursor.as_deref(), room).await?;
                named(store, page).await
            },
            |(position, name)| here(&position).then(|| shown(&position, name, &sources)),
        )
        .await;
    };
    // A product has few positions, and they are read together.
    let mut all = match &location {
        Some(location) => store
            .position(&product, location)
            .await?
            .into_iter()
            .collect(),
        None => store.positions_of(&product).await?,
    };
    all.sort_by(|a: &Position, b| a.location.cmp(&b.location));
    let all = &all;
    fill(
        context,
        &wanted,
        |cursor: Option<String>, room| async move {
            named(store, page_of(all, cursor.as_deref(), room)).await
        },
        |(position, name)| Some(shown(&position, name, &sources)),
    )
    .await
}

fn page_of(all: &[Position], after: Option<&str>, room: i32) -> Page<Position> {
    let mut left = all
        .iter()
        .filter(|it| after.is_none_or(|after| it.location.as_str() > after))
        .cloned();
    let items: Vec<_> = left
        .by_ref()
        .take(usize::try_from(room).unwrap_or(0))
        .collect();
    let last = items.last().map(|it: &Position| it.location.to_string());
    let next = left.next().and(last);
    Page { items, next }
}

/// Positions, each with the SKU that its product has by now, if that is another.
async fn named(
    store: &Store,
    page: Page<Position>,
) -> Result<Page<(Position, Option<ProductId>)>, StoreError> {
    let mut names = BTreeMap::new();
    for position in &page.items {
        let product = &position.product;
        // What it says itself is from when it was renamed.
        let is_sku = product.line().is_none();
        if is_sku && position.renamed_to().is_some() && !names.contains_key(product) {
            let name = store.current_name(product).await?;
            names.insert(product.clone(), Some(name).filter(|it| it != product));
        }
    }
    Ok(page.map(|position| {
        let renamed = position.renamed_to().and(names.get(&position.product));
        let name = match position.product.line() {
            Some(_) => position.renamed_to().cloned(),
            None => renamed.cloned().flatten(),
        };
        (position, name)
    }))
}

/// A position as the API shows it. Quantities that nobody stated are null.
fn shown(position: &Position, name: Option<ProductId>, sources: &Sources) -> Value {
    let stock = position.stock(sources);
    let owner = position.owner(sources);
    json!({
        "product": position.product,
        "location": position.location,
        "on_hand": stock.map(|it| it.on_hand),
        // A promise outlives the statement that it was made by.
        "reserved": stock.map(|it| it.reserved).or((position.held != 0).then_some(position.held)),
        "available": stock.map(|it| it.available),
        "unavailable": stock.map(|it| it.unavailable),
        "incoming": stock.map(|it| it.incoming),
        "backordered": stock.map(|it| it.backordered),
        "projected": stock.map(|it| it.projected()),
        "counted_from_vehicles": matches!(position.holding, Holding::Counted { .. }),
        "stated_by": owner,
        "stated_beside": beside(position, sources),
        "stated_at": owner.and_then(|it| position.stated_by(it)).map(|base| base.version.at),
        "sold_by_day": position.sold,
        "renamed_to": name,
        "revision": position.revision,
    })
}
