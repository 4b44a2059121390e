//! Settings of the systems that stock is read from.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::declare::{choice, kinds, parsed, settings};
use super::document::{Fields, Node};
use super::error::Problems;
use super::format::Format;
use super::network::Network;
use super::setting::{Section, Setting, kinds_schema};
use super::value::{Bytes, Grace, HeaderName, JsonPointer, Percent, ShopName};
use crate::domain::LocationId;
use crate::domain::alert::named;
use crate::domain::catalogue::Directory;
use crate::domain::distance::DistanceUnit;
use crate::domain::item::SameSku;
use crate::domain::money::Currency;
use crate::domain::spelling::same_name;
use crate::domain::unit::UnitState;
use crate::feeds::pickup::{PickupSettings, ReadyWhen};
use crate::feeds::transport::SourceSettings;
use crate::secrets::SecretRef;

/// One connected system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connector {
    /// What every connector has.
    #[serde(flatten)]
    pub common: ConnectorCommon,
    /// What its kind has.
    pub settings: ConnectorSettings,
}

settings! {
    /// What every connector has.
    pub struct ConnectorCommon {
        /// `false` switches it off: its webhooks are refused and it is not read. What it stated stands; of
        /// one that is removed it ends.
        enabled: bool = true,
        /// Its names for locations, and ours. Stock at a place that is not listed is quarantined; files
        /// of a source that lists none may use our own ids and names.
        locations: BTreeMap<String, LocationId> = BTreeMap::new(),
    }
}

kinds! {
    /// What a connector's kind has.
    pub enum ConnectorSettings {
        /// A Shopify shop.
        Shopify(Shopify) => "shopify",
        /// Dealertrack DMS.
        Dealertrack(Box<Dealertrack>) => "dealertrack",
        /// Any program that signs its webhooks by the Standard Webhooks specification.
        Generic(Generic) => "generic",
        /// Files dropped in a folder or on a server. There Lotwire makes three folders: a file lies in
        /// `processing/` while it is read, in `archive/` when it was applied, and in `error/` when it
        /// was refused, or applied but not believed; `lotwire status` says which, and why. Of a file
        /// that was refused nothing is applied. Of one that is not believed, because it is cut off, much
        /// smaller than usual or has too few usable rows, the usable rows are applied, but for a last one
        /// that may be cut, and nothing is removed. Mend it and drop it again, or wait for the next one:
        /// a whole file says everything anew.
        Files(Files) => "files",
    }
}

impl Setting for Connector {
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        let mut fields = Fields::of(node, problems)?;
        let common = ConnectorCommon::take(&mut fields, problems);
        let settings = ConnectorSettings::take(&mut fields, problems);
        fields.finish(problems);
        Some(Self {
            common: common?,
            settings: settings?,
        })
    }
    fn expected() -> String {
        "a table".to_owned()
    }
    fn schema() -> Value {
        kinds_schema(ConnectorCommon::described, ConnectorSettings::described())
    }
}

impl ConnectorCommon {
    /// The place that a file means by a name: as the connector lists it, or where it lists none, as we
    /// call it ourselves. Case does not matter where it leaves one only.
    pub fn called_in_files(&self, name: &str, locations: &Directory) -> Option<LocationId> {
        let mut meant = self.meant_in_files(name, locations).into_iter();
        meant.next().filter(|_| meant.next().is_none()).cloned()
    }

    /// The places that a file may mean by a name.
    pub fn meant_in_files<'a>(
        &'a self,
        name: &str,
        locations: &'a Directory,
    ) -> BTreeSet<&'a LocationId> {
        if let Some(exact) = self.locations.get(name) {
            return BTreeSet::from([exact]);
        }
        if self.locations.is_empty() {
            let ours = locations.all_called(name).into_iter();
            return ours.map(|it| &it.id).collect();
        }
        let alike = self.locations.iter();
        let alike = alike.filter(|(theirs, _)| same_name(theirs, name));
        alike.map(|(_, ours)| ours).collect()
    }
}

