//! The document as a whole: the sample, the stored form, the pages written from the declarations.

mod faults;

use proptest::prelude::*;

use super::*;
use crate::domain::rule::{Check, Season};

const SAMPLE: &str = include_str!("../../../functions/local/sample/lotwire.toml");

/// Two locations in one group, two connectors, one channel: what the cases below refer to.
const BASE: &str = r#"[account]
name = "Group"
zone = "Europe/Rome"
currency = "EUR"

[locations.milano]
name = "Milano"
kind = "rooftop"
groups = ["italy"]

[locations.torino]
name = "Torino"
kind = "warehouse"
zone = "Europe/Rome"
groups = ["italy"]

[connectors.shop]
kind = "generic"
webhook = { secret = "env:SHOP" }

[channels.room]
kind = "slack"
url = "env:SLACK_URL"

"#;

#[test]
fn the_sample_is_in_order() {
    let config = Config::check(SAMPLE, "lotwire.toml").unwrap_or_else(|errors| panic!("{errors}"));
    insta::assert_snapshot!(config.summary().to_string());
}

#[test]
fn the_summary_says_how_a_route_gathers() {
    let routes = "[[routes]]\nname = \"a\"\nchannels = [\"room\"]\ngroup_by = [\"location\", \"kind\"]\n\
                  repeat_interval = \"4h\"\n[[routes]]\nname = \"b\"\nchannels = [\"room\"]\n\
                  group_by = []\ngroup_wait = \"0s\"\n[[routes]]\nname = \"c\"\nchannels = [\"room\"]\n";
    let config = Config::check(&format!("{BASE}{routes}"), "lotwire.toml").unwrap();
    let summary = config.summary().to_string();
    let line = "routes: 3: a (together by location and kind: after 30s, then every 5m at most, \
                again every 4h), b (all together: after 0s, then every 5m at most), c";
    assert!(summary.contains(line), "{summary}");
    let stored = config.to_json().unwrap();
    assert_eq!(Config::from_json(&stored).unwrap(), config);
}

