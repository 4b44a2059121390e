use jiff::civil::datetime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::domain::Severity;
use crate::domain::catalogue::{Location, LocationKind};
use crate::domain::rule::{Basis, Boundary, Check, Demand, Over, Said, Season, Threshold};
use crate::domain::watch::OwnManner;

/// An account-wide low-stock rule, at or below, on what is available.
pub(crate) fn low(id: &str, units: i64) -> Rule {
    Rule {
        id: id.parse().unwrap(),
        scope: Scope::default(),
        check: Check::LowStock(Threshold {
            units,
            boundary: Boundary::AtOrBelow,
            basis: Basis::Available,
            recovery: None,
            over: Over::Each,
        }),
        enabled: true,
        severity: Severity::Warning,
        pending: SignedDuration::ZERO,
        keep_firing: SignedDuration::from_mins(5),
        manner: OwnManner::default(),
        seasons: vec![],
        said: None,
        origin: format!("lotwire.toml:{units}"),
    }
}

fn scoped(id: &str, units: i64, product: &[(&str, &str)], place: &[(&str, &str)]) -> Rule {
    let mut rule = low(id, units);
    for (part, value) in product.iter().chain(place) {
        match *part {
            "product" => rule.scope.product = Some(value.parse().unwrap()),
            "category" => rule.scope.category = Some((*value).to_owned()),
            "make" => rule.scope.make = Some((*value).to_owned()),
            "model" => rule.scope.model = Some((*value).to_owned()),
            "location" => rule.scope.location = Some(value.parse().unwrap()),
            "group" => rule.scope.group = Some(value.parse().unwrap()),
            "sum" => {
                rule.scope.group = Some(value.parse().unwrap());
                let Check::LowStock(threshold) = &mut rule.check else {
                    unreachable!("low() makes a stock rule");
                };
                threshold.over = Over::Sum;
            }
            other => panic!("{other} is no part of a scope"),
        }
    }
    rule
}

fn directory() -> Directory {
    let location = |id: &str, groups: &[&str]| Location {
        id: id.parse().unwrap(),
        name: id.to_owned(),
        zone: TimeZone::get("Europe/Rome").unwrap(),
        kind: LocationKind::Warehouse,
        groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
    };
    Directory::new(vec![
        location("milano", &["europe", "italy"]),
        location("roma", &["italy", "europe"]),
        location("paris", &["europe"]),
        location("austin", &[]),
    ])
    .unwrap()
}

fn book(rules: Vec<Rule>) -> RuleBook {
    RuleBook::new(rules, &directory()).unwrap()
}

/// The names of the rules that cover a position, the most specific first.
fn considered(
    book: &RuleBook,
    product: &str,
    category: Option<&str>,
    location: &str,
) -> Vec<String> {
    let (product, location) = (product.parse().unwrap(), location.parse().unwrap());
    let directory = directory();
    let found = book.resolve(
        AlertKind::LowStock,
        &Facts::of(&product, category, &location, &directory),
    );
    found
        .considered
        .iter()
        .map(|rule| rule.id.to_string())
        .collect()
}

fn explained(
    book: &RuleBook,
    product: &str,
    category: Option<&str>,
    location: &str,
    at: &str,
) -> String {
    let (product, location) = (product.parse().unwrap(), location.parse().unwrap());
    let directory = directory();
    let facts = Facts::of(&product, category, &location, &directory);
    let zone = &directory.location(&location).unwrap().zone;
    book.resolve(AlertKind::LowStock, &facts)
        .explain(at.parse().unwrap(), zone)
}

const NOW: &str = "2026-11-22T12:00:00Z";

fn five_levels() -> Vec<Rule> {
    vec![
        scoped("default-low", 5, &[], &[]),
        scoped("italy-low", 6, &[], &[("group", "italy")]),
        scoped("milano-low", 7, &[], &[("location", "milano")]),
        scoped("oils", 8, &[("category", "Oils")], &[]),
        scoped(
            "milano-oil",
            3,
            &[("product", "OIL-5W40")],
            &[("location", "milano")],
        ),
    ]
}

