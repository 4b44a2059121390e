//! Every key of the one table, and the questions it answers. Nothing else spells `pk` or `sk`.
//!
//! | item (`t`) | `pk` | `sk` | read by |
//! |---|---|---|---|
//! | `product` | `P#<product>` | `product` | describing a product; `list`: by product |
//! | `names` | `P#<product>` | `product#names` | which SKU a renamed product goes on under, which it had before, and where its items went |
//! | `position` | `P#<product>` | `L#<location>#position` | one position; all positions of a product |
//! | `watch` | `P#<product>` | `L#<location>#watch#<kind>` | with its position, in one query; `due`: time alone may change it; in a list while its alert is open and kept from people |
//! | `watch` | `P#<product>` | `G#<group>#watch#<kind>` | a group's sum |
//! | `unit` | `U#<vin>` | `unit` | one vehicle; `list`: by model line and rooftop, or among those that cannot be counted yet |
//! | `watch` | `U#<vin>` | `watch#<kind>` | with its vehicle |
//! | `ledger` | `H#<of>` | `<revision>` | the history of one position, unit or product, in order |
//! | `marker` | `M#<source>#<event>` | `marker` | has this event been applied? (expires) |
//! | `external` | `X#<connector>#<kind>#<name>` | `external` | which SKU another system means |
//! | `items` | `X#<connector>#<kind>#<product>` | `items` | which items another system's product has |
//! | `order` | `O#<connector>#<order>` | `order` | the first version of an order that was heard of (expires) |
//! | `order_line` | `O#<connector>#<order>` | `line#<line>` | what is known of an order's line (expires) |
//! | `wait` | `N#<connector>#<kind>#<name>` | `<received>` | which webhooks wait for a name (expires) |
//! | `awaited` | `N#<connector>` | `<location>` | which names of locations are waited for (expires) |
//! | `new_names` | `NAMES` | `names` | `due`: a configuration may name what something waits for |
//! | `received` | `R#<connector>#<id>` | `head`, `body#<n>` | a webhook as it came; `list`: by connector and time |
//! | `refused` | `R#<connector>` | `refused` | how many of its webhooks were turned away lately |
//! | `unstated` | `R#<connector>` | `unstated` | what it has moved although nobody has stated how much there is |
//! | `quarantine` | `Q#<id>` | `quarantine` | `list`: by state, newest first |
//! | `held` | `B#<connector>#<reason>` | `held#<id>` | is anything of this kind of quarantine still open? |
//! | `held_kind` | `B#<connector>#<reason>` | `kind` | whether people are to know of this kind; `list`: the source's |
//! | `watch` | `B#<connector>#<reason>` | `watch#<kind>` | its alert |
//! | `alert` | `A#<alert>` | `alert` | with what its last revision says; `list`: by state, newest first |
//! | `revision` | `A#<alert>` | `revision#<n>` | what an earlier revision says, or a group's message |
//! | `intent` | `A#<alert>` | `intent#<n>#<channel>` | with every try; `due`: undelivered; `list`: newest first |
//! | `unwritten` | `A#<alert>` | `unwritten#<n>` | a revision's intents that its transaction did not take; `due`: for the clock |
//! | `group` | `W#<group>` | `group` | a group of alerts: when it speaks next; `due`: for the clock |
//! | `member` | `W#<group>#<shard>` | `wait#<alert>#<n>` | the revisions that wait to be told by the group |
//! | `member` | `W#<group>#<shard>` | `told#<alert>` | what the group told of and may have to bring to mind |
//! | `covered` | `A#<message>` | `covered#<token>#<page>` | the revisions that a group's message speaks of |
//! | `breaker` | `K#<channel>` | `breaker` | is this destination up, and does anybody get what is sent there? |
//! | `feed` | `C#<connector>` | `feed` | a source's health, and its last complete snapshot |
//! | `memory` | `C#<connector>` | `memory` | what the source's module remembers between runs |
//! | `run` | `C#<connector>` | `run#<slot>` | a scheduled run's lock and checkpoint; `list`: a source's runs by time |
//! | `progress` | `C#<connector>` | `progress#<worker>#<n>` | what a run that pauses has compared (expires) |
//! | `lease` | `C#<connector>` | `lease` | who may run the source now |
//! | `snapshot` | `C#<connector>` | `snapshot` | until when the source's whole files cover what they state |
//! | `late` | `L#<connector>` | `L#<location>#<product>` | moved while a file was read that may cover it |
//! | `stated` | `S#<connector>#<shard>` | `L#<location>#<product>`, `U#<vin>` | what a source's files state; what the last did not say; absent from how many in a row |
//! | `watch` | `C#<connector>` | `watch#<kind>` | a source's alerts |
//! | `inbox` | `I#<id>` | `inbox` | `list`: what waits for a person |
//! | `heartbeat` | `HEARTBEAT` | `heartbeat` | when the clock last ticked |
//! | `config` | `CONFIG` | `head`, `document#<version>#<hash>#<n>` | the applied configuration |
//! | `rules_written` | `CONFIG` | `rules` | imported rules wait for the version that brings them into force |
//! | `rule` | `P#<product>` | `rule#<rule>` | rules that were imported for one product, read with it; `list`: every imported rule |
//! | `rule_renamed` | `P#<product>` | `rule#<rule>` | nothing any more: the rule went to the product's new SKU |
//! | `rule` | `RULES#<place>#<products>` | `<rule>` | rules that were imported for more products than one, at one place; each reader asks for those of what it looks at |
//! | `job` | `J#<id>` | `job` | long work that proceeds page by page |
//! | `size` | `J#<id>` | `size` | how much a part of a look at everything had to look at |
//!
//! Two sparse indexes: `list` (`lpk`, `lsk`, everything projected) for what people page through and
//! all positions and vehicles, and `due` (`dpk`, `dsk`, keys only) for what time alone sets off.

