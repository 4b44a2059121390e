//! Everything that can be wrong with a document, with the sentence and the place people are told.

use super::*;

fn base_lines() -> usize {
    BASE.lines().count()
}

/// What is wrong with the base document and these lines after it; line numbers count from the first.
fn faults(more: &str) -> Vec<String> {
    let text = format!("{BASE}{more}");
    let Err(ConfigErrors(errors)) = Config::check(&text, "lotwire.toml") else {
        return Vec::new();
    };
    let relative = |mut error: ConfigError| {
        error.line -= base_lines();
        error.to_string()
    };
    errors.into_iter().map(relative).collect()
}

/// Pieces that stand after the base document; the snapshot holds what is said of each.
const CASES: &[&str] = &[
    "[[rules]]\nname = \"milano-oil\"\nkind = \"low_stock\"\nthreshold = 3\nboundary = \"under\"",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\ntreshold = 3",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = \"three\"\ncolour = 1",
    "[[rules]]\nkind = \"low_stock\"\nthreshold = 1",
    "[[rules]]\nname = \"a\"\nkind = \"low_stok\"\nthreshold = 1",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = -1",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\nrecovery = 3",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\nrecovery = 5\nseasons = [{ from = 2026-12-01, until = 2027-01-01, units = 9 }]",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\nseasons = [{ from = 2026-12-24, until = 2026-12-01T08:00:00, units = 9 }]",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\nseasons = [\n  { from = 2026-12-01T00:00:00Z, until = 2027-01-01, units = 9 },\n]",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\nlocation = \"milan\"\n[[rules]]\nname = \"b\"\nkind = \"low_stock\"\nthreshold = 3\ngroup = \"germany\"",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\nmake = \"Bentley\"\nmodel = \"Continental GT\"\n\n[[rules]]\nname = \"b\"\nkind = \"low_stock\"\nthreshold = 4\nmake = \"bentley\"\nmodel = \"continental-gt\"",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\n[[rules]]\nname = \"a\"\nkind = \"out_of_stock\"\n",
    "[[rules]]\nname = \"a\"\nkind = \"high_demand\"\nthreshold = 3\npending = \"soon\"",
    "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\nover = \"sum\"\nproduct = \"A\"\nmake = \"B\"",
    "[[routes]]\nname = \"r\"\nchannels = [\"rooom\", \"room\", \"room\"]\nkinds = [\"low_stock\", \"sold_out\"]",
    "[[routes]]\nname = \"r\"\nchannels = []\nlocations = [\"berlin\"]",
    "[locations.roma]\nname = \"Roma\"\nkind = \"rooftop\"\nzone = \"Europe/Milano\"",
    "[locations.roma]\nname = \"Roma\"\nkind = \"rooftop\"\nzone = \"Europe/Roma\"",
    "[locations.\"ro ma\"]\nname = \"Roma\"\nkind = \"rooftop\"",
    "[connectors.x]\nkind = \"generic\"\nlocations = { A = \"milano\", B = \"milano\", C = \"roma\" }\nwebhook = { secret = \"hunter2hunter2\" }",
    "[connectors.x]\nkind = \"generic\"\nwebhook = { secret = 5, tolerance = \"-5m\", body_limit = 0, allow_from = [\"203.0.113.7/24\", \"here\"] }",
    "[connectors.x]\nkind = \"shopfy\"\nshop = \"a\"",
    "[connectors.x]\nshop = \"a\"",
    "[connectors.api]\nkind = \"generic\"\nwebhook = { secret = \"env:A\" }",
    "[connectors.x]\nkind = \"shopify\"\nshop = \"a.myshopify.com\"\nwebhook = { secret = \"env:A\" }",
    "[connectors.x]\nkind = \"files\"\nurl = \"sftp://user:pw@host/drop/\"",
    "[connectors.x]\nkind = \"files\"\nurl = \"ftp://host/drop/\"\nhost_key = \"SHA256:x\"\nmin_rows_percent = 101",
    "[connectors.x]\nkind = \"dealertrack\"\nverify = { kind = \"basic\", username = \"u\", header = \"X\" }\nevents = { a = \"vanished\" }\npointers = { event_id = \"id\" }",
    "[channels.x]\nkind = \"slack\"\ntokn = \"env:A\"",
    "[channels.x]\nkind = \"slack\"\nwebhook_url = \"env:A\"",
    "[channels.x]\nkind = \"slack\"\ntoken = \"xoxb-123456789-very-secret\"\nchannel = 5",
    "[channels.x]\nkind = \"slack\"\ntoken = \"env:A\"",
    "[channels.x]\nkind = \"twilio_sms\"",
    "[channels.x]\nkind = \"sendgrid\"\napi_key = \"SG.hunter2\"\nfrom = \"stock\"\nto = [\"parts\"]\nreply_to = \"me\"\ntemplate_id = \"mine\"",
    "[channels.x]\nkind = \"twilio_sms\"\naccount_sid = \"AC\"\nauth_token = \"env:A\"\nfrom = \"\"\nto = \"0039\"\nmax_segments = 99",
    "[channels.x]\nkind = \"twillio_sms\"\ndelivery = \"twice\"",
    "[ownership]\nprice = [\"shop\", \"erp\", \"api\"]",
    "[ownership]\nreserved = [\"shop\"]\nincoming = [\"shop\"]\nspecs = [\"shop\"]",
    "[templates.low_stock]\ntext = \"{{ produkt }}\"\n[templates.lowstock]\ntitle = \"x\"\n[templates.out_of_stock.channels.nowhere]\ntext = \"{% if %}\"",
    "[guards]\nvin = \"sometimes\"\nhold_price_jumps = 1",
    "[limits]\nevent_memory_days = 3",
    "[rule]\nname = \"a\"",
    "a = \n[b\nc = \"x",
    "[account]\nname = \"again\"",
    "rules = 5",
    // Two faults of different sections, and of one rule that cannot be read and another that can.
    "[guards]\nvin = 1\n[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = true\n[[rules]]\nname = \"b\"\nkind = \"low_stock\"",
    "[[rules]]\nname = \"a\"\nkind = \"out_of_stock\"\ntimes_usual = 2.5\nmodel = \"500e\"\nlocation = \"milano\"\ngroup = \"italy\"",
    "[[rules]]\nname = \"a\"\nkind = \"high_demand\"\nat_least = 0\ndays = 60\ntimes_usual = 2\nseasons = [{ from = 2026-12-01, until = 2027-01-01, units = 0 }, { from = 2026-12-31, until = 2027-02-01, units = 2 }]",
    "[[rules]]\nname = \"a\"\nkind = \"high_demand\"\nat_least = 3\ntimes_usual = 2.55\nusual_days = 99999",
    "[[rules]]\nname = \"a\"\nkind = \"high_demand\"\nat_least = 3\ndays = 71\n[[rules]]\nname = \"b\"\nkind = \"high_demand\"\nat_least = 3\ndays = 0",
    "[[rules]]\nname = \"a\"\nkind = \"high_demand\"\nat_least = 3\ndays = 43\ntimes_usual = 2",
    "[[rules]]\nname = \"a\"\nkind = \"high_demand\"\nat_least = 3\ndays = 14\ntimes_usual = 2\nusual_days = 57",
    "[connectors.x]\nkind = \"files\"\nurl = \"drop\"\npassword = \"env:A\"\nformat = { delimeter = \";\", header = 1, max_rows = \"many\", decimal_mark = \"dot\" }",
    "[connectors.x]\nkind = \"files\"\nurl = \"https://example.com/stock.csv\"\nformat = { header = false }",
    "[[routes]]\nname = \"r\"\nchannels = \"room\"\n[[routes]]\nname = \"r\"\nchannels = [\"room\"]\nmin_severity = \"high\"",
    "[[routes]]\nname = \"r\"\nchannels = [\"room\"]\ngroup_wait = \"30s\"\nmax_alerts = 5",
    "[[routes]]\nname = \"r\"\nchannels = [\"room\"]\ngroup_by = [\"location\", \"colour\", \"location\"]\ngroup_wait = \"25h\"\ngroup_interval = \"10ms\"\nmax_alerts = 26",
    "[[routes]]\nname = \"r\"\nchannels = [\"room\"]\ngroup_by = []\ngroup_interval = \"25h\"\nrepeat_interval = \"4h\"\n[[routes]]\nname = \"s\"\nchannels = [\"room\"]\ngroup_by = []\nrepeat_interval = \"4m\"",
    "[channels.x]\nkind = \"webhook\"\nurl = \"ftp://example.com\"\nsecret = \"env:A\"\nmax_per_second = 0",
    "[connectors.x]\nkind = \"shopify\"\nshop = \"a\"\nwebhook = { secret = \"env:A\" }\ndefault_location = \"milan\"",
    // What would fail with each read, or never read anything.
    "[connectors.x]\nkind = \"files\"\nurl = \"drop\"\nglob = \"north/*.csv\"\ndone_suffix = \"\"\nstale_after = \"5m\"",
    "[connectors.x]\nkind = \"files\"\nurl = \"drop\"\nglob = \"*.{csv,txt}\"\nchecksum_suffix = \"/sums\"",
    "[connectors.x]\nkind = \"files\"\nurl = \"drop\"\nglob = \"\"\n[connectors.y]\nkind = \"files\"\nurl = \"drop\"\nglob = \"*.done\"\n[connectors.z]\nkind = \"files\"\nurl = \"drop\"\nglob = \".stock*\"",
    "[connectors.x]\nkind = \"files\"\nurl = \"https://example.com/stock.csv?key=1\"\nglob = \"*.txt\"\nready = \"done_marker\"\n[connectors.y]\nkind = \"files\"\nurl = \"https://example.com/drop/\"",
    "[connectors.x]\nkind = \"files\"\nurl = \"sftp://host/drop/\"\npassword = \"env:A\"\nhost_key = \"SHA256:abc\"\n[connectors.y]\nkind = \"files\"\nurl = \"ftps://user@host/drop/\"\nextra_root = \"ca.pem\"",
    "[connectors.x]\nkind = \"files\"\nurl = \"drop\"\nformat = { header = false, names = [\"a\", \"b\"] }",
    "[connectors.x]\nkind = \"generic\"\nstale_after = \"1s\"\nwebhook = { secret = \"env:A\", tolerance = \"0s\" }",
];