#[test]
fn of_five_levels_the_most_specific_wins_and_says_so() {
    let rules = book(five_levels());
    assert_eq!(
        explained(&rules, "OIL-5W40", Some("oils"), "milano", NOW),
        "Threshold 3 (fires at 3 or fewer available) from rule `milano-oil`, set for OIL-5W40 at \
         milano (lotwire.toml:3). It wins over rule `oils` (threshold 8, category Oils), rule \
         `milano-low` (threshold 7, every product at milano), rule `italy-low` (threshold 6, every \
         product in group italy) and rule `default-low` (threshold 5, whole account)."
    );
    assert_eq!(
        explained(&rules, "OIL-5W40", Some("oils"), "roma", NOW),
        "Threshold 8 (fires at 8 or fewer available) from rule `oils`, set for category Oils \
         (lotwire.toml:8). It wins over rule `italy-low` (threshold 6, every product in group italy) \
         and rule `default-low` (threshold 5, whole account)."
    );
    assert_eq!(
        explained(&rules, "WIPER", None, "milano", NOW),
        "Threshold 7 (fires at 7 or fewer available) from rule `milano-low`, set for every product at \
         milano (lotwire.toml:7). It wins over rule `italy-low` (threshold 6, every product in group \
         italy) and rule `default-low` (threshold 5, whole account)."
    );
    assert_eq!(
        explained(&rules, "WIPER", None, "roma", NOW),
        "Threshold 6 (fires at 6 or fewer available) from rule `italy-low`, set for every product in \
         group italy (lotwire.toml:6). It wins over rule `default-low` (threshold 5, whole account)."
    );
    assert_eq!(
        explained(&rules, "WIPER", None, "austin", NOW),
        "Threshold 5 (fires at 5 or fewer available) from rule `default-low`, set for whole account \
         (lotwire.toml:5)."
    );
}

#[test]
fn each_variant_and_each_model_finds_its_own_rule() {
    let rules = book(vec![
        scoped("account", 5, &[], &[]),
        scoped("s", 1, &[("product", "SHIRT-S")], &[]),
        scoped("m", 2, &[("product", "SHIRT-M")], &[]),
        scoped("shirts", 4, &[("category", "Shirts")], &[]),
        scoped("bentley", 1, &[("make", "BENTLEY")], &[]),
        scoped(
            "conti",
            2,
            &[("make", "Bentley"), ("model", "Continental  GT")],
            &[],
        ),
        scoped("coupes", 9, &[("category", "Coupés")], &[]),
    ]);
    let table: [(&str, Option<&str>, &[&str]); 8] = [
        ("SHIRT-S", Some("shirts"), &["s", "shirts", "account"]),
        ("SHIRT-M", Some(" SHIRTS "), &["m", "shirts", "account"]),
        ("SHIRT-L", Some("Shirts"), &["shirts", "account"]),
        ("shirt-s", None, &["account"]),
        (
            "line:bentley/continental-gt",
            Some("COUPÉS"),
            &["conti", "bentley", "coupes", "account"],
        ),
        ("line:bentley/bentayga", None, &["bentley", "account"]),
        ("line:audi/a4", Some("coupés"), &["coupes", "account"]),
        ("bentley", None, &["account"]),
    ];
    for (product, category, expected) in table {
        assert_eq!(
            considered(&rules, product, category, "austin"),
            expected,
            "{product}"
        );
    }
}

#[test]
fn the_product_decides_before_the_place_and_the_smaller_group_before_the_larger() {
    let rules = book(vec![
        scoped("here", 1, &[], &[("location", "milano")]),
        scoped("oil", 2, &[("product", "OIL")], &[]),
        scoped(
            "oil-europe",
            3,
            &[("product", "OIL")],
            &[("group", "europe")],
        ),
        scoped("oil-italy", 4, &[("product", "OIL")], &[("group", "italy")]),
    ]);
    let expected = ["oil-italy", "oil-europe", "oil", "here"];
    assert_eq!(considered(&rules, "OIL", None, "milano"), expected);
    assert_eq!(
        considered(&rules, "OIL", None, "paris"),
        ["oil-europe", "oil"]
    );
}