use jiff::Timestamp;

use crate::domain::group::GroupId;
use crate::domain::id::{ChannelName, ConnectorName, EventId, GroupName, LocationId};
use crate::domain::rule::Scope;
use crate::domain::{AlertKind, ProductId, Subject};

/// A primary key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Partition key.
    pub pk: String,
    /// Sort key.
    pub sk: String,
}

impl Key {
    pub(crate) fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self {
            pk: pk.into(),
            sk: sk.into(),
        }
    }
}

// A partition takes 1,000 writes a second, and the whole is to take 10,000 changes a second. In pages that
// are merged from all partitions of a list, each of them is read.

/// How many partitions a list ordered by time is spread over, and what else is written once for an alert
/// or for one connector's event.
pub(crate) const SHARDS: u64 = 8;
/// How many partitions a list is spread over that each change of stock is written to, and that is read
/// one partition after the other.
pub(crate) const LIST_SHARDS: u64 = 16;
/// How many partitions the index of what falls due is spread over: each webhook comes and goes there.
pub(crate) const DUE_SHARDS: u64 = 32;

/// What moved while a file of this source was read.
pub(crate) fn late(source: &ConnectorName) -> String {
    format!("L#{source}")
}

/// One of the partitions that list what a source's files state.
pub(crate) fn stated(source: &ConnectorName, shard: u64) -> String {
    format!("S#{source}#{shard}")
}

pub(crate) fn product(product: &ProductId) -> String {
    format!("P#{product}")
}

pub(crate) fn description(of: &ProductId) -> Key {
    Key::new(product(of), "product")
}

/// Beside the description, with which it is read.
pub(crate) fn names(of: &ProductId) -> Key {
    Key::new(product(of), format!("{OF_PRODUCT}#names"))
}

pub(crate) fn position(of: &ProductId, location: &LocationId) -> Key {
    Key::new(product(of), format!("L#{location}#position"))
}