impl Connector {
    /// The place of ours that it means by a name.
    pub fn called(&self, name: &str, locations: &Directory) -> Option<LocationId> {
        if let ConnectorSettings::Files(_) = self.settings {
            return self.common.called_in_files(name, locations);
        }
        let name = name.trim();
        let listed = self.common.locations.get(name).cloned();
        listed.or_else(|| Some(locations.location(&name.parse().ok()?)?.id.clone()))
    }

    /// The place that it is about, if it lists one and no other.
    pub fn only_place(&self) -> Option<&LocationId> {
        let mut listed = self.common.locations.values();
        let first = listed.next()?;
        listed.all(|place| place == first).then_some(first)
    }

    /// Whether what it states can be about this place of ours.
    pub fn can_name(&self, location: &LocationId, locations: &Directory) -> bool {
        if self
            .common
            .locations
            .values()
            .any(|listed| listed == location)
        {
            return true;
        }
        let by_our_name = match &self.settings {
            // Files of a source that lists places can be of no others.
            ConnectorSettings::Files(_) => self.common.locations.is_empty(),
            // A shop calls places by numbers.
            ConnectorSettings::Shopify(_) => {
                location.as_str().bytes().all(|byte| byte.is_ascii_digit())
            }
            ConnectorSettings::Dealertrack(_) | ConnectorSettings::Generic(_) => true,
        };
        by_our_name && locations.location(location).is_some()
    }
}

settings! {
    /// How an incoming webhook is checked.
    pub struct Webhook {
        /// The secret that the sender signs with.
        secret: SecretRef,
        /// The secret before that, during a rotation.
        previous_secret: Option<SecretRef> = None,
        /// The largest body that is accepted, in bytes. The bound is what fits, as base64, into the
        /// 6 MB that Lambda takes.
        body_limit: Bytes = Bytes(1_048_576),
        /// How old, or how far ahead of our clock, a signed time may be.
        tolerance: SignedDuration = SignedDuration::from_mins(5),
        /// The blocks of addresses it may come from; empty accepts any.
        allow_from: Vec<Network> = Vec::new(),
    }
}

settings! {
    /// A Shopify shop.
    pub struct Shopify {
        /// The shop's name: what stands before `.myshopify.com`.
        shop: ShopName,
        /// How an order counts: `demand` where the shop reports its levels itself, `deduct` where
        /// an order is the only word we get.
        orders: Orders = Orders::Demand,
        /// Where an order counts that names no location, as those of the web shop do; without it
        /// they are quarantined.
        default_location: Option<LocationId> = None,
        /// What to make of several inventory items with one SKU at one location: `conflict` tells
        /// people, and stock stays as it was; `sum` adds them up.
        same_sku: SameSku = SameSku::Conflict,
        /// How long after its last webhook people are told that nothing comes any more (`feed_stale`), 5
        /// minutes to 7 days; unset, they are not.
        stale_after: Option<SignedDuration> = None,
        /// How its webhooks are checked; the secret is the app's client secret.
        webhook: Webhook,
        /// The Admin API's access token, for reading levels.
        access_token: Option<SecretRef> = None,
        /// The version of the Admin API.
        api_version: String = "2026-10".to_owned(),
        /// Another address of the Admin API.
        base_url: Option<Url> = None,
    }
}

settings! {
    /// Dealertrack DMS.
    pub struct Dealertrack {
        /// How its webhooks are authenticated.
        verify: Verify,
        /// The largest body that is accepted, in bytes. The bound is what fits, as base64, into the
        /// 6 MB that Lambda takes.
        body_limit: Bytes = Bytes(1_048_576),
        /// How far ahead of our clock an event's time may be.
        tolerance: SignedDuration = SignedDuration::from_mins(5),
        /// The blocks of addresses it may come from; empty accepts any.
        allow_from: Vec<Network> = Vec::new(),
        /// How long after its last webhook people are told that nothing comes any more (`feed_stale`), 5
        /// minutes to 7 days; unset, they are not.
        stale_after: Option<SignedDuration> = None,
        /// Where in the body each fact stands.
        pointers: Pointers,
        /// Its names for events, and ours.
        events: BTreeMap<String, VehicleEvent>,
        /// Its codes for the state of stock, and ours. A code that is not listed states nothing.
        statuses: BTreeMap<String, UnitState> = known_statuses(),
        /// What prices are in that name no currency.
        currency: Currency = Currency::USD,
        /// What odometers count that name no unit.
        distance: DistanceUnit = DistanceUnit::Miles,
        /// Whether what a webhook says is taken as fact (`trusted`), or only as a hint to look the
        /// vehicle up (`lookup`).
        payload: Payload = Payload::Lookup,
        /// The enterprise code that the dealer was given, for look-ups.
        enterprise: Option<String> = None,
        /// The user name for look-ups.
        username: Option<SecretRef> = None,
        /// The password for look-ups.
        password: Option<SecretRef> = None,
        /// The address of the OpenTrack services.
        base_url: Option<Url> = None,
    }
}

