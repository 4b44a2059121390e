//! Titles and texts: the defaults, and the ones users write in their place.
//!
//! A template is checked when it is configured, where a mistake can be told to its author. If it
//! still fails when an alert is due, the default speaks instead: a plain alert beats none.
//!
//! A template can neither hang nor explode (`harmless.rs`). Its only statement is `if`, so it runs no longer than it
//! is; there are no names of its own, no `*` and no filter that multiplies, so nothing grows by
//! repetition; source and result are bounded. That leaves no need to meter it.

mod harmless;
mod variables;
mod wording;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::io;

use minijinja::tests::is_none;
use minijinja::value::Value;
use minijinja::{Environment, Template, UndefinedBehavior, filters};
use serde::{Deserialize, Serialize};

use super::facts;
use super::samples;
use crate::domain::alert::{AlertKind, Ending, RevisionKind};
use crate::domain::message::{Message, Stock};
use crate::domain::rule::Basis;
use crate::domain::{ChannelName, Subject};
use harmless::harmless;
pub use variables::VARIABLES;
use wording::default_source;

/// The longest result, in bytes: more than any channel shows.
const LONGEST_RESULT: usize = 64 * 1024;

/// Why a template cannot be used, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct TemplateError {
    /// The line of the source, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// What a user may say about one kind of alert. Whatever is absent keeps its default.
///
/// Templates of the resolved revision are separate, because "just 2 units left" is wrong then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateTexts {
    /// The title while the alert is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The text while the alert is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The title once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_title: Option<String>,
    /// The text once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_text: Option<String>,
}

/// A message in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub title: String,
    /// The sentence, or whatever the user made of it.
    pub text: String,
    /// Why the user's template was passed over, if it was. Worth a warning in the log.
    pub fallback: Option<TemplateError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Title,
    Text,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Slot {
    kind: AlertKind,
    resolved: bool,
    part: Part,
    channel: Option<ChannelName>,
}

/// The templates in force: the defaults, under what users have set.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    own: HashMap<Slot, String>,
    names_places: bool,
}

impl Templates {
    /// Only the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has the defaults name the place of what they speak of, or not: where there is one place, it need not
    /// be said.
    #[must_use]
    pub fn naming_places(mut self, names_places: bool) -> Self {
        self.names_places = names_places;
        self
    }

    /// Puts a user's texts in force for one kind of alert, on one channel or on all of them.
    /// What is set for a channel wins over what is set for all.
    ///
    /// Refused is only what cannot be read or could do harm; [`Templates::check`] tries it on everything,
    /// which is for whoever accepts a configuration and not for each function that starts.
    pub fn set(
        &mut self,
        kind: AlertKind,
        channel: Option<&ChannelName>,
        texts: TemplateTexts,
    ) -> Result<(), TemplateError> {
        let parts = [
            (false, Part::Title, texts.title),
            (false, Part::Text, texts.text),
            (true, Part::Title, texts.resolved_title),
            (true, Part::Text, texts.resolved_text),
        ];
        for (resolved, part, source) in parts {
            let Some(source) = source else { continue };
            readable(&environment(), &source)?;
            let channel = channel.cloned();
            let slot = Slot {
                kind,
                resolved,
                part,
                channel,
            };
            self.own.insert(slot, source);
        }
        Ok(())
    }

    /// Says what is wrong with a template, by trying it on every kind of message there is.
    pub fn check(source: &str) -> Result<(), TemplateError> {
        let environment = environment();
        let template = readable(&environment, source)?;
        let known = context(&samples::full(AlertKind::LowStock, RevisionKind::Opened));
        let mut unknown: Vec<_> = template.undeclared_variables(false).into_iter().collect();
        unknown.retain(|name| !known.contains_key(name.as_str()));
        unknown.sort();
        if let Some(name) = unknown.first() {
            let names: Vec<_> = known.keys().copied().collect();
            let found = source.lines().position(|line| line.contains(name.as_str()));
            return Err(TemplateError {
                line: found.unwrap_or_default() + 1,
                problem: format!(
                    "there is no variable \"{name}\"; there are {}",
                    names.join(", ")
                ),
            });
        }
        for (kind, change) in AlertKind::ALL
            .iter()
            .flat_map(|kind| RevisionKind::ALL.iter().map(move |change| (*kind, *change)))
        {
            for message in [samples::full(kind, change), samples::bare(kind, change)] {
                render(&environment, source, context(&message))?;
            }
        }
        Ok(())
    }

