//! A channel whose credentials are missing, built all the same: so that an outbox can show the very
//! request that would have been sent.

use std::collections::HashMap;

use secrecy::SecretString;

use crate::channels::settings::ConfigError;
use crate::channels::{Channel, ChannelSettings};
use crate::secrets::SecretRef;

/// What may stand for a missing secret: text, an address that leads nowhere, a signing secret.
const PLACEHOLDERS: [&str; 3] = ["not-set", "https://not-set.invalid/", "whsec_bm90LXNldA=="];

/// Builds a channel from the secrets that are known, and a placeholder for each that is missing.
///
/// What form a secret has is known only to its channel, so the forms are tried out; no kind of
/// channel has more than a few secrets.
pub(crate) fn build(
    settings: &ChannelSettings,
    known: &HashMap<SecretRef, SecretString>,
) -> Result<Box<dyn Channel>, ConfigError> {
    let missing: Vec<_> = settings
        .secret_refs()
        .into_iter()
        .filter(|reference| !known.contains_key(reference))
        .collect();
    let forms = PLACEHOLDERS.len();
    let combinations = forms.pow(u32::try_from(missing.len()).unwrap_or(u32::MAX).min(6));
    let mut last = None;
    for combination in 0..combinations {
        let built = settings.build(|reference| {
            if let Some(value) = known.get(reference) {
                return value.clone();
            }
            // The combination's digit at the reference's place, in base `forms`.
            let place = missing.iter().position(|other| *other == reference);
            let digit = (0..place.unwrap_or(0)).fold(combination, |rest, _| rest / forms) % forms;
            SecretString::from(PLACEHOLDERS[digit])
        });
        match built {
            Ok(channel) => return Ok(channel),
            // The first says what is wrong when the fault is not with the placeholders.
            Err(error) => last = last.or(Some(error)),
        }
    }
    match last {
        Some(error) => Err(error),
        None => settings.build(|_| SecretString::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::ChannelKind;

    /// Settings of every kind, in each of the ways it can be credentialed.
    fn everybody() -> Vec<ChannelSettings> {
        let settings = |kind: ChannelKind, text: &str| kind.settings(toml::from_str(text).unwrap());
        [
            (ChannelKind::Slack, "url = 'env:A'"),
            (ChannelKind::Slack, "token = 'env:A'\nchannel = 'C1'"),
            (
                ChannelKind::TwilioSms,
                "account_sid = 'AC00000000000000000000000000000001'\nauth_token = 'env:A'\n\
                 from = '+15005550006'\nto = '+393331234567'",
            ),
            (
                ChannelKind::SendGrid,
                "api_key = 'env:A'\nfrom = 'stock@example.com'\nto = ['buyer@example.com']",
            ),
            (
                ChannelKind::Webhook,
                "url = 'https://example.com/hook'\nsecret = 'env:A'\nprevious_secret = 'env:B'",
            ),
        ]
        .into_iter()
        .map(|(kind, text)| settings(kind, text).unwrap_or_else(|error| panic!("{error}")))
        .collect()
    }

    #[test]
    fn every_kind_of_channel_can_be_shown_without_its_credentials() {
        let settings = everybody();
        for kind in ChannelKind::ALL {
            assert!(settings.iter().any(|s| s.kind() == *kind), "{kind}");
        }
        for settings in settings {
            let built = build(&settings, &HashMap::new());
            assert!(built.is_ok(), "{}: {:?}", settings.kind(), built.err());
        }
    }

    #[test]
    fn a_secret_that_is_known_keeps_its_value() {
        let settings = &everybody()[4];
        let known = HashMap::from([(
            "env:B".parse().unwrap(),
            SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        )]);
        let shown = build(settings, &known).unwrap().secrets();
        let values: Vec<_> = shown
            .iter()
            .map(secrecy::ExposeSecret::expose_secret)
            .collect();
        assert_eq!(
            values,
            [
                "whsec_bm90LXNldA==",
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
            ]
        );
    }
}