settings! {
    /// JSON pointers (RFC 6901) into a webhook's body.
    pub struct Pointers {
        /// The event's id, the same on every repeat.
        event_id: JsonPointer,
        /// The event's type, as named in `events`.
        event_type: JsonPointer,
        /// The VIN.
        vin: JsonPointer,
        /// The company number, as named in `locations`.
        company: JsonPointer,
        /// When it happened.
        time: JsonPointer,
        /// The list of events, where a body holds several; the others then point into one of them.
        list: Option<JsonPointer> = None,
        /// The company it went to, for a transfer.
        to_company: Option<JsonPointer> = None,
        /// The stock number.
        stock_number: Option<JsonPointer> = None,
        /// The make.
        make: Option<JsonPointer> = None,
        /// The model.
        model: Option<JsonPointer> = None,
        /// The trim.
        trim: Option<JsonPointer> = None,
        /// The model year.
        year: Option<JsonPointer> = None,
        /// The exterior colour.
        colour: Option<JsonPointer> = None,
        /// The asking price.
        price: Option<JsonPointer> = None,
        /// The odometer.
        mileage: Option<JsonPointer> = None,
        /// The stock status, as named in `statuses`.
        status: Option<JsonPointer> = None,
        /// The day it came into stock.
        since: Option<JsonPointer> = None,
        /// New or used.
        condition: Option<JsonPointer> = None,
    }
}

/// The two codes that are known from recorded answers: in stock, and a customer's own.
fn known_statuses() -> BTreeMap<String, UnitState> {
    [("I", UnitState::InStock), ("C", UnitState::Removed)]
        .map(|(code, state)| (code.to_owned(), state))
        .into()
}

settings! {
    /// Any program that signs its webhooks by the Standard Webhooks specification.
    pub struct Generic {
        /// How long after its last webhook people are told that nothing comes any more (`feed_stale`), 5
        /// minutes to 7 days; unset, they are not.
        stale_after: Option<SignedDuration> = None,
        /// How its webhooks are checked.
        webhook: Webhook,
    }
}