pub(crate) fn unit(vin: &str) -> Key {
    Key::new(format!("U#{vin}"), "unit")
}

pub(crate) fn ledger(of: &str, revision: u64) -> Key {
    Key::new(history(of), format!("{revision:012}"))
}

pub(crate) fn history(of: &str) -> String {
    format!("H#{of}")
}

/// How the ledger names a position.
pub fn position_history(product: &ProductId, location: &LocationId) -> String {
    format!("position {product} {location}")
}

/// Of which product the history of this name is, which is of a position at this location.
pub fn product_of_history(of: &str, location: &LocationId) -> Option<ProductId> {
    let product = of.strip_prefix("position ")?;
    let product = product.strip_suffix(location.as_str())?.strip_suffix(' ')?;
    product.parse().ok()
}

/// How the ledger names a unit.
pub fn unit_history(vin: &str) -> String {
    format!("unit {vin}")
}

/// How the ledger names a product's description.
pub fn product_history(product: &ProductId) -> String {
    format!("product {product}")
}

pub(crate) fn marker(source: &ConnectorName, event: &EventId) -> Key {
    Key::new(format!("M#{source}#{event}"), "marker")
}

pub(crate) fn external(connector: &ConnectorName, kind: &str, name: &str) -> Key {
    Key::new(format!("X#{connector}#{kind}#{name}"), "external")
}

/// A rule that was imported for one product: beside it.
pub(crate) fn imported_rule(rule: &str, of: &ProductId) -> Key {
    Key::new(product(of), format!("rule#{rule}"))
}

/// An imported rule of any scope.
pub(crate) fn rule_of(scope: &Scope, rule: &str) -> Key {
    match scope.single_product() {
        Some(of) => imported_rule(rule, &of),
        None => Key::new(shared_rules(scope), rule),
    }
}

/// The partition of the rules that were imported for more products than one, with this scope. However
/// many are imported, few stand in each.
pub(crate) fn shared_rules(scope: &Scope) -> String {
    let scope = scope.folded();
    let place = match (&scope.location, &scope.group) {
        (Some(location), _) => format!("L#{location}"),
        (None, Some(group)) => format!("G#{group}"),
        (None, None) => String::new(),
    };
    let products = match (&scope.make, &scope.category) {
        (Some(make), _) => format!("make {make}"),
        (None, Some(category)) => format!("category {category}"),
        (None, None) => String::new(),
    };
    format!("RULES#{place}#{products}")
}

pub(crate) fn rules_list(shard: u64) -> String {
    format!("rules#{shard}")
}

/// Partition and sort-key prefix under which a subject's watches stand.
pub(crate) fn watches(subject: &Subject) -> (String, String) {
    match subject {
        Subject::Position {
            product: of,
            location,
        } => (product(of), format!("L#{location}#watch#")),
        Subject::Group { product: of, group } => {
            (product(of), format!("{}watch#", in_group(group)))
        }
        Subject::Unit { vin } => (format!("U#{vin}"), "watch#".into()),
        Subject::Connector { connector } => (self::connector(connector), "watch#".into()),
        Subject::Channel { channel } => (format!("K#{channel}"), "watch#".into()),
        Subject::Quarantine { connector, reason } => {
            (held_partition(connector, reason), "watch#".into())
        }
    }
}

/// The sort keys of all that stands at one of a product's locations begin so.
pub(crate) fn at_location(location: &LocationId) -> String {
    format!("L#{location}#")
}

/// The sort keys of a product's sums over groups begin so.
pub(crate) const SUMS: &str = "G#";
/// From here on stands what a product has at no location: its description and its rules.
pub(crate) const OF_PRODUCT: &str = "product";

pub(crate) fn in_group(group: &GroupName) -> String {
    format!("G#{group}#")
}

pub(crate) fn watch(subject: &Subject, kind: AlertKind) -> Key {
    let (pk, prefix) = watches(subject);
    Key::new(pk, format!("{prefix}{kind}"))
}

