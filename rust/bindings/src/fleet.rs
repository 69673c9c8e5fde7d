//! Pretend devices: making them, running them, and what a run has counted so far.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use holdfast_fleet as fleet;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::convert::seconds;
use crate::errors;

fn raised(py: Python<'_>, error: &fleet::Error) -> PyErr {
    errors::configuration(py, error.code(), &error.to_string())
}

/// The CAs of a supply chain, the root first, and the devices under the last.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) struct FleetChain {
    chain: fleet::SupplyChain,
}

#[pymethods]
impl FleetChain {
    #[new]
    #[pyo3(signature = (names, *, not_before, not_after, seed = None))]
    fn new(
        py: Python<'_>,
        names: Vec<String>,
        not_before: &Bound<'_, PyAny>,
        not_after: &Bound<'_, PyAny>,
        seed: Option<[u8; 32]>,
    ) -> PyResult<Self> {
        let validity =
            fleet::Validity { not_before: seconds(Some(not_before))?.0, not_after: seconds(Some(not_after))?.0 };
        let chain = fleet::SupplyChain::new(&names, seed, validity).map_err(|error| raised(py, &error))?;
        Ok(Self { chain })
    }

    #[getter]
    fn certificates(&self) -> Vec<&[u8]> {
        self.chain.authorities().iter().map(fleet::Authority::certificate).collect()
    }

    #[getter]
    fn private_keys(&self) -> Vec<Vec<u8>> {
        self.chain.authorities().iter().map(fleet::Authority::private_key).collect()
    }

    #[pyo3(signature = (path, *, prefix, count, threads = 1))]
    fn make_devices(&self, py: Python<'_>, path: &str, prefix: &str, count: u64, threads: usize) -> PyResult<()> {
        py.detach(|| fleet::make_devices(Path::new(path), &self.chain, prefix, count, threads))
            .map_err(|error| raised(py, &error))
    }
}

/// The devices of a file that `FleetChain.make_devices` wrote.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) struct FleetDevices {
    devices: Mutex<fleet::Devices>,
}

#[pymethods]
impl FleetDevices {
    #[new]
    fn new(py: Python<'_>, path: &str) -> PyResult<Self> {
        let devices = py.detach(|| fleet::Devices::open(Path::new(path))).map_err(|error| raised(py, &error))?;
        Ok(Self { devices: Mutex::new(devices) })
    }

    fn __len__(&self) -> usize {
        self.with(|devices| usize::try_from(devices.count()).unwrap_or(usize::MAX))
    }

    #[getter]
    fn authority_names(&self) -> Vec<String> {
        self.with(|devices| devices.authority_names().to_vec())
    }

    fn device_id(&self, number: u64) -> String {
        self.with(|devices| devices.id(number))
    }

    fn chain(&self, py: Python<'_>, number: u64) -> PyResult<Vec<Vec<u8>>> {
        self.with(|devices| devices.chain(number)).map_err(|error| raised(py, &error))
    }

    fn private_key(&self, py: Python<'_>, number: u64) -> PyResult<Vec<u8>> {
        self.with(|devices| devices.private_key(number)).map_err(|error| raised(py, &error))
    }
}