    /// A message in words, for one channel.
    pub fn render(&self, message: &Message, channel: &ChannelName) -> Rendered {
        self.render_for(message, Some(channel))
    }

    /// A message in words, for one channel that shows nothing beside them.
    pub(super) fn render_alone(&self, message: &Message, channel: &ChannelName) -> Rendered {
        match &message.digest {
            Some(_) => self.render(message, channel),
            None => self.sentence(message, Some(channel), (self.names_places, true)),
        }
    }

    /// A message in words, for no channel in particular.
    pub(super) fn by_default(&self, message: &Message) -> Rendered {
        self.render_for(message, None)
    }

    /// A message in words, for one channel or for none in particular.
    pub(super) fn render_for(&self, message: &Message, channel: Option<&ChannelName>) -> Rendered {
        if let Some(digest) = &message.digest {
            return super::digest::render(self, message, digest, channel);
        }
        self.sentence(message, channel, (self.names_places, false))
    }

    /// One alert in words. Among others the place may be said beside it, and its SKU has to be said in it.
    pub(super) fn sentence(
        &self,
        message: &Message,
        channel: Option<&ChannelName>,
        (names_places, names_skus): (bool, bool),
    ) -> Rendered {
        let environment = environment();
        let before = before_place(message).filter(|_| names_places);
        let sku = beside_name(message).filter(|_| names_skus);
        let mut fallback = None;
        let mut part = |part| {
            let own = self.own(message, part, channel);
            if let (Part::Text, Some(text)) = (part, closed(message, before, sku.as_deref())) {
                return text;
            }
            match own.map(|source| render(&environment, source, context(message))) {
                Some(Ok(text)) if text.trim().is_empty() => fallback = Some(empty()),
                Some(Ok(text)) => return text,
                Some(Err(error)) => fallback = Some(error),
                None => {}
            }
            let mut default = Cow::Borrowed(default_source(message.kind, message.change, part));
            if let Some(before) = before {
                let with_place = format!("{PRODUCT} {before} {{{{ location }}}}");
                default = Cow::Owned(default.replace(PRODUCT, &with_place));
            }
            if sku.is_some() {
                let with_sku = format!("{PRODUCT} ({{{{ sku }}}})");
                default = Cow::Owned(default.replace(PRODUCT, &with_sku));
            }
            // The defaults render on every message, which a test proves; the product is the least
            // that must be said if one ever does not.
            render(&environment, &default, context(message))
                .unwrap_or_else(|_| message.product.clone())
        };
        let title = one_line(&part(Part::Title));
        let text = part(Part::Text).trim().to_owned();
        Rendered {
            title,
            text,
            fallback,
        }
    }

    fn own(&self, message: &Message, part: Part, channel: Option<&ChannelName>) -> Option<&str> {
        let mut slot = Slot {
            kind: message.kind,
            resolved: message.change == RevisionKind::Resolved,
            part,
            channel: channel.cloned(),
        };
        let mut found = self.own.get(&slot);
        if found.is_none() {
            slot.channel = None;
            found = self.own.get(&slot);
        }
        found.map(String::as_str)
    }
}

/// How the defaults name what they speak of.
const PRODUCT: &str = "{{ product }}";

