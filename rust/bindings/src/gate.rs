//! A worker's connections, and what the loop must do for them.

use std::borrow::Cow;
use std::collections::HashMap;
#[cfg(unix)]
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use holdfast_front::Front;
use holdfast_gate::{self as gate, Judges, Limits, Now, TICKET_KEY_LENGTH, Tickets, TlsConfig};
use holdfast_roster::{Pin, Trust};
use holdfast_x509::{Anchors, Closures, Error};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::convert::{now, now_ms, seconds};
use crate::errors;
use crate::inbox::{InboxMessage, KeptSession, KeptWill};
use crate::plane::Plane;
use crate::request::{Device, Request};
use crate::stream::TelemetryWriter;

/// All connections of one worker.
#[pyclass(frozen, module = "holdfast._holdfast")]
pub(crate) struct Gate {
    plane: Mutex<Plane>,
    tickets: Arc<Tickets>,
    started: Instant,
}

#[pymethods]
impl Gate {
    #[new]
    #[pyo3(signature = (*, certificate_chain, private_key, limits, telemetry, tenant = "", listener = ""))]
    fn new(
        py: Python<'_>,
        certificate_chain: Vec<PyBackedBytes>,
        private_key: PyBackedBytes,
        limits: HashMap<String, u64>,
        telemetry: &TelemetryWriter,
        tenant: &str,
        listener: &str,
    ) -> PyResult<Self> {
        let (tls, limits) = read_configuration(py, &certificate_chain, &private_key, &limits)?;
        let tickets = Arc::new(Tickets::new(tenant, listener, limits.tickets_count_max));
        let gate = gate::Gate::new(tls.with_tickets(Arc::clone(&tickets)), limits);
        let (front, judges) = (Front::new()?, Judges::start()?);
        let plane = Mutex::new(Plane::new(gate, front, judges, telemetry.writer()));
        Ok(Self { plane, tickets, started: Instant::now() })
    }

    #[staticmethod]
    #[pyo3(signature = (*, certificate_chain, private_key, limits))]
    fn check(
        py: Python<'_>,
        certificate_chain: Vec<PyBackedBytes>,
        private_key: PyBackedBytes,
        limits: HashMap<String, u64>,
    ) -> PyResult<()> {
        read_configuration(py, &certificate_chain, &private_key, &limits).map(|_| ())
    }

