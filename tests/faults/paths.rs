//! The real agent over a path that is cut, or that answers in place of the backend.

use crate::kills::{end, judge};
use crate::tally::Tally;
use crate::world::{World, moved};
use anyhow::{Context, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const KIBIBYTE: usize = 1024;
/// A send over a path that is cut once takes a few seconds.
const LIMIT: Duration = Duration::from_secs(120);
/// What answers in the backend's place; none of it is the backend. No proxy leads to loopback, so that proxies themselves are in `proxies`.
const ANSWERS: [(&str, &str); 4] = [
    (
        "somebody who asks for a sign-in",
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ),
    ("a gateway without a backend", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    (
        "a page in place of an answer",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>",
    ),
    ("a connection that ends without an answer", ""),
];

/// Which way the bytes are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

/// Cuts at every so many KiB, there and back; then the answers.
pub(crate) async fn run(every: usize) -> Result<Tally> {
    let mut world = World::new().await?;
    let (mut tally, mut delivered) = (Tally::default(), Vec::new());
    for way in [Way::There, Way::Back] {
        for place in (0..).step_by(every) {
            let parcel = world.parcel().await?;
            let (port, was_cut) = cutting(&world.backend.url, way, place * KIBIBYTE).await?;
            let mut send = world.send(&parcel, &moved(&parcel.ticket, port, false)?)?;
            let ended = tokio::time::timeout(LIMIT, send.wait()).await.context("netsonde hangs on a path that was cut")??;
            if !ended.success() {
                tally.lost.push(format!("a path that was cut once after {place} KiB ({way:?}) was not got over: {ended}"));
            }
            tally.acknowledged += 1;
            delivered.push(parcel);
            // All of it fits through uncut.
            if !was_cut.load(Ordering::SeqCst) {
                break;
            }
            tally.cuts += 1;
        }
    }
    for (what, answer) in ANSWERS {
        let parcel = world.parcel().await?;
        let (port, asked) = answering(answer).await?;
        let mut send = world.send(&parcel, &moved(&parcel.ticket, port, true)?)?;
        let ended = tokio::time::timeout(LIMIT, send.wait()).await.with_context(|| format!("netsonde hangs at {what}"))??;
        tally.faults += 1;
        if asked.load(Ordering::SeqCst) == 0 {
            tally.wanting.push(format!("{what} was never asked"));
        }
        if ended.success() || world.places(&parcel) != ["ready"] {
            tally.lost.push(format!("{what} counts as delivery ({ended}), or took the bundle: {:?}", world.places(&parcel)));
        }
        if !end(&world, &parcel).await? {
            tally.lost.push(format!("after {what} the bundle is not delivered"));
        }
        tally.acknowledged += 1;
        delivered.push(parcel);
    }
    judge(&mut world, &delivered, &mut tally).await?;
    Ok(tally)
}

/// A way to the backend whose first connection to get so far is cut there; every other one is whole.
async fn cutting(backend: &str, way: Way, after: usize) -> Result<(u16, Arc<AtomicBool>)> {
    let backend = backend.rsplit('/').next().unwrap_or_default().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listening on loopback")?;
    let port = listener.local_addr().context("the path's address")?.port();
    let was_cut = Arc::new(AtomicBool::new(false));
    let cut = Arc::clone(&was_cut);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (backend, cut) = (backend.clone(), Arc::clone(&cut));
            tokio::spawn(async move {
                if let Ok(far) = TcpStream::connect(&backend).await {
                    carry(near, far, way, after, &cut).await;
                }
            });
        }
    });
    Ok((port, was_cut))
}

/// Carries both ways until either end closes, or the cut comes: then both are gone at once.
async fn carry(near: TcpStream, far: TcpStream, way: Way, after: usize, cut: &AtomicBool) {
    let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
    let there = async {
        let limit = (way == Way::There).then_some(after);
        copy(&mut near_in, &mut far_out, limit, cut).await;
    };
    let back = async {
        let limit = (way == Way::Back).then_some(after);
        copy(&mut far_in, &mut near_out, limit, cut).await;
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

async fn copy(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    limit: Option<usize>,
    cut: &AtomicBool,
) {
    let (mut bytes, mut passed) = (vec![0; KIBIBYTE], 0);
    while let Ok(count) = from.read(&mut bytes).await {
        if count == 0 {
            return;
        }
        passed += count;
        if limit.is_some_and(|limit| passed > limit) && !cut.swap(true, Ordering::SeqCst) {
            return;
        }
        if to.write_all(bytes.get(..count).unwrap_or_default()).await.is_err() {
            return;
        }
    }
}

/// Something that reads a little, gives the same answer to everybody, and hangs up; and how many it answered.
async fn answering(answer: &'static str) -> Result<(u16, Arc<AtomicU64>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listening on loopback")?;
    let port = listener.local_addr().context("the answering address")?.port();
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut head = [0; KIBIBYTE];
                if !matches!(stream.read(&mut head).await, Ok(1..)) {
                    return;
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    Ok((port, asked))
}
