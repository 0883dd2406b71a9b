//! The rules of the grid, each as a fact, in told time.

mod absence;
mod admission;
mod boots;
mod contact;
mod driver;
mod dumping;
mod events;
mod failures;
mod late;
mod mail;
mod maintenance;
mod orders;
mod play;
mod properties;
mod repeats;
mod replays;
mod saying;
mod settings;
mod storage;
mod stories;
mod wall_clock;
mod words;
