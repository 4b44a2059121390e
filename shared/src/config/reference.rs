//! The JSON Schema and the reference page of `lotwire.toml`, from the declarations that read it.

use serde_json::{Value, json};

use super::Document;
use super::account::{Account, AlertSettings, Guards, Limits, LocationSettings, Ownership};
use super::channel::{ChannelCommon, ChannelTemplate, RouteSettings, TemplateSettings};
use super::connector::{
    ConnectorCommon, ConnectorSettings, MaxRemovals, Pointers, Verify, Webhook,
};
use super::format::Format;
use super::rule::{RuleSettings, SeasonSettings};
use super::setting::{Described, Section, Setting};
use crate::channels::ChannelKind;
use crate::channels::settings::Form;
use crate::feeds::columns::ALIASES;
use crate::feeds::status::WORDS;
use crate::render::VARIABLES;

/// The columns of files with the header names that feed them, and the words for states.
fn columns_of_files() -> String {
    let listed = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    let mut page = "### Columns of files\n\nNames are compared without case, blanks, `_`, `-`, `#`, `.` \
        and `:`. Where a file has several names of one column, the first of this list is taken. `Stock` is \
        `stock_number` in a file with a VIN column, else `on_hand`. A `state` beside a town or a postal \
        code is part of an address and not read. Other names are mapped under `format.columns`.\n\n\
        `updated_at` is when the other system last changed what a row says. With `covers` of `all` a row of an \
        older time was still true when its file was written, so a count or a sale from before that yields to \
        it.\n\n\
        Columns that are not read are named in the report of the first file that has them, and by \
        `lotwire status`; they may come and go.\n\n\
        A column that is read and goes is told, unless another name for it that is known comes with what it \
        held. A file that lacks a key, a place, a state or a quantity that stock is counted by, which the \
        files before had, is refused, because its rows would be taken for others. Another quantity or a time is missed for as long as it is missing; a column that only \
        describes, such as a price, a title or a reorder point, for three files in a row, and then it is not \
        expected any more. What a file said of it before stays as it was. A column that never held a value \
        may go. If a column is meant to be gone, run `lotwire sync CONNECTOR --accept-columns` and drop the \
        file again: the next good file with other columns than before then says which are expected. What \
        goes along with them, and nobody was told of, is told once. A new name is only guessed where one \
        column that came holds what the one that went did.\n\n\
        What a spreadsheet has spoilt names nothing: where a formula has failed (`#N/A`, `#REF!`, `#WERT!`), \
        and a SKU that was rounded as a long number (`1.23457E+12`). Such a row is in quarantine as `no_key`; \
        as any other word the cell is left out. `1E10` is a SKU.\n\n\
        A row that is called a total (`Summe`, `Grand total:`) where its SKU should be, and has the quantities \
        of all rows above it, or of those since the last total, is no product: it is in quarantine as `total`, \
        once for each such word. Any other row by that name is a product.\n\n\
        `threshold` is read by `lotwire import`, from a file with the SKU \
        and the threshold alone, as it takes a quantity for a count; a source of files only says what is there, \
        which is told once where a file has such a column.\n\n\
        | column | header names |\n|---|---|\n"
        .to_owned();
    for (column, aliases) in ALIASES {
        let all: Vec<&str> = std::iter::once(column).chain(*aliases).copied().collect();
        page.push_str(&format!("| `{column}` | {} |\n", listed(&all)));
    }
    page.push_str(
        "\n### Words for the state of a vehicle\n\nThe column `status`, compared the same way. Other words \
         are mapped under `statuses`; until then they state nothing, and the quarantine names them: a \
         vehicle stays in the state that it had, and one that nobody has stated a state of is in none and \
         not counted. A vehicle without a word counts as in stock until the source says otherwise.\n\n| state | words |\n|---|---|\n",
    );
    for (state, words) in WORDS {
        let all: Vec<&str> = std::iter::once(state.name())
            .chain(words.iter().copied())
            .collect();
        page.push_str(&format!("| `{state}` | {} |\n", listed(&all)));
    }
    page.push('\n');
    page
}

/// What templates may name.
fn variables_of_templates() -> String {
    let mut page = "### Variables of templates\n\nWhat is not known is `none`, and prints as nothing: \
        `{% if sold is not none %}{{ sold }} sold{% endif %}`. There are `if` and the filters `abs`, \
        `default`, `first`, `join`, `length`, `lower`, `round`, `title`, `trim` and `upper`. Where several \
        alerts are in one message, each has a line of its own text; the message's title is not a template. \
        `lotwire check` tries a template on every kind of alert.\n\n\
        | variable | holds |\n|---|---|\n"
        .to_owned();
    for (name, meaning) in VARIABLES {
        page.push_str(&format!("| `{name}` | {meaning} |\n"));
    }
    page.push('\n');
    page
}

/// The JSON Schema (2020-12) of the document, for editors.
pub fn schema() -> Value {
    let mut schema = Document::schema();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("lotwire.toml");
    schema["description"] =
        json!("One Lotwire installation. docs/configuration.md explains every key.");
    schema
}