pub(crate) fn alert_partition(alert: &str) -> String {
    format!("A#{alert}")
}

pub(crate) fn alert(alert: &str) -> Key {
    Key::new(alert_partition(alert), "alert")
}

pub(crate) fn revision(alert: &str, revision: u32) -> Key {
    Key::new(alert_partition(alert), format!("revision#{revision:06}"))
}

pub(crate) fn intent(alert: &str, revision: u32, channel: &ChannelName) -> Key {
    Key::new(
        alert_partition(alert),
        format!("intent#{revision:06}#{channel}"),
    )
}

pub(crate) fn unwritten(alert: &str, revision: u32) -> Key {
    Key::new(alert_partition(alert), format!("unwritten#{revision:06}"))
}

pub(crate) fn group(group: &GroupId) -> Key {
    Key::new(format!("W#{group}"), "group")
}

/// One of the partitions that a group's members stand in: a storm is written to all of them.
pub(crate) fn members(group: &GroupId, shard: u64) -> String {
    format!("W#{group}#{shard}")
}

/// The sort keys of the members that wait begin so; those of one alert stand together, in order.
pub(crate) const WAITING: &str = "wait#";
/// The sort keys of the members that were told begin so.
pub(crate) const TOLD: &str = "told#";

pub(crate) fn waiting(group: &GroupId, alert: &str, revision: u32) -> Key {
    let partition = members(group, shard(alert, SHARDS));
    Key::new(partition, format!("{WAITING}{alert}#{revision:06}"))
}

pub(crate) fn told(group: &GroupId, alert: &str) -> Key {
    Key::new(
        members(group, shard(alert, SHARDS)),
        format!("{TOLD}{alert}"),
    )
}

pub(crate) fn covered(message: &str, token: &str, page: u32) -> Key {
    Key::new(
        alert_partition(message),
        format!("covered#{token}#{page:06}"),
    )
}

/// The items of another system's product; the kind is that of the items.
pub(crate) fn external_items(connector: &ConnectorName, kind: &str, product: &str) -> Key {
    Key::new(format!("X#{connector}#{kind}#{product}"), "items")
}

pub(crate) fn order(connector: &ConnectorName, order: &str) -> Key {
    Key::new(format!("O#{connector}#{order}"), "order")
}

/// What the sort keys of an order's lines begin with.
pub(crate) const ORDER_LINE: &str = "line#";

pub(crate) fn order_line(connector: &ConnectorName, order: &str, line: &str) -> Key {
    Key::new(
        self::order(connector, order).pk,
        format!("{ORDER_LINE}{line}"),
    )
}

pub(crate) fn waits(connector: &ConnectorName, kind: &str, name: &str) -> String {
    format!("N#{connector}#{kind}#{name}")
}

pub(crate) fn wait(connector: &ConnectorName, kind: &str, name: &str, received: &str) -> Key {
    Key::new(waits(connector, kind, name), received)
}

pub(crate) fn awaited_locations(connector: &ConnectorName) -> String {
    format!("N#{connector}")
}

pub(crate) fn awaited_location(connector: &ConnectorName, name: &str) -> Key {
    Key::new(awaited_locations(connector), name)
}

pub(crate) fn new_names() -> Key {
    Key::new("NAMES", "names")
}

/// Where what is open in quarantine stands, by source and kind.
pub(crate) fn held_partition(connector: &ConnectorName, reason: &str) -> String {
    format!("B#{connector}#{reason}")
}

/// The sort keys of what is open begin so.
pub(crate) const HELD: &str = "held#";

pub(crate) fn held(connector: &ConnectorName, reason: &str, id: &str) -> Key {
    Key::new(held_partition(connector, reason), format!("{HELD}{id}"))
}

/// The list of a source's kinds of which anything is open.
pub(crate) fn held_kinds(connector: &ConnectorName) -> String {
    format!("held#{connector}")
}

