use super::*;
const SAMPLE: &str = include_str!("../../../functions/local/sample/lotwire.toml");
#[test]
fn the_sample_is_in_order() {
    let config = Config::check(SAMPLE, "lotwire.toml").unwrap_or_else(|errors| panic!("{errors}"));
    println!("{}\n{:#?}", config.summary(), config.rules);
    let stored = config.to_json().unwrap();
    println!("{stored}");
    assert_eq!(Config::from_json(&stored).unwrap(), config);
}
