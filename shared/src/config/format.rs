//! How a file is written: settings that [`crate::feeds`] owns, described here for people and editors.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::document::Node;
use super::error::Problems;
use super::foreign::{Foreign, read_into};
use super::setting::{Described, Setting, table_schema};
use super::words::{nearest, one_of, shortened};
use crate::feeds::columns::{ALIASES, normal};
use crate::feeds::format::FeedFormat;
use crate::feeds::header::Header;

/// How a file is written, as [`FeedFormat`] reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Format(Foreign);

impl Format {
    /// The settings as the reader of files takes them.
    pub fn get(&self) -> Result<FeedFormat, serde_json::Error> {
        self.0.parse()
    }

    /// What may be set; a test holds this list to the fields of [`FeedFormat`].
    pub(crate) fn described() -> Vec<Described> {
        let text = || json!({ "type": "string" });
        let texts = || json!({ "type": "array", "items": { "type": "string" } });
        let flag = || json!({ "type": "boolean" });
        let count = || json!({ "type": "integer", "minimum": 0 });
        let columns =
            json!({ "type": "object", "additionalProperties": { "anyOf": [text(), texts()] } });
        let field = |key, expected: &str, schema, default, doc: &str| Described {
            key,
            doc: doc.to_owned(),
            expected: expected.to_owned(),
            schema,
            default: Some(default),
        };
        let choice = |key, default, doc: &str| {
            let names = CHOICES.iter().find(|(choice, _)| *choice == key);
            let names = names.map_or(&[][..], |(_, names)| names);
            field(key, &one_of(names), json!({ "enum": names }), default, doc)
        };
        vec![
            field(
                "delimiter",
                "`auto`, `tab` or one character",
                text(),
                json!("auto"),
                "What separates fields.",
            ),
            choice("charset", json!("auto"), "How bytes become text."),
            field(
                "quoting",
                "`true` or `false`",
                flag(),
                json!(true),
                "Whether `\"` encloses fields; off, it is an ordinary character.",
            ),
            field(
                "skip_lines",
                "a whole number",
                count(),
                json!(0),
                "Lines to drop before the header, or without one before the first row.",
            ),
            field(
                "header",
                "`true` or `false`",
                flag(),
                json!(true),
                "Whether the file names its columns; if not, `names` must.",
            ),
            field(
                "names",
                "a list, each text",
                texts(),
                json!([]),
                "Column names in order, for a file without a header.",
            ),
            field(
                "columns",
                "a table, each value a header name or a list of them",
                columns,
                json!({}),
                "Our column and the header names to accept for it; wins over the built-in aliases.",
            ),
            field(
                "required",
                "a list, each text",
                texts(),
                json!([]),
                "Columns without which the whole file is refused.",
            ),
            choice(
                "decimal_mark",
                Value::Null,
                "What parts whole numbers from fractions; the other mark groups thousands. Unset, it is the \
                 point, but a quantity such as `1.000` or `1,000` is not read, nor is a price or distance such \
                 as `45.900`; `45,900` is read as thousands.",
            ),
            choice(
                "date_order",
                Value::Null,
                "How dates such as `03/04/2026` are to be read; unset, they are invalid.",
            ),
            field(
                "time_zone",
                "an IANA time zone",
                text(),
                Value::Null,
                "The zone of times that state none; unset, such times are invalid.",
            ),
            choice(
                "distance_unit",
                Value::Null,
                "The unit of distances that state none.",
            ),
            field(
                "currency",
                "a currency such as `EUR`",
                text(),
                Value::Null,
                "The currency of prices that state none.",
            ),
            field(
                "no_data",
                "a list, each text",
                texts(),
                json!(["n/a", "#n/a", "null", "-", "--"]),
                "Words that mean \"no data\", compared ignoring case.",
            ),
            choice(
                "quoted_empty",
                json!("no_data"),
                "What `\"\"` says, as opposed to nothing between two delimiters: no data, or for text \"clear this field\".",
            ),
            field(
                "final_newline",
                "`true` or `false`",
                flag(),
                Value::Null,
                "Whether the last line ends with a line end: with `true` a file without is taken for cut, with `false` not. Unset, it is learnt from three files in a row, each with other content than the one before; that there is none, only of a source that never wrote one.",
            ),
            field(
                "trailer",
                "text with `{rows}` in it",
                text(),
                Value::Null,
                "The last line, where the file closes with a count, such as `TRAILER,{rows}`.",
            ),
            field(
                "max_rows",
                "a whole number",
                count(),
                json!(2_000_000),
                "Rows read at most.",
            ),
            field(
                "max_bytes",
                "a number of bytes",
                count(),
                json!(1_u64 << 30),
                "Bytes read at most, as delivered.",
            ),
            field(
                "max_expanded_bytes",
                "a number of bytes",
                count(),
                json!(2_u64 << 30),
                "Bytes read at most after unpacking gzip.",
            ),
            field(
                "max_ratio",
                "a whole number",
                count(),
                json!(200),
                "How many times larger than its gzip a file may be.",
            ),
            field(
                "max_field_bytes",
                "a number of bytes",
                count(),
                json!(64 << 10),
                "Bytes a single field may have.",
            ),
            field(
                "max_row_bytes",
                "a number of bytes",
                count(),
                json!(256 << 10),
                "Bytes a row may have.",
            ),
        ]
    }
}