#[test]
fn every_fault_is_told_with_its_place() {
    let mut told = String::new();
    for case in CASES {
        let faults = faults(case);
        assert!(!faults.is_empty(), "nothing is said of:\n{case}");
        told.push_str(&format!("{case}\n\n{}\n\n----\n\n", faults.join("\n")));
    }
    insta::assert_snapshot!(told);
}

/// What people write who know neither TOML nor this document, the line that is to be changed, and what they
/// have to be told to write there.
const SLIPS: &[(&str, usize, &str)] = &[
    (
        "[rules]\nname = \"a\"\nkind = \"low_stock\"",
        1,
        "write `[[rules]]`",
    ),
    (
        "[rules.low]\nkind = \"low_stock\"\nthreshold = 3",
        1,
        "write `[[rules]]`, with two brackets, in place of `[rules.low]`, and `name = \"low\"` below it",
    ),
    (
        "[[rules.low]]\nkind = \"low_stock\"\nthreshold = 3",
        1,
        "write `[[rules]]`",
    ),
    (
        "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\nseasons = { from = 2026-12-01, until = 2027-01-01, units = 9 }",
        5,
        "`[{ … }]`",
    ),
    (
        "[routes]\nname = \"a\"\nchannels = [\"room\"]",
        1,
        "write `[[routes]]`",
    ),
    (
        "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\n[rules.seasons]\nfrom = 2026-12-01\nuntil = 2027-01-01\nunits = 9",
        5,
        "write `[[rules.seasons]]`",
    ),
    (
        "[[rules]]\nname = \"a\"\nkind = \"low_stock\"\nthreshold = 3\n[rules]\nname = \"b\"",
        5,
        "`[[rules]]`",
    ),
    // A first one goes by its name already.
    (
        "[channels]\nkind = \"slack\"\ntoken = \"env:A\"",
        2,
        "begin it with `[channels.NAME]`",
    ),
    (
        "[connectors]\nkind = \"files\"\nurl = \"drop\"",
        2,
        "begin it with `[connectors.NAME]`",
    ),
    (
        "[[channels]]\nname = \"shop\"\nkind = \"slack\"",
        1,
        "`[channels.NAME]`",
    ),
    (
        "[[channels.shop]]\nkind = \"slack\"",
        1,
        "write `[channels.shop]` in place of `[[channels.shop]]`",
    ),
    (
        "[[templates]]\nname = \"low_stock\"\ntitle = \"x\"",
        1,
        "write `[templates.low_stock]` in place of `[[templates]]`",
    ),
    ("[[limits]]\nevent_memory_days = 9", 1, "write `[limits]`"),
    (
        "[account]\nname = \"again\"",
        1,
        "`account` stands there already",
    ),
    (
        "[guards]\nvin = \"hold\"\nvin = \"hold\"",
        3,
        "`vin` stands there already",
    ),
    (
        "[connectors.x]\nkind = \"files\"\nurl = \"C:\\Users\\till\"",
        3,
        "single quotes",
    ),
    (
        "[connectors.x]\nkind = \"files\"\nurl = \"D:\\stock\"",
        3,
        "single quotes",
    ),
    (
        "[connectors.x]\nkind = \"files\"\nurl = \"C:\\temp\\new\"",
        3,
        "single quotes",
    ),
    (
        "[connectors.x]\nkind = \"files\"\nurl = \"\\\\till\\share\"",
        3,
        "single quotes",
    ),
    (
        "[connectors.x]\nkind = \"files\"\nurl = \"D:\\\"",
        3,
        "single quotes",
    ),
    (
        "[connectors.x]\nkind = \"files\"\nurl = \"D:\\new\\\"",
        3,
        "single quotes",
    ),
    (
        "[connectors.x]\nkind = “files”",
        2,
        "`“` is no quotation mark here; type a straight one: \"",
    ),
    (
        "[connectors.x]\nkind = „files“",
        2,
        "`„` is no quotation mark here; type a straight one: \"",
    ),
    (
        "[connectors.x]\nkind = ‘files’",
        2,
        "`‘` is no quotation mark here; type a straight one: '",
    ),
    ("[connectors.x]\nkind = «files»", 2, "`«`"),
    ("[connectors.“x”]\nkind = \"files\"", 1, "`“`"),
    ("[connectors.x]\nkind = \"files”\nurl = \"drop\"", 2, "`”`"),
    ("[[routes]]\nname = \"r\"\nchannels = [\"room”]", 3, "`”`"),
];