/// The problems of a source of files with these settings.
fn of_files(settings: &str) -> String {
    let text = format!("{BASE}[connectors.erp]\nkind = \"files\"\nurl = \"/drop\"\n{settings}\n");
    match Config::check(&text, "lotwire.toml") {
        Ok(_) => String::new(),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn a_misspelt_column_of_files_is_named_with_the_one_that_was_meant() {
    for (settings, meant) in [
        (
            "format = { columns = { on_hnad = \"Bestand\" } }",
            "on_hand",
        ),
        ("format = { columns = { qty = \"Bestand\" } }", "on_hand"),
        (
            "format = { columns = { \"exterior color\" = \"Farbe\" } }",
            "exterior_colour",
        ),
        ("format = { columns = { state = \"Zustand\" } }", "status"),
        ("format = { required = [\"vinn\"] }", "vin"),
    ] {
        let problems = of_files(settings);
        assert!(
            problems.contains(&format!("did you mean `{meant}`?")),
            "{settings}: {problems}"
        );
    }
    let problems = of_files("format = { columns = { warranty_until = \"Garantie\" } }");
    assert!(
        problems.contains("`warranty_until` is not a column"),
        "{problems}"
    );
    assert_eq!(
        of_files("format = { columns = { on_hand = \"B\" }, required = [\"sku\"] }"),
        ""
    );
}

#[test]
fn two_names_for_one_place_are_taken_unless_levels_would_overwrite_each_other() {
    let names = "locations = { North = \"milano\", Nord = \"milano\" }\n";
    assert_eq!(of_files(names), "");
    let vehicles = "covers = \"changes\"\nformat = { required = [\"vin\"] }\n";
    assert_eq!(of_files(&format!("{names}{vehicles}")), "");
    let changes = of_files(&format!("{names}covers = \"changes\"\n"));
    assert!(changes.contains("overwrite"), "{changes}");
    let generic = format!(
        "{BASE}[connectors.x]\nkind = \"generic\"\nwebhook = {{ secret = \"env:X\" }}\n{names}"
    );
    let generic = Config::check(&generic, "lotwire.toml")
        .unwrap_err()
        .to_string();
    assert!(generic.contains("overwrite"), "{generic}");
}

#[test]
fn two_sources_that_take_the_same_files_are_refused_with_both_names() {
    let both = |first: &str, second: &str| {
        let of = |name: &str, settings: &str| {
            format!("[connectors.{name}]\nkind = 'files'\n{settings}\n")
        };
        let text = format!("{BASE}{}{}", of("parts", first), of("cars", second));
        Config::check(&text, "lotwire.toml")
            .map_or_else(|errors| errors.to_string(), |_| String::new())
    };
    let server =
        "password = 'env:P'\nhost_key = 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU'";
    let sftp = |place: &str| format!("url = 'sftp://u@h/{place}'\n{server}");
    for (first, second) in [
        ("url = '/drop'", "url = '/drop/'"),
        ("url = '/drop'", "url = '/drop'\nglob = 'cars*.csv'"),
        (
            "url = '/drop'\nglob = '*.csv'",
            "url = '/drop'\nglob = 'cars-*.csv'",
        ),
        (sftp("in").as_str(), sftp("in/").as_str()),
    ] {
        let said = both(first, second);
        assert!(
            said.contains("cars") && said.contains("parts"),
            "{first} {second}: {said}"
        );
    }
    for (first, second) in [
        ("url = '/drop'", "url = '/drop/cars'"),
        ("url = '/drop'", "url = '/drop'\nenabled = false"),
        (
            "url = '/drop'\nglob = 'parts-*'",
            "url = '/drop'\nglob = 'cars-*'",
        ),
        // Both could mean one name; whether such a file ever comes nobody knows.
        (
            "url = '/drop'\nglob = 'parts-*'",
            "url = '/drop'\nglob = '*-cars.csv'",
        ),
        ("url = 'https://h/stock.csv'", "url = 'https://h/stock.csv'"),
    ] {
        assert_eq!(both(first, second), "", "{first} {second}");
    }
}

#[test]
fn the_stored_form_is_the_same_configuration() {
    let config = Config::check(SAMPLE, "lotwire.toml").unwrap();
    let stored = config.to_json().unwrap();
    assert_eq!(Config::from_json(&stored).unwrap(), config);
}

#[test]
fn a_stored_form_of_another_release_is_still_read() {
    let config = Config::check(SAMPLE, "lotwire.toml").unwrap();
    let mut stored = serde_json::to_value(&config).unwrap();
    stored["guards"]["of_the_future"] = true.into();
    stored["connectors"]["shopify"]["settings"]["webhook"]
        .as_object_mut()
        .unwrap()
        .remove("tolerance");
    assert_eq!(Config::from_json(&stored.to_string()).unwrap(), config);
}

#[test]
fn what_was_written_is_what_is_in_force() {
    let config = Config::check(SAMPLE, "lotwire.toml").unwrap();
    let rule = config
        .rules
        .iter()
        .find(|rule| rule.id.as_str() == "north-oil")
        .unwrap();
    let line = SAMPLE
        .lines()
        .position(|line| line == "name = \"north-oil\"")
        .unwrap();
    // The origin is the line of the rule's header, just above its name.
    assert_eq!(rule.origin, format!("lotwire.toml:{line}"));
    assert_eq!(
        rule.seasons,
        [Season {
            from: "2026-11-15T00:00".parse().unwrap(),
            until: "2027-02-15T00:00".parse().unwrap(),
            units: 20,
        }]
    );
    let Check::LowStock(threshold) = &rule.check else {
        panic!("{rule:?}")
    };
    assert_eq!((threshold.units, threshold.recovery), (12, Some(30)));
    let files = config
        .connectors
        .get(&"stock-files".parse().unwrap())
        .unwrap();
    let connector::ConnectorSettings::Files(files) = &files.settings else {
        panic!("{files:?}")
    };
    assert_eq!(
        files.format.get().unwrap().required,
        ["sku", "location", "on_hand"]
    );
    assert_eq!(files.source().timeout_seconds, 30);
    let north = config
        .locations
        .location(&"north".parse().unwrap())
        .unwrap();
    assert_eq!(
        north.zone.iana_name(),
        Some("Europe/London"),
        "by default the account's"
    );
}

#[test]
fn the_smallest_document_is_enough() {
    let config = Config::check(
        "[account]\nname = \"A\"\nzone = \"UTC\"\ncurrency = \"EUR\"\n[locations]\n",
        "lotwire.toml",
    );
    let summary = config.unwrap().summary();
    assert_eq!(
        summary.notes,
        ["there are no routes: alerts are recorded, and nobody is told"]
    );
}

#[test]
fn it_is_noted_where_a_route_carries_nothing_but_ends() {
    let notes = |route: &str| {
        let text = format!(
            "[account]\nname = \"A\"\nzone = \"UTC\"\ncurrency = \"EUR\"\n[locations]\n\
             [channels.room]\nkind = \"slack\"\nurl = \"env:ROOM\"\n{route}"
        );
        Config::check(&text, "lotwire.toml")
            .unwrap()
            .summary()
            .notes
    };
    let ends = "[[routes]]\nname = \"ends\"\nchannels = [\"room\"]\nrevisions = [\"resolved\"]\n";
    let noted = notes(ends);
    assert!(
        noted.len() == 1 && noted[0].contains("nothing is ever sent"),
        "{noted:?}"
    );
    let all = format!("{ends}[[routes]]\nname = \"all\"\nchannels = [\"room\"]\n");
    assert_eq!(notes(&all), [""; 0]);
}

/// An alert about a feed is about no place: routes of places do not carry it.
#[test]
fn kinds_of_alert_that_no_route_carries_are_noted() {
    let notes = |routes: &str| {
        let text = format!(
            "[account]\nname = \"A\"\nzone = \"UTC\"\ncurrency = \"EUR\"\n[locations]\n\
             leeds = {{ name = \"Leeds\", kind = \"warehouse\" }}\n\
             [connectors.yard]\nkind = \"files\"\nurl = \"https://example.com/stock.csv\"\n\
             [connectors.till]\nkind = \"generic\"\nwebhook = {{ secret = \"env:TILL\" }}\n\
             [channels.room]\nkind = \"slack\"\nurl = \"env:ROOM\"\n{routes}"
        );
        Config::check(&text, "lotwire.toml")
            .unwrap()
            .summary()
            .notes
    };
    let route = |name: &str, filter: &str| {
        format!("[[routes]]\nname = \"{name}\"\nchannels = [\"room\"]\n{filter}\n")
    };
    let by_place = route("leeds", "locations = [\"leeds\"]");
    let noted = notes(&by_place);
    let of = |connector: &str| {
        let connector = format!("`{connector}`");
        let noted = noted.iter().find(|note| note.contains(&connector));
        noted.unwrap_or_else(|| panic!("{noted:?}")).clone()
    };
    for kind in ["feed_stale", "feed_suspect", "feed_flawed"] {
        assert!(of("yard").contains(kind), "{noted:?}");
    }
    assert!(!of("yard").contains("quarantine"), "{noted:?}");
    for kind in ["feed_stale", "quarantine"] {
        assert!(of("till").contains(kind), "{noted:?}");
    }
    // It says what to do.
    assert!(of("yard").contains("without `locations`"), "{noted:?}");
    // A source that lists one place is about it.
    let of_leeds = "[connectors.drop]\nkind = \"files\"\nurl = \"https://example.com/a.csv\"\n\
                    locations = { LDS = \"leeds\", L = \"leeds\" }\n";
    let noted_too = notes(&(by_place.clone() + of_leeds));
    assert!(
        !noted_too.iter().any(|note| note.contains("`drop`")),
        "{noted_too:?}"
    );
    // A channel's is told on the other channels whatever the routes say.
    assert!(!noted.iter().any(|note| note.contains("channel_down")));
    assert_eq!(notes(&route("all", "")), [""; 0]);
    // Each its own, and graver ones only.
    let yard = notes(&(by_place.clone() + &route("yard", "connectors = [\"yard\"]")));
    assert!(!yard.iter().any(|note| note.contains("`yard`")), "{yard:?}");
    assert!(yard.iter().any(|note| note.contains("`till`")), "{yard:?}");
    let grave = notes(&(by_place + &route("grave", "min_severity = \"critical\"")));
    assert!(
        grave.iter().any(|note| note.contains("feed_flawed")),
        "{grave:?}"
    );
    assert!(
        !grave.iter().any(|note| note.contains("feed_stale")),
        "{grave:?}"
    );
}

#[test]
fn it_is_noted_where_nobody_decides_on_the_state_of_a_vehicle() {
    let notes = |more: &str, kind: &str| {
        let connector = |name: &str| {
            format!(
                "[connectors.{name}]\nkind = \"generic\"\nlocations = {{ A = \"london\" }}\n\
                 webhook = {{ secret = \"env:S\" }}\n"
            )
        };
        let text = format!(
            "[account]\nname = \"A\"\nzone = \"UTC\"\ncurrency = \"EUR\"\n[locations.london]\n\
             name = \"London\"\nkind = \"{kind}\"\n{}{}{more}",
            connector("dms"),
            connector("market")
        );
        let config = Config::check(&text, "lotwire.toml").unwrap();
        let notes = config.summary().notes.into_iter();
        notes.filter(|note| note.contains("[ownership]")).count()
    };
    assert_eq!(notes("", "rooftop"), 1);
    assert_eq!(notes("[ownership]\nstate = [\"dms\"]\n", "rooftop"), 0);
    assert_eq!(notes("", "warehouse"), 0);
}

#[test]
fn a_place_that_a_connector_calls_as_we_do_is_not_said_to_be_without_stock() {
    let files = "[connectors.drop]\nkind = \"files\"\nurl = \"https://example.com/stock.csv\"\n";
    let signed = "[connectors.till]\nkind = \"generic\"\nwebhook = { secret = \"env:TILL\" }\n";
    for (connector, rest, without_stock) in [
        ("", "", true),
        (files, "", false),
        (signed, "", false),
        (files, "enabled = false\n", true),
        (files, "locations = { LEE = \"leeds\" }\n", true),
        (files, "locations = { N = \"north\" }\n", false),
    ] {
        let rest = connector.replacen('\n', &format!("\n{rest}"), 1);
        let text = format!(
            "[account]\nname = \"A\"\nzone = \"UTC\"\ncurrency = \"EUR\"\n\
             [locations]\nnorth = {{ name = \"North\", kind = \"warehouse\" }}\n\
             leeds = {{ name = \"Leeds\", kind = \"warehouse\" }}\n{rest}"
        );
        let notes = Config::check(&text, "lotwire.toml")
            .unwrap()
            .summary()
            .notes;
        let note = "no connector in use reports stock at `north`".to_owned();
        assert_eq!(notes.contains(&note), without_stock, "{text}");
    }
}

#[test]
fn an_empty_document_says_what_it_lacks() {
    let errors = Config::check("", "empty.toml").unwrap_err();
    assert_eq!(
        errors.to_string(),
        "empty.toml:1:1: account: missing; give a table\n\
         empty.toml:1:1: locations: missing; give a table, each value a table"
    );
}

#[test]
fn columns_count_characters_and_not_bytes() {
    let text =
        "account = { name = \"Größe – è\", zone = \"Mars\", currency = \"EUR\" }\nlocations = {}";
    let ConfigErrors(errors) = Config::check(text, "lotwire.toml").unwrap_err();
    let column = text.chars().position(|c| c == 'M').unwrap();
    assert_eq!((errors[0].line, errors[0].column), (1, column));
}

#[test]
fn ten_thousand_rules_are_checked_in_one_go() {
    let mut text = BASE.to_owned();
    for number in 0..10_000 {
        text.push_str(&format!("[[rules]]\nname = \"r{number}\"\nkind = \"low_stock\"\nproduct = \"P{number}\"\nthreshold = 3\n"
        ));
    }
    assert_eq!(
        Config::check(&text, "lotwire.toml").unwrap().rules.len(),
        10_000
    );
    text.push_str(
        "[[rules]]\nname = \"r9999\"\nkind = \"low_stock\"\nproduct = \"P5\"\nthreshold = 3\n",
    );
    assert_eq!(Config::check(&text, "lotwire.toml").unwrap_err().0.len(), 2);
}

/// Every dotted path of keys that a schema allows.
fn schema_paths(schema: &serde_json::Value, path: &str, into: &mut Vec<String>) {
    for one in ["oneOf", "anyOf"]
        .iter()
        .filter_map(|key| schema[*key].as_array())
        .flatten()
    {
        schema_paths(one, path, into);
    }
    if let Some(properties) = schema["properties"].as_object() {
        for (key, inner) in properties {
            let path = format!("{path}.{key}");
            schema_paths(inner, &path, into);
            into.push(path);
        }
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            schema_paths(&schema[inner], &format!("{path}.*"), into);
        }
    }
}

/// Every dotted path of keys in a document, names and list positions as `*`.
fn document_paths(
    value: &toml::Value,
    schema: &serde_json::Value,
    path: &str,
    into: &mut Vec<String>,
) {
    match value {
        toml::Value::Table(table) => {
            // A table of names, or one kind of several.
            let each = &schema["additionalProperties"];
            for (key, inner) in table {
                let (path, schema) = if each.is_object() {
                    (format!("{path}.*"), each)
                } else {
                    into.push(format!("{path}.{key}"));
                    (format!("{path}.{key}"), one_of(schema, table, key))
                };
                document_paths(inner, schema, &path, into);
            }
        }
        toml::Value::Array(list) => {
            for inner in list {
                document_paths(inner, &schema["items"], &format!("{path}.*"), into);
            }
        }
        _ => {}
    }
}

/// The schema of a key, in the branch whose `kind` is the table's own.
fn one_of<'s>(
    schema: &'s serde_json::Value,
    table: &toml::Table,
    key: &str,
) -> &'s serde_json::Value {
    let kind = table.get("kind").and_then(toml::Value::as_str);
    let branches = schema["oneOf"].as_array();
    let branch = branches.and_then(|branches| {
        branches
            .iter()
            .find(|branch| branch["properties"]["kind"]["const"].as_str() == kind)
    });
    &branch.unwrap_or(schema)["properties"][key]
}

