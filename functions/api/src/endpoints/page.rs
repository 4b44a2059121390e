//! What a message's link opens: one alert, or the alerts that a group's message named, as a page for
//! people.
//!
//! The link is the permission: it holds a digest that only this installation can make. Nothing on the
//! page comes from, or goes, anywhere else, and everything that others wrote is escaped.

use http::StatusCode;
use shared::delivery::links::LinkKey;
use shared::delivery::templates;
use shared::domain::alert::AlertState;
use shared::domain::group::FlushId;
use shared::domain::message::{Message, Stock};
use shared::domain::rule::Basis;
use shared::render::words::{html_escaped, plainly};
use shared::render::{Templates, facts};
use shared::store::alerts::Alert;

use super::alerts;
use crate::Context;
use crate::answer::Answer;
use crate::problem::Problem;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:2rem auto;\
padding:0 1rem;color-scheme:light dark}h1{font-size:1.4rem;line-height:1.3;margin:0 0 .5rem}\
table{border-collapse:collapse;width:100%}th{text-align:left;font-weight:400;opacity:.7;width:10rem}\
th,td{padding:.4rem 0;border-top:1px solid #8884;vertical-align:top}p{margin:.5rem 0}";

pub(super) async fn show(context: &Context<'_>, id: &str) -> Result<Answer, Problem> {
    let token = context.request.query.iter().find(|(name, _)| name == "k");
    let token = token.map(|(_, token)| token.as_str()).unwrap_or_default();
    let key = context.store.link_key().await?;
    let templates = match context.installation().await {
        // The place stands beside it.
        Ok(installation) => templates(&installation.config).naming_places(false),
        Err(_) => Templates::new(),
    };
    let page = if !key.admits(id, token) {
        None
    } else if id.parse::<FlushId>().is_ok() {
        let told = context.store.revision(id, 1).await?;
        told.map(|message| gathered(&templates, &message, &key))
    } else {
        match context.store.alert(id).await? {
            Some(alert) => {
                // The page says what was told also where what is there now cannot be said.
                let now = match alerts::stock_now(context, &alert).await {
                    Ok(now) => now,
                    Err(error) => {
                        tracing::warn!(?error, "what is there now cannot be shown");
                        None
                    }
                };
                Some(page(&templates, &alert, now))
            }
            None => None,
        }
    };
    Ok(match page {
        Some(page) => html(StatusCode::OK, &page),
        None => {
            let words = "<h1>This link is not valid</h1><p>It is cut short, or its alert is no \
                         longer kept.</p>";
            html(StatusCode::NOT_FOUND, &document("Lotwire", words))
        }
    })
}

fn page(templates: &Templates, alert: &Alert, now: Option<Stock>) -> String {
    let words = plainly(templates, &alert.message);
    let message = &words.message;
    let mut state = match alert.state {
        AlertState::Open => "Open".to_owned(),
        AlertState::Resolved => "Closed".to_owned(),
    };
    state.push_str(match alert.state {
        AlertState::Open => ". It closes by itself when this is no longer so.",
        AlertState::Resolved => ".",
    });
    let label = match message.basis.unwrap_or(Basis::Available) {
        Basis::OnHand => "On hand now",
        Basis::Available => "Available now",
        Basis::Projected => "Projected now",
    };
    let now = now.map(|stock| row(label, &message.judged(&stock).to_string()));
    let rows = table(message, now);
    let notes: String = message
        .notes
        .iter()
        .map(|note| format!("<p>{}</p>", html_escaped(note)))
        .collect();
    document(
        &words.title,
        &format!(
            "<h1>{}</h1><p>{state}</p>{rows}{notes}",
            html_escaped(&words.text)
        ),
    )
}

/// What a group's message said when it was put together. Each alert's own page says how it is now.
fn gathered(templates: &Templates, message: &Message, key: &LinkKey) -> String {
    let words = plainly(templates, message);
    let named = words.message.named();
    let list: String = named
        .iter()
        .map(|alert| {
            let id = &alert.alert;
            let place = alert.location.iter().map(|place| format!(" ({place})"));
            let text = plainly(templates, alert).text + &place.collect::<String>();
            // Beside this page, so it begins with neither host nor path.
            format!(
                "<li><a href=\"{id}?k={}\">{}</a>",
                key.token(id),
                html_escaped(&text)
            )
        })
        .collect();
    let total = words.message.digest.as_ref().map_or(1, |it| it.total);
    let listed = u32::try_from(named.len()).unwrap_or(u32::MAX);
    let more = match total.saturating_sub(listed) {
        0 => String::new(),
        more => format!("<p>… and {more} more"),
    };
    document(
        &words.title,
        &format!(
            "<h1>{}</h1>{}<ul>{list}</ul>{more}<p>Each opens a page that says how it stands now.",
            html_escaped(&words.title),
            table(&words.message, None)
        ),
    )
}

/// What a message said, after what is so now.
fn table(message: &Message, now: Option<String>) -> String {
    let said = facts(message).into_iter();
    let said = said.map(|fact| row(fact.label, &fact.value));
    format!(
        "<table>{}</table>",
        now.into_iter().chain(said).collect::<String>()
    )
}

fn row(label: &str, value: &str) -> String {
    let (label, value) = (html_escaped(label), html_escaped(value));
    format!("<tr><th scope=row>{label}<td>{value}")
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\n\
         <meta name=robots content=noindex>\n<title>{}</title>\n<style>{STYLE}</style>\n\
         <main>{body}</main>\n</html>\n",
        html_escaped(title)
    )
}

fn html(status: StatusCode, body: &str) -> Answer {
    Answer::page(status, body)
}
