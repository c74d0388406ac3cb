use surge_ping::AsyncSocket;

/// The socket within a ping client, for options that the client does not offer.
#[cfg(unix)]
pub(crate) fn borrowed(socket: &AsyncSocket) -> std::os::fd::BorrowedFd<'_> {
    #[expect(unsafe_code, reason = "surge-ping gives only the number of its descriptor")]
    // SAFETY: `socket` holds the descriptor open, and the result borrows from `socket`.
    unsafe {
        std::os::fd::BorrowedFd::borrow_raw(socket.get_native_sock())
    }
}

#[cfg(windows)]
pub(crate) fn borrowed(socket: &AsyncSocket) -> std::os::windows::io::BorrowedSocket<'_> {
    #[expect(unsafe_code, reason = "surge-ping gives only the number of its socket")]
    // SAFETY: `socket` holds the socket open, and the result borrows from `socket`.
    unsafe {
        std::os::windows::io::BorrowedSocket::borrow_raw(socket.get_native_sock())
    }
}
