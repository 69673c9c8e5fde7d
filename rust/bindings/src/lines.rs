//! The gate's part of the log, as JSON lines made here: a line costs Python one write for many, and nothing else.

use holdfast_gate::{Level, Note, Value};
use holdfast_x509::UnixSeconds;

/// Lines that nobody has taken yet.
#[derive(Default)]
pub(crate) struct Lines {
    text: String,
    asked: bool,
}

impl Lines {
    /// Appends a line in the form of the hub's other lines: the facts, then `event`, `level` and `at`.
    pub(crate) fn push(&mut self, note: &Note, at_ms: i64) {
        let level = match note.level {
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Critical => "critical",
        };
        self.text.push('{');
        for (name, value) in &note.fields {
            self.name(name);
            match value {
                Value::Text(text) => self.value(text),
                Value::Number(number) => self.text.push_str(&number.to_string()),
                Value::Truth(truth) => self.text.push_str(if *truth { "true" } else { "false" }),
            }
            self.text.push_str(", ");
        }
        let (seconds, milliseconds) = (UnixSeconds(at_ms.div_euclid(1_000)).to_string(), at_ms.rem_euclid(1_000));
        let seconds = seconds.trim_end_matches('Z');
        let event = note.event;
        let end =
            format!("\"event\": \"{event}\", \"level\": \"{level}\", \"at\": \"{seconds}.{milliseconds:03}Z\"}}\n");
        self.text.push_str(&end);
    }

    /// Whether it must be asked for them to be taken: there are some, and it was not asked since they were taken last.
    pub(crate) fn ask(&mut self) -> bool {
        !self.text.is_empty() && !std::mem::replace(&mut self.asked, true)
    }

    pub(crate) fn take(&mut self) -> String {
        self.asked = false;
        std::mem::take(&mut self.text)
    }

    fn name(&mut self, name: &str) {
        self.value(name);
        self.text.push_str(": ");
    }

    fn value(&mut self, text: &str) {
        // Strings are always JSON.
        self.text.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_whatever_a_peer_has_chosen() {
        let mut lines = Lines::default();
        let text = "a\"b\\c\n\u{202e}é".to_owned();
        let fields = vec![
            ("device", Value::Text(text.clone())),
            ("position", Value::Number(-3)),
            ("resumed", Value::Truth(true)),
        ];
        lines.push(&Note::new(Level::Warning, "refused", fields), 1_780_272_000_007);
        assert!(lines.ask() && !lines.ask(), "once");
        let line = lines.take();
        assert!(lines.take().is_empty() && !lines.ask() && line.ends_with("}\n") && line.lines().count() == 1);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((read["device"].as_str(), read["position"].as_i64()), (Some(text.as_str()), Some(-3)));
        assert_eq!(read["resumed"].as_bool(), Some(true));
        assert_eq!((read["event"].as_str(), read["level"].as_str()), (Some("refused"), Some("warning")));
        assert_eq!(read["at"].as_str(), Some("2026-06-01T00:00:00.007Z"));
    }
}
