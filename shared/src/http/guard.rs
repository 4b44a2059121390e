//! Where outgoing calls must not go, whoever configured the address.
//!
//! Customers type in webhook URLs, and vendors' replies name hosts. Neither may make us call our
//! own network, the machine we run on or the cloud's metadata service. A host written as an
//! address is checked here; a name is checked when it is resolved, on the very addresses that are
//! then connected to, so an answer that changes in between (DNS rebinding) changes nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The rules for outgoing calls: public addresses over https, and what was explicitly allowed.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allowed: Vec<Allowed>,
}

/// A target exempt from the rules, plain http included: `host`, `host:port`, an address with or
/// without a port, or a network such as `10.20.0.0/16`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Allowed {
    written: String,
    target: Target,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Host(Host<String>, Option<u16>),
    Network(IpAddr, u32),
}

/// Why an entry of the allow-list cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{written:?} is neither host, host:port, address nor network (10.0.0.0/8)")]
pub struct AllowedError {
    written: String,
}

/// Which rule a call breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not even http.
    #[error("{scheme} is not https")]
    Scheme {
        /// The scheme asked for.
        scheme: String,
    },
    /// A URL without a host goes nowhere.
    #[error("the URL names no host")]
    NoHost,
    /// A name or password in a URL ends up in logs.
    #[error("the URL holds a user name or password")]
    Credentials,
    /// Not a public address.
    #[error("{address} is {kind}")]
    Address {
        /// The address, written or resolved.
        address: IpAddr,
        /// What kind it is.
        kind: &'static str,
    },
}

/// What the rules say to a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admitted {
    /// Go on, and check each address that the name resolves to.
    Guarded,
    /// On the allow-list: go on, wherever that is.
    Allowed,
}

impl Guard {
    /// The rules, with exemptions.
    pub fn new(allowed: Vec<Allowed>) -> Self {
        Self { allowed }
    }

    /// Whether anything is exempt.
    pub(super) fn has_exemptions(&self) -> bool {
        !self.allowed.is_empty()
    }

    /// Checks all of a URL that can be checked before its name is resolved.
    pub(super) fn admit(&self, url: &Url) -> Result<Admitted, Refusal> {
        if !matches!(url.scheme(), "https" | "http") {
            return Err(scheme_of(url));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Credentials);
        }
        let host = url.host().ok_or(Refusal::NoHost)?;
        let port = url.port_or_known_default();
        if self.allowed.iter().any(|entry| entry.covers(&host, port)) {
            return Ok(Admitted::Allowed);
        }
        self.admit_host(host)?;
        if url.scheme() == "http" {
            return Err(scheme_of(url));
        }
        Ok(Admitted::Guarded)
    }

    /// As [`Self::admit`], for a file: whether it may be fetched without encryption is the feed's own
    /// setting.
    pub(super) fn admit_download(&self, url: &Url) -> Result<Admitted, Refusal> {
        let host = url.host().ok_or(Refusal::NoHost)?;
        self.admit_at(host, url.port_or_known_default())
    }

    /// As [`Self::admit_download`], for a server that is not a web server.
    pub(super) fn admit_server(&self, host: &str, port: u16) -> Result<Admitted, Refusal> {
        let host = match host.parse() {
            Ok(address) => host_of(address),
            // What cannot be a host is found nowhere.
            Err(_) => Host::parse(host).unwrap_or_else(|_| Host::Domain(host.to_owned())),
        };
        let host = match &host {
            Host::Domain(name) => Host::Domain(name.as_str()),
            Host::Ipv4(address) => Host::Ipv4(*address),
            Host::Ipv6(address) => Host::Ipv6(*address),
        };
        self.admit_at(host, Some(port))
    }

    fn admit_at(&self, host: Host<&str>, port: Option<u16>) -> Result<Admitted, Refusal> {
        match self.allowed.iter().any(|entry| entry.covers(&host, port)) {
            true => Ok(Admitted::Allowed),
            false => self.admit_host(host).map(|()| Admitted::Guarded),
        }
    }

    /// Checks a host, as far as can be told before its name is resolved.
    fn admit_host(&self, host: Host<&str>) -> Result<(), Refusal> {
        match host {
            Host::Ipv4(address) => self.admit_address(address.into()),
            Host::Ipv6(address) => self.admit_address(address.into()),
            // By its name alone this machine, wherever it is resolved.
            Host::Domain(name) if names_this_machine(name) => {
                self.admit_address(Ipv4Addr::LOCALHOST.into())
            }
            Host::Domain(_) => Ok(()),
        }
    }

    /// Checks an address that a name resolved to.
    pub(super) fn admit_address(&self, address: IpAddr) -> Result<(), Refusal> {
        if self.allowed.iter().any(|entry| entry.contains(address)) {
            return Ok(());
        }
        match not_public(address) {
            Some(kind) => Err(Refusal::Address { address, kind }),
            None => Ok(()),
        }
    }
}