/// What stands before the place of what a message speaks of, if it is of a place.
fn before_place(message: &Message) -> Option<&'static str> {
    message.location.as_ref()?;
    match message.subject {
        Subject::Position { .. } => Some("at"),
        Subject::Group { .. } => Some("in"),
        Subject::Unit { .. }
        | Subject::Connector { .. }
        | Subject::Channel { .. }
        | Subject::Quarantine { .. } => None,
    }
}

/// The longest SKU that is said beside a name.
const SHORT_SKU: usize = 24;

/// The SKU that tells a product from others of the same name, if it has one beside that.
fn beside_name(message: &Message) -> Option<String> {
    let (Subject::Position { product, .. } | Subject::Group { product, .. }) = &message.subject
    else {
        return None;
    };
    let sku = product.to_string();
    let is_said = message.product.to_lowercase().contains(&sku.to_lowercase());
    let is_short = sku.chars().count() <= SHORT_SKU;
    (product.line().is_none() && !is_said && is_short).then_some(sku)
}

/// What is said when an alert ends although nothing came back. A user's words for the end would say
/// that something did.
fn closed(message: &Message, before_place: Option<&str>, sku: Option<&str>) -> Option<String> {
    let ending = message.ending.filter(|ending| !ending.is_recovery())?;
    let mut product = Cow::Borrowed(message.product.as_str());
    if let Some(sku) = sku {
        product = Cow::Owned(format!("{product} ({sku})"));
    }
    if let Some((before, place)) = before_place.zip(message.location.as_ref()) {
        product = Cow::Owned(format!("{product} {before} {place}"));
    }
    Some(
        match message
            .renamed_to
            .as_ref()
            .filter(|_| ending == Ending::Renamed)
        {
            Some(line) if line.line().is_some() => {
                let name = message.renamed_name.clone();
                let name = name.unwrap_or_else(|| line.in_words());
                format!("Alert closed: {product} – its vehicles are {name} now.")
            }
            Some(sku) => format!("Alert closed: {product} – it goes on as SKU {sku}."),
            None => {
                let why = ending.in_words();
                // Other alerts of the item may go on.
                let rest = why.strip_prefix("no longer watched,");
                let rest = rest.filter(|_| message.kind.is_about_stock() && !ending.closes_item());
                let kind = message.kind.name().replace('_', " ");
                let why = match rest {
                    Some(rest) => Cow::Owned(format!("no longer watched for {kind},{rest}")),
                    None => Cow::Borrowed(why),
                };
                format!("Alert closed: {product} – {why}.")
            }
        },
    )
}

/// The template, if it is one and does no harm.
fn readable<'environment, 'source>(
    environment: &'environment Environment<'source>,
    source: &'source str,
) -> Result<Template<'environment, 'source>, TemplateError> {
    harmless(source)?;
    environment
        .template_from_str(source)
        .map_err(|error| template_error(&error))
}