#[test]
fn a_rule_that_is_off_mutes_what_it_covers() {
    let mut rules = five_levels();
    rules[4].enabled = false;
    let rules = book(rules);
    assert_eq!(
        explained(&rules, "OIL-5W40", None, "milano", NOW),
        "No low_stock alert for OIL-5W40 at milano: rule `milano-oil`, set for OIL-5W40 at milano, \
         switches it off (lotwire.toml:3). It wins over rule `milano-low` (threshold 7, every product \
         at milano), rule `italy-low` (threshold 6, every product in group italy) and rule \
         `default-low` (threshold 5, whole account)."
    );
    let (product, location, directory) = (
        "OIL-5W40".parse().unwrap(),
        "milano".parse().unwrap(),
        directory(),
    );
    let facts = Facts::of(&product, None, &location, &directory);
    let found = rules.resolve(AlertKind::LowStock, &facts);
    assert_eq!(found.rule, None);
    assert_eq!(found.muted_by().unwrap().id.as_str(), "milano-oil");
    assert!(explained(&rules, "OIL-5W40", None, "roma", NOW).contains("`italy-low`"));

    let roma = "roma".parse().unwrap();
    let found = rules.resolve(
        AlertKind::LowStock,
        &Facts::of(&product, None, &roma, &directory),
    );
    assert_eq!(
        (found.rule.as_ref().unwrap().id.as_str(), found.muted_by()),
        ("italy-low", None)
    );
}

#[test]
fn where_no_rule_reaches_the_answer_says_so() {
    let rules = book(vec![scoped("paris", 1, &[], &[("location", "paris")])]);
    assert_eq!(
        explained(&rules, "OIL", None, "milano", NOW),
        "No low_stock rule applies to OIL at milano."
    );
    assert_eq!(
        explained(&RuleBook::default(), "OIL", None, "milano", NOW).len(),
        43
    );
}

#[test]
fn a_season_is_part_of_the_answer() {
    let mut rule = low("oil", 3);
    rule.seasons = vec![Season {
        from: datetime(2026, 12, 1, 0, 0, 0, 0),
        until: datetime(2027, 1, 7, 0, 0, 0, 0),
        units: 10,
    }];
    let rules = book(vec![rule]);
    assert_eq!(
        explained(&rules, "OIL", None, "milano", "2026-12-24T12:00:00Z"),
        "Threshold 10 (fires at 10 or fewer available) from rule `oil`, set for whole account \
         (lotwire.toml:3). This is the season's, from 2026-12-01 00:00 until 2027-01-07 00:00 \
         (Europe/Rome); otherwise it is threshold 3."
    );
    assert!(explained(&rules, "OIL", None, "milano", NOW).starts_with("Threshold 3 "));
}

#[test]
fn every_kind_of_check_has_its_words() {
    let threshold = |boundary, basis, recovery| {
        Check::LowStock(Threshold {
            units: 3,
            boundary,
            basis,
            recovery,
            over: Over::Each,
        })
    };
    let demand = |days, baseline_tenths| {
        Check::HighDemand(Demand {
            days,
            at_least: 3,
            baseline_tenths,
            baseline_days: 28,
        })
    };
    let table = [
        (
            threshold(Boundary::Below, Basis::OnHand, None),
            "Threshold 3 (fires below 3 on hand)",
        ),
        (
            threshold(Boundary::AtOrBelow, Basis::Projected, Some(6)),
            "Threshold 3 (fires at 3 or fewer projected, over from 6)",
        ),
        (
            Check::OutOfStock {
                basis: Basis::Available,
            },
            "Out of stock (fires at nothing available)",
        ),
        (
            demand(7, None),
            "High demand (fires at 3 or more sold in 7 days)",
        ),
        (
            demand(1, Some(25)),
            "High demand (fires at 3 or more sold in a day, if that is 2.5 times the usual rate of the \
             28 days before)",
        ),
    ];
    for (check, words) in table {
        let rule = Rule {
            check,
            ..low("r", 3)
        };
        assert_eq!(
            rule.in_words(Timestamp::UNIX_EPOCH, &TimeZone::UTC),
            format!("{words} from rule `r`, set for whole account (lotwire.toml:3).")
        );
    }
}