settings! {
    /// Files dropped in a folder or on a server.
    pub struct Files {
        /// Where they are: `sftp://user@host:22/drop/`, `ftps://…`, `https://…`, or a folder.
        url: String,
        /// Which files are meant; none that another source takes from there.
        glob: String = "*".to_owned(),
        /// The password.
        password: Option<SecretRef> = None,
        /// The private key, in OpenSSH format.
        private_key: Option<SecretRef> = None,
        /// The private key's passphrase.
        passphrase: Option<SecretRef> = None,
        /// The bearer token, for `https`.
        token: Option<SecretRef> = None,
        /// The server's key: `SHA256:…`, as `ssh-keygen -lf` prints it.
        host_key: Option<String> = None,
        /// A certificate authority to trust beside the system's, as PEM, for `ftps`.
        extra_root: Option<String> = None,
        /// `true` permits FTP and HTTP without encryption.
        insecure: bool = false,
        /// How long one step of the transfer may take.
        timeout: SignedDuration = SignedDuration::from_secs(30),
        /// When a file is complete enough to be picked up.
        ready: Ready = Ready::Stable,
        /// How long a file must not change before it counts as `stable`.
        stable_for: SignedDuration = SignedDuration::from_secs(30),
        /// What is added to a file's name to name its marker.
        done_suffix: String = ".done".to_owned(),
        /// What is added to a file's name to name its checksum.
        checksum_suffix: String = ".sha256".to_owned(),
        /// How a file is written.
        format: Format = Format::default(),
        /// What a file leaves out: `all` of the stock is in each file, or only the `changes`. A file of
        /// `all` states what is there when it is written, also where a row has an older time of its
        /// own: a count or a sale from before that yields to it.
        covers: Covers = Covers::All,
        /// How long after the last good file people are told that the feed is stale.
        stale_after: SignedDuration = SignedDuration::from_mins(45),
        /// How many removals one file may bring before they are held for approval.
        max_removals: MaxRemovals = MaxRemovals { count: 10, percent: Percent(10) },
        /// In how many complete files in a row something must be missing before it is removed. What another source has stated since this one last listed it stands all the same, unless this one owns quantities. What a person has counted since it was first missing has all that time again.
        grace: Grace = Grace(2),
        /// The rows a file must have, in percent of the usual number; with fewer it is held. With 0 it may
        /// have none at all.
        min_rows_percent: Percent = Percent(70),
        /// The rows that must be usable, in percent of all rows of a file; with fewer it does not
        /// count as a good file, and nothing is removed by it. Rows of a place that `locations` does not
        /// list are told, but not counted here if the place is known otherwise: it is one of yours, stands
        /// in another connector's list, or was in this one's when an earlier file was read.
        min_usable_percent: Percent = Percent(50),
        /// What several different rows for one SKU at one place are: a `conflict`, where none of
        /// them is believed, or parts to `sum`, such as bins. Equal rows of a conflict are one. In a
        /// file of `changes` such rows follow each other: the later one counts, by its time, else by
        /// its place in the file.
        repeated: Repeated = Repeated::Conflict,
        /// Its words for the state of a vehicle, and ours, beside the words listed below. A word that
        /// is in neither states nothing.
        statuses: BTreeMap<String, UnitState> = BTreeMap::new(),
    }
}

impl ConnectorSettings {
    /// Of one that sends webhooks, how long it may be silent, if that is bounded; nothing of any other.
    pub fn silence(&self) -> Option<Option<SignedDuration>> {
        match self {
            Self::Shopify(shopify) => Some(shopify.stale_after),
            Self::Dealertrack(dealertrack) => Some(dealertrack.stale_after),
            Self::Generic(generic) => Some(generic.stale_after),
            Self::Files(_) => None,
        }
    }
}

impl Files {
    /// Where the files are, as the transports take it.
    pub fn source(&self) -> SourceSettings {
        SourceSettings {
            url: self.url.clone(),
            host_key: self.host_key.clone(),
            insecure: self.insecure,
            extra_root: self.extra_root.clone(),
            timeout_seconds: whole_seconds(self.timeout),
        }
    }

    /// Which files are meant, and when they are ready.
    pub fn pickup(&self) -> PickupSettings {
        PickupSettings {
            glob: self.glob.clone(),
            ready: match self.ready {
                Ready::DoneMarker => ReadyWhen::DoneMarker,
                Ready::Checksum => ReadyWhen::Checksum,
                Ready::Stable => ReadyWhen::Stable,
            },
            stable_seconds: whole_seconds(self.stable_for),
            done_suffix: self.done_suffix.clone(),
            checksum_suffix: self.checksum_suffix.clone(),
        }
    }

    /// The rows a file must have, as a share of the usual number.
    pub fn min_rows_share(&self) -> f64 {
        f64::from(self.min_rows_percent.get()) / 100.0
    }

    /// The rows that must be usable, as a share of all.
    pub fn min_usable_share(&self) -> f64 {
        f64::from(self.min_usable_percent.get()) / 100.0
    }
}