pub(crate) fn held_kind(connector: &ConnectorName, reason: &str) -> Key {
    Key::new(held_partition(connector, reason), "kind")
}

pub(crate) fn received(connector: &ConnectorName, id: &str) -> Key {
    Key::new(format!("R#{connector}#{id}"), "head")
}

pub(crate) fn received_body(connector: &ConnectorName, id: &str, part: usize) -> Key {
    Key::new(format!("R#{connector}#{id}"), format!("body#{part:04}"))
}

pub(crate) fn received_list(connector: &ConnectorName) -> String {
    format!("received#{connector}")
}

pub(crate) fn link_key() -> Key {
    Key::new("K#".to_owned(), "link")
}

pub(crate) fn breaker(channel: &ChannelName) -> Key {
    Key::new(format!("K#{channel}"), "breaker")
}

pub(crate) fn quarantined(id: &str) -> Key {
    Key::new(format!("Q#{id}"), "quarantine")
}

pub(crate) fn connector(connector: &ConnectorName) -> String {
    format!("C#{connector}")
}

/// Index keys of something that people page through: a list, and its place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Which list.
    pub list: String,
    /// Where in it.
    pub place: String,
}

impl Listed {
    /// In a list ordered by time that is written so often that one partition could not take it.
    pub(crate) fn spread(list: &str, at: Timestamp, tie: &str) -> Self {
        Self::by_time(part_of_list(list, shard(tie, SHARDS)), at, tie)
    }

    /// In a list ordered by time.
    pub(crate) fn by_time(list: impl Into<String>, at: Timestamp, tie: &str) -> Self {
        Self {
            list: list.into(),
            place: format!("{:015}#{tie}", at.as_millisecond()),
        }
    }
}

/// One of so many partitions, chosen by what is listed, so that none of them runs hot.
pub(crate) fn shard(of: &str, shards: u64) -> u64 {
    // FNV-1a: stable across builds, which `std`'s hasher does not promise. Its low bits depend on the low
    // bits of the characters alone, so numbered names would meet in a few partitions: mixed once more.
    let hash = of.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (hash ^ (hash >> 33)) % shards
}

/// One of the partitions that a busy list ordered by time is spread over.
pub(crate) fn part_of_list(list: &str, shard: u64) -> String {
    format!("{list}#{shard}")
}

/// Beside a connector's webhooks, for whoever may write those.
pub(crate) fn refused(connector: &ConnectorName) -> Key {
    Key::new(format!("R#{connector}"), "refused")
}

/// As above.
pub(crate) fn unstated(connector: &ConnectorName) -> Key {
    Key::new(format!("R#{connector}"), "unstated")
}

pub(crate) fn positions_list(shard: u64) -> String {
    format!("positions#{shard}")
}

pub(crate) fn units_list(shard: u64) -> String {
    format!("units#{shard}")
}

/// A unit's place in its list: beside the others of its model line and rooftop.
pub(crate) fn units_place(product: &ProductId, location: &LocationId, vin: &str) -> String {
    format!("{product}#{location}#{vin}")
}

/// The place in that list of a unit that cannot be counted yet: among no model line's.
pub(crate) fn uncounted_place(vin: &str) -> String {
    format!("uncounted#{vin}")
}

pub(crate) fn products_list(shard: u64) -> String {
    format!("products#{shard}")
}

pub(crate) fn due_list(shard: u64) -> String {
    format!("due#{shard}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_spread_evenly() {
        for shards in [SHARDS, LIST_SHARDS, DUE_SHARDS] {
            let mut counts = vec![0_u64; usize::try_from(shards).unwrap()];
            for number in 0..10_000 * shards {
                // As positions are named where one rooftop after the other has one product more.
                let name = format!("OIL-{number:06}#rooftop-{:03}", number % 200);
                counts[usize::try_from(shard(&name, shards)).unwrap()] += 1;
            }
            let most = counts.iter().max().unwrap();
            assert!(*most < 11_000, "{shards}: {counts:?}");
        }
    }
}
