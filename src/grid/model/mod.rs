//! TODO-DOC

pub mod alert_group;
pub mod lifecycle;
pub mod mail_message;
pub mod notification_schedule;
mod outbox;
mod pending_counts;
pub mod rate_limit;
pub mod sequence_window;
pub mod sessions;
pub mod settings;
pub mod timers;
pub mod unmailed_alerts;
pub mod usage;