#[test]
fn who_writes_toml_seldom_is_told_what_to_write_and_where() {
    for (slip, line, right) in SLIPS {
        let told = faults(slip);
        let place = format!("lotwire.toml:{line}:");
        let found = |one: &String| one.starts_with(&place) && one.contains(right);
        assert_eq!(
            told.iter().filter(|one| found(one)).count(),
            1,
            "{slip}\n{told:#?}"
        );
    }
    // Curly quotes and backslashes that stand where they may are nobody's slip.
    let fine =
        "[templates.low_stock]\ntitle = \"“Low”: C:\\\\x \" # “so”\ntext = 'C:\\temp, „low“'\n";
    assert_eq!(faults(fine), [""; 0]);
    let other = faults("[guards]\nvin = \"“strict”\" 5");
    assert!(!other.concat().contains("quotation mark"), "{other:?}");
}

#[test]
fn a_link_base_is_an_address_that_a_browser_can_follow() {
    let text = BASE.replacen(
        "[account]\n",
        "[account]\nlink_base = \"mailto:a@example.com\"\n",
        1,
    );
    let errors = Config::check(&text, "lotwire.toml")
        .unwrap_err()
        .to_string();
    assert!(
        errors.contains("account.link_base: is not a web address"),
        "{errors}"
    );
}