    #[staticmethod]
    fn default_limits() -> HashMap<&'static str, u64> {
        let mut limits = Limits::default();
        limit_fields(&mut limits).into_iter().map(|(name, field)| (name, field.get())).collect()
    }

    #[pyo3(signature = (*, epoch, anchors, clock_floor, closed_keys, closed_certificates, successions))]
    #[expect(clippy::too_many_arguments, reason = "what a tenant trusts, by keywords")]
    fn replace_trust(
        &self,
        py: Python<'_>,
        epoch: u64,
        anchors: Vec<PyBackedBytes>,
        clock_floor: &Bound<'_, PyAny>,
        closed_keys: Vec<[u8; 32]>,
        closed_certificates: Vec<[u8; 32]>,
        successions: Vec<([u8; 32], [u8; 32])>,
    ) -> PyResult<Vec<Request>> {
        let keys = closed_keys.into_iter().collect();
        let closures = Arc::new(Closures { keys, certificates: closed_certificates.into_iter().collect() });
        let clock_floor = seconds(Some(clock_floor))?;
        let anchors: Vec<Vec<u8>> = anchors.iter().map(|der| der.to_vec()).collect();
        let anchors = py.detach(|| Anchors::new(anchors)).map_err(|refusal| errors::refused(py, &refusal))?;
        let successions = Arc::new(successions.into_iter().collect());
        let trust = Trust { epoch, anchors: Arc::new(anchors), closures, successions, clock_floor };
        Ok(self.step(py, |gate, now| gate.replace_trust(trust, now)))
    }

    fn load_devices(&self, py: Python<'_>, devices: Vec<PyRef<'_, Device>>) -> Vec<Request> {
        let devices: Vec<_> = devices.iter().map(|device| (device.device_id.clone(), device.pin)).collect();
        self.on_plane(py, |plane, now, at_ms| {
            let step = |gate: &mut gate::Gate, (device_id, pin): (String, Pin)| gate.amend_device(&device_id, pin, now);
            plane.each(devices, |gate, (device_id, _)| gate.handle_of(device_id), step, now, at_ms)
        })
    }

    fn load_sessions(&self, py: Python<'_>, sessions: Vec<(String, Option<PyRef<'_, KeptSession>>)>) -> Vec<Request> {
        let sessions: Vec<_> = sessions.into_iter().map(|(device, kept)| (device, kept.map(|kept| kept.0))).collect();
        self.on_plane(py, |plane, now, at_ms| {
            let step =
                |gate: &mut gate::Gate, (device_id, session): (String, _)| gate.amend_session(&device_id, session);
            plane.each(sessions, |gate, (device_id, _)| gate.handle_of(device_id), step, now, at_ms)
        })
    }

    fn inherit_wills(&self, py: Python<'_>, wills: Vec<(String, PyRef<'_, KeptWill>)>) -> Vec<Request> {
        let wills: Vec<_> = wills.into_iter().map(|(device_id, will)| (device_id, will.0.clone())).collect();
        self.step(py, |gate, now| {
            wills.into_iter().flat_map(|(device_id, will)| gate.inherit_will(&device_id, will, now)).collect()
        })
    }

    /// The only descriptor that can be taken over by its number without `unsafe` is one of the standard three.
    #[cfg(unix)]
    fn listen(&self) -> PyResult<()> {
        let listener = std::io::stdin().as_fd().try_clone_to_owned()?;
        Ok(self.lock().front.listen(listener.into())?)
    }

    fn stop_listening(&self) {
        self.lock().front.stop_listening();
    }

    fn abort(&self, py: Python<'_>) -> Vec<Request> {
        self.on_plane(py, Plane::abort)
    }

    #[cfg(unix)]
    fn fileno(&self) -> i32 {
        self.lock().front.descriptor()
    }

    fn turn(&self, py: Python<'_>) -> Vec<Request> {
        self.on_plane(py, Plane::turn)
    }

    fn claimed(&self, py: Python<'_>, handle: u64, code: Option<&str>) -> Vec<Request> {
        self.step_of(py, handle, |gate, now| gate.claimed(handle, code, now))
    }

    fn kept(&self, py: Python<'_>, handle: u64, code: Option<&str>) -> Vec<Request> {
        self.step_of(py, handle, |gate, now| gate.kept(handle, code, now))
    }

    fn waiting(&self, py: Python<'_>, devices: Vec<String>) -> Vec<Request> {
        self.on_plane(py, |plane, now, at_ms| {
            let step = |gate: &mut gate::Gate, device_id: &String| gate.waiting([device_id.as_str()]);
            plane.each(&devices, |gate, device_id| gate.handle_of(device_id), step, now, at_ms)
        })
    }

    fn deliver_messages(
        &self,
        py: Python<'_>,
        handle: u64,
        messages: Vec<PyRef<'_, InboxMessage>>,
        more: bool,
    ) -> Vec<Request> {
        let messages: Vec<_> = messages.into_iter().map(|message| message.0.clone()).collect();
        self.step_of(py, handle, |gate, now| gate.deliver_messages(handle, &messages, more, now))
    }

    fn stored(&self, py: Python<'_>) -> Vec<Request> {
        self.on_plane(py, Plane::stored)
    }

    fn judged(&self, py: Python<'_>) -> Vec<Request> {
        self.on_plane(py, Plane::judged)
    }

    #[cfg(unix)]
    fn judged_fileno(&self) -> i32 {
        self.lock().judges().descriptor()
    }

    fn tick(&self, py: Python<'_>) -> Vec<Request> {
        self.step(py, gate::Gate::tick)
    }

    fn drain(&self, py: Python<'_>, count_max: usize) -> Vec<Request> {
        self.step(py, |gate, now| gate.drain(count_max, now))
    }

    fn set_ticket_keys(&self, keys: Vec<[u8; TICKET_KEY_LENGTH]>) {
        self.tickets.set_keys(keys);
    }

    fn renew_lease(&self) {
        let now = self.now();
        self.lock().gate.renew_lease(now);
    }

    #[pyo3(signature = (*, certificate_chain, private_key, limits))]
    fn reconfigure(
        &self,
        py: Python<'_>,
        certificate_chain: Vec<PyBackedBytes>,
        private_key: PyBackedBytes,
        limits: HashMap<String, u64>,
    ) -> PyResult<()> {
        let (tls, limits) = read_configuration(py, &certificate_chain, &private_key, &limits)?;
        self.lock().gate.reconfigure(tls.with_tickets(Arc::clone(&self.tickets)), limits);
        Ok(())
    }

    fn share_identities(&self) {
        self.lock().gate.share_identities();
    }

    fn take_admissions(&self) -> Cow<'static, [u8]> {
        let admissions = self.lock().gate.take_admissions();
        Cow::Owned(gate::write_admissions(&admissions))
    }

    fn fence(&self, py: Python<'_>, placed: Vec<(bool, PyBackedBytes)>) -> PyResult<Vec<Request>> {
        let mut rows = Vec::new();
        for (ours, admissions) in &placed {
            let admissions = gate::read_admissions(admissions).ok_or_else(|| {
                errors::local_protocol(py, "bad_admissions", "they are not as `take_admissions` has given them")
            })?;
            rows.extend(admissions.into_iter().map(|told| (*ours, told)));
        }
        Ok(self.on_plane(py, |plane, now, at_ms| {
            let step = |gate: &mut gate::Gate, row| gate.fence([row], now);
            plane.each(rows, |gate, (_, told)| gate.handle_of(told.device_id), step, now, at_ms)
        }))
    }

    #[expect(clippy::unused_self, reason = "the process's kernel is this gate's: a worker has one")]
    fn switch_kernel_off(&self) {
        holdfast_engine::switch_kernel_off();
    }

    fn is_live_with_other_key(&self, device: &Device) -> bool {
        self.lock().gate.is_live_with_other_key(&device.device_id, device.pin.leaf)
    }

    fn take_lines(&self) -> String {
        self.lock().take_lines()
    }

    #[getter]
    fn connections(&self) -> usize {
        self.lock().gate.connections()
    }

    #[getter]
    fn sessions(&self) -> usize {
        self.lock().gate.sessions()
    }

    #[getter]
    fn half_open(&self) -> usize {
        self.lock().gate.half_open()
    }

    #[getter]
    fn tickets(&self) -> usize {
        self.lock().gate.tickets()
    }

    #[getter]
    fn half_packets_bytes(&self) -> usize {
        self.lock().gate.half_packets_bytes()
    }

    #[getter]
    fn batches(&self) -> Vec<u64> {
        self.lock().gate.batches().to_vec()
    }

    #[getter]
    fn counters(&self) -> HashMap<&'static str, u64> {
        let plane = self.lock();
        let counters = plane.gate.counters().iter().map(|(name, count)| (*name, *count));
        let of_sockets = [
            ("accepts_failed", plane.front.accepts_failed()),
            ("accepts_gone", plane.front.accepts_gone()),
            ("door_narrowed", plane.front.door_narrowed()),
        ];
        counters.chain(of_sockets).collect()
    }

    #[getter]
    fn refused(&self) -> HashMap<String, u64> {
        self.lock().gate.refused().iter().map(|(code, count)| (code.clone(), *count)).collect()
    }

    #[getter]
    fn closed(&self) -> HashMap<&'static str, u64> {
        self.lock().gate.closed().iter().map(|(reason, count)| (*reason, *count)).collect()
    }
}

