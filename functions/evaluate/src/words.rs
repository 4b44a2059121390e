//! What a message says of stock.

use std::collections::BTreeMap;

use shared::domain::alert::RevisionKind;
use shared::domain::message::Message;
use shared::domain::rule::{Basis, SUPPLY_WINDOW, days_of_supply};
use shared::domain::{Severity, Subject};
use shared::installation::Installation;

use crate::judge::{Judged, Scene};

impl Scene<'_> {
    pub(crate) fn message(&self, change: RevisionKind, judged: &Judged<'_>) -> Message {
        let Judged {
            resolution,
            reading,
            shown,
            ..
        } = judged;
        let subject = resolution.subject();
        let zone = self.zone(&subject);
        let location = match &subject {
            Subject::Position { location, .. } => Some(self.installation.place_name(location)),
            Subject::Group { group, .. } => Some(format!("group {group}")),
            Subject::Unit { .. }
            | Subject::Connector { .. }
            | Subject::Channel { .. }
            | Subject::Quarantine { .. } => None,
        };
        let today = zone.to_datetime(self.now).date();
        let sold: BTreeMap<_, _> = shown.sold.map(|at| at.sold.clone()).unwrap_or_default();
        // Before anything was known nothing was sold either, and that says nothing of the rate.
        let days = shown.sold.and_then(|at| at.days_known(today));
        let window = days.map_or(SUPPLY_WINDOW, |days| days.min(SUPPLY_WINDOW));
        Message {
            alert: String::new(),
            revision: 0,
            correlation: None,
            change,
            kind: resolution.kind,
            severity: resolution
                .rule
                .as_ref()
                .map_or(Severity::Info, |rule| rule.severity),
            at: self.now,
            product: self
                .picture
                .name(resolution.product, &self.authority.quantities),
            location,
            zone: zone.iana_name().unwrap_or("UTC").to_owned(),
            before: shown.before,
            after: shown.after,
            threshold: reading.threshold,
            basis: reading
                .verdict
                .check
                .and_then(|check| check.threshold())
                .map(|it| it.basis)
                .filter(|basis| *basis != Basis::Available),
            rule: resolution.rule.as_ref().map(|rule| rule.id.to_string()),
            why: Some(resolution.explain(self.now, zone)),
            days_of_supply: shown
                .after
                .and_then(|stock| days_of_supply(stock.available, &sold, today, window)),
            sold: reading.sold,
            notes: Vec::new(),
            link: link(self.installation, &subject),
            ending: None,
            renamed_to: shown.renamed_to.cloned(),
            renamed_name: shown
                .renamed_to
                .and_then(|to| self.picture.renamed_name(to))
                .map(str::to_owned),
            digest: None,
            subject,
        }
    }
}

/// Where to look at it.
pub(crate) fn link(installation: &Installation, subject: &Subject) -> Option<String> {
    let base = installation.config.account.link_base.as_ref()?;
    let mut url = base.clone();
    let path = |end: &str| format!("{}/api/v1/{end}", base.path().trim_end_matches('/'));
    match subject {
        Subject::Position { product, location } => {
            url.set_path(&path("positions"));
            url.query_pairs_mut()
                .append_pair("product", product.as_str())
                .append_pair("location", location.as_str());
        }
        Subject::Group { product, .. } => {
            url.set_path(&path("positions"));
            url.query_pairs_mut()
                .append_pair("product", product.as_str());
        }
        Subject::Unit { vin } => url.set_path(&path(&format!("units/{vin}"))),
        Subject::Connector { .. } => url.set_path(&path("inbox")),
        Subject::Channel { .. } => url.set_path(&path("channels")),
        Subject::Quarantine { .. } => url.set_path(&path("quarantine")),
    }
    Some(url.to_string())
}
