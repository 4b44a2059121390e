//! What the rules of a configuration name and nothing is known of, or nothing any more: mostly a word that is
//! misspelt, or that a source spells otherwise now. It may come later, so it is told and never refused.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use shared::config::alike;
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
/// What is known of a kind, as it is compared: as it is written, and whether any of it is there.
type Known = BTreeMap<String, (String, bool)>;

/// What rules name.
#[derive(Default)]
struct Named {
    products: BTreeMap<ProductId, String>,
    makes: Names,
    categories: Names,
}

impl Named {
    fn by_rules_of(installation: &Installation) -> Self {
        let mut named = Self::default();
        for rule in &installation.config.rules {
            let scope = &rule.scope;
            if let Some(product) = scope.single_product() {
                let written = match &scope.product {
                    Some(_) => product.to_string(),
                    None => product.in_words(),
                };
                named.products.insert(product, written);
            } else if let Some(make) = &scope.make {
                let compared = scope.folded().make.unwrap_or_default();
                named.makes.insert(compared, make.clone());
            } else if let Some(category) = &scope.category {
                named.categories.insert(folded(category), category.clone());
            }
        }
        named
    }
}

/// A sentence for each kind of what is named and not known; none where nothing at all is known yet.
pub(super) async fn notes(
    context: &Context<'_>,
    installation: &Installation,
) -> Result<Vec<String>, Problem> {
    let store = context.store;
    let products = Named::by_rules_of(installation).products;
    let mut unknown = Vec::new();
    let products: Vec<(ProductId, String)> = products.into_iter().take(LOOKED_FOR).collect();
    if !products.is_empty() && (context.is_late() || !store.any_begins("").await?) {
        return Ok(Vec::new());
    }
    for some in products.chunks(AT_ONCE) {
        if context.is_late() {
            break;
        }
        let known = try_join_all(some.iter().map(|(product, _)| store.is_known(product))).await?;
        let some = some.iter().zip(known).filter(|(_, known)| !known);
        unknown.extend(some.map(|((_, written), _)| format!("`{written}`")));
    }
    let unknown = Found {
        unknown,
        ..Found::default()
    };
    let mut notes = unknown.in_words("product", "products");
    notes.extend(of_groups(context, installation).await?);
    Ok(notes)
}

/// The same of makes and categories alone, which a source may spell otherwise from one day to the next.
pub(super) async fn of_groups(
    context: &Context<'_>,
    installation: &Installation,
) -> Result<Vec<String>, Problem> {
    let Named {
        makes, categories, ..
    } = Named::by_rules_of(installation);
    let nothing_named = makes.is_empty() && categories.is_empty();
    if nothing_named || context.is_late() || !context.store.any_begins("").await? {
        return Ok(Vec::new());
    }
    let mut notes = Vec::new();
    if !makes.is_empty() {
        let found = found_makes(context, &makes).await?;
        notes.extend(found.in_words("make", "makes"));
    }
    if !categories.is_empty()
        && let Some(known) = known_categories(context, installation).await?
    {
        let found = Found::among(&known, &categories);
        notes.extend(found.in_words("category", "categories"));
    }
    Ok(notes)
}

async fn found_makes(context: &Context<'_>, makes: &Names) -> Result<Found, Problem> {
    let store = context.store;
    if let Some(known) = store.makes().await? {
        let known = known
            .into_iter()
            .map(|(make, is_there)| (make.clone(), (make, is_there)));
        return Ok(Found::among(&known.collect(), makes));
    }
    let mut found = Found::default();
    for (compared, written) in makes {
        if !context.is_late() && !store.any_begins(&format!("line:{compared}/")).await? {
            found.unknown.push(format!("`{written}`"));
        }
    }
    Ok(found)
}

/// The categories that products are in; none where there are too many products to tell.
async fn known_categories(
    context: &Context<'_>,
    installation: &Installation,
) -> Result<Option<Known>, Problem> {
    let sources = installation.authority().quantities;
    let (mut known, mut seen, mut cursor) = (Known::new(), 0, None::<String>);
    loop {
        if context.is_late() || seen >= DESCRIBED {
            return Ok(None);
        }
        let page = context.store.products(cursor.as_deref(), PAGE).await?;
        seen += page.items.len();
        let found = page.items.iter().filter_map(|it| it.category(&sources));
        known.extend(found.map(|it| (folded(it), (it.trim().to_owned(), true))));
        cursor = page.next;
        if cursor.is_none() {
            return Ok(Some(known));
        }
    }
}

/// Names of one kind that somebody should know of, each with what may be meant.
#[derive(Default)]
struct Found {
    unknown: Vec<String>,
    /// Known, and nothing of it is there any more.
    gone: Vec<String>,
    /// There, and so is something whose name differs in blanks and signs alone.
    twice: Vec<String>,
}

impl Found {
    fn among(known: &Known, named: &Names) -> Self {
        let bare = |name: &str| {
            name.chars()
                .filter(|c| c.is_alphanumeric())
                .collect::<String>()
        };
        let quoted = |written: &str, meant: &[String]| match meant.is_empty() {
            true => format!("`{written}`"),
            false => format!("`{written}` (perhaps `{}`)", meant.join("` or `")),
        };
        let mut found = Self::default();
        for (compared, written) in named {
            let is_same = |other: &str| other != compared && bare(other) == bare(compared);
            let same = known.iter().filter(|(other, _)| is_same(other));
            let same: Vec<_> = same
                .map(|(other, known)| (other, &known.0, known.1))
                .collect();
            let meant = || match same.is_empty() {
                true => {
                    let others = known.iter().filter(|(other, _)| *other != compared);
                    alike(compared, others.map(|(_, (other, _))| other.clone()))
                }
                false => same.iter().map(|(_, other, _)| (*other).clone()).collect(),
            };
            match known.get(compared) {
                None => found.unknown.push(quoted(written, &meant())),
                Some((_, false)) => found.gone.push(quoted(written, &meant())),
                Some((_, true)) => {
                    // That a rule names both is on purpose.
                    let is_twice = |other: &str, is_there| is_there && !named.contains_key(other);
                    let twice = same
                        .iter()
                        .filter(|(other, _, there)| is_twice(other, *there));
                    let twice: Vec<_> = twice.map(|(_, other, _)| (*other).clone()).collect();
                    if !twice.is_empty() {
                        found.twice.push(quoted(written, &twice));
                    }
                }
            }
        }
        found
    }

    fn in_words(&self, one: &str, several: &str) -> Vec<String> {
        let comes = match self.unknown.len() {
            1 => "it comes",
            _ => "they come",
        };
        let unknown =
            format!("of which nothing is known: they apply once {comes}; or is that misspelt?");
        let gone =
            "of which nothing is there any more: if a source spells that otherwise now, name it so";
        let twice = "which is there in another spelling, too, to which they do not apply";
        let notes = [
            (&self.unknown, unknown.as_str()),
            (&self.gone, gone),
            (&self.twice, twice),
        ];
        let notes = notes.into_iter().filter(|(names, _)| !names.is_empty());
        notes
            .map(|(names, what)| {
                let count = match names.len() {
                    1 => one.to_owned(),
                    count => format!("{count} {several}"),
                };
                let named = &names[..names.len().min(NAMED)];
                let more = match names.len() - named.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("rules name the {count} {}{more}, {what}", named.join(", "))
            })
            .collect()
    }
}

/// A category as rules compare it.
fn folded(category: &str) -> String {
    let scope = Scope {
        category: Some(category.to_owned()),
        ..Scope::default()
    };
    scope.folded().category.unwrap_or_default()
}
