use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use windows_sys::Win32::Networking::WinSock::{
    AF_INET, AF_INET6, IN_ADDR, IN_ADDR_0, IN6_ADDR, IN6_ADDR_0, SOCKADDR_IN, SOCKADDR_IN6, SOCKADDR_IN6_0, SOCKADDR_INET,
    SOCKET_ADDRESS,
};

/// The address for a question to the system, with the zone of a link-local one; the port does not count.
pub(super) fn inet(address: SocketAddr) -> SOCKADDR_INET {
    match address {
        SocketAddr::V4(v4) => {
            let s_addr = u32::from_ne_bytes(v4.ip().octets());
            let v4 = SOCKADDR_IN {
                sin_family: AF_INET,
                sin_addr: IN_ADDR { S_un: IN_ADDR_0 { S_addr: s_addr } },
                ..Default::default()
            };
            SOCKADDR_INET { Ipv4: v4 }
        }
        SocketAddr::V6(v6) => {
            let sin6_addr = IN6_ADDR { u: IN6_ADDR_0 { Byte: v6.ip().octets() } };
            let zone = SOCKADDR_IN6_0 { sin6_scope_id: v6.scope_id() };
            SOCKADDR_INET { Ipv6: SOCKADDR_IN6 { sin6_family: AF_INET6, sin6_addr, Anonymous: zone, ..Default::default() } }
        }
    }
}

/// The address that the system wrote.
pub(super) fn of_inet(address: &SOCKADDR_INET) -> Option<IpAddr> {
    #[expect(unsafe_code, reason = "the address is a union of both families")]
    // SAFETY: every field is of integers, for which all bytes are values; the family, which all share, says which was written.
    unsafe {
        match address.si_family {
            AF_INET => Some(IpAddr::from(address.Ipv4.sin_addr.S_un.S_addr.to_ne_bytes())),
            AF_INET6 => Some(IpAddr::from(address.Ipv6.sin6_addr.u.Byte)),
            _ => None,
        }
    }
}

/// The address in an adapter's list, with the scope of a link-local one and the given port.
pub(super) fn of_socket(address: &SOCKET_ADDRESS, port: u16) -> Option<SocketAddr> {
    let length = usize::try_from(address.iSockaddrLength).ok()?;
    if address.lpSockaddr.is_null() || length < size_of::<SOCKADDR_IN>() {
        return None;
    }
    #[expect(unsafe_code, reason = "the list holds addresses by pointers")]
    // SAFETY: the system states the address's length, and only as much as the family stands for is read, where that is no longer.
    unsafe {
        match (*address.lpSockaddr).sa_family {
            AF_INET => {
                let v4 = address.lpSockaddr.cast::<SOCKADDR_IN>().read_unaligned();
                Some((v4.sin_addr.S_un.S_addr.to_ne_bytes(), port).into())
            }
            AF_INET6 if length >= size_of::<SOCKADDR_IN6>() => {
                let v6 = address.lpSockaddr.cast::<SOCKADDR_IN6>().read_unaligned();
                let octets = Ipv6Addr::from(v6.sin6_addr.u.Byte);
                Some(SocketAddrV6::new(octets, port, 0, v6.Anonymous.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}
