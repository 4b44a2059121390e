//! Targets nobody may make us call, in every disguise.

use super::*;
use proptest::prelude::*;

fn guard(allowed: &[&str]) -> Guard {
    Guard::new(allowed.iter().map(|entry| entry.parse().unwrap()).collect())
}

fn admit(guard: &Guard, url: &str) -> Result<Admitted, Refusal> {
    guard.admit(&url.parse().unwrap())
}

#[test]
fn hostile_literals_are_refused_however_they_are_written() {
    for (host, kind) in [
        ("127.0.0.1", "loopback"),
        ("127.1", "loopback"),
        ("2130706433", "loopback"),
        ("0x7f.0.0.1", "loopback"),
        ("0177.0.0.1", "loopback"),
        ("0", "unspecified"),
        ("10.1.2.3", "private"),
        ("172.31.255.255", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "shared by a carrier"),
        ("169.254.169.254", "link-local"),
        ("169.254.170.2", "link-local"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("[::]", "unspecified"),
        ("[::1]", "loopback"),
        ("[::ffff:169.254.169.254]", "IPv4-mapped"),
        ("[::ffff:8.8.8.8]", "IPv4-mapped"),
        ("[::7f00:1]", "IPv4-compatible"),
        ("[64:ff9b::169.254.169.254]", "link-local"),
        ("[64:ff9b:1::a]", "local NAT64"),
        ("[2002:7f00:1::]", "6to4"),
        ("[2001::1]", "for protocols"),
        ("[fd00:ec2::254]", "unique-local"),
        ("[fe80::1]", "link-local"),
        ("[fec0::1]", "site-local"),
        ("[ff02::1]", "multicast"),
        ("[4000::1]", "reserved"),
    ] {
        let refusal = admit(&guard(&[]), &format!("https://{host}/")).unwrap_err();
        assert!(
            matches!(refusal, Refusal::Address { kind: found, .. } if found == kind),
            "{host}: {refusal}"
        );
    }
}

#[test]
fn the_edges_of_each_range_are_public() {
    for public in [
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "223.255.255.255",
        "[2606:4700::1111]",
        "[64:ff9b::8.8.8.8]",
    ] {
        let url = format!("https://{public}/");
        assert_eq!(admit(&guard(&[]), &url), Ok(Admitted::Guarded), "{public}");
    }
}

#[test]
fn only_https_without_credentials() {
    let rules = guard(&[]);
    let refusal = |url| admit(&rules, url).unwrap_err().to_string();
    assert_eq!(refusal("http://example.com/"), "http is not https");
    assert_eq!(refusal("ftp://example.com/"), "ftp is not https");
    assert_eq!(refusal("file:///etc/passwd"), "file is not https");
    assert_eq!(refusal("gopher://127.0.0.1/"), "gopher is not https");
    let message = refusal("https://api.example.com:hunter2@10.0.0.1/");
    assert_eq!(message, "the URL holds a user name or password");
}

#[test]
fn the_allow_list_opens_exactly_what_it_names() {
    let rules = guard(&[
        "dms.example.internal",
        "localhost:2773",
        "127.0.0.1:8000",
        "[::1]:8000",
        "10.20.0.0/16",
        "fd12::/16",
    ]);
    for open in [
        "http://dms.example.internal:8080/",
        "https://DMS.example.internal/",
        "http://localhost:2773/",
        "http://127.0.0.1:8000/",
        "http://[::1]:8000/",
        "http://10.20.255.1:99/",
        "http://[fd12::9]/",
    ] {
        assert_eq!(admit(&rules, open), Ok(Admitted::Allowed), "{open}");
    }
    for shut in [
        "http://localhost:2774/",
        "http://127.0.0.1:8001/",
        "http://127.0.0.2:8000/",
        "https://10.21.0.1/",
        "http://evil.dms.example.internal/",
        "https://[fd13::9]/",
        "https://[::ffff:10.20.0.1]/",
        "file://localhost:2773/",
    ] {
        let Ok(url) = shut.parse() else { continue };
        assert!(rules.admit(&url).is_err(), "{shut}");
    }
    assert!(rules.admit_address("10.20.0.1".parse().unwrap()).is_ok());
    // A name that was allowed does not allow the address it has for other names.
    assert!(rules.admit_address("127.0.0.1".parse().unwrap()).is_err());
}

#[test]
fn entries_that_cannot_be_read_are_refused() {
    for wrong in [
        "",
        "10.0.0.0/33",
        "fd00::/129",
        "10.0.0/8",
        "host:port",
        "host:70000",
        "a b",
        "/8",
        "http://host",
    ] {
        assert!(wrong.parse::<Allowed>().is_err(), "{wrong:?}");
    }
    let json = "[\"10.0.0.0/8\",\"db.internal:8443\"]";
    let read: Vec<Allowed> = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), json);
}

proptest! {
    #[test]
    fn an_address_is_refused_in_every_disguise(bits: u32) {
        let plain = Ipv4Addr::from_bits(bits);
        let nat64 = Ipv6Addr::from_bits((0x64_ff9b_u128 << 96) | u128::from(bits));
        prop_assert_eq!(not_public_v4(plain), not_public_v6(nat64));
        prop_assert!(not_public_v6(plain.to_ipv6_mapped()).is_some());
    }

    /// The standard library knows some of the ranges too.
    #[test]
    fn what_the_standard_library_calls_special_is_refused(bits: u32) {
        let address = Ipv4Addr::from_bits(bits);
        let special = address.is_loopback() || address.is_private() || address.is_link_local()
            || address.is_multicast() || address.is_broadcast() || address.is_documentation()
            || address.is_unspecified();
        prop_assert!(!special || not_public_v4(address).is_some(), "{}", address);
    }
}
