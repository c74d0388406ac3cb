use super::carrying::Carried;
use super::latency::Series;
use crate::http::proxy::Route;
use crate::tls::draft::Drafted;
use netsonde_contract::failure::{Failure, FailureCode};
use netsonde_contract::kind::{LoadDirection, LoadParams};
use netsonde_contract::observation::{Fact, Load, LoadedPhase, Transfer, TransferEnd};
use url::Url;

/// The fact, and what is being measured for it: a run that is cut off in the midst of a series keeps it as far as it came.
#[derive(Clone)]
pub(super) struct Measuring {
    pub(super) load: Load,
    pub(super) under_way: Option<UnderWay>,
    connections: u32,
}

/// What is being measured.
#[derive(Clone)]
pub(super) enum UnderWay {
    Idle(Series),
    Loaded(LoadDirection, Carried, Series),
}

impl Measuring {
    pub(super) fn of(url: &Url, route: &Route, params: &LoadParams) -> Self {
        let load = Load {
            url: url.to_string(),
            address: None,
            connect_us: None,
            attempts: Vec::new(),
            proxy: route.proxy.as_ref().map(|proxy| proxy.shown.clone()),
            latency: params.latency,
            idle: None,
            loaded: Vec::new(),
            bytes: 0,
            failure: None,
        };
        Self { load, under_way: None, connections: params.connections }
    }

    /// Makes what was under way a part of the fact, as far as it came. `transfer` is the load as it ended; where there is none, it was cut off.
    pub(super) fn settle(&mut self, transfer: Option<Transfer>) {
        match self.under_way.take() {
            None => {}
            Some(UnderWay::Idle(series)) => self.load.idle = Some(series.fact()),
            Some(UnderWay::Loaded(direction, carried, series)) => {
                let transfer = transfer.unwrap_or_else(|| carried.ledger.transfer(TransferEnd::CutOff));
                let phase = self.phase(direction, &carried, &series, transfer);
                self.load.bytes += phase.transfer.bytes;
                self.load.loaded.push(phase);
            }
        }
    }

    fn phase(&self, direction: LoadDirection, carried: &Carried, series: &Series, transfer: Transfer) -> LoadedPhase {
        let latency = series.fact();
        let medians = self.load.idle.as_ref().and_then(|idle| idle.rtt.as_ref()).zip(latency.rtt.as_ref());
        let grown = |idle_us: u64, loaded_us: u64| i64::try_from(loaded_us).ok()?.checked_sub(i64::try_from(idle_us).ok()?);
        LoadedPhase {
            direction,
            connections: self.connections,
            requests: carried.requests(),
            increase_us: medians.and_then(|(idle, loaded)| grown(idle.median_us, loaded.median_us)),
            increase_p95_us: medians.and_then(|(idle, loaded)| grown(idle.p95_us, loaded.p95_us)),
            transfer,
            latency,
            at_close: carried.at_close(),
            failure: carried.failure(),
        }
    }
}

impl Drafted for Measuring {
    /// A series whose time is over is complete as it is; only a connection that was not made by then is missing.
    fn cut_off(&mut self, failure: Failure, _after_us: u64) {
        let was_measuring = self.under_way.is_some() || self.load.idle.is_some();
        self.settle(None);
        if failure.code == FailureCode::Interrupted || !was_measuring {
            self.load.failure.get_or_insert(failure);
        }
    }

    fn into_fact(self) -> Fact {
        Fact::Load(Box::new(self.load))
    }
}
