//! The templates in force: read from the configuration once per version.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Config;
use crate::config::channel::{ChannelTemplate, TemplateSettings};
use crate::installation::Installation;
use crate::render::{TemplateTexts, Templates};

/// Keeps the templates of the configuration last seen.
#[derive(Debug, Default)]
pub(crate) struct Wording(Mutex<Option<(u64, Arc<Templates>)>>);

impl Wording {
    pub(crate) fn of(&self, installation: &Installation) -> Arc<Templates> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((version, templates)) = kept.as_ref()
            && *version == installation.version
        {
            return Arc::clone(templates);
        }
        let templates = Arc::new(templates(&installation.config));
        *kept = Some((installation.version, Arc::clone(&templates)));
        templates
    }
}

/// The users' own titles and texts.
pub fn templates(config: &Config) -> Templates {
    let places = config.locations.locations().len();
    let mut templates = Templates::new().naming_places(places > 1);
    for (kind, settings) in &config.templates {
        let own = std::iter::once((None, for_all(settings))).chain(
            settings
                .channels
                .iter()
                .map(|(channel, texts)| (Some(channel), for_one(texts))),
        );
        for (channel, texts) in own {
            // Checked when it was applied; a plain alert beats none.
            if let Err(error) = templates.set(*kind, channel, texts) {
                tracing::warn!(%kind, %error, "a template is unusable; the default speaks");
            }
        }
    }
    templates
}

fn for_all(settings: &TemplateSettings) -> TemplateTexts {
    TemplateTexts {
        title: settings.title.clone(),
        text: settings.text.clone(),
        resolved_title: settings.resolved_title.clone(),
        resolved_text: settings.resolved_text.clone(),
    }
}

fn for_one(settings: &ChannelTemplate) -> TemplateTexts {
    TemplateTexts {
        title: settings.title.clone(),
        text: settings.text.clone(),
        resolved_title: settings.resolved_title.clone(),
        resolved_text: settings.resolved_text.clone(),
    }
}
