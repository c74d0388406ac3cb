use netsonde_contract::failure::{Failure, FailureCode, Step};
use std::net::{IpAddr, Ipv4Addr};

/// Kinds of address (RFC 1928 section 5).
pub(super) const IPV4: u8 = 1;
pub(super) const NAME: u8 = 3;
pub(super) const IPV6: u8 = 4;

const CONNECT: u8 = 1;

/// Where the proxy is to connect to.
pub(super) enum Destination {
    Name(String, u16),
    Address(IpAddr, u16),
}

/// The first message of version 5 (RFC 1928 section 3).
pub(super) fn greeting(methods: &[u8]) -> Vec<u8> {
    let count = u8::try_from(methods.len()).unwrap_or(u8::MAX);
    [&[5, count][..], &methods[..usize::from(count)]].concat()
}

/// User name and password (RFC 1929 section 2).
///
/// # Errors
/// Where one of them is longer than the 255 bytes that the message holds.
pub(super) fn password(user: &str, password: &str) -> Result<Vec<u8>, Failure> {
    let too_long = || invalid("the proxy's user name or password is longer than 255 bytes");
    let length = |text: &str| u8::try_from(text.len()).map_err(|_| too_long());
    let (user_length, password_length) = (length(user)?, length(password)?);
    Ok([&[1, user_length], user.as_bytes(), &[password_length], password.as_bytes()].concat())
}

/// The request to connect of version 5 (RFC 1928 section 4).
///
/// # Errors
/// Where the name is longer than 255 bytes.
pub(super) fn connect_5(to: &Destination) -> Result<Vec<u8>, Failure> {
    let (address, port) = match to {
        Destination::Address(IpAddr::V4(address), port) => ([&[IPV4][..], &address.octets()].concat(), port),
        Destination::Address(IpAddr::V6(address), port) => ([&[IPV6][..], &address.octets()].concat(), port),
        Destination::Name(name, port) => {
            let length = u8::try_from(name.len()).map_err(|_| invalid("the host's name is longer than 255 bytes"))?;
            ([&[NAME, length], name.as_bytes()].concat(), port)
        }
    };
    Ok([&[5, CONNECT, 0][..], &address, &port.to_be_bytes()].concat())
}

/// The request of version 4; of 4a where there is a name, which the address 0.0.0.1 announces.
///
/// # Errors
/// For an IPv6 address, which version 4 does not know.
pub(super) fn connect_4(to: &Destination, user: &str) -> Result<Vec<u8>, Failure> {
    let (address, port, name) = match to {
        Destination::Address(IpAddr::V4(address), port) => (*address, port, None),
        Destination::Address(IpAddr::V6(_), _) => return Err(invalid("SOCKS 4 knows no IPv6 addresses")),
        Destination::Name(name, port) => (Ipv4Addr::new(0, 0, 0, 1), port, Some(name)),
    };
    // A zero byte ends each text.
    let user = user.replace('\0', "");
    let mut message = [&[4, CONNECT][..], &port.to_be_bytes(), &address.octets(), user.as_bytes(), &[0]].concat();
    if let Some(name) = name {
        message.extend_from_slice(name.as_bytes());
        message.push(0);
    }
    Ok(message)
}

fn invalid(text: &str) -> Failure {
    Failure::new(FailureCode::Other("request_invalid".into()), Step::Other, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_the_standard() {
        let name = Destination::Name("a.test".into(), 443);
        assert_eq!(greeting(&[0, 2]), [5, 2, 0, 2]);
        assert_eq!(password("me", "x").unwrap(), [1, 2, b'm', b'e', 1, b'x']);
        assert_eq!(connect_5(&name).unwrap(), [&[5, 1, 0, 3, 6][..], b"a.test", &[1, 187]].concat());
        assert_eq!(connect_4(&name, "me").unwrap(), [&[4, 1, 1, 187, 0, 0, 0, 1][..], b"me\0a.test\0"].concat());
        let address = Destination::Address("192.0.2.7".parse().unwrap(), 80);
        assert_eq!(connect_5(&address).unwrap(), [5, 1, 0, 1, 192, 0, 2, 7, 0, 80]);
        assert_eq!(connect_4(&address, "").unwrap(), [4, 1, 0, 80, 192, 0, 2, 7, 0]);
    }

    #[test]
    fn what_a_message_cannot_hold_is_refused_before_it_is_sent() {
        assert!(password(&"x".repeat(256), "").is_err());
        assert!(connect_5(&Destination::Name("x".repeat(256), 1)).is_err());
        assert!(connect_4(&Destination::Address("::1".parse().unwrap(), 1), "").is_err());
    }
}
