//! Changes of stock that somebody asks for.

use http::{HeaderName, StatusCode};
use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::domain::catalogue::Directory;
use shared::domain::ledger::LedgerRow;
use shared::domain::position::Refusal;
use shared::domain::{Authority, EventId, LocationId};
use shared::store::movements::{Act, Movement};
use shared::store::stock::ApplyError;
use shared::store::{StoreError, keys};

use super::explain::like;
use crate::Context;
use crate::answer::Answer;
use crate::fields::Fields;
use crate::problem::Problem;

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// How far ahead of ours a caller's clock may be.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

pub(super) async fn carry_out(context: &Context<'_>) -> Result<Answer, Problem> {
    Fields::of_query(context.request).finish(|| Some(()))?;
    let key = idempotency_key(context)?;
    let installation = context.installation().await?;
    let movement = read(context, key, &installation.config.locations)?;
    let authority = installation.authority();
    let moved = match context.store.carry_out(&movement, &authority).await {
        Ok(moved) => moved,
        Err(error) => return Err(refused(context, &movement, &authority, error).await?),
    };
    let places = [Some(&movement.location), destination(&movement.act)];
    let mut shown = moved
        .rows
        .iter()
        .zip(places.into_iter().flatten())
        .map(|(row, location)| position(&movement, location, row));
    let mut body = json!({
        "id": movement.key,
        "type": movement.act.name(),
        "position": shown.next(),
    });
    if let Some(arrived) = shown.next() {
        body["to_position"] = arrived;
    }
    let answer = Answer::new(StatusCode::CREATED, body);
    Ok(if moved.replayed {
        answer.with(REPLAYED, "true")
    } else {
        answer
    })
}

/// Why it was not carried out: of a transfer, where; of a product of which nothing is known, which may be
/// meant.
async fn refused(
    context: &Context<'_>,
    movement: &Movement,
    authority: &Authority,
    error: ApplyError,
) -> Result<Problem, StoreError> {
    let (store, product) = (context.store, &movement.product);
    let of_nothing = matches!(error, ApplyError::Refused(Refusal::NoData));
    let takes_too_much = matches!(error, ApplyError::Refused(Refusal::Insufficient { .. }));
    let mut problem = Problem::from(error);
    if let Some(destination) = destination(&movement.act)
        && (of_nothing || takes_too_much)
    {
        let from = store.position(product, &movement.location).await?;
        let is_known = from.is_some_and(|from| from.stock(&authority.quantities).is_some());
        let place = match of_nothing && is_known {
            true => destination,
            false => &movement.location,
        };
        problem = problem.with("location", place);
    }
    if !of_nothing
        || store.product(product).await?.is_some()
        || !store.positions_of(product).await?.is_empty()
    {
        return Ok(problem);
    }
    let like = like(store, product).await?;
    let meant = match &like[..] {
        [] => String::new(),
        like => format!("; is `{}` meant?", like.join("` or `")),
    };
    Ok(problem.detailed(format!(
        "nothing is known of `{product}`{meant} (only if it is new, send a movement of type `count` first)"
    )))
}

fn idempotency_key(context: &Context<'_>) -> Result<EventId, Problem> {
    let missing = |detail: String| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "idempotency_key_missing",
            "An idempotency key is needed",
            detail,
        )
    };
    let key = context.request.header("idempotency-key").ok_or_else(|| {
        missing(
            "send an Idempotency-Key header that is new for each movement, such as a UUID"
                .to_owned(),
        )
    })?;
    key.parse().map_err(|error| {
        missing(format!(
            "the Idempotency-Key header cannot be used: {error}"
        ))
    })
}

fn read(context: &Context<'_>, key: EventId, directory: &Directory) -> Result<Movement, Problem> {
    let mut body = Fields::of_body(context.request)?;
    let kind: Option<String> = body.required("type");
    let product = body.required("product");
    let location = place(&mut body, "location", directory);
    let act = kind.and_then(|kind| act(&kind, location.as_ref(), &mut body, directory));
    let at = body.time("at");
    if at.is_some_and(|at| at > context.now().saturating_add(SKEW).unwrap_or(at)) {
        body.refuse("at", "lies in the future");
    }
    let (reason, actor) = (body.text("reason", 500), body.text("actor", 100));
    body.finish(|| {
        Some(Movement {
            key,
            product: product?,
            location: location?,
            act: act?,
            at,
            reason,
            actor: actor.or_else(|| context.request.actor().map(str::to_owned)),
        })
    })
}

/// A place of the configuration, by its id or as people call it: stock at any other would belong to no
/// rule and no zone.
fn place(body: &mut Fields, field: &'static str, directory: &Directory) -> Option<LocationId> {
    let called: String = body.required(field)?;
    let known = directory.called(&called);
    if known.is_none() {
        let places = directory.in_words();
        body.refuse(
            field,
            format!("`{called}` is not in the configuration; {places}"),
        );
    }
    known.map(|known| known.id.clone())
}

fn act(
    kind: &str,
    from: Option<&LocationId>,
    body: &mut Fields,
    directory: &Directory,
) -> Option<Act> {
    Some(match kind {
        "adjustment" => Act::Adjustment {
            delta: body.required_integer("delta")?,
        },
        "transfer" => {
            let quantity = body.required_integer("quantity");
            let to = place(body, "to_location", directory);
            if from.is_some() && from == to.as_ref() {
                body.refuse("to_location", "is where the units are already");
            }
            Act::Transfer {
                quantity: quantity?,
                to_location: to?,
            }
        }
        _ => {
            let quantity = body.required_integer("quantity");
            match kind {
                "receipt" => Act::Receipt {
                    quantity: quantity?,
                },
                "return" => Act::Return {
                    quantity: quantity?,
                },
                "sale" => Act::Sale {
                    quantity: quantity?,
                },
                "count" => Act::Count {
                    quantity: quantity?,
                },
                "reserve" => Act::Reserve {
                    quantity: quantity?,
                },
                "release" => Act::Release {
                    quantity: quantity?,
                },
                other => {
                    let known =
                        "receipt, return, adjustment, transfer, sale, count, reserve, release";
                    body.refuse("type", format!("`{other}` is none of {known}"));
                    return None;
                }
            }
        }
    })
}

fn destination(act: &Act) -> Option<&LocationId> {
    match act {
        Act::Transfer { to_location, .. } => Some(to_location),
        _ => None,
    }
}

/// A position as the movement left it.
fn position(movement: &Movement, location: &LocationId, row: &LedgerRow) -> Value {
    let quantity = |name: &str| row.after.get(name).cloned().unwrap_or_default();
    json!({
        // The SKU that it has by now.
        "product": keys::product_of_history(&row.of, location).as_ref().unwrap_or(&movement.product),
        "location": location,
        "on_hand": quantity("on_hand"),
        "reserved": quantity("reserved"),
        "available": quantity("available"),
        "incoming": quantity("incoming"),
        "backordered": quantity("backordered"),
        "revision": row.revision,
        "at": row.at,
    })
}