/// Every key of the document with what it holds and its default, as Markdown.
pub fn tables() -> String {
    let mut page = String::new();
    let mut section = |title: &str, lead: &str, rows: Vec<Described>| {
        page.push_str(&format!("### {title}\n\n{lead}\n\n{}", rows_of(&rows)));
    };
    section(
        "`[account]`",
        "Whose installation this is.",
        Account::described(),
    );
    section(
        "`[locations.<id>]`",
        "One warehouse or rooftop, under the short name that all else uses.",
        LocationSettings::described(),
    );
    section(
        "`[connectors.<name>]`",
        "What every connector has, beside its `kind`.",
        ConnectorCommon::described(),
    );
    for (kind, doc, rows) in ConnectorSettings::described() {
        section(&format!("`kind = \"{kind}\"`"), &doc, rows);
    }
    section(
        "`[connectors.<name>.webhook]`",
        "How an incoming webhook is checked.",
        Webhook::described(),
    );
    for (kind, doc, rows) in Verify::described() {
        section(&format!("`verify = {{ kind = \"{kind}\" }}`"), &doc, rows);
    }
    section(
        "`[connectors.<name>.pointers]`",
        "JSON pointers (RFC 6901) into a webhook's body.",
        Pointers::described(),
    );
    section(
        "`[connectors.<name>.format]`",
        "How a file is written.",
        Format::described(),
    );
    page.push_str(&columns_of_files());
    let mut section = |title: &str, lead: &str, rows: Vec<Described>| {
        page.push_str(&format!("### {title}\n\n{lead}\n\n{}", rows_of(&rows)));
    };
    section(
        "`max_removals`",
        "Removals are held when they exceed both.",
        MaxRemovals::described(),
    );
    section(
        "`[ownership]`",
        "Which connectors' word counts for each field: the first that has spoken, whenever that was. Of a field without an entry the newest word counts; a file with all of the stock that repeats a vehicle's or product's description says nothing new. By a new entry a vehicle is counted once a connector speaks of it again.",
        Ownership::described(),
    );
    section(
        "`[channels.<name>]`",
        "What every channel has, beside its `kind`.",
        ChannelCommon::described(),
    );
    for kind in ChannelKind::ALL {
        page.push_str(&format!(
            "### `kind = \"{kind}\"`\n\n{}",
            channel_rows(*kind)
        ));
    }
    let mut section = |title: &str, lead: &str, rows: Vec<Described>| {
        page.push_str(&format!("### {title}\n\n{lead}\n\n{}", rows_of(&rows)));
    };
    section(
        "`[[routes]]`",
        "Leads alerts to channels. Every filter that is given must match; one left out matches all.",
        RouteSettings::described(),
    );
    section(
        "`[[rules]]`",
        "When people are told about stock, and where that applies. The most specific rule wins.",
        RuleSettings::described(),
    );
    section(
        "`seasons`",
        "Other numbers for a while, by each location's own calendar.",
        SeasonSettings::described(),
    );
    section(
        "`[alerts]`",
        "How people are told of an alert that is open. A rule may have its own manner.",
        AlertSettings::described(),
    );
    section(
        "`[templates.<kind of alert>]`",
        "Titles and texts, in Jinja syntax. What is left out keeps its default.",
        TemplateSettings::described(),
    );
    section(
        "`[templates.<kind of alert>.channels.<name>]`",
        "The same for one channel.",
        ChannelTemplate::described(),
    );
    page.push_str(&variables_of_templates());
    let mut section = |title: &str, lead: &str, rows: Vec<Described>| {
        page.push_str(&format!("### {title}\n\n{lead}\n\n{}", rows_of(&rows)));
    };
    section(
        "`[guards]`",
        "What is held for a person to look at instead of being believed.",
        Guards::described(),
    );
    section("`[limits]`", "How much is kept.", Limits::described());
    page.truncate(page.trim_end().len());
    page
}

fn rows_of(rows: &[Described]) -> String {
    let mut table = String::from("| key | holds | default | meaning |\n|---|---|---|---|\n");
    for row in rows {
        let default = match &row.default {
            None => "required".to_owned(),
            Some(default) => shown(default),
        };
        let expected = cell(&row.expected);
        table.push_str(&format!(
            "| `{}` | {expected} | {default} | {} |\n",
            row.key,
            cell(&row.doc)
        ));
    }
    table.push('\n');
    table
}

fn channel_rows(kind: ChannelKind) -> String {
    let mut table = String::from("| key | holds | default | meaning |\n|---|---|---|---|\n");
    for field in kind.documentation() {
        let holds = match field.form {
            Form::Text => "text",
            Form::Texts => "a list, each text",
            Form::Number => "a whole number",
            Form::Flag => "`true` or `false`",
            Form::Address => "an address",
            Form::Secret => "a secret reference",
        };
        let default = if field.required { "required" } else { "" };
        table.push_str(&format!(
            "| `{}` | {holds} | {default} | {} |\n",
            field.name,
            cell(field.meaning)
        ));
    }
    table.push_str(&format!(
        "\n```toml\n[channels.people]\nkind = \"{kind}\"\n{}\n```\n\n",
        kind.example()
    ));
    table
}

/// A default as it would be written.
fn shown(default: &Value) -> String {
    match default {
        Value::Null => String::new(),
        Value::Array(list) if list.is_empty() => "`[]`".to_owned(),
        Value::Object(map) if map.is_empty() => "`{}`".to_owned(),
        Value::Object(map) if map.values().all(Value::is_number) => {
            let fields: Vec<_> = map
                .iter()
                .map(|(key, value)| format!("{key} = {value}"))
                .collect();
            format!("`{{ {} }}`", fields.join(", "))
        }
        Value::Object(_) => "its own defaults".to_owned(),
        Value::String(text) => match text.parse::<jiff::SignedDuration>() {
            Ok(span) => format!("`\"{}\"`", written(span)),
            Err(_) => format!("`\"{text}\"`"),
        },
        other => format!("`{other}`"),
    }
}

/// A duration as people write it.
pub(crate) fn written(span: jiff::SignedDuration) -> String {
    format!("{span:#}").replace(' ', "")
}

/// Text within a table: a bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