#[test]
fn a_sum_over_a_group_stands_beside_the_rule_of_each_location() {
    let rules = book(vec![
        scoped("each", 2, &[("product", "OIL")], &[("group", "italy")]),
        scoped("sum", 10, &[("product", "OIL")], &[("sum", "italy")]),
        scoped("any-sum", 20, &[], &[("sum", "italy")]),
        scoped("europe-sum", 30, &[], &[("sum", "europe")]),
    ]);
    assert_eq!(considered(&rules, "OIL", None, "milano"), ["each"]);
    assert_eq!(considered(&rules, "WIPER", None, "milano"), [""; 0]);

    let sums = |product: &str, location: &str| {
        let (product, location) = (product.parse().unwrap(), location.parse().unwrap());
        let directory = directory();
        let found = rules.rules_over_sums(&Facts::of(&product, None, &location, &directory));
        found
            .iter()
            .map(|sum| {
                (
                    sum.subject().to_string(),
                    sum.rule.as_ref().unwrap().id.to_string(),
                )
            })
            .collect::<Vec<_>>()
    };
    let pair = |subject: &str, rule: &str| (subject.to_owned(), rule.to_owned());
    assert_eq!(
        sums("OIL", "milano"),
        [
            pair("OIL in europe", "europe-sum"),
            pair("OIL in italy", "sum")
        ]
    );
    assert_eq!(
        sums("WIPER", "paris"),
        [pair("WIPER in europe", "europe-sum")]
    );
    assert_eq!(sums("OIL", "austin"), []);
    let only_italy = book(vec![scoped("sum", 10, &[], &[("sum", "italy")])]);
    let (product, location, places) = (
        "OIL".parse().unwrap(),
        "milano".parse().unwrap(),
        directory(),
    );
    let found = only_italy.rules_over_sums(&Facts::of(&product, None, &location, &places));
    assert_eq!(found.len(), 1, "Europe has none");

    let (oil, italy) = ("OIL".parse().unwrap(), "italy".parse().unwrap());
    let found = rules.resolve_sum(&Facts::of(&oil, None, &location, &places), &italy);
    assert_eq!(
        found.explain(NOW.parse().unwrap(), &TimeZone::UTC),
        "Threshold 10 (fires at 10 or fewer available) from rule `sum`, set for OIL summed over group \
         italy (lotwire.toml:10). It wins over rule `any-sum` (threshold 20, every product summed over \
         group italy)."
    );
}

#[test]
fn two_rules_for_the_same_thing_are_refused_with_both_places() {
    let refusal = RuleBook::new(
        vec![
            scoped("a", 41, &[("category", "Oils")], &[("location", "milano")]),
            scoped("b", 57, &[("category", "oils ")], &[("location", "milano")]),
            scoped("a", 60, &[], &[]),
        ],
        &directory(),
    )
    .unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "two low_stock rules for category oils  at milano: `a` (lotwire.toml:41) and `b` \
         (lotwire.toml:57); rule `a` is written twice: lotwire.toml:41 and lotwire.toml:60"
    );
    let other_kind = Rule {
        check: Check::OutOfStock {
            basis: Basis::Available,
        },
        ..low("out", 1)
    };
    assert!(RuleBook::new(vec![low("low", 1), other_kind], &directory()).is_ok());
}

#[test]
fn a_rule_that_contradicts_itself_is_refused_with_its_reason() {
    let season = |from_day, until_day, units| Season {
        from: datetime(2026, 12, from_day, 0, 0, 0, 0),
        until: datetime(2026, 12, until_day, 0, 0, 0, 0),
        units,
    };
    let demand = |days, at_least, baseline_days| {
        Check::HighDemand(Demand {
            days,
            at_least,
            baseline_tenths: Some(30),
            baseline_days,
        })
    };
    let with = |set: &dyn Fn(&mut Rule)| {
        let mut rule = low("r", 3);
        set(&mut rule);
        rule
    };
    let table = [
        (
            scoped("r", 3, &[("model", "Bentayga")], &[]),
            "a model needs its make",
        ),
        (
            scoped("r", 3, &[("product", "OIL"), ("category", "Oils")], &[]),
            "of product, make and category only one may be set",
        ),
        (
            scoped("r", 3, &[], &[("location", "milano"), ("group", "italy")]),
            "of location and group only one may be set",
        ),
        (scoped("r", 3, &[("make", " ")], &[]), UNREADABLE_LINE),
        (
            scoped("r", 3, &[("category", " ")], &[]),
            "the category is empty",
        ),
        (
            with(&|r| r.check = scoped("r", 3, &[], &[("sum", "italy")]).check),
            "a sum needs a group to be over",
        ),
        (low("r", -1), "a threshold is negative"),
        (
            with(&|r| {
                if let Check::LowStock(threshold) = &mut r.check {
                    threshold.recovery = Some(3);
                }
            }),
            "the recovery level still fires",
        ),
        (
            with(&|r| r.pending = SignedDuration::from_secs(-1)),
            "pending is negative",
        ),
        (
            with(&|r| r.keep_firing = SignedDuration::from_secs(-1)),
            "keep_firing is negative",
        ),
        (
            with(&|r| r.seasons = vec![season(2, 2, 1)]),
            "a season ends before it begins",
        ),
        (
            with(&|r| r.seasons = vec![season(1, 5, 1), season(4, 9, 2)]),
            "two seasons overlap",
        ),
        (
            with(&|r| r.seasons = vec![season(1, 5, -1)]),
            "a threshold is negative",
        ),
        (
            with(&|r| {
                r.check = Check::OutOfStock {
                    basis: Basis::OnHand,
                };
                r.seasons = vec![season(1, 5, 1)];
            }),
            "nothing left is the same number in every season",
        ),
        (
            with(&|r| r.check = demand(0, 3, 28)),
            "the window has no days",
        ),
        (
            with(&|r| r.check = demand(7, 0, 28)),
            "at least one unit must be asked for",
        ),
        (
            with(&|r| r.check = demand(7, 3, 0)),
            "the usual rate needs days to be taken from",
        ),
    ];
    for (rule, expected) in table {
        let origin = rule.origin.clone();
        let refusal = RuleBook::new(vec![rule], &directory()).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            format!("rule `r` ({origin}): {expected}")
        );
    }
    let adjoining = with(&|r| r.seasons = vec![season(1, 5, 1), season(5, 9, 2)]);
    assert!(RuleBook::new(vec![adjoining], &directory()).is_ok());
}

