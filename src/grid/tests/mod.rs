//! The rules of the grid, each as a fact, in told time.

mod admission;
mod alert_groups;
mod backlog_digest;
mod boots;
mod commands;
mod contact;
mod downtime;
mod driver;
mod dumping;
mod event_builder;
mod events;
mod failures;
mod journal_incidents;
mod mail;
mod maintenance;
mod properties;
mod random_actions;
mod release;
mod repeated_mail;
mod repeats;
mod replays;
mod settings;
mod simulation;
mod state_text;
mod urgent_mail;
mod wall_clock;