/// Everything a template may name. A value that is not known is `none`, and prints as nothing.
fn context(message: &Message) -> BTreeMap<&'static str, Value> {
    let stock = |of: Option<Stock>, field: fn(&Stock) -> i64| Value::from(of.as_ref().map(field));
    let text = |text: &Option<String>| Value::from(text.clone());
    let (sku, vin) = match &message.subject {
        Subject::Position { product, .. } | Subject::Group { product, .. } => {
            (product.line().is_none().then(|| product.to_string()), None)
        }
        Subject::Unit { vin } => (None, Some(vin.clone())),
        Subject::Connector { .. } | Subject::Channel { .. } | Subject::Quarantine { .. } => {
            (None, None)
        }
    };
    let (before, after) = (message.before, message.after);
    BTreeMap::from([
        ("alert", Value::from(message.alert.clone())),
        ("at", Value::from(facts::local_time(message))),
        ("available", stock(after, |stock| stock.available)),
        ("backordered", stock(after, |stock| stock.backordered)),
        ("basis", Value::from(message.compared().map(Basis::name))),
        ("before_available", stock(before, |stock| stock.available)),
        (
            "before_backordered",
            stock(before, |stock| stock.backordered),
        ),
        ("before_incoming", stock(before, |stock| stock.incoming)),
        ("before_on_hand", stock(before, |stock| stock.on_hand)),
        ("before_projected", stock(before, Stock::projected)),
        (
            "before_quantity",
            Value::from(before.map(|stock| message.judged(&stock))),
        ),
        ("before_reserved", stock(before, |stock| stock.reserved)),
        (
            "before_unavailable",
            stock(before, |stock| stock.unavailable),
        ),
        ("change", Value::from(message.change.name())),
        ("days_of_supply", Value::from(message.days_of_supply)),
        ("incoming", stock(after, |stock| stock.incoming)),
        ("kind", Value::from(message.kind.name())),
        ("link", text(&message.link)),
        ("location", text(&message.location)),
        ("notes", Value::from(message.notes.clone())),
        ("on_hand", stock(after, |stock| stock.on_hand)),
        ("product", Value::from(message.product.clone())),
        ("projected", stock(after, Stock::projected)),
        (
            "quantity",
            Value::from(after.map(|stock| message.judged(&stock))),
        ),
        ("reserved", stock(after, |stock| stock.reserved)),
        ("revision", Value::from(message.revision)),
        ("rule", text(&message.rule)),
        ("severity", Value::from(message.severity.name())),
        ("sku", Value::from(sku)),
        ("sold", Value::from(message.sold)),
        ("subject", Value::from(message.subject.to_string())),
        ("threshold", Value::from(message.threshold)),
        ("unavailable", stock(after, |stock| stock.unavailable)),
        ("vin", Value::from(vin)),
        ("why", text(&message.why)),
    ])
}

fn environment<'source>() -> Environment<'source> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(|out, state, value| {
        let value = if value.is_none() {
            &Value::UNDEFINED
        } else {
            value
        };
        // Strict mode has stopped an undefined name before it gets here.
        minijinja::escape_formatter(out, state, value)
    });
    environment.add_filter("abs", filters::abs);
    environment.add_filter("default", filters::default);
    environment.add_filter("first", filters::first);
    environment.add_filter("join", join);
    environment.add_filter("length", filters::length);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("round", filters::round);
    environment.add_filter("title", filters::title);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("upper", filters::upper);
    environment.add_test("none", is_none);
    environment
}

/// As Jinja's `join`, but bounded: joining by something joined would multiply.
fn join(values: Vec<String>, joiner: Option<String>) -> Result<String, minijinja::Error> {
    let joiner = joiner.unwrap_or_default();
    let size = values
        .iter()
        .map(|value| value.len() + joiner.len())
        .sum::<usize>();
    if size > LONGEST_RESULT {
        return Err(too_long());
    }
    Ok(values.join(&joiner))
}

fn render(
    environment: &Environment<'_>,
    source: &str,
    context: BTreeMap<&'static str, Value>,
) -> Result<String, TemplateError> {
    harmless(source)?;
    let mut result = Bounded(Vec::new());
    environment
        .template_from_str(source)
        .and_then(|template| template.render_captured_to(context, &mut result).map(drop))
        .map_err(|error| template_error(&error))?;
    String::from_utf8(result.0).map_err(|_| TemplateError {
        line: 1,
        problem: "the result is not text".into(),
    })
}

/// A writer that stops a result from growing without end.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST_RESULT {
            return Err(io::Error::other(too_long()));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A vendor refuses a message that says nothing.
fn empty() -> TemplateError {
    TemplateError {
        line: 1,
        problem: "the result is empty".into(),
    }
}

fn too_long() -> minijinja::Error {
    minijinja::Error::new(
        minijinja::ErrorKind::InvalidOperation,
        format!("the result is longer than {LONGEST_RESULT} bytes"),
    )
}

fn template_error(error: &minijinja::Error) -> TemplateError {
    let problem = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    TemplateError {
        line: error.line().unwrap_or(1),
        problem,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