impl Gate {
    /// One step of the gate, outside of the interpreter. The TLS library is stepped on this very thread.
    fn step(
        &self,
        py: Python<'_>,
        step: impl FnOnce(&mut gate::Gate, Now) -> Vec<gate::Request> + Send,
    ) -> Vec<Request> {
        self.on_plane(py, |plane, now, received_at_ms| plane.step(now, received_at_ms, step))
    }

    /// The same for one connection: a panic costs that one.
    fn step_of(
        &self,
        py: Python<'_>,
        handle: u64,
        step: impl Fn(&mut gate::Gate, Now) -> Vec<gate::Request> + Send,
    ) -> Vec<Request> {
        self.on_plane(py, move |plane, now, at_ms| {
            plane.each([handle], |_, handle| *handle, move |gate, _| step(gate, now), now, at_ms)
        })
    }

    fn on_plane(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Plane, Now, i64) -> Vec<gate::Request> + Send,
    ) -> Vec<Request> {
        let now = self.now();
        let (left, lines) = py.detach(|| {
            let mut plane = self.lock();
            (act(&mut plane, now, now_ms()), plane.asks_for_lines())
        });
        left.into_iter().filter_map(Request::of).chain(lines.then_some(Request::Log {})).collect()
    }

    /// A step that panicked has become a Python exception; the gate's maps are sound at every point where one could.
    fn lock(&self) -> MutexGuard<'_, Plane> {
        self.plane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Now {
        let monotonic_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { monotonic_ms, unix: now() }
    }
}

