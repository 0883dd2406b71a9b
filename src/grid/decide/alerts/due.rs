//! Decides on alerts that are due though nothing is reported: repeats, quiet ends, acknowledgements.
//!
//! Guarantees that an alert which is due is due later, or never, after it.

use super::AlertChanges;
use crate::grid::log::alert_input::AlertCommand;
use crate::grid::model::alert::{Acknowledgement, Alert, AlertStepKind, EndCause};
use crate::grid::values::id::AlertId;

impl AlertChanges<'_> {
    pub(super) fn due(&mut self, id: AlertId) {
        let Some(mut alert) = self.get(id).cloned() else { return };
        self.refresh(&mut alert);
        if alert.end.is_some() {
            if alert.closes_at.is_some_and(|at| at <= self.now) {
                self.forgotten.push(id);
            } else {
                self.changed.insert(id, alert);
            }
            return;
        }
        let has_ended = |it: &Acknowledgement| it.until.is_some_and(|until| until <= self.now);
        if alert.acknowledgement.as_ref().is_some_and(has_ended) {
            alert.acknowledgement = None;
            alert.push_step(self.step(AlertStepKind::AcknowledgementEnded, "", ""));
            // It is open, and nobody takes care of it any more: that is to be said at once.
            if let Some(notified) = &mut alert.notified {
                notified.is_end = true;
                notified.at = notified.at.min(self.now.before(super::notice::NEXT_AFTER));
                alert.reopenings = 0;
            }
        }
        let is_quiet = self.closes_at(&alert).is_some_and(|at| at <= self.now);
        if is_quiet {
            self.end_alert(alert, EndCause::Quiet, "", "");
        } else {
            self.changed.insert(id, alert);
        }
    }

    /// Takes repeats into account that are only counted.
    pub(super) fn refresh(&self, alert: &mut Alert) {
        let Some(appliance) = alert.appliance.and_then(|number| self.state.appliance(number))
        else {
            return;
        };
        let groups = appliance.usage.alert_groups.iter();
        for group in groups.filter(|group| group.alert == Some(alert.id)) {
            alert.last_seen_at = alert.last_seen_at.max(group.last_seen_at);
        }
    }

    pub(super) fn command(&mut self, id: AlertId, by: &str, command: &AlertCommand) {
        let Some(mut alert) = self.get(id).cloned() else { return };
        match command {
            AlertCommand::Acknowledge { until, note, .. } => {
                alert.acknowledgement = Some(Acknowledgement {
                    by: by.into(),
                    at: self.now,
                    until: *until,
                    note: note.clone(),
                });
                alert.push_step(self.step(AlertStepKind::Acknowledged, by, note));
                self.changed.insert(id, alert);
            }
            AlertCommand::Unacknowledge => {
                alert.acknowledgement = None;
                alert.push_step(self.step(AlertStepKind::Unacknowledged, by, ""));
                self.changed.insert(id, alert);
            }
            AlertCommand::Resolve { note } => {
                self.end_alert(alert, EndCause::Administrator, by, note);
            }
        }
    }
}