fn names_this_machine(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

fn scheme_of(url: &Url) -> Refusal {
    Refusal::Scheme {
        scheme: url.scheme().to_owned(),
    }
}

impl Allowed {
    fn covers(&self, host: &Host<&str>, port: Option<u16>) -> bool {
        match &self.target {
            Target::Host(name, only) => {
                *name == host.to_owned() && only.is_none_or(|only| port == Some(only))
            }
            Target::Network(..) => match host {
                Host::Ipv4(address) => self.contains((*address).into()),
                Host::Ipv6(address) => self.contains((*address).into()),
                Host::Domain(_) => false,
            },
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        match (&self.target, address) {
            (Target::Network(IpAddr::V4(network), prefix), IpAddr::V4(address)) => {
                in_v4(address, *network, *prefix)
            }
            (Target::Network(IpAddr::V6(network), prefix), IpAddr::V6(address)) => {
                in_v6(address, *network, *prefix)
            }
            _ => false,
        }
    }
}

impl FromStr for Allowed {
    type Err = AllowedError;

    fn from_str(text: &str) -> Result<Self, AllowedError> {
        let written = text.trim().to_owned();
        match target(&written) {
            Some(target) => Ok(Self { written, target }),
            None => Err(AllowedError { written }),
        }
    }
}

fn target(text: &str) -> Option<Target> {
    if let Some((network, prefix)) = text.split_once('/') {
        let network: IpAddr = network.parse().ok()?;
        let longest = if network.is_ipv4() { 32 } else { 128 };
        let prefix: u32 = prefix.parse().ok().filter(|prefix| *prefix <= longest)?;
        return Some(Target::Network(network, prefix));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Target::Host(host_of(address), None));
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(Target::Host(host_of(socket.ip()), Some(socket.port())));
    }
    match text.split_once(':') {
        Some((name, port)) => {
            let port = port.parse().ok()?;
            Some(Target::Host(Host::parse(name).ok()?, Some(port)))
        }
        None => Some(Target::Host(Host::parse(text).ok()?, None)),
    }
}

fn host_of(address: IpAddr) -> Host<String> {
    match address {
        IpAddr::V4(address) => Host::Ipv4(address),
        IpAddr::V6(address) => Host::Ipv6(address),
    }
}

impl TryFrom<String> for Allowed {
    type Error = AllowedError;

    fn try_from(text: String) -> Result<Self, AllowedError> {
        text.parse()
    }
}

impl From<Allowed> for String {
    fn from(allowed: Allowed) -> Self {
        allowed.written
    }
}

/// IPv4 ranges that are not the public internet (IANA special-purpose registry).
const V4: [(Ipv4Addr, u32, &str); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "unspecified"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared by a carrier"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "for documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a 6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// IPv6 ranges by name; whatever is outside 2000::/3 is refused even if it is not named here.
const V6: [(Ipv6Addr, u32, &str); 14] = [
    (v6(0, 0, 0, 0), 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (v6(0, 0, 0, 0), 96, "IPv4-compatible"),
    (
        Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0),
        96,
        "IPv4-mapped",
    ),
    (v6(0x64, 0xff9b, 1, 0), 48, "local NAT64"),
    (v6(0xfc00, 0, 0, 0), 7, "unique-local"),
    (v6(0xfe80, 0, 0, 0), 10, "link-local"),
    (v6(0xfec0, 0, 0, 0), 10, "site-local"),
    (v6(0xff00, 0, 0, 0), 8, "multicast"),
    (v6(0x2001, 0, 0, 0), 23, "for protocols"),
    (v6(0x2001, 0xdb8, 0, 0), 32, "for documentation"),
    (v6(0x2002, 0, 0, 0), 16, "6to4"),
    (v6(0x3fff, 0, 0, 0), 20, "for documentation"),
    (v6(0x5f00, 0, 0, 0), 16, "for routing segments"),
];

const fn v6(a: u16, b: u16, c: u16, d: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)
}

fn in_v4(address: Ipv4Addr, network: Ipv4Addr, prefix: u32) -> bool {
    let difference = address.to_bits() ^ network.to_bits();
    difference.leading_zeros() >= prefix
}

fn in_v6(address: Ipv6Addr, network: Ipv6Addr, prefix: u32) -> bool {
    let difference = address.to_bits() ^ network.to_bits();
    difference.leading_zeros() >= prefix
}

/// What kind of address it is, if it is not a public one.
fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => not_public_v4(address),
        IpAddr::V6(address) => not_public_v6(address),
    }
}

fn not_public_v4(address: Ipv4Addr) -> Option<&'static str> {
    V4.iter()
        .find(|(network, prefix, _)| in_v4(address, *network, *prefix))
        .map(|(_, _, kind)| *kind)
}

fn not_public_v6(address: Ipv6Addr) -> Option<&'static str> {
    // Networks with IPv6 only reach IPv4 this way, so what counts is the address inside.
    if in_v6(address, v6(0x64, 0xff9b, 0, 0), 96) {
        let [.., a, b, c, d] = address.octets();
        return not_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    let named = V6
        .iter()
        .find(|(network, prefix, _)| in_v6(address, *network, *prefix))
        .map(|(_, _, kind)| *kind);
    let global = in_v6(address, v6(0x2000, 0, 0, 0), 3);
    named.or((!global).then_some("reserved"))
}

#[cfg(test)]
mod tests;
