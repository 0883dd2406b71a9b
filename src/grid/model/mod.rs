//! Holds the rules and the data of what the core decides about: settings, lifecycle, rate limits,
//! alerts, sessions and mails.
//!
//! Guarantees plain values without clock or disk. Decides nothing about inputs.

pub mod alert;
pub mod alert_group;
pub mod boot;
pub mod counter_series;
pub mod crash_dump;
pub mod finding;
pub mod identity;
pub mod lifecycle;
pub mod mail_message;
pub mod matcher;
pub mod notification;
pub mod outcome_counts;
pub mod quiet_hours;
pub mod rate_limit;
pub mod rate_limit_state;
pub mod route;
pub mod sequence_window;
pub mod sessions;
pub mod settings;
pub mod silence;
pub mod threshold;
pub mod timers;
pub mod unmailed_alerts;
pub mod usage;