#[test]
fn a_rule_for_a_place_that_is_not_there_is_pointed_out_and_does_no_harm() {
    let rules = book(vec![
        scoped("closed", 1, &[], &[("location", "torino")]),
        scoped("misspelt", 2, &[], &[("group", "itlay")]),
        scoped("fine", 3, &[], &[("group", "italy")]),
    ]);
    let strays: Vec<_> = rules.strays().map(|rule| rule.id.as_str()).collect();
    assert_eq!(strays, ["closed", "misspelt"]);
    assert_eq!(considered(&rules, "OIL", None, "milano"), ["fine"]);
}

/// How specific a scope is, written down a second time and in another way than the index.
fn specificity(rule: &Rule) -> (u8, u8) {
    let Scope {
        product,
        category,
        make,
        model,
        location,
        group,
    } = &rule.scope;
    let product = match (product, model, make, category) {
        (Some(_), ..) => 4,
        (_, Some(_), ..) => 3,
        (_, _, Some(_), _) => 2,
        (.., Some(_)) => 1,
        _ => 0,
    };
    (
        product,
        u8::from(group.is_some()) + 2 * u8::from(location.is_some()),
    )
}

fn covers(rule: &Rule, facts: &Facts<'_>) -> bool {
    let Scope {
        product,
        category,
        make,
        model,
        location,
        group,
    } = &rule.scope;
    let line = facts.product.line();
    product.as_ref().is_none_or(|p| p == facts.product)
        && category.as_ref().is_none_or(|c| facts.category == Some(c))
        && make
            .as_ref()
            .is_none_or(|m| line.is_some_and(|(make, _)| make == m))
        && model
            .as_ref()
            .is_none_or(|m| line.is_some_and(|(_, model)| model == m))
        && location.as_ref().is_none_or(|l| l == facts.location)
        && group.as_ref().is_none_or(|g| facts.groups.contains(g))
}

fn any_scope() -> impl Strategy<Value = Scope> {
    let product = prop_oneof![
        Just([None, None, None, None]),
        prop_oneof!["OIL", "line:bentley/bentayga"].prop_map(|p| [Some(p), None, None, None]),
        Just([
            None,
            Some("bentley".to_owned()),
            Some("bentayga".to_owned()),
            None
        ]),
        Just([None, Some("bentley".to_owned()), None, None]),
        prop_oneof!["oils", "suvs"].prop_map(|c| [None, None, None, Some(c)]),
    ];
    let place = prop_oneof![
        Just((None, None)),
        prop_oneof!["milano", "paris"].prop_map(|l| (Some(l), None)),
        prop_oneof!["italy", "europe"].prop_map(|g| (None, Some(g))),
    ];
    (product, place).prop_map(
        |([product, make, model, category], (location, group))| Scope {
            product: product.map(|p| p.parse().unwrap()),
            category,
            make,
            model,
            location: location.map(|l| l.parse().unwrap()),
            group: group.map(|g| g.parse().unwrap()),
        },
    )
}