impl FleetDevices {
    /// The file is read in place: one reader at a time. No code panics while it holds this lock.
    fn with<T>(&self, read: impl FnOnce(&mut fleet::Devices) -> T) -> T {
        read(&mut self.devices.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One process's share of a run, begun when it is made.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) struct FleetRun {
    run: Mutex<fleet::Run>,
}

#[pymethods]
impl FleetRun {
    #[new]
    #[pyo3(signature = (path, plan, *, issuer_key = None))]
    fn new(py: Python<'_>, path: &str, plan: FleetPlan, issuer_key: Option<PyBackedBytes>) -> PyResult<Self> {
        let plan = plan.read(py)?;
        let run = py.detach(|| fleet::Run::start(plan, Path::new(path), issuer_key.as_deref()));
        Ok(Self { run: Mutex::new(run.map_err(|error| raised(py, &error))?) })
    }

    fn stop(&self) {
        self.with(|run| run.stop());
    }

    #[getter]
    fn finished(&self) -> bool {
        self.with(|run| run.is_finished())
    }

    fn snapshot(&self, py: Python<'_>) -> FleetSnapshot {
        py.detach(|| {
            self.with(|run| FleetSnapshot {
                elapsed_seconds: run.elapsed().as_secs_f64(),
                crowds: run.snapshot().into_iter().map(FleetCrowdFigures::from).collect(),
            })
        })
    }

    fn join(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.with(fleet::Run::join)).map_err(|error| raised(py, &error))
    }
}

impl FleetRun {
    fn with<T>(&self, call: impl FnOnce(&mut fleet::Run) -> T) -> T {
        call(&mut self.run.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A plan as Python writes it: `holdfast.fleet.plan` has the names and what they mean.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct FleetPlan {
    address: String,
    port: u16,
    server_name: String,
    source_addresses: u32,
    patience_seconds: f64,
    threads: usize,
    crowds: Vec<FleetCrowd>,
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct FleetCrowd {
    name: String,
    misbehaviour: Option<String>,
    tls: String,
    application: String,
    first: u64,
    count: u64,
    rounds: u32,
    rate: f64,
    concurrency: usize,
    stay: String,
    stay_seconds: Option<f64>,
    publish: Option<FleetPublish>,
    keep_alive_seconds: u16,
    clean_session: bool,
    resume: bool,
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct FleetPublish {
    rate: f64,
    messages: u32,
    in_flight: usize,
    qos: u8,
    payload_bytes: usize,
}

impl FleetPlan {
    fn read(self, py: Python<'_>) -> PyResult<fleet::Plan> {
        let bad = |what: &str| errors::configuration(py, "bad_fleet", what);
        let address = self.address.parse().map_err(|_| bad("the target is no address"))?;
        let crowds = self.crowds.into_iter().map(|crowd| crowd.read().ok_or_else(|| bad("a crowd cannot be so")));
        Ok(fleet::Plan {
            target: std::net::SocketAddr::new(address, self.port),
            server_name: self.server_name,
            source_addresses: self.source_addresses,
            patience: duration(self.patience_seconds).ok_or_else(|| bad("the patience is no time"))?,
            threads: self.threads,
            crowds: crowds.collect::<PyResult<_>>()?,
        })
    }
}

impl FleetCrowd {
    fn read(self) -> Option<fleet::Crowd> {
        let seconds = match self.stay_seconds {
            Some(seconds) => Some(duration(seconds)?),
            None => None,
        };
        Some(fleet::Crowd {
            name: self.name,
            misbehaviour: self.misbehaviour,
            version: match self.tls.as_str() {
                "1.2" => fleet::Version::Tls12,
                "1.3" => fleet::Version::Tls13,
                _ => return None,
            },
            application: match self.application.as_str() {
                "mqtt" => fleet::Application::Mqtt,
                "http" => fleet::Application::Http,
                _ => return None,
            },
            first: self.first,
            count: self.count,
            rounds: self.rounds,
            rate: Some(self.rate).filter(|rate| rate.is_finite() && *rate >= 0.0)?,
            concurrency: Some(self.concurrency).filter(|concurrency| *concurrency > 0)?,
            stay: match self.stay.as_str() {
                "each" => fleet::Stay::Each(seconds?),
                "all" => fleet::Stay::All(seconds),
                _ => return None,
            },
            publish: match self.publish {
                Some(publish) => Some(publish.read()?),
                None => None,
            },
            keep_alive_seconds: self.keep_alive_seconds,
            clean_session: self.clean_session,
            resume: self.resume,
        })
    }
}

impl FleetPublish {
    fn read(self) -> Option<fleet::Publish> {
        Some(fleet::Publish {
            rate: Some(self.rate).filter(|rate| rate.is_finite() && *rate >= 0.0)?,
            messages: self.messages,
            in_flight: Some(self.in_flight).filter(|count| (1..=65_535).contains(count))?,
            acknowledged: match self.qos {
                0 => false,
                1 => true,
                _ => return None,
            },
            payload_bytes: Some(self.payload_bytes).filter(|bytes| *bytes <= 256 * 1024)?,
        })
    }
}

fn duration(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| duration.as_secs() <= 1_000_000)
}

#[derive(IntoPyObject)]
struct FleetSnapshot {
    elapsed_seconds: f64,
    crowds: Vec<FleetCrowdFigures>,
}

#[derive(IntoPyObject)]
struct FleetCrowdFigures {
    rounds: Vec<FleetRoundFigures>,
    acknowledgement: FleetHistogram,
    lag: FleetHistogram,
    reaction: FleetHistogram,
    lost: fleet::Endings,
    as_expected: u64,
    published: u64,
    acknowledged: u64,
    under_way: u64,
    open: u64,
    open_max: u64,
    seconds: Vec<FleetSecond>,
}

#[derive(IntoPyObject)]
struct FleetRoundFigures {
    started: u64,
    outcomes: fleet::Endings,
    resumed: u64,
    dial: FleetHistogram,
    handshake: FleetHistogram,
    answer: FleetHistogram,
    total: FleetHistogram,
    elapsed_us: u64,
}

#[derive(IntoPyObject)]
struct FleetSecond {
    connected: u64,
    failed: u64,
    open: u64,
    published: u64,
    acknowledged: u64,
}

#[derive(IntoPyObject)]
struct FleetHistogram {
    count: u64,
    sum_us: u64,
    max_us: u64,
    buckets: Vec<(u64, u64)>,
}

impl From<&fleet::Histogram> for FleetHistogram {
    fn from(histogram: &fleet::Histogram) -> Self {
        Self {
            count: histogram.total(),
            sum_us: histogram.sum_us(),
            max_us: histogram.max_us(),
            buckets: histogram.buckets(),
        }
    }
}

impl From<fleet::CrowdStats> for FleetCrowdFigures {
    fn from(stats: fleet::CrowdStats) -> Self {
        Self {
            rounds: stats.rounds.into_iter().map(FleetRoundFigures::from).collect(),
            acknowledgement: (&stats.acknowledgement).into(),
            lag: (&stats.lag).into(),
            reaction: (&stats.reaction).into(),
            lost: stats.lost,
            as_expected: stats.as_expected,
            published: stats.published,
            acknowledged: stats.acknowledged,
            under_way: stats.under_way,
            open: stats.open,
            open_max: stats.open_max,
            seconds: stats.seconds.into_iter().map(FleetSecond::from).collect(),
        }
    }
}

impl From<fleet::RoundStats> for FleetRoundFigures {
    fn from(stats: fleet::RoundStats) -> Self {
        Self {
            started: stats.started,
            outcomes: stats.outcomes,
            resumed: stats.resumed,
            dial: (&stats.dial).into(),
            handshake: (&stats.handshake).into(),
            answer: (&stats.answer).into(),
            total: (&stats.total).into(),
            elapsed_us: stats.elapsed_us,
        }
    }
}

impl From<fleet::Second> for FleetSecond {
    fn from(second: fleet::Second) -> Self {
        let fleet::Second { connected, failed, open, published, acknowledged, .. } = second;
        Self { connected, failed, open, published, acknowledged }
    }
}

/// Every way to misbehave: name, catalogue ids, what a hub should do, what it does.
#[pyfunction]
pub(crate) fn fleet_kinds() -> Vec<(&'static str, &'static str, &'static str, &'static str)> {
    let row = |kind: &fleet::Kind| {
        let expected = match kind.expected {
            fleet::Expected::Served => "served",
            fleet::Expected::Refused => "refused",
            fleet::Expected::Ended => "ended",
            fleet::Expected::Survived => "survived",
        };
        (kind.name, kind.catalogue, expected, kind.about)
    };
    fleet::KINDS.iter().map(row).collect()
}

/// Codes with which making or running a fleet can fail.
#[pyfunction]
pub(crate) fn fleet_codes() -> Vec<&'static str> {
    fleet::Error::CODES.to_vec()
}
