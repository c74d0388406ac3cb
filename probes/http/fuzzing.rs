//! The parsers of responses, one function each. What the HTTP library reads is read with the bounds that checks have.

use super::connection::Connection;
use super::payload::Payload;
use super::sought::Sought;
use super::{echo, exchange, failure, header, redirect, socks};
use crate::clock::Clock;
use http_body_util::BodyExt;
use netsonde_contract::kind::ByteRange;
use std::cell::LazyCell;
use std::io::Cursor;
use tokio::runtime::{Builder, Runtime};
use url::Url;

thread_local! {
    static RUNTIME: LazyCell<Option<Runtime>> = LazyCell::new(|| Builder::new_current_thread().enable_time().build().ok());
}

/// Everything that a server says over a connection: the first byte chooses HTTP/2, a CONNECT through a proxy, or a plain question.
pub(crate) fn response(bytes: &[u8]) {
    let Some((choice, said)) = bytes.split_first() else { return };
    let (version, method) = match choice % 3 {
        0 => (http::Version::HTTP_11, http::Method::GET),
        1 => (http::Version::HTTP_11, http::Method::CONNECT),
        _ => (http::Version::HTTP_2, http::Method::GET),
    };
    let target = if method == http::Method::CONNECT { "www.example:443" } else { "http://www.example/" };
    let wire = Box::new(tokio::io::join(Cursor::new(said.to_vec()), tokio::io::sink()));
    let conversation = async {
        let (connection, notes) = Connection::open(wire, version, Clock::start()).await;
        let request = http::Request::builder().method(method).uri(target).body(Payload::none());
        let (Ok(mut connection), Ok(request)) = (connection, request) else { return };
        match connection.send(request).await {
            Ok(head) => {
                exchange::headers(head.response.headers());
                let mut body = head.response.into_body();
                while let Some(frame) = body.frame().await {
                    if let Err(error) = frame {
                        failure::of_body(&error, &notes, 0, Some(1));
                        break;
                    }
                }
            }
            Err(error) => {
                failure::from_hyper(&error, &notes);
                failure::plain_reply(&notes);
            }
        }
    };
    RUNTIME.with(|runtime| runtime.as_ref().map(|runtime| runtime.block_on(conversation)));
}

/// The values of single headers.
pub(crate) fn headers(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let values = || text.lines();
    assert!(header::server_timing(values()).len() <= header::MAX_ITEMS);
    assert!(header::alternatives(values()).len() <= header::MAX_ITEMS);
    for value in values() {
        header::strict_transport(value);
        for asked in [ByteRange::FirstLast(0, 9), ByteRange::Last(10)] {
            header::range_answer(asked, Some(206), Some(value), 10);
        }
        if let Ok(url) = Url::parse("http://www.example/a/b?c") {
            let location = redirect::location(&url, 302, Some(value));
            location.and_then(|to| Url::parse(&to).ok()).map(redirect::plain);
        }
    }
}

/// Bodies: an echo of headers, and texts looked for in pieces.
pub(crate) fn body(bytes: &[u8]) {
    echo::compare(&[("accept".to_owned(), "*/*".to_owned())], bytes);
    failure::is_foreign(bytes);
    if bytes.is_empty() {
        return;
    }
    let needle = String::from_utf8_lossy(bytes.get(..bytes.len().min(4)).unwrap_or_default()).into_owned();
    let mut whole = Sought::new(&[needle.clone(), "success".to_owned()], 16);
    let mut pieces = Sought::new(&[needle, "success".to_owned()], 16);
    whole.feed(bytes);
    bytes.chunks(3).for_each(|piece| pieces.feed(piece));
    assert!(whole.found().eq(pieces.found()) && whole.kept() == pieces.kept(), "the edges of pieces matter");
}

/// What a SOCKS proxy says: the first byte chooses the version, and whether there is a password to sign in with.
pub(crate) fn socks(bytes: &[u8]) {
    let Some((choice, said)) = bytes.split_first() else { return };
    let wire = Box::new(tokio::io::join(Cursor::new(said.to_vec()), tokio::io::sink()));
    let conversation = socks::converse(wire, choice % 2 == 0, choice % 4 < 2);
    RUNTIME.with(|runtime| runtime.as_ref().map(|runtime| runtime.block_on(conversation)));
}