fn read_configuration(
    py: Python<'_>,
    certificate_chain: &[PyBackedBytes],
    private_key: &PyBackedBytes,
    limits: &HashMap<String, u64>,
) -> PyResult<(TlsConfig, Limits)> {
    let chain = certificate_chain.iter().map(|der| der.to_vec()).collect();
    let tls = TlsConfig::new(chain, private_key.to_vec())
        .map_err(|fault| errors::configuration(py, "unusable_tls_certificate", &fault.to_string()))?;
    Ok((tls, read_limits(py, limits)?))
}

/// One field of the limits, whatever its type.
enum LimitField<'a> {
    Count(&'a mut usize),
    /// That may not be more.
    CountAtMost(&'a mut usize, usize),
    /// That may be none.
    CountOrNone(&'a mut usize),
    /// Of milliseconds, or of lines.
    Number(&'a mut u64),
    /// That may not be larger.
    NumberAtMost(&'a mut u64, u64),
}

impl LimitField<'_> {
    fn get(&self) -> u64 {
        match self {
            Self::Count(count) | Self::CountAtMost(count, _) | Self::CountOrNone(count) => {
                u64::try_from(**count).unwrap_or(u64::MAX)
            }
            Self::Number(number) | Self::NumberAtMost(number, _) => **number,
        }
    }

    /// Why it may not be `value`.
    fn forbids(&self, value: u64) -> Option<String> {
        let at_most = match self {
            Self::CountAtMost(_, at_most) => u64::try_from(*at_most).unwrap_or(u64::MAX),
            Self::NumberAtMost(_, at_most) => *at_most,
            Self::Count(_) | Self::CountOrNone(_) | Self::Number(_) => u64::MAX,
        };
        if value > at_most {
            return Some(format!("is {value}, must not be above {at_most}"));
        }
        (value == 0 && !matches!(self, Self::CountOrNone(_))).then(|| "must be above 0".to_owned())
    }

    fn set(&mut self, value: u64) {
        match self {
            Self::Count(count) | Self::CountAtMost(count, _) | Self::CountOrNone(count) => {
                **count = usize::try_from(value).unwrap_or(usize::MAX);
            }
            Self::Number(number) | Self::NumberAtMost(number, _) => **number = value,
        }
    }
}

/// The names by which settings know the limits.
fn limit_fields(limits: &mut Limits) -> [(&'static str, LimitField<'_>); 36] {
    use LimitField::{Count, CountAtMost, CountOrNone, Number, NumberAtMost};
    // What trust.md and the design bound (I7) an operator may tighten, and not loosen.
    let session = &mut limits.session;
    [
        ("connections_count_max", Count(&mut limits.connections_count_max)),
        ("half_open_count_max", Count(&mut limits.half_open_count_max)),
        ("half_open_per_source_max", Count(&mut limits.half_open_per_source_max)),
        ("hellos_waiting_max", Count(&mut limits.hellos_waiting_max)),
        ("shed_after_ms", Number(&mut limits.shed_after_ms)),
        ("pressed_deadline_ms", Number(&mut limits.pressed_deadline_ms)),
        ("handshakes_a_turn", Count(&mut limits.handshakes_a_turn)),
        ("lease_ms", NumberAtMost(&mut limits.lease_ms, gate::LEASE_MS_MAX)),
        ("handshake_deadline_ms", NumberAtMost(&mut limits.handshake_deadline_ms, gate::HANDSHAKE_DEADLINE_MS_MAX)),
        ("drain_deadline_ms", NumberAtMost(&mut limits.drain_deadline_ms, gate::DRAIN_DEADLINE_MS_MAX)),
        ("drain_bytes_max", CountAtMost(&mut limits.drain_bytes_max, gate::DRAIN_BYTES_MAX)),
        ("keep_alive_ms_max", Number(&mut limits.keep_alive_ms_max)),
        ("take_overs_count_max", Count(&mut limits.take_overs_count_max)),
        ("take_overs_ms", Number(&mut limits.take_overs_ms)),
        ("batch_count_enough", Count(&mut limits.batch_count_enough)),
        ("batch_wait_ms", Number(&mut limits.batch_wait_ms)),
        ("batch_inline_max", Count(&mut limits.batch_inline_max)),
        ("facts_count_max", Count(&mut limits.facts_count_max)),
        ("strips_count_max", CountOrNone(&mut limits.strips_count_max)),
        ("tickets_count_max", Count(&mut limits.tickets_count_max)),
        ("half_packets_bytes_max", Count(&mut limits.half_packets_bytes_max)),
        ("wills_bytes_max", Count(&mut limits.wills_bytes_max)),
        ("refusal_lines_burst", Number(&mut limits.refusal_lines_burst)),
        ("refusal_lines_per_second", Number(&mut limits.refusal_lines_per_second)),
        ("handshake_bytes_max", CountAtMost(&mut session.handshake_bytes_max, gate::HANDSHAKE_BYTES_MAX)),
        ("connect_bytes_max", CountAtMost(&mut session.connect_bytes_max, gate::CONNECT_BYTES_MAX)),
        ("packet_bytes_max", Count(&mut session.packet_bytes_max)),
        ("topic_bytes_max", Count(&mut session.topic_bytes_max)),
        ("properties_count_max", Count(&mut session.properties_count_max)),
        ("unacknowledged_count_max", Count(&mut session.unacknowledged_count_max)),
        ("unstored_bytes_max", Count(&mut session.unstored_bytes_max)),
        ("in_flight_count_max", Count(&mut session.in_flight_count_max)),
        ("in_flight_bytes_max", Count(&mut session.in_flight_bytes_max)),
        ("topic_aliases_count_max", Count(&mut session.topic_aliases_count_max)),
        ("topic_aliases_bytes_max", Count(&mut session.topic_aliases_bytes_max)),
        ("filters_count_max", Count(&mut session.filters_count_max)),
    ]
}

fn read_limits(py: Python<'_>, given: &HashMap<String, u64>) -> PyResult<Limits> {
    let mut limits = Limits::default();
    let mut fields = limit_fields(&mut limits);
    for (name, value) in given {
        let Some((_, field)) = fields.iter_mut().find(|(known, _)| known == name) else {
            return Err(errors::configuration(py, "unknown_limit", &format!("there is no limit {name}")));
        };
        if let Some(why) = field.forbids(*value) {
            return Err(errors::configuration(py, "bad_limit", &format!("limit {name} {why}")));
        }
        field.set(*value);
    }
    Ok(limits)
}

/// Codes with which a connection can be refused, the judge's and those of identities included.
#[pyfunction]
pub(crate) fn connection_codes() -> Vec<&'static str> {
    [gate::CODES, Error::CODES, holdfast_session::Fault::CODES].concat()
}