#[test]
fn a_folder_must_be_on_the_machine_that_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let drop = folder.path().join("drop");
    let text = format!(
        "{BASE}[connectors.x]\nkind = \"files\"\nurl = {:?}\n",
        drop.to_str().unwrap()
    );
    // Another machine may have it.
    assert!(Config::check(&text, "lotwire.toml").is_ok());
    let errors = Config::check_here(&text, "lotwire.toml").unwrap_err().0;
    assert_eq!(errors[0].field, "connectors.x.url");
    assert_eq!(errors[0].line, base_lines() + 3);
    let told = format!("there is no folder {} on this machine", drop.display());
    assert!(errors[0].problem.contains(&told), "{}", errors[0]);
    let off = format!("{text}enabled = false\n");
    assert!(Config::check_here(&off, "lotwire.toml").is_ok());
    std::fs::create_dir(&drop).unwrap();
    assert!(Config::check_here(&text, "lotwire.toml").is_ok());
}

#[test]
fn the_place_counts_from_the_top_of_the_file() {
    let errors =
        Config::check("[account]\nname = 5\n\n\n  zone = \"Mars\"", "a/b.toml").unwrap_err();
    assert_eq!(
        errors.to_string(),
        "a/b.toml:1:1: account.currency: missing; give a currency such as `EUR`\n\
         a/b.toml:1:1: locations: missing; give a table, each value a table\n\
         a/b.toml:2:8: account.name: expected text, found a whole number\n\
         a/b.toml:5:10: account.zone: unknown time zone `Mars`; give an IANA time zone such as `Europe/Rome`"
    );
    let first = &errors.0[0];
    assert_eq!(
        (first.file.as_str(), first.line, first.column),
        ("a/b.toml", 1, 1)
    );
    assert_eq!(first.field, "account.currency");
}