#[test]
fn the_sample_is_valid_by_the_schema() {
    let schema = reference::schema();
    let (mut allowed, mut used) = (Vec::new(), Vec::new());
    schema_paths(&schema, "", &mut allowed);
    let sample: toml::Value = toml::from_str(SAMPLE).unwrap();
    document_paths(&sample, &schema, "", &mut used);
    assert!(used.len() > 100, "{}", used.len());
    for path in used {
        assert!(allowed.contains(&path), "{path} is not in the schema");
    }
}

#[test]
fn the_page_mentions_every_key_of_the_schema() {
    let mut paths = Vec::new();
    schema_paths(&reference::schema(), "", &mut paths);
    assert!(paths.len() > 150, "{}", paths.len());
    let page = reference::tables();
    for path in paths {
        let key = path.rsplit('.').next().unwrap();
        let mentioned = page.contains(&format!("`{key}`")) || page.contains(&format!("[{key}"));
        assert!(mentioned, "{path} is not on the reference page");
    }
}

/// Compares a file with what it should hold, or renews it when `UPDATE_DOCS` is set.
fn same_as_file(path: &str, expected: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path);
    if environment::process("UPDATE_DOCS").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{} is out of date; run the tests once with UPDATE_DOCS=1",
        path.display()
    );
}