proptest! {
    #[test]
    fn the_index_finds_what_a_search_through_all_rules_finds(
        scopes in proptest::collection::hash_set(any_scope(), 0..20),
    ) {
        let rules: Vec<Rule> = scopes
            .into_iter()
            .enumerate()
            .map(|(index, scope)| Rule { scope, ..low(&format!("r{index}"), 1) })
            .collect();
        let directory = directory();
        let book = RuleBook::new(rules.clone(), &directory).unwrap();
        for (product, category) in [("OIL", Some("oils")), ("line:bentley/bentayga", Some("suvs")), ("WIPER", None)] {
            for location in ["milano", "paris", "austin"] {
                let (product, location) = (product.parse().unwrap(), location.parse().unwrap());
                let facts = Facts::of(&product, category, &location, &directory);
                let found = book.resolve(AlertKind::LowStock, &facts).considered;
                let covering = rules.iter().filter(|rule| covers(rule, &facts));
                prop_assert_eq!(found.len(), covering.clone().count());
                prop_assert!(found.iter().all(|rule| covers(rule, &facts)));
                prop_assert!(found.is_sorted_by_key(|rule| std::cmp::Reverse(specificity(rule))));
                let best = covering.map(specificity).max();
                prop_assert_eq!(found.first().map(|rule| specificity(rule)), best);
            }
        }
    }
}

#[test]
fn ten_thousand_rules_cost_no_more_look_ups_than_ten() {
    let many = (0..10_000).map(|n| {
        scoped(
            &format!("r{n}"),
            n,
            &[("product", &format!("SKU-{n}"))],
            &[],
        )
    });
    let rules = book(many.chain([low("account", 1)]).collect());
    for n in [0, 17, 9_999] {
        let expected = [format!("r{n}"), "account".to_owned()];
        assert_eq!(
            considered(&rules, &format!("SKU-{n}"), None, "milano"),
            expected
        );
    }
}

/// An imported rule says its number; severity, quantity, manner and the distance of the level from which it
/// is over are those of the rule that would apply without it, wherever that is.
#[test]
fn what_an_import_does_not_say_is_as_it_would_be_without_it() {
    let mut oils = scoped("oils", 5, &[("category", "Oils")], &[]);
    oils.severity = Severity::Critical;
    oils.pending = SignedDuration::from_mins(30);
    oils.manner.further_falls = Some(false);
    oils.check = Check::LowStock(Threshold {
        units: 5,
        boundary: Boundary::Below,
        basis: Basis::OnHand,
        recovery: Some(8),
        over: Over::Each,
    });
    let mut in_paris = scoped(
        "oils-paris",
        6,
        &[("category", "Oils")],
        &[("location", "paris")],
    );
    in_paris.severity = Severity::Info;
    let rules = book(vec![low("all", 1), oils, in_paris]);
    let imported = |said: Said| Rule {
        said: Some(said),
        ..scoped("imported", 12, &[("product", "OIL")], &[])
    };
    let directory = directory();
    let (product, milano, paris) = (
        "OIL".parse().unwrap(),
        "milano".parse().unwrap(),
        "paris".parse().unwrap(),
    );
    let applies = |own: &[Rule], location: &LocationId| {
        let facts = Facts::of(&product, Some("oils"), location, &directory).with(own);
        let found = rules.resolve(AlertKind::LowStock, &facts);
        found.rule.map(std::borrow::Cow::into_owned).unwrap()
    };
    let silent = [imported(Said::default())];
    let rule = applies(&silent, &milano);
    assert_eq!(rule.id.as_str(), "imported");
    assert_eq!(
        rule.check.threshold().unwrap(),
        Threshold {
            units: 12,
            boundary: Boundary::Below,
            basis: Basis::OnHand,
            recovery: Some(15),
            over: Over::Each,
        }
    );
    assert_eq!(
        (rule.severity, rule.pending, rule.manner.further_falls),
        (
            Severity::Critical,
            SignedDuration::from_mins(30),
            Some(false)
        )
    );
    assert_eq!(applies(&silent, &paris).severity, Severity::Info);
    // What it does say, it says.
    let said = Said {
        severity: Some(Severity::Warning),
        basis: Some(Basis::Available),
        ..Said::default()
    };
    let rule = applies(&[imported(said)], &milano);
    assert_eq!(rule.severity, Severity::Warning);
    assert_eq!(rule.check.threshold().unwrap().basis, Basis::Available);
    assert_eq!(rule.check.threshold().unwrap().boundary, Boundary::Below);
}
