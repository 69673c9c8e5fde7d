//! The file: one SQLite table, opened only if it is ours.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, params};

use crate::Message;

/// `PRAGMA application_id`: the letters `HFst`.
const APPLICATION_ID: i32 = 0x4846_7374;
const SCHEMA_VERSION: i32 = 1;

/// How long one attempt waits for whoever holds the file.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// Attempts to open a log, 30 s together: whoever locks one does not do so for longer, or is still there when a worker that is begun anew,
/// which takes a second, tries again.
const OPEN_ATTEMPTS: usize = 6;

/// The partial index serves one question: was this redelivered message kept already?
const SCHEMA: &str = "
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at_ms INTEGER NOT NULL,
    device_id TEXT NOT NULL,
    message_id TEXT,
    system_properties TEXT NOT NULL,
    properties TEXT NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE INDEX messages_by_message_id ON messages (device_id, message_id) WHERE message_id IS NOT NULL;
";

/// As many as a device may have unacknowledged: whoever has thousands under one id must not make each redelivery a search of them all.
/// System properties are not compared: those that count from the arrival differ. A length is known without the payload.
const KNOWN: &str = "
SELECT 1 FROM messages
WHERE seq IN (SELECT seq FROM messages WHERE device_id = ?1 AND message_id = ?2 ORDER BY seq DESC LIMIT 32)
AND length(payload) = length(?3) AND payload = ?3 AND properties = ?4
";

/// What a message that is not written yet waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whatever else goes wrong is a failure")]
pub enum Wait {
    /// Another program holds the log.
    Lock,
    /// The disk is full.
    Space,
}

/// Why the store cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// Another program's file, or not a database.
    NotATelemetryLog(String),
    /// Made by a later version.
    Newer {
        /// Its schema.
        found: i32,
    },
    /// What the database says.
    Sqlite(rusqlite::Error),
}

impl StoreError {
    /// The stable slug.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotATelemetryLog(_) => "not_a_telemetry_log",
            Self::Newer { .. } => "telemetry_log_newer",
            Self::Sqlite(_) => "telemetry_log_failed",
        }
    }

    /// What passes, where it is something that does: what was to be written is undone, and can be written later.
    pub(crate) fn wait(&self) -> Option<Wait> {
        let Self::Sqlite(error) = self else { return None };
        let code = error.sqlite_error_code()?;
        let passing = [(ErrorCode::DatabaseBusy, Wait::Lock), (ErrorCode::DiskFull, Wait::Space)];
        passing.into_iter().find_map(|(one, wait)| (one == code).then_some(wait))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotATelemetryLog(reason) => write!(formatter, "the file is not a telemetry log: {reason}"),
            Self::Newer { found } => {
                write!(formatter, "the log has schema {found}, this version knows {SCHEMA_VERSION}")
            }
            Self::Sqlite(error) => write!(formatter, "the telemetry log failed: {error}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotATelemetryLog(error.to_string()),
            _ => Self::Sqlite(error),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Store(pub(crate) Connection);

impl Store {
    /// Opens the log at `path`, or makes it. Nothing is changed in a file that is not ours; one that somebody holds is waited for.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        for _ in 1..OPEN_ATTEMPTS {
            match Self::try_open(path) {
                Err(error) if error.wait() == Some(Wait::Lock) => {}
                opened => return opened,
            }
        }
        Self::try_open(path)
    }

    fn try_open(path: &Path) -> Result<Self, StoreError> {
        let connection =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        connection.busy_timeout(LOCK_WAIT)?;
        let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0));
        let (application_id, version) = (pragma("application_id")?, pragma("user_version")?);
        let tables: i32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        match (application_id, version) {
            (APPLICATION_ID, SCHEMA_VERSION) => {}
            (APPLICATION_ID, found) if found > SCHEMA_VERSION => return Err(StoreError::Newer { found }),
            (0, 0) if tables == 0 => connection.execute_batch(&format!(
                "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            ))?,
            _ => return Err(StoreError::NotATelemetryLog(format!("application id {application_id:#x}"))),
        }
        // WAL lets readers follow; FULL syncs the log at each commit, which is what an acknowledgement promises.
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
        // A first commit, for which the directory is opened as well to be synced: later there may be no descriptor for that.
        connection.execute_batch(&format!("PRAGMA user_version = {SCHEMA_VERSION}"))?;
        Ok(Self(connection))
    }

    /// Appends `messages` in order, in one transaction, durable on return. A redelivered message that is kept is passed over: one of the
    /// last of its device under its id, with the same properties and payload. The id alone may be another message's: devices choose theirs,
    /// and may begin anew with each start.
    pub(crate) fn append(&mut self, messages: &[Message]) -> Result<(), StoreError> {
        // Were it to begin by reading, a commit of another program's before the first insert would end it, however patient we are.
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut known = transaction.prepare_cached(KNOWN)?;
            let mut insert = transaction.prepare_cached(
                "INSERT INTO messages (received_at_ms, device_id, message_id, system_properties, properties, payload)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            for message in messages {
                if message.redelivered
                    && message.message_id.is_some()
                    && known.exists(params![
                        message.device_id,
                        message.message_id,
                        message.payload,
                        message.properties
                    ])?
                {
                    continue;
                }
                insert.execute(params![
                    message.received_at_ms,
                    message.device_id,
                    message.message_id,
                    message.system_properties,
                    message.properties,
                    message.payload
                ])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}