/// The names that some fields choose from.
const CHOICES: [(&str, &[&str]); 5] = [
    ("charset", &["auto", "utf-8", "utf-16", "windows-1252"]),
    ("decimal_mark", &["point", "comma", ".", ","]),
    ("date_order", &["day_first", "month_first"]),
    ("distance_unit", &["mi", "km"]),
    ("quoted_empty", &["no_data", "empty"]),
];

impl Setting for Format {
    fn read(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<Self> {
        let kept = Foreign::read(node, problems);
        let format: FeedFormat = read_into(node, problems)?;
        if let Err(error) = format.check() {
            node.refuse(problems, error.to_string());
        } else if !format.header
            && let Err(error) = Header::map(format.names.clone(), &format)
        {
            // As each file would be.
            node.refuse_field(problems, "names", error.to_string());
        }
        check_columns(node, problems);
        kept.map(Self)
    }
    fn expected() -> String {
        "a table".to_owned()
    }
    fn schema() -> Value {
        table_schema(&Self::described())
    }
}

/// A misspelt column would be read by nobody.
fn check_columns(node: &Node<'_>, problems: &mut Problems<'_>) {
    let known: Vec<&str> = ALIASES.iter().map(|(column, _)| *column).collect();
    let check = |name: &str| -> Option<String> {
        if known.contains(&name) {
            return None;
        }
        let as_alias = ALIASES
            .iter()
            .find(|(_, names)| names.iter().any(|alias| normal(alias) == normal(name)));
        let meant = as_alias
            .map(|(column, _)| *column)
            .or_else(|| nearest(name, &known));
        let hint = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "docs/configuration.md lists them all".to_owned(),
        };
        Some(format!(
            "`{}` is not a column of ours; {hint}",
            shortened(name)
        ))
    };
    if let Some(columns) = node.get("columns") {
        for (key, column) in columns.entries() {
            if let Some(problem) = check(key.get_ref()) {
                column.refuse(problems, problem);
            }
        }
    }
    if let Some(required) = node.get("required") {
        for column in required.elements() {
            if let Some(problem) = column.value.as_str().and_then(check) {
                column.refuse(problems, problem);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_format_is_described() {
        let error = serde_json::from_value::<FeedFormat>(json!({ "nobody": 1 }))
            .unwrap_err()
            .to_string();
        let fields: Vec<&str> = error.split('`').skip(1).step_by(2).skip(1).collect();
        let described: Vec<&str> = Format::described().iter().map(|field| field.key).collect();
        assert_eq!(described, fields);
    }

    #[test]
    fn every_default_described_is_the_default_in_force() {
        let defaults = Format::described().into_iter();
        let defaults =
            defaults.filter_map(|field| field.default.map(|value| (field.key.to_owned(), value)));
        let written: serde_json::Map<_, _> = defaults.collect();
        assert_eq!(
            serde_json::from_value::<FeedFormat>(written.into()).unwrap(),
            FeedFormat::default()
        );
    }

    #[test]
    fn every_choice_described_is_the_choice_there_is() {
        for (key, described) in CHOICES {
            let error = serde_json::from_value::<FeedFormat>(json!({ key: "nobody" }));
            let error = error.unwrap_err().to_string();
            let mut names: Vec<&str> = error.split('`').skip(1).step_by(2).skip(1).collect();
            let mut described = described.to_vec();
            names.sort_unstable();
            described.sort_unstable();
            assert_eq!(described, names, "{key}");
        }
    }
}