#[test]
fn the_schema_file_is_up_to_date() {
    let schema = serde_json::to_string_pretty(&reference::schema()).unwrap();
    same_as_file("docs/lotwire.schema.json", &format!("{schema}\n"));
}

#[test]
fn the_reference_page_is_up_to_date() {
    let page = include_str!("../../../docs/configuration.md");
    let (before, rest) = page.split_once("<!-- written by").unwrap();
    let (mark, rest) = rest.split_once('\n').unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    let tables = reference::tables();
    let expected = format!("{before}<!-- written by{mark}\n\n{tables}\n\n<!-- end -->{after}");
    same_as_file("docs/configuration.md", &expected);
}

#[test]
fn the_example_on_the_page_is_in_order() {
    let page = include_str!("../../../docs/configuration.md");
    let examples = page.split("```toml\n").skip(1);
    let examples = examples.filter_map(|rest| rest.split("```").next());
    let rules: Vec<_> = examples
        .take(2)
        .map(|example| {
            let config = Config::check(example, "lotwire.toml");
            config.unwrap_or_else(|errors| panic!("{errors}")).rules
        })
        .map(|rules| rules.len())
        .collect();
    assert_eq!(
        rules,
        [1, 2],
        "the ten lines that suffice, and the longer one"
    );
}

