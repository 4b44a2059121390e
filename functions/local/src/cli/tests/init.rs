//! A first configuration, from a few answers.

use super::*;

/// Runs `init` before somebody who types these lines; gives exit code, what was shown, and the file.
fn init(typed: Option<&str>, flags: &[&str]) -> (ExitCode, String, Option<String>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mine.toml");
    let file = path.display().to_string();
    let line = ["lotwire", "init", &file]
        .into_iter()
        .chain(flags.iter().copied());
    let Some(Command::Init(asked)) = Cli::try_parse_from(line).unwrap().command else {
        unreachable!();
    };
    let written = Mutex::new(Vec::new());
    let code = {
        let mut show = Show::to(To(&written), To(&written));
        if let Some(typed) = typed {
            show = show.before(typed.as_bytes());
        }
        end(crate::cli::init::run(&asked, &mut show), &mut show)
    };
    let shown = String::from_utf8(written.into_inner().unwrap()).unwrap();
    (code, shown, std::fs::read_to_string(path).ok())
}

#[test]
fn four_answers_make_a_configuration() {
    let typed = "boats\nvehicles\nwebhook\nsms\nsms +393331234567\nmany\n2\n";
    let (code, shown, text) = init(Some(typed), &["--zone", "Europe/Rome"]);
    assert_eq!(code, ExitCode::SUCCESS, "{shown}");
    for words in [
        "`boats` is none of vehicles, parts",
        "sms needs to know where to",
        "`many` is not a number",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let config = shared::config::Config::check(&text.unwrap(), "mine.toml").unwrap();
    assert_eq!(config.summary().notes, Vec::<String>::new());
    // Enter takes what is usual; nobody is asked what a flag says.
    let (code, shown, text) = init(Some("\n\n\n"), &["--level", "7"]);
    assert_eq!(code, ExitCode::SUCCESS, "{shown}");
    assert!(text.unwrap().contains("threshold = 7"));
    let (code, shown, text) = init(None, &["--sell", "parts"]);
    assert_eq!((code, text), (ExitCode::from(2), None));
    assert!(shown.contains("answer with --from"), "{shown}");
    let (code, shown, text) = init(Some("\n"), &[]);
    assert_eq!((code, text), (ExitCode::from(2), None), "{shown}");
}

#[test]
fn an_answer_that_cannot_be_is_refused_at_once() {
    let typed = "parts\nwebhook\nmail nobody\nsms 12\nwebhook nowhere\nmail a@example.com\n4\n";
    let (code, shown, text) = init(Some(typed), &[]);
    assert_eq!(code, ExitCode::SUCCESS, "{shown}");
    assert!(text.unwrap().contains("a@example.com"));
    let asked = |words: &str| shown.matches(words).count();
    assert_eq!(
        (asked("Whom to tell"), asked("At how many")),
        (4, 1),
        "{shown}"
    );
    for flags in [
        ["--currency", "POUND"],
        ["--zone", "Europe/Rom"],
        ["--tell", "mail nobody"],
    ] {
        let (code, shown, text) = init(Some(""), &flags);
        assert_eq!((code, text), (ExitCode::from(2), None), "{flags:?}");
        assert!(!shown.contains("What do you sell"), "{shown}");
    }
}

#[test]
fn every_combination_of_answers_passes_the_check() {
    for sell in ["vehicles", "parts"] {
        for from in ["shopify", "dealertrack", "files", "webhook"] {
            for tell in [
                "slack",
                "sms +393331234567",
                "mail a@example.com",
                "webhook https://example.com/x",
            ] {
                let flags = [
                    "--sell",
                    sell,
                    "--from",
                    from,
                    "--tell",
                    tell,
                    "--level",
                    "0",
                    "--name",
                    "O'Neill \"Parts\"",
                    "--currency",
                    "GBP",
                    "--zone",
                    "Europe/London",
                    "--shop",
                    "northgate",
                    "--shop-location",
                    "655441491",
                ];
                let (code, shown, text) = init(None, &flags);
                assert_eq!(code, ExitCode::SUCCESS, "{flags:?}: {shown}");
                let text = text.unwrap();
                assert!(!text.contains("EUR"), "{flags:?}: {text}");
                let config = shared::config::Config::check(&text, "mine.toml").unwrap();
                assert_eq!(config.summary().notes, Vec::<String>::new(), "{flags:?}");
                assert_eq!(config.account.currency.to_string(), "GBP");
                assert_eq!(config.account.zone.0.iana_name(), Some("Europe/London"));
                assert_eq!(config.account.name, "O'Neill \"Parts\"");
            }
        }
    }
}

/// A shop's name that is made up has each of its webhooks refused, and a number of a place that is made up each
/// of its levels held.
#[test]
fn a_shop_is_asked_for_what_its_webhooks_say() {
    let typed = "parts\nshopify\n\nnot a shop!\nhttps://northgate.myshopify.com/\nfirst\n\
                 https://admin.shopify.com/store/northgate/settings/locations/655441491\nslack\n3\n";
    let (code, shown, text) = init(Some(typed), &[]);
    assert_eq!(code, ExitCode::SUCCESS, "{shown}");
    assert!(shown.contains("`first` is not a number"), "{shown}");
    assert_eq!(shown.matches("Which shop").count(), 3, "{shown}");
    assert!(!shown.contains("lotwire quarantine"), "{shown}");
    let text = text.unwrap();
    assert!(text.contains("shop = \"northgate\""), "{text}");
    assert!(text.contains("{ \"655441491\" = \"main\" }"), "{text}");
    // Who has no number at hand is told where it comes from; nobody can do without the name.
    let flags = [
        "--sell", "parts", "--from", "shopify", "--tell", "slack", "--level", "3",
    ];
    let named = [&flags[..], &["--shop", "northgate"]].concat();
    for typed in [None, Some("\n")] {
        let (code, shown, text) = init(typed, &named);
        assert_eq!(code, ExitCode::SUCCESS, "{shown}");
        assert!(
            shown.contains("`lotwire quarantine` names its number"),
            "{shown}"
        );
        let config = shared::config::Config::check(&text.unwrap(), "mine.toml").unwrap();
        // Which `check` says, too.
        let notes = config.summary().notes;
        assert_eq!(notes, ["no connector in use reports stock at `main`"]);
    }
    let (code, shown, text) = init(None, &flags);
    assert_eq!((code, text), (ExitCode::from(2), None));
    assert!(shown.contains("answer with --shop"), "{shown}");
}

#[test]
fn a_file_that_exists_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lotwire.toml");
    std::fs::write(&path, "mine").unwrap();
    let line = [
        "lotwire",
        "init",
        path.to_str().unwrap(),
        "--sell",
        "parts",
        "--from",
        "webhook",
        "--tell",
        "slack",
        "--level",
        "1",
    ];
    let Some(Command::Init(asked)) = Cli::try_parse_from(line).unwrap().command else {
        unreachable!();
    };
    let refused = crate::cli::init::run(&asked, &mut Show::to(std::io::sink(), std::io::sink()));
    assert!(matches!(refused, Err(Failure::Usage(problem)) if problem.contains("left alone")));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}

#[test]
fn the_reference_begins_with_ten_lines_that_suffice() {
    const REFERENCE: &str = include_str!("../../../../../docs/configuration.md");
    let block = REFERENCE.split("```toml\n").nth(1).unwrap();
    let text = block.split("```").next().unwrap();
    assert!(text.lines().count() <= 10, "{text}");
    let config = shared::config::Config::check(text, "lotwire.toml").unwrap();
    assert_eq!(config.summary().notes, Vec::<String>::new());
    assert_eq!(
        (
            config.rules.len(),
            config.routes.len(),
            config.connectors.len()
        ),
        (1, 1, 1)
    );
}