/// Rounded up, so that a short wait does not become none.
fn whole_seconds(span: SignedDuration) -> u32 {
    let seconds = span
        .as_secs()
        .saturating_add(i64::from(span.subsec_nanos() > 0));
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

settings! {
    /// Removals are held when they exceed both.
    pub struct MaxRemovals {
        /// This many rows.
        count: u32 = 10,
        /// This share of all rows.
        percent: Percent = Percent(10),
    }
}

kinds! {
    /// How a webhook is authenticated.
    pub enum Verify {
        /// An HMAC-SHA256 of the raw body in a header.
        HmacSha256(VerifyHmac) => "hmac-sha256",
        /// A user name and a password.
        Basic(VerifyBasic) => "basic",
        /// A secret as the value of a header.
        HeaderSecret(VerifyHeader) => "header-secret",
    }
}

settings! {
    /// An HMAC-SHA256 of the raw body in a header.
    pub struct VerifyHmac {
        /// The header.
        header: HeaderName,
        /// How the signature is written.
        encoding: SignatureEncoding = SignatureEncoding::Hex,
        /// What stands before the signature, such as `sha256=`.
        prefix: Option<String> = None,
        /// The secret that the sender signs with.
        secret: SecretRef,
        /// The secret before that, during a rotation.
        previous_secret: Option<SecretRef> = None,
    }
}

settings! {
    /// A user name and a password.
    pub struct VerifyBasic {
        /// The user name.
        username: String,
        /// The password.
        password: SecretRef,
        /// The password before that, during a rotation.
        previous_password: Option<SecretRef> = None,
    }
}

settings! {
    /// A secret as the value of a header.
    pub struct VerifyHeader {
        /// The header.
        header: HeaderName,
        /// Its value.
        secret: SecretRef,
        /// The value before that, during a rotation.
        previous_secret: Option<SecretRef> = None,
    }
}

impl Setting for Verify {
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        let mut fields = Fields::of(node, problems)?;
        let read = Self::take(&mut fields, problems);
        fields.finish(problems);
        read
    }
    fn expected() -> String {
        "a table such as `{ kind = \"header-secret\", header = \"…\", secret = \"env:…\" }`"
            .to_owned()
    }
    fn schema() -> Value {
        kinds_schema(Vec::new, Self::described())
    }
}

named!(
    /// How an order counts.
    Orders {
        /// As demand; the shop's own levels say what is left.
        Demand => "demand",
        /// As demand, and it takes stock away.
        Deduct => "deduct",
    }
);
named!(
    /// What a webhook's body is worth.
    Payload {
        /// It is fact.
        Trusted => "trusted",
        /// It is a reason to look.
        Lookup => "lookup",
    }
);
named!(
    /// What happened to a vehicle.
    VehicleEvent {
        /// It is new in stock.
        Stocked => "stocked",
        /// Something about it changed.
        Updated => "updated",
        /// A customer has put money on it.
        Reserved => "reserved",
        /// It is sold.
        Sold => "sold",
        /// It went to another rooftop.
        Transferred => "transferred",
        /// It left the stock in some other way.
        Removed => "removed",
        /// Not for us.
        Ignored => "ignored",
    }
);
named!(
    /// When a file may be picked up.
    Ready {
        /// Once `<name>.done` lies beside it.
        DoneMarker => "done_marker",
        /// Once `<name>.sha256` lies beside it.
        Checksum => "checksum",
        /// Once it has not changed for a while.
        Stable => "stable",
    }
);
named!(
    /// What a file holds.
    Covers {
        /// The whole stock: what is missing is gone.
        All => "all",
        /// Changes only: what is missing is unchanged.
        Changes => "changes",
    }
);
named!(
    /// What several rows for one item are.
    Repeated {
        /// A contradiction.
        Conflict => "conflict",
        /// Parts of one quantity.
        Sum => "sum",
    }
);
named!(
    /// How a signature is written.
    SignatureEncoding {
        /// Hexadecimal digits.
        Hex => "hex",
        /// Base64.
        Base64 => "base64",
    }
);
choice!(
    Orders => "treatment of orders",
    SameSku => "treatment of items with one SKU",
    Payload => "treatment of the payload",
    VehicleEvent => "event",
    Ready => "sign of readiness",
    Covers => "coverage",
    Repeated => "meaning of repeated rows",
    UnitState => "state",
    SignatureEncoding => "encoding",
);
parsed!(
    SecretRef => "a secret reference such as `env:LOTWIRE_SHOP_SECRET`",
    DistanceUnit => "`mi` or `km`",
    Network => "a block of addresses such as `203.0.113.0/24`",
    ShopName => "the shop's name before `.myshopify.com`",
    JsonPointer => "a JSON pointer such as `/data/vin`",
    HeaderName => "a header's name such as `X-Signature`",
);
