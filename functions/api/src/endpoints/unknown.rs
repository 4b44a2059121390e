//! What the rules of a configuration name and nothing is known of: mostly a word that is misspelt. It may come
//! later, so it is told and never refused.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use shared::domain::ProductId;
use shared::domain::rule::Scope;
use shared::installation::Installation;

use crate::Context;
use crate::problem::Problem;

/// How many are named of each kind.
const NAMED: usize = 10;
/// How many products are looked for, and how many at once.
const LOOKED_FOR: usize = 500;
const AT_ONCE: usize = 16;
/// Among how many described products a category is looked for, as there is no list of categories; and how
/// many are read at once.
const DESCRIBED: usize = 5_000;
const PAGE: i32 = 500;

/// As it is compared, and as it is written.
type Names = BTreeMap<String, String>;

/// A sentence for each kind of what is named and not known; none where nothing at all is known yet.
pub(super) async fn notes(
    context: &Context<'_>,
    installation: &Installation,
) -> Result<Vec<String>, Problem> {
    let mut products = BTreeMap::new();
    let (mut makes, mut categories) = (Names::new(), Names::new());
    for rule in &installation.config.rules {
        let scope = &rule.scope;
        if let Some(product) = scope.single_product() {
            let written = match &scope.product {
                Some(_) => product.to_string(),
                None => product.in_words(),
            };
            products.insert(product, written);
        } else if let Some(make) = &scope.make {
            let compared = scope.folded().make.unwrap_or_default();
            makes.insert(compared, make.clone());
        } else if let Some(category) = &scope.category {
            categories.insert(folded(category), category.clone());
        }
    }
    let store = context.store;
    let nothing_named = products.is_empty() && makes.is_empty() && categories.is_empty();
    if nothing_named || context.is_late() || !store.any_begins("").await? {
        return Ok(Vec::new());
    }
    let mut unknown = Vec::new();
    let products: Vec<(ProductId, String)> = products.into_iter().take(LOOKED_FOR).collect();
    for some in products.chunks(AT_ONCE) {
        if context.is_late() {
            break;
        }
        let known = try_join_all(some.iter().map(|(product, _)| store.is_known(product))).await?;
        let some = some.iter().zip(known).filter(|(_, known)| !known);
        unknown.extend(some.map(|((_, written), _)| written.clone()));
    }
    let mut notes: Vec<String> = note("product", "products", &unknown).into_iter().collect();
    let mut unknown = Vec::new();
    for (compared, written) in makes {
        if !context.is_late() && !store.any_begins(&format!("line:{compared}/")).await? {
            unknown.push(written);
        }
    }
    notes.extend(note("make", "makes", &unknown));
    let unknown = without_known(context, installation, categories).await?;
    notes.extend(note("category", "categories", &unknown));
    Ok(notes)
}

/// Of some categories those that no product is in; none where there are too many products to tell.
async fn without_known(
    context: &Context<'_>,
    installation: &Installation,
    mut categories: Names,
) -> Result<Vec<String>, Problem> {
    let sources = installation.authority().quantities;
    let (mut seen, mut cursor) = (0, None::<String>);
    while !categories.is_empty() {
        if context.is_late() || seen >= DESCRIBED {
            return Ok(Vec::new());
        }
        let page = context.store.products(cursor.as_deref(), PAGE).await?;
        seen += page.items.len();
        let found = page.items.iter().filter_map(|it| it.category(&sources));
        let found: BTreeSet<_> = found.map(folded).collect();
        categories.retain(|compared, _| !found.contains(compared));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(categories.into_values().collect())
}

/// A category as rules compare it.
fn folded(category: &str) -> String {
    let scope = Scope {
        category: Some(category.to_owned()),
        ..Scope::default()
    };
    scope.folded().category.unwrap_or_default()
}

fn note(one: &str, several: &str, unknown: &[String]) -> Option<String> {
    let (what, it) = match unknown.len() {
        0 => return None,
        1 => (one.to_owned(), "it"),
        count => (format!("{count} {several}"), "they"),
    };
    let named: Vec<_> = unknown
        .iter()
        .take(NAMED)
        .map(|it| format!("`{it}`"))
        .collect();
    let more = match unknown.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "rules name the {what} {}{more}, of which nothing is known yet: they apply once {it} come{}; or is \
         that misspelt?",
        named.join(", "),
        if unknown.len() == 1 { "s" } else { "" },
    ))
}
