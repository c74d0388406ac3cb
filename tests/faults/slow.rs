//! Peers that send a byte a second (slow loris), on either side: many before the backend while bundles come, and one in the backend's place for whoever sends a bundle.

use crate::kills::{end, judge};
use crate::tally::Tally;
use crate::world::{Parcel, World, moved};
use anyhow::{Context, Result};
use netsonde_agent::load::Clock;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Addresses that hold connections to the backend, and how many each holds: as many as the backend grants one address.
const HOLDERS: u8 = 4;
const HELD_BY_EACH: usize = 64;
const BETWEEN_BYTES: Duration = Duration::from_secs(1);
/// The beginning of a TLS record with a ClientHello of 512 bytes (RFC 8446 section 5.1), which never comes.
const RECORD: [u8; 5] = [22, 3, 1, 2, 0];
/// The backend gives a handshake ten seconds; a machine that does much else notices later.
const PATIENCE: Duration = Duration::from_secs(60);
/// The agent gives a connection eight seconds and tries again.
const LIMIT: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Bundles that come while the backend is held.
const BUNDLES: usize = 3;
/// So many bytes of what the backend says come at once: nothing, so that the handshake drips, or the handshake, so that the answers do.
const BEFORE_DRIPS: [usize; 2] = [0, 3 << 10];
/// What drips is cut after so many seconds, unless the agent left before: it waits three minutes for an answer that comes at all.
const LONGEST_DRIP: usize = 15;

pub(crate) async fn run() -> Result<Tally> {
    let (mut tally, answers) = tokio::try_join!(before_the_backend(), in_its_place())?;
    tally.add(answers);
    Ok(tally)
}

/// Bundles come through, and the backend ends who drips.
async fn before_the_backend() -> Result<Tally> {
    let (mut world, mut tally) = (World::new().await?, Tally::default());
    let mut delivered = Vec::new();
    for _ in 0..BUNDLES {
        delivered.push(world.parcel().await?);
    }
    let backend: SocketAddr = world.backend.listens.parse().context("the backend's address")?;
    let (cut, mut holding) = (Arc::new(AtomicU64::new(0)), JoinSet::new());
    for holder in 1..=HOLDERS {
        for _ in 0..HELD_BY_EACH {
            holding.spawn(hold(Ipv4Addr::new(127, 0, 1, holder), backend, Arc::clone(&cut)));
        }
    }
    tokio::time::sleep(BETWEEN_BYTES).await;
    tally.faults += 1;
    for parcel in &delivered {
        if !end(&world, parcel).await? {
            tally.lost.push(format!("bundle {} is not delivered to a backend whose connections are held", parcel.id));
        }
        tally.acknowledged += 1;
    }
    let began = Clock::start();
    while cut.load(Ordering::SeqCst) == 0 && began.now() < PATIENCE {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    tally.cuts += cut.load(Ordering::SeqCst);
    if tally.cuts == 0 {
        tally.wanting.push("the backend ended no connection whose handshake drips".to_owned());
    }
    drop(holding);
    judge(&mut world, &delivered, &mut tally).await?;
    Ok(tally)
}

/// Begins a handshake byte by byte, again and again, and counts how often it was ended.
async fn hold(from: Ipv4Addr, backend: SocketAddr, cut: Arc<AtomicU64>) {
    loop {
        let connected = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::from((from, 0)))?;
            socket.connect(backend).await
        };
        if let Ok(mut stream) = connected.await {
            let mut bytes = RECORD.into_iter().chain(std::iter::repeat(0));
            while stream.write_all(&[bytes.next().unwrap_or_default()]).await.is_ok() {
                tokio::time::sleep(BETWEEN_BYTES).await;
            }
            cut.fetch_add(1, Ordering::SeqCst);
        }
        tokio::time::sleep(BETWEEN_BYTES).await;
    }
}

/// Whoever sends a bundle leaves a backend that drips and sends it once more, where it went before or from the beginning.
async fn in_its_place() -> Result<Tally> {
    let (mut world, mut tally) = (World::new().await?, Tally::default());
    let mut delivered: Vec<Parcel> = Vec::new();
    for before in BEFORE_DRIPS {
        let parcel = world.parcel().await?;
        let (port, dripped) = dripping(&world.backend.listens, before).await?;
        let mut send = world.send(&parcel, &moved(&parcel.ticket, port, false)?)?;
        let ended = tokio::time::timeout(LIMIT, send.wait()).await.context("netsonde hangs at a backend that drips")??;
        tally.faults += 1;
        if !dripped.load(Ordering::SeqCst) {
            tally.wanting.push(format!("nothing dripped after {before} bytes of the backend's"));
        }
        if !ended.success() {
            tally.lost.push(format!("a backend that drips after {before} bytes was not got over: {ended}"));
        }
        tally.acknowledged += 1;
        delivered.push(parcel);
    }
    judge(&mut world, &delivered, &mut tally).await?;
    Ok(tally)
}

/// A way to the backend on whose first connection, after so many bytes, the backend's come one a second. Every other one is as fast as it goes.
async fn dripping(backend: &str, before: usize) -> Result<(u16, Arc<AtomicBool>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listening on loopback")?;
    let port = listener.local_addr().context("the way's address")?.port();
    let (dripped, backend) = (Arc::new(AtomicBool::new(false)), backend.to_owned());
    let drips = Arc::clone(&dripped);
    tokio::spawn(async move {
        let mut is_first = true;
        while let Ok((near, _)) = listener.accept().await {
            let limit = std::mem::take(&mut is_first).then_some(before);
            let (backend, drips) = (backend.clone(), Arc::clone(&drips));
            tokio::spawn(async move {
                if let Ok(far) = TcpStream::connect(&backend).await {
                    carry(near, far, limit, &drips).await;
                }
            });
        }
    });
    Ok((port, dripped))
}

/// Carries both ways until either end closes, or what drips has dripped for long enough.
async fn carry(near: TcpStream, far: TcpStream, limit: Option<usize>, drips: &AtomicBool) {
    let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
    let there = async {
        let _ = tokio::io::copy(&mut near_in, &mut far_out).await;
    };
    let back = async {
        let (mut bytes, mut left) = ([0; 1024], limit);
        while let Ok(count @ 1..) = far_in.read(&mut bytes).await {
            let quick = left.map_or(count, |left| left.min(count));
            left = left.map(|left| left - quick);
            let (quick, slow) = bytes.get(..count).unwrap_or_default().split_at(quick);
            if near_out.write_all(quick).await.is_err() {
                return;
            }
            if !slow.is_empty() {
                drips.store(true, Ordering::SeqCst);
                return drip(&mut near_out, slow).await;
            }
        }
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

async fn drip(to: &mut (impl AsyncWriteExt + Unpin), slow: &[u8]) {
    for byte in slow.iter().take(LONGEST_DRIP) {
        if to.write_all(&[*byte]).await.is_err() {
            return;
        }
        tokio::time::sleep(BETWEEN_BYTES).await;
    }
}