#[test]
fn the_sample_stock_fits_the_sample_configuration() {
    use crate::domain::vin::{CheckDigit, Vin};
    use crate::feeds::delimited::read_all;

    let config = Config::check(SAMPLE, "lotwire.toml").unwrap();
    let files = &config
        .connectors
        .get(&"stock-files".parse().unwrap())
        .unwrap()
        .settings;
    let connector::ConnectorSettings::Files(files) = files else {
        panic!("{files:?}")
    };
    let stock = include_bytes!("../../../functions/local/sample/stock.csv");
    let (rows, bad, _) = read_all(stock, &files.format.get().unwrap());
    assert!(bad.is_empty(), "{bad:?}");
    assert_eq!(rows.len(), 19);

    let units = include_str!("../../../functions/local/sample/units.csv");
    let mut rows = csv::Reader::from_reader(units.as_bytes());
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 9);
    for row in rows {
        let vin: Vin = row[0].parse().unwrap();
        assert!(
            config
                .locations
                .location(&row[2].parse().unwrap())
                .is_some(),
            "{}",
            &row[2]
        );
        // Bentley keeps the check digit for all markets; Fiat writes filler in Europe.
        assert_eq!(
            vin.check_digit() == CheckDigit::Matches,
            &row[5] == "Bentley",
            "{vin}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        if let Ok(config) = Config::check(&text, "lotwire.toml") {
            prop_assert!(!config.summary().contents.is_empty());
        }
    }

    /// The sample with a piece taken out, doubled or replaced: almost right is harder than noise.
    #[test]
    fn no_slip_of_the_pen_makes_it_panic(
        at in any::<prop::sample::Index>(),
        length in 0_usize..200,
        piece in prop_oneof![
            Just(String::new()),
            "[\\[\\]{}=\",.0-9a-z\n-]{1,12}",
            Just("rules = 5\n".to_owned()),
            Just("\u{feff}".to_owned()),
        ],
    ) {
        let at = at.index(SAMPLE.len());
        let from = SAMPLE.floor_char_boundary(at);
        let to = SAMPLE.floor_char_boundary((at + length).min(SAMPLE.len()));
        let text = format!("{}{piece}{}", &SAMPLE[..from], &SAMPLE[to.max(from)..]);
        match Config::check(&text, "lotwire.toml") {
            Ok(config) => {
                let stored = config.to_json().unwrap();
                prop_assert_eq!(Config::from_json(&stored).unwrap(), config);
            }
            Err(ConfigErrors(errors)) => {
                prop_assert!(!errors.is_empty());
                let lines = text.split('\n').count();
                for error in errors {
                    prop_assert!((1..=lines).contains(&error.line) && error.column >= 1, "{}", error);
                }
            }
        }
    }

    /// Whatever is pasted where a secret belongs is never repeated.
    #[test]
    fn a_pasted_secret_is_never_repeated(secret in "[A-Za-z0-9+/]{16,40}") {
        let text = format!(
            "{BASE}[connectors.x]\nkind = \"generic\"\nwebhook = {{ secret = \"{secret}\" }}\n\
             [channels.y]\nkind = \"slack\"\nurl = \"{secret}\"\ndelivery = \"{secret}\"\n\
             [[rules]]\nname = \"z\"\nkind = \"{secret}\"\npending = \"{secret}\"\nlocation = \"{secret}\"\n"
        );
        let errors = Config::check(&text, "lotwire.toml").unwrap_err();
        prop_assert!(errors.0.len() >= 6, "{}", errors);
        prop_assert!(!format!("{errors}{errors:?}").contains(&secret), "{}", errors);
    }
}
