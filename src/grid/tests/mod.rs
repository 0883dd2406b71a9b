//! The rules of the grid, each as a fact, in told time.

mod absence;
mod admission;
mod alert_keys;
mod boots;
mod contact;
mod driver;
mod dumping;
mod events;
mod failures;
mod grave;
mod late;
mod mail;
mod mail_again;
mod maintenance;
mod orders;
mod play;
mod properties;
mod release;
mod repeats;
mod replays;
mod saying;
mod settings;
mod storage;
mod stories;
mod wall_clock;
mod words;
