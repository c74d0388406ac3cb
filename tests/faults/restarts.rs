//! A backend that is asked to end while uploads are under way: it ends what it can within its time and cuts the rest, and the agents go on with the next one.

use crate::kills::{end, judge};
use crate::tally::Tally;
use crate::world::{World, moved};
use anyhow::{Context, Result};
use netsonde_agent::load::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Uploads at once.
const UPLOADS: usize = 4;
/// Handshake and heads take some five thousand bytes besides the bundle, so that at this many and the bundle's own all but the last of it is through. What comes before is no
/// upload to the backend yet: TLS shows it nothing of a record, of up to 16 KiB, before the record is whole.
const BESIDES: u64 = 1_500;
/// So much sooner the way becomes slow.
const SOONER: u64 = 1_000;
/// The backend waits five seconds for what is under way; one that ends sooner had nothing of the kind.
const WAITED: Duration = Duration::from_secs(4);
const CHUNK: usize = 250;
/// The backend ends within ten seconds, its database included; a machine that does much else gets as much again.
const LONGEST_END: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_secs(180);
/// Between two chunks, and whether the backend waits in vain: the rest of a bundle takes about a second, or half a minute.
const PACES: [(&str, Duration, bool); 2] = [
    ("uploads that end in time", Duration::from_millis(40), false),
    ("uploads that take too long", Duration::from_millis(1_200), true),
];

pub(crate) async fn run() -> Result<Tally> {
    let mut world = World::new().await?;
    let (mut tally, mut delivered) = (Tally::default(), Vec::new());
    for (what, pace, in_vain) in PACES {
        let (mut parcels, mut sends, mut ways) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..UPLOADS {
            let parcel = world.parcel().await?;
            ways.push(Way::to(&world.backend.url, pace, parcel.bytes.len() as u64 + BESIDES).await?);
            parcels.push(parcel);
        }
        // All at once: none of them ends before the last begins.
        for (parcel, way) in parcels.iter().zip(&ways) {
            sends.push(world.send(parcel, &moved(&parcel.ticket, way.port, false)?)?);
        }
        for way in &ways {
            tokio::time::timeout(LIMIT, way.until_within()).await.context("an upload does not begin")?;
        }
        let clock = Clock::start();
        let ended = world.backend.stop().await?;
        let took = clock.now();
        tally.faults += 1;
        if !ended.success() || took > LONGEST_END {
            tally.wanting.push(format!("{what}: the backend ended with {ended} after {} s", took.as_secs()));
        }
        if (took >= WAITED) != in_vain {
            tally.wanting.push(format!("{what}: the backend ended after {:.1} s", took.as_secs_f64()));
        }
        let stage = &world.stage;
        world.backend.restart(stage).await?;
        ways.iter().for_each(Way::hurry);
        let mut resumed = 0;
        for (mut send, parcel) in sends.into_iter().zip(parcels) {
            let status = tokio::time::timeout(LIMIT, send.wait()).await.context("netsonde hangs after a restart")??;
            resumed += usize::from(status.success());
            if !status.success() && !end(&world, &parcel).await? {
                tally.lost.push(format!("{what}: bundle {} is not delivered", parcel.id));
            }
            tally.acknowledged += 1;
            delivered.push(parcel);
        }
        println!(
            "  {what}: the backend ended after {:.1} s, {resumed} of {UPLOADS} commands went on by themselves",
            took.as_secs_f64()
        );
        if resumed < UPLOADS {
            tally.wanting.push(format!("{what}: {} of {UPLOADS} uploads had to be asked for again", UPLOADS - resumed));
        }
    }
    judge(&mut world, &delivered, &mut tally).await?;
    Ok(tally)
}

/// A slow way to the backend.
struct Way {
    port: u16,
    passed: Arc<AtomicU64>,
    /// So many bytes are to have passed.
    within: u64,
    /// Milliseconds between two chunks.
    pace: Arc<AtomicU64>,
}

impl Way {
    async fn to(backend: &str, pace: Duration, within: u64) -> Result<Self> {
        let backend = backend.rsplit('/').next().unwrap_or_default().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening on loopback")?;
        let port = listener.local_addr().context("the way's address")?.port();
        let (passed, pace) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(pace.as_millis() as u64)));
        let (count, rest) = (Arc::clone(&passed), Arc::clone(&pace));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (backend, count, rest) = (backend.clone(), Arc::clone(&count), Arc::clone(&rest));
                tokio::spawn(async move {
                    // Where no backend is, the connection ends.
                    if let Ok(far) = TcpStream::connect(&backend).await {
                        carry(near, far, (&count, within - SOONER), &rest).await;
                    }
                });
            }
        });
        Ok(Self { port, passed, within, pace })
    }

    async fn until_within(&self) {
        while self.passed.load(Ordering::SeqCst) < self.within {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// From here on as fast as it goes.
    fn hurry(&self) {
        self.pace.store(0, Ordering::SeqCst);
    }
}

/// Carries both ways until either end closes.
async fn carry(near: TcpStream, far: TcpStream, (count, slow_from): (&AtomicU64, u64), rest: &AtomicU64) {
    let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
    let there = async {
        let mut bytes = [0; CHUNK];
        while let Ok(length @ 1..) = near_in.read(&mut bytes).await {
            if count.fetch_add(length as u64, Ordering::SeqCst) > slow_from {
                tokio::time::sleep(Duration::from_millis(rest.load(Ordering::SeqCst))).await;
            }
            if far_out.write_all(bytes.get(..length).unwrap_or_default()).await.is_err() {
                return;
            }
        }
    };
    let back = async {
        let _ = tokio::io::copy(&mut far_in, &mut near_out).await;
    };
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}
