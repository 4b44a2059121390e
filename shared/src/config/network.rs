//! Blocks of addresses that a sender may call from.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A block of addresses in CIDR notation; a bare address is a block of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

/// Why a piece of text is not a block of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Not an address, or not a prefix length.
    #[error("not a block of addresses; write `203.0.113.0/24` or `2001:db8::/32`")]
    Syntax,
    /// More bits than an address has.
    #[error("/{found} is longer than an address; at most /{most}")]
    Prefix {
        /// The length found.
        found: u32,
        /// The length of an address.
        most: u32,
    },
    /// The address has bits beyond the prefix, so it is unclear which of the two is meant.
    #[error("the address has bits beyond /{prefix}; for this block write `{meant}`")]
    HostBits {
        /// The prefix length.
        prefix: u32,
        /// The block without those bits.
        meant: Network,
    },
}

impl Network {
    /// Whether the address lies in the block. An IPv4 address written as IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (block, address) = (bits(self.address), bits(address.to_canonical()));
        block.1 == address.1 && masked(block, self.prefix) == masked(address, self.prefix)
    }
}

/// An address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

fn masked((bits, width): (u128, u32), prefix: u32) -> u128 {
    let low = width.saturating_sub(prefix);
    let ones = 1_u128.checked_shl(low).map_or(u128::MAX, |bit| bit - 1);
    bits & !ones
}

fn block(address: IpAddr, prefix: u32) -> IpAddr {
    let kept = masked(bits(address), prefix);
    match address {
        IpAddr::V4(_) => IpAddr::V4(u32::try_from(kept).unwrap_or_default().into()),
        IpAddr::V6(_) => IpAddr::V6(kept.into()),
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Syntax)?;
        let address = address.to_canonical();
        let most = bits(address).1;
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| NetworkError::Syntax)?,
            None => most,
        };
        if prefix > most {
            return Err(NetworkError::Prefix {
                found: prefix,
                most,
            });
        }
        let meant = Self {
            address: block(address, prefix),
            prefix,
        };
        if meant.address != address {
            return Err(NetworkError::HostBits { prefix, meant });
        }
        Ok(meant)
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;
    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_block_contains_its_addresses_and_no_others() {
        let block = network("203.0.113.64/26");
        for (address, inside) in [
            ("203.0.113.64", true),
            ("203.0.113.127", true),
            ("203.0.113.128", false),
            ("203.0.113.63", false),
            ("::ffff:203.0.113.70", true),
            ("2001:db8::1", false),
        ] {
            assert_eq!(
                block.contains(address.parse().unwrap()),
                inside,
                "{address}"
            );
        }
        assert!(network("0.0.0.0/0").contains("198.51.100.1".parse().unwrap()));
        assert!(!network("0.0.0.0/0").contains("2001:db8::1".parse().unwrap()));
        assert!(network("::/0").contains("2001:db8::1".parse().unwrap()));
        assert!(network("198.51.100.1").contains("198.51.100.1".parse().unwrap()));
        assert!(!network("198.51.100.1").contains("198.51.100.2".parse().unwrap()));
    }

    #[test]
    fn an_unclear_block_is_refused() {
        assert_eq!(
            "203.0.113.7/24".parse::<Network>().unwrap_err().to_string(),
            "the address has bits beyond /24; for this block write `203.0.113.0/24`"
        );
        assert_eq!(
            "203.0.113.0/33".parse::<Network>(),
            Err(NetworkError::Prefix {
                found: 33,
                most: 32
            })
        );
        for text in [
            "",
            "example.com",
            "203.0.113.0/",
            "203.0.113/24",
            "203.0.113.0/-1",
        ] {
            assert_eq!(
                text.parse::<Network>(),
                Err(NetworkError::Syntax),
                "{text:?}"
            );
        }
    }
}
